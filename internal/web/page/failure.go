package page

// Failure tells that a page could not be shown.
type Failure struct {
	Base
	Text string
	// Reference finds the line in the log; empty where there is none.
	Reference string
}

// Template names the file.
func (*Failure) Template() string { return "failure" }
