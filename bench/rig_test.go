package bench

import (
	"bytes"
	"log/slog"
	"net/netip"
	"testing"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
	"github.com/sealpost/sealpost/internal/vault"
)

// password is one that nobody finds fault with.
var password = secret.New("gherkin-anvil-sextant-9")

var visitor = actor.Actor{From: netip.MustParseAddr("192.0.2.10"), Agent: "bench", Door: "web", RequestID: "r-1"}

// house is an installation that grace set up.
type house struct {
	db    *store.DB
	keys  *keyring.Keyring
	audit *audit.Log
	box   *outbox.Outbox
	mail  *mail.Service
	users *identity.Service
	vault *vault.Service
	grace actor.Actor
	bell  bell
}

// eachHouse runs a benchmark on both engines.
func eachHouse(b *testing.B, f func(b *testing.B, h *house)) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		b.Run(string(engine), func(b *testing.B) { f(b, build(b, storetest.Open(b, engine))) })
	}
}

// join returns a house on a database that others may use as well.
func join(b *testing.B, db *store.DB) *house {
	quiet := slog.New(slog.DiscardHandler)
	root, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
	must(b, err)
	h := &house{db: db}
	h.keys, err = keyring.Open(b.Context(), keyring.Config{DB: db, Root: root})
	must(b, err)
	letters, err := letter.New()
	must(b, err)
	h.audit = audit.New(audit.Config{DB: db, Keys: h.keys, Log: quiet})
	h.box = outbox.New(outbox.Config{DB: db, Keys: h.keys, Letters: letters, Audit: h.audit, Wake: h.bell.ring})
	h.mail = mail.New(mail.Config{DB: db, Keys: h.keys, Audit: h.audit, Letters: letters, Gate: h.box.GateOf(outbox.Main), Log: quiet})
	h.users, err = identity.New(identity.Config{DB: db, Keys: h.keys, Audit: h.audit, Outbox: h.box, Letters: letters, Log: quiet})
	must(b, err)
	h.vault, err = vault.New(vault.Config{DB: db, Keys: h.keys, Audit: h.audit, Users: h.users, Log: quiet})
	must(b, err)
	return h
}

// build returns a house that grace has set up.
func build(b *testing.B, db *store.DB) *house {
	h := join(b, db)
	token, err := h.users.SetupLink(b.Context())
	must(b, err)
	session, _, err := h.users.Setup(b.Context(), visitor, token, identity.SetupRequest{
		Name: "Grace Hopper", Login: "grace", Email: "grace@example.org", Password: password,
		AccessURL: "https://vault.example.org:7272", Organisation: "Example Ltd",
	})
	must(b, err)
	h.grace, _, err = h.users.Authenticate(b.Context(), session.Token, visitor)
	must(b, err)
	return h
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
