// Package letter owns the catalogue of letters: one struct for each kind, with
// a pair of templates that say the same in text and in HTML, and what all of
// them share: the Access URL, the organisation's name and its logo.
//
// A letter carries no password, ever. Links are built from the configured
// Access URL alone, their secret stands in the fragment, which browsers do not
// send, and the same secret can be typed as a code. What people chose (names,
// the organisation) is escaped and kept from turning into a live link in the
// reader's program.
//
// The package refuses remote content: a letter shows what it carries.
package letter
