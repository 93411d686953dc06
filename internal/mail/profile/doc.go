// Package profile owns what a mail profile is: which values are right for a
// server, a sender, a sign-in and the way to its tokens, what a secret and the
// tokens of a profile are bound to, how a change reads in words, and what of it
// ends when.
//
// A [Change] becomes a [Profile] by [Change.Apply], which refuses with a
// sentence at each field: addresses that the operator denied, a clear connection
// that nobody confirmed, authorities that nobody allowed. [Place] and
// [TokenBind] name everything that says where a secret may go, so that one of
// another place does not open, whichever door the change came through.
//
// The package holds no secret, knows no database, and talks to nobody.
package profile
