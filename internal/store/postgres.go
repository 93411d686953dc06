package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sealpost/sealpost/internal/fault"
)

const (
	// poolSize bounds the connections of one node.
	poolSize = 24
	// migrationLock is the advisory lock that nodes take while they migrate:
	// "sealpost" read as a number.
	migrationLock = 0x7365616c706f7374
	// oldestPostgres is the oldest server the statements are written for, as
	// server_version_num counts.
	oldestPostgres = 130000
	// updateTries is how often an Update runs before a conflict with others
	// is given up on.
	updateTries = 12
	// commitWait bounds how long the answer to a COMMIT may take.
	commitWait = 30 * time.Second
	// idleLimit is how long a node may leave a transaction that changes something
	// without a word. One that hangs, or whose machine was halted, would else keep
	// others from the rows that it has locked for as long as that lasts.
	idleLimit = 15 * time.Second
)

func openPostgres(ctx context.Context, c Config) (*DB, error) {
	config, err := pgx.ParseConfig(c.URL.Reveal())
	if err != nil {
		// The cause may quote the address with its password.
		return nil, fault.Invalid("database", "The PostgreSQL address cannot be read. It looks like postgres://user:password@host:5432/name?sslmode=verify-full.")
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "sealpost"
	}
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(poolSize)
	pool.SetMaxIdleConns(poolSize)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	pool.SetConnMaxLifetime(time.Hour)
	db := &DB{engine: Postgres, now: c.Now, log: c.Log, pool: pool, beginUpdate: beginUpdate(idleLimit)}
	if err := db.startPostgres(ctx); err != nil {
		_ = pool.Close()
		return nil, err
	}
	return db, nil
}

// startPostgres checks the server and migrates, one node at a time.
func (db *DB) startPostgres(ctx context.Context) error {
	conn, err := db.pool.Conn(ctx)
	if err != nil {
		return translate(err)
	}
	defer discard(conn) // ending the session gives up the lock in any case
	var version int
	var encoding, flush string
	var folds bool
	err = conn.QueryRowContext(ctx, `SELECT CAST(current_setting('server_version_num') AS INTEGER),
		current_setting('server_encoding'), current_setting('synchronous_commit'), lower('Ä') = 'ä'`).Scan(&version, &encoding, &flush, &folds)
	if err != nil {
		return translate(err)
	}
	if version < oldestPostgres {
		return fault.Unavailable("This PostgreSQL is older than version 13. Upgrade it first.").
			Because(fmt.Errorf("server_version_num %d", version))
	}
	if encoding != "UTF8" {
		return fault.Unavailable("The PostgreSQL database must have the encoding UTF8. Create it with ENCODING 'UTF8'.").
			Because(fmt.Errorf("server_encoding %s", encoding))
	}
	if !folds {
		// Searches would find what was typed in ASCII alone, whatever its case.
		return fault.Unavailable("The PostgreSQL database does not know upper and lower case beyond ASCII. Create it with a UTF-8 locale, for example LC_CTYPE 'C.UTF-8'.")
	}
	if flush == "off" {
		db.log.WarnContext(ctx, "PostgreSQL has synchronous_commit off: a crash of its machine can lose changes that were confirmed")
	}
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
		return translate(err)
	}
	return migrate(ctx, Postgres, db.pool)
}

// updatePostgres runs f until it neither deadlocks nor loses a race.
func (db *DB) updatePostgres(ctx context.Context, f func(*Tx) error) error {
	for try := 1; ; try++ {
		again, err := db.tryPostgres(ctx, f)
		if err == nil || !again || try == updateTries {
			return err
		}
		pause := time.NewTimer(rand.N(time.Duration(try) * 10 * time.Millisecond))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// lostRace reports whether PostgreSQL asks for the transaction to be run
// again.
func lostRace(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == stateSerialization || pg.Code == stateDeadlock)
}

// beginUpdate begins a transaction that PostgreSQL ends when nothing is said in
// it for so long. Both are one message, and one trip.
func beginUpdate(idle time.Duration) string {
	return fmt.Sprintf("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = %d", idle.Milliseconds())
}

// tryPostgres runs f once. again tells that nothing was stored and that
// another run may succeed.
func (db *DB) tryPostgres(ctx context.Context, f func(*Tx) error) (again bool, err error) {
	conn, err := db.begin(ctx, db.beginUpdate)
	if err != nil {
		return false, err
	}
	tx := &Tx{db: db, ctx: ctx, work: ctx, conn: plainConn{conn}}
	asked := false
	defer func() {
		tx.end()
		if !asked {
			db.abandon(ctx, conn)
		}
	}()
	if err := tx.run(f); err != nil {
		// The callback may have put its own words in the place of the cause.
		return lostRace(tx.failed) || lostRace(err), err
	}
	asked = true
	if err := commitPostgres(ctx, conn); err != nil {
		return lostRace(err), err
	}
	tx.committed()
	return false, nil
}

// commitPostgres asks for the commit and hears the answer, even where the
// caller's deadline passes meanwhile: once asked for, only the answer tells
// what happened.
func commitPostgres(ctx context.Context, conn *sql.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWait)
	defer cancel()
	_, err := conn.ExecContext(ctx, "COMMIT")
	if err == nil {
		_ = conn.Close()
		return nil
	}
	discard(conn)
	var answer *pgconn.PgError
	if errors.As(err, &answer) && !endsSession(answer) {
		return translate(err)
	}
	return unknown(err)
}

// endsSession reports whether the server closed the session rather than
// answered the statement, so that the answer says nothing about the commit.
func endsSession(e *pgconn.PgError) bool {
	if e.Code == stateIdle {
		return false // it was said, and all was undone, before the commit came
	}
	return e.Code == stateShutdown || e.Code == stateCrash || e.Severity == "FATAL" || e.Severity == "PANIC"
}

func unknown(err error) error {
	return fault.Unavailable("The database stopped answering while it stored the change. Look whether it was stored before you try again.").
		Because(fmt.Errorf("%w: %w", ErrUnknownOutcome, err))
}
