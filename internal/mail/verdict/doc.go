// Package verdict owns the question what a failed delivery means: whether to
// try again, to pause the server, to fail the letter, or to fix a setting, and
// what to tell the administrator.
//
// The table replies.tsv holds what providers are known to answer. What is done
// follows from the reply's code, its enhanced code and the step; the text of a
// reply only picks the advice among rows that do the same, since providers
// change their wording. A reply that no row knows falls to its class.
//
// The package refuses nothing and does nothing; delivery and diagnose act.
package verdict
