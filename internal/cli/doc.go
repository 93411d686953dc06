// Package cli owns the command line: one file for each command, its flags,
// what it prints. Commands that need the store run through the operator's
// door, inside the running server where one is up.
//
// Secrets are never flags: a flag is seen by everybody on the machine. They
// come from a file, from standard input or from the environment.
//
// Exit status: 0 done; 1 failed, with one sentence on standard error; 2 the
// words on the command line are wrong; 3 done, and the answer is "no" (a broken
// audit chain, a failed mail test, changes found by --check).
package cli
