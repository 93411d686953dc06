package page

import "time"

// Users lists users.
type Users struct {
	Base
	Text, Role, State string
	Roles, States     []Option
	Rows              []UserRow
	// Filtered tells that more users may exist than fit.
	Filtered bool
	Pager    Pager
}

// Template names the file.
func (*Users) Template() string { return "users" }

// UserRow is a user in the list.
type UserRow struct {
	ID, Name, Login, Email, Role string
	State                        Tag
	LastSignIn                   time.Time
	// CameBack tells that mail to the address came back.
	CameBack bool
}

// UserForm adds or changes a user.
type UserForm struct {
	Base
	// ID is empty for a new user, whose form has FormID in its place.
	ID, FormID               string
	Name, Login, Email, Role string
	Roles                    []Option
	// CanGiveRole is false for oneself; CurrentRole is shown then.
	CanGiveRole bool
	CurrentRole string
	Revision    int64
}

// Template names the file.
func (*UserForm) Template() string { return "user_form" }

// Invited shows a link once where no letter brings it.
type Invited struct {
	Base
	ID, Name, Email string
	// Why says why no letter leaves.
	Why        string
	Link, Code string
	Expires    time.Time
	// MailPath is where mail is set up, for who may.
	MailPath string
	// CameBack tells that mail to the address came back before.
	CameBack *CameBack
}

// Template names the file.
func (*Invited) Template() string { return "invited" }

// User is the page of one user.
type User struct {
	Base
	ID, Name, Login, Email, Role                     string
	State                                            Tag
	CreatedAt, LastSignIn, PasswordAt, InviteExpires time.Time
	Active, Disabled, Invited                        bool
	// Self tells that it is oneself; Fixed why the user cannot be changed.
	Self     bool
	Fixed    string
	Letter   *LetterState
	Sessions []SessionRow
	// CameBack tells that mail to the address came back; nil where none did.
	CameBack *CameBack
	// Owned counts what the user owns; Receivers may take it over.
	Owned     int
	Receivers []Option
	// Ask names the dialog that is open; the rest is what was typed there.
	Ask, Confirm, HandOverTo string
}

// Template names the file.
func (*User) Template() string { return "user" }

// CameBack is what is known of an address that mail came back from.
type CameBack struct {
	Last time.Time
	// Refused tells that the mail server refused the address at once.
	Refused      bool
	Status, Said string
	// LetterPath leads to the letter, for who may see it.
	LetterPath string
}

// LetterState is how a letter stands.
type LetterState struct {
	ID            string
	State         Tag
	At            time.Time
	Reply, Advice string
	Attempts      int
}
