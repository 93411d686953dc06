// Package journey holds the proofs from end to end: people in a browser and at
// the shell, the whole product, a real mail server, both engines. It has no
// code of its own.
package journey
