package outbox

import (
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

// Slot names one of the two mail servers.
type Slot string

// The slots. A site with one server has it in Main.
const (
	Main   Slot = "main"
	Second Slot = "second"
)

// Other returns the other slot.
func (s Slot) Other() Slot {
	if s == Second {
		return Main
	}
	return Second
}

// The reasons for a closed gate.
const (
	ReasonNoServer = "no_server"
	ReasonPaused   = "paused"
	ReasonOperator = "operator"
	ReasonRestored = "restored"
)

// Gate says whether letters may leave through the server of a slot.
type Gate struct {
	Open bool
	// Reason is one of the constants, empty while the gate is open.
	Reason string
	// Detail is the reason in words.
	Detail string
	Since  time.Time
	// CoverAfter is how long the gate is closed for a pause, or for want of a
	// server, before the other slot stands in for it; negative is never.
	CoverAfter time.Duration
}

// never is how a gate that nobody stands in for is stored.
const never = -1

// Gate returns the gate of a slot. Before anybody set it, it is closed for want
// of a server.
func (o *Outbox) Gate(tx *store.Tx, slot Slot) (Gate, error) {
	g, err := store.One(tx, func(r store.Row) (Gate, error) {
		var g Gate
		var since, after int64
		err := r.Scan(&g.Open, &g.Reason, &g.Detail, &since, &after)
		g.Since, g.CoverAfter = store.FromMicros(since), time.Duration(after)*time.Microsecond
		return g, err
	}, `SELECT open, reason, detail, since, cover_after FROM outbox_gate WHERE id = $1`, string(slot))
	if fault.Is(err, fault.KindNotFound) {
		return Gate{Reason: ReasonNoServer, Detail: "No mail server is set up yet.", CoverAfter: never}, nil
	}
	return g, err
}

// Covered tells whether the other slot stands in for the one of g at now, if
// its own gate is open. A letter for a second server that is no more leaves through the first.
func (g Gate) Covered(slot Slot, now time.Time) bool {
	switch {
	case g.Open:
		return false
	case g.Reason == ReasonNoServer && slot == Second:
		return true
	case g.Reason == ReasonNoServer, g.Reason == ReasonPaused:
		return g.CoverAfter >= 0 && !now.Before(g.Since.Add(g.CoverAfter))
	}
	return false
}

// routes returns whose letters may leave through the server of slot now: its
// own, and those of the other while this one stands in for it; none while its
// own gate is closed.
func (o *Outbox) routes(tx *store.Tx, slot Slot) ([]Slot, error) {
	own, err := o.Gate(tx, slot)
	if err != nil || !own.Open {
		return nil, err
	}
	other, err := o.Gate(tx, slot.Other())
	if err != nil || !other.Covered(slot.Other(), tx.Now()) {
		return []Slot{slot}, err
	}
	return []Slot{slot, slot.Other()}, nil
}

// leaving returns the routes whose letters may leave now, through whichever
// server.
func (o *Outbox) leaving(tx *store.Tx) (map[Slot]bool, error) {
	open := map[Slot]bool{}
	for _, slot := range []Slot{Main, Second} {
		routes, err := o.routes(tx, slot)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			open[r] = true
		}
	}
	return open, nil
}

// SlotGate opens and closes the gate of one slot.
type SlotGate struct {
	outbox *Outbox
	slot   Slot
}

// GateOf returns what opens and closes the gate of a slot.
func (o *Outbox) GateOf(slot Slot) SlotGate { return SlotGate{o, slot} }

// OpenGate lets letters leave.
func (g SlotGate) OpenGate(tx *store.Tx) error {
	tx.OnCommit(g.outbox.wake)
	return setGate(tx, g.slot, true, "", "")
}

// CloseGate keeps letters back. Since is kept while the reason stays.
func (g SlotGate) CloseGate(tx *store.Tx, reason, detail string) error {
	return setGate(tx, g.slot, false, reason, detail)
}

func setGate(tx *store.Tx, slot Slot, open bool, reason, detail string) error {
	_, err := tx.Exec(`INSERT INTO outbox_gate (id, open, reason, detail, since) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET open = excluded.open, reason = excluded.reason, detail = excluded.detail,
			since = CASE WHEN outbox_gate.open = excluded.open AND outbox_gate.reason = excluded.reason
				THEN outbox_gate.since ELSE excluded.since END`,
		string(slot), open, reason, detail, store.Micros(tx.Now()))
	return err
}
