package dkim

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/domain"
	"github.com/sealpost/sealpost/internal/store"
)

// Slot names the mail server that letters leave through.
type Slot string

// The slots.
const (
	Main   Slot = "main"
	Second Slot = "second"
)

// State is how far a set of keys is.
type State string

// The states of a set.
const (
	// New: its records have not been seen in the DNS.
	New State = "new"
	// Active: it signs.
	Active State = "active"
	// Retired: it signs again what it signed before.
	Retired State = "retired"
)

// Verdict is what the DNS says of a key.
type Verdict string

// The verdicts; empty means that nobody has looked.
const (
	OK      Verdict = "ok"
	Missing Verdict = "missing"
	Differs Verdict = "differs"
	// Unsure: the DNS could not be asked.
	Unsure Verdict = "unsure"
)

// KeepRetired is how long a retired set is kept: longer than any letter is
// tried.
const KeepRetired = 7 * 24 * time.Hour

// Set is keys that sign together.
type Set struct {
	ID     string
	Slot   Slot
	Domain string
	State  State
	// Anyway tells that an administrator let it sign without its records.
	Anyway    bool
	CreatedAt time.Time
	// CreatedBy is the login of who made it.
	CreatedBy string
	// ActiveAt and RetiredAt are zero before.
	ActiveAt, RetiredAt time.Time
	Keys                []Key
}

// Published reports whether all its records were right when last looked at.
func (s Set) Published() bool {
	for _, k := range s.Keys {
		if k.Verdict != OK {
			return false
		}
	}
	return len(s.Keys) > 0
}

// CheckedAt is when the DNS was last asked for it; zero means never.
func (s Set) CheckedAt() time.Time {
	var last time.Time
	for _, k := range s.Keys {
		if k.CheckedAt.After(last) {
			last = k.CheckedAt
		}
	}
	return last
}

// Key is one key of a set, without its private half.
type Key struct {
	ID        string
	Algorithm Algorithm
	Selector  string
	Record    Record
	// Verdict is what the last look at the DNS said, at CheckedAt: Found is what
	// stands there, Why a plain sentence. SeenAt is when it was last right.
	Verdict           Verdict
	Found, Why        string
	CheckedAt, SeenAt time.Time

	public string
	sealed []byte
}

// DNS looks keys up.
type DNS interface {
	// DKIMKey is as [domain.Resolver.DKIMKey].
	DKIMKey(ctx context.Context, selector, dkimDomain string) (domain.Key, error)
}

// Config is what a Service needs.
type Config struct {
	DB    *store.DB
	Keys  *keyring.Keyring
	Audit *audit.Log
	DNS   DNS
	// Sender returns the domain that letters of a slot come from, "" while there
	// is no server.
	Sender func(ctx context.Context, slot Slot) (string, error)
	// Prove returns nil when by proved a moment ago who they are. Nil asks
	// nobody.
	Prove func(by actor.Actor) error
	Log   *slog.Logger
}

// Service is safe for use by several goroutines.
type Service struct {
	Config

	mu sync.Mutex
	// opened are private keys by the set's id, signs is what signs for a slot.
	opened map[string][]signKey
	signs  map[Slot]signing
}

// signing is what signs for a slot, as it was found a short time ago.
type signing struct {
	id, domain string
	until      time.Time
}

const (
	// trusted is how long it is believed which set signs. What changes on another
	// node takes that long to be seen here; the set from before is valid still.
	trusted = 5 * time.Second
	// maxOpened bounds the sets that are kept open.
	maxOpened = 8
)

// NewService returns the service of a database.
func NewService(c Config) *Service {
	if c.Prove == nil {
		c.Prove = func(actor.Actor) error { return nil }
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Service{Config: c, opened: make(map[string][]signKey), signs: make(map[Slot]signing)}
}

// SealedColumns names the columns that hold sealed values.
func SealedColumns() []keyring.Column {
	return []keyring.Column{{Table: "mail_dkim_key", ID: "id", Column: "sealed"}}
}

// place is where a private key is sealed. A record changed in the database does
// not open, so that nobody can turn a key to another domain.
func place(set Set, k Key) keyring.Place {
	return keyring.Place{Table: "mail_dkim_key", Row: k.ID, Column: "sealed", Bind: "dkim 1 " + set.Domain + " " + k.Selector + " " + string(k.Algorithm) + " " + k.public}
}

// Key returns the id of the set that signs letters from a domain that leave
// through a slot now; "" is none.
func (s *Service) Key(ctx context.Context, slot Slot, from string) (string, error) {
	s.mu.Lock()
	now, ok := s.signs[slot]
	s.mu.Unlock()
	if !ok || time.Now().After(now.until) {
		err := s.DB.View(ctx, func(tx *store.Tx) error {
			set, found, err := selectSet(tx, slot, Active)
			now = signing{until: time.Now().Add(trusted)}
			if found {
				now.id, now.domain = set.ID, set.Domain
			}
			return err
		})
		if err != nil {
			return "", err
		}
		s.mu.Lock()
		s.signs[slot] = now
		s.mu.Unlock()
	}
	if now.id == "" || !within(from, now.domain) {
		return "", nil
	}
	return now.id, nil
}

// Public returns the keys of the set that signs letters from a domain that leave
// through a slot now, none where there is none: what the DNS must say of them.
func (s *Service) Public(ctx context.Context, slot Slot, from string) (signed string, keys []Key, err error) {
	id, err := s.Key(ctx, slot, from)
	if err != nil || id == "" {
		return "", nil, err
	}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		set, err := selectSetByID(tx, id)
		signed, keys = set.Domain, set.Keys
		return err
	})
	return signed, keys, err
}

// forget makes this process look again at what signs.
func (s *Service) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.signs)
}

// Sign returns a message with the signatures of a set in front; at is the
// message's date. The same arguments give the same bytes. Once a set is deleted,
// which is long after the last letter that it was for, the message goes as it is:
// mail that is not signed is better than none.
func (s *Service) Sign(ctx context.Context, id string, message []byte, at time.Time) ([]byte, error) {
	keys, err := s.keysOf(ctx, id)
	if fault.Is(err, fault.KindNotFound) {
		s.Log.Warn("a letter goes without its signature: the key was deleted", "set", id)
		return message, nil
	}
	if err != nil {
		return nil, err
	}
	return sign(message, keys, at)
}

// keysOf returns the private keys of a set, opened once.
func (s *Service) keysOf(ctx context.Context, id string) ([]signKey, error) {
	s.mu.Lock()
	keys, ok := s.opened[id]
	s.mu.Unlock()
	if ok {
		return keys, nil
	}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		keys = nil
		set, err := selectSetByID(tx, id)
		if err != nil {
			return err
		}
		for _, k := range set.Keys {
			der, err := s.Keys.Open(tx, place(set, k), k.sealed)
			if err != nil {
				return err
			}
			private, err := unlock(der)
			if err != nil {
				return err
			}
			keys = append(keys, signKey{set.Domain, k.Selector, k.Algorithm, private})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.opened) >= maxOpened {
		clear(s.opened)
	}
	s.opened[id] = keys
	return keys, nil
}

func manage(by actor.Actor) error {
	if !by.May(actor.ManageSettings) {
		return fault.Denied("Your role may not manage the signing of letters.")
	}
	return nil
}
