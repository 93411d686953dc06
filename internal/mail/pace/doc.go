// Package pace owns how fast the letters of a profile may leave: how many in a
// minute, to how many recipients in a day, over how many connections. The
// providers count per mailbox, so that all nodes share one count, in the
// database and by its clock.
//
// Letters a minute are a leaky bucket: one row holds when the next letter may
// leave if none was spared (the "theoretical arrival time" of ATM's generic
// cell rate algorithm). A few letters that could have left and did not are
// spared for later, so that a loop that comes by every second loses nothing of
// the rate; how few they are bounds what any minute can see.
//
// Recipients a day are counted by the hour. The last day is the hour that runs
// and the twenty-four before it, so that it is never shorter than a provider's.
//
// Connections are slots with a lease. Whoever dies leaves his behind, and it is
// free again when the lease ends.
//
// The package decides how many, never which. Without a limit it asks the
// database nothing.
package pace
