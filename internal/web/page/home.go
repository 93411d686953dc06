package page

// Home is what one sees first.
type Home struct {
	Base
	Name string
	// Recent is what this user did last.
	Recent []AuditRow
}

// Template names the file.
func (*Home) Template() string { return "home" }
