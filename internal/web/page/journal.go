package page

import (
	"time"
)

// MailJournal lists letters: what was sent to whom, and what became of it.
type MailJournal struct {
	Base
	// Text, State, Kind, Server, Trace, From and To are the filter as it was given.
	Text, State, Kind, Server, Trace, From, To string
	States, Kinds, Servers                     []Option
	Rows                                       []LetterRow
	Pager                                      Pager
	// Further tells that older letters were not searched yet; they are on the
	// next page.
	Further bool
	Counts  JournalCounts
	// Live is the address of the list alone, Events that of what changes.
	Live, Events string
	// Newest tells that the list begins with the newest letter, whatever it is.
	Newest bool
	// Export is where the same letters are had as a file, Reload the page itself.
	Export, Reload string
}

// JournalCounts are how many letters are in which state.
type JournalCounts struct {
	// At is when they were counted.
	At    time.Time
	Items []JournalCount
}

// JournalCount is one number, with where its letters are listed.
type JournalCount struct {
	Label, Path string
	N           int
	// Tone is "bad" or "warn" where somebody should look.
	Tone string
	// Since is when the oldest of those that wait was added.
	Since time.Time
	// OfDay tells that it counts the last 24 hours, not what there is now.
	OfDay bool
}

// Template names the file.
func (*MailJournal) Template() string { return "mail_journal" }

// Filtered tells that something was asked for.
func (p *MailJournal) Filtered() bool {
	return p.Text != "" || p.State != "" || p.Kind != "" || p.Server != "" || p.Trace != "" || p.From != "" || p.To != ""
}

// LetterRow is a letter in a list.
type LetterRow struct {
	ID, To, Address, Kind, Subject string
	State                          Tag
	Added, Changed                 time.Time
	Attempts                       int64
	// Note is what Sealpost says about it, Reply what the mail server said.
	Note, Reply string
	// Merged counts further letters that this one stands for.
	Merged int
	// Waited is how long after it was added a server accepted it.
	Waited time.Duration
	// Server names the server it should leave through, where that is not the
	// first one.
	Server string
	// Bounce tells that it came back, or that it is late.
	Bounce *Tag
	// Key differs where the row does, but for how long ago something was.
	Key string
}

// WaitedText is how long it took until a server accepted it.
func (r LetterRow) WaitedText() string {
	if r.Waited >= time.Minute {
		return Span(r.Waited)
	}
	return Took(r.Waited)
}

// MailLetter shows one letter, but not what it says.
type MailLetter struct {
	Base
	Letter LetterRow
	// MessageID tells the letter apart in every mailbox; QueueID is what the
	// server calls it.
	MessageID, QueueID, Server string
	Due, Expires               time.Time
	// Class is its place in line. Route is the server that it leaves, or left,
	// through, and Through says which; Meant is the one that it should have left
	// through, where that is another one.
	Class, Route, Through, Meant string
	// Trace is what caused it; Cause is where the audit log tells of that, "" for
	// who may not look.
	Trace, Cause string
	// Came is what came back about it; nil where nothing did.
	Came *LetterBounce
	// Held says why it waits, where mail is kept back.
	Held     string
	Attempts []LetterAttempt
	// OneTime letters are sent again by making a new link on UserPath.
	OneTime              bool
	UserPath             string
	CanResend, CanCancel bool
	// Waits tells that it is to leave yet; Live is then the address of the
	// part that moves.
	Waits bool
	Live  string
	// MaybeSent tells that a server may have got it though none said so.
	MaybeSent bool
	// Ask names the dialog that is open, for browsers without scripts.
	Ask string
}

// Template names the file.
func (*MailLetter) Template() string { return "mail_letter" }

// LetterBounce is what came back about a letter that a server had taken.
type LetterBounce struct {
	Tag          Tag
	At           time.Time
	Status, Text string
	// Other is the address that the report is about where that is not the
	// letter's.
	Other string
}

// LetterAttempt is one try to send a letter.
type LetterAttempt struct {
	Number int64
	Began  time.Time
	Took   time.Duration
	State  Tag
	Stage  string
	Reply  string
	Advice string
	Server string
}

// TookText is how long the try took.
func (a LetterAttempt) TookText() string { return Took(a.Took) }
