package store_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/sealpost/sealpost/internal/store"
)

// TestWhatIsKept counts how often a value is read anew, and checks that it is
// never an old one or one that was taken back.
func TestWhatIsKept(t *testing.T) {
	withTable(t, func(t *testing.T, db *store.DB) {
		loads := 0
		count := func(tx *store.Tx) int {
			n, err := store.Kept(tx, "count", func() (int, error) {
				loads++
				return store.One(tx, scanInt, `SELECT COUNT(*) FROM thing`)
			})
			if err != nil {
				t.Error(err)
			}
			return n
		}
		wrong := errors.New("wrong")
		want := func(what string, n int) {
			t.Helper()
			for _, in := range []func(func(*store.Tx) error) error{
				func(f func(*store.Tx) error) error { return db.Update(t.Context(), f) },
				func(f func(*store.Tx) error) error { return db.View(t.Context(), f) },
			} {
				if err := in(func(tx *store.Tx) error {
					if got := count(tx); got != n {
						t.Errorf("%s: %d, want %d", what, got, n)
					}
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
		}
		change := func(id int, end error, before, after int) {
			t.Helper()
			_ = db.Update(t.Context(), func(tx *store.Tx) error {
				if got := count(tx); got != before {
					t.Errorf("before the change: %d, want %d", got, before)
				}
				tx.Forget("count")
				if err := insert(tx, id); err != nil {
					return err
				}
				if got := count(tx); got != after {
					t.Errorf("after the change: %d, want %d", got, after)
				}
				return end
			})
		}
		want("at first", 0)
		change(1, nil, 0, 1)
		want("after a change", 1)
		change(2, wrong, 1, 2)
		want("after a change that was taken back", 1)
		func() {
			defer func() { _ = recover() }()
			_ = db.Update(t.Context(), func(tx *store.Tx) error {
				tx.Forget("count")
				if err := insert(tx, 3); err != nil {
					return err
				}
				if count(tx) != 2 {
					t.Error("a change does not see itself")
				}
				panic("caller's own")
			})
		}()
		want("after a panic", 1)
		loads = 0
		_ = db.Update(t.Context(), func(tx *store.Tx) error { count(tx); count(tx); return nil })
		_ = db.Update(t.Context(), func(tx *store.Tx) error { count(tx); return nil })
		if most := map[store.Engine]int{store.SQLite: 0, store.Postgres: 3}[db.Engine()]; loads != most {
			t.Errorf("read %d times anew, want %d", loads, most)
		}
	})
}

// TestWhatIsKeptInAGroup lets callers that share commits change what is kept,
// half of whom take it back.
func TestWhatIsKeptInAGroup(t *testing.T) {
	withTable(t, func(t *testing.T, db *store.DB) {
		wrong := errors.New("wrong")
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				_ = db.Update(t.Context(), func(tx *store.Tx) error {
					if i%3 == 0 {
						tx.Forget("count")
						if err := insert(tx, i); err != nil {
							return err
						}
						if i%2 == 0 {
							return wrong
						}
						return nil
					}
					read := func() (int, error) { return store.One(tx, scanInt, `SELECT COUNT(*) FROM thing`) }
					kept, err := store.Kept(tx, "count", read)
					if err != nil || db.Engine() == store.Postgres {
						return err // where two statements may see two states
					}
					if now, err := read(); err != nil || now != kept {
						t.Errorf("kept %d, and there are %d, %v", kept, now, err)
					}
					return nil
				})
			})
		}
		wg.Wait()
	})
}
