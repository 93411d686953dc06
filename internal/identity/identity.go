package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity/guess"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// How long things live.
const (
	// InvitationLife is how long an invitation's link can be used.
	InvitationLife = 72 * time.Hour
	// ResetLife is how long the link to a new password can be used.
	ResetLife = 30 * time.Minute
	// SetupLife is how long the link to the set-up can be used.
	SetupLife = 72 * time.Hour
	// ProofLife is how long after signing in, or after typing the password
	// again, dangerous acts are open.
	ProofLife = 10 * time.Minute
	// deviceLife is how long a browser that was not used stays known.
	deviceLife = 180 * 24 * time.Hour
)

// Holdings is what identity must know about things that users own. The vault
// fulfils it.
type Holdings interface {
	// Owned counts what the user owns.
	Owned(tx *store.Tx, userID string) (int, error)
	// Handover makes user to the owner of all that user from owns, and
	// returns how much that was.
	Handover(tx *store.Tx, by actor.Actor, from, to string) (int, error)
}

// Config is what the service needs. DB, Keys, Audit, Outbox and Letters are
// required.
type Config struct {
	DB      *store.DB
	Keys    *keyring.Keyring
	Audit   *audit.Log
	Outbox  *outbox.Outbox
	Letters *letter.Catalogue
	// Holdings tells what users own. Nil means that nothing is owned.
	Holdings Holdings
	// Idle ends a session that was not used for so long. 0 means 30 minutes.
	Idle time.Duration
	// Absolute ends every session after so long. 0 means 12 hours.
	Absolute time.Duration
	// Now is the clock by which the age of a proof is judged. Nil means
	// time.Now. What is stored follows the database's clock.
	Now func() time.Time
	// Random is the source of tokens and salts. Nil means crypto/rand.
	Random io.Reader
	// Log receives what a person need not be told. Nil means slog.Default.
	Log *slog.Logger
}

// Service holds the operations. It is safe for use by several goroutines.
type Service struct {
	Config
	pool *pool
	// words is read when the first password is judged: a start pays nothing.
	words func() *guess.Dictionary
	// decoy is a hash that no password fits, checked in place of the one that
	// an unknown user does not have.
	decoy string
}

// New returns the service.
func New(c Config) (*Service, error) {
	if c.DB == nil || c.Keys == nil || c.Audit == nil || c.Outbox == nil || c.Letters == nil {
		return nil, errors.New("identity: a part of the configuration is missing")
	}
	if c.Idle == 0 {
		c.Idle = 30 * time.Minute
	}
	if c.Absolute == 0 {
		c.Absolute = 12 * time.Hour
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	s := &Service{Config: c, pool: newPool(), words: sync.OnceValue(guess.New)}
	salt, err := s.bytes(saltSize)
	if err != nil {
		return nil, err
	}
	// A key of zeros is as good as any that nobody knows a password for.
	s.decoy = encodeHash(current, salt, make([]byte, keySize))
	return s, nil
}

// SealedColumns names the columns that hold sealed values.
func SealedColumns() []keyring.Column {
	return []keyring.Column{{Table: "identity_user", ID: "id", Column: "sealed_password"}}
}

func (s *Service) bytes(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.Random, b); err != nil {
		return nil, fault.Internal(err)
	}
	return b, nil
}

// codes is the alphabet of tokens: letters and digits that can be read aloud
// and typed, none of which looks like another.
var codes = base32.StdEncoding.WithPadding(base32.NoPadding)

// newToken returns n random bytes as text of lower-case letters and digits,
// and the hash under which the database knows it.
func (s *Service) newToken(n int) (secret.Value, []byte, error) {
	b, err := s.bytes(n)
	if err != nil {
		return secret.Value{}, nil, err
	}
	token := secret.New(strings.ToLower(codes.EncodeToString(b)))
	return token, hashToken(token), nil
}

// The sizes of tokens in bytes. Links are also typed, so they are shorter.
const (
	linkSize    = 16
	sessionSize = 32
)

// hashToken returns the SHA-256 of a token, as a person may have typed it. A
// plain hash is enough: tokens have 128 random bits or more.
func hashToken(token secret.Value) []byte {
	plain := strings.ToLower(token.Reveal())
	plain = strings.NewReplacer("-", "", " ", "", "\t", "", "\r", "", "\n", "", "0", "o", "1", "l", "8", "b").Replace(plain)
	sum := sha256.Sum256([]byte(plain))
	return sum[:]
}

// asUser returns from as acting for u.
func asUser(from actor.Actor, u User, sessionID string) actor.Actor {
	from.Kind, from.UserID, from.Login, from.Name, from.Role = actor.KindUser, u.ID, u.Login, u.Name, u.Role
	from.SessionID = sessionID
	return from
}

// about returns an event whose object is u.
func about(u User, action string, detail ...audit.Detail) audit.Event {
	return audit.Event{Action: action, Kind: "user", ID: u.ID, Name: u.Login, Detail: detail}
}

// errSignedOut is what everybody hears who needs a session and has none.
var errSignedOut = fault.Denied("Your session has ended. Sign in again.").WithCode(CodeSignedOut)

// CodeSignedOut is the fault code of calls that need a session where there is
// none, or none any more.
const CodeSignedOut = "signed_out"

// RequireProof refuses a user whose last proof of who they are is older than
// [ProofLife]; a door answers the code fault.CodeReauthenticate by asking for
// the password. The operator and the system pass: they have no password.
func RequireProof(by actor.Actor, now time.Time) error {
	if by.Kind == actor.KindOperator || by.Kind == actor.KindSystem {
		return nil
	}
	if by.Kind == actor.KindUser && !by.Proved.IsZero() && now.Sub(by.Proved) <= ProofLife {
		return nil
	}
	return fault.Denied("Type your password again to go on.").WithCode(fault.CodeReauthenticate)
}
