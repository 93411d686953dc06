package page_test

import (
	"time"

	"github.com/sealpost/sealpost/internal/vault"
	"github.com/sealpost/sealpost/internal/web/page"
)

func vaultSamples() []page.Page {
	long := noon.Add(-90 * 24 * time.Hour)
	row := page.AccountRow{ID: "a1", Name: "postgres", Version: 3, PasswordAt: long, PasswordBy: "ana", AskReason: true, CanEdit: true}
	bare := page.AccountRow{ID: "a2", Name: "backup", CanEdit: true}
	use := []page.Use{{Label: "Mail server mail.example.org:587", Path: "/admin/settings/mail"}, {Label: "Elsewhere"}}
	generator := page.Generator{Recipe: vault.Recipe{Kind: "characters", Length: 20, Lower: true, Upper: true, Digits: true, Words: 5, Separator: "-"}}
	opened := generator
	opened.Open, opened.Kind, opened.Bits = true, "words", 66
	refused := generator
	refused.Open, refused.Errors = true, wrong(base(""), "length", "classes", "words", "separator").Errors
	resource := page.Resource{
		Base: base("db-prod-1"), ID: "r1", Name: "db-prod-1", Type: "PostgreSQL", Address: "10.2.0.14", URL: "https://db1/", Link: "https://db1/",
		Notes: "One\ntwo", CanEdit: true, OwnerName: "Ana Ruiz", Owner: "ana", CreatedAt: long, ChangedAt: noon,
	}
	full := resource
	full.Accounts, full.AskReason, full.Department, full.Location = []page.AccountRow{row, bare}, true, "IT", "Vienna"
	plain := resource
	plain.Link, plain.URL, plain.CanEdit = "", "ssh://db1", false
	return []page.Page{
		&page.Resources{Base: base("Resources"), MayAdd: true},
		&page.Resources{Base: base("Resources")},
		&page.Resources{Base: base("Resources"), Text: "x", Filtered: true},
		&page.Resources{
			Base: base("Resources"), MayAdd: true, Total: 2418, Types: []page.Option{{Label: "Any type"}}, Sorts: []page.Option{{Label: "By name"}},
			Rows:  []page.ResourceRow{{ID: "r1", Name: "db-prod-1", Address: "10.2.0.14", Type: "PostgreSQL", Owner: "Ana Ruiz", Accounts: 2, ChangedAt: long}},
			Pager: page.Pager{First: "/resources", Next: "/resources?after=x"},
		},
		&resource, &full, &plain,
		&page.ResourceForm{Base: base("Add resource"), ID: "r1", New: true, Types: []string{"Linux"}},
		&page.ResourceForm{Base: wrong(base("Edit resource"), "name", "type", "url"), ID: "r1", Revision: 4, Name: "x", AskReason: true},
		&page.ResourceDelete{Base: base("Delete resource"), ID: "r1", Name: "db-prod-1", Accounts: 2},
		&page.ResourceDelete{Base: wrong(base("Delete resource"), "typed_name"), ID: "r1", Name: "db-prod-1", Accounts: 1, TypedName: "db"},
		&page.ResourceTransfer{Base: base("Transfer"), ID: "r1", Name: "db-prod-1"},
		&page.ResourceTransfer{Base: wrong(base("Transfer"), "to"), ID: "r1", Name: "db-prod-1", People: []page.Option{{Value: "u1", Label: "Ben"}}},
		&page.Account{Base: base("postgres"), AccountRow: bare, ResourceID: "r1", ResourceName: "db-prod-1"},
		&page.Account{
			Base: base("postgres"), AccountRow: row, ResourceID: "r1", ResourceName: "db-prod-1", Uses: use,
			History: []page.VersionRow{{Version: 3, At: noon, By: "ana", How: "restored", Current: true, Reason: "Rolled back"}, {Version: 2, At: long, By: "ben", How: "set"}},
		},
		&page.AccountForm{Base: base("Add account"), ID: "a1", New: true, ResourceID: "r1", Generator: generator},
		&page.AccountForm{Base: wrong(base("Add account"), "name", "password"), ID: "a1", New: true, ResourceID: "r1", Password: "made", Generator: refused},
		&page.AccountForm{Base: base("Edit account"), ID: "a1", Revision: 2, Name: "postgres"},
		&page.SetPassword{Base: base("Change password"), ID: "a1", Name: "postgres", ResourceName: "db-prod-1", Version: 3, Generator: opened, Uses: use, Password: "made"},
		&page.SetPassword{Base: wrong(base("Set password"), "password"), ID: "a1", Name: "postgres", Generator: generator},
		&page.Reveal{Base: base("Reveal password"), ID: "a1", Name: "postgres", ResourceName: "db-prod-1", Version: 2, Old: true, AskReason: true},
		&page.Reveal{Base: wrong(base("Reveal password"), "reason"), ID: "a1", Name: "postgres", Version: 3},
		&page.Reveal{Base: base("Password"), ID: "a1", Name: "postgres", Shown: true, Password: "<hunter2>", Old: true, Version: 1},
		&page.Restore{Base: base("Restore password"), ID: "a1", Name: "postgres", Version: 2, At: long, By: "ben", Uses: use},
		&page.AccountDelete{Base: base("Delete account"), ID: "a1", Name: "postgres", ResourceName: "db-prod-1", Versions: 3},
		&page.AccountDelete{Base: base("Delete account"), ID: "a1", Name: "postgres", ResourceName: "db-prod-1", Uses: use},
	}
}
