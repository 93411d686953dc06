package page

import (
	"time"
)

// Home is what one sees first: what waits, what ends, what was done. Each part
// is left out where the role does not see it.
type Home struct {
	Base
	Name string
	// Steps lead through a fresh installation; nil once all are done.
	Steps []FirstStep
	// Waiting is what this user should look at.
	Waiting []Waiting
	// Mail is how mail stands, for who manages it.
	Mail *MailState
	// Second is the same for the second mail server, nil where there is none.
	Second *MailState
	// Deliveries are those of the last days; nil for who may not see them.
	Deliveries *Chart
	// Ends are what ends in the next 30 days, Horizon that they are shown.
	Ends    []MailEnd
	Horizon bool
	// Resources are those that changed last, of Owned in all; Vault tells that
	// they are shown, CanAdd that one may add some.
	Vault, CanAdd bool
	Owned         int
	Resources     []HomeResource
	// Recent is what this user did last.
	Recent []AuditRow
	// Watch is what everybody did last, for auditors.
	Watch []AuditRow
}

// Template names the file.
func (*Home) Template() string { return "home" }

// FirstStep is one thing to do on a fresh installation.
type FirstStep struct {
	Title, Text, Path, Action string
	Done                      bool
}

// HomeResource is a resource in a short list.
type HomeResource struct {
	ID, Name, Type string
	Accounts       int
	ChangedAt      time.Time
}

// Waiting is something to look at, and where.
type Waiting struct{ Text, Tone, Path, Action string }
