package page

import "time"

// Profile is what one may change about oneself.
type Profile struct {
	Base
	Name, Email, Login, Role string
	PasswordAt               time.Time
}

// Template names the file.
func (*Profile) Template() string { return "profile" }

// ChangePassword asks for the old and a new password.
type ChangePassword struct {
	Base
	Login, Name string
	MinLength   int
}

// Template names the file.
func (*ChangePassword) Template() string { return "change_password" }

// Sessions are where one is signed in.
type Sessions struct {
	Base
	Sessions []SessionRow
}

// Template names the file.
func (*Sessions) Template() string { return "sessions" }

// SessionRow is one sign-in in one browser.
type SessionRow struct {
	ID, Name, From string
	// Current is the one that looks at the page.
	Current                    bool
	CreatedAt, SeenAt, Expires time.Time
}
