package audit

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/store"
)

// head is the end of the chain.
type head struct {
	seq        int64
	entryMAC   []byte
	keyVersion int64
	mac        []byte
}

func scanHead(r store.Row) (head, error) {
	var h head
	err := r.Scan(&h.seq, &h.entryMAC, &h.keyVersion, &h.mac)
	return h, err
}

// lockHead returns the end of the chain and keeps other writers from it until
// tx ends. The first call of all makes it.
func (l *Log) lockHead(tx *store.Tx) (head, error) {
	_, err := tx.Exec(`INSERT INTO audit_head (id, seq, entry_mac, key_version, mac) VALUES ('head', 0, $1, 0, $1)
		ON CONFLICT (id) DO NOTHING`, []byte{})
	if err != nil {
		return head{}, err
	}
	return store.One(tx, scanHead, `SELECT seq, entry_mac, key_version, mac FROM audit_head WHERE id = 'head'`+tx.ForUpdate())
}

func (l *Log) moveHead(tx *store.Tx, r record) error {
	mac, version, err := l.keys.MAC(tx, keyring.PurposeAudit, 0, headBytes(r.Seq, r.mac))
	if err != nil {
		return fmt.Errorf("signing the end of the audit log: %w", err)
	}
	_, err = tx.Exec(`UPDATE audit_head SET seq = $1, entry_mac = $2, key_version = $3, mac = $4 WHERE id = 'head'`,
		r.Seq, r.mac, version, mac)
	return err
}

func readHead(tx *store.Tx) (head, error) {
	h, err := store.One(tx, scanHead, `SELECT seq, entry_mac, key_version, mac FROM audit_head WHERE id = 'head'`)
	if fault.Is(err, fault.KindNotFound) {
		return head{}, nil
	}
	return h, err
}

const entryColumns = `seq, at, actor_kind, actor_id, actor_login, actor_name, door, from_addr, agent, request_id,
	action, object_kind, object_id, object_name, outcome, reason, detail, key_version, mac`

func insertEntry(tx *store.Tx, r record) error {
	_, err := tx.Exec(`INSERT INTO audit_entry (`+entryColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`,
		r.Seq, store.Micros(r.At), string(r.Actor.Kind), r.Actor.UserID, r.Actor.Login, r.Actor.Name, r.Actor.Door,
		addrText(r.Actor.From), r.Actor.Agent, r.Actor.RequestID,
		r.Action, r.Kind, r.ID, r.Name, r.Outcome, r.Reason, r.detail, r.keyVersion, r.mac)
	return err
}

func scanRecord(row store.Row) (record, error) {
	var r record
	var at int64
	var kind, from string
	err := row.Scan(&r.Seq, &at, &kind, &r.Actor.UserID, &r.Actor.Login, &r.Actor.Name, &r.Actor.Door,
		&from, &r.Actor.Agent, &r.Actor.RequestID,
		&r.Action, &r.Kind, &r.ID, &r.Name, &r.Outcome, &r.Reason, &r.detail, &r.keyVersion, &r.mac)
	if err != nil {
		return r, err
	}
	r.At = store.FromMicros(at)
	r.Actor.Kind = actor.Kind(kind)
	// Text that is no address was not written here; Verify tells.
	r.Actor.From, _ = netip.ParseAddr(from)
	return r, nil
}

func scanEntry(row store.Row) (Entry, error) {
	r, err := scanRecord(row)
	if err != nil {
		return Entry{}, err
	}
	if err := json.Unmarshal([]byte(r.detail), &r.Detail); err != nil {
		// A reader still sees the entry; Verify tells that it was changed.
		r.Detail = []Detail{{Name: "unreadable", Value: r.detail}}
	}
	return r.Entry, nil
}

// firstOf returns the first entry of some actions whose number is above after
// and at most upTo.
func firstOf(tx *store.Tx, after, upTo int64, actions []string) (Entry, bool, error) {
	args := []any{after, upTo}
	marks := make([]string, len(actions))
	for i, a := range actions {
		args = append(args, a)
		marks[i] = fmt.Sprintf("$%d", len(args))
	}
	e, err := store.One(tx, scanEntry, `SELECT `+entryColumns+` FROM audit_entry WHERE seq > $1 AND seq <= $2
		AND action IN (`+strings.Join(marks, ", ")+`) ORDER BY seq LIMIT 1`, args...)
	if fault.Is(err, fault.KindNotFound) {
		return Entry{}, false, nil
	}
	return e, err == nil, err
}
