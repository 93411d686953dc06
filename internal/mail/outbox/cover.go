package outbox

import (
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/store"
)

// Held reports whether a letter is kept back since no server may send it now, and
// why, for a person.
func (o *Outbox) Held(tx *store.Tx, letterID string) (held bool, why string, err error) {
	route, err := store.One(tx, func(r store.Row) (s Slot, err error) { return s, r.Scan(&s) }, `SELECT route FROM outbox_letter WHERE id = $1`, letterID)
	if err != nil {
		return false, "", err
	}
	open, err := o.leaving(tx)
	if err != nil || open[route] {
		return false, "", err
	}
	g, err := o.Gate(tx, route)
	return true, g.Detail, err
}

// SetCover says how long a server is paused before the other one stands in for
// it, both ways; negative is never.
func (o *Outbox) SetCover(tx *store.Tx, after time.Duration) error {
	micros := int64(never)
	if after >= 0 {
		micros = after.Microseconds()
	}
	for _, slot := range []Slot{Main, Second} {
		g, err := o.Gate(tx, slot)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO outbox_gate (id, open, reason, detail, since, cover_after) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (id) DO UPDATE SET cover_after = excluded.cover_after`,
			string(slot), g.Open, g.Reason, g.Detail, store.Micros(tx.Now()), micros)
		if err != nil {
			return err
		}
	}
	tx.OnCommit(o.wake)
	return nil
}

// ExchangeGates gives each slot the gate of the other, since their servers
// change places.
func (o *Outbox) ExchangeGates(tx *store.Tx) error {
	first, err := o.Gate(tx, Main)
	if err != nil {
		return err
	}
	second, err := o.Gate(tx, Second)
	if err != nil {
		return err
	}
	for _, to := range []struct {
		slot Slot
		gate Gate
	}{{Main, second}, {Second, first}} {
		_, err := tx.Exec(`INSERT INTO outbox_gate (id, open, reason, detail, since) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (id) DO UPDATE SET open = excluded.open, reason = excluded.reason, detail = excluded.detail, since = excluded.since`,
			string(to.slot), to.gate.Open, to.gate.Reason, to.gate.Detail, store.Micros(to.gate.Since))
		if err != nil {
			return err
		}
	}
	tx.OnCommit(o.wake)
	return nil
}

// rerouted is how many letters are looked at together.
const rerouted = 500

// Reroute gives each letter that waits the route that is right for its address
// now, in one transaction and in little memory. Letters that are being sent go on
// as they are.
func (o *Outbox) Reroute(tx *store.Tx) error {
	type waiting struct {
		id, address string
		route       Slot
	}
	known := map[string]Slot{}
	for last := ""; ; {
		some, err := store.All(tx, func(r store.Row) (w waiting, err error) { return w, r.Scan(&w.id, &w.address, &w.route) },
			`SELECT id, to_address, route FROM outbox_letter WHERE `+inQueue+` AND id > $1 ORDER BY id LIMIT $2`, last, rerouted)
		if err != nil {
			return err
		}
		for _, w := range some {
			last = w.id
			domain := w.address[strings.LastIndexByte(w.address, '@')+1:]
			to, ok := known[domain]
			if !ok {
				if to, err = o.route(tx, w.address); err != nil {
					return err
				}
				if len(known) < rerouted {
					known[domain] = to
				}
			}
			if to == w.route {
				continue
			}
			_, err := tx.Exec(`UPDATE outbox_letter SET route = $1 WHERE id = $2 AND `+inQueue+` AND state <> 'sending'`, string(to), w.id)
			if err != nil {
				return err
			}
		}
		if len(some) < rerouted {
			tx.OnCommit(o.wake)
			return nil
		}
	}
}
