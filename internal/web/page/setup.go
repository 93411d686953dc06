package page

// Setup is the first page of an installation.
type Setup struct {
	Base
	Code, Name, Login, Email, OrganisationName, AccessURL string
	MinLength                                             int
}

// Template names the file.
func (*Setup) Template() string { return "setup" }

// Stages are the steps of the set-up.
func (*Setup) Stages() []Step {
	return []Step{{"You and your organisation", "now"}, {"Mail", "next"}, {"Ready", "next"}}
}

// SetupMail is the second: how mail leaves.
type SetupMail struct {
	Base
	// How is "microsoft", "other", "capture" or "later"; Email the administrator's.
	How, Email string
	CanCapture bool
}

// Template names the file.
func (*SetupMail) Template() string { return "setup_mail" }

// Stages are the steps of the set-up.
func (*SetupMail) Stages() []Step {
	return []Step{{"You and your organisation", "done"}, {"Mail", "now"}, {"Ready", "next"}}
}
