// Package domain owns what the DNS says of a sender's domain and of a mail
// server: addresses, who takes its mail (RFC 5321 5.1), who may send for it
// (SPF, RFC 7208), what receivers are to do about the rest (DMARC, RFC 7489)
// and the keys that its letters are signed with (DKIM, RFC 6376).
//
// Names come from settings and from answers of strangers, so each question has
// a deadline, answers are bounded, and whatever follows names found in answers
// stops after a fixed number. An answer that could not be had is told apart
// from one that says that there is nothing: [ErrUnsure] and [ErrNone].
//
// The package refuses to decide: it says what is there and what receivers make
// of it, and no letter waits for it.
package domain
