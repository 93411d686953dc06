package outbox

import (
	"encoding/json"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

// Bounce is what came back about a letter that a server had taken.
type Bounce struct {
	// At is when it was read.
	At time.Time
	// Final tells that the letter did not arrive; else it is late.
	Final bool
	// Status is the status code of RFC 3463, or ""; Text is what the server that
	// gave up said.
	Status, Text string
	// Other is the address that the report is about where that is not the
	// letter's: mail is forwarded there. Such a report is never final.
	Other string
}

// IsZero reports whether nothing came back.
func (b Bounce) IsZero() bool { return b.At.IsZero() }

// keptBounce is a Bounce as the database has it.
type keptBounce struct {
	At     int64  `json:"at"`
	Final  bool   `json:"final"`
	Status string `json:"status"`
	Text   string `json:"text"`
	Other  string `json:"other,omitempty"`
}

func bounceOf(text string) Bounce {
	var k keptBounce
	if text == "" || json.Unmarshal([]byte(text), &k) != nil {
		return Bounce{}
	}
	return Bounce{At: store.FromMicros(k.At), Final: k.Final, Status: k.Status, Text: k.Text, Other: k.Other}
}

// Left is a letter that left, as far as a bounce is concerned.
type Left struct {
	ID, Kind string
	// Trace is as in Claim.
	Trace string
	To    Recipient
	Added time.Time
	// Stage, Code, Enhanced and Reply are what the server said to the last
	// attempt, where.
	Stage    string
	Code     int
	Enhanced string
	Reply    string
	State    State
	// Bounce is what came back before.
	Bounce Bounce
}

// LeftLetter returns a letter that was tried at least once; the fault is of kind
// not found for any other.
func (o *Outbox) LeftLetter(tx *store.Tx, id string) (Left, error) {
	return store.One(tx, func(r store.Row) (Left, error) {
		var l Left
		var state, bounce string
		var added int64
		err := r.Scan(&l.ID, &l.Kind, &l.Trace, &l.To.UserID, &l.To.Address, &l.To.Name, &added, &l.Stage, &l.Code, &l.Enhanced, &l.Reply, &state, &bounce)
		l.Added, l.State, l.Bounce = store.FromMicros(added), State(state), bounceOf(bounce)
		return l, err
	}, `SELECT id, kind, trace, user_id, to_address, to_name, added_at, stage, code, enhanced, reply, state, bounce FROM outbox_letter
		WHERE id = $1 AND attempt > 0`, id)
}

// ByMessageID returns the id of the letter with a Message-ID, which has its angle
// brackets, and "" where there is none.
func (o *Outbox) ByMessageID(tx *store.Tx, messageID string) (string, error) {
	id, err := store.One(tx, func(r store.Row) (id string, err error) { return id, r.Scan(&id) },
		`SELECT id FROM outbox_letter WHERE message_id = $1`, messageID)
	if fault.Is(err, fault.KindNotFound) {
		return "", nil
	}
	return id, err
}

// Bounced notes what came back about a letter. news is false where that was
// known: a letter comes back once, and what is not final says nothing about one
// that came back.
func (o *Outbox) Bounced(tx *store.Tx, id string, b Bounce) (news bool, err error) {
	text, err := json.Marshal(keptBounce{store.Micros(b.At), b.Final, b.Status, b.Text, b.Other})
	if err != nil {
		return false, fault.Internal(err)
	}
	at := int64(0)
	if b.Final {
		at = store.Micros(b.At)
	}
	n, err := tx.Exec(`UPDATE outbox_letter SET bounced_at = CAST($1 AS BIGINT), bounce = $2 WHERE id = $3 AND attempt > 0 AND bounced_at = 0 AND (CAST($1 AS BIGINT) > 0 OR bounce = '')`,
		at, string(text), id)
	return n > 0, err
}
