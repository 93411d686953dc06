package store_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// TestMain lets the test binary be the second process that some tests need.
func TestMain(m *testing.M) {
	if path := os.Getenv("STORE_TEST_WRITE"); path != "" {
		os.Exit(writeForEver(path))
	}
	os.Exit(m.Run())
}

// withTable runs f on both engines with an empty table "thing".
func withTable(t *testing.T, f func(t *testing.T, db *store.DB)) {
	t.Helper()
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		update(t, db, `CREATE TABLE thing (id BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL DEFAULT '')`)
		f(t, db)
	})
}

// update runs statements in a transaction that must succeed.
func update(t testing.TB, db *store.DB, statements ...string) {
	t.Helper()
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func insert(tx *store.Tx, id int) error {
	_, err := tx.Exec(`INSERT INTO thing (id, name) VALUES ($1, $2)`, id, fmt.Sprint("thing ", id))
	return err
}

func scanInt(r store.Row) (n int, err error) { return n, r.Scan(&n) }

func scanText(r store.Row) (s string, err error) { return s, r.Scan(&s) }

// things returns the ids in the table.
func things(t testing.TB, db *store.DB) []int {
	t.Helper()
	var ids []int
	err := db.View(t.Context(), func(tx *store.Tx) (err error) {
		ids, err = store.All(tx, scanInt, `SELECT id FROM thing ORDER BY id`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}
