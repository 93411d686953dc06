package vault_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
	"github.com/sealpost/sealpost/internal/vault"
)

// rig is a vault with ada and ben, Password Administrators who know nothing of
// each other's things.
type rig struct {
	t     testing.TB
	db    *store.DB
	now   func() time.Time
	clock *storetest.Clock
	users *identity.Service
	keys  *keyring.Keyring
	audit *audit.Log
	vault *vault.Service
	log   *lines
	// used are the accounts that the mail server uses.
	used map[string]bool

	ada, ben actor.Actor
}

// lines collects what is logged.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

var operator = actor.Operator("root", "apply")

func newRig(t testing.TB, db *store.DB, now func() time.Time) *rig {
	r := &rig{t: t, db: db, now: now, used: map[string]bool{}, log: &lines{}}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	root, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
	r.must(err)
	r.keys, err = keyring.Open(r.ctx(), keyring.Config{DB: db, Root: root})
	r.must(err)
	letters, err := letter.New()
	r.must(err)
	r.audit = audit.New(audit.Config{DB: db, Keys: r.keys, Log: log})
	box := outbox.New(outbox.Config{DB: db, Keys: r.keys, Letters: letters, Audit: r.audit})
	r.users, err = identity.New(identity.Config{DB: db, Keys: r.keys, Audit: r.audit, Outbox: box, Letters: letters, Now: now, Log: log})
	r.must(err)
	r.vault, err = vault.New(vault.Config{
		DB: db, Keys: r.keys, Audit: r.audit, Users: r.users, Now: now, Log: log,
		Uses: func(_ *store.Tx, id string) ([]vault.Use, error) {
			if !r.used[id] {
				return nil, nil
			}
			return []vault.Use{{Label: "Mail server smtp.example.org:587", Path: "/admin/settings/mail"}}, nil
		},
	})
	r.must(err)
	r.users.Holdings = r.vault
	r.ada = r.join("ada", actor.PasswordAdministrator)
	r.ben = r.join("ben", actor.PasswordAdministrator)
	return r
}

// each runs f on both engines, at a time that stands still until f moves it.
func each(t *testing.T, f func(r *rig)) {
	t.Helper()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := newRig(t, db, clock.Now)
		r.clock = clock
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

// want checks the kind of a fault and returns its sentence.
func (r *rig) want(err error, kind fault.Kind, what string) string {
	r.t.Helper()
	if !fault.Is(err, kind) {
		r.t.Fatalf("%s: got %v, want %v", what, err, kind)
	}
	return fault.Sentence(err)
}

// wantField checks that err points at a field.
func (r *rig) wantField(err error, field, what string) {
	r.t.Helper()
	for _, f := range fault.Fields(err) {
		if f.Field == field {
			return
		}
	}
	r.t.Errorf("%s: got %v, want something about %q", what, err, field)
}

// exec runs a statement behind the vault's back.
func (r *rig) exec(query string, args ...any) {
	r.t.Helper()
	r.must(r.db.Update(r.ctx(), func(tx *store.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	}))
}

// join makes an active user who has just signed in. The row is written
// directly: the real way in hashes a password for half a minute of tests.
func (r *rig) join(login string, role actor.Role) actor.Actor {
	r.t.Helper()
	id := store.NewID()
	r.exec(`INSERT INTO identity_user (id, login, name, email, email_key, role, state, sealed_password, password_at, created_at, last_sign_in, revision)
		VALUES ($1, $2, $3, $4, $4, $5, 'active', $6, 1, 1, 1, 1)`, id, login, "User "+login, login+"@example.org", string(role), []byte{})
	return actor.Actor{Kind: actor.KindUser, UserID: id, Login: login, Name: "User " + login, Role: role, Proved: r.now(), Door: "web"}
}

// add adds a resource with a name.
func (r *rig) add(by actor.Actor, name string) vault.Resource {
	r.t.Helper()
	added, err := r.vault.AddResource(r.ctx(), by, vault.NewResource{Fields: vault.Fields{Name: name, Type: "Linux", Address: name + ".example.org"}})
	r.must(err)
	return added
}

// account adds an account with a password under a resource.
func (r *rig) account(by actor.Actor, resource vault.Resource, name, password string) vault.Account {
	r.t.Helper()
	a, err := r.vault.AddAccount(r.ctx(), by, resource.ID, vault.NewAccount{Name: name, Password: secret.New(password)})
	r.must(err)
	return a
}

// set sets a password, whatever was there.
func (r *rig) set(by actor.Actor, a vault.Account, password string) vault.Account {
	r.t.Helper()
	a, err := r.vault.SetPassword(r.ctx(), by, a.ID, secret.New(password), "", 0)
	r.must(err)
	return a
}

// reveal returns a password as the page shows it.
func (r *rig) reveal(by actor.Actor, a vault.Account, version int64) string {
	r.t.Helper()
	pw, err := r.vault.Reveal(r.ctx(), by, a.ID, version, vault.ShowIt, "")
	r.must(err)
	return pw.Reveal()
}

// entries returns the audit log, oldest first, as "action object reason detail".
func (r *rig) entries() []string {
	r.t.Helper()
	page, err := r.audit.Search(r.ctx(), actor.System("test"), audit.Filter{Limit: 500})
	r.must(err)
	out := make([]string, len(page.Entries))
	for i, e := range page.Entries {
		line := strings.Join([]string{e.Actor.Login, e.Action, e.Name, e.Reason, audit.DetailText(e.Detail)}, "|")
		out[len(out)-1-i] = line
	}
	return out
}

// audited checks that the newest audit entry is line.
func (r *rig) audited(want string) {
	r.t.Helper()
	all := r.entries()
	if len(all) == 0 || all[len(all)-1] != want {
		r.t.Errorf("the newest audit entry:\n got %q\nwant %q", all[max(0, len(all)-1):], want)
	}
}

// names returns the names of a page's resources.
func names(p vault.Page) string {
	var out []string
	for _, r := range p.Resources {
		out = append(out, r.Name)
	}
	return strings.Join(out, " ")
}

// dump returns everything in the tables whose names begin with prefix, as text.
func (r *rig) dump(prefix string) string {
	r.t.Helper()
	var b strings.Builder
	r.must(r.db.View(r.ctx(), func(tx *store.Tx) error {
		query := `SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY 1, 2`
		if tx.Engine() == store.Postgres {
			query = `SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2`
		}
		columns, err := store.All(tx, func(row store.Row) (c [2]string, err error) { return c, row.Scan(&c[0], &c[1]) }, query)
		if err != nil {
			return err
		}
		for _, c := range columns {
			if !strings.HasPrefix(c[0], prefix) {
				continue
			}
			err := tx.Each(func(row store.Row) error {
				var v any
				if err := row.Scan(&v); err != nil {
					return err
				}
				if raw, ok := v.([]byte); ok {
					v = string(raw)
				}
				_, err := fmt.Fprintln(&b, c[0], c[1], v)
				return err
			}, `SELECT "`+c[1]+`" FROM "`+c[0]+`"`)
			if err != nil {
				return err
			}
		}
		return nil
	}))
	return b.String()
}
