package blueprint_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/blueprint"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/servers"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
	"github.com/sealpost/sealpost/internal/vault"
)

var root = actor.Operator("root", "apply")

// rig is an installation that nobody has set up.
type rig struct {
	t  *testing.T
	db *store.DB
	blueprint.Services
	audit *audit.Log
	box   *outbox.Outbox
}

// late is the vault for rooms that are built before it.
type late struct{ *vault.Service }

func (l *late) Current(ctx context.Context, id string) (mail.Credential, error) {
	login, password, version, err := l.CurrentCredential(ctx, id)
	return mail.Credential{Login: login, Password: password, Version: version}, err
}

func each(t *testing.T, f func(r *rig)) {
	t.Helper()
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := &rig{t: t, db: db}
		quiet := slog.New(slog.DiscardHandler)
		key, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
		r.must(err)
		keys, err := keyring.Open(t.Context(), keyring.Config{DB: db, Root: key})
		r.must(err)
		letters, err := letter.New()
		r.must(err)
		var vaultLater late
		r.audit = audit.New(audit.Config{DB: db, Keys: keys, Log: quiet})
		r.box = outbox.New(outbox.Config{DB: db, Keys: keys, Letters: letters, Audit: r.audit, Route: servers.Route})
		r.Outbox = r.box
		authorities, err := oauth.NewAuthorities(nil)
		r.must(err)
		table, err := verdict.New()
		r.must(err)
		client := oauth.NewClient(oauth.Config{Authorities: authorities, Dial: func(context.Context, string, string) (net.Conn, error) {
			r.t.Error("a set-up file asked an authority")
			return nil, net.ErrClosed
		}})
		c := mail.Config{
			DB: db, Keys: keys, Audit: r.audit, Letters: letters, Gate: r.box.GateOf(outbox.Main), Secrets: &vaultLater, Log: quiet,
			OAuth: client, Authorities: authorities, Table: table, Tokens: token.New(token.Config{DB: db, Keys: keys, Client: client, Log: quiet}),
		}
		r.Mail = mail.New(c)
		c.Slot, c.Gate, c.Removed = mail.Second, r.box.GateOf(outbox.Second), func(tx *store.Tx, by actor.Actor) error { return r.Servers.Removed(tx, by) }
		r.Second = mail.New(c)
		r.Servers = servers.New(servers.Config{DB: db, Audit: r.audit, Outbox: r.box, Main: r.Mail, Second: r.Second})
		r.Users, err = identity.New(identity.Config{
			DB: db, Keys: keys, Audit: r.audit, Outbox: r.box, Letters: letters, Holdings: &vaultLater, Log: quiet,
		})
		r.must(err)
		r.Vault, err = vault.New(vault.Config{DB: db, Keys: keys, Audit: r.audit, Users: r.Users, Log: quiet})
		r.must(err)
		vaultLater.Service = r.Vault
		r.Bounces, err = bounce.New(bounce.Config{DB: db, Keys: keys, Audit: r.audit, Outbox: r.box, Secrets: &vaultLater, Log: quiet})
		r.must(err)
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

type secrets map[blueprint.Ref][]byte

// plan compares a file with what is there.
func (r *rig) plan(file string, s secrets) (*blueprint.Plan, error) {
	spec, err := blueprint.Parse([]byte(file))
	if err != nil {
		return nil, err
	}
	return blueprint.Make(r.ctx(), r.Services, root, spec, s)
}

// apply applies a file and returns what was done, a line for each step.
func (r *rig) apply(file string, s secrets) []string {
	r.t.Helper()
	p, err := r.plan(file, s)
	r.must(err)
	var said []string
	n, err := p.Apply(r.ctx(), func(s blueprint.Step) { said = append(said, words(s)) })
	r.must(err)
	if n != len(said) || n != len(p.Steps()) {
		r.t.Errorf("%d steps, %d taken, %d said", len(p.Steps()), n, len(said))
	}
	return said
}

// settled checks that the file asks for nothing any more.
func (r *rig) settled(file string, s secrets) {
	r.t.Helper()
	p, err := r.plan(file, s)
	r.must(err)
	for _, s := range p.Steps() {
		r.t.Errorf("the file wants more: %s", words(s))
	}
}

func words(s blueprint.Step) string {
	return strings.Join(append([]string{s.Verb + " " + s.What}, s.Lines...), "; ")
}

// actions returns what the audit log says was done through the door of the
// file, the oldest first.
func (r *rig) actions() []string {
	r.t.Helper()
	page, err := r.audit.Search(r.ctx(), root, audit.Filter{Limit: 200})
	r.must(err)
	var out []string
	for _, e := range page.Entries {
		if e.Actor.Door != "apply" || e.Actor.Login != "operator:root" {
			r.t.Errorf("%s was done by %s through %q", e.Action, e.Actor.Login, e.Actor.Door)
		}
		out = append(out, strings.TrimSpace(e.Action+" "+e.Name))
	}
	slices.Reverse(out)
	return out
}

// rows counts all rows, table by table.
func (r *rig) rows() string {
	r.t.Helper()
	var b strings.Builder
	r.must(r.db.View(r.ctx(), func(tx *store.Tx) error {
		b.Reset()
		for _, table := range []string{"audit_entry", "letter_site", "outbox_letter", "mail_profile", "mail_anchor", "mail_oauth", "mail_token", "identity_user", "identity_link", "vault_resource", "vault_account", "vault_version"} {
			n, err := store.One(tx, func(row store.Row) (n int, err error) { return n, row.Scan(&n) }, `SELECT COUNT(*) FROM `+table)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s %d, ", table, n)
		}
		return nil
	}))
	return b.String()
}

// certificate makes a self-signed certificate in PEM form.
func certificate(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
