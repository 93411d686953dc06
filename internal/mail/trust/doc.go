// Package trust owns the question whether a mail server is the one it claims
// to be: the certificates that an administrator trusts for one mail profile
// beside the system's, the TLS policy made of them, and an explanation of each
// refusal that says what to do.
//
// A certificate is trusted as an anchor (it, or what it signed, with the
// server's name and dates checked as always) or as a pin (the server's key must
// be this one; names and dates are not looked at, for appliances whose
// certificate has no usable name). There is no way to switch verification off.
//
// The package refuses keys that are too short whatever vouches for them, and
// private keys that are pasted where a certificate belongs.
package trust
