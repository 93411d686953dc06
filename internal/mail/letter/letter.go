package letter

import (
	"time"
)

// Class is the priority of a letter: lower ones leave first.
type Class int

// The classes, the most urgent first.
const (
	ClassCode Class = iota + 1
	ClassRequest
	ClassAlert
	ClassReminder
	ClassDigest
)

// Classes returns all classes, the most urgent first.
func Classes() []Class {
	return []Class{ClassCode, ClassRequest, ClassAlert, ClassReminder, ClassDigest}
}

// Title is what a person calls the letters of the class.
func (c Class) Title() string {
	switch c {
	case ClassCode:
		return "Codes and resets"
	case ClassRequest:
		return "Requests"
	case ClassAlert:
		return "Alerts"
	case ClassReminder:
		return "Reminders"
	case ClassDigest:
		return "Digests"
	}
	return "Other letters"
}

// Key is the class as metrics and files name it.
func (c Class) Key() string {
	switch c {
	case ClassCode:
		return "code"
	case ClassRequest:
		return "request"
	case ClassAlert:
		return "alert"
	case ClassReminder:
		return "reminder"
	case ClassDigest:
		return "digest"
	}
	return "other"
}

// Letter is one of the structs of this package.
type Letter interface {
	// Kind is the letter's key, for example "invitation".
	Kind() string
}

// KindInfo describes a kind of letter.
type KindInfo struct {
	// Key is what Letter.Kind returns.
	Key string
	// Title is what a person calls it.
	Title string
	Class Class
	// Lifetime is how long after it was added a letter may still be sent,
	// where nobody chose another time.
	Lifetime time.Duration
	// OneTime letters hold a link that somebody could use; they are sent
	// again by making a new link, never as they were.
	OneTime bool
	// Shortest and Longest bound what may be chosen instead of Lifetime. The
	// longest of a OneTime letter is how long its link lives: one that arrives
	// later is of no use. Where both are the same there is no choice.
	Shortest, Longest time.Duration
}

// The kinds of letters.
const (
	KindInvitation      = "invitation"
	KindPasswordReset   = "password_reset"
	KindPasswordChanged = "password_changed"
	KindNewDevice       = "new_device"
	KindExpiryReminder  = "expiry_reminder"
	KindTest            = "test"
)

const (
	minute = time.Minute
	hour   = time.Hour
	day    = 24 * time.Hour
)

// Kinds returns all kinds in the order in which a filter offers them.
func Kinds() []KindInfo {
	return []KindInfo{
		{KindInvitation, "Invitation", ClassRequest, 3 * day, true, hour, 3 * day},
		{KindPasswordReset, "Password reset", ClassCode, 30 * minute, true, 5 * minute, 30 * minute},
		{KindPasswordChanged, "Password changed", ClassAlert, day, false, hour, 7 * day},
		{KindNewDevice, "Sign-in from a new device", ClassAlert, day, false, hour, 7 * day},
		{KindExpiryReminder, "Reminder of an end", ClassReminder, day, false, hour, 7 * day},
		{KindTest, "Test", ClassCode, 10 * minute, false, 10 * minute, 10 * minute},
	}
}

// Info returns the description of a kind, and false for one that does not
// exist.
func Info(kind string) (KindInfo, bool) {
	for _, k := range Kinds() {
		if k.Key == kind {
			return k, true
		}
	}
	return KindInfo{}, false
}

// Invitation welcomes a new user and gives them the way in.
type Invitation struct {
	Name, Login, Role string
	// InvitedBy is the name of who added the user.
	InvitedBy string
	Link      Link
	Expires   time.Time
}

// PasswordReset gives a user who forgot their password the way in.
type PasswordReset struct {
	Name    string
	Link    Link
	Expires time.Time
	// From and Agent say where the request came from.
	From, Agent string
}

// PasswordChanged tells a user that their password was changed.
type PasswordChanged struct {
	Name        string
	When        time.Time
	From, Agent string
}

// NewDevice tells a user that somebody signed in as them in a browser not seen
// before.
type NewDevice struct {
	Name        string
	When        time.Time
	From, Agent string
}

// ExpiryReminder tells an administrator that something of the mail server ends.
type ExpiryReminder struct {
	Name string
	// What ends, as a sentence begins: "The client secret".
	What string
	// Server is "host:port".
	Server string
	When   time.Time
	// Left is how long it lasts, for example "in 7 days"; empty when it has
	// ended.
	Left string
	// Advice says how it is renewed.
	Advice string
}

// Test shows that the mail server takes letters.
type Test struct {
	RequestedBy string
	When        time.Time
	// Server is "host:port".
	Server string
}

// Kind returns KindInvitation.
func (Invitation) Kind() string { return KindInvitation }

// Kind returns KindPasswordReset.
func (PasswordReset) Kind() string { return KindPasswordReset }

// Kind returns KindPasswordChanged.
func (PasswordChanged) Kind() string { return KindPasswordChanged }

// Kind returns KindNewDevice.
func (NewDevice) Kind() string { return KindNewDevice }

// Kind returns KindExpiryReminder.
func (ExpiryReminder) Kind() string { return KindExpiryReminder }

// Kind returns KindTest.
func (Test) Kind() string { return KindTest }
