package outbox

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/store"
)

// State is where a letter stands.
type State string

// The states. Held is shown for letters that wait while the gate is closed; it
// is never stored.
const (
	Queued    State = "queued"
	Held      State = "held"
	Sending   State = "sending"
	Deferred  State = "deferred"
	Uncertain State = "uncertain"
	Accepted  State = "accepted"
	Failed    State = "failed"
	Expired   State = "expired"
	Cancelled State = "cancelled"
)

// Waiting, in a filter, means all letters that are on their way. No letter has
// it as its state.
const Waiting State = "waiting"

// Final reports whether a letter in this state is done with.
func (s State) Final() bool {
	return s == Accepted || s == Failed || s == Expired || s == Cancelled
}

const (
	// stormWindow and stormLimit bound letters of one kind to one recipient;
	// what goes beyond is merged into one that waits.
	stormWindow = time.Hour
	stormLimit  = 5
)

// Config is what an outbox needs.
type Config struct {
	DB      *store.DB
	Keys    *keyring.Keyring
	Audit   *audit.Log
	Letters *letter.Catalogue
	// Route names the slot whose server a letter to an address should leave
	// through. Nil means Main for all.
	Route func(tx *store.Tx, address string) (Slot, error)
	// Failed is called for each letter that failed, in the transaction that
	// records it. Nil means that nobody follows.
	Failed func(tx *store.Tx, id string) error
	// Wake is called after a commit that made a letter ready to leave. Nil
	// means that nobody waits.
	Wake func()
}

// Outbox is safe for use by several goroutines.
type Outbox struct {
	db      *store.DB
	keys    *keyring.Keyring
	audit   *audit.Log
	letters *letter.Catalogue
	route   func(tx *store.Tx, address string) (Slot, error)
	failed  func(tx *store.Tx, id string) error
	wake    func()
}

// New returns the outbox of a database.
func New(c Config) *Outbox {
	if c.Wake == nil {
		c.Wake = func() {}
	}
	if c.Failed == nil {
		c.Failed = func(*store.Tx, string) error { return nil }
	}
	if c.Route == nil {
		c.Route = func(*store.Tx, string) (Slot, error) { return Main, nil }
	}
	return &Outbox{db: c.DB, keys: c.Keys, audit: c.Audit, letters: c.Letters, route: c.Route, failed: c.Failed, wake: c.Wake}
}

// SealedColumns names the columns that hold sealed values.
func SealedColumns() []keyring.Column {
	return []keyring.Column{{Table: "outbox_letter", ID: "id", Column: "sealed"}}
}

// Recipient is who a letter goes to.
type Recipient struct {
	// UserID is empty for an address that is no user's.
	UserID string
	Name   string
	// Address is one that message.ParseAddress took.
	Address string
}

// Add puts l into the outbox as part of tx and returns its id.
//
// A letter with a one-time link takes the place of those of its kind that the
// same user has waiting, whose links are dead now. Of other kinds at most five
// an hour leave for one recipient; further ones are merged into one that waits,
// counts them and says how many.
func (o *Outbox) Add(tx *store.Tx, to Recipient, l letter.Letter) (string, error) {
	addr, err := message.ParseAddress(to.Address)
	if err != nil {
		return "", err
	}
	info, ok := letter.Info(l.Kind())
	if !ok {
		return "", fault.Internal(fmt.Errorf("no letter of kind %q", l.Kind()))
	}
	notBefore := tx.Now()
	if info.OneTime {
		if err := o.CancelFor(tx, to.UserID, info.Key); err != nil {
			return "", err
		}
	} else {
		merged, wait, err := calm(tx, addr.Spec(), info.Key)
		if err != nil || merged != "" {
			return merged, err
		}
		notBefore = notBefore.Add(wait)
	}
	route, err := o.route(tx, addr.Spec())
	if err != nil {
		return "", err
	}
	content, err := o.letters.Render(tx, l)
	if err != nil {
		return "", err
	}
	id := store.NewID()
	sealed, err := o.seal(tx, id, content)
	if err != nil {
		return "", err
	}
	messageID, err := o.messageID(tx, id)
	if err != nil {
		return "", err
	}
	if err := insertLetter(tx, info, stored{
		id: id, messageID: messageID, to: to, address: addr.Spec(), subject: content.Subject, sealed: sealed, notBefore: notBefore,
		route: route, trace: actor.Trace(tx.Context()),
	}); err != nil {
		return "", err
	}
	tx.OnCommit(o.wake)
	return id, nil
}

// Drop takes out a letter that the same transaction added, as if it had never
// been there. With no id it takes out nothing, by the same statement.
func (o *Outbox) Drop(tx *store.Tx, id string) error {
	_, err := tx.Exec(`DELETE FROM outbox_letter WHERE id = $1`, id)
	return err
}

// calm decides what becomes of one more letter of a kind to an address: it is
// merged into one that waits, leaves after some time, or at once.
func calm(tx *store.Tx, address, kind string) (merged string, wait time.Duration, err error) {
	since := tx.Now().Add(-stormWindow)
	recent, err := recentLetters(tx, address, kind, since)
	if err != nil || len(recent) < stormLimit {
		return "", 0, err
	}
	for _, r := range recent {
		if r.state != Queued || r.attempt > 0 {
			continue
		}
		if counted, err := countMerged(tx, r.id); err != nil || counted {
			return r.id, 0, err
		}
	}
	return "", recent[0].added.Sub(since), nil
}

// messageID is the Message-ID of a letter: its id, 64 random bits, and the host
// of the Access URL. Ids made one after the other lie beside each other in an
// index; numbers at random alone would cost a page each. The random bits prove
// that a report was made by somebody whom the letter reached: ids stand in the
// audit log, which others may read.
func (o *Outbox) messageID(tx *store.Tx, id string) (string, error) {
	site, err := o.letters.Site(tx)
	if err != nil {
		return "", err
	}
	var proof [8]byte
	_, _ = rand.Read(proof[:]) // it never fails
	return "<" + strings.ReplaceAll(id, "-", "") + "." + hex.EncodeToString(proof[:]) + "@" + site.MessageDomain() + ">", nil
}

// unwanted is what a cancelled letter says.
const unwanted = "A newer letter took its place, or it is no longer needed."

// CancelFor cancels the letters of the given kinds that a user has waiting. One
// that is being sent at this moment gets no further attempt.
func (o *Outbox) CancelFor(tx *store.Tx, userID string, kinds ...string) error {
	if userID == "" {
		return nil
	}
	for _, kind := range kinds {
		// Mostly there are none, and an update of many rows by an index is dear
		// also where it finds none.
		ids, err := store.All(tx, func(r store.Row) (id string, err error) { return id, r.Scan(&id) },
			`SELECT id FROM outbox_letter WHERE user_id = $1 AND kind = $2 AND `+inQueue, userID, kind)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			// None, by the same statements: how many there are must not tell whether
			// somebody asked for a link before.
			ids = []string{""}
		}
		for _, id := range ids {
			if err := cancelWaiting(tx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// cancelWaiting cancels a letter that is on its way. One that is being sent is
// over once what came of the attempt is known: see cancelled.
func cancelWaiting(tx *store.Tx, id string) error {
	_, err := tx.Exec(`UPDATE outbox_letter SET
			sealed = CASE WHEN state = 'sending' THEN sealed ELSE $1 END,
			changed_at = CASE WHEN state = 'sending' THEN changed_at ELSE $2 END,
			ended_at = CASE WHEN state = 'sending' THEN ended_at ELSE $2 END,
			advice = CASE WHEN state = 'sending' THEN advice ELSE $3 END,
			expires_at = CASE WHEN state = 'sending' THEN 0 ELSE expires_at END,
			state = CASE WHEN state = 'sending' THEN state ELSE 'cancelled' END
		WHERE id = $4 AND state IN ('queued', 'deferred', 'uncertain', 'sending')`,
		[]byte{}, store.Micros(tx.Now()), unwanted, id)
	return err
}
