// Package mail owns the profile of the mail server: what an administrator
// typed, the certificates trusted for it, the secret that signs in, and whether
// mail leaves or is paused, since when and why. From it [Service.Open] makes a
// [Transport], which is everything a connection needs.
//
// A secret is bound to its destination. A typed password is sealed together
// with the profile, host, port, security, trusted certificates, mechanism and
// user name; when any of them changes it does not open any more, whichever door
// the change came through, and must be typed again. For an account stored in
// Sealpost the consent of somebody who may use it is sealed in the same way;
// its password is never copied here but read for each connection, so that a
// change in the vault is used by the next one.
//
// A profile may sign in with OAuth 2.0. What proves the client to the authority
// is sealed like a password, and the tokens, which package token keeps, are
// bound to the same things but for that proof: a client secret is replaced
// without a new sign-in. Where a person signs in once, the checked settings wait
// sealed ([Service.BeginConsent]) while that person is at the authority, and what
// is stored goes on working. The way back ([Service.FinishConsent]) is open once,
// for ten minutes, to the same person in the same session; whoever signed in is
// compared with the settings. Certificates that are trusted from then on get the
// tokens from who types the client's secret, and from nobody else.
//
// The package refuses to go from an encrypted to a clear connection or to sign
// in without encryption, unless an administrator chose it by typing the
// server's name. It refuses secrets in place of which somebody sent back their
// mask, and servers on addresses that the operator forbade. It never falls back
// from a token to a password or to a connection in clear. It knows neither
// users nor vault nor outbox: what it needs of them are the contracts [Secrets]
// and [Gate], which package app fills.
package mail
