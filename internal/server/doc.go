// Package server owns the listener, its TLS, and what every request passes
// before a handler sees it: an id, the client's address, the line in the log,
// the answer to a panic, the security headers and the limit on its size. It is
// also the only place that knows which HTTP number a kind of failure has.
//
// A request passes [Chain] from the outside in; the handler inside reads
// [RequestID] and [ClientAddr]. [Server.Serve] answers until its context ends,
// then takes no further connection and lets the requests under way finish.
//
// The package refuses to log what a client chose: method, path, headers and
// query can hold secrets, so the log names the matched pattern instead. It
// believes what a proxy says of the client only where the operator named the
// proxy.
package server
