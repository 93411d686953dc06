// Package diagnose owns the test of mail server settings: a row of small steps,
// each with one question, one answer and one advice, told while they happen.
//
// The test uses the same client with which letters are delivered, on the values
// that somebody has in front of them, saved or not, and ends with a letter that
// the server accepted, since whether a sender is allowed shows nowhere else. It
// ends within 30 seconds, or as soon as its context does.
//
// The package refuses to guess: what a failure means comes from package verdict
// and, for certificates, package trust. It stores nothing; a passed test gives
// a token with which exactly these values can be saved, and whoever keeps the
// journal of letters hears of a mail that was handed over.
package diagnose
