// Package outbox owns the letters that are on their way and the journal of
// what became of them.
//
// An operation adds a letter in its own transaction: the letter exists if and
// only if the change that caused it does. It is rendered once, sealed, and
// given a Message-ID that stays. Delivery claims letters under a lease, tries,
// and records an outcome that is fenced by the number of the attempt, so that
// a process that was thought dead cannot write over what another did since.
//
// Claims and outcomes come in groups of up to 256 letters, each with as many
// statements as one. The attempt that a letter is at stands in its own row; it
// moves to outbox_attempt when the letter will be tried again. The usual letter
// costs one INSERT, one UPDATE of its claim and one of its outcome, which
// destroys its content. A letter is on its way while ended_at is 0: the queue's
// index depends on nothing that a claim changes, and a claim costs the same
// however many letters wait.
//
// A letter has a route, the slot whose server it should leave through, and each
// slot a gate. A slot claims the letters of its own route while its gate is open,
// and those of the other while it stands in for it.
//
// A letter whose content may have reached a server whose answer was lost is
// uncertain. It is tried again with the same bytes; the sender it had at that
// attempt is kept for it.
//
// The gate says whether letters may leave. While it is closed they wait
// and show as held; nothing about them changes, so that opening it costs one
// row.
//
// The package refuses to show content: the journal tells to whom, when and
// what came of it. Content is destroyed when a letter was accepted or
// cancelled, and for letters with a one-time link at any end.
package outbox
