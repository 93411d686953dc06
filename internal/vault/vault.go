package vault

import (
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/store"
)

// Use tells where an account is used.
type Use struct {
	// Label is what a person reads, Path the page to go to.
	Label, Path string
}

// Config is what the service needs. DB, Keys, Audit and Users are required.
type Config struct {
	DB    *store.DB
	Keys  *keyring.Keyring
	Audit *audit.Log
	Users *identity.Service
	// Uses tells where an account is used, which keeps it from being deleted.
	// Nil means that none is used anywhere.
	Uses func(tx *store.Tx, accountID string) ([]Use, error)
	// Now is the clock by which the age of a proof is judged. Nil means
	// time.Now. What is stored follows the database's clock.
	Now func() time.Time
	// Random is the source of generated passwords. Nil means crypto/rand.
	Random io.Reader
	// Log receives what a person need not be told. Nil means slog.Default.
	Log *slog.Logger
}

// Service holds the operations. It is safe for use by several goroutines.
type Service struct {
	Config
	words []string
}

// New returns the service.
func New(c Config) (*Service, error) {
	if c.DB == nil || c.Keys == nil || c.Audit == nil || c.Users == nil {
		return nil, errors.New("vault: a part of the configuration is missing")
	}
	if c.Uses == nil {
		c.Uses = func(*store.Tx, string) ([]Use, error) { return nil, nil }
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
	return &Service{Config: c, words: strings.Fields(wordList)}, nil
}

// SealedColumns names the columns that hold sealed values.
func SealedColumns() []keyring.Column {
	return []keyring.Column{{Table: "vault_version", ID: "account_id", Column: "sealed", Version: "version"}}
}

// place is where the password of an account with a number is kept.
func place(accountID string, version int64) keyring.Place {
	return keyring.Place{Table: "vault_version", Row: accountID, Column: "sealed", Version: version}
}

// isID reports whether text has the form of an id, so that anything else is
// not there without asking the database.
func isID(text string) bool {
	return len(text) == 36 && uuid.Validate(text) == nil && strings.ToLower(text) == text
}

// errStale is what the second of two editors hears.
var errStale = fault.Conflict("Somebody else changed this meanwhile. Look at the page again, then repeat your change.")

// asConflict says what is in the way, at a field.
func asConflict(field, sentence string, err error) error {
	e := fault.Conflict(sentence).Because(err)
	e.Fields = []fault.FieldError{{Field: field, Sentence: sentence}}
	return e
}

// broke reports whether err is a broken rule of uniqueness on the column.
func broke(err error, table, column string) bool {
	var broken *store.ConstraintError
	return errors.As(err, &broken) && broken.Rule == store.RuleUnique && broken.On(table, column)
}
