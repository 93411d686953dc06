// Package oauth owns the conversation with an authority that gives out tokens
// for a mailbox: Microsoft Entra, Google, or another one that speaks OAuth 2.0
// (RFC 6749). It knows the providers and their clouds, builds the address where
// a person signs in, exchanges codes, refreshes, and proves the client by a
// secret, a certificate or a service account's key.
//
// A request for a token carries a secret, so that it goes to a host from a fixed
// list or from the operator's, over TLS alone, follows no redirect, and takes ten
// seconds and 64 KiB at most. What comes back is believed as little: a token
// with a character outside the b64token alphabet (RFC 6750 2.1) is refused, an
// empty one too, and the words of an error are scrubbed before anybody sees
// them.
//
// The package keeps nothing. It refuses tenants that are neither a GUID nor a
// domain, and decides nothing by the text of an error.
package oauth
