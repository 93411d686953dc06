package journey

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// The first administrator of every journey.
const (
	gracePassword = "gherkin-anvil-sextant-9"
	graceName     = "Grace Hopper"
	graceEmail    = "grace@example.org"
)

// seed sets Sealpost up on the machine by calling the domains themselves, while
// no server runs: grace is there, and mail leaves through a server on this
// machine that wants neither encryption nor a sign-in.
func (m *machine) seed(port int) {
	m.t.Helper()
	must := func(err error) {
		m.t.Helper()
		if err != nil {
			m.t.Fatal(err)
		}
	}
	ctx, quiet := m.t.Context(), slog.New(slog.DiscardHandler)
	must(os.MkdirAll(m.data, 0o700))
	db, err := store.Open(ctx, store.Config{Path: filepath.Join(m.data, "sealpost.db"), URL: secret.New(m.database), Log: quiet})
	must(err)
	root, err := keyring.LoadOrCreateRootKey(filepath.Join(m.data, "root.key"))
	must(err)
	keys, err := keyring.Open(ctx, keyring.Config{DB: db, Root: root})
	must(err)
	letters, err := letter.New()
	must(err)
	log := audit.New(audit.Config{DB: db, Keys: keys, Log: quiet})
	box := outbox.New(outbox.Config{DB: db, Keys: keys, Letters: letters, Audit: log})
	users, err := identity.New(identity.Config{DB: db, Keys: keys, Audit: log, Outbox: box, Letters: letters, Log: quiet})
	must(err)
	visitor := actor.Actor{From: netip.MustParseAddr("127.0.0.1"), Door: "setup"}
	token, err := users.SetupLink(ctx)
	must(err)
	session, _, err := users.Setup(ctx, visitor, token, identity.SetupRequest{
		Name: graceName, Login: "grace", Email: graceEmail, Password: secret.New(gracePassword),
		AccessURL: m.url(), Organisation: "Example Ltd",
	})
	must(err)
	grace, _, err := users.Authenticate(ctx, session.Token, visitor)
	must(err)
	_, err = mail.New(mail.Config{DB: db, Keys: keys, Audit: log, Letters: letters, Gate: box.GateOf(outbox.Main), Log: quiet}).Save(ctx, grace, mail.Change{
		Kind: mail.KindSMTP, Host: "127.0.0.1", Port: port, Security: smtp.None, Auth: mail.AuthNone,
		SenderAddress: "vault@example.org", SenderName: "Sealpost", Anyway: true,
	})
	must(err)
	must(db.Close())
}

// signIn signs grace in at a desk.
func (d *desk) signIn(login, password string) {
	d.t.Helper()
	a := d.send("/sign-in", "/sign-in", map[string]string{"login": login, "password": password})
	if a.status != 303 {
		d.t.Fatalf("%s cannot sign in: status %d\n%s", login, a.status, words(a.body))
	}
}

// engines are those a proof runs on.
func engines(t *testing.T, f func(t *testing.T, engine store.Engine)) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) { f(t, engine) })
	}
}
