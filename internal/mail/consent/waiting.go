package consent

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/profile"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// Life is how long a person may take at the authority, and again to decide.
const Life = 10 * time.Minute

// limit is how many sign-ins one user may have under way; the oldest goes.
const limit = 4

// Stage is how far a sign-in is.
type Stage string

// The stages of a sign-in.
const (
	Begun    Stage = "begun"
	Deciding Stage = "deciding"
	Done     Stage = "done"
)

// Waiting is a sign-in at the authority that is under way.
type Waiting struct {
	ID string
	// Slot is the server that it is for.
	Slot profile.Slot
	// Session and User are who began it.
	Session, User string
	Stage         Stage
	// Sealed is its note; nil where nothing is kept any more.
	Sealed  []byte
	Expires time.Time
}

// place binds what is kept to who began it, and to the server it is for.
func (w Waiting) place() keyring.Place {
	return keyring.Place{Table: "mail_consent", Row: w.ID, Column: "sealed", Bind: strconv.Quote("mail consent 2 "+w.Session) + " " + strconv.Quote(w.User) + " " + strconv.Quote(string(w.Slot))}
}

// Seal puts a note into w.
func (w *Waiting) Seal(tx *store.Tx, keys *keyring.Keyring, n Note) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	w.Sealed, err = keys.Seal(tx, keyring.PurposeMail, w.place(), secret.FromBytes(text))
	return err
}

// Open returns the note of w.
func (w Waiting) Open(tx *store.Tx, keys *keyring.Keyring) (Note, error) {
	var n Note
	v, err := keys.Open(tx, w.place(), w.Sealed)
	if err != nil {
		return n, err
	}
	return n, json.Unmarshal([]byte(v.Reveal()), &n)
}

// Mine reports whether w is by's, in this browser, and not over.
func (w Waiting) Mine(by actor.Actor, b Browser, now time.Time) bool {
	return w.User == by.UserID && w.Session == b.SessionID && b.SessionID != "" && now.Before(w.Expires)
}
