// Package peers gives tests the real programs that Sealpost works with: a
// private Postfix with Dovecot behind its sign-in, a Dovecot in front of it that
// takes tokens, a private certificate authority, a Chromium that reports what a
// page did wrong, and axe-core.
//
// Everything runs in a temporary folder, on loopback, on free ports, without
// DNS, and ends with the test binary, in whatever way that ends: a small shell
// holds one end of a pipe, and stops its programs when the pipe breaks. What is
// missing on the machine is skipped by name, or fails when the environment says
// CI=true.
package peers
