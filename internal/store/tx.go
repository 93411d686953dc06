package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sealpost/sealpost/internal/fault"
)

// Tx is a transaction, handed to the callback of [DB.Update] or [DB.View] and
// dead once that returns. It belongs to one goroutine.
type Tx struct {
	db   *DB
	ctx  context.Context // the caller's
	work context.Context // what statements run under
	conn execer

	now      time.Time
	onCommit []func()
	view     bool  // nothing can be changed
	busy     bool  // rows are being read
	ended    bool  // the callback has returned
	failed   error // the first statement that failed
	// forgotten are keys that Forget was told of.
	forgotten []string
}

// execer is the part of a connection that a transaction uses. The writer of
// SQLite keeps prepared statements behind it.
type execer interface {
	exec(ctx context.Context, query string, args []any) (sql.Result, error)
	query(ctx context.Context, query string, args []any) (*sql.Rows, error)
}

type plainConn struct{ *sql.Conn }

func (c plainConn) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	return c.ExecContext(ctx, query, args...)
}

func (c plainConn) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	return c.QueryContext(ctx, query, args...)
}

// Row is one row of a result, to be read within the scan function it is
// handed to.
type Row interface {
	// Scan copies the columns into dest, as database/sql does.
	Scan(dest ...any) error
}

// Context returns the context of the transaction's caller.
func (tx *Tx) Context() context.Context { return tx.ctx }

// ReadOnly reports whether the transaction is that of a View: all it reads is
// committed, and of one moment.
func (tx *Tx) ReadOnly() bool { return tx.view }

// Engine returns the engine that runs the transaction.
func (tx *Tx) Engine() Engine { return tx.db.engine }

// Now returns the time of the transaction: UTC, whole microseconds, the same
// in every call. It is the configured clock where one was configured, else
// the machine's on SQLite and the database's on PostgreSQL.
func (tx *Tx) Now() time.Time {
	if !tx.now.IsZero() {
		return tx.now
	}
	if tx.db.now != nil {
		tx.now = tx.db.now().UTC().Truncate(time.Microsecond)
		return tx.now
	}
	micros, err := One(tx, func(r Row) (n int64, err error) { return n, r.Scan(&n) },
		`SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)`)
	if err != nil {
		// The transaction has failed with this statement, so that nothing
		// reckoned from a wrong time can be kept.
		return time.Time{}
	}
	tx.now = FromMicros(micros)
	return tx.now
}

// Exec runs a statement that returns no rows and tells how many rows it
// changed.
//
// Parameters are strings, integers, floats, booleans, byte slices, nil, types
// made of these, and driver.Valuer. A nil byte slice is stored as an empty
// one; pass an untyped nil for NULL. Text with a NUL or invalid UTF-8 is
// refused as invalid.
func (tx *Tx) Exec(query string, args ...any) (rows int64, err error) {
	values, err := tx.ready(query, args)
	if err != nil {
		return 0, err
	}
	result, err := tx.conn.exec(tx.work, query, values)
	if err != nil {
		return 0, tx.fail(query, err)
	}
	return result.RowsAffected()
}

// Each calls scan for every row of a query, in order, and stops at the first
// error. scan must not use the transaction: PostgreSQL's connection is busy
// with the rows, and SQLite is held to the same. Parameters are as in Exec.
func (tx *Tx) Each(scan func(Row) error, query string, args ...any) error {
	values, err := tx.ready(query, args)
	if err != nil {
		return err
	}
	rows, err := tx.conn.query(tx.work, query, values)
	if err != nil {
		return tx.fail(query, err)
	}
	tx.busy = true
	defer func() { tx.busy = false; _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return tx.fail(query, err)
	}
	return nil
}

// OnCommit notes f to be called after the commit, on the goroutine that
// called Update and before Update returns, in the order noted. Nothing noted
// in a transaction that fails, or in a View, is ever called.
func (tx *Tx) OnCommit(f func()) { tx.onCommit = append(tx.onCommit, f) }

// All returns what scan makes of each row of a query; no rows is an empty
// result and no error. Parameters are as in [Tx.Exec].
func All[T any](tx *Tx, scan func(Row) (T, error), query string, args ...any) ([]T, error) {
	var all []T
	err := tx.Each(func(r Row) error {
		v, err := scan(r)
		if err == nil {
			all = append(all, v)
		}
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return all, nil
}

// One returns what scan makes of the first row of a query. Without a row the
// error is a fault of kind not found, which callers replace by one that names
// the object. Parameters are as in [Tx.Exec].
func One[T any](tx *Tx, scan func(Row) (T, error), query string, args ...any) (T, error) {
	var first T
	found := false
	err := tx.Each(func(r Row) error {
		if found {
			return nil
		}
		found = true
		var err error
		first, err = scan(r)
		return err
	}, query, args...)
	if err == nil && !found {
		err = fault.NotFound("There is no such entry.")
	}
	if err != nil {
		var none T
		return none, err
	}
	return first, nil
}

// Kept returns what load reads, from memory where that is known to be what load
// would read again: in an Update on SQLite, whose writers all stand in one
// queue, after an earlier Update that read it. Whoever changes any of what load
// reads calls [Tx.Forget] with the key in the same transaction. The value is
// shared: nobody may change it.
func Kept[T any](tx *Tx, key string, load func() (T, error)) (T, error) {
	w, ok := tx.conn.(*writer)
	if !ok {
		return load()
	}
	if v, ok := w.known[key].(T); ok {
		return v, nil
	}
	v, err := load()
	if err == nil && !slices.Contains(tx.forgotten, key) {
		w.known[key] = v
	}
	return v, err
}

// Forget says that the transaction changes what is [Kept] under the key.
func (tx *Tx) Forget(key string) {
	w, ok := tx.conn.(*writer)
	if !ok {
		return
	}
	delete(w.known, key)
	tx.forgotten = append(tx.forgotten, key)
}

// run calls f, and does not let it forget a failed statement.
func (tx *Tx) run(f func(*Tx) error) error {
	if err := f(tx); err != nil {
		return err
	}
	return tx.failed
}

// end makes later use of the transaction an error.
func (tx *Tx) end() { tx.ended = true }

// committed calls what OnCommit noted.
func (tx *Tx) committed() {
	for _, f := range tx.onCommit {
		f()
	}
}

func (tx *Tx) ready(query string, args []any) ([]any, error) {
	switch {
	case tx.ended:
		return nil, errors.New("store: transaction used after its end")
	case tx.failed != nil:
		return nil, tx.failed
	case tx.busy:
		return nil, tx.fail(query, errors.New("transaction used while its rows are being read"))
	}
	if err := tx.ctx.Err(); err != nil {
		return nil, tx.fail(query, err)
	}
	values := make([]any, len(args))
	for i, arg := range args {
		v, err := value(arg)
		if err != nil {
			return nil, tx.fail(query, fmt.Errorf("parameter $%d: %w", i+1, err))
		}
		values[i] = v
	}
	return values, nil
}

// fail notes that a statement failed, after which PostgreSQL would refuse
// every further one.
func (tx *Tx) fail(query string, err error) error {
	// The statement's text holds no values, only $1 and so on.
	words := strings.Join(strings.Fields(query), " ")
	if len(words) > 120 {
		words = words[:120] + "…"
	}
	tx.failed = translate(fmt.Errorf("%w (in %s)", err, words))
	return tx.failed
}

// value turns a parameter into one of the few types that both drivers treat
// alike. Left to themselves, pgx would store a named integer that has a
// String method as its text.
func value(arg any) (any, error) {
	v, err := driver.DefaultParameterConverter.ConvertValue(arg)
	if err != nil {
		return nil, fmt.Errorf("a %T cannot be stored", arg)
	}
	switch v := v.(type) {
	case time.Time:
		return nil, errors.New("a time is stored as Micros")
	case []byte:
		if v == nil {
			return []byte{}, nil
		}
	case string:
		if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			return nil, fault.Invalid("text", "The text holds characters that cannot be stored. Type it again.")
		}
	}
	return v, nil
}

func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close()
}
