package page

import "time"

// AuditRow is an entry of the audit log in a list.
type AuditRow struct {
	Seq                               int64
	At                                time.Time
	Action, By, Kind, Object, Outcome string
}
