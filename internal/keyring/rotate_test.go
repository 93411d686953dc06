package keyring_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/store"
)

// after is what the keys are when n rotations have ended.
func after(n int) string {
	var out []string
	for _, p := range keyring.Purposes() {
		for v := 1; v <= n+1; v++ {
			if v <= n {
				out = append(out, fmt.Sprintf("(%s %d)", p, v))
			} else {
				out = append(out, fmt.Sprintf("%s %d", p, v))
			}
		}
		for v := 1; v <= n+1; v++ {
			out = append(out, fmt.Sprintf("%s.mac %d", p, v))
		}
	}
	return strings.Join(out, ", ")
}

func TestARotationLeavesNoOldKey(t *testing.T) {
	each(t, func(r *rig) {
		const n = 250
		r.fill(n)
		r.update(func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO safe (id, version, sealed) VALUES ('empty', 1, NULL)`)
			return err
		})
		var told []int
		report, err := r.keys.Rotate(r.ctx(), operator, []keyring.Column{column}, func(done, total int) {
			if total != n {
				r.t.Errorf("of %d values", total)
			}
			told = append(told, done)
		})
		r.must(err)
		if report.Rewrapped != n || report.Retired != 5 || report.Resumed || len(report.Damaged) != 0 {
			r.t.Errorf("got %+v", report)
		}
		if len(told) != 4 || told[0] != 0 || told[3] != n {
			r.t.Errorf("progress: %v", told)
		}
		if got := r.keyRows(); got != after(1) {
			r.t.Errorf("keys:\n%s, want\n%s", got, after(1))
		}
		r.whole(r.db, r.keys, n)
		r.whole(r.db, r.open(r.db), n)
		status, err := r.keys.Status(r.ctx())
		r.must(err)
		for _, k := range status.Keys {
			if k.Version != 2 || k.Older != 0 || k.CreatedAt.IsZero() {
				r.t.Errorf("status: %+v", k)
			}
		}
		if !status.RotatingSince.IsZero() {
			r.t.Errorf("a rotation goes on since %v", status.RotatingSince)
		}
	})
}

// TestWorkGoesOnWhileKeysRotate writes and reads through two nodes during
// several rotations.
func TestWorkGoesOnWhileKeysRotate(t *testing.T) {
	each(t, func(r *rig) {
		const n = 150
		r.fill(n)
		db2, keys2 := r.node()
		stop := make(chan struct{})
		var wg sync.WaitGroup
		var written atomic.Int64
		for worker := range 2 {
			db, keys := r.db, r.keys
			if worker == 1 {
				db, keys = db2, keys2
			}
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					row := fmt.Sprintf("live-%d-%d", worker, i)
					if err := put(r.ctx(), db, keys, keyring.PurposeVault, row, 1, row); err != nil {
						r.t.Errorf("writing: %v", err)
						return
					}
					written.Add(1)
					if text, err := get(r.ctx(), db, keys, row, 1); text != row {
						r.t.Errorf("reading what was just written: %v", err)
						return
					}
					old := i % n
					if _, err := get(r.ctx(), db, keys, fmt.Sprintf("row-%03d", old/3), int64(old%3)); err != nil {
						r.t.Errorf("reading value %d: %v", old, err)
						return
					}
				}
			})
		}
		const rotations = 3
		for range rotations {
			before := written.Load()
			if _, err := r.keys.Rotate(r.ctx(), operator, []keyring.Column{column}, nil); err != nil {
				r.t.Error(err)
			}
			for written.Load() == before && !r.t.Failed() {
				// Both go on: the next rotation begins behind another write.
				if _, err := r.keys.Status(r.ctx()); err != nil {
					r.t.Error(err)
				}
			}
		}
		close(stop)
		wg.Wait()
		// What was sealed under an old key while the last rotation ran keeps
		// it; the next one ends it.
		_, err := r.keys.Rotate(r.ctx(), operator, []keyring.Column{column}, nil)
		r.must(err)
		if got := r.keyRows(); got != after(rotations+1) {
			r.t.Errorf("keys:\n%s, want\n%s", got, after(rotations+1))
		}
		r.whole(db2, keys2, n)
	})
}

// TestACutOffRotationIsFinished ends the process, as far as the database can
// see, after each batch, and begins again.
func TestACutOffRotationIsFinished(t *testing.T) {
	each(t, func(r *rig) {
		const n = 350
		r.fill(n)
		cut := func(k *keyring.Keyring, after int) (err error) {
			defer func() {
				if recover() != nil {
					err = errWanted
				}
			}()
			batches := 0
			_, err = k.Rotate(r.ctx(), operator, []keyring.Column{column}, func(int, int) {
				if batches++; batches > after {
					panic("killed")
				}
			})
			return err
		}
		for batches := range 3 {
			k := r.open(r.db)
			if err := cut(k, batches); !errors.Is(err, errWanted) {
				r.t.Fatalf("cut after %d batches: %v", batches, err)
			}
			r.whole(r.db, r.open(r.db), n)
			status, err := k.Status(r.ctx())
			r.must(err)
			if status.RotatingSince.IsZero() || status.Keys[0].Version != 2 || status.Keys[0].Older != 1 {
				r.t.Errorf("cut after %d batches: %+v", batches, status)
			}
		}
		report, err := r.open(r.db).Rotate(r.ctx(), operator, []keyring.Column{column}, nil)
		r.must(err)
		if !report.Resumed || report.Retired != 5 || report.Rewrapped != n-200 {
			r.t.Errorf("finished: %+v", report)
		}
		if got := r.keyRows(); got != after(1) {
			r.t.Errorf("keys:\n%s, want\n%s", got, after(1))
		}
		r.whole(r.db, r.open(r.db), n)
	})
}

// TestADamagedValueKeepsTheKeys: what does not open may still be mended from a
// backup, as long as its key is there.
func TestADamagedValueKeepsTheKeys(t *testing.T) {
	each(t, func(r *rig) {
		r.fill(6)
		r.update(func(tx *store.Tx) error {
			// Swapped, both are whole and in the wrong place.
			_, err := tx.Exec(`UPDATE safe SET sealed = (SELECT sealed FROM safe WHERE id = 'row-000' AND version = 0) WHERE id = 'row-001' AND version = 2`)
			return err
		})
		report, err := r.keys.Rotate(r.ctx(), operator, []keyring.Column{column}, nil)
		r.must(err)
		if report.Retired != 0 || len(report.Damaged) != 1 || report.Damaged[0] != "safe sealed row-001" || report.Rewrapped != 5 {
			r.t.Errorf("got %+v", report)
		}
		if strings.Contains(r.keyRows(), "(") {
			r.t.Errorf("a key was destroyed: %s", r.keyRows())
		}
		r.update(func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE safe SET sealed = $1 WHERE id = 'row-001' AND version = 2`, []byte("not sealed at all"))
			return err
		})
		if report, err = r.keys.Rotate(r.ctx(), operator, []keyring.Column{column}, nil); err != nil || report.Retired != 0 || len(report.Damaged) != 1 {
			r.t.Errorf("with something that was never sealed: %+v, %v", report, err)
		}
		r.update(func(tx *store.Tx) error {
			_, err := tx.Exec(`DELETE FROM safe WHERE id = 'row-001' AND version = 2`)
			return err
		})
		if report, err = r.keys.Rotate(r.ctx(), operator, []keyring.Column{column}, nil); err != nil || report.Retired != 15 {
			r.t.Errorf("with the damage gone: %+v, %v", report, err)
		}
	})
}

func TestWhoRotates(t *testing.T) {
	each(t, func(r *rig) {
		for _, by := range []actor.Actor{{}, {Kind: actor.KindUser, UserID: "u", Role: actor.PasswordAdministrator}} {
			if _, err := r.keys.Rotate(r.ctx(), by, []keyring.Column{column}, nil); !fault.Is(err, fault.KindDenied) {
				r.t.Errorf("%+v: %v", by, err)
			}
		}
		if _, err := r.keys.Rotate(r.ctx(), operator, []keyring.Column{{Table: "safe"}}, nil); err == nil {
			r.t.Error("half a column was taken")
		}
		if got := r.keyRows(); got != after(0) {
			r.t.Errorf("keys: %s", got)
		}
	})
}
