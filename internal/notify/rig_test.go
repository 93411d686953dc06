package notify_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/notify"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// rig is an installation with one user of each role, whose letters wait.
type rig struct {
	t       *testing.T
	config  store.Config
	db      *store.DB
	clock   *storetest.Clock
	keys    *keyring.Keyring
	audit   *audit.Log
	users   *identity.Service
	box     *outbox.Outbox
	letters *letter.Catalogue
	log     *paper
	// ends is what the mail server's reminders are about.
	ends []notify.End
}

// paper is what is logged.
type paper struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *paper) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func each(t *testing.T, f func(r *rig)) {
	t.Helper()
	t.Parallel()
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			clock := storetest.NewClock()
			r := &rig{t: t, config: storetest.Config(t, engine, clock), clock: clock, log: &paper{}}
			t.Parallel()
			r.db = storetest.OpenConfig(t, r.config)
			r.wire(r.db)
			for _, role := range actor.Roles() {
				r.join(string(role), role)
			}
			r.update(func(tx *store.Tx) error {
				return r.letters.SetSite(tx, letter.Site{AccessURL: "https://vault.example.org:7272", Organisation: "Example Ltd"})
			})
			f(r)
		})
	}
}

// wire builds the domains on a database.
func (r *rig) wire(db *store.DB) {
	r.t.Helper()
	root, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
	r.must(err)
	r.keys, err = keyring.Open(r.ctx(), keyring.Config{DB: db, Root: root})
	r.must(err)
	r.letters, err = letter.New()
	r.must(err)
	r.audit = audit.New(audit.Config{DB: db, Keys: r.keys, Log: slog.New(slog.DiscardHandler)})
	r.box = outbox.New(outbox.Config{DB: db, Keys: r.keys, Letters: r.letters, Audit: r.audit})
	r.users, err = identity.New(identity.Config{DB: db, Keys: r.keys, Audit: r.audit, Outbox: r.box, Letters: r.letters, Now: r.clock.Now})
	r.must(err)
}

// node returns a second node on the same database. On SQLite, which serves one
// process, it is the same one once more.
func (r *rig) node() *rig {
	r.t.Helper()
	n := *r
	if r.db.Engine() == store.Postgres {
		n.db = storetest.OpenConfig(r.t, r.config)
	}
	n.wire(n.db)
	return &n
}

func (r *rig) ctx() context.Context { return r.t.Context() }

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) update(f func(tx *store.Tx) error) {
	r.t.Helper()
	r.must(r.db.Update(r.ctx(), f))
}

// join makes an active user. The row is written directly: the real way in
// hashes a password.
func (r *rig) join(login string, role actor.Role) {
	r.t.Helper()
	r.update(func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO identity_user (id, login, name, email, email_key, role, state, sealed_password, password_at, created_at, last_sign_in, revision)
			VALUES ($1, $2, $3, $4, $4, $5, 'active', $6, 1, 1, 1, 1)`, "id-"+login, login, "User "+login, login+"@example.org", string(role), []byte{})
		return err
	})
}

// did writes an entry of the audit log, as a domain does.
func (r *rig) did(events ...audit.Event) {
	r.t.Helper()
	r.update(func(tx *store.Tx) error {
		for _, e := range events {
			if err := r.audit.Append(tx, actor.System("delivery"), e); err != nil {
				return err
			}
		}
		return nil
	})
}

// sent returns the letters in the outbox as "to: subject", sorted.
func (r *rig) sent() []string {
	r.t.Helper()
	page, err := r.box.List(r.ctx(), actor.System("test"), outbox.Filter{Limit: 500})
	r.must(err)
	var all []string
	for _, l := range page.Rows {
		if l.Kind != letter.KindExpiryReminder {
			r.t.Errorf("a letter of kind %s", l.Kind)
		}
		all = append(all, strings.TrimSuffix(l.To.Address, "@example.org")+": "+l.Subject)
	}
	slices.Sort(all)
	return all
}

// told returns the reasons of the audit log's entries of an action, the oldest
// first.
func (r *rig) told(action string) []string {
	r.t.Helper()
	page, err := r.audit.Search(r.ctx(), actor.System("test"), audit.Filter{Action: action, Limit: 500})
	r.must(err)
	var all []string
	for _, e := range slices.Backward(page.Entries) {
		all = append(all, fmt.Sprint(e.Reason))
	}
	return all
}
