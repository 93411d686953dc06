// Package audit owns the log of what was done: by whom, from where, to what,
// and why. An operation appends its entry in its own transaction, so that
// nothing is done that is not recorded and nothing is recorded that was not
// done.
//
// Entries are chained: each carries an HMAC over itself and over the one before
// it, and the end of the chain is kept beside it, so that [Log.Verify] finds
// any entry that was changed, moved, added or removed by somebody who can write
// to the database but does not hold the root key. The tables' triggers refuse
// changes made by mistake. A database put back whole from a backup verifies:
// the chain proves that the log is one that was written, not that it is the
// newest.
//
// The package refuses secrets: the parts of an entry are plain strings that a
// caller chooses, and a secret.Value is none. It has no operation that changes
// or removes an entry.
package audit
