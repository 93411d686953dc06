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
		mailSamples(),
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
	row := page.AuditRow{Seq: 7, At: noon.Add(-time.Hour), Action: "user.invited", By: "ana", Kind: "user", Object: "ben"}
	return []page.Page{
		&page.Home{Base: dark, Name: "Ana Ruiz", Recent: []page.AuditRow{row}},
		&page.Home{Base: note, Name: "Ana Ruiz"},
		&page.SignIn{Base: bare("Sign in")},
		&page.SignIn{Base: wrong(bare("Sign in"), "password"), Login: "ana", To: "/users"},
		&page.Prove{Base: base("Confirm"), Login: "ana", Action: "/prove", FieldName: "password", Back: "/users", Again: true},
		&page.Prove{Base: base("Confirm"), Login: "ana", Action: "/users/1/delete", FieldName: "proof", Back: "/users/1", Carried: []page.Carried{{Name: "a", Value: "1"}}, Wrong: "The password is not right."},
		&page.Failure{Base: base("Not found"), Text: "There is nothing here."},
		&page.Failure{Base: bare("Something went wrong"), Text: "The log has the details.", Reference: "abc"},
	}
}
