package store_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// TestEachPlaceInAGroup lets callers fail at each place in a group of four: the
// first, whose part is undone with all there is, and those behind it, whose part
// alone is. The rest is stored, and the next group after it as well.
func TestEachPlaceInAGroup(t *testing.T) {
	for failing := range 1 << 4 {
		path := storetest.SQLitePath(t)
		synctest.Test(t, func(t *testing.T) {
			db, err := store.Open(t.Context(), store.Config{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			update(t, db, `CREATE TABLE thing (id BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL)`)
			wrong := errors.New("wrong")
			hold := make(chan struct{})
			var want []int
			var wg sync.WaitGroup
			for i := range 4 {
				fails := failing>>i&1 == 1
				if !fails {
					want = append(want, i)
				}
				wg.Go(func() {
					err := db.Update(t.Context(), func(tx *store.Tx) error {
						<-hold
						if err := insert(tx, i); err != nil || !fails {
							return err
						}
						return wrong
					})
					if errors.Is(err, wrong) != fails || !fails && err != nil {
						t.Errorf("failing %04b: caller %d hears %v", failing, i, err)
					}
				})
				synctest.Wait() // so that they stand in this order
			}
			close(hold)
			wg.Wait()
			if got := things(t, db); !slices.Equal(got, want) {
				t.Errorf("failing %04b: stored %v, want %v", failing, got, want)
			}
			update(t, db, `INSERT INTO thing (id, name) VALUES (9, 'next')`)
			if got := things(t, db); !slices.Equal(got, append(want, 9)) {
				t.Errorf("failing %04b: then stored %v, want %v and 9", failing, got, want)
			}
		})
	}
}
