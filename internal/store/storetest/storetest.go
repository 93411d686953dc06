// Package storetest gives a test a database of its own on each engine, with
// the real schema and nothing in it.
//
// PostgreSQL runs from the machine's own programs, once for each test binary,
// on a socket in a temporary folder, with its flushes to disk switched off.
// A small shell stands beside it and holds one end of a pipe: when the test
// binary ends, in whatever way, the pipe breaks and the shell stops the
// server and removes the folder. Where PostgreSQL is missing its tests are
// skipped by name, or fail when the environment says CI=true.
package storetest

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// Clock is a clock that a test sets. It is safe for use by several goroutines.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at 2026-03-01 09:00:00 UTC.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }

// Now returns the time the clock stands at.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Set puts the clock to t.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// Advance moves the clock by d.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Each runs f as the subtests "sqlite" and "postgres", each on an empty
// database with real time.
func Each(t *testing.T, f func(t *testing.T, db *store.DB)) {
	t.Helper()
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) { f(t, Open(t, engine)) })
	}
}

// EachClock is Each with a clock that the test sets, which both engines obey.
func EachClock(t *testing.T, f func(t *testing.T, db *store.DB, clock *Clock)) {
	t.Helper()
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			clock := NewClock()
			f(t, OpenConfig(t, Config(t, engine, clock)), clock)
		})
	}
}

// Open returns an empty database of the engine with real time, closed when
// the test ends.
func Open(t testing.TB, engine store.Engine) *store.DB {
	t.Helper()
	return OpenConfig(t, Config(t, engine, nil))
}

// OpenConfig opens the database that c describes and closes it when the test
// ends. A second call with a PostgreSQL address gives a second node.
func OpenConfig(t testing.TB, c store.Config) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), c)
	if err != nil {
		t.Fatalf("opening the database: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("closing the database: %v", err)
		}
	})
	return db
}

// Config describes an empty database of the engine that has the schema. A
// nil clock means real time.
func Config(t testing.TB, engine store.Engine, clock *Clock) store.Config {
	t.Helper()
	var c store.Config
	if engine == store.Postgres {
		c.URL = secret.New(PostgresURL(t))
	} else {
		c.Path = SQLitePath(t)
	}
	if clock != nil {
		c.Now = clock.Now
	}
	return c
}

// SQLitePath returns the path of a SQLite file that has the schema and no
// rows, in a folder that goes with the test.
func SQLitePath(t testing.TB) string {
	t.Helper()
	image, err := sqliteImage()
	if err != nil {
		t.Fatalf("making the SQLite template: %v", err)
	}
	path := filepath.Join(t.TempDir(), "sealpost.db")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sqliteImage returns the bytes of a migrated SQLite file, made once: nothing
// a caller does can change them.
var sqliteImage = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "sealpost-sqlite-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "template.db")
	db, err := store.Open(context.Background(), store.Config{Path: path})
	if err != nil {
		return nil, err
	}
	// The last connection to close moves the log into the file.
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// PostgresURL returns the address of a PostgreSQL database that has the schema
// and no rows. It goes when the test ends.
func PostgresURL(t testing.TB) string {
	t.Helper()
	c, err := cluster()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("PostgreSQL: %v", err)
		}
		t.Skipf("PostgreSQL: %v", err)
	}
	name, err := c.create(templateName)
	if err != nil {
		t.Fatalf("creating a PostgreSQL database: %v", err)
	}
	t.Cleanup(func() { c.drop(name) })
	return c.url(name)
}

// EmptyPostgresURL returns the address of a PostgreSQL database without any
// table, for tests of the migrations.
func EmptyPostgresURL(t testing.TB) string {
	t.Helper()
	PostgresURL(t) // skips or fails where there is no PostgreSQL
	c, err := cluster()
	if err != nil {
		t.Fatal(err)
	}
	name, err := c.create("template0")
	if err != nil {
		t.Fatalf("creating a PostgreSQL database: %v", err)
	}
	t.Cleanup(func() { c.drop(name) })
	return c.url(name)
}
