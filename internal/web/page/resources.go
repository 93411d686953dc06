package page

import "time"

// ResourceRow is a resource in a list.
type ResourceRow struct {
	ID, Name, Address, Type, Owner, Department string
	Accounts                                   int
	ChangedAt                                  time.Time
}

// Resources lists resources.
type Resources struct {
	Base
	Text, Type, Sort string
	Types, Sorts     []Option
	Rows             []ResourceRow
	Total            int
	// MayAdd tells that the viewer's role adds resources; Filtered that the
	// list is not all there is.
	MayAdd, Filtered bool
	Pager            Pager
}

// Template is "resources".
func (*Resources) Template() string { return "resources" }

// Empty says what to do where the list has nothing.
func (p *Resources) Empty() Empty {
	switch {
	case p.Filtered:
		return Empty{Title: "Nothing fits", Text: "No resource has these words or this type. Try fewer words.", Path: "/resources", Action: "Show all"}
	case p.MayAdd:
		return Empty{
			Title: "No resources yet", Text: "A resource is anything with accounts: a server, a switch, a web site. Add the first one, then the accounts you use there.",
			Path: "/resources/add", Action: "Add resource",
		}
	}
	return Empty{Title: "No resources for you yet", Text: "Resources that somebody shares with you appear here."}
}

// AccountRow is an account in a list.
type AccountRow struct {
	ID, Name, Notes string
	// Version is 0 where there is no password.
	Version    int64
	PasswordAt time.Time
	PasswordBy string
	// AskReason tells that a reason is wanted before the password shows.
	AskReason, CanEdit bool
}

// Resource shows one resource with its accounts.
type Resource struct {
	Base
	ID, Name, Type, Address, Department, Location, Notes string
	// URL is shown; Link is where it leads, empty where it is no link.
	URL, Link            string
	AskReason, CanEdit   bool
	OwnerName, Owner     string
	CreatedAt, ChangedAt time.Time
	Accounts             []AccountRow
}

// Template is "resource".
func (*Resource) Template() string { return "resource" }

// NoAccounts says what to do where there are none.
func (p *Resource) NoAccounts() Empty {
	e := Empty{Title: "No accounts yet", Text: "Add the accounts with which people sign in here, such as root or administrator."}
	if p.CanEdit {
		e.Path, e.Action = "/resources/"+p.ID+"/accounts/add", "Add account"
	}
	return e
}

// ResourceForm adds or edits a resource.
type ResourceForm struct {
	Base
	// ID is the resource's, or for a new one the id that the form will give
	// it, so that sending it twice adds one.
	ID  string
	New bool
	// Revision is the one that was read.
	Revision                                                  int64
	Name, Type, Address, Department, Location, URL, NotesText string
	AskReason                                                 bool
	Types                                                     []string
}

// Template is "resource_form".
func (*ResourceForm) Template() string { return "resource_form" }

// ResourceDelete asks whether a resource shall go.
type ResourceDelete struct {
	Base
	ID, Name, TypedName string
	Accounts            int
}

// Template is "resource_delete".
func (*ResourceDelete) Template() string { return "resource_delete" }

// ResourceTransfer asks who shall own a resource.
type ResourceTransfer struct {
	Base
	ID, Name, To string
	People       []Option
}

// Template is "resource_transfer".
func (*ResourceTransfer) Template() string { return "resource_transfer" }
