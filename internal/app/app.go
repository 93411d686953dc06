package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/capture"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/dkim"
	"github.com/sealpost/sealpost/internal/mail/domain"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/servers"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/mail/wire"
	"github.com/sealpost/sealpost/internal/operator"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/vault"
	"github.com/sealpost/sealpost/internal/worker"
)

// databaseFile is the name of the SQLite file in the data folder.
const databaseFile = "sealpost.db"

// Outside is what the program takes from the world around it. The zero
// Outside is the real world.
type Outside struct {
	// Now is the clock of everything; nil means the real one.
	Now func() time.Time
	// MailRoots vouch for mail servers and authorities; nil means the system's.
	MailRoots *x509.CertPool
	// Dial connects to mail servers and authorities; nil means the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Resolve looks the names of mail servers up in tests of them; nil means
	// the system's resolver.
	Resolve func(ctx context.Context, host string) ([]string, error)
}

// Options are what New needs beside the operator's configuration.
type Options struct {
	// Log receives what happens. Nil means slog.Default.
	Log *slog.Logger
	// Existing refuses to make a new installation: a mistyped data folder is
	// then a fault and not an empty Sealpost.
	Existing bool
	// Version is the release, for what is written down to be sent to others.
	Version string
	Outside Outside
}

// App is the domains, wired, without a listener.
type App struct {
	cfg     config.Config
	version string
	out     Outside
	log     *slog.Logger
	events  *eventCounter
	bell    bell
	url     atomic.Pointer[string]
	db      *store.DB
	keys    *keyring.Keyring
	audit   *audit.Log
	letters *letter.Catalogue
	outbox  *outbox.Outbox
	table   *verdict.Table
	// wire connects to mail servers; shows is what they are shown that ask who
	// connects, nil where the operator gave nothing.
	wire   *wire.Dialer
	shows  *wire.Certificate
	tokens *token.Keeper
	pace   *pace.Keeper
	// mail is the first mail server, second the one beside it.
	mail, second *mail.Service
	servers      *servers.Service
	dkim         *dkim.Service
	// bounces knows what came back; mailbox reads it.
	bounces *bounce.Service
	mailbox atomic.Pointer[worker.Handle]
	// capture is nil where the operator switched it off.
	capture *capture.Mailbox
	// dns is asked about mail; doctor and doctor2 test them.
	dns             *domain.Resolver
	doctor, doctor2 *diagnose.Doctor
	users           *identity.Service
	vault           *vault.Service
	door            *operator.Door
	// grants and alerts count from the start, for whoever asks.
	grants, alerts *prometheus.CounterVec
	// metrics is nil where nobody asks for them.
	metrics *metrics
}

// New opens the database and builds the domains.
func New(ctx context.Context, cfg config.Config, o Options) (*App, error) {
	a := &App{cfg: cfg, version: o.Version, out: o.Outside, log: o.Log, grants: newGrants(), alerts: newAlerts()}
	fromZero(a.grants, a.alerts)
	if a.log == nil {
		a.log = slog.Default()
	}
	if a.out.Now == nil {
		a.out.Now = time.Now
	}
	local := localURL(cfg.Listen)
	a.url.Store(&local)
	if o.Existing {
		if err := exists(cfg); err != nil {
			return nil, err
		}
	}
	if err := a.open(ctx, o.Outside.Now); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	if err := a.build(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// Busy tells that New was refused because another process has the database
// open.
func Busy(err error) bool { return errors.Is(err, syscall.EWOULDBLOCK) }

// exists refuses a data folder in which no Sealpost lives.
func exists(cfg config.Config) error {
	if !cfg.Database.IsZero() {
		if _, err := os.Stat(cfg.RootKey); errors.Is(err, os.ErrNotExist) {
			return fault.NotFound(fmt.Sprintf("There is no root key %s. Name the data folder with --data, or copy the key of another node there.", cfg.RootKey)).Because(err)
		}
		return nil
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, databaseFile)); errors.Is(err, os.ErrNotExist) {
		return fault.NotFound(fmt.Sprintf("There is no Sealpost in the folder %s. Name its folder with --data, or start one with sealpost serve.", cfg.DataDir)).Because(err)
	}
	return nil
}

// open opens the database and the keyring. A nil clock leaves time to the
// database.
func (a *App) open(ctx context.Context, now func() time.Time) (err error) {
	a.db, err = store.Open(ctx, store.Config{
		Path: filepath.Join(a.cfg.DataDir, databaseFile), URL: a.cfg.Database, Now: now, Log: a.log,
	})
	if err != nil {
		return err
	}
	root, err := keyring.RootKeyOf(ctx, a.db, a.cfg.RootKey)
	if err != nil {
		return err
	}
	a.keys, err = keyring.Open(ctx, keyring.Config{DB: a.db, Root: root, Now: a.out.Now})
	return err
}

// build makes the domains, from the ones that know nobody to the ones that
// know most.
func (a *App) build() (err error) {
	a.events = newEventCounter(a.log.Handler())
	a.audit = audit.New(audit.Config{DB: a.db, Keys: a.keys, Log: slog.New(a.events)})
	if a.letters, err = letter.New(); err != nil {
		return err
	}
	a.outbox = outbox.New(outbox.Config{
		DB: a.db, Keys: a.keys, Audit: a.audit, Letters: a.letters, Route: servers.Route, Wake: a.bell.ring,
		Failed: func(tx *store.Tx, id string) error { return a.bounces.Refused(tx, id) },
	})
	if a.cfg.CaptureListen != "" {
		a.capture = capture.New(capture.Config{DB: a.db, Keys: a.keys, Audit: a.audit, Log: a.log})
	}
	var late lateVault
	if err := errors.Join(a.buildDNS(), a.buildMail(&late), a.buildBounces(&late)); err != nil {
		return err
	}
	for _, d := range []struct {
		mail *mail.Service
		into **diagnose.Doctor
	}{{a.mail, &a.doctor}, {a.second, &a.doctor2}} {
		if *d.into, err = a.newDoctor(d.mail); err != nil {
			return err
		}
	}
	a.users, err = identity.New(identity.Config{
		DB: a.db, Keys: a.keys, Audit: a.audit, Outbox: a.outbox, Letters: a.letters, Holdings: &late,
		Now: a.out.Now, Log: a.log,
	})
	if err != nil {
		return err
	}
	a.vault, err = vault.New(vault.Config{
		DB: a.db, Keys: a.keys, Audit: a.audit, Users: a.users, Uses: a.usesOf, Now: a.out.Now, Log: a.log,
	})
	if err != nil {
		return err
	}
	late.Service = a.vault
	a.door = operator.New(operator.Config{
		DB: a.db, Keys: a.keys, Audit: a.audit, Outbox: a.outbox, Bounces: a.bounces, Mail: a.mail, Doctor: a.doctor,
		Second: a.second, SecondDoctor: a.doctor2, Servers: a.servers, DKIM: a.dkim,
		Users: a.users, Vault: a.vault, Version: a.version,
		Columns: sealedColumns(), LocalURL: func() string { return *a.url.Load() }, Now: a.out.Now,
	})
	return nil
}

// buildMail makes what knows the mail server, and those that give out tokens
// for it.
func (a *App) buildMail(secrets mail.Secrets) error {
	authorities, err := oauth.NewAuthorities(a.cfg.OAuthAuthorities)
	if err != nil {
		return fault.Invalid("mail.oauth.authorities", "This is not a host like login.example.org, or one with its port.").Because(err)
	}
	var proxy *url.URL
	if !a.cfg.OAuthProxy.IsZero() {
		if proxy, err = url.Parse(a.cfg.OAuthProxy.Reveal()); err != nil {
			return fault.Invalid("mail.oauth.proxy", "This is not the address of an HTTP proxy.") // which may hold a password
		}
	}
	if a.table, err = verdict.New(); err != nil {
		return err
	}
	if err := a.buildWire(); err != nil {
		return err
	}
	client := oauth.NewClient(oauth.Config{Authorities: authorities, Roots: a.out.MailRoots, Proxy: proxy, Dial: a.out.Dial, Now: a.out.Now})
	a.tokens = token.New(token.Config{DB: a.db, Keys: a.keys, Client: client, Now: a.out.Now, Log: a.log, Observe: func(e token.Event) {
		a.grants.WithLabelValues(string(e.Provider), string(e.Grant), string(e.Outcome)).Inc()
	}})
	a.pace = pace.New(pace.Config{DB: a.db})
	c := mail.Config{
		DB: a.db, Keys: a.keys, Audit: a.audit, Letters: a.letters, Secrets: secrets, Prove: a.prove,
		CaptureAddr: a.captureAddr, Deny: a.cfg.DenyMailTo, Roots: a.out.MailRoots, Now: a.out.Now, Log: a.log,
		Wire: a.wire, Dial: a.out.Dial, Certificate: a.shows,
		OAuth: client, Authorities: authorities, Tokens: a.tokens, Pace: a.pace, Table: a.table,
	}
	c.Gate = a.outbox.GateOf(outbox.Main)
	a.mail = mail.New(c)
	c.Slot, c.Gate = mail.Second, a.outbox.GateOf(outbox.Second)
	c.Removed = func(tx *store.Tx, by actor.Actor) error { return a.servers.Removed(tx, by) }
	a.second = mail.New(c)
	a.buildDKIM()
	a.servers = servers.New(servers.Config{DB: a.db, Audit: a.audit, Outbox: a.outbox, Main: a.mail, Second: a.second, Prove: a.prove, Moved: a.dkim.Exchange})
	return nil
}

// sealedColumns are the columns of sealed values of all rooms: one that is
// missing here could not be opened after the keys were rotated.
func sealedColumns() []keyring.Column {
	return slices.Concat(identity.SealedColumns(), mail.SealedColumns(), token.SealedColumns(), outbox.SealedColumns(), bounce.SealedColumns(), vault.SealedColumns(), capture.SealedColumns(), dkim.SealedColumns())
}

// prove asks whether by proved a moment ago who they are.
func (a *App) prove(by actor.Actor) error { return identity.RequireProof(by, a.out.Now()) }

// captureAddr returns where the capture mailbox listens, and "" while it does
// not.
func (a *App) captureAddr() string {
	if a.capture == nil {
		return ""
	}
	return a.capture.Addr()
}

// Door returns the commands that a person at the machine's shell may give.
func (a *App) Door() *operator.Door { return a.door }

// Close waits for requests for tokens under way, whose answers are stored, and
// closes the database.
func (a *App) Close() error {
	if a.db == nil {
		return nil
	}
	var err error
	if a.tokens != nil {
		ctx, cancel := context.WithTimeout(context.Background(), token.EndTime)
		defer cancel()
		err = a.tokens.Close(ctx)
	}
	return errors.Join(err, a.db.Close())
}

// bell wakes the delivery loops, once there are some.
type bell struct{ first, second atomic.Pointer[worker.Handle] }

func (b *bell) ring() {
	for _, loop := range []*worker.Handle{b.first.Load(), b.second.Load()} {
		if loop != nil {
			loop.Wake()
		}
	}
}
