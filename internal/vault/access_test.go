package vault_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/vault"
)

// operation is one thing that can be asked of the vault about db1 and its
// account root, which ada owns.
type operation struct {
	name string
	do   func(r *rig, by actor.Actor, db vault.Resource, a vault.Account) error
}

// second drops what an operation returns beside its error.
func second[T any](_ T, err error) error { return err }

// listed is nil when a list holds what it was asked for, and says "not found"
// as the operations on one thing do where it is empty.
func listed(n int, err error) error {
	if err != nil {
		return fault.Internal(err)
	}
	if n == 0 {
		return fault.NotFound("There is no such resource, or it is not yours to see.")
	}
	return nil
}

var operations = []operation{
	{"Resource", func(r *rig, by actor.Actor, db vault.Resource, _ vault.Account) error {
		return second(r.vault.Resource(r.ctx(), by, db.ID))
	}},
	{"FindResource", func(r *rig, by actor.Actor, _ vault.Resource, _ vault.Account) error {
		return second(r.vault.FindResource(r.ctx(), by, "ada", "db1"))
	}},
	{"Resources", func(r *rig, by actor.Actor, _ vault.Resource, _ vault.Account) error {
		page, err := r.vault.Resources(r.ctx(), by, vault.Filter{Text: "db1"})
		if page.Total != len(page.Resources) {
			r.t.Errorf("%s: %d of %d", by.Login, len(page.Resources), page.Total)
		}
		return listed(page.Total, err)
	}},
	{"Accounts", func(r *rig, by actor.Actor, db vault.Resource, _ vault.Account) error {
		return second(r.vault.Accounts(r.ctx(), by, db.ID))
	}},
	{"Account", func(r *rig, by actor.Actor, _ vault.Resource, a vault.Account) error {
		return second(r.vault.Account(r.ctx(), by, a.ID))
	}},
	{"FindAccount", func(r *rig, by actor.Actor, db vault.Resource, _ vault.Account) error {
		return second(r.vault.FindAccount(r.ctx(), by, db.ID, "root"))
	}},
	{"SearchAccounts", func(r *rig, by actor.Actor, _ vault.Resource, _ vault.Account) error {
		accounts, err := r.vault.SearchAccounts(r.ctx(), by, "root", 10)
		return listed(len(accounts), err)
	}},
	{"Uses", func(r *rig, by actor.Actor, _ vault.Resource, a vault.Account) error {
		return second(r.vault.Uses(r.ctx(), by, a.ID))
	}},
	{"History", func(r *rig, by actor.Actor, _ vault.Resource, a vault.Account) error {
		return second(r.vault.History(r.ctx(), by, a.ID))
	}},
	{"MayUse", func(r *rig, by actor.Actor, _ vault.Resource, a vault.Account) error {
		return r.vault.MayUse(r.ctx(), by, a.ID)
	}},
	{"Reveal", func(r *rig, by actor.Actor, _ vault.Resource, a vault.Account) error {
		return second(r.vault.Reveal(r.ctx(), by, a.ID, 0, vault.ShowIt, ""))
	}},
	{"Reveal old", func(r *rig, by actor.Actor, _ vault.Resource, a vault.Account) error {
		return second(r.vault.Reveal(r.ctx(), by, a.ID, 1, vault.CopyIt, ""))
	}},
	{"PasswordIs", func(r *rig, by actor.Actor, _ vault.Resource, a vault.Account) error {
		return second(r.vault.PasswordIs(r.ctx(), by, a.ID, secret.New("two")))
	}},
	{"SetPassword", func(r *rig, by actor.Actor, _ vault.Resource, a vault.Account) error {
		return second(r.vault.SetPassword(r.ctx(), by, a.ID, secret.New("three"), "", 0))
	}},
	{"SetPassword bad", func(r *rig, by actor.Actor, _ vault.Resource, a vault.Account) error {
		return valid(second(r.vault.SetPassword(r.ctx(), by, a.ID, secret.Value{}, "", 0)))
	}},
	{"Restore", func(r *rig, by actor.Actor, _ vault.Resource, a vault.Account) error {
		return second(r.vault.Restore(r.ctx(), by, a.ID, 1, ""))
	}},
	{"EditResource", func(r *rig, by actor.Actor, db vault.Resource, _ vault.Account) error {
		f := db.Fields
		f.Notes = "edited"
		return second(r.vault.EditResource(r.ctx(), by, db.ID, f, 0))
	}},
	{"EditResource bad", func(r *rig, by actor.Actor, db vault.Resource, _ vault.Account) error {
		return valid(second(r.vault.EditResource(r.ctx(), by, db.ID, vault.Fields{}, 0)))
	}},
	{"AddAccount", func(r *rig, by actor.Actor, db vault.Resource, _ vault.Account) error {
		return second(r.vault.AddAccount(r.ctx(), by, db.ID, vault.NewAccount{Name: "new"}))
	}},
	{"AddAccount bad", func(r *rig, by actor.Actor, db vault.Resource, _ vault.Account) error {
		return valid(second(r.vault.AddAccount(r.ctx(), by, db.ID, vault.NewAccount{})))
	}},
	{"AddAccount again", func(r *rig, by actor.Actor, db vault.Resource, a vault.Account) error {
		return second(r.vault.AddAccount(r.ctx(), by, db.ID, vault.NewAccount{ID: a.ID, Name: a.Name}))
	}},
	{"EditAccount", func(r *rig, by actor.Actor, _ vault.Resource, a vault.Account) error {
		return second(r.vault.EditAccount(r.ctx(), by, a.ID, "toor", "", 0))
	}},
	{"EditAccount bad", func(r *rig, by actor.Actor, _ vault.Resource, a vault.Account) error {
		return valid(second(r.vault.EditAccount(r.ctx(), by, a.ID, "", "", 0)))
	}},
	{"TransferResource", func(r *rig, by actor.Actor, db vault.Resource, _ vault.Account) error {
		return r.vault.TransferResource(r.ctx(), by, db.ID, r.ben.UserID)
	}},
	{"DeleteAccount", func(r *rig, by actor.Actor, _ vault.Resource, a vault.Account) error {
		return r.vault.DeleteAccount(r.ctx(), by, a.ID)
	}},
	{"DeleteResource", func(r *rig, by actor.Actor, db vault.Resource, _ vault.Account) error {
		return r.vault.DeleteResource(r.ctx(), by, db.ID, "db1")
	}},
	{"DeleteResource untyped", func(r *rig, by actor.Actor, db vault.Resource, _ vault.Account) error {
		return valid(r.vault.DeleteResource(r.ctx(), by, db.ID, "?"))
	}},
}

// valid turns "this field is wrong" into done: who hears of a field may see
// the thing.
func valid(err error) error {
	if fault.Is(err, fault.KindInvalid) {
		return nil
	}
	return err
}

// TestWhoMayDoWhat compares every operation for every sort of actor with the
// table below: d done, n not found, x denied.
func TestWhoMayDoWhat(t *testing.T) {
	columns := []string{"ada", "demoted", "ben", "administrator", "privileged", "auditor", "user", "operator", "system", "nobody"}
	table := map[string]string{
		"Resource":               "ddnnnnnddn",
		"FindResource":           "ddnnnnnddn",
		"Resources":              "ddnnnnnddn",
		"Accounts":               "ddnnnnnddn",
		"Account":                "ddnnnnnddn",
		"FindAccount":            "ddnnnnnddn",
		"SearchAccounts":         "ddnnnnnddn",
		"Uses":                   "ddnnnnnddn",
		"History":                "ddnnnnnddn",
		"MayUse":                 "ddnnnnnddn",
		"Reveal":                 "ddnnnnnxxx",
		"Reveal old":             "ddnnnnnxxx",
		"PasswordIs":             "xxxxxxxddx",
		"SetPassword":            "dxnnnnnddn",
		"SetPassword bad":        "ddnnnnnddn",
		"Restore":                "dxnnnnnddn",
		"EditResource":           "dxnnnnnddn",
		"EditResource bad":       "ddnnnnnddn",
		"AddAccount":             "dxnnnnnddn",
		"AddAccount bad":         "ddnnnnnddn",
		"AddAccount again":       "dxnnnnnddn",
		"EditAccount":            "dxnnnnnddn",
		"EditAccount bad":        "ddnnnnnddn",
		"TransferResource":       "dxnnnnnddn",
		"DeleteAccount":          "dxnnnnnddn",
		"DeleteResource":         "dxnnnnnddn",
		"DeleteResource untyped": "dxnnnnnddn",
	}
	if len(table) != len(operations) {
		t.Fatalf("%d operations, %d rows", len(operations), len(table))
	}
	each(t, func(r *rig) {
		demoted := r.ada
		demoted.Role = actor.PasswordUser
		actors := []actor.Actor{
			r.ada, demoted, r.ben, r.join("administrator", actor.Administrator), r.join("privileged", actor.PrivilegedAdministrator),
			r.join("auditor", actor.PasswordAuditor), r.join("user", actor.PasswordUser), operator, actor.System("test"),
			{},
		}
		for _, op := range operations {
			var f *fixture
			for i, by := range actors {
				if f == nil {
					f = r.fixture()
				}
				err := op.do(r, by, f.db, f.account)
				got := map[bool]string{true: "d"}[err == nil]
				switch {
				case fault.Is(err, fault.KindNotFound):
					got = "n"
				case fault.Is(err, fault.KindDenied):
					got = "x"
				}
				if want := table[op.name][i : i+1]; got != want {
					r.t.Errorf("%s by %s: got %q (%v), want %q", op.name, columns[i], got, err, want)
				}
				if err == nil {
					f = nil // it may have changed
				} else if r.dump("vault_") != f.before {
					r.t.Errorf("%s by %s was refused and changed something", op.name, columns[i])
				}
			}
		}
	})
}

// fixture is db1 of ada with the account root, and the vault as it is then.
type fixture struct {
	db      vault.Resource
	account vault.Account
	before  string
}

func (r *rig) fixture() *fixture {
	r.t.Helper()
	r.exec(`DELETE FROM vault_resource`)
	f := &fixture{db: r.add(r.ada, "db1")}
	f.account = r.account(r.ada, f.db, "root", "one")
	r.set(r.ada, f.account, "two")
	f.before = r.dump("vault_")
	return f
}

func TestWhoAddsResources(t *testing.T) {
	each(t, func(r *rig) {
		for role, want := range map[actor.Role]bool{
			actor.PrivilegedAdministrator: true, actor.Administrator: true, actor.PasswordAdministrator: true,
			actor.PasswordAuditor: false, actor.PasswordUser: false,
		} {
			by := r.join("new-"+strings.ReplaceAll(string(role), "_", "-"), role)
			_, err := r.vault.AddResource(r.ctx(), by, vault.NewResource{Fields: vault.Fields{Name: "db1"}})
			if (err == nil) != want || err != nil && !fault.Is(err, fault.KindDenied) {
				r.t.Errorf("%s adding: %v", role, err)
			}
		}
		_, err := r.vault.AddResource(r.ctx(), actor.Actor{}, vault.NewResource{Fields: vault.Fields{Name: "db1"}})
		r.want(err, fault.KindDenied, "nobody adding")
	})
}

// TestHiddenIsNotThere holds that what one may not see is answered, byte for
// byte, like what does not exist.
func TestHiddenIsNotThere(t *testing.T) {
	each(t, func(r *rig) {
		db := r.add(r.ada, "db1")
		a := r.account(r.ada, db, "root", "one")
		for _, op := range operations {
			hidden := op.do(r, r.ben, db, a)
			for _, id := range []string{store.NewID(), "", "x", "\x00", "' OR 1=1 --", strings.ToUpper(db.ID)} {
				missing := op.do(r, r.ben, vault.Resource{ID: id, Fields: db.Fields}, vault.Account{ID: id, Name: a.Name})
				if op.name == "AddAccount again" {
					missing = op.do(r, r.ben, vault.Resource{ID: id}, a)
				}
				if fmt.Sprint(hidden) != fmt.Sprint(missing) {
					r.t.Errorf("%s: hidden is %v, missing %q is %v", op.name, hidden, id, missing)
				}
			}
		}
	})
}
