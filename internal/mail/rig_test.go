package mail_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

var (
	admin = actor.Actor{Kind: actor.KindUser, UserID: "u-grace", Login: "grace", Role: actor.PrivilegedAdministrator}
	// other may manage the mail server but not use the account.
	other = actor.Actor{Kind: actor.KindUser, UserID: "u-alan", Login: "alan", Role: actor.Administrator}
)

const (
	password = "correct horse battery staple"
	oldHost  = "mail.example.org"
	newHost  = "mail.example.net"
)

// vault is what mail sees of the accounts.
type vault struct {
	mu       sync.Mutex
	password string
	version  int64
	reads    int
	// gone tells that every account was deleted a moment ago.
	gone bool
}

func (v *vault) Current(_ context.Context, id string) (mail.Credential, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reads++
	if id != "account" && id != "second" {
		return mail.Credential{}, fault.NotFound("There is no such account.")
	}
	return mail.Credential{Login: "robot", Password: secret.New(v.password), Version: v.version}, nil
}

func (v *vault) HoldAccount(_ *store.Tx, id string) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.gone {
		return "", fault.NotFound("There is no such account.")
	}
	return "Relay / " + id, nil
}

func (v *vault) MayUse(_ context.Context, by actor.Actor, id string) error {
	switch {
	case id != "account" && id != "second":
		return fault.NotFound("There is no such account.")
	case by.UserID != admin.UserID:
		return fault.Denied("This account is somebody else's.")
	}
	return nil
}

func (v *vault) set(password string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.password = password
	v.version++
}

// gate notes what it is told.
type gate struct {
	open           bool
	reason, detail string
}

func (g *gate) OpenGate(*store.Tx) error {
	*g = gate{open: true}
	return nil
}

func (g *gate) CloseGate(_ *store.Tx, reason, detail string) error {
	*g = gate{reason: reason, detail: detail}
	return nil
}

// rig is the mail service over a database whose clock the test sets. Two
// servers answer, one under the old name and one under every other; the second
// belongs to somebody else and has a good certificate all the same.
type rig struct {
	t      *testing.T
	db     *store.DB
	clock  *storetest.Clock
	vault  *vault
	gate   *gate
	audit  *audit.Log
	cfg    mail.Config
	mail   *mail.Service
	lab    *smtptest.Lab
	ca     *smtptest.Cert
	mine   *smtptest.Sink
	theirs *smtptest.Server
}

func each(t *testing.T, f func(r *rig)) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) { f(newRig(t, db, clock)) })
}

func newRig(t *testing.T, db *store.DB, clock *storetest.Clock) *rig {
	r := &rig{t: t, db: db, clock: clock, vault: &vault{password: password, version: 1}, gate: &gate{}, lab: smtptest.NewLab(t, clock.Now())}
	r.ca = r.lab.Make(smtptest.Order{Name: "Lab CA", CA: true})
	cert := r.lab.Make(smtptest.Order{DNS: []string{oldHost, newHost}, IP: []net.IP{net.IPv4(127, 0, 0, 1)}, By: r.ca}).TLS()
	roots := x509.NewCertPool()
	roots.AddCert(r.ca.Certificate)
	r.mine = smtptest.StartSink(t, smtptest.SinkConfig{Certificate: &cert, Mechanisms: []string{"PLAIN", "LOGIN"}, Login: "robot", Password: password})
	r.theirs = smtptest.Start(t, smtptest.Script{
		smtptest.Greet("STARTTLS"), smtptest.StartTLS(cert), smtptest.Trap("AUTH PLAIN LOGIN CRAM-MD5"),
	})
	root, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
	r.must(err)
	keys, err := keyring.Open(t.Context(), keyring.Config{DB: db, Root: root})
	r.must(err)
	letters, err := letter.New()
	r.must(err)
	log := slog.New(slog.DiscardHandler)
	r.audit = audit.New(audit.Config{DB: db, Keys: keys, Log: log})
	r.cfg = mail.Config{
		DB: db, Keys: keys, Audit: r.audit, Letters: letters, Gate: r.gate, Secrets: r.vault, Roots: roots, Now: clock.Now, Log: log,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, oldHost+":587") {
				return r.mine.Dial(ctx, network, address)
			}
			return r.theirs.Dial(ctx, network, address)
		},
	}
	r.mail = mail.New(r.cfg)
	return r
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

// typed is a profile whose password is typed, account one that uses an account.
func typed() mail.Change {
	return mail.Change{
		Kind: mail.KindSMTP, Host: oldHost, Port: 587, Security: smtp.STARTTLS, SenderAddress: "vault@example.org", SenderName: "Vault",
		Auth: mail.AuthTyped, Username: "robot", Mechanism: "PLAIN", Anyway: true,
		Password: mail.Password{Action: mail.Replace, Value: secret.New(password)},
	}
}

func account() mail.Change {
	c := typed()
	c.Auth, c.Username, c.AccountID, c.Password = mail.AuthAccount, "", "account", mail.Password{}
	return c
}

// keep is c without the password, as a form sends it back.
func keep(c mail.Change) mail.Change {
	c.Password = mail.Password{}
	return c
}

func (r *rig) save(c mail.Change) mail.Profile {
	r.t.Helper()
	p, err := r.mail.Save(r.t.Context(), admin, c)
	r.must(err)
	return p
}

// refuse saves c and wants it refused against a field.
func (r *rig) refuse(by actor.Actor, c mail.Change, field string) *fault.Error {
	r.t.Helper()
	_, err := r.mail.Save(r.t.Context(), by, c)
	return r.against(err, field)
}

func (r *rig) against(err error, field string) *fault.Error {
	r.t.Helper()
	for _, f := range fault.Fields(err) {
		if f.Field == field {
			return &fault.Error{Kind: fault.KindOf(err), Sentence: f.Sentence, Code: fault.CodeOf(err)}
		}
	}
	r.t.Fatalf("got %v, want a fault against %q", err, field)
	return nil
}

func (r *rig) open() mail.Transport {
	r.t.Helper()
	transport, err := r.mail.Open(r.t.Context())
	r.must(err)
	return transport
}

func (r *rig) active() mail.Profile {
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
	p := r.active()
	if p.State != s || r.gate.open != (s == mail.Working) {
		r.t.Fatalf("the profile is %s (%s), the gate open: %v; want %s", p.State, p.Reason, r.gate.open, s)
	}
	return p
}

func (r *rig) audited(action string) []audit.Entry {
	r.t.Helper()
	page, err := r.audit.Search(r.t.Context(), admin, audit.Filter{Action: action})
	r.must(err)
	return page.Entries
}

// signIn connects with a transport and tells what came of it.
func (r *rig) signIn(transport mail.Transport) error {
	conn, err := smtp.Dial(r.t.Context(), transport.Config)
	if err == nil {
		r.must(conn.Close())
	}
	return err
}

// wantNoLeak makes sure that the other server heard no credential, in clear or
// inside TLS.
func (r *rig) wantNoLeak() {
	r.t.Helper()
	if got := r.theirs.Leak(password) + r.theirs.LeakInside(password); got != "" {
		r.t.Errorf("the other server heard %q", got)
	}
}

func (r *rig) anchor(name string) *smtptest.Cert {
	r.t.Helper()
	return r.lab.Make(smtptest.Order{Name: name, CA: true, Until: 400 * 24 * time.Hour})
}
