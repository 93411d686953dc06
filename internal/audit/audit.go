package audit

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/store"
)

// Outcomes of an event. The empty one means that it was done.
const (
	Done    = ""
	Refused = "refused"
	Failed  = "failed"
)

// Detail is one further fact of an event: a value, or what it was before and
// is after.
type Detail struct {
	Name   string `json:"name"`
	Value  string `json:"value,omitempty"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Event is what happened.
type Event struct {
	// Action is noun.verb, e.g. "user.invited".
	Action string
	// Kind, ID and Name are the object's: the sort of it, its id, and the name
	// it had at that time.
	Kind, ID, Name string
	// Outcome is one of the constants.
	Outcome string
	// Reason is what the person gave as a reason, or why it was refused.
	Reason string
	// Detail are further facts, in the order in which a person reads them.
	Detail []Detail
}

// Entry is an event as it was recorded.
type Entry struct {
	// Seq numbers the entries from 1 without a gap.
	Seq int64
	// At is the time of the transaction.
	At time.Time
	// Actor is who did it. Role, session and proof are not recorded.
	Actor actor.Actor
	Event
}

// Config is what a log needs.
type Config struct {
	DB   *store.DB
	Keys *keyring.Keyring
	// Log receives each entry as a line as well. Nil means slog.Default.
	Log *slog.Logger
}

// Log is the audit log. It is safe for use by several goroutines.
type Log struct {
	db   *store.DB
	keys *keyring.Keyring
	log  *slog.Logger
}

// New returns the audit log of a database.
func New(c Config) *Log {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Log{db: c.DB, keys: c.Keys, log: c.Log}
}

// Append records e as done by by, in tx. Call it last in a transaction: it
// takes the lock on the end of the chain, which every other writer waits for.
//
// An actor without a request gets the trace id of tx, so that what a loop or a
// command did can be followed like what a request did.
func (l *Log) Append(tx *store.Tx, by actor.Actor, e Event) error {
	if by.RequestID == "" {
		by.RequestID = actor.Trace(tx.Context())
	}
	entry := Entry{At: tx.Now(), Actor: by, Event: e}
	detail, err := marshalDetail(e.Detail)
	if err != nil {
		return fault.Internal(err)
	}
	head, err := l.lockHead(tx)
	if err != nil {
		return err
	}
	entry.Seq = head.seq + 1
	rec := record{Entry: entry, detail: detail}
	rec.mac, rec.keyVersion, err = l.keys.MAC(tx, keyring.PurposeAudit, 0, rec.canonical(head.entryMAC))
	if err != nil {
		return fmt.Errorf("signing an audit entry: %w", err)
	}
	if err := insertEntry(tx, rec); err != nil {
		return err
	}
	if err := l.moveHead(tx, rec); err != nil {
		return err
	}
	tx.OnCommit(func() {
		l.log.Info("audit", "seq", entry.Seq, "action", e.Action, "by", by.Login,
			"object", e.Kind, "id", e.ID, "outcome", e.Outcome, "request_id", by.RequestID)
	})
	return nil
}

func marshalDetail(d []Detail) (string, error) {
	if len(d) == 0 {
		return "[]", nil
	}
	b, err := json.Marshal(d)
	return string(b), err
}

// record is an entry with its place in the chain.
type record struct {
	Entry
	// detail is the JSON as stored: the MAC is over these bytes.
	detail     string
	keyVersion int64
	mac        []byte
}

// canonical returns the bytes that the MAC is over: every field with its
// length before it, so that no two entries have the same bytes.
func (r record) canonical(previous []byte) []byte {
	b := make([]byte, 0, 512)
	b = appendField(b, "sealpost audit entry 1")
	b = appendField(b, string(previous))
	b = appendNumber(b, r.Seq)
	b = appendNumber(b, store.Micros(r.At))
	for _, s := range []string{
		string(r.Actor.Kind), r.Actor.UserID, r.Actor.Login, r.Actor.Name, r.Actor.Door,
		addrText(r.Actor.From), r.Actor.Agent, r.Actor.RequestID,
		r.Action, r.Kind, r.ID, r.Name, r.Outcome, r.Reason, r.detail,
	} {
		b = appendField(b, s)
	}
	return b
}

func appendField(b []byte, s string) []byte {
	return append(appendNumber(b, int64(len(s))), s...)
}

func appendNumber(b []byte, n int64) []byte {
	return append(b, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// headBytes are what the MAC of the chain's end is over. It differs from every
// entry's own MAC, so that an earlier end cannot be made from an earlier entry.
func headBytes(seq int64, entryMAC []byte) []byte {
	b := appendField(nil, "sealpost audit head 1")
	return appendField(appendNumber(b, seq), string(entryMAC))
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
