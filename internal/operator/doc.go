// Package operator owns the door through which a person with a shell on the
// machine works: the commands of the command line that need the store, run
// either inside the server that is up (over a socket in the data folder) or,
// when none is up, in the command's own process. Both ways execute the same
// [Door], so that a command means the same beside a running server as without
// one, and SQLite's file is never opened by two processes.
//
// The socket has mode 0600 and, where the system tells who is calling, serves
// root and the server's own user alone. Whoever passes it is the operator and
// holds every permission, since they could read the root key anyway; what they
// do is audited like any other change.
//
// The package renders nothing: a command returns a struct, the command line
// prints it as a table or as JSON. It refuses to read files or the environment
// on behalf of its caller; the command line sends contents.
package operator
