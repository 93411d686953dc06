package vault_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/vault"
)

// sealedOf reads the sealed value of a version behind the vault's back.
func (r *rig) sealedOf(a vault.Account, version int64) []byte {
	r.t.Helper()
	var sealed []byte
	r.must(r.db.View(r.ctx(), func(tx *store.Tx) (err error) {
		sealed, err = store.One(tx, func(row store.Row) (b []byte, err error) { return b, row.Scan(&b) },
			`SELECT sealed FROM vault_version WHERE account_id = $1 AND version = $2`, a.ID, version)
		return err
	}))
	return sealed
}

func (r *rig) putSealed(a vault.Account, version int64, sealed []byte) {
	r.t.Helper()
	r.exec(`UPDATE vault_version SET sealed = $3 WHERE account_id = $1 AND version = $2`, a.ID, version, sealed)
}

// TestASealedPasswordOpensInItsPlaceOnly moves sealed values about as somebody
// could who writes to the database, to have a password shown as another one's.
func TestASealedPasswordOpensInItsPlaceOnly(t *testing.T) {
	each(t, func(r *rig) {
		db := r.add(r.ada, "db1")
		a, b := r.account(r.ada, db, "root", "one"), r.account(r.ada, db, "admin", "uno")
		r.set(r.ada, a, "two")
		theirs := r.account(r.ben, r.add(r.ben, "db1"), "root", "eins")

		good := r.sealedOf(a, 2)
		flipped := append([]byte{}, good...)
		flipped[len(flipped)-1] ^= 1
		for what, sealed := range map[string][]byte{
			"its own older one": r.sealedOf(a, 1),
			"its neighbour's":   r.sealedOf(b, 1),
			"ben's":             r.sealedOf(theirs, 1),
			"one flipped bit":   flipped,
			"cut off":           good[:len(good)-1],
			"nothing":           {},
		} {
			r.putSealed(a, 2, sealed)
			entries := len(r.entries())
			for name, open := range map[string]func() (secret.Value, error){
				"Reveal": func() (secret.Value, error) { return r.vault.Reveal(r.ctx(), r.ada, a.ID, 0, vault.ShowIt, "") },
				"CurrentCredential": func() (secret.Value, error) {
					_, pw, _, err := r.vault.CurrentCredential(r.ctx(), a.ID)
					return pw, err
				},
				"PasswordIs": func() (secret.Value, error) {
					same, err := r.vault.PasswordIs(r.ctx(), operator, a.ID, secret.New("one"))
					if same {
						r.t.Errorf("%s is taken for the password", what)
					}
					return secret.Value{}, err
				},
			} {
				pw, err := open()
				if !errors.Is(err, keyring.ErrSealed) || !pw.IsZero() {
					r.t.Errorf("%s with %s: %v, a password: %v", name, what, err, !pw.IsZero())
				}
			}
			if len(r.entries()) != entries {
				r.t.Errorf("%s: a reveal is on record that showed nothing", what)
			}
		}
		r.putSealed(a, 2, good)
		if got := r.reveal(r.ada, a, 0); got != "two" {
			r.t.Errorf("put back it opens as %q", got)
		}
		r.putSealed(a, 1, r.sealedOf(b, 1))
		_, err := r.vault.Restore(r.ctx(), r.ada, a.ID, 1, "")
		if !errors.Is(err, keyring.ErrSealed) {
			r.t.Errorf("restoring a neighbour's: %v", err)
		}
	})
}

func TestPasswordsOutliveTheirKeys(t *testing.T) {
	each(t, func(r *rig) {
		a := r.account(r.ada, r.add(r.ada, "db1"), "root", "one")
		r.set(r.ada, a, "two")
		before := string(r.sealedOf(a, 1))
		report, err := r.keys.Rotate(r.ctx(), operator, vault.SealedColumns(), nil)
		r.must(err)
		if report.Rewrapped != 2 || len(report.Damaged) != 0 || string(r.sealedOf(a, 1)) == before {
			r.t.Errorf("rotated %+v", report)
		}
		if r.reveal(r.ada, a, 1) != "one" || r.reveal(r.ada, a, 2) != "two" {
			r.t.Error("passwords changed with their keys")
		}
	})
}

// together runs f n times at once and returns the errors.
func together(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errs
}

func TestOneOfManyNewPasswordsWins(t *testing.T) {
	each(t, func(r *rig) {
		a := r.account(r.ada, r.add(r.ada, "db1"), "root", "one")
		for round := range int64(5) {
			passwords := []string{"red", "green", "blue", "white", "black", "grey"}
			errs := together(len(passwords), func(i int) error {
				_, err := r.vault.SetPassword(r.ctx(), r.ada, a.ID, secret.New(passwords[i]), "", round+1)
				return err
			})
			winner := ""
			for i, err := range errs {
				if err == nil {
					winner += passwords[i]
				} else {
					r.want(err, fault.KindConflict, "the slower one")
				}
			}
			if got := r.reveal(r.ada, a, 0); got != winner {
				r.t.Errorf("round %d: the password is %q, the winner is %q", round, got, winner)
			}
			history, err := r.vault.History(r.ctx(), r.ada, a.ID)
			r.must(err)
			if int64(len(history)) != round+2 {
				r.t.Fatalf("round %d: %d versions", round, len(history))
			}
		}
		// Without a version everybody is heard, one after the other.
		for _, err := range together(6, func(int) error {
			_, err := r.vault.SetPassword(r.ctx(), r.ada, a.ID, secret.New("same"), "", 0)
			return err
		}) {
			r.must(err)
		}
		now, err := r.vault.Account(r.ctx(), r.ada, a.ID)
		r.must(err)
		if now.Version != 12 {
			r.t.Errorf("version %d", now.Version)
		}
	})
}

func TestAFormSentManyTimesAtOnceAddsOne(t *testing.T) {
	each(t, func(r *rig) {
		var form vault.NewResource
		for round := range 8 {
			form = vault.NewResource{ID: store.NewID(), Fields: vault.Fields{Name: fmt.Sprint("db", round)}}
			for _, err := range together(6, func(int) error {
				added, err := r.vault.AddResource(r.ctx(), r.ada, form)
				if err == nil && added.ID != form.ID {
					return errors.New("another resource was added")
				}
				return err
			}) {
				r.must(err)
			}
		}
		account := vault.NewAccount{ID: store.NewID(), Name: "root", Password: secret.New("one")}
		for _, err := range together(6, func(int) error {
			_, err := r.vault.AddAccount(r.ctx(), r.ada, form.ID, account)
			return err
		}) {
			r.must(err)
		}
		// Another name under the same resource, each in its own form.
		for _, err := range together(6, func(i int) error {
			_, err := r.vault.AddAccount(r.ctx(), r.ada, form.ID, vault.NewAccount{Name: "user" + string(rune('a'+i))})
			return err
		}) {
			r.must(err)
		}
		page, err := r.vault.Resources(r.ctx(), r.ada, vault.Filter{Text: "usera userb userc userd usere userf root"})
		r.must(err)
		if page.Total != 1 || page.Resources[0].Accounts != 7 {
			r.t.Errorf("the vault has %+v", page)
		}
		if all, err := r.vault.Resources(r.ctx(), r.ada, vault.Filter{}); err != nil || all.Total != 8 {
			r.t.Errorf("%d resources of 8 forms: %v", all.Total, err)
		}
	})
}

// TestTwoAtOddsEndInOrder lets people delete, give away and change the same
// things at once: whatever comes first, nothing is left half done.
func TestTwoAtOddsEndInOrder(t *testing.T) {
	each(t, func(r *rig) {
		for range 5 {
			db := r.add(r.ada, "db1")
			a := r.account(r.ada, db, "root", "one")
			errs := together(5, func(i int) error {
				switch i {
				case 0:
					return r.vault.DeleteResource(r.ctx(), r.ada, db.ID, "db1")
				case 1:
					return r.vault.TransferResource(r.ctx(), r.ada, db.ID, r.ben.UserID)
				case 2:
					return second(r.vault.SetPassword(r.ctx(), r.ada, a.ID, secret.New("two"), "", 0))
				case 3:
					return second(r.vault.AddAccount(r.ctx(), r.ada, db.ID, vault.NewAccount{Name: "new"}))
				default:
					return second(r.vault.Reveal(r.ctx(), r.ada, a.ID, 0, vault.ShowIt, ""))
				}
			})
			for i, err := range errs {
				if err != nil && !fault.Is(err, fault.KindNotFound) {
					r.t.Errorf("%d: %v", i, err)
				}
			}
			if (errs[0] == nil) == (errs[1] == nil) {
				r.t.Errorf("deleted: %v, given away: %v", errs[0], errs[1])
			}
			if errs[1] == nil {
				r.must(r.vault.DeleteResource(r.ctx(), r.ben, db.ID, "db1"))
			}
		}
		if left := r.dump("vault_"); left != "" {
			r.t.Errorf("left in the vault: %s", left)
		}
		verdict, err := r.audit.Verify(r.ctx(), nil)
		r.must(err)
		if !verdict.OK {
			r.t.Errorf("the audit log: %+v", verdict)
		}
	})
}

// TestSecretsAreFoundNowhere plants passwords in every operation and looks for
// them in the database, the log and every error.
func TestSecretsAreFoundNowhere(t *testing.T) {
	each(t, func(r *rig) {
		const canary = "canary-7Qz"
		var errs []error
		note := func(err error) { errs = append(errs, err) }
		db := r.add(r.ada, "db1")
		f := db.Fields
		f.Notes, f.URL, f.AskReason = "note-canary", "https://example.org/?token=url-canary", true
		_, err := r.vault.EditResource(r.ctx(), r.ada, db.ID, f, 0)
		r.must(err)
		a := r.account(r.ada, db, "root", canary+"1")
		note(second(r.vault.AddAccount(r.ctx(), r.ada, db.ID, vault.NewAccount{Name: "ROOT", Password: secret.New(canary + "2")})))
		note(second(r.vault.AddAccount(r.ctx(), r.ben, db.ID, vault.NewAccount{Name: "x", Password: secret.New(canary + "3")})))
		note(second(r.vault.AddAccount(r.ctx(), r.ada, db.ID, vault.NewAccount{Name: "y", Password: secret.New(canary + "\x00")})))
		r.set(r.ada, a, canary+"4")
		note(second(r.vault.SetPassword(r.ctx(), r.ada, a.ID, secret.New(canary+"5"), "", 1)))
		note(second(r.vault.SetPassword(r.ctx(), r.ada, a.ID, secret.New(canary+strings.Repeat("x", 5000)), "", 0)))
		note(second(r.vault.Restore(r.ctx(), r.ada, a.ID, 1, "")))
		note(second(r.vault.Reveal(r.ctx(), r.ada, a.ID, 0, vault.ShowIt, "")))
		pw, err := r.vault.Reveal(r.ctx(), r.ada, a.ID, 0, vault.ShowIt, "because")
		r.must(err)
		if pw.Reveal() != canary+"1" {
			r.t.Errorf("revealed %q", pw.Reveal())
		}
		note(second(r.vault.PasswordIs(r.ctx(), r.ada, a.ID, secret.New(canary+"6"))))
		r.putSealed(a, 3, r.sealedOf(a, 1))
		note(second(r.vault.Reveal(r.ctx(), r.ada, a.ID, 0, vault.ShowIt, "because")))
		ctx, cancel := context.WithCancel(r.ctx())
		cancel()
		note(second(r.vault.SetPassword(ctx, r.ada, a.ID, secret.New(canary+"7"), "", 0)))

		for _, err := range errs {
			if err != nil && strings.Contains(err.Error(), canary) {
				r.t.Errorf("an error tells a password: %v", err)
			}
		}
		r.log.mu.Lock()
		log := r.log.b.String()
		r.log.mu.Unlock()
		for where, text := range map[string]string{"the database": r.dump(""), "the log": log} {
			if strings.Contains(text, canary) {
				r.t.Errorf("%s holds a password", where)
			}
		}
		for where, text := range map[string]string{"the audit log": r.dump("audit_"), "the log": log} {
			for _, word := range []string{"note-canary", "url-canary"} {
				if strings.Contains(text, word) {
					r.t.Errorf("%s holds %s", where, word)
				}
			}
		}
		if !strings.Contains(log, "password.revealed") || !strings.Contains(r.dump("vault_"), "note-canary") {
			t.Error("the search for secrets looks in the wrong places")
		}
	})
}
