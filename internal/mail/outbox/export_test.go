package outbox

import (
	"strings"

	"github.com/sealpost/sealpost/internal/store"
)

// DuePlan tells how the engine finds the letters to claim.
func DuePlan(tx *store.Tx, routes ...Slot) (string, error) {
	explain := "EXPLAIN "
	if tx.Engine() == store.SQLite {
		explain = "EXPLAIN QUERY PLAN "
	}
	steps, err := store.All(tx, func(r store.Row) (step string, err error) {
		if tx.Engine() == store.Postgres {
			return step, r.Scan(&step)
		}
		var id, parent, unused int
		return step, r.Scan(&id, &parent, &unused, &step)
	}, explain+dueQuery(tx, routes, 1), store.Micros(tx.Now()))
	return strings.Join(steps, "\n"), err
}
