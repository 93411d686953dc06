// Package vault owns resources, the accounts under them, and the accounts'
// passwords with all that they were before.
//
// A resource is a machine, a site, a licence: something with a name that has
// accounts. Whoever adds it owns it, and nobody else knows that it is there,
// other administrators included. What one may not see is answered like what
// does not exist. One function decides who may do what (see [level]); the
// condition by which lists find their rows stands beside it.
//
// A password is sealed under the keyring and bound to its account and its
// number. A new one takes the next number and leaves the old ones where they
// are; restoring an old one makes it the newest again, under a new number.
// Nobody takes a password out but by [Service.Reveal], which records who, why
// and which before it hands it over, and hands over nothing that it could not
// record; and by [Service.CurrentCredential], by which Sealpost signs in
// elsewhere itself.
//
// The operator at the machine's shell manages everything and is shown no
// password: to bring passwords to what a file says it asks whether one is
// right ([Service.PasswordIs]).
//
// An account that is in use, as the mail server's is, can change but not go.
//
// The package refuses to keep an URL by which a page could run a program, to
// write notes or passwords into the audit log, and to generate a password
// whose strength it cannot count.
package vault
