package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sealpost/sealpost/internal/fault"
)

const (
	// groupSize is how many callers share one commit at most, so that the
	// first of them does not wait for ever under load.
	groupSize = 256
	// groupTime is how long a group takes further callers in.
	groupTime = 10 * time.Millisecond
	// keptStatements bounds the prepared statements of the write connection.
	keptStatements = 400
)

var (
	errClosed    = fault.Unavailable("Sealpost is stopping. Try again when it has started.")
	errAbandoned = errors.New("store: the callback ended without returning")
)

// writer hands the one write connection to callers in turn. Its goroutine
// begins, marks savepoints and commits; the callback itself runs on the
// goroutine of its caller, where a panic or a test's Goexit belongs.
type writer struct {
	pool *sql.DB
	conn *sql.Conn
	kept map[string]*sql.Stmt

	queue   chan *turn
	closing chan struct{}
	once    sync.Once
	done    chan struct{}
}

// turn is one caller's place in the queue.
type turn struct {
	ctx context.Context
	// start is unbuffered: either both sides agree that the callback runs or
	// both see the context end.
	start chan struct{}
	ran   chan error // what the callback came to
	end   chan error // what the commit came to
}

func newWriter(ctx context.Context, pool *sql.DB) (*writer, error) {
	w := &writer{pool: pool, queue: make(chan *turn), closing: make(chan struct{}), done: make(chan struct{})}
	if err := w.connect(ctx); err != nil {
		return nil, err
	}
	go w.loop(context.WithoutCancel(ctx))
	return w, nil
}

func (w *writer) connect(ctx context.Context) error {
	conn, err := w.pool.Conn(ctx)
	if err != nil {
		return translate(err)
	}
	w.conn, w.kept = conn, make(map[string]*sql.Stmt)
	return nil
}

// close lets the group under way commit, and refuses those who still wait.
func (w *writer) close() error {
	w.once.Do(func() { close(w.closing) })
	<-w.done
	if w.conn != nil {
		w.forget()
		_ = w.conn.Close()
	}
	return w.pool.Close()
}

// update is DB.Update for SQLite, on the caller's side of the queue.
func (w *writer) update(ctx context.Context, db *DB, f func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := &turn{ctx: ctx, start: make(chan struct{}), ran: make(chan error, 1), end: make(chan error, 1)}
	select {
	case w.queue <- t:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closing:
		return errClosed
	}
	select {
	case <-t.start:
	case err := <-t.end:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	tx := &Tx{db: db, ctx: ctx, work: context.WithoutCancel(ctx), conn: w}
	t.call(tx, f)
	if err := <-t.end; err != nil {
		return err
	}
	tx.committed()
	return nil
}

// call runs the callback and reports what it came to, also where it panics
// or leaves its goroutine.
func (t *turn) call(tx *Tx, f func(*Tx) error) {
	err := errAbandoned
	defer func() { tx.end(); t.ran <- err }()
	err = tx.run(f)
}

func (w *writer) loop(ctx context.Context) {
	defer close(w.done)
	for {
		select {
		case t := <-w.queue:
			w.group(ctx, t)
		case <-w.closing:
			return
		}
	}
}

// group runs the first caller and those who stand behind it, commits once,
// and tells them all.
func (w *writer) group(ctx context.Context, first *turn) {
	if err := w.begin(ctx); err != nil {
		first.end <- err
		return
	}
	var members []*turn
	until := time.Now().Add(groupTime)
	for next := first; next != nil; next = w.next(until, len(members)) {
		kept, intact := w.serve(ctx, next)
		if kept {
			members = append(members, next)
		}
		if !intact {
			w.dissolve(ctx, members, errors.New("store: SQLite gave up the transaction"))
			return
		}
	}
	if len(members) == 0 {
		w.rollback(ctx)
		return
	}
	if err := w.run(ctx, "COMMIT"); err != nil {
		w.dissolve(ctx, members, commitFailure(err))
		return
	}
	for _, t := range members {
		t.end <- nil
	}
}

// next returns the caller at the head of the queue if one is there and the
// group may still grow.
func (w *writer) next(until time.Time, size int) *turn {
	if size >= groupSize || time.Now().After(until) {
		return nil
	}
	select {
	case t := <-w.queue:
		return t
	default:
		return nil
	}
}

// serve gives one caller its turn. kept tells that its change is part of the
// group; intact, that the group's transaction still stands.
func (w *writer) serve(ctx context.Context, t *turn) (kept, intact bool) {
	if err := w.run(ctx, "SAVEPOINT turn"); err != nil {
		t.end <- translate(err)
		return false, false
	}
	select {
	case t.start <- struct{}{}:
	case <-t.ctx.Done():
		return false, w.undo(ctx)
	}
	if err := <-t.ran; err != nil {
		intact := w.undo(ctx)
		t.end <- err
		return false, intact
	}
	if err := w.run(ctx, "RELEASE turn"); err != nil {
		t.end <- translate(err)
		return false, false
	}
	return true, true
}

// undo takes back what one caller did. It fails where SQLite had to roll back
// everything, as it does when the disk is full.
func (w *writer) undo(ctx context.Context) bool {
	return w.run(ctx, "ROLLBACK TO turn") == nil && w.run(ctx, "RELEASE turn") == nil
}

// dissolve tells the members of a group whose transaction is lost.
func (w *writer) dissolve(ctx context.Context, members []*turn, err error) {
	w.rollback(ctx)
	for _, t := range members {
		t.end <- fault.Unavailable("The change could not be stored. Check the disk of the data folder, then try again.").Because(err)
	}
}

// commitFailure marks an error of the commit after which the log may or may
// not hold it: the flush itself failed.
func commitFailure(err error) error {
	var lite *sqlite.Error
	if errors.As(err, &lite) && lite.Code()&0xff == sqlite3.SQLITE_IOERR {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	return err
}

// begin starts a group, on a new connection where the last one was lost.
func (w *writer) begin(ctx context.Context) error {
	if w.conn == nil {
		if err := w.connect(ctx); err != nil {
			return err
		}
	}
	if err := w.run(ctx, "BEGIN IMMEDIATE"); err != nil {
		w.rollback(ctx)
		return translate(err)
	}
	return nil
}

// rollback ends whatever is open. A connection on which something stays open
// is thrown away.
func (w *writer) rollback(ctx context.Context) {
	_ = w.run(ctx, "ROLLBACK") // fails where SQLite has rolled back already
	if w.run(ctx, "BEGIN") == nil && w.run(ctx, "ROLLBACK") == nil {
		return
	}
	w.forget()
	discard(w.conn)
	w.conn = nil
}

func (w *writer) run(ctx context.Context, statement string) error {
	_, err := w.exec(ctx, statement, nil)
	return err
}

func (w *writer) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	s, err := w.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

func (w *writer) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	s, err := w.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// prepare returns the statement, prepared once for each text: parsing costs
// more than most statements do.
func (w *writer) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if s := w.kept[query]; s != nil {
		return s, nil
	}
	if len(w.kept) >= keptStatements {
		w.forget()
	}
	s, err := w.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	w.kept[query] = s
	return s, nil
}

func (w *writer) forget() {
	for _, s := range w.kept {
		_ = s.Close()
	}
	clear(w.kept)
}
