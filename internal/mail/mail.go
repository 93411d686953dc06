package mail

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/consent"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/profile"
	"github.com/sealpost/sealpost/internal/mail/record"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/mail/wire"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// Credential is what an account signs in with at the moment.
type Credential struct {
	Login    string
	Password secret.Value
	// Version grows with each new password.
	Version int64
}

// Secrets are the accounts stored in Sealpost.
type Secrets interface {
	// Current returns an account's login and newest password. An account that
	// does not exist is a fault of kind not found.
	Current(ctx context.Context, accountID string) (Credential, error)
	// MayUse returns nil when by may let the account's password be used.
	MayUse(ctx context.Context, by actor.Actor, accountID string) error
	// HoldAccount keeps an account from being deleted before tx ends and
	// returns what a person calls it. For one that does not exist see Current.
	HoldAccount(tx *store.Tx, accountID string) (name string, err error)
}

// Gate lets letters leave, or keeps them back.
type Gate interface {
	OpenGate(tx *store.Tx) error
	CloseGate(tx *store.Tx, reason, detail string) error
}

// The reasons that CloseGate is given.
const (
	gateNoServer = "no_server"
	gatePaused   = "paused"
	gateOperator = "operator"
)

// Config is what a Service needs.
type Config struct {
	// Slot is the server that the service is for; empty means the first one.
	Slot    Slot
	DB      *store.DB
	Keys    *keyring.Keyring
	Audit   *audit.Log
	Letters *letter.Catalogue
	Gate    Gate
	// Removed is told in the transaction that removes the server. Nil tells
	// nobody.
	Removed func(tx *store.Tx, by actor.Actor) error
	// Secrets are the accounts; nil means that there are none.
	Secrets Secrets
	// Prove returns nil when by proved a moment ago who they are. It is asked
	// before mail goes another way than before, or certificates are trusted or
	// trusted no more: links that let people in travel in it. Nil asks nobody.
	Prove func(by actor.Actor) error
	// CaptureAddr returns the "host:port" of the capture mailbox, or "" while
	// there is none. Nil means that there is none.
	CaptureAddr func() string
	// Deny are addresses that no mail server may have. Nil means link-local
	// ones: metadata services of clouds live there.
	Deny []netip.Prefix
	// Roots vouch for servers; nil means the system's.
	Roots *x509.CertPool
	// Wire connects; nil means one that goes straight to the server. It must know
	// Deny itself.
	Wire *wire.Dialer
	// Dial connects in place of Wire, if it is not nil. Deny holds for the
	// connection it returns as well.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Certificate is shown to servers that ask for one; nil means none.
	Certificate *wire.Certificate
	// OAuth talks to authorities, Authorities are those that it may talk to;
	// Tokens keeps what they give. Without them only profiles that do not sign
	// in with OAuth 2.0 can be used.
	OAuth       *oauth.Client
	Authorities oauth.Authorities
	Tokens      *token.Keeper
	// Pace counts recipients; nil means one of DB.
	Pace *pace.Keeper
	// Table says what a refusal by an authority means; needed with Tokens.
	Table *verdict.Table
	// Now is the clock for certificates and tokens; nil means time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Service is safe for use by several goroutines.
type Service struct {
	slot    Slot
	db      *store.DB
	keys    *keyring.Keyring
	audit   *audit.Log
	letters *letter.Catalogue
	gate    Gate
	secrets Secrets
	prove   func(by actor.Actor) error
	removed func(tx *store.Tx, by actor.Actor) error
	capture func() string
	roots   *x509.CertPool
	wire    *wire.Dialer
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	shows   *wire.Certificate
	now     func() time.Time
	log     *slog.Logger

	client *oauth.Client
	rules  profile.Rules
	tokens *token.Keeper
	paces  *pace.Keeper
	table  *verdict.Table

	strangers consent.Strangers
	// memory is what is known of servers that do not keep what they announce.
	memory smtp.Memory
}

// New returns the mail service of a database.
func New(c Config) *Service {
	s := &Service{
		slot: c.Slot, db: c.DB, keys: c.Keys, audit: c.Audit, letters: c.Letters, gate: c.Gate, secrets: c.Secrets, capture: c.CaptureAddr,
		prove: c.Prove, removed: c.Removed, roots: c.Roots, wire: c.Wire, dial: c.Dial, shows: c.Certificate, now: c.Now, log: c.Log,
		client: c.OAuth, rules: profile.Rules{Deny: c.Deny, Authorities: c.Authorities}, tokens: c.Tokens, paces: c.Pace, table: c.Table,
	}
	if s.slot == "" {
		s.slot = Main
	}
	if s.paces == nil {
		s.paces = pace.New(pace.Config{DB: c.DB})
	}
	if s.prove == nil {
		s.prove = func(actor.Actor) error { return nil }
	}
	if s.removed == nil {
		s.removed = func(*store.Tx, actor.Actor) error { return nil }
	}
	if s.capture == nil {
		s.capture = func() string { return "" }
	}
	if s.rules.Deny == nil {
		s.rules.Deny = LinkLocal()
	}
	if s.wire == nil {
		s.wire = wire.New(wire.Config{Deny: s.rules.Deny})
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.memory.Now = s.now
	if s.log == nil {
		s.log = slog.Default()
	}
	return s
}

// LinkLocal returns the addresses that are denied by default.
func LinkLocal() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10")}
}

// SealedColumns names the columns that hold sealed values.
func SealedColumns() []keyring.Column {
	return []keyring.Column{
		{Table: "mail_profile", ID: "id", Column: "sealed"},
		{Table: "mail_oauth", ID: "profile_id", Column: "sealed"},
		{Table: "mail_consent", ID: "id", Column: "sealed"},
	}
}

// Active returns the profile; false while there is none. Everybody who is
// signed in may learn whether mail leaves; what a page shows of it is the
// page's business.
func (s *Service) Active(ctx context.Context) (Profile, bool, error) {
	var p Profile
	var ok bool
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		p, ok, err = s.active(tx, false)
		return err
	})
	return p, ok, err
}

// find returns what is stored in the service's slot; forUpdate locks it.
func (s *Service) find(tx *store.Tx, forUpdate bool) (record.Row, bool, error) {
	words := ""
	if forUpdate {
		words = tx.ForUpdate()
	}
	return record.Find(tx, s.slot, words)
}

// active returns the stored profile; forUpdate locks it.
func (s *Service) active(tx *store.Tx, forUpdate bool) (Profile, bool, error) {
	st, ok, err := s.find(tx, forUpdate)
	return st.Profile, ok, err
}

// ActiveIn is [Service.Active] inside a transaction.
func (s *Service) ActiveIn(tx *store.Tx) (Profile, bool, error) { return s.active(tx, false) }

// HoldIn is ActiveIn for who needs the profile to stay until tx ends.
func (s *Service) HoldIn(tx *store.Tx) (Profile, bool, error) {
	st, ok, err := record.Find(tx, s.slot, tx.ForShare())
	return st.Profile, ok, err
}

// Slot returns the server that the service is for.
func (s *Service) Slot() Slot { return s.slot }

// Use tells where an account is used.
type Use struct {
	// Label is what a person reads, Path the page to go to.
	Label, Path string
}

// UsesOf returns where mail uses an account, so that it is not deleted by
// accident. That stays so until tx ends.
func (s *Service) UsesOf(tx *store.Tx, accountID string) ([]Use, error) {
	p, ok, err := s.HoldIn(tx)
	if err != nil || !ok || p.Auth != AuthAccount || p.AccountID != accountID {
		return nil, err
	}
	return []Use{{Label: "Mail server " + p.Server(), Path: s.slot.SettingsPath()}}, nil
}

func manage(by actor.Actor) error {
	if !by.May(actor.ManageSettings) {
		return fault.Denied("Your role may not manage the mail server.")
	}
	return nil
}

var (
	errNoServer = fault.NotFound("No mail server is set up yet.")
	errStale    = fault.Conflict("The mail server settings were changed by somebody else meanwhile. Reload the page and look again.")
)
