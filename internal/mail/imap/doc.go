// Package imap owns the client's side of the few parts of IMAP (RFC 3501,
// RFC 9051) that reading a mailbox needs: connect with TLS from the start or
// STARTTLS, sign in by SASL (RFC 4959 where it is offered) or LOGIN, open a
// folder, list UIDs, fetch the beginning of a message, mark it as seen, move it
// (RFC 6851, or copying where it is not offered) and delete it (RFC 4315).
//
// A connection is used by one goroutine: command, answer, command. Each command
// has a deadline for its whole answer, so that a server which sends a byte now
// and then holds nobody; lines, literals, numbers of answers and folder sizes
// are bounded, whatever a server says.
//
// The package refuses to sign in without a handshake that the caller's TLS
// configuration approved, servers that are signed in to already (PREAUTH), and
// anything that a server sends between its consent to STARTTLS and the
// handshake (the response injection of CVE-2021-38370 and its kin). It follows no
// referral. Errors are of type *[Error] and tell facts: what a person should do
// is decided elsewhere.
package imap
