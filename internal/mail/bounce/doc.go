// Package bounce owns what comes back: where reports about letters are sent, the
// mailbox that they are read from, what is believed of them, and the addresses
// that mail came back from.
//
// # Matching
//
// A letter leaves with an envelope sender that names it, bounces+TOKEN@domain
// (VERP), or with an envelope id (RFC 3461) that does. The token is the letter's
// id with a MAC, so that nobody makes up a report about a letter that they did
// not get: [Service.Return] makes it, and only this package reads it. A report
// without a token counts where the letter's Message-ID, 64 bits of which are
// random, stands in it. Everything else is counted and left alone. A report that
// names other recipients than the letter's is shown with the letter and marks
// nothing: whoever forwards mail can make one.
//
// # Reading
//
// [Service.Read] takes turns: it holds a lease, so that one node reads at a time,
// goes on after the last UID that was looked at, and writes what a message says
// together with how far it got, in one transaction. A message that is read twice
// changes nothing the second time. What goes wrong is shown and tried again, at
// first after a minute and later once an hour; letters leave whatever happens
// here.
//
// The password is bound to the mailbox's host, port, security, certificates
// and user name, as that of the mail server is. The
// package refuses connections without TLS, and addresses that the operator
// forbade.
//
// # Marks
//
// An address that mail came back from for good, or that a server refused, is
// marked until somebody wants it tried again. Mail to it leaves as before: a mark
// is for people. Marks are kept by address, so that a user who gets another one
// leaves theirs behind.
package bounce
