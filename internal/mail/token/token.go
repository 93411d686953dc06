package token

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// Source says whose tokens are meant and how new ones are got.
type Source struct {
	// ProfileID is the mail profile.
	ProfileID string
	// Bind is all that a token may be used for and comes from, in words; see
	// [keyring.Place]. The client's credential is not part of it.
	Bind string
	// Settings are complete: see [oauth.Settings.Complete].
	Settings   oauth.Settings
	Credential oauth.Credential
}

// person tells that the tokens begin with somebody who signs in.
func (s Source) person() bool { return s.Settings.Grant == oauth.Consent }

func (s Source) check() error {
	if s.ProfileID == "" || s.Bind == "" {
		return fault.Internal(errors.New("token: a source needs a profile and what it is bound to"))
	}
	return nil
}

// same tells that two sources ask for the same token in the same way.
func (s Source) same(o Source) bool {
	return s.Bind == o.Bind && s.Credential.Secret.Equal(o.Credential.Secret) && s.Credential.Key.Equal(o.Credential.Key)
}

// Access is a token that lives, and what is known of it.
type Access struct {
	Token secret.Value
	// Version tells tokens of a profile apart; a newer one is greater. 0 is a
	// token that is not kept.
	Version int64
	// Expires is when it ends, by this node's clock.
	Expires time.Time
	// Scopes are those granted.
	Scopes string
	// Who is the name of the person who signed in, empty where nobody did.
	Who string
}

// ErrSignIn says that there is no token for these settings and that a person
// must sign in to get one.
var ErrSignIn error = fault.Conflict("Nobody has signed in for this mailbox with these settings yet. Sign in.").WithCode(fault.CodeSignIn)

// Outcome is what came of a request for a token.
type Outcome string

// The outcomes.
const (
	// Got: there is a new token.
	Got Outcome = "got"
	// Refused: the authority said no, or the settings cannot be used.
	Refused Outcome = "refused"
	// Failed: the authority was not reached, or asks to come back later.
	Failed Outcome = "failed"
	// Unstored: there is a new token, which could not be stored yet.
	Unstored Outcome = "unstored"
)

// Event tells about one request to the authority.
type Event struct {
	ProfileID string
	Provider  oauth.Provider
	Grant     oauth.Grant
	Outcome   Outcome
	// Took is how long the authority took.
	Took time.Duration
}

// Config is what a keeper needs.
type Config struct {
	DB   *store.DB
	Keys *keyring.Keyring
	// Client asks the authorities. Its clock must be Now.
	Client *oauth.Client
	// Now is the clock by which memory is kept. Nil means time.Now.
	Now func() time.Time
	// Random spreads refreshes. Nil means crypto/rand.
	Random io.Reader
	// Log receives what was refreshed and what failed, never a token. Nil means
	// slog.Default.
	Log *slog.Logger
	// Observe, if not nil, is told about each request; it must not wait.
	Observe func(Event)
}

// Keeper keeps tokens. It is safe for use by several goroutines. Its methods
// that take a context must not be called inside a transaction.
type Keeper struct {
	Config

	mu       sync.Mutex
	held     map[string]held     // by profile: what this node remembers
	unstored map[string]unstored // by profile: answers that wait to be stored
	flights  map[string]*flight  // by profile: the asking under way
	closed   bool
	stopping chan struct{}
	under    sync.WaitGroup
}

// New returns a keeper.
func New(c Config) *Keeper {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Observe == nil {
		c.Observe = func(Event) {}
	}
	return &Keeper{
		Config: c, held: make(map[string]held), unstored: make(map[string]unstored), flights: make(map[string]*flight),
		stopping: make(chan struct{}),
	}
}

// SealedColumns names the columns that hold sealed values.
func SealedColumns() []keyring.Column {
	return []keyring.Column{{Table: "mail_token", ID: "profile_id", Column: "sealed", Version: "version"}}
}

// Close lets no further asking begin, waits for what is under way, and stores
// what could not be stored before. Call it before the database is closed. It
// gives up when ctx ends.
func (k *Keeper) Close(ctx context.Context) error {
	k.mu.Lock()
	if !k.closed {
		k.closed = true
		close(k.stopping)
	}
	k.mu.Unlock()
	done := make(chan struct{})
	go func() { defer close(done); k.under.Wait() }()
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	k.mu.Lock()
	var left []string
	for id := range k.unstored {
		left = append(left, id)
	}
	k.mu.Unlock()
	var all error
	for _, id := range left {
		_, err := k.settle(ctx, id)
		all = errors.Join(all, err)
	}
	return all
}
