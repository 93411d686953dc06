// Package record keeps the rows of the mail servers: the profile of each slot
// with its state, what it keeps sealed, the certificates that are trusted for
// it, and how often somebody tested. What a row means and who may change it is
// the business of package mail, whose transactions these functions take.
package record
