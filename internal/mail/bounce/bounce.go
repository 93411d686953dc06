package bounce

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/profile"
	"github.com/sealpost/sealpost/internal/mail/wire"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// Config is what a Service needs.
type Config struct {
	DB     *store.DB
	Keys   *keyring.Keyring
	Audit  *audit.Log
	Outbox *outbox.Outbox
	// Secrets are the accounts stored here; nil means that there are none.
	Secrets mail.Secrets
	// Prove returns nil when by proved a moment ago who they are. It is asked
	// before reports go elsewhere: a letter that comes back may hold a link that
	// lets somebody in. Nil asks nobody.
	Prove func(by actor.Actor) error
	// Deny are addresses that the mailbox may not have. Nil means those of
	// mail.LinkLocal.
	Deny []netip.Prefix
	// Roots vouch for the server; nil means the system's.
	Roots *x509.CertPool
	// Dial connects; nil means a net.Dialer. Deny holds for it as well.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the clock for certificates and for how long settings are
	// remembered; nil means time.Now.
	Now func() time.Time
	// Wake, if not nil, is called when the mailbox should be read soon.
	Wake func()
	Log  *slog.Logger
}

// Service is safe for use by several goroutines.
type Service struct {
	db      *store.DB
	keys    *keyring.Keyring
	audit   *audit.Log
	outbox  *outbox.Outbox
	secrets mail.Secrets
	prove   func(by actor.Actor) error
	deny    []netip.Prefix
	roots   *x509.CertPool
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	now     func() time.Time
	wake    func()
	log     *slog.Logger
	// holder names this process in the lease.
	holder string

	mu sync.Mutex
	// envelope is how letters are to leave, as of when it was looked up.
	envelope envelope
}

// New returns the service of a database.
func New(c Config) (*Service, error) {
	if c.DB == nil || c.Keys == nil || c.Audit == nil || c.Outbox == nil {
		return nil, errors.New("bounce: a database, keys, the audit log and the outbox are needed")
	}
	s := &Service{
		db: c.DB, keys: c.Keys, audit: c.Audit, outbox: c.Outbox, secrets: c.Secrets, prove: c.Prove, deny: c.Deny, roots: c.Roots,
		dial: c.Dial, now: c.Now, wake: c.Wake, log: c.Log, holder: store.NewID(),
	}
	if s.prove == nil {
		s.prove = func(actor.Actor) error { return nil }
	}
	if s.deny == nil {
		s.deny = mail.LinkLocal()
	}
	if s.dial == nil {
		s.dial = (&net.Dialer{Control: s.control}).DialContext
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.wake == nil {
		s.wake = func() {}
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	return s, nil
}

// SealedColumns names the columns that hold sealed values.
func SealedColumns() []keyring.Column {
	return []keyring.Column{{Table: "bounce_setting", ID: "id", Column: "sealed"}}
}

// Path is the page of the settings.
const Path = "/admin/settings/mail/bounces"

// UsesOf returns where an account is used to read bounces, so that it is not
// deleted by accident. That stays so until tx ends.
func (s *Service) UsesOf(tx *store.Tx, accountID string) ([]mail.Use, error) {
	st, ok, err := selectSettings(tx, tx.ForShare())
	if err != nil || !ok || !st.Reads || st.Auth != AuthAccount || st.AccountID != accountID {
		return nil, err
	}
	return []mail.Use{{Label: "Bounce mailbox " + st.Server(), Path: Path}}, nil
}

func manage(by actor.Actor) error {
	if !by.May(actor.ManageSettings) {
		return fault.Denied("Your role may not manage where bounces go.")
	}
	return nil
}

// errAddress tells of an address that the operator forbade.
var errAddress = errors.New("mail servers on this address are not allowed here")

// dialAllowed connects unless the operator forbade the address that the name
// leads to.
func (s *Service) dialAllowed(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := s.dial(ctx, network, address)
	if errors.Is(err, wire.ErrDenied) {
		return nil, errAddress
	}
	if err != nil {
		return nil, err
	}
	if remote, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil && profile.Denied(s.deny, remote.Addr()) {
		return nil, errors.Join(errAddress, conn.Close())
	}
	return conn, nil
}

// control is asked by the dialer before it connects to an address.
func (s *Service) control(_, address string, _ syscall.RawConn) error {
	remote, err := netip.ParseAddrPort(address)
	if err != nil || profile.Denied(s.deny, remote.Addr()) {
		return errAddress
	}
	return nil
}

// credential returns what the mailbox is signed in to with. bound is what was
// sealed: the password, or the account's id.
func (s *Service) credential(ctx context.Context, set Settings, bound secret.Value) (mail.Credential, error) {
	if set.Auth == AuthTyped {
		return mail.Credential{Login: set.Username, Password: bound}, nil
	}
	if s.secrets == nil {
		return mail.Credential{}, errAccountGone
	}
	c, err := s.secrets.Current(ctx, set.AccountID)
	if fault.Is(err, fault.KindNotFound) || err == nil && c.Password.IsZero() {
		return mail.Credential{}, errAccountGone
	}
	return c, err
}

var errAccountGone = errors.New("bounce: the account is gone or has no password")
