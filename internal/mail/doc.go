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
// The package refuses to go from an encrypted to a clear connection or to sign
// in without encryption, unless an administrator chose it by typing the
// server's name. It refuses secrets in place of which somebody sent back their
// mask, and servers on addresses that the operator forbade. It knows neither
// users nor vault nor outbox: what it needs of them are the contracts [Secrets]
// and [Gate], which package app fills.
package mail
