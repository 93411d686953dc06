// Package capture owns the capture mailbox: an SMTP server on loopback that
// takes every letter and lets it go nowhere, and the letters it caught, so that
// the whole way of a mail can be tried with no mail server at hand.
//
// A caught letter is kept as it came, sealed. It may hold a one-time link, so
// that reading it needs the permission to manage settings and is audited. The
// newest letters are kept, up to a number, a size and an age.
//
// The package refuses to listen anywhere but on loopback. Who has a shell on
// the machine can hand it letters, as they could hand them to any local mail
// server; nothing in a letter is believed, and pages show its HTML in a frame
// that runs nothing.
package capture
