package outbox

import (
	"strings"

	"github.com/sealpost/sealpost/internal/store"
)

// DuePlan tells how the engine finds the letters to claim.
func DuePlan(tx *store.Tx, routes ...Slot) (string, error) {
	return Plan(tx, dueQuery(tx, routes, 1), store.Micros(tx.Now()))
}

// The queries whose plans are looked at.
const (
	OutdatedQuery = outdated
	WipeableQuery = wipeable
	SampleQuery   = newestEnded
)

// ListQuery is the query of a page of the journal.
func ListQuery(tx *store.Tx, f Filter) (string, []any, error) {
	reach, err := f.reach(tx)
	where, args, _ := f.where(tx, map[Slot]bool{Main: true, Second: true}, reach)
	return listQuery(where, 50), args, err
}

// Searching returns f as one that looks at so many letters for a text.
func (f Filter) Searching(n int) Filter {
	f.searched = n
	return f
}

// Plan tells how the engine answers a query.
func Plan(tx *store.Tx, query string, args ...any) (string, error) {
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
	}, explain+query, args...)
	return strings.Join(steps, "\n"), err
}

// EndedPlan tells how the engine finds the letters of n outcomes.
func EndedPlan(tx *store.Tx, n int) (string, error) {
	outcomes := make([]Outcome, n)
	for i := range outcomes {
		outcomes[i] = Outcome{ID: store.NewID(), Attempt: 1, State: Accepted}
	}
	query, args := endedQuery(tx, outcomes)
	return Plan(tx, query, args...)
}
