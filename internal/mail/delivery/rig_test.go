package delivery_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/delivery"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

func TestMain(m *testing.M) {
	// The PostgreSQL that tests share outlives them.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"),
		goleak.IgnoreAnyFunction("github.com/sealpost/sealpost/internal/store/storetest.(*server).launch.func1"))
}

var admin = actor.Actor{Kind: actor.KindUser, UserID: "u-admin", Login: "grace", Role: actor.PrivilegedAdministrator}

// accounts is the vault, as mail sees it.
type accounts struct {
	mu       sync.Mutex
	password string
	version  int64
	// asked counts the times that somebody read it.
	asked int
}

func (a *accounts) set(password string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.password = password
	a.version++
}

func (a *accounts) Current(_ context.Context, id string) (mail.Credential, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	if id != "account" {
		return mail.Credential{}, fault.NotFound("There is no such account.")
	}
	return mail.Credential{Login: "robot", Password: secret.New(a.password), Version: a.version}, nil
}

func (a *accounts) HoldAccount(*store.Tx, string) (string, error) { return "Relay / robot", nil }

func (a *accounts) MayUse(context.Context, actor.Actor, string) error { return nil }

// rig is an engine over a database whose clock the test sets, with a mail
// server that wants STARTTLS and a sign-in.
type rig struct {
	t      *testing.T
	db     *store.DB
	clock  *storetest.Clock
	vault  *accounts
	cert   tls.Certificate
	sink   *smtptest.Sink
	mail   *mail.Service
	box    *outbox.Outbox
	audit  *audit.Log
	keys   *keyring.Keyring
	mailed mail.Config
	cfg    delivery.Config
	engine *delivery.Engine

	mu     sync.Mutex
	answer func(smtptest.Asked) string
	down   bool
	events []delivery.Event
}

func each(t *testing.T, f func(r *rig)) { eachServer(t, nil, f) }

// eachServer is each with a server that announces more.
func eachServer(t *testing.T, announce []string, f func(r *rig)) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) { f(newRig(t, db, clock, announce...)) })
}

func newRig(t *testing.T, db *store.DB, clock *storetest.Clock, announce ...string) *rig {
	r := &rig{t: t, db: db, clock: clock, vault: &accounts{password: "first", version: 1}}
	lab := smtptest.NewLab(t, clock.Now())
	ca := lab.Make(smtptest.Order{Name: "Lab CA", CA: true})
	cert := lab.Make(smtptest.Order{IP: []net.IP{net.IPv4(127, 0, 0, 1)}, By: ca}).TLS()
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate)
	r.cert = cert
	r.sink = smtptest.StartSink(t, smtptest.SinkConfig{
		Certificate: &cert, Mechanisms: []string{"PLAIN"}, Login: "robot", Password: "first", Answer: r.answered, Announce: announce,
	})
	root, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
	r.must(err)
	keys, err := keyring.Open(t.Context(), keyring.Config{DB: db, Root: root})
	r.must(err)
	letters, err := letter.New()
	r.must(err)
	log := slog.New(slog.DiscardHandler)
	r.audit = audit.New(audit.Config{DB: db, Keys: keys, Log: log})
	r.box = outbox.New(outbox.Config{DB: db, Keys: keys, Letters: letters, Audit: r.audit})
	r.keys = keys
	r.mailed = mail.Config{
		DB: db, Keys: keys, Audit: r.audit, Letters: letters, Gate: r.box.GateOf(outbox.Main), Secrets: r.vault, Roots: roots, Now: clock.Now, Log: log,
		Dial: r.dial,
	}
	r.mail = mail.New(r.mailed)
	table, err := verdict.New()
	r.must(err)
	r.cfg = delivery.Config{Mail: r.mail, Outbox: r.box, Table: table, Pace: pace.New(pace.Config{DB: db}), Now: clock.Now, Log: log, Observe: r.observe, Poll: 5 * time.Millisecond}
	r.engine = r.newEngine(r.cfg)
	r.update(func(tx *store.Tx) error {
		return letters.SetSite(tx, letter.Site{AccessURL: "https://vault.example.org"})
	})
	r.save(func(*mail.Change) {})
	return r
}

func (r *rig) newEngine(c delivery.Config) *delivery.Engine {
	e, err := delivery.New(c)
	r.must(err)
	r.t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			r.t.Error(err)
		}
	})
	return e
}

// save sets the mail server up, or changes it.
func (r *rig) save(change func(*mail.Change)) {
	r.t.Helper()
	c := mail.Change{
		Kind: mail.KindSMTP, Host: "127.0.0.1", Port: r.sink.Port(), Security: smtp.STARTTLS, SenderAddress: "vault@example.org",
		SenderName: "Vault", Auth: mail.AuthAccount, AccountID: "account", Anyway: true,
	}
	change(&c)
	_, err := r.mail.Save(r.t.Context(), admin, c)
	r.must(err)
}

func (r *rig) dial(ctx context.Context, network, address string) (net.Conn, error) {
	r.mu.Lock()
	down := r.down
	r.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

func (r *rig) setDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

// server makes the mail server answer what f says.
func (r *rig) server(f func(smtptest.Asked) string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

func (r *rig) answered(a smtptest.Asked) string {
	r.mu.Lock()
	f := r.answer
	r.mu.Unlock()
	if f == nil {
		return ""
	}
	return f(a)
}

func (r *rig) observe(e delivery.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// seen counts the events of a sort.
func (r *rig) seen(what, result string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, e := range r.events {
		if e.What == what && e.Result == result {
			n++
		}
	}
	return n
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) update(f func(tx *store.Tx) error) {
	r.t.Helper()
	r.must(r.db.Update(r.t.Context(), f))
}

func (r *rig) add(to string, l letter.Letter) string {
	r.t.Helper()
	var id string
	r.update(func(tx *store.Tx) (err error) {
		id, err = r.box.Add(tx, outbox.Recipient{UserID: "u-" + to, Name: "Ada", Address: to + "@example.org"}, l)
		return err
	})
	return id
}

func (r *rig) addMany(to ...string) []string {
	r.t.Helper()
	ids := make([]string, len(to))
	for i, who := range to {
		ids[i] = r.add(who, news())
	}
	return ids
}

func news() letter.Letter { return letter.PasswordChanged{Name: "Ada"} }

func reset() letter.Letter {
	return letter.PasswordReset{Name: "Ada", Link: letter.Link{URL: secret.New("https://vault.example.org/reset#token"), Code: secret.New("token")}}
}

// run takes turns until there is nothing more to do.
func (r *rig) run() {
	r.t.Helper()
	for more := true; more; {
		var err error
		more, err = r.engine.Run(r.t.Context())
		r.must(err)
	}
}

func (r *rig) row(id string) outbox.Row {
	r.t.Helper()
	row, _, err := r.box.Get(r.t.Context(), admin, id)
	r.must(err)
	return row
}

// want checks the state of a letter.
func (r *rig) want(id string, state outbox.State) outbox.Row {
	r.t.Helper()
	row := r.row(id)
	if row.State != state {
		r.t.Fatalf("the letter to %s is %s (%s %s), want %s", row.To.Address, row.State, row.Reply, row.Advice, state)
	}
	return row
}

func (r *rig) profile() mail.Profile {
	r.t.Helper()
	p, ok, err := r.mail.Active(r.t.Context())
	r.must(err)
	if !ok {
		r.t.Fatal("there is no profile")
	}
	return p
}

func (r *rig) wantState(s mail.State) mail.Profile {
	r.t.Helper()
	p := r.profile()
	if p.State != s {
		r.t.Fatalf("the profile is %s (%s %s), want %s", p.State, p.Problem, p.Reason, s)
	}
	return p
}

// audited counts the entries of an action.
func (r *rig) audited(action string) int {
	r.t.Helper()
	page, err := r.audit.Search(r.t.Context(), admin, audit.Filter{Action: action})
	r.must(err)
	return len(page.Entries)
}

// received returns what the server took for an address.
func (r *rig) received(to string) [][]byte {
	var all [][]byte
	for _, l := range r.sink.Letters() {
		if l.To[0] == to+"@example.org" {
			all = append(all, l.Data)
		}
	}
	return all
}

func (r *rig) wantReceived(to string, n int) {
	r.t.Helper()
	if got := len(r.received(to)); got != n {
		r.t.Fatalf("%s got %d letters, want %d", to, got, n)
	}
}
