// Package store owns the database: the two engines behind one door, the
// transactions, the migrations, ids, and the translation of what an engine
// refuses into a fault.
//
// An operation of a domain calls [DB.Update] or [DB.View] once and passes the
// [Tx] down. Statements are plain SQL with $1 parameters that runs unchanged
// on SQLite and PostgreSQL; the few words in which the engines differ come
// from methods of Tx ([Tx.ForUpdate], [Tx.SkipLocked], [Tx.Like]).
//
// # What both engines promise
//
// Update returns nil only when the change is on disk. A statement that fails
// makes its whole transaction fail, even where the callback goes on as if
// nothing had happened: PostgreSQL works that way, and SQLite is held to it.
// A callback may run more than once and must therefore touch nothing but its
// Tx and variables that it sets anew in each run.
//
// # SQLite
//
// One connection writes. Callers pass it from one to the next, what one of them
// did can be taken back alone, and those that arrive together share one commit
// and with it one flush to disk; none of them hears of success before that
// commit. What few change and everybody reads can be [Kept] in memory meanwhile.
// Readers have connections of their own, each of which cannot write. The file is locked
// against a second process for as long as it is open.
//
// # PostgreSQL
//
// Each Update is a READ COMMITTED transaction, run again after a deadlock or
// a serialization failure. Several nodes may share the database. The clock
// of a transaction is the database's, so that nodes whose clocks differ agree.
//
// The package knows no table but its own list of migrations. It takes neither
// a time.Time nor a secret.Value as a parameter: a time travels as [Micros],
// and a secret is sealed first.
package store
