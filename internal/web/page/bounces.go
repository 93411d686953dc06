package page

import "time"

// MailBounces is the page of where reports about letters go, how they are read,
// and which addresses mail came back from.
type MailBounces struct {
	Base
	State BounceState
	Form  BounceForm
	// Test is what came of a test; nil where none was made.
	Test *BounceTest
	// Provider warns of a mail server that takes no other envelope sender; ""
	// where it may.
	Provider string
	Marks    []BounceMark
	// MoreMarks counts those that are not shown.
	MoreMarks int
}

// Template names the file.
func (*MailBounces) Template() string { return "mail_bounces" }

// BounceState is how reading goes.
type BounceState struct {
	// Reads tells that the mailbox is read.
	Reads bool
	// Tone is "good", "bad" or "" before the first time.
	Tone, Title          string
	Reason, Advice, Said string
	Since, Next, ReadAt  time.Time
	Counts               []BounceCount
}

// BounceCount is how many messages of a kind were read.
type BounceCount struct {
	Label string
	N     int
}

// BounceForm is what was typed, or what is stored.
type BounceForm struct {
	Revision          int64
	Envelope, Address string
	// Example is an envelope sender with a token.
	Example                                       string
	Ask, Reads                                    bool
	Host, Port, Security, Auth, Username, Account string
	AccountText                                   string
	Accounts                                      []Option
	PasswordSetAt                                 time.Time
	PasswordAction                                string
	// PasswordLost tells that one was typed, which no page ever shows again.
	PasswordLost            bool
	Folder, Handled, MoveTo string
	// Candidates are certificates that will be trusted once this is saved, Trusted
	// those that are.
	Candidates, Trusted []Certificate
	// OfferAnyway shows the button that saves without a passed test.
	OfferAnyway, AskOwnPassword bool
}

// Envelopes are the places where reports can go.
func (f BounceForm) Envelopes() []Option {
	return []Option{
		{Value: "token", Label: "A bounce address, with a token", Help: "bounces+token@…, the surest"},
		{Value: "plain", Label: "A bounce address", Help: "the same for all letters"},
		{Value: "sender", Label: "The sender", Help: "as letters say who they are from"},
	}
}

// Securities are the ways to connect.
func (f BounceForm) Securities() []Option {
	return []Option{
		{Value: "implicit", Label: "SSL", Help: "TLS from the start, port 993"},
		{Value: "starttls", Label: "TLS", Help: "STARTTLS, required, port 143"},
	}
}

// Auths are the ways to sign in.
func (f BounceForm) Auths() []Option {
	return []Option{
		{Value: "typed", Label: "Specify a user name and password"},
		{Value: "account", Label: "Use an account stored in Sealpost"},
	}
}

// Handlings are what can happen to messages that were read.
func (f BounceForm) Handlings() []Option {
	return []Option{
		{Value: "leave", Label: "Leave them", Help: "nothing in the mailbox changes"},
		{Value: "move", Label: "Move them", Help: "marked as read, to another folder"},
		{Value: "delete", Label: "Delete them", Help: "for good"},
	}
}

// BounceTest is a test of the mailbox.
type BounceTest struct {
	Passed bool
	Steps  []CheckStep
}

// BounceMark is an address that mail came back from.
type BounceMark struct {
	Address     string
	Since, Last time.Time
	Times       int
	// Refused tells that the mail server refused the address at once.
	Refused      bool
	Status, Said string
	LetterPath   string
	// User and UserPath are whose address it is now; empty where it is nobody's.
	User, UserPath string
}
