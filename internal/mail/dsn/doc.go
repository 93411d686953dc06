// Package dsn reads mails that mail servers send about mails: delivery status
// notifications (RFC 3464 in a multipart/report of RFC 6522, RFC 6533 with
// addresses in UTF-8), the reports of Exchange and Gmail, which are such, and the
// two plain texts that are reliable enough to be read, those of qmail (QSBMF) and
// of Exim (X-Failed-Recipients).
//
// [Parse] takes the mail, or its beginning, and returns what it says: which
// recipients failed or are late and why, and by what the mail that it is about
// can be recognised. It believes nothing: whether a report is about a letter of
// ours is for the caller to prove. Answers of people who are away are no reports,
// nor are receipts.
//
// Input is hostile. Depth, parts, fields, recipients and lengths are bounded, and
// all texts come out as one line of valid UTF-8 without control or formatting
// characters. Nothing here fails: what cannot be read says nothing.
package dsn
