package identity_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
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
)

const firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"

// goodPassword is one that nobody finds fault with.
var goodPassword = secret.New("gherkin-anvil-sextant-9")

// rig is an installation that grace set up, with letters that leave at once.
type rig struct {
	t        testing.TB
	config   store.Config
	db       *store.DB
	clock    *storetest.Clock
	id       *identity.Service
	box      *outbox.Outbox
	audit    *audit.Log
	letters  *letter.Catalogue
	holdings *shelf
	grace    actor.Actor
}

// shelf is what users own, in memory.
type shelf struct{ owner map[string]string }

func (s *shelf) Owned(_ *store.Tx, id string) (int, error) {
	n := 0
	for _, o := range s.owner {
		if o == id {
			n++
		}
	}
	return n, nil
}

func (s *shelf) Handover(_ *store.Tx, _ actor.Actor, from, to string) (int, error) {
	n := 0
	for thing, o := range s.owner {
		if o == from {
			s.owner[thing] = to
			n++
		}
	}
	return n, nil
}

// visitor is somebody not signed in at an address.
func visitor(addr string) actor.Actor {
	return actor.Actor{From: netip.MustParseAddr(addr), Agent: firefox, Door: "web", RequestID: "r-1"}
}

var home = visitor("192.0.2.10")

var quiet = slog.New(slog.DiscardHandler)

func empty(t testing.TB, config store.Config, clock *storetest.Clock) *rig {
	r := &rig{t: t, config: config, clock: clock, holdings: &shelf{owner: map[string]string{}}}
	r.db = storetest.OpenConfig(t, config)
	r.id = r.serve(r.db)
	return r
}

// serve builds the service of a node.
func (r *rig) serve(db *store.DB) *identity.Service {
	r.t.Helper()
	root, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
	r.must(err)
	keys, err := keyring.Open(r.ctx(), keyring.Config{DB: db, Root: root})
	r.must(err)
	r.letters, err = letter.New()
	r.must(err)
	r.audit = audit.New(audit.Config{DB: db, Keys: keys, Log: quiet})
	r.box = outbox.New(outbox.Config{DB: db, Keys: keys, Letters: r.letters, Audit: r.audit})
	id, err := identity.New(identity.Config{
		DB: db, Keys: keys, Audit: r.audit, Outbox: r.box, Letters: r.letters, Holdings: r.holdings, Now: r.clock.Now, Log: quiet,
	})
	r.must(err)
	id.Cheapen()
	return id
}

// node returns the service of a second node on the same database. On SQLite,
// which serves one process, it is a second service in this one.
func (r *rig) node() *identity.Service {
	r.t.Helper()
	if r.db.Engine() == store.SQLite {
		return r.serve(r.db)
	}
	return r.serve(storetest.OpenConfig(r.t, r.config))
}

// onSQLite is a rig for what has little to do with the database.
func onSQLite(t testing.TB) *rig {
	clock := storetest.NewClock()
	return empty(t, storetest.Config(t, store.SQLite, clock), clock)
}

func eachEmpty(t *testing.T, f func(r *rig)) {
	t.Helper()
	t.Parallel()
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			clock := storetest.NewClock()
			config := storetest.Config(t, engine, clock)
			t.Parallel()
			f(empty(t, config, clock))
		})
	}
}

func each(t *testing.T, f func(r *rig)) {
	t.Helper()
	eachEmpty(t, func(r *rig) {
		r.openGate()
		token, err := r.id.SetupLink(r.t.Context())
		r.must(err)
		session, u, err := r.id.Setup(r.ctx(), home, token, identity.SetupRequest{
			Name: "Grace Hopper", Login: "grace", Email: "grace@example.org", Password: goodPassword,
			AccessURL: "https://vault.example.org:7272", Organisation: "Example Ltd",
		})
		r.must(err)
		r.grace = r.actor(session)
		if u.Login != "grace" {
			r.t.Fatalf("set-up made %q", u.Login)
		}
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

func (r *rig) openGate() {
	r.t.Helper()
	r.must(r.db.Update(r.ctx(), func(tx *store.Tx) error { return r.box.GateOf(outbox.Main).OpenGate(tx) }))
}

func (r *rig) closeGate() {
	r.t.Helper()
	r.must(r.db.Update(r.ctx(), func(tx *store.Tx) error {
		return r.box.GateOf(outbox.Main).CloseGate(tx, outbox.ReasonPaused, "The mail server refuses the sign-in.")
	}))
}

// actor returns who acts through the session at this moment.
func (r *rig) actor(s identity.Session) actor.Actor {
	r.t.Helper()
	by, _, err := r.id.Authenticate(r.ctx(), s.Token, home)
	r.must(err)
	return by
}

// letter returns the newest letter of a kind to an address, as delivery gets
// it; it takes all waiting ones.
func (r *rig) letter(kind, address string) outbox.Claim {
	r.t.Helper()
	claims, err := r.box.Claim(r.ctx(), outbox.Main, 100, time.Minute, "sender")
	r.must(err)
	var found outbox.Claim
	for _, c := range claims {
		r.must(r.box.Record(r.ctx(), outbox.Outcome{ID: c.ID, Attempt: c.Attempt, State: outbox.Accepted}))
		if c.Kind == kind && c.To.Address == address {
			found = c
		}
	}
	if found.ID == "" {
		r.t.Fatalf("no letter %q to %s among %d", kind, address, len(claims))
	}
	return found
}

// token reads the code out of the link of a letter.
func (r *rig) token(c outbox.Claim) secret.Value {
	r.t.Helper()
	for word := range strings.FieldsSeq(c.Content.Text.Reveal()) {
		if strings.HasPrefix(word, "https://vault.example.org:7272/") {
			if _, token, ok := strings.Cut(word, "#"); ok {
				return secret.New(token)
			}
		}
	}
	r.t.Fatal("the letter has no link")
	return secret.Value{}
}

// join invites a user and accepts as them.
func (r *rig) join(login string, role actor.Role) actor.Actor {
	r.t.Helper()
	_, err := r.id.Invite(r.ctx(), r.fresh(r.grace), identity.NewUser{
		Name: "User " + login, Login: login, Email: login + "@example.org", Role: role,
	})
	r.must(err)
	session, _, err := r.id.AcceptInvite(r.ctx(), home, r.token(r.letter(letter.KindInvitation, login+"@example.org")), goodPassword)
	r.must(err)
	return r.actor(session)
}

// fresh is by with a proof of this moment; old one without.
func (r *rig) fresh(by actor.Actor) actor.Actor { by.Proved = r.clock.Now(); return by }

func (r *rig) old(by actor.Actor) actor.Actor { by.Proved = r.clock.Now().Add(-time.Hour); return by }

// actions returns the audit log's actions, the newest first.
func (r *rig) actions() []string {
	r.t.Helper()
	page, err := r.audit.Search(r.ctx(), actor.System("test"), audit.Filter{Limit: 100})
	r.must(err)
	var out []string
	for _, e := range page.Entries {
		out = append(out, strings.TrimSpace(e.Action+" "+e.Name+" "+e.Outcome))
	}
	return out
}

func (r *rig) audited(want string) {
	r.t.Helper()
	for _, got := range r.actions() {
		if got == want {
			return
		}
	}
	r.t.Errorf("the audit log lacks %q: %q", want, r.actions())
}

// want checks that err is a fault of the kind, and returns it.
func (r *rig) want(err error, kind fault.Kind, what string) {
	r.t.Helper()
	if err == nil || !fault.Is(err, kind) {
		r.t.Fatalf("%s: got %v, want %v", what, err, kind)
	}
}

// dump returns everything in every table as text.
func (r *rig) dump() string {
	r.t.Helper()
	var b strings.Builder
	r.must(r.db.View(r.ctx(), func(tx *store.Tx) error {
		query := `SELECT name FROM sqlite_master WHERE type = 'table'`
		if tx.Engine() == store.Postgres {
			query = `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`
		}
		tables, err := store.All(tx, func(row store.Row) (s string, err error) { return s, row.Scan(&s) }, query)
		if err != nil {
			return err
		}
		for _, table := range tables {
			columns := `SELECT name FROM pragma_table_info('` + table + `')`
			if tx.Engine() == store.Postgres {
				columns = `SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '` + table + `'`
			}
			names, err := store.All(tx, func(row store.Row) (s string, err error) { return s, row.Scan(&s) }, columns)
			if err != nil {
				return err
			}
			for _, name := range names {
				err := tx.Each(func(row store.Row) error {
					var v any
					if err := row.Scan(&v); err != nil {
						return err
					}
					if raw, ok := v.([]byte); ok {
						v = string(raw)
					}
					_, err := fmt.Fprintln(&b, table, name, v)
					return err
				}, `SELECT "`+name+`" FROM "`+table+`"`)
				if err != nil {
					return err
				}
			}
		}
		return nil
	}))
	return b.String()
}

// rows counts the rows of tables.
func (r *rig) rows(tables ...string) string {
	r.t.Helper()
	var counts []string
	r.must(r.db.View(r.ctx(), func(tx *store.Tx) error {
		counts = nil
		for _, table := range tables {
			n, err := store.One(tx, func(row store.Row) (n int, err error) { return n, row.Scan(&n) }, `SELECT COUNT(*) FROM `+table)
			if err != nil {
				return err
			}
			counts = append(counts, fmt.Sprint(n))
		}
		return nil
	}))
	return strings.Join(counts, " ")
}
