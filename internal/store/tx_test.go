package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// TestThoseWhoWaitShareACommit holds the write connection until 20 callers
// wait for it. When the first of them hears of success, the changes of all are
// there.
func TestThoseWhoWaitShareACommit(t *testing.T) {
	path := storetest.SQLitePath(t)
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(t.Context(), store.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		update(t, db, `CREATE TABLE thing (id BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL)`)
		entered, hold := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		seen := make(chan int, 21)
		write := func(id int, before func()) {
			err := db.Update(t.Context(), func(tx *store.Tx) error {
				before()
				tx.OnCommit(func() { seen <- len(things(t, db)) })
				return insert(tx, id)
			})
			if err != nil {
				t.Error(err)
			}
		}
		wg.Go(func() { write(0, func() { close(entered); <-hold }) })
		<-entered
		for i := range 20 {
			wg.Go(func() { write(i+1, func() {}) })
		}
		synctest.Wait()
		if n := len(things(t, db)); n != 0 {
			t.Errorf("%d rows are seen before any commit", n)
		}
		close(hold)
		wg.Wait()
		close(seen)
		for n := range seen {
			if n != 21 {
				t.Errorf("a caller that heard of success saw %d of 21 rows: it did not share the commit", n)
			}
		}
	})
}

// TestOneFailureIsNobodyElses lets callers that fail in every way stand among
// others that do not.
func TestOneFailureIsNobodyElses(t *testing.T) {
	withTable(t, func(t *testing.T, db *store.DB) {
		wrong := errors.New("wrong")
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				defer func() {
					if p := recover(); (p != nil) != (i%5 == 2) {
						t.Errorf("caller %d: panic %v", i, p)
					}
				}()
				committed := false
				err := db.Update(t.Context(), func(tx *store.Tx) error {
					tx.OnCommit(func() { committed = true })
					if err := insert(tx, i); err != nil {
						return err
					}
					switch i % 5 {
					case 1:
						return wrong
					case 2:
						panic("caller's own")
					case 3:
						runtime.Goexit()
					case 4:
						_ = insert(tx, i) // refused, and the refusal forgotten
					}
					return nil
				})
				if ok := i%5 == 0; (err == nil) != ok || committed != ok {
					t.Errorf("caller %d: committed %v, %v", i, committed, err)
				}
			})
		}
		wg.Wait()
		var want []int
		for i := 0; i < 40; i += 5 {
			want = append(want, i)
		}
		if got := things(t, db); !slices.Equal(got, want) {
			t.Errorf("stored %v, want %v", got, want)
		}
	})
}

func TestAFailedStatementFailsTheWhole(t *testing.T) {
	withTable(t, func(t *testing.T, db *store.DB) {
		var second error
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			if err := insert(tx, 1); err != nil {
				return err
			}
			_, _ = tx.Exec(`INSERT INTO nowhere (id) VALUES (1)`)
			second = insert(tx, 2)
			return nil
		})
		if err == nil || second == nil || len(things(t, db)) != 0 {
			t.Errorf("the whole: %v; after it: %v; stored %v", err, second, things(t, db))
		}
	})
}

func TestAContextEnds(t *testing.T) {
	withTable(t, func(t *testing.T, db *store.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Update(ctx, func(tx *store.Tx) error {
			if err := insert(tx, 1); err != nil {
				return err
			}
			cancel()
			return insert(tx, 2)
		})
		if !errors.Is(err, context.Canceled) || len(things(t, db)) != 0 {
			t.Errorf("ended in the middle: %v, stored %v", err, things(t, db))
		}
		ran := false
		if err := db.Update(ctx, func(*store.Tx) error { ran = true; return nil }); err == nil || ran {
			t.Errorf("ended before: %v, ran %v", err, ran)
		}
		if err := db.View(ctx, func(*store.Tx) error { ran = true; return nil }); err == nil || ran {
			t.Errorf("a view ended before: %v, ran %v", err, ran)
		}
	})
}

func TestAWaiterGivesUp(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, store.SQLite)
	entered, hold := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = db.Update(t.Context(), func(*store.Tx) error { close(entered); <-hold; return nil })
	})
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		gone <- db.Update(ctx, func(*store.Tx) error { t.Error("the callback ran"); return nil })
	}()
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up hears %v", err)
	}
	close(hold)
	wg.Wait()
}

func TestWhatIsNotedForTheCommit(t *testing.T) {
	withTable(t, func(t *testing.T, db *store.DB) {
		var order []string
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			order = nil
			tx.OnCommit(func() { order = append(order, fmt.Sprint("first sees ", len(things(t, db)))) })
			tx.OnCommit(func() { order = append(order, "second") })
			return insert(tx, 1)
		})
		if want := []string{"first sees 1", "second"}; err != nil || !slices.Equal(order, want) {
			t.Errorf("got %q, want %q; %v", order, want, err)
		}
		_ = db.View(t.Context(), func(tx *store.Tx) error {
			tx.OnCommit(func() { t.Error("a view commits") })
			return nil
		})
	})
}

func TestAViewSeesOneStateAndChangesNothing(t *testing.T) {
	withTable(t, func(t *testing.T, db *store.DB) {
		err := db.View(t.Context(), func(tx *store.Tx) error {
			count := func() int {
				n, err := store.One(tx, scanInt, `SELECT COUNT(*) FROM thing`)
				if err != nil {
					t.Error(err)
				}
				return n
			}
			before := count()
			update(t, db, `INSERT INTO thing (id) VALUES (1)`)
			if after := count(); after != before {
				t.Errorf("one view counts %d, then %d", before, after)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		err = db.View(t.Context(), func(tx *store.Tx) error {
			_ = insert(tx, 2)
			return nil
		})
		if err == nil || len(things(t, db)) != 1 {
			t.Errorf("a view writes: %v, %v", err, things(t, db))
		}
	})
}

func TestATransactionIsUsedRightly(t *testing.T) {
	withTable(t, func(t *testing.T, db *store.DB) {
		var kept *store.Tx
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			kept = tx
			if tx.Context() != t.Context() || tx.Engine() != db.Engine() {
				t.Error("the transaction knows another caller or engine")
			}
			if first, second := tx.Now(), tx.Now(); !first.Equal(second) || first.Location() != time.UTC || first.Nanosecond()%1000 != 0 || time.Since(first).Abs() > time.Minute {
				t.Errorf("it is %v, then %v", first, second)
			}
			if _, err := store.One(tx, scanInt, `SELECT id FROM thing`); !fault.Is(err, fault.KindNotFound) {
				t.Errorf("one of none: %v", err)
			}
			for i := range 3 {
				if err := insert(tx, i); err != nil {
					return err
				}
			}
			if n, err := tx.Exec(`UPDATE thing SET name = 'x' WHERE id > 0`); n != 2 || err != nil {
				t.Errorf("%d rows changed, %v", n, err)
			}
			if n, err := store.One(tx, scanInt, `SELECT id FROM thing ORDER BY id DESC`); n != 2 || err != nil {
				t.Errorf("the first of three is %d, %v", n, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kept.Exec(`DELETE FROM thing`); err == nil || len(things(t, db)) != 3 {
			t.Errorf("used after its end: %v", err)
		}
		err = db.Update(t.Context(), func(tx *store.Tx) error {
			return tx.Each(func(store.Row) error { return insert(tx, 9) }, `SELECT id FROM thing`)
		})
		if err == nil || len(things(t, db)) != 3 {
			t.Errorf("used while rows are read: %v", err)
		}
	})
}

type colour int

func (colour) String() string { return "red" }

func TestWhichParametersAreTaken(t *testing.T) {
	withTable(t, func(t *testing.T, db *store.DB) {
		blob := "BLOB"
		if db.Engine() == store.Postgres {
			blob = "BYTEA"
		}
		update(t, db, `CREATE TABLE kept (n BIGINT, s TEXT, b `+blob+` NOT NULL, yes BOOLEAN)`)
		var none []byte
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			if _, err := tx.Exec(`INSERT INTO kept (n, s, b, yes) VALUES ($1, $2, $3, $4)`, colour(7), nil, none, true); err != nil {
				return err
			}
			return tx.Each(func(r store.Row) error {
				var n int64
				var s *string
				var b []byte
				var yes bool
				err := r.Scan(&n, &s, &b, &yes)
				if n != 7 || s != nil || len(b) != 0 || !yes {
					t.Errorf("read back %v %v %v %v", n, s, b, yes)
				}
				return err
			}, `SELECT n, s, b, yes FROM kept`)
		})
		if err != nil {
			t.Error(err)
		}
		for what, arg := range map[string]any{
			"a time": time.Now(), "NUL": "a\x00b", "what is no text": "\xff\xfe", "a struct": struct{}{}, "a map": map[string]int{},
		} {
			err := db.Update(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(`UPDATE kept SET s = $1`, arg)
				return err
			})
			if _, text := arg.(string); err == nil || text && !fault.Is(err, fault.KindInvalid) {
				t.Errorf("%s was taken: %v", what, err)
			}
		}
	})
}

// TestADeadlockIsRunAgain lets two transactions lock two rows in either order.
func TestADeadlockIsRunAgain(t *testing.T) {
	withTable(t, func(t *testing.T, db *store.DB) {
		if db.Engine() == store.SQLite {
			return // one writer cannot deadlock
		}
		update(t, db, `INSERT INTO thing (id) VALUES (1), (2)`)
		var wg sync.WaitGroup
		var both sync.WaitGroup
		both.Add(2)
		for i := range 2 {
			wg.Go(func() {
				runs := 0
				err := db.Update(t.Context(), func(tx *store.Tx) error {
					runs++
					if _, err := tx.Exec(`UPDATE thing SET name = name || 'x' WHERE id = $1`, 1+i); err != nil {
						return err
					}
					if runs == 1 {
						both.Done()
						both.Wait()
					}
					_, err := tx.Exec(`UPDATE thing SET name = name || 'x' WHERE id = $1`, 2-i)
					return err
				})
				if err != nil {
					t.Errorf("after %d runs: %v", runs, err)
				}
			})
		}
		wg.Wait()
		err := db.View(t.Context(), func(tx *store.Tx) error {
			names, err := store.All(tx, scanText, `SELECT name FROM thing`)
			if !slices.Equal(names, []string{"xx", "xx"}) {
				t.Errorf("got %q: a run counted twice or not at all", names)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestClosing(t *testing.T) {
	withTable(t, func(t *testing.T, db *store.DB) {
		if err := errors.Join(db.Close(), db.Close()); err != nil {
			t.Error(err)
		}
		update := db.Update(t.Context(), func(*store.Tx) error { return nil })
		view := db.View(t.Context(), func(*store.Tx) error { return nil })
		if update == nil || view == nil || db.Ping(t.Context()) == nil {
			t.Errorf("a closed database works: %v, %v", update, view)
		}
	})
}

func TestLikeTakesTextAsItIs(t *testing.T) {
	withTable(t, func(t *testing.T, db *store.DB) {
		names := []string{"Zürich ÄÖÜ", "100%", "a_b", `back\slash`, "plain", "İstanbul", "ПРИВЕТ", "x'y\"z"}
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			for i, n := range names {
				if _, err := tx.Exec(`INSERT INTO thing (id, name) VALUES ($1, $2)`, i, n); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct{ text, want string }{
			{"zürich äöü", "0"},
			{"ZÜRICH", "0"},
			{"%", "1"},
			{"0%", "1"},
			{"_", "2"},
			{"A_B", "2"},
			{`\`, "3"},
			{`K\S`, "3"},
			{"lain", "4"},
			{"привет", "6"},
			{"'", "7"},
			{`"`, "7"},
			{"", "0 1 2 3 4 5 6 7"},
			{"p%n", ""},
			{"a.b", ""},
			{"' OR 1=1 --", ""},
			{"pl\x00ain", "4"},
			{"pl\xffain", "4"},
			// More than an engine takes finds nothing and is no failure.
			{strings.Repeat("x", 100_000), ""},
		} {
			var got []string
			err := db.View(t.Context(), func(tx *store.Tx) error {
				ids, err := store.All(tx, scanText, `SELECT CAST(id AS TEXT) FROM thing WHERE `+tx.Like("name", 1)+` ORDER BY id`, store.LikePattern(tt.text))
				got = ids
				return err
			})
			if err != nil || strings.Join(got, " ") != tt.want {
				t.Errorf("%q finds %q, want %q; %v", tt.text, got, tt.want, err)
			}
		}
	})
}

func TestTimesAndIDs(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 0, 0, 123_456_789, time.FixedZone("x", 3600))
	if got := store.FromMicros(store.Micros(at)); !got.Equal(at.Truncate(time.Microsecond)) || got.Location() != time.UTC {
		t.Errorf("%v comes back as %v", at, got)
	}
	if store.Micros(time.Time{}) != 0 || !store.FromMicros(0).IsZero() {
		t.Error("no time is not 0")
	}
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = store.NewID()
	}
	if !slices.IsSorted(ids) || len(slices.Compact(ids)) != 1000 || len(ids[0]) != 36 {
		t.Errorf("ids do not sort as they were made: %s, %s", ids[0], ids[999])
	}
}
