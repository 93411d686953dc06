package token_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// canary stands in every secret of these tests, so that a leak is found.
const canary = "canary0"

// authority is a token endpoint on loopback.
type authority struct {
	t      *testing.T
	server *httptest.Server
	roots  *x509.CertPool

	mu      sync.Mutex
	life    int // of access tokens, in seconds
	strict  bool
	keeps   bool // gives no new refresh token
	secret  string
	next    int
	valid   map[string]bool
	asked   []url.Values
	given   []string
	refuse  []refusal   // one for each request, first come first
	drop    int         // so many answers are lost
	arrived chan func() // gets for each request that was served what lets its answer out
	open    bool        // answers go out at once
}

type refusal struct {
	status int
	body   string
	after  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, life: 3600, secret: "secret-" + canary, valid: make(map[string]bool), arrived: make(chan func(), 64), open: true}
	a.server = httptest.NewUnstartedServer(http.HandlerFunc(a.serve))
	a.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	a.server.StartTLS()
	t.Cleanup(a.server.Close)
	a.roots = x509.NewCertPool()
	a.roots.AddCert(a.server.Certificate())
	return a
}

func (a *authority) serve(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		a.t.Errorf("a request that is no form: %v", err)
	}
	status, body, after, lost := a.answer(r.PostForm)
	if a.holds() {
		out := make(chan struct{})
		a.arrived <- func() { close(out) }
		<-out
	}
	if lost {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	if after != "" {
		w.Header().Set("Retry-After", after)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func (a *authority) answer(form url.Values) (status int, body, after string, lost bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, form)
	if len(a.refuse) > 0 {
		r := a.refuse[0]
		a.refuse = a.refuse[1:]
		return r.status, r.body, r.after, false
	}
	old := form.Get("refresh_token")
	switch {
	case form.Get("client_secret") != a.secret:
		return 401, `{"error":"invalid_client","error_description":"AADSTS7000215: wrong secret","error_codes":[7000215],"trace_id":"trace-1"}`, "", false
	case form.Get("grant_type") == "refresh_token" && !a.valid[old]:
		return 400, `{"error":"invalid_grant","error_description":"AADSTS700082: the token is dead","error_codes":[700082]}`, "", false
	}
	lost = a.drop > 0
	a.drop = max(0, a.drop-1)
	answer := map[string]any{"token_type": "Bearer", "expires_in": a.life, "access_token": a.mint("access")}
	if !a.keeps {
		// An application gets one too, and has no use for it.
		answer["refresh_token"] = a.mint("refresh")
		a.valid[answer["refresh_token"].(string)] = true
		a.valid[old] = !a.strict
	}
	b, err := json.Marshal(answer)
	if err != nil {
		a.t.Error(err)
	}
	return 200, string(b), "", lost
}

// mint makes the next token. The caller has the lock.
func (a *authority) mint(kind string) string {
	a.next++
	text := fmt.Sprintf("%s-%s-%d", kind, canary, a.next)
	a.given = append(a.given, text)
	return text
}

// hold makes the authority keep its answers back: what is received from
// arrived lets one out. What it gave counts as given before.
func (a *authority) hold() { a.set(func() { a.open = false }) }

// flow ends hold for the requests that come from now on.
func (a *authority) flow() { a.set(func() { a.open = true }) }

func (a *authority) holds() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.open
}

func (a *authority) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// requests tells how often the authority was asked.
func (a *authority) requests() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

// sent lists the refresh tokens that came, in order.
func (a *authority) sent() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []string
	for _, form := range a.asked {
		all = append(all, strings.ReplaceAll(form.Get("refresh_token"), "-"+canary, ""))
	}
	return strings.Join(all, " ")
}

// signIn gives the tokens of somebody who has just signed in.
func (a *authority) signIn(now time.Time) oauth.Tokens {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := oauth.Tokens{
		Access: secret.New(a.mint("access")), Refresh: secret.New(a.mint("refresh")), Expires: now.Add(time.Duration(a.life) * time.Second),
		Identity: oauth.Identity{Name: "mail@example.com", Tenant: "tenant-1"},
	}
	a.valid[t.Refresh.Reveal()] = true
	return t
}

// rig is a database with one authority and two nodes.
type rig struct {
	t         *testing.T
	config    store.Config
	clock     *storetest.Clock
	authority *authority
	one, two  *node
}

// node is one process.
type node struct {
	r      *rig
	db     *store.DB
	keys   *keyring.Keyring
	clock  *storetest.Clock
	log    *buffer
	keeper *token.Keeper

	mu     sync.Mutex
	events []token.Event
}

type buffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	told func(line string) // if not nil, called with each line
}

func (b *buffer) Write(p []byte) (int, error) {
	if b.told != nil {
		b.told(string(p))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func each(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	t.Parallel()
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			clock := storetest.NewClock()
			r := &rig{t: t, clock: clock, config: store.Config{Now: clock.Now}, authority: newAuthority(t)}
			if engine == store.SQLite {
				r.config.Path = storetest.SQLitePath(t)
			} else {
				r.config.URL = secret.New(postgres(t))
			}
			r.one = r.node(storetest.OpenConfig(t, r.config))
			second := r.one.db
			if engine == store.Postgres {
				second = storetest.OpenConfig(t, r.config)
			}
			r.two = r.node(second)
			r.exec(`DELETE FROM mail_token`)
			if engine == store.Postgres {
				r.exec(`DROP FUNCTION IF EXISTS broken CASCADE`) // of a test that failed
			}
			f(t, r)
		})
	}
}

// idle are the PostgreSQL databases that no test uses now. Making one takes
// longer than most tests here.
var idle = make(chan string, 64)

// postgres returns the address of a database for the test alone.
func postgres(t *testing.T) string {
	t.Helper()
	var url string
	select {
	case url = <-idle:
	default:
		url = storetest.PostgresURL(lasting{t})
	}
	// Before the stores are opened, so that it happens after they are closed.
	t.Cleanup(func() { idle <- url })
	return url
}

// lasting is a test whose database stays when it ends. It goes with the server,
// when the test binary ends.
type lasting struct{ testing.TB }

func (lasting) Cleanup(func()) {}

// node starts a process on a database.
func (r *rig) node(db *store.DB) *node {
	r.t.Helper()
	root, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
	r.must(err)
	keys, err := keyring.Open(r.t.Context(), keyring.Config{DB: db, Root: root})
	r.must(err)
	host := strings.TrimPrefix(r.authority.server.URL, "https://")
	allowed, err := oauth.NewAuthorities([]string{host})
	r.must(err)
	n := &node{r: r, db: db, keys: keys, clock: r.clock, log: new(buffer)}
	n.keeper = token.New(token.Config{
		DB: db, Keys: keys, Now: func() time.Time { return n.clock.Now() }, Log: slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Client: oauth.NewClient(oauth.Config{Authorities: allowed, Roots: r.authority.roots, Now: func() time.Time { return n.clock.Now() }}),
		Observe: func(e token.Event) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.events = append(n.events, e)
		},
	})
	r.t.Cleanup(func() {
		if err := n.keeper.Close(context.Background()); err != nil {
			r.t.Logf("closing a keeper: %v", err)
		}
	})
	return n
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// source is the profile under test, for a mailbox somebody signed in for.
func (r *rig) source() token.Source {
	return token.Source{
		ProfileID: "profile-1", Bind: "place 1",
		Settings: oauth.Settings{
			Provider: oauth.Generic, Grant: oauth.Consent, ClientID: "client-1", ClientAuth: oauth.BySecret,
			AuthorizeURL: r.authority.server.URL + "/authorize", TokenURL: r.authority.server.URL + "/token", Scopes: "send offline_access",
		},
		Credential: oauth.Credential{Secret: secret.New("secret-" + canary)},
	}
}

// application is the same for a client without a person.
func (r *rig) application() token.Source {
	s := r.source()
	s.Bind, s.Settings.Grant = "place of an application", oauth.Application
	return s
}

func (n *node) update(f func(tx *store.Tx) error) {
	n.r.t.Helper()
	n.r.must(n.db.Update(n.r.t.Context(), f))
}

// signIn stores new tokens and returns them.
func (n *node) signIn(s token.Source) oauth.Tokens {
	n.r.t.Helper()
	t := n.r.authority.signIn(n.clock.Now())
	n.update(func(tx *store.Tx) error { return n.keeper.Put(tx, s, t, "admin") })
	return t
}

// access returns what Access gives, and fails the test on an error.
func (n *node) access(s token.Source) token.Access {
	n.r.t.Helper()
	a, err := n.keeper.Access(n.r.t.Context(), s)
	if err != nil {
		n.r.t.Fatalf("Access: %v", err)
	}
	n.living(a)
	return a
}

// living checks the one thing that must hold of every token ever given.
func (n *node) living(a token.Access) {
	n.r.t.Helper()
	if a.Token.IsZero() || !a.Expires.After(n.clock.Now()) {
		n.r.t.Errorf("a token that is empty or ended at %v was given at %v", a.Expires, n.clock.Now())
	}
}

// refusal returns the authority's error with which Access fails.
func (n *node) refusal(s token.Source) *oauth.Error {
	n.r.t.Helper()
	a, err := n.keeper.Access(n.r.t.Context(), s)
	var e *oauth.Error
	if !errors.As(err, &e) {
		n.r.t.Fatalf("Access: got %v, %v, want an error of the authority", a, err)
	}
	return e
}

// last is the event that was observed last.
func (n *node) last() token.Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.events) == 0 {
		return token.Event{}
	}
	return n.events[len(n.events)-1]
}

func (n *node) facts() token.Facts {
	n.r.t.Helper()
	var f token.Facts
	n.r.must(n.db.View(n.r.t.Context(), func(tx *store.Tx) (err error) {
		f, _, err = n.keeper.Facts(tx, "profile-1")
		return err
	}))
	return f
}

func (r *rig) requests(want int, why string) {
	r.t.Helper()
	if got := r.authority.requests(); got != want {
		r.t.Errorf("%s: the authority was asked %d times, want %d", why, got, want)
	}
}

func (r *rig) exec(query string, args ...any) {
	r.t.Helper()
	r.one.update(func(tx *store.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	})
}

// breakStoring lets nothing change a token until the returned function is
// called. Leases and failures can still be written.
func (r *rig) breakStoring() (mend func()) {
	r.t.Helper()
	if r.one.db.Engine() == store.SQLite {
		r.exec(`CREATE TRIGGER broken BEFORE UPDATE ON mail_token WHEN NEW.version <> OLD.version BEGIN SELECT RAISE(ABORT, 'broken'); END`)
		return func() { r.t.Helper(); r.exec(`DROP TRIGGER broken`) }
	}
	r.exec(`CREATE FUNCTION broken() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$ LANGUAGE plpgsql`)
	r.exec(`CREATE TRIGGER broken BEFORE UPDATE ON mail_token FOR EACH ROW WHEN (NEW.version <> OLD.version) EXECUTE FUNCTION broken()`)
	return func() { r.t.Helper(); r.exec(`DROP FUNCTION broken CASCADE`) }
}

// result is what an Access on another goroutine came to.
type result struct {
	access token.Access
	err    error
}

// begin calls Access on a goroutine.
func (n *node) begin(ctx context.Context, s token.Source) <-chan result {
	out := make(chan result, 1)
	go func() {
		a, err := n.keeper.Access(ctx, s)
		out <- result{a, err}
	}()
	return out
}

func short(v secret.Value) string { return strings.ReplaceAll(v.Reveal(), "-"+canary, "") }
