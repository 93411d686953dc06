package store

import (
	"context"
	"time"
)

// VersionServes reports whether a release of SQLite is taken.
func VersionServes(version string) bool { return versionServes(version) }

// Migrations returns the files of the migrations of an engine.
func Migrations(engine Engine) ([]string, error) {
	entries, err := migrations.ReadDir("migrations/" + string(engine))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// Pragmas returns what every connection must answer.
func Pragmas() map[string]string {
	out := map[string]string{}
	for _, p := range pragmas {
		out[p.name] = p.answer
	}
	return out
}

// Readers returns how many connections to read with are open.
func (db *DB) Readers() int { return db.readers.pool.Stats().OpenConnections }

// AskReader returns the answer of a connection to read with.
func (db *DB) AskReader(ctx context.Context, query string) (answer string, err error) {
	err = db.readers.view(ctx, func(s *session) error { return s.conn.QueryRowContext(ctx, query).Scan(&answer) })
	return answer, err
}

// Translate returns what a caller gets for a driver's error.
func Translate(err error) error { return translate(err) }

// SetIdleLimit changes how long a transaction that changes something may be
// silent. Call it before the first one.
func (db *DB) SetIdleLimit(d time.Duration) { db.beginUpdate = beginUpdate(d) }
