package page

import "time"

// AuditRow is an entry of the audit log in a list.
type AuditRow struct {
	Seq                             int64
	At                              time.Time
	Action, By, Login, Kind, Object string
	Outcome                         Tag
}

// Audit lists the audit log.
type Audit struct {
	Base
	Text, Action, Person, From, To string
	// Request is the id of the request whose entries are wanted, or "".
	Request string
	Actions []Option
	// All tells that everybody's acts are shown, not just one's own.
	All      bool
	Rows     []AuditRow
	Filtered bool
	Pager    Pager
	// Export is where the same entries are had as a file.
	Export string
}

// Template names the file.
func (*Audit) Template() string { return "audit" }

// AuditEntry is one entry in full.
type AuditEntry struct {
	Base
	AuditRow
	// Code is the action as programs name it.
	Code, Door, From, Agent, Request string
	ObjectID, ObjectPath, Reason     string
	Detail                           []AuditDetail
	// SameRequest are the entries of the same request, Letters those that it
	// caused; "" where there are none to be seen.
	SameRequest, Letters string
}

// Template names the file.
func (*AuditEntry) Template() string { return "audit_entry" }

// AuditDetail is a further fact of an entry.
type AuditDetail struct{ Name, Value, Before, After string }
