package storetest_test

import (
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

func TestEachGivesAnEmptyDatabaseOfItsOwn(t *testing.T) {
	for range 3 {
		storetest.Each(t, func(t *testing.T, db *store.DB) {
			err := db.Update(t.Context(), func(tx *store.Tx) error {
				// The same table each time: a database used before would refuse it.
				_, err := tx.Exec(`CREATE TABLE only_here (id TEXT PRIMARY KEY)`)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestClockRulesBothEngines(t *testing.T) {
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		clock.Advance(90 * time.Minute)
		err := db.View(t.Context(), func(tx *store.Tx) error {
			if got, want := tx.Now(), clock.Now(); !got.Equal(want) {
				t.Errorf("Now: got %v, want %v", got, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
