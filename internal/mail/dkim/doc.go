// Package dkim owns the keys that letters are signed with, and the signatures
// (RFC 6376, with the algorithms of RFC 8301 and RFC 8463). A signature says that
// a letter comes from a domain and was not changed on the way; receivers look up
// the public half of the key in the domain's DNS.
//
// Keys are made here and never leave: the private half is sealed, bound to its
// domain, selector and algorithm. A set is one key or two, of RSA and of Ed25519,
// that sign together. A new set signs nothing until its records were seen in the
// DNS, all of them and right, or until an administrator lets it sign anyway: a
// signature that nobody can check is worse than none. It then takes the place of
// the set before it, which is retired: letters that were signed with it once are
// signed with it again, and after a week it is deleted. Rotation is to make a new
// set beside the one that signs.
//
// A signature is a function of the letter, its date and the keys, so that a
// letter has the same bytes on every attempt. It covers the whole body, and From
// and Reply-To in such a way that no second one can be added.
//
// The package refuses domains that are not the sender's or one above it in the
// same organisation, since receivers that check alignment (DMARC) would make
// nothing of the signature. It does not know who sends letters or why; package
// delivery asks it to sign.
package dkim
