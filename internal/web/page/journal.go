package page

import (
	"time"
)

// MailJournal lists letters: what was sent to whom, and what became of it.
type MailJournal struct {
	Base
	// Text, State, Kind, From and To are the filter as it was given.
	Text, State, Kind, From, To string
	States, Kinds               []Option
	Rows                        []LetterRow
	Pager                       Pager
	// Live is the address of the list alone while something in it moves.
	Live string
}

// Template names the file.
func (*MailJournal) Template() string { return "mail_journal" }

// Filtered tells that something was asked for.
func (p *MailJournal) Filtered() bool {
	return p.Text != "" || p.State != "" || p.Kind != "" || p.From != "" || p.To != ""
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
}

// MailLetter shows one letter, but not what it says.
type MailLetter struct {
	Base
	Letter LetterRow
	// MessageID tells the letter apart in every mailbox; QueueID is what the
	// server calls it.
	MessageID, QueueID, Server string
	Due, Expires               time.Time
	Advice                     string
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
