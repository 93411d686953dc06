// Package sasl owns the client's side of the mechanisms with which a mail
// client proves who it is (RFC 4422): PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC
// 2195), SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, 7677) with a password, XOAUTH2
// and OAUTHBEARER (RFC 7628) with a token.
//
// A [Mechanism] turns challenges into responses; what carries them, in base64
// or otherwise, is the protocol's business. The package refuses challenges
// that a server of good faith does not send, credentials that the mechanism
// cannot carry, and servers that cannot prove in SCRAM that they know the
// password too. It never falls back from one mechanism to another, and least of
// all from a token to a password.
package sasl
