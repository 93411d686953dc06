package outbox

import (
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

// The reasons for a closed gate.
const (
	ReasonNoServer = "no_server"
	ReasonPaused   = "paused"
	ReasonOperator = "operator"
	ReasonRestored = "restored"
)

// Gate says whether letters may leave.
type Gate struct {
	Open bool
	// Reason is one of the constants, empty while the gate is open.
	Reason string
	// Detail is the reason in words.
	Detail string
	Since  time.Time
}

// Gate returns the gate. Before anybody set it, it is closed for want of a
// server.
func (o *Outbox) Gate(tx *store.Tx) (Gate, error) {
	g, err := store.One(tx, func(r store.Row) (Gate, error) {
		var g Gate
		var since int64
		err := r.Scan(&g.Open, &g.Reason, &g.Detail, &since)
		g.Since = store.FromMicros(since)
		return g, err
	}, `SELECT open, reason, detail, since FROM outbox_gate WHERE id = 'gate'`)
	if fault.Is(err, fault.KindNotFound) {
		return Gate{Reason: ReasonNoServer, Detail: "No mail server is set up yet."}, nil
	}
	return g, err
}

// OpenGate lets letters leave.
func (o *Outbox) OpenGate(tx *store.Tx) error {
	tx.OnCommit(o.wake)
	return setGate(tx, true, "", "")
}

// CloseGate keeps letters back. Since is kept while the reason stays.
func (o *Outbox) CloseGate(tx *store.Tx, reason, detail string) error {
	return setGate(tx, false, reason, detail)
}

func setGate(tx *store.Tx, open bool, reason, detail string) error {
	_, err := tx.Exec(`INSERT INTO outbox_gate (id, open, reason, detail, since) VALUES ('gate', $1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET open = excluded.open, reason = excluded.reason, detail = excluded.detail,
			since = CASE WHEN outbox_gate.open = excluded.open AND outbox_gate.reason = excluded.reason
				THEN outbox_gate.since ELSE excluded.since END`,
		open, reason, detail, store.Micros(tx.Now()))
	return err
}
