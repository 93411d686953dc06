package page

// SignIn is the page before all others.
type SignIn struct {
	Base
	Login string
	// To is where to go afterwards; empty means Home.
	To string
}

// Template names the file.
func (*SignIn) Template() string { return "sign_in" }

// Prove asks who is signed in for the password once more.
type Prove struct {
	Base
	Login string
	// Action is where the form goes, FieldName the password's name in it.
	Action, FieldName string
	// Carried is the form that is sent again with the proof.
	Carried []Carried
	// Back is where to go without one, and after it where nothing is carried.
	Back string
	// Again tells that the form must be filled in anew.
	Again bool
	// Wrong is why the proof before was not taken.
	Wrong string
}

// Carried is one field of the form that is sent again.
type Carried struct{ Name, Value string }

// Template names the file.
func (*Prove) Template() string { return "prove" }

// Forgot asks whom a link to a new password goes to.
type Forgot struct {
	Base
	Login string
	// Sent tells that the request was taken, whatever came of it.
	Sent bool
}

// Template names the file.
func (*Forgot) Template() string { return "forgot" }

// Code asks for the code of a one-time link.
type Code struct {
	Base
	// Invitation tells an invitation from a lost password.
	Invitation bool
}

// Template names the file.
func (*Code) Template() string { return "code" }

// Choose asks who holds a one-time link for their new password.
type Choose struct {
	Base
	Invitation               bool
	Name, Login, Email, Role string
	// Code is what was typed or linked.
	Code      string
	MinLength int
}

// Template names the file.
func (*Choose) Template() string { return "choose" }
