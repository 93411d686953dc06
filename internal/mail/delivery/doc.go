// Package delivery moves letters from the outbox to the mail server. It alone
// says what became of a letter.
//
// A letter is delivered at least once. It is claimed under a lease, which is
// renewed while it is in work; its bytes and Message-ID are the same on every
// attempt; what came of it is on disk before the turn that claimed it ends, and
// meanwhile no more than a bounded number is not. A crash therefore repeats at
// most what was in flight, and a repeated letter can be told by its Message-ID.
// A process that was stopped for longer than its lease begins no letter of
// before, and what it writes is dropped, since another claim was made. Lease and
// server are looked at when a letter is handed over, and again before its content
// where that comes more than a second later.
//
// Few lanes work side by side, each with one connection. A lane claims letters
// only once it has a connection that is encrypted and signed in, so that a server
// that is down costs no letter an attempt. It claims one, then two, four and so
// on, as long as all were taken, but no more than leave within half a second:
// what is urgent and comes later waits no longer. They are opened and built
// outside the transaction, and handed to the connection together, which has as
// many in flight as the server allows (trip). From 64 on the lane claims the next
// ones while it sends, for two seconds at a time, after which it looks whether
// settings, password and connection are those of now. Where a provider counts
// letters, they leave one by one.
//
// A recorder writes what came of letters, of all lanes, in groups: what comes
// while one is being written is the next one. What the database does not take is
// kept, and nothing more begins until it does.
//
// How many lanes work follows the concurrency of Postfix's scheduler: from two on
// each letter that is taken adds 1/n while there is a backlog, and trouble with a
// connection takes one away (crowd). While one lane hangs at a slow server the
// others go on, and urgent letters overtake.
//
// Before a lane connects it takes a place among the connections of all nodes,
// and before it claims it asks for leave to send, so that the nodes together
// keep what a provider allows a mailbox (package pace). Waiting for that is no
// trouble: letters stay due, and [Engine.Wait] tells the loop when to come back.
// A server that says it gets too much is left alone by all nodes, at no letter's
// cost. A token that it refuses is replaced once.
//
// What a failure means is the verdict of the table of replies. One that is
// about the letter defers or fails that letter. One that is about the server's
// settings pauses the profile, with all letters kept and given back; a paused
// profile is probed with a real sign-in when that is due. A refusal that looks
// like the server's, but came for one letter, is held against the letter as
// soon as another one passes. A server that is not to be reached is left alone
// for seconds, then minutes, and paused after five of them; an authority that
// gives no token for the moment is waited for.
//
// The package refuses to send without a gate that is open, with a connection
// made for other settings or an older password than those of now, and to
// report an outcome that it did not see. A second engine serves a second server:
// see outbox.Slot.
package delivery
