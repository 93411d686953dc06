package vault_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
	"github.com/sealpost/sealpost/internal/vault"
)

func TestSearchingResources(t *testing.T) {
	each(t, func(r *rig) {
		db, err := r.vault.AddResource(r.ctx(), r.ada, vault.NewResource{Fields: vault.Fields{
			Name: "Orakel", Type: "Oracle", Address: "10.2.0.14", Department: "Straßenbau", Location: "Zürich",
			URL: "https://orakel.example.org/console", Notes: "restart on Sundays, 100%_sure\\ok",
		}})
		r.must(err)
		r.account(r.ada, db, "SYSTEM", "geheim-4711")
		sys := r.account(r.ada, db, "scott", "tiger")
		r.add(r.ada, "mail1")
		r.add(r.ben, "Orakel")

		find := func(text string) string {
			r.t.Helper()
			page, err := r.vault.Resources(r.ctx(), r.ada, vault.Filter{Text: text})
			r.must(err)
			if page.Total != len(page.Resources) {
				r.t.Errorf("%q: %d found, %d in all", text, len(page.Resources), page.Total)
			}
			return names(page)
		}
		for text, want := range map[string]string{
			"":              "mail1 Orakel",
			"  ":            "mail1 Orakel",
			"ORAK":          "Orakel",
			"oracle":        "Orakel",
			"2.0.1":         "Orakel",
			"STRAẞENBAU":    "Orakel",
			"ZÜRICH":        "Orakel",
			"zu\u0308rich":  "Orakel",
			"console":       "Orakel",
			"sundays":       "Orakel",
			"system":        "Orakel",
			"Scott Zürich":  "Orakel", // each word somewhere
			"scott mail1":   "",
			"example.org":   "mail1 Orakel",
			"%":             "Orakel",
			"_":             "Orakel",
			`\`:             "Orakel",
			"100%_sure\\ok": "Orakel",
			"o_akel":        "",
			"o%l":           "",
			"geheim":        "", // passwords are not looked at
			"tiger":         "",
		} {
			if got := find(text); got != want {
				r.t.Errorf("searching %q: got %q, want %q", text, got, want)
			}
		}

		// What the search knows follows what is there.
		_, err = r.vault.EditAccount(r.ctx(), r.ada, sys.ID, "hopper", "", 0)
		r.must(err)
		if find("scott") != "" || find("hopper") != "Orakel" {
			r.t.Error("the search does not know an account's new name")
		}
		r.must(r.vault.DeleteAccount(r.ctx(), r.ada, sys.ID))
		if find("hopper") != "" {
			r.t.Error("the search knows a deleted account")
		}
		f := db.Fields
		f.Notes, f.Location = "", "Bern"
		_, err = r.vault.EditResource(r.ctx(), r.ada, db.ID, f, 0)
		r.must(err)
		if find("sundays") != "" || find("zürich") != "" || find("bern system") != "Orakel" {
			r.t.Error("the search does not know an edit")
		}

		page, err := r.vault.Resources(r.ctx(), r.ada, vault.Filter{Type: " ORACLE "})
		r.must(err)
		if names(page) != "Orakel" {
			r.t.Errorf("of type oracle: %q", names(page))
		}
	})
}

func TestPickingAnAccount(t *testing.T) {
	each(t, func(r *rig) {
		mail, db := r.add(r.ada, "mail1"), r.add(r.ada, "db1")
		r.account(r.ada, mail, "relay", "x")
		r.account(r.ada, mail, "admin", "x")
		r.account(r.ada, db, "admin", "x")
		r.account(r.ben, r.add(r.ben, "mail1"), "relay", "x")
		for text, want := range map[string]string{
			"":            "db1/admin mail1/admin mail1/relay",
			"relay":       "mail1/relay",
			"RELAY mail1": "mail1/relay",
			"admin":       "db1/admin mail1/admin",
			"mail1":       "mail1/admin mail1/relay",
			"relay db1":   "",
			"%":           "",
		} {
			found, err := r.vault.SearchAccounts(r.ctx(), r.ada, text, 10)
			r.must(err)
			var got []string
			for _, a := range found {
				got = append(got, a.ResourceName+"/"+a.Name)
			}
			if strings.Join(got, " ") != want {
				r.t.Errorf("picking %q: got %q, want %q", text, got, want)
			}
		}
		found, err := r.vault.SearchAccounts(r.ctx(), r.ada, "", -5)
		r.must(err)
		if len(found) != 1 {
			r.t.Errorf("a limit of nothing gives %d", len(found))
		}
	})
}

func TestWalkingThroughPages(t *testing.T) {
	each(t, func(r *rig) {
		for i, name := range []string{"b", "Ä", "a 1", "a-2", "A.3", "z", "ß", "_", "0", "~"} {
			r.clock.Advance(time.Duration(i%3) * time.Second) // some share a moment
			f := vault.Fields{Name: name, Type: []string{"Linux", "linux", "Windows", "my own"}[i%4]}
			_, err := r.vault.AddResource(r.ctx(), r.ada, vault.NewResource{Fields: f})
			r.must(err)
		}
		all, err := r.vault.Resources(r.ctx(), r.ada, vault.Filter{})
		r.must(err)
		less := map[string]func(a, b vault.Resource) int{
			"name": func(a, b vault.Resource) int {
				return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
			},
			"type": func(a, b vault.Resource) int {
				return strings.Compare(strings.ToLower(a.Type), strings.ToLower(b.Type))
			},
			"changed": func(a, b vault.Resource) int {
				return a.ChangedAt.Compare(b.ChangedAt)
			},
		}
		for _, sort := range []string{"name", "-name", "type", "-type", "changed", "-changed"} {
			compare := less[strings.TrimPrefix(sort, "-")]
			for _, limit := range []int{1, 3, 10, 500} {
				var walked []vault.Resource
				f := vault.Filter{Sort: sort, Limit: limit}
				for {
					page, err := r.vault.Resources(r.ctx(), r.ada, f)
					r.must(err)
					if page.Total != len(all.Resources) || len(page.Resources) > limit {
						r.t.Fatalf("%s by %d: %d of %d", sort, limit, len(page.Resources), page.Total)
					}
					walked = append(walked, page.Resources...)
					if f.Cursor = page.Next; f.Cursor == "" {
						break
					}
				}
				ordered := slices.IsSortedFunc(walked, func(a, b vault.Resource) int {
					if strings.HasPrefix(sort, "-") {
						a, b = b, a
					}
					return compare(a, b)
				})
				seen := map[string]bool{}
				for _, one := range walked {
					seen[one.ID] = true
				}
				if !ordered || len(walked) != len(all.Resources) || len(seen) != len(walked) {
					r.t.Errorf("%s by %d: walked %q", sort, limit, names(vault.Page{Resources: walked}))
				}
			}
		}
	})
}

// injections are texts that meant something to a statement once.
var injections = []string{
	"'", "''", `"`, "`", ";", "--", "/*", "*/", "\\", "%", "_", "%%", "?", "$1", "$99", ":a", "@a", "#",
	"' OR '1'='1", "' OR 1=1 --", "x' UNION SELECT sealed FROM vault_version --", "'; DROP TABLE vault_resource; --",
	"1); DELETE FROM vault_account; --", "name; DROP TABLE vault_version", "(SELECT 1)", "r.name, (SELECT 1)", "CASE WHEN 1=1 THEN r.id END",
	"name_key", "-name_key", "--name", "name DESC", "sleep(5)", "pg_sleep(5)", "' || pg_sleep(5) || '", "randomblob(1000000000)",
	"\x00", "a\x00b", "\xff\xfe", "\u0000", "\u202e", strings.Repeat("a", 100_000), strings.Repeat("% ", 5_000), strings.Repeat(`\`, 1_000),
	"E'\\x27'", "\u02bc OR 1=1", "＇ OR 1=1", "admin'/**/OR/**/1=1#", "{}", "[]", "null", "NaN", "-1", "1e309", "99999999999999999999",
}

func TestSearchTextIsData(t *testing.T) {
	each(t, func(r *rig) {
		mine := r.add(r.ada, "plain")
		r.account(r.ada, mine, "root", "one")
		hidden := r.add(r.ben, "hidden")
		r.account(r.ben, hidden, "boss", "secret-of-ben")
		before := r.dump("vault_")

		check := func(what string, err error, resources []vault.Resource, accounts []vault.Account) {
			r.t.Helper()
			if err != nil && fault.Is(err, fault.KindInternal) {
				r.t.Errorf("%.60q: %v", what, err)
			}
			for _, one := range resources {
				if one.ID != mine.ID {
					r.t.Errorf("%.60q shows %+v", what, one)
				}
			}
			for _, one := range accounts {
				if one.ResourceID != mine.ID {
					r.t.Errorf("%.60q shows %+v", what, one)
				}
			}
		}
		cursor := func(parts ...string) string {
			text, err := json.Marshal(parts)
			r.must(err)
			return base64.RawURLEncoding.EncodeToString(text)
		}
		for _, bad := range injections {
			for _, f := range []vault.Filter{
				{Text: bad},
				{Text: "plain " + bad},
				{Type: bad},
				{Sort: bad},
				{Sort: "name " + bad},
				{Cursor: bad},
				{Cursor: cursor(bad)},
				{Cursor: cursor("name", bad, bad)},
				{Sort: "name", Cursor: cursor("name", bad, bad)},
				{Sort: "type", Cursor: cursor("type", bad, bad, bad)},
				{Sort: "-changed", Cursor: cursor("-changed", bad, bad)},
				{Cursor: cursor("name", "a", "b", bad)},
				{Text: bad, Type: bad, Sort: bad, Cursor: bad, Limit: -1},
			} {
				page, err := r.vault.Resources(r.ctx(), r.ada, f)
				check(fmt.Sprintf("%+v", f), err, page.Resources, nil)
			}
			accounts, err := r.vault.SearchAccounts(r.ctx(), r.ada, bad, 10)
			check("picking "+bad, err, nil, accounts)
			one, err := r.vault.FindResource(r.ctx(), r.ada, "ada", bad)
			check("finding "+bad, err, nil, nil)
			if err == nil {
				r.t.Errorf("%.60q is a resource: %+v", bad, one)
			}
			_, err = r.vault.FindResource(r.ctx(), r.ada, bad, "plain")
			check("owner "+bad, err, nil, nil)
			_, err = r.vault.FindAccount(r.ctx(), r.ada, mine.ID, bad)
			check("finding account "+bad, err, nil, nil)
			_, err = r.vault.FindAccount(r.ctx(), r.ada, bad, "root")
			check("finding under "+bad, err, nil, nil)
			check("transfer to "+bad, r.vault.TransferResource(r.ctx(), r.ada, mine.ID, bad), nil, nil)
		}
		if after := r.dump("vault_"); after != before {
			r.t.Errorf("searching changed the vault:\n%s", after)
		}
	})
}

// TestOddNamesAreKept stores what the corpus has and finds it again.
func TestOddNamesAreKept(t *testing.T) {
	each(t, func(r *rig) {
		for _, bad := range injections {
			added, err := r.vault.AddResource(r.ctx(), r.ada, vault.NewResource{Fields: vault.Fields{Name: bad, Type: bad, Notes: bad}})
			if fault.Is(err, fault.KindInvalid) || fault.Is(err, fault.KindConflict) {
				continue
			}
			r.must(err)
			found, err := r.vault.FindResource(r.ctx(), r.ada, "ada", bad)
			r.must(err)
			page, err := r.vault.Resources(r.ctx(), r.ada, vault.Filter{Text: bad, Limit: 500})
			r.must(err)
			if found.ID != added.ID || !slices.ContainsFunc(page.Resources, func(one vault.Resource) bool { return one.ID == added.ID }) {
				r.t.Errorf("%.60q was added and not found", bad)
			}
			r.must(r.vault.DeleteResource(r.ctx(), r.ada, added.ID, bad))
		}
	})
}

func TestACursorBelongsToItsOrder(t *testing.T) {
	each(t, func(r *rig) {
		for i := range 3 {
			r.add(r.ada, fmt.Sprint("db", i))
		}
		page, err := r.vault.Resources(r.ctx(), r.ada, vault.Filter{Sort: "name", Limit: 1})
		r.must(err)
		for _, sort := range []string{"-name", "type", "changed"} {
			_, err := r.vault.Resources(r.ctx(), r.ada, vault.Filter{Sort: sort, Cursor: page.Next})
			r.wantField(err, "cursor", "a cursor of another order than "+sort)
		}
		// A cursor shows no more to who may not see.
		theirs, err := r.vault.Resources(r.ctx(), r.ben, vault.Filter{Sort: "name", Cursor: page.Next})
		r.must(err)
		if len(theirs.Resources) != 0 || theirs.Total != 0 {
			r.t.Errorf("ben sees %q", names(theirs))
		}
	})
}

// TestASearchReadsItsIndexAlone holds the plan that keeps a search quick among
// 100,000 accounts: what it looks at stands in one index, in its order.
func TestASearchReadsItsIndexAlone(t *testing.T) {
	r := newRig(t, storetest.Open(t, store.SQLite), storetest.NewClock().Now)
	for sort, index := range map[string]string{
		"name": "COVERING INDEX vault_resource_search (owner_id=?)", "type": "INDEX vault_resource_by_type (owner_id=?)",
		"-changed": "INDEX vault_resource_by_change (owner_id=?)",
	} {
		r.must(r.db.View(r.ctx(), func(tx *store.Tx) error {
			plan, err := vault.SearchPlan(tx, r.ada, vault.Filter{Text: "x y", Sort: sort})
			if !strings.Contains(plan, "LIST SUBQUERY") || !strings.Contains(plan, index) || strings.Contains(plan, "SCAN") {
				t.Errorf("sorted by %s:\n%s\nwant %s", sort, plan, index)
			}
			return err
		}))
	}
}

func TestTidyingTwiceIsTidyingOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		f := vault.Fields{
			Name: text.Draw(t, "name"), Type: text.Draw(t, "type"), Address: text.Draw(t, "address"), Notes: text.Draw(t, "notes"),
		}
		f, err := f.Tidy()
		if err != nil {
			return
		}
		if again, err := f.Tidy(); err != nil || again != f {
			t.Fatalf("tidied %+v, again %+v: %v", f, again, err)
		}
		if key := vault.NameKey(f.Name); key == "" || vault.NameKey(strings.ToUpper(f.Name)) == "" {
			t.Fatalf("the key of %q is %q", f.Name, key)
		}
	})
}
