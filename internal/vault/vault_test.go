package vault_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/vault"
)

func TestALifeOfAResource(t *testing.T) {
	each(t, func(r *rig) {
		added, err := r.vault.AddResource(r.ctx(), r.ada, vault.NewResource{Fields: vault.Fields{
			Name: "  db-prod   1 ", Type: "PostgreSQL", Address: "10.2.0.14", Department: "Data", Location: "Berlin",
			URL: "https://db.example.org/console", Notes: "first line\r\nsecond line\r\n",
		}})
		r.must(err)
		if added.Name != "db-prod 1" || added.Notes != "first line\nsecond line" || added.OwnerLogin != "ada" || !added.CanEdit || added.Revision != 1 {
			r.t.Errorf("added %+v", added)
		}
		r.audited("ada|resource.added|db-prod 1||type: PostgreSQL; address: 10.2.0.14; owner: ada")
		a := r.account(r.ada, added, "postgres", "tulip-9")

		r.clock.Advance(time.Minute)
		fields := added.Fields
		fields.Name, fields.Notes, fields.AskReason = "db-prod-1", "the door code is 4711", true
		edited, err := r.vault.EditResource(r.ctx(), r.ada, added.ID, fields, added.Revision)
		r.must(err)
		if edited.Name != "db-prod-1" || edited.Revision != 2 || edited.Accounts != 1 || !edited.ChangedAt.Equal(r.clock.Now()) {
			r.t.Errorf("edited %+v", edited)
		}
		r.audited(`ada|resource.edited|db-prod-1||name: "db-prod 1" to "db-prod-1"; asks for a reason: "no" to "yes"; notes: changed`)

		// The same again changes nothing and leaves no entry.
		same, err := r.vault.EditResource(r.ctx(), r.ada, added.ID, fields, edited.Revision)
		r.must(err)
		if same.Revision != 2 {
			r.t.Errorf("an edit of nothing counts as revision %d", same.Revision)
		}
		_, err = r.vault.EditResource(r.ctx(), r.ada, added.ID, added.Fields, 1)
		r.want(err, fault.KindConflict, "an edit of an old revision")

		err = r.vault.DeleteResource(r.ctx(), r.ada, added.ID, "db-prod")
		r.wantField(err, "typed_name", "a name half typed")
		r.must(r.vault.DeleteResource(r.ctx(), r.ada, added.ID, " db-prod-1 "))
		r.audited("ada|resource.deleted|db-prod-1||accounts: 1")
		_, err = r.vault.Account(r.ctx(), r.ada, a.ID)
		r.want(err, fault.KindNotFound, "the account under a deleted resource")
		if left := r.dump("vault_"); left != "" {
			r.t.Errorf("left in the vault: %s", left)
		}
	})
}

func TestALifeOfAnAccount(t *testing.T) {
	each(t, func(r *rig) {
		db := r.add(r.ada, "db1")
		a, err := r.vault.AddAccount(r.ctx(), r.ada, db.ID, vault.NewAccount{Name: "root", Notes: "console only"})
		r.must(err)
		if a.Version != 0 || !a.PasswordAt.IsZero() || a.ResourceName != "db1" || !a.CanEdit {
			r.t.Errorf("added %+v", a)
		}
		_, err = r.vault.Reveal(r.ctx(), r.ada, a.ID, 0, vault.ShowIt, "")
		if got := r.want(err, fault.KindNotFound, "an account without a password"); !strings.Contains(got, "no password yet") {
			r.t.Errorf("it says %q", got)
		}

		a, err = r.vault.SetPassword(r.ctx(), r.ada, a.ID, secret.New("first"), "set up", 0)
		r.must(err)
		r.audited("ada|password.set|db1 / root|set up|version: 1")
		a, err = r.vault.EditAccount(r.ctx(), r.ada, a.ID, "toor", "", a.Revision)
		r.must(err)
		r.audited(`ada|account.edited|db1 / toor||name: "root" to "toor"; notes: changed`)
		if a.Version != 1 || a.PasswordBy != "ada" || a.Revision != 2 {
			r.t.Errorf("edited %+v", a)
		}
		if got := r.reveal(r.ada, a, 0); got != "first" {
			r.t.Errorf("revealed %q", got)
		}
		_, err = r.vault.EditAccount(r.ctx(), r.ada, a.ID, "x", "", 1)
		r.want(err, fault.KindConflict, "an edit of an old revision")
		found, err := r.vault.FindAccount(r.ctx(), r.ada, db.ID, "TOOR")
		r.must(err)
		if found.ID != a.ID {
			r.t.Errorf("found %+v", found)
		}

		r.must(r.vault.DeleteAccount(r.ctx(), r.ada, a.ID))
		r.audited("ada|account.deleted|db1 / toor||passwords: 1")
		accounts, err := r.vault.Accounts(r.ctx(), r.ada, db.ID)
		r.must(err)
		if len(accounts) != 0 || strings.Contains(r.dump("vault_"), "toor") {
			r.t.Errorf("the account left something: %+v", accounts)
		}
	})
}

func TestAPasswordHasAHistory(t *testing.T) {
	each(t, func(r *rig) {
		a := r.account(r.ada, r.add(r.ada, "db1"), "root", "one")
		r.clock.Advance(time.Hour)
		_, err := r.vault.SetPassword(r.ctx(), r.ada, a.ID, secret.New("two"), "  it\nleaked ", 1)
		r.must(err)
		r.clock.Advance(time.Hour)
		a, err = r.vault.Restore(r.ctx(), r.ada, a.ID, 1, "it had not")
		r.must(err)
		r.audited("ada|password.restored|db1 / root|it had not|version: 3; from version: 1")
		if a.Version != 3 || !a.PasswordAt.Equal(r.clock.Now()) {
			r.t.Errorf("restored %+v", a)
		}
		for version, want := range map[int64]string{0: "one", 1: "one", 2: "two", 3: "one"} {
			if got := r.reveal(r.ada, a, version); got != want {
				r.t.Errorf("version %d is %q, want %q", version, got, want)
			}
		}
		history, err := r.vault.History(r.ctx(), r.ada, a.ID)
		r.must(err)
		if len(history) != 3 {
			r.t.Fatalf("history %+v", history)
		}
		want := []vault.Version{
			{Version: 3, At: r.clock.Now(), By: "ada", Reason: "it had not", How: "restored", Current: true},
			{Version: 2, At: r.clock.Now().Add(-time.Hour), By: "ada", Reason: "it leaked", How: "set"},
			{Version: 1, At: r.clock.Now().Add(-2 * time.Hour), By: "ada", How: "set"},
		}
		for i := range want {
			if history[i] != want[i] {
				r.t.Errorf("history:\n got %+v\nwant %+v", history[i], want[i])
			}
		}
		_, err = r.vault.Restore(r.ctx(), r.ada, a.ID, 3, "")
		r.want(err, fault.KindConflict, "restoring the current one")
		for _, version := range []int64{-1, 0, 4} {
			_, err = r.vault.Restore(r.ctx(), r.ada, a.ID, version, "")
			r.want(err, fault.KindNotFound, "restoring what never was")
		}
		_, err = r.vault.Reveal(r.ctx(), r.ada, a.ID, 4, vault.CopyIt, "")
		r.want(err, fault.KindNotFound, "revealing what never was")
	})
}

func TestARevealIsOnRecordFirst(t *testing.T) {
	each(t, func(r *rig) {
		a := r.account(r.ada, r.add(r.ada, "db1"), "root", "one")
		r.set(r.ada, a, "two")
		if got := r.reveal(r.ada, a, 1); got != "one" {
			r.t.Errorf("revealed %q", got)
		}
		r.audited("ada|password.revealed|db1 / root||version: 1")
		pw, err := r.vault.Reveal(r.ctx(), r.ada, a.ID, 0, vault.CopyIt, "night shift")
		r.must(err)
		if pw.Reveal() != "two" {
			r.t.Errorf("copied %q", pw.Reveal())
		}
		r.audited("ada|password.copied|db1 / root|night shift|version: 2")

		r.exec(`ALTER TABLE audit_entry RENAME TO audit_gone`)
		for _, how := range []string{vault.ShowIt, vault.CopyIt} {
			for _, version := range []int64{0, 1, 2} {
				pw, err := r.vault.Reveal(r.ctx(), r.ada, a.ID, version, how, "")
				if err == nil || !pw.IsZero() {
					r.t.Errorf("%s of version %d without a record: got a password: %v, error %v", how, version, !pw.IsZero(), err)
				}
			}
		}
		_, err = r.vault.SetPassword(r.ctx(), r.ada, a.ID, secret.New("three"), "", 0)
		r.want(err, fault.KindInternal, "setting a password without a record")
		_, err = r.vault.AddAccount(r.ctx(), r.ada, a.ResourceID, vault.NewAccount{Name: "ghost"})
		r.want(err, fault.KindInternal, "adding an account without a record")

		r.exec(`ALTER TABLE audit_gone RENAME TO audit_entry`)
		if got := r.reveal(r.ada, a, 0); got != "two" {
			r.t.Errorf("afterwards the password is %q", got)
		}
		accounts, err := r.vault.Accounts(r.ctx(), r.ada, a.ResourceID)
		r.must(err)
		if len(accounts) != 1 {
			r.t.Errorf("an account was added without a record: %+v", accounts)
		}
	})
}

func TestAskingForAReason(t *testing.T) {
	each(t, func(r *rig) {
		db := r.add(r.ada, "db1")
		a := r.account(r.ada, db, "root", "one")
		fields := db.Fields
		fields.AskReason = true
		_, err := r.vault.EditResource(r.ctx(), r.ada, db.ID, fields, 0)
		r.must(err)
		before := len(r.entries())
		for _, how := range []string{vault.ShowIt, vault.CopyIt} {
			for _, reason := range []string{"", "  ", "\n\t"} {
				pw, err := r.vault.Reveal(r.ctx(), r.ada, a.ID, 0, how, reason)
				r.wantField(err, "reason", how+" without a reason")
				if !pw.IsZero() {
					r.t.Errorf("%s without a reason gave the password", how)
				}
			}
		}
		if len(r.entries()) != before {
			r.t.Error("a refused reveal is on record as one")
		}
		got, err := r.vault.Account(r.ctx(), r.ada, a.ID)
		r.must(err)
		if !got.AskReason {
			r.t.Error("the account does not tell that a reason is asked for")
		}
		_, err = r.vault.Reveal(r.ctx(), r.ada, a.ID, 0, vault.ShowIt, "ticket 12")
		r.must(err)
		r.audited("ada|password.revealed|db1 / root|ticket 12|version: 1")
		_, err = r.vault.Reveal(r.ctx(), r.ada, a.ID, 0, "print", "ticket 12")
		r.want(err, fault.KindInternal, "a third way out")
	})
}

func TestWhatIsUsedStays(t *testing.T) {
	each(t, func(r *rig) {
		db := r.add(r.ada, "db1")
		r.account(r.ada, db, "admin", "x")
		a := r.account(r.ada, db, "relay", "one")
		r.used[a.ID] = true
		uses, err := r.vault.Uses(r.ctx(), r.ada, a.ID)
		r.must(err)
		if len(uses) != 1 || uses[0].Path != "/admin/settings/mail" {
			r.t.Errorf("uses %+v", uses)
		}
		for what, err := range map[string]error{
			"its account":  r.vault.DeleteAccount(r.ctx(), r.ada, a.ID),
			"its resource": r.vault.DeleteResource(r.ctx(), r.ada, db.ID, "db1"),
		} {
			if fault.CodeOf(err) != fault.CodeInUse || !strings.Contains(fault.Sentence(err), "relay is used by: Mail server smtp.example.org:587") {
				r.t.Errorf("deleting %s: %v", what, err)
			}
		}
		// It can change all the same, and the next connection has the new one.
		r.set(r.ada, a, "two")
		login, pw, version, err := r.vault.CurrentCredential(r.ctx(), a.ID)
		r.must(err)
		if login != "relay" || pw.Reveal() != "two" || version != 2 {
			r.t.Errorf("credential %s %s %d", login, pw.Reveal(), version)
		}
		r.used[a.ID] = false
		r.must(r.vault.DeleteResource(r.ctx(), r.ada, db.ID, "db1"))
		_, _, _, err = r.vault.CurrentCredential(r.ctx(), a.ID)
		r.want(err, fault.KindNotFound, "the credential of what is gone")
	})
}

func TestDeletingAndGivingAwayAskForAFreshProof(t *testing.T) {
	each(t, func(r *rig) {
		db := r.add(r.ada, "db1")
		a := r.account(r.ada, db, "root", "one")
		r.clock.Advance(identity.ProofLife + time.Second)
		for what, err := range map[string]error{
			"deleting an account":    r.vault.DeleteAccount(r.ctx(), r.ada, a.ID),
			"deleting a resource":    r.vault.DeleteResource(r.ctx(), r.ada, db.ID, "db1"),
			"giving a resource away": r.vault.TransferResource(r.ctx(), r.ada, db.ID, r.ben.UserID),
		} {
			if fault.CodeOf(err) != fault.CodeReauthenticate {
				r.t.Errorf("%s: %v", what, err)
			}
		}
		r.ada.Proved = r.clock.Now()
		r.must(r.vault.DeleteAccount(r.ctx(), r.ada, a.ID))
		r.must(r.vault.DeleteResource(r.ctx(), r.ada, db.ID, "db1"))
	})
}

func TestNamesAreUniqueWhereTheyBelong(t *testing.T) {
	each(t, func(r *rig) {
		db := r.add(r.ada, "Gerät 1")
		r.add(r.ben, "Gerät 1") // to ben the other one is not there
		other := r.add(r.ada, "other")
		for _, name := range []string{"gerät 1", "GERÄT  1", "Gera\u0308t 1"} {
			_, err := r.vault.AddResource(r.ctx(), r.ada, vault.NewResource{Fields: vault.Fields{Name: name}})
			r.want(err, fault.KindConflict, "a second "+name)
			r.wantField(err, "name", "a second "+name)
			_, err = r.vault.EditResource(r.ctx(), r.ada, other.ID, vault.Fields{Name: name}, 0)
			r.wantField(err, "name", "renaming to "+name)
		}
		a := r.account(r.ada, db, "root", "")
		r.account(r.ada, other, "root", "")
		b := r.account(r.ada, db, "admin", "")
		_, err := r.vault.AddAccount(r.ctx(), r.ada, db.ID, vault.NewAccount{Name: "ROOT"})
		r.wantField(err, "name", "a second account root")
		_, err = r.vault.EditAccount(r.ctx(), r.ada, b.ID, "Root", "", 0)
		r.wantField(err, "name", "renaming to Root")
		// One's own name in another spelling is no second one.
		_, err = r.vault.EditAccount(r.ctx(), r.ada, a.ID, "Root", "", 0)
		r.must(err)
		found, err := r.vault.FindResource(r.ctx(), r.ada, "ADA", "gerät 1")
		r.must(err)
		if found.ID != db.ID {
			r.t.Errorf("found %+v", found)
		}
		_, err = r.vault.FindResource(r.ctx(), r.ada, "ben", "gerät 1")
		r.want(err, fault.KindNotFound, "finding ben's")
	})
}

func TestAFormSentTwiceAddsOne(t *testing.T) {
	each(t, func(r *rig) {
		form := vault.NewResource{ID: store.NewID(), Fields: vault.Fields{Name: "db1"}}
		first, err := r.vault.AddResource(r.ctx(), r.ada, form)
		r.must(err)
		again, err := r.vault.AddResource(r.ctx(), r.ada, form)
		r.must(err)
		if first != again || first.ID != form.ID {
			r.t.Errorf("first %+v, again %+v", first, again)
		}
		_, err = r.vault.AddResource(r.ctx(), r.ben, form)
		r.want(err, fault.KindConflict, "somebody else's form")
		form.Name = "db2"
		_, err = r.vault.AddResource(r.ctx(), r.ada, form)
		r.want(err, fault.KindConflict, "an old form with another name")
		form.ID = "1; DROP TABLE vault_resource"
		_, err = r.vault.AddResource(r.ctx(), r.ada, form)
		r.wantField(err, "id", "a damaged form")

		account := vault.NewAccount{ID: store.NewID(), Name: "root", Password: secret.New("one")}
		one, err := r.vault.AddAccount(r.ctx(), r.ada, first.ID, account)
		r.must(err)
		two, err := r.vault.AddAccount(r.ctx(), r.ada, first.ID, account)
		r.must(err)
		if one != two || two.Version != 1 {
			r.t.Errorf("first %+v, again %+v", one, two)
		}
		changed := account
		changed.Password = secret.New("other")
		_, err = r.vault.AddAccount(r.ctx(), r.ada, first.ID, changed)
		r.wantField(err, "password", "an old form with another password")
		theirs := r.add(r.ben, "db1")
		_, err = r.vault.AddAccount(r.ctx(), r.ben, theirs.ID, account)
		r.want(err, fault.KindConflict, "somebody else's form")
		if added := strings.Count(strings.Join(r.entries(), "\n"), "|account.added|"); added != 1 {
			r.t.Errorf("%d accounts on record", added)
		}

		// The answer to a new password was lost, and the form is sent again.
		_, err = r.vault.SetPassword(r.ctx(), r.ada, one.ID, secret.New("two"), "", 1)
		r.must(err)
		a, err := r.vault.SetPassword(r.ctx(), r.ada, one.ID, secret.New("two"), "", 1)
		r.must(err)
		if a.Version != 2 {
			r.t.Errorf("the second sending made version %d", a.Version)
		}
		_, err = r.vault.SetPassword(r.ctx(), operator, one.ID, secret.New("two"), "", 1)
		r.want(err, fault.KindConflict, "somebody else with the same password")
	})
}

func TestWhatIsWrongWithAForm(t *testing.T) {
	each(t, func(r *rig) {
		long := func(n int) string { return strings.Repeat("ä", n) }
		for _, tt := range []struct {
			fields vault.Fields
			field  string
		}{
			{vault.Fields{Name: " \t"}, "name"},
			{vault.Fields{Name: long(201)}, "name"},
			{vault.Fields{Name: "a\x00b"}, "name"},
			{vault.Fields{Name: "a\u202eb"}, "name"},
			{vault.Fields{Name: "a\u200bb"}, "name"},
			{vault.Fields{Name: "a\xff"}, "name"},
			{vault.Fields{Name: "ok", Type: long(101)}, "type"},
			{vault.Fields{Name: "ok", Address: "\x1b[31m"}, "address"},
			{vault.Fields{Name: "ok", Department: long(201)}, "department"},
			{vault.Fields{Name: "ok", Location: "\u2066x"}, "location"},
			{vault.Fields{Name: "ok", Notes: "a\x07"}, "notes"},
			{vault.Fields{Name: "ok", Notes: "pay \u202emoc.elpmaxe"}, "notes"},
			{vault.Fields{Name: "ok", Notes: long(4001)}, "notes"},
			{vault.Fields{Name: "ok", URL: "javascript:alert(1)"}, "url"},
			{vault.Fields{Name: "ok", URL: "javascript://example.org/%0aalert(1)"}, "url"},
			{vault.Fields{Name: "ok", URL: "data:text/html,x"}, "url"},
			{vault.Fields{Name: "ok", URL: "vbscript://x"}, "url"},
			{vault.Fields{Name: "ok", URL: "file:///etc/passwd"}, "url"},
			{vault.Fields{Name: "ok", URL: "//example.org"}, "url"},
			{vault.Fields{Name: "ok", URL: "db1.example.org"}, "url"},
			{vault.Fields{Name: "ok", URL: "https://"}, "url"},
			{vault.Fields{Name: "ok", URL: `https:\\example.org`}, "url"},
			{vault.Fields{Name: "ok", URL: `https://good.example\@evil.example`}, "url"},
			{vault.Fields{Name: "ok", URL: "https://example.org/a b"}, "url"},
			{vault.Fields{Name: "ok", URL: "java\nscript:alert(1)"}, "url"},
			{vault.Fields{Name: "ok", URL: "https://root:hunter2@example.org"}, "url"},
			{vault.Fields{Name: "ok", URL: "https://example.org/" + long(2000)}, "url"},
		} {
			_, err := r.vault.AddResource(r.ctx(), r.ada, vault.NewResource{Fields: tt.fields})
			r.want(err, fault.KindInvalid, "a bad "+tt.field)
			r.wantField(err, tt.field, "a bad "+tt.field)
		}
		for text, link := range map[string]bool{
			"https://db1.example.org:8443/console?x=1": true, "http://10.0.0.1": true, "HTTPS://example.org": true,
			"ssh://root@db1": false, "rdp://win1": false, "": false,
		} {
			added, err := r.vault.AddResource(r.ctx(), r.ada, vault.NewResource{Fields: vault.Fields{Name: "url " + text, URL: text}})
			r.must(err)
			if (added.Link() != "") != link {
				r.t.Errorf("%s as a link: %q", text, added.Link())
			}
			if added.Type != "Other" {
				r.t.Errorf("without a type it is %q", added.Type)
			}
		}
		r.must(func() error {
			_, err := r.vault.AddResource(r.ctx(), r.ada, vault.NewResource{Fields: vault.Fields{Name: long(200), Notes: "👩\u200d🚀 فارسی می\u200cخواهم\n\ttab"}})
			return err
		}())

		db := r.add(r.ada, "db1")
		for _, tt := range []struct {
			account vault.NewAccount
			field   string
		}{
			{vault.NewAccount{}, "name"},
			{vault.NewAccount{Name: long(201)}, "name"},
			{vault.NewAccount{Name: "a\x00"}, "name"},
			{vault.NewAccount{Name: "ok", Notes: "\x00"}, "notes"},
			{vault.NewAccount{Name: "ok", Password: secret.New("a\x00b")}, "password"},
			{vault.NewAccount{Name: "ok", Password: secret.New("a\xff")}, "password"},
			{vault.NewAccount{Name: "ok", Password: secret.New(strings.Repeat("x", 4097))}, "password"},
			{vault.NewAccount{Name: "ok", Reason: long(501)}, "reason"},
		} {
			_, err := r.vault.AddAccount(r.ctx(), r.ada, db.ID, tt.account)
			r.wantField(err, tt.field, "a bad "+tt.field)
		}
	})
}

func TestPasswordsMayHoldAnything(t *testing.T) {
	each(t, func(r *rig) {
		a := r.account(r.ada, r.add(r.ada, "db1"), "root", "")
		for _, pw := range []string{
			" ", "\t leading and trailing \n", `"'\<&>%_$1;--`, "-----BEGIN KEY-----\r\nMIIB\r\n-----END KEY-----\n",
			strings.Repeat("x", 4096), "пароль 密码 👩\u200d🚀", "\x01\x1b\x7f\u202e", "[redacted]",
		} {
			a = r.set(r.ada, a, pw)
			if got := r.reveal(r.ada, a, 0); got != pw {
				r.t.Errorf("kept %q as %q", pw, got)
			}
			same, err := r.vault.PasswordIs(r.ctx(), operator, a.ID, secret.New(pw))
			r.must(err)
			other, err := r.vault.PasswordIs(r.ctx(), operator, a.ID, secret.New(pw+"x"))
			r.must(err)
			if !same || other {
				r.t.Errorf("%q: same %v, other %v", pw, same, other)
			}
		}
		_, err := r.vault.SetPassword(r.ctx(), r.ada, a.ID, secret.Value{}, "", 0)
		r.wantField(err, "password", "an empty password")
	})
}

func TestGivingAResourceAway(t *testing.T) {
	each(t, func(r *rig) {
		db := r.add(r.ada, "db1")
		a := r.account(r.ada, db, "root", "one")
		cleo := r.join("cleo", actor.PasswordUser)
		dora := r.join("dora", actor.Administrator)
		r.exec(`UPDATE identity_user SET state = 'disabled' WHERE id = $1`, dora.UserID)
		for _, to := range []string{"", "nobody", store.NewID(), cleo.UserID, dora.UserID, r.ada.UserID} {
			err := r.vault.TransferResource(r.ctx(), r.ada, db.ID, to)
			r.wantField(err, "to", "giving it to "+to)
		}
		theirs := r.add(r.ben, "DB1")
		err := r.vault.TransferResource(r.ctx(), r.ada, db.ID, r.ben.UserID)
		r.want(err, fault.KindConflict, "a name that ben has already")
		r.must(r.vault.DeleteResource(r.ctx(), r.ben, theirs.ID, "DB1"))

		r.must(r.vault.TransferResource(r.ctx(), r.ada, db.ID, r.ben.UserID))
		r.audited(`ada|resource.transferred|db1||owner: "ada" to "ben"`)
		_, err = r.vault.Resource(r.ctx(), r.ada, db.ID)
		r.want(err, fault.KindNotFound, "what ada gave away")
		if got := r.reveal(r.ben, a, 0); got != "one" {
			r.t.Errorf("ben finds %q", got)
		}
	})
}

func TestWhoGoesHandsOver(t *testing.T) {
	each(t, func(r *rig) {
		for _, name := range []string{"db1", "db2", "db2 (ada)", "web", strings.Repeat("n", 200)} {
			r.account(r.ada, r.add(r.ada, name), "root", "of "+name)
		}
		for _, name := range []string{"DB1", "db1 (ada)", "db2", strings.Repeat("n", 200)} {
			r.add(r.ben, name)
		}
		grace := r.join("grace", actor.PrivilegedAdministrator)
		r.join("hedy", actor.PrivilegedAdministrator)
		err := r.users.Delete(r.ctx(), grace, r.ada.UserID, "")
		r.want(err, fault.KindConflict, "deleting who owns something")
		r.must(r.users.Delete(r.ctx(), grace, r.ada.UserID, r.ben.UserID))

		page, err := r.vault.Resources(r.ctx(), r.ben, vault.Filter{})
		r.must(err)
		want := []string{
			"DB1", "db1 (ada 2)", "db1 (ada)", "db2", "db2 (ada)", "db2 (ada) (ada)",
			strings.Repeat("n", 194) + " (ada)", strings.Repeat("n", 200), "web",
		}
		if got := names(page); got != strings.Join(want, " ") {
			r.t.Errorf("ben owns\n%s, want\n%s", got, want)
		}
		found, err := r.vault.SearchAccounts(r.ctx(), r.ben, "(ada 2) root", 10)
		r.must(err)
		if len(found) != 1 || r.reveal(r.ben, found[0], 0) != "of db1" {
			r.t.Errorf("found %+v", found)
		}
		log := strings.Join(r.entries(), "\n")
		if !strings.Contains(log, `grace|resource.transferred|db1 (ada 2)||owner: "ada" to "ben"; name: "db1" to "db1 (ada 2)"`) ||
			!strings.Contains(log, `grace|user.deleted|ada||handed over to: ben; resources: 5`) {
			r.t.Errorf("the audit log has\n%s", log)
		}
	})
}

func TestTheOperatorAddsForOthers(t *testing.T) {
	each(t, func(r *rig) {
		eve := r.join("eve", actor.PasswordAdministrator)
		r.exec(`UPDATE identity_user SET state = 'invited' WHERE id = $1`, eve.UserID)
		for _, owner := range []string{r.ada.UserID, eve.UserID} {
			added, err := r.vault.AddResource(r.ctx(), operator, vault.NewResource{OwnerID: owner, Fields: vault.Fields{Name: "db1"}})
			r.must(err)
			if added.OwnerID != owner || !added.CanEdit {
				r.t.Errorf("added %+v", added)
			}
		}
		for _, owner := range []string{"", "nobody", r.join("cleo", actor.PasswordAuditor).UserID} {
			_, err := r.vault.AddResource(r.ctx(), operator, vault.NewResource{OwnerID: owner, Fields: vault.Fields{Name: "db2"}})
			r.wantField(err, "owner_id", "for "+owner)
		}
		_, err := r.vault.AddResource(r.ctx(), r.ada, vault.NewResource{OwnerID: r.ben.UserID, Fields: vault.Fields{Name: "gift"}})
		r.want(err, fault.KindDenied, "a user adding for somebody else")
		page, err := r.vault.Resources(r.ctx(), operator, vault.Filter{})
		r.must(err)
		if page.Total != 2 {
			r.t.Errorf("the operator sees %q", names(page))
		}
	})
}

// Mail settings name an account and count on it: it must not go in between.
func TestAnAccountIsHeld(t *testing.T) {
	each(t, func(r *rig) {
		db := r.add(r.ada, "db1")
		a := r.account(r.ada, db, "root", "one")
		for _, do := range []func(context.Context, func(*store.Tx) error) error{r.db.View, r.db.Update} {
			r.must(do(r.ctx(), func(tx *store.Tx) error {
				name, err := r.vault.HoldAccount(tx, a.ID)
				if name != "db1 / root" {
					r.t.Errorf("the account is called %q", name)
				}
				for _, none := range []string{"", "nonsense", store.NewID()} {
					_, err := r.vault.HoldAccount(tx, none)
					r.want(err, fault.KindNotFound, "holding "+none)
				}
				return err
			}))
		}
		if r.db.Engine() == store.SQLite {
			return // its writers take turns
		}
		for _, table := range []string{"vault_resource", "vault_account"} {
			r.must(r.db.Update(r.ctx(), func(tx *store.Tx) error {
				if _, err := r.vault.HoldAccount(tx, a.ID); err != nil {
					return err
				}
				locked := make(chan error)
				go func() {
					locked <- r.db.Update(r.ctx(), func(tx *store.Tx) error {
						_, err := store.All(tx, func(row store.Row) (id string, err error) { return id, row.Scan(&id) }, `SELECT id FROM `+table+` FOR UPDATE NOWAIT`)
						return err
					})
				}()
				if err := <-locked; err == nil {
					r.t.Errorf("a row of %s can be deleted while the account is held", table)
				}
				return nil
			}))
		}
	})
}
