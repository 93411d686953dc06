package page_test

import (
	"slices"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/web/page"
)

// samples are all pages with made-up contents, each in the states that
// matter. A new page adds a line here and a function in the file of its noun.
func samples() []page.Page {
	return slices.Concat(
		frameSamples(),
		vaultSamples(),
		doorSamples(),
		profileSamples(),
		userSamples(),
		auditSamples(),
		adminSamples(),
		mailSamples(),
		bounceSamples(),
		dkimSamples(),
		deliverySamples(),
	)
}

// base is what package web would fill in.
func base(title string) page.Base {
	return page.Base{
		Title: title, Organisation: "Example Ltd", Here: "/here?a=1&b=2",
		Me:  &page.Me{Name: "Ana Ruiz", Login: "ana", Role: "Administrator", Initials: "AR"},
		Nav: []page.Place{{Name: "Home", Path: "/", Icon: "home", Current: true}, {Name: "Users", Path: "/users", Icon: "users", Count: 1234}},
	}
}

// bare is base before sign-in.
func bare(title string) page.Base {
	return page.Base{Title: title, Organisation: "Example Ltd", Here: "/", Bare: true}
}

// wrong is b with errors against fields.
func wrong(b page.Base, fields ...string) page.Base {
	var all []fault.FieldError
	for _, f := range fields {
		all = append(all, fault.FieldError{Field: f, Sentence: "The field " + f + " is wrong."})
	}
	b.Errors, b.Alert = page.NewErrors(all), "Some fields need your attention."
	return b
}

func frameSamples() []page.Page {
	dark := base("Home")
	dark.Theme, dark.Notice = "dark", "Saved."
	dark.Banner = &page.Banner{Tone: "bad", Text: "Mail is paused.", More: "The server refuses the sign-in.", Path: "/admin/settings/mail", Action: "Mend it"}
	note := base("Home")
	note.Crumbs = []page.Crumb{{Name: "Admin", Path: "/admin"}}
	note.Banner = &page.Banner{Tone: "note", Text: "Mail does not leave this machine."}
	row := page.AuditRow{Seq: 7, At: noon.Add(-time.Hour), Action: "user.invited", By: "Ana Ruiz", Login: "ana", Kind: "user", Object: "ben"}
	return []page.Page{
		&page.Home{Base: dark, Name: "Ana Ruiz", Waiting: []page.Waiting{{Text: "1 invitation ended", Tone: "bad", Path: "/users", Action: "Look"}}, Recent: []page.AuditRow{row}},
		&page.Home{Base: note, Name: "Ana Ruiz"},
		&page.SignIn{Base: bare("Sign in")},
		&page.SignIn{Base: wrong(bare("Sign in"), "password"), Login: "ana", To: "/users"},
		&page.Prove{Base: base("Confirm"), Login: "ana", Action: "/prove", FieldName: "password", Back: "/users", Again: true},
		&page.Prove{Base: base("Confirm"), Login: "ana", Action: "/users/1/delete", FieldName: "proof", Back: "/users/1", Carried: []page.Carried{{Name: "a", Value: "1"}}, Wrong: "The password is not right."},
		&page.Failure{Base: base("Not found"), Text: "There is nothing here."},
		&page.Failure{Base: bare("Something went wrong"), Text: "The log has the details.", Reference: "abc"},
	}
}

func doorSamples() []page.Page {
	return []page.Page{
		&page.Forgot{Base: bare("Forgot")},
		&page.Forgot{Base: wrong(bare("Forgot"), "login"), Login: "ana"},
		&page.Forgot{Base: bare("Look"), Login: "ana", Sent: true},
		&page.Code{Base: bare("Accept"), Invitation: true},
		&page.Code{Base: wrong(bare("Choose"), "code")},
		&page.Choose{Base: bare("Accept"), Invitation: true, Name: "Ben", Login: "ben", Email: "ben@example.org", Role: "Password User", Code: "abc", MinLength: 12},
		&page.Choose{Base: wrong(bare("Choose"), "password"), Name: "Ben", Login: "ben", Code: "abc", MinLength: 12},
		&page.Setup{Base: bare("Set up"), MinLength: 12},
		&page.Setup{Base: wrong(bare("Set up"), "code", "name", "login", "email", "password", "organisation", "access_url"), Code: "abc", MinLength: 12},
		&page.SetupMail{Base: bare("Mail"), How: "other", CanCapture: true},
		&page.SetupMail{Base: wrong(bare("Mail")), How: "later"},
	}
}

func sessionRows() []page.SessionRow {
	return []page.SessionRow{
		{ID: "1", Name: "Firefox on Windows", From: "192.0.2.1", Current: true, CreatedAt: noon, SeenAt: noon, Expires: noon.Add(time.Hour)},
		{ID: "2", Name: "Safari on iPhone", From: "192.0.2.2", CreatedAt: noon, SeenAt: noon, Expires: noon.Add(time.Hour)},
	}
}

func profileSamples() []page.Page {
	return []page.Page{
		&page.Profile{Base: base("Profile"), Name: "Ana Ruiz", Email: "ana@example.org", Login: "ana", Role: "Administrator", PasswordAt: noon},
		&page.Profile{Base: wrong(base("Profile"), "name", "email")},
		&page.ChangePassword{Base: base("Change password"), Login: "ana", Name: "Ana Ruiz", MinLength: 12},
		&page.ChangePassword{Base: wrong(base("Change password"), "old_password", "password")},
		&page.Sessions{Base: base("Sessions"), Sessions: sessionRows()},
		&page.Sessions{Base: base("Sessions"), Sessions: sessionRows()[:1]},
	}
}

func userSamples() []page.Page {
	options := []page.Option{{Value: "", Label: "Any"}, {Value: "a", Label: "Administrator", Help: "Does all."}}
	rows := []page.UserRow{{ID: "1", Name: "Ben", Login: "ben", Email: "ben@example.org", Role: "Password User", State: page.Tag{Text: "Invited", Tone: "warn"}, CameBack: true}}
	letter := &page.LetterState{ID: "9", State: page.Tag{Text: "Failed", Tone: "bad"}, At: noon, Reply: "550 no", Advice: "Check the address.", Attempts: 2}
	u := page.User{
		CameBack: &page.CameBack{Last: noon, Status: "5.1.1", Said: "550 <script>", LetterPath: "/l"},
		Base:     base("Ben"), ID: "1", Name: "Ben", Login: "ben", Email: "ben@example.org", Role: "Password User", State: page.Tag{Text: "Active", Tone: "good"},
		CreatedAt: noon, Active: true, Owned: 2, Receivers: options, Sessions: sessionRows(),
	}
	me, fixed, disabled, invited, deleting := u, u, u, u, u
	me.Self = true
	fixed.Fixed = "Only a Privileged Administrator manages Privileged Administrators."
	disabled.Active, disabled.Disabled, disabled.Sessions, disabled.Owned = false, true, nil, 0
	invited.Active, invited.Invited, invited.Letter, invited.InviteExpires = false, true, letter, noon.Add(time.Hour)
	deleting.Ask, deleting.Base = "delete", wrong(base("Ben"), "confirm", "hand_over_to")
	return []page.Page{
		&page.Users{Base: base("Users"), Roles: options, States: options, Rows: rows, Pager: page.Pager{First: "/users", Next: "/users?after=x"}},
		&page.Users{Base: base("Users"), Roles: options, States: options, Filtered: true, Text: "zz"},
		&page.UserForm{Base: base("Add a user"), FormID: "0198", Roles: options, CanGiveRole: true},
		&page.UserForm{Base: wrong(base("Edit"), "name", "login", "email", "role"), ID: "1", Roles: options, CanGiveRole: true, Revision: 3},
		&page.UserForm{Base: base("Edit"), ID: "1", CurrentRole: "Administrator"},
		&page.Invited{Base: base("Invited"), ID: "1", Name: "Ben", Email: "b@example.org", Why: "No mail server is set.", Link: "https://x/invite#a", Code: "a-b", Expires: noon, MailPath: "/m", CameBack: &page.CameBack{Last: noon, Status: "5.1.1"}},
		&u, &me, &fixed, &disabled, &invited, &deleting,
	}
}

func auditSamples() []page.Page {
	row := page.AuditRow{Seq: 7, At: noon, Action: "User edited", By: "Ana Ruiz", Login: "ana", Kind: "user", Object: "ben", Outcome: page.Tag{Text: "Done", Tone: "good"}}
	return []page.Page{
		&page.Audit{Base: base("Audit"), Rows: []page.AuditRow{row}, All: true, Actions: []page.Option{{Label: "Any action"}}, Export: "/audit/export.csv", Pager: page.Pager{Next: "/audit?before=7"}},
		&page.Audit{Base: base("Audit"), Filtered: true, Text: "zz"},
		&page.AuditEntry{Base: base("User edited"), AuditRow: row, Code: "user.edited", Door: "Web interface", From: "192.0.2.1", Agent: "Firefox", Request: "r", ObjectPath: "/users/1", Reason: "asked", Detail: []page.AuditDetail{{Name: "Name", Before: "a", After: "b"}, {Name: "Role", Value: "x"}}},
		&page.AuditEntry{Base: base("Session refused"), AuditRow: page.AuditRow{Seq: 8, By: "Nobody signed in"}},
	}
}

func adminSamples() []page.Page {
	logo := base("General")
	logo.Logo = "/logo?v=1"
	return []page.Page{
		&page.Admin{Base: base("Admin"), Version: "1", Groups: []page.AdminGroup{{Title: "Settings", Places: []page.AdminPlace{{Name: "General", Path: "/a", Icon: "building", About: "x"}}}}},
		&page.General{Base: logo, OrganisationName: "Example Ltd", AccessURL: "https://vault.example.org"},
		&page.General{Base: wrong(base("General"), "organisation", "access_url", "logo")},
	}
}
