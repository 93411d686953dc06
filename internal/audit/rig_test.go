package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// rig is an empty log.
type rig struct {
	t     *testing.T
	db    *store.DB
	clock *storetest.Clock
	log   *audit.Log
}

func each(t *testing.T, f func(r *rig)) {
	t.Helper()
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := &rig{t: t, db: db, clock: clock}
		root, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
		r.must(err)
		keys, err := keyring.Open(t.Context(), keyring.Config{DB: db, Root: root})
		r.must(err)
		r.log = audit.New(audit.Config{DB: db, Keys: keys, Log: slog.New(slog.DiscardHandler)})
		f(r)
	})
}

func (r *rig) ctx() context.Context { return r.t.Context() }

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func user(login string, role actor.Role) actor.Actor {
	return actor.Actor{
		Kind: actor.KindUser, UserID: "id-" + login, Login: login, Name: "User " + login, Role: role,
		From: netip.MustParseAddr("192.0.2.1"), Door: "web", Agent: "Firefox", RequestID: "r-1",
	}
}

var (
	grace   = user("grace", actor.PrivilegedAdministrator)
	ada     = user("ada", actor.PasswordUser)
	auditor = user("auditor", actor.PasswordAuditor)
)

func (r *rig) append(by actor.Actor, events ...audit.Event) {
	r.t.Helper()
	r.must(r.db.Update(r.ctx(), func(tx *store.Tx) error {
		for _, e := range events {
			if err := r.log.Append(tx, by, e); err != nil {
				return err
			}
		}
		return nil
	}))
}

// fill appends n entries.
func (r *rig) fill(n int) {
	r.t.Helper()
	events := make([]audit.Event, n)
	for i := range events {
		events[i] = audit.Event{
			Action: "user.edited", Kind: "user", ID: fmt.Sprintf("u%d", i), Name: fmt.Sprintf("name %d", i), Reason: "because",
			Detail: []audit.Detail{{Name: "name", Before: "a", After: "b"}},
		}
	}
	r.append(grace, events...)
}

func (r *rig) verify() audit.Verdict {
	r.t.Helper()
	v, err := r.log.Verify(r.ctx(), nil)
	r.must(err)
	return v
}

func (r *rig) search(by actor.Actor, f audit.Filter) audit.Page {
	r.t.Helper()
	page, err := r.log.Search(r.ctx(), by, f)
	r.must(err)
	return page
}

// exec runs statements past the log, as somebody with the database's password
// could.
func (r *rig) exec(statements ...string) {
	r.t.Helper()
	r.must(r.db.Update(r.ctx(), func(tx *store.Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(s); err != nil {
				return err
			}
		}
		return nil
	}))
}

// disarm takes the triggers away that refuse changes made by mistake.
func (r *rig) disarm() {
	r.t.Helper()
	if r.db.Engine() == store.Postgres {
		r.exec(`DROP TRIGGER audit_entry_no_change ON audit_entry`, `DROP TRIGGER audit_entry_no_truncate ON audit_entry`)
		return
	}
	r.exec(`DROP TRIGGER audit_entry_no_update`, `DROP TRIGGER audit_entry_no_delete`)
}
