package servers

import (
	"fmt"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/store"
)

func selectRoutes(tx *store.Tx) ([]string, error) {
	return store.All(tx, func(r store.Row) (s string, err error) { return s, r.Scan(&s) }, `SELECT domain FROM mail_route ORDER BY domain`)
}

func countRoutes(tx *store.Tx) (int, error) {
	return store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) }, `SELECT COUNT(*) FROM mail_route`)
}

// anyRoute reports whether one of the domains has a route.
func anyRoute(tx *store.Tx, domains []string) (bool, error) {
	marks, args := make([]string, len(domains)), make([]any, len(domains))
	for i, d := range domains {
		marks[i], args[i] = fmt.Sprintf("$%d", i+1), d
	}
	n, err := store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) },
		`SELECT COUNT(*) FROM mail_route WHERE domain IN (`+strings.Join(marks, ", ")+`)`, args...)
	return n > 0, err
}

func insertRoute(tx *store.Tx, domain, by string) error {
	_, err := tx.Exec(`INSERT INTO mail_route (domain, slot, added_by, added_at) VALUES ($1, 'second', $2, $3)`, domain, by, store.Micros(tx.Now()))
	return err
}

func deleteRoutes(tx *store.Tx) (int, error) {
	n, err := tx.Exec(`DELETE FROM mail_route`)
	return int(n), err
}

// lock keeps others from changing the settings before tx ends.
func lock(tx *store.Tx) error {
	if _, err := tx.Exec(`INSERT INTO mail_routing (id, changed_at) VALUES ('routing', 0) ON CONFLICT DO NOTHING`); err != nil {
		return err
	}
	_, err := store.One(tx, func(r store.Row) (n int64, err error) { return n, r.Scan(&n) }, `SELECT changed_at FROM mail_routing WHERE id = 'routing'`+tx.ForUpdate())
	return err
}

// touch notes that the settings changed now. Two changes never have the same
// time.
func touch(tx *store.Tx) error {
	_, err := tx.Exec(`INSERT INTO mail_routing (id, changed_at) VALUES ('routing', $1) ON CONFLICT (id) DO UPDATE SET changed_at =
		CASE WHEN excluded.changed_at > mail_routing.changed_at THEN excluded.changed_at ELSE mail_routing.changed_at + 1 END`, store.Micros(tx.Now()))
	return err
}

// selectChanged returns when the settings changed, 0 for never.
func selectChanged(tx *store.Tx) (int64, error) {
	n, err := store.One(tx, func(r store.Row) (n int64, err error) { return n, r.Scan(&n) }, `SELECT changed_at FROM mail_routing WHERE id = 'routing'`)
	if fault.Is(err, fault.KindNotFound) {
		return 0, nil
	}
	return n, err
}

// selectStandIns returns for which servers it is told that the other one stands
// in, and since when.
func selectStandIns(tx *store.Tx) (map[mail.Slot]time.Time, error) {
	type row struct {
		slot mail.Slot
		at   int64
	}
	rows, err := store.All(tx, func(r store.Row) (w row, err error) { return w, r.Scan(&w.slot, &w.at) }, `SELECT slot, began_at FROM mail_standin`)
	all := map[mail.Slot]time.Time{}
	for _, r := range rows {
		all[r.slot] = store.FromMicros(r.at)
	}
	return all, err
}

// insertStandIn reports false where another node was faster.
func insertStandIn(tx *store.Tx, slot mail.Slot) (bool, error) {
	n, err := tx.Exec(`INSERT INTO mail_standin (slot, began_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`, string(slot), store.Micros(tx.Now()))
	return n > 0, err
}

// deleteStandIn is the same for the end.
func deleteStandIn(tx *store.Tx, slot mail.Slot) (bool, error) {
	n, err := tx.Exec(`DELETE FROM mail_standin WHERE slot = $1`, string(slot))
	return n > 0, err
}

func deleteStandIns(tx *store.Tx) error {
	_, err := tx.Exec(`DELETE FROM mail_standin`)
	return err
}
