package audit_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/store"
)

func TestAnEntryStandsAndFallsWithItsChange(t *testing.T) {
	each(t, func(r *rig) {
		undone := errors.New("undone")
		err := r.db.Update(r.ctx(), func(tx *store.Tx) error {
			r.must(r.log.Append(tx, grace, audit.Event{Action: "user.edited"}))
			return undone
		})
		if !errors.Is(err, undone) || len(r.search(grace, audit.Filter{}).Entries) != 0 {
			r.t.Fatalf("what was undone is recorded: %v", err)
		}
		if v := r.verify(); !v.OK || v.Entries != 0 {
			r.t.Errorf("an empty log: %+v", v)
		}
		r.fill(3)
		if v := r.verify(); !v.OK || v.Entries != 3 {
			r.t.Errorf("got %+v, want three good entries", v)
		}
	})
}

func TestManyWritersMakeOneChain(t *testing.T) {
	each(t, func(r *rig) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 5 {
					if err := r.db.Update(r.ctx(), func(tx *store.Tx) error {
						return r.log.Append(tx, grace, audit.Event{Action: "user.edited"})
					}); err != nil {
						r.t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if v := r.verify(); !v.OK || v.Entries != 40 {
			r.t.Errorf("got %+v, want 40 good entries", v)
		}
	})
}

// TestTheTriggersRefuseMistakes: a statement typed in haste changes nothing.
func TestTheTriggersRefuseMistakes(t *testing.T) {
	each(t, func(r *rig) {
		r.fill(2)
		statements := []string{`UPDATE audit_entry SET reason = 'x' WHERE seq = 1`, `DELETE FROM audit_entry WHERE seq = 1`}
		if r.db.Engine() == store.Postgres {
			statements = append(statements, `TRUNCATE audit_entry`)
		}
		for _, s := range statements {
			err := r.db.Update(r.ctx(), func(tx *store.Tx) error {
				_, err := tx.Exec(s)
				return err
			})
			if err == nil {
				r.t.Errorf("%s was let through", s)
			}
		}
		if v := r.verify(); !v.OK || v.Entries != 2 {
			r.t.Errorf("got %+v", v)
		}
	})
}

// columns are what an entry consists of, with another value for each.
var columns = map[string]string{
	"seq": "99", "at": "at + 1", "actor_kind": "'system'", "actor_id": "'id-eve'", "actor_login": "'eve'", "actor_name": "'Eve'",
	"door": "'api'", "from_addr": "'192.0.2.9'", "agent": "'curl'", "request_id": "'r-2'", "action": "'user.deleted'",
	"object_kind": "'account'", "object_id": "'u9'", "object_name": "'other'", "outcome": "'refused'", "reason": "'for fun'",
	"detail": "'[]'", "key_version": "7",
}

func TestVerifyFindsAnyChange(t *testing.T) {
	each(t, func(r *rig) {
		r.fill(4)
		r.disarm()
		names := 0
		r.must(r.db.View(r.ctx(), func(tx *store.Tx) error {
			query := `SELECT COUNT(*) FROM pragma_table_info('audit_entry')`
			if r.db.Engine() == store.Postgres {
				query = `SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'audit_entry'`
			}
			var err error
			names, err = store.One(tx, func(row store.Row) (n int, err error) { return n, row.Scan(&n) }, query)
			return err
		}))
		if names != len(columns)+1 { // and the MAC
			r.t.Errorf("an entry has %d columns, this test changes %d of them", names, len(columns))
		}
		for column, other := range columns {
			// A copy of the entry first, so that it can be put back.
			r.exec(`CREATE TABLE kept AS SELECT * FROM audit_entry WHERE seq = 3`,
				fmt.Sprintf(`UPDATE audit_entry SET %s = %s WHERE seq = 3`, column, other))
			if v := r.verify(); v.OK || v.FirstBad != 3 {
				r.t.Errorf("with another %s: got %+v, want entry 3 to be bad", column, v)
			}
			r.exec(`DELETE FROM audit_entry WHERE seq IN (3, 99)`, `INSERT INTO audit_entry SELECT * FROM kept`, `DROP TABLE kept`)
			if v := r.verify(); !v.OK {
				r.t.Fatalf("after %s was put back: %+v", column, v)
			}
		}
	})
}

func TestVerifyFindsWhatWasMovedAddedAndRemoved(t *testing.T) {
	const behind = `INSERT INTO audit_entry SELECT 6, at, actor_kind, actor_id, actor_login, actor_name, door, from_addr, agent, request_id,
		action, object_kind, object_id, object_name, outcome, reason, detail, key_version, mac FROM audit_entry WHERE seq = 5`
	cases := []struct {
		what       string
		statements []string
		first      int64
	}{
		{"two swapped", []string{`UPDATE audit_entry SET seq = 90 WHERE seq = 2`, `UPDATE audit_entry SET seq = 2 WHERE seq = 3`, `UPDATE audit_entry SET seq = 3 WHERE seq = 90`}, 2},
		{"the first removed", []string{`DELETE FROM audit_entry WHERE seq = 1`}, 1},
		{"one in the middle removed", []string{`DELETE FROM audit_entry WHERE seq = 3`}, 3},
		{"one removed and the others moved up", []string{`DELETE FROM audit_entry WHERE seq = 3`, `UPDATE audit_entry SET seq = 3 WHERE seq = 4`, `UPDATE audit_entry SET seq = 4 WHERE seq = 5`, `UPDATE audit_head SET seq = 4`}, 4},
		{"the last removed", []string{`DELETE FROM audit_entry WHERE seq = 5`}, 5},
		{"the last removed and the end moved", []string{`DELETE FROM audit_entry WHERE seq = 5`, `UPDATE audit_head SET seq = 4, entry_mac = (SELECT mac FROM audit_entry WHERE seq = 4)`}, 4},
		{"all removed", []string{`DELETE FROM audit_entry`}, 1},
		{"the end removed", []string{`DELETE FROM audit_head`}, 1},
		{"one added behind the end", []string{behind}, 6},
		{"one added and the end moved", []string{behind, `UPDATE audit_head SET seq = 6`}, 6},
		{"another MAC at the end", []string{`UPDATE audit_head SET mac = entry_mac`}, 5},
	}
	each(t, func(r *rig) {
		r.fill(5)
		r.disarm()
		r.exec(`CREATE TABLE kept AS SELECT * FROM audit_entry`, `CREATE TABLE kept_head AS SELECT * FROM audit_head`)
		for _, tt := range cases {
			r.exec(tt.statements...)
			if v := r.verify(); v.OK || v.FirstBad != tt.first || v.What == "" {
				r.t.Errorf("%s: got %+v, want entry %d to be bad", tt.what, v, tt.first)
			}
			r.exec(`DELETE FROM audit_entry`, `DELETE FROM audit_head`,
				`INSERT INTO audit_entry SELECT * FROM kept`, `INSERT INTO audit_head SELECT * FROM kept_head`)
			if v := r.verify(); !v.OK {
				r.t.Fatalf("%s: after it was put back: %+v", tt.what, v)
			}
		}
	})
}

func (r *rig) rows() int {
	r.t.Helper()
	n := 0
	r.must(r.db.View(r.ctx(), func(tx *store.Tx) (err error) {
		n, err = store.One(tx, func(row store.Row) (n int, err error) { return n, row.Scan(&n) }, `SELECT COUNT(*) FROM audit_entry`)
		return err
	}))
	return n
}

// TestALongLogIsVerifiedInParts: what is read in several transactions is one
// chain all the same.
func TestALongLogIsVerifiedInParts(t *testing.T) {
	each(t, func(r *rig) {
		const n = 4100
		r.fill(n)
		var told []int64
		v, err := r.log.Verify(r.ctx(), func(done, total int64) {
			told = append(told, done)
			if total != n {
				r.t.Errorf("of %d entries", total)
			}
		})
		r.must(err)
		if !v.OK || v.Entries != n || len(told) != 3 || told[2] != n {
			r.t.Errorf("got %+v, progress %v", v, told)
		}
		r.disarm()
		r.exec(`UPDATE audit_entry SET reason = 'x' WHERE seq = 2001`)
		if v := r.verify(); v.OK || v.FirstBad != 2001 {
			r.t.Errorf("got %+v, want entry 2001 to be bad", v)
		}
	})
}
