package diagnose_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

const (
	login    = "vault-login@example.org"
	password = "tangerine-7-harbour-X"
	to       = "grace@example.org"
)

// A test that was cut short leaves nothing behind.
func TestMain(m *testing.M) {
	// The PostgreSQL that tests share outlives them.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"),
		goleak.IgnoreAnyFunction("github.com/sealpost/sealpost/internal/store/storetest.(*server).launch.func1"))
}

var grace = actor.Actor{Kind: actor.KindUser, UserID: "u-1", Login: "grace", Name: "Grace Hopper", Role: actor.PrivilegedAdministrator, Door: "web"}

// gate is open or shut, and nobody asks it.
type gate struct{}

func (gate) OpenGate(*store.Tx) error                  { return nil }
func (gate) CloseGate(*store.Tx, string, string) error { return nil }

// shelf is the vault: one account, whose password can be changed or taken away.
type shelf struct{ password string }

func (s *shelf) Current(_ context.Context, id string) (mail.Credential, error) {
	if id != "account-1" {
		return mail.Credential{}, fault.NotFound("There is no such account.")
	}
	return mail.Credential{Login: login, Password: secret.New(s.password), Version: 1}, nil
}

func (s *shelf) HoldAccount(*store.Tx, string) (string, error) { return "Relay / robot", nil }

func (s *shelf) MayUse(_ context.Context, by actor.Actor, _ string) error {
	if by.Login == "mallory" {
		return fault.Denied("Not yours.")
	}
	return nil
}

// rig is a doctor in an installation whose mail server is what a test says.
type rig struct {
	t      *testing.T
	db     *store.DB
	clock  *storetest.Clock
	lab    *smtptest.Lab
	root   *smtptest.Cert
	server *smtptest.Server
	mail   *mail.Service
	audit  *audit.Log
	shelf  *shelf
	doctor *diagnose.Doctor
	// config and mailConfig are what they were made from.
	config     diagnose.Config
	mailConfig mail.Config
	// capture is where the capture mailbox listens.
	capture string
	// port is the one under test, open what answers on the others; those that are
	// not in it are closed.
	port int
	open map[int]string
	told []diagnose.Step
}

func newRig(t *testing.T, db *store.DB, clock *storetest.Clock) *rig {
	t.Helper()
	r := &rig{t: t, db: db, clock: clock, lab: smtptest.NewLab(t, clock.Now()), shelf: &shelf{password: password}}
	r.root = r.lab.Make(smtptest.Order{Name: "System Root", CA: true})
	roots := x509.NewCertPool()
	roots.AddCert(r.root.Certificate)
	rootKey, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
	r.must(err)
	keys, err := keyring.Open(t.Context(), keyring.Config{DB: db, Root: rootKey})
	r.must(err)
	letters, err := letter.New()
	r.must(err)
	r.audit = audit.New(audit.Config{DB: db, Keys: keys, Log: slog.New(slog.DiscardHandler)})
	r.mailConfig = mail.Config{
		DB: db, Keys: keys, Audit: r.audit, Letters: letters, Gate: gate{}, Secrets: r.shelf, CaptureAddr: func() string { return r.capture },
		Roots: roots, Now: clock.Now, Dial: r.dial,
	}
	r.mail = mail.New(r.mailConfig)
	r.must(db.Update(t.Context(), func(tx *store.Tx) error {
		return letters.SetSite(tx, letter.Site{AccessURL: "https://vault.example.org:7272", Organisation: "Example Ltd"})
	}))
	r.config = diagnose.Config{Mail: r.mail, Letters: letters, DB: db, Resolve: resolve, Now: clock.Now}
	r.doctor, err = diagnose.New(r.config)
	r.must(err)
	return r
}

// plain is a rig on SQLite, for what does not depend on the engine.
func plain(t *testing.T) *rig {
	t.Helper()
	clock := storetest.NewClock()
	return newRig(t, storetest.OpenConfig(t, storetest.Config(t, store.SQLite, clock)), clock)
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// dial reaches the server of the test under each name, on the port under test.
func (r *rig) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if _, text, _ := net.SplitHostPort(address); r.port != 0 {
		if port, _ := strconv.Atoi(text); slices.Contains([]int{25, 465, 587}, port) && port != r.port {
			if r.open[port] == "" {
				return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
			}
			return (&net.Dialer{}).DialContext(ctx, network, r.open[port])
		}
	}
	if r.server == nil {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	return r.server.Dial(ctx, network, address)
}

func resolve(_ context.Context, host string) ([]string, error) {
	switch {
	case strings.HasSuffix(host, ".invalid"):
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	case strings.HasPrefix(host, "slow."):
		return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
	}
	return []string{"127.0.0.1"}, nil
}

// cert is a server's certificate that the system vouches for.
func (r *rig) cert() *smtptest.Cert {
	return r.lab.Make(smtptest.Order{Name: smtptest.Host, DNS: []string{smtptest.Host}, By: r.root})
}

// sink makes the server one that behaves.
func (r *rig) sink(change func(*smtptest.SinkConfig)) *smtptest.Sink {
	shown := r.cert().TLS()
	cfg := smtptest.SinkConfig{Certificate: &shown, Mechanisms: sasl.Strength(), Login: login, Password: password}
	if change != nil {
		change(&cfg)
	}
	s := smtptest.StartSink(r.t, cfg)
	r.server = s.Server
	return s
}

// script makes the server one that follows steps.
func (r *rig) script(steps ...smtptest.Step) { r.server = smtptest.Start(r.t, steps) }

// change is what an administrator typed.
func change(edit func(*mail.Change)) mail.Change {
	c := mail.Change{
		Kind: mail.KindSMTP, Host: smtptest.Host, Port: 587, Security: smtp.STARTTLS, SenderAddress: "vault@example.org", SenderName: "Example Vault",
		ReplyTo: "help@example.org", Auth: mail.AuthTyped, Username: login, Password: mail.Password{Action: mail.Replace, Value: secret.New(password)},
		Timeouts: smtp.Timeouts{Greeting: time.Second, Command: 2 * time.Second},
	}
	if edit != nil {
		edit(&c)
	}
	return c
}

// run tests c and looks at what every report must be like.
func (r *rig) run(ctx context.Context, c mail.Change) diagnose.Report {
	r.t.Helper()
	r.told, r.port = nil, c.Port
	report, err := r.doctor.Run(ctx, grace, c, to, func(s diagnose.Step) { r.told = append(r.told, s) })
	r.must(err)
	r.inspect(report)
	return report
}

func (r *rig) inspect(report diagnose.Report) {
	r.t.Helper()
	seen := map[string]bool{}
	bad := 0
	for _, s := range report.Steps {
		if seen[s.Key] || s.Title == "" || s.State == diagnose.Running || s.State == "" {
			r.t.Errorf("the step %+v is there twice, or has not ended", s)
		}
		seen[s.Key] = true
		if s.State == diagnose.Bad {
			bad++
			if s.Detail == "" || s.Advice == "" {
				r.t.Errorf("the failure %+v does not say what to do", s)
			}
		} else if bad > 0 && s.State != diagnose.Skipped {
			r.t.Errorf("%s is %s behind a failure", s.Key, s.State)
		}
	}
	if report.Passed != (bad == 0) || bad > 1 || report.Passed == (report.TestToken == "") {
		r.t.Errorf("passed %v with %d failures and the token %q", report.Passed, bad, report.TestToken)
	}
	r.inspectTold(report)
	for _, text := range append(report.Transcript, report.TestToken) {
		if strings.Contains(text, password) || strings.Contains(text, "dGFuZ2VyaW5l") {
			r.t.Errorf("the password is told: %s", text)
		}
	}
}

// inspectTold wants each step to be told as it ends, and before as under way
// unless it came without a wait.
func (r *rig) inspectTold(report diagnose.Report) {
	r.t.Helper()
	var ended []string
	running := ""
	for _, s := range r.told {
		if diagnose.IsGroup(s.Key) {
			continue
		}
		if s.State == diagnose.Running {
			running = s.Key
			continue
		}
		if running != "" && s.Key != running {
			r.t.Errorf("%s ended while %s was under way", s.Key, running)
		}
		running = ""
		ended = append(ended, s.Key)
	}
	var want []string
	for _, s := range report.Steps {
		want = append(want, s.Key)
	}
	if strings.Join(ended, " ") != strings.Join(want, " ") || running != "" {
		r.t.Errorf("told %v, reported %v, under way %q", ended, want, running)
	}
}

// states shows how the steps ended: "resolve:ok connect:ok …".
func states(report diagnose.Report) string {
	var out []string
	for _, s := range report.Steps {
		out = append(out, s.Key+":"+string(s.State))
	}
	return strings.Join(out, " ")
}

func step(t *testing.T, report diagnose.Report, key string) diagnose.Step {
	t.Helper()
	for _, s := range report.Steps {
		if s.Key == key {
			return s
		}
	}
	t.Fatalf("there is no step %s in %s", key, states(report))
	return diagnose.Step{}
}

// denying returns a doctor whose operator forbids mail servers on some
// addresses.
func (r *rig) denying(t *testing.T, prefix string) *diagnose.Doctor {
	t.Helper()
	cfg := r.mailConfig
	cfg.Deny = []netip.Prefix{netip.MustParsePrefix(prefix)}
	config := r.config
	config.Mail = mail.New(cfg)
	doctor, err := diagnose.New(config)
	r.must(err)
	return doctor
}
