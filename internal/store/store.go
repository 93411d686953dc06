package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
)

// Engine names a database engine.
type Engine string

// The engines.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// Config is what a store needs.
type Config struct {
	// Path is the SQLite file. It is created with mode 0600, its folder with
	// mode 0700. Ignored when URL is set.
	Path string
	// URL is the address of a PostgreSQL database (postgres://…). Empty means
	// SQLite at Path.
	URL secret.Value
	// Now is the clock of transactions. Nil means time.Now on SQLite and the
	// database's own clock on PostgreSQL.
	Now func() time.Time
	// Log receives what nobody waits for, such as a weakened setting found at
	// start. Nil means slog.Default.
	Log *slog.Logger
}

// DB is an open database. It is safe for use by several goroutines.
type DB struct {
	engine Engine
	now    func() time.Time // nil: ask PostgreSQL
	log    *slog.Logger

	pool *sql.DB // PostgreSQL only
	// beginUpdate begins a transaction on PostgreSQL that may change something.
	beginUpdate string

	readers *readers // SQLite only
	writer  *writer  // SQLite only
	lock    *FileLock

	closing sync.Once
	closed  error
}

// Open opens the database, creating it where it is missing, and brings its
// schema up to date.
//
// It refuses, with a fault that says what to do: a SQLite file that another
// process has open, a SQLite library with a known defect, a connection whose
// safety settings did not take, and a database that a newer Sealpost wrote.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.URL.IsZero() && c.Path == "" {
		return nil, fault.Invalid("database", "Name a database file or a PostgreSQL address.")
	}
	if c.URL.IsZero() {
		return openSQLite(ctx, c)
	}
	return openPostgres(ctx, c)
}

// Engine returns which engine holds the data.
func (db *DB) Engine() Engine { return db.engine }

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	if db.pool != nil {
		return translate(db.pool.PingContext(ctx))
	}
	return db.readers.view(ctx, func(*session) error { return nil })
}

// Close waits for the transactions that are under way, then closes the
// database and gives up the file lock. It may be called more than once.
func (db *DB) Close() error {
	db.closing.Do(func() {
		if db.pool != nil {
			db.closed = db.pool.Close()
		} else {
			db.closed = errors.Join(db.writer.close(), db.readers.close())
		}
		if db.lock != nil {
			db.lock.Release()
		}
	})
	return db.closed
}

// Update runs f in a transaction that may write, and returns nil once the
// change is on disk. An error from f, a panic in it, or a failed statement
// undoes all that f did. A context that ends before f starts means that f
// does not run; one that ends later makes f's next statement fail.
//
// f may run more than once (after a deadlock), and must not call Update
// itself, which on SQLite would wait for its own end.
//
// A commit whose outcome cannot be known, because the connection broke while
// the answer was on its way, gives an error that wraps [ErrUnknownOutcome].
// It is never repeated here: only the caller knows whether that is safe.
func (db *DB) Update(ctx context.Context, f func(tx *Tx) error) error {
	if db.writer != nil {
		return db.writer.update(ctx, db, f)
	}
	return db.updatePostgres(ctx, f)
}

// View runs f in a read-only transaction that sees one state of the database.
// What f returns is what View returns, unless a statement failed.
func (db *DB) View(ctx context.Context, f func(tx *Tx) error) error {
	if db.readers != nil {
		return db.readers.view(ctx, func(s *session) error {
			tx := &Tx{db: db, ctx: ctx, work: ctx, conn: s, view: true}
			defer tx.end()
			return tx.run(f)
		})
	}
	conn, err := db.begin(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	if err != nil {
		return err
	}
	tx := &Tx{db: db, ctx: ctx, work: ctx, conn: plainConn{conn}, view: true}
	defer db.abandon(ctx, conn)
	defer tx.end()
	return tx.run(f)
}

// begin takes a connection from the pool and starts a transaction on it. A
// connection that broke while it was idle is replaced: nothing was asked of
// it yet, so that asking another one is safe.
func (db *DB) begin(ctx context.Context, statement string) (*sql.Conn, error) {
	const tries = 3
	for try := 1; ; try++ {
		conn, err := db.pool.Conn(ctx)
		if err != nil {
			return nil, translate(err)
		}
		if _, err = conn.ExecContext(ctx, statement); err == nil {
			return conn, nil
		}
		discard(conn)
		if try == tries || ctx.Err() != nil {
			return nil, translate(err)
		}
	}
}

// abandon ends a transaction without keeping anything and returns the
// connection to the pool, or throws it away where it does not answer.
func (db *DB) abandon(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackWait)
	defer cancel()
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		discard(conn)
		return
	}
	_ = conn.Close()
}

// rollbackWait bounds how long ending a transaction may keep a caller whose
// own deadline has passed already.
const rollbackWait = 5 * time.Second
