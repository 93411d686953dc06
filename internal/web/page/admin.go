package page

// Admin leads to the settings.
type Admin struct {
	Base
	Groups  []AdminGroup
	Version string
}

// Template names the file.
func (*Admin) Template() string { return "admin" }

// AdminGroup is a group of places.
type AdminGroup struct {
	Title  string
	Places []AdminPlace
}

// AdminPlace is a page behind Admin.
type AdminPlace struct{ Name, Path, Icon, About string }

// General is what letters and pages say of this installation.
type General struct {
	Base
	OrganisationName, AccessURL string
}

// Template names the file.
func (*General) Template() string { return "general" }
