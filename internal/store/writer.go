package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
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
	errGaveUp    = errors.New("store: SQLite gave up the transaction")
)

// writer hands the one write connection from caller to caller. Who holds it
// runs its callback on its own goroutine, where a panic or a test's Goexit
// belongs, and passes the connection on; the last of a group commits for all.
type writer struct {
	pool *sql.DB
	// idle is closed once the writer is closing and nobody holds the connection.
	idle chan struct{}

	mu      sync.Mutex
	waiting []*turn
	held    bool
	closing bool

	// What follows belongs to who holds the connection.
	conn  *session // nil where it broke
	group group
	known map[string]any // see Kept
}

// group is those who share a commit.
type group struct {
	open    bool
	until   time.Time // when it takes nobody in any more
	members []*turn   // those whose change is part of it
}

// turn is one caller's place in the queue.
type turn struct {
	start chan struct{} // told when the connection is the caller's
	end   chan error    // what the commit came to, or why there is none
}

func newWriter(ctx context.Context, pool *sql.DB) (*writer, error) {
	w := &writer{pool: pool, idle: make(chan struct{}), known: make(map[string]any)}
	if err := w.connect(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *writer) connect(ctx context.Context) (err error) {
	w.conn, err = newSession(ctx, w.pool, keptStatements)
	return err
}

// close lets the group under way commit, and refuses those who still wait.
func (w *writer) close() error {
	w.mu.Lock()
	if !w.closing {
		w.closing = true
		for _, t := range w.waiting {
			t.end <- errClosed
		}
		w.waiting = nil
		if !w.held {
			close(w.idle)
		}
	}
	w.mu.Unlock()
	<-w.idle
	if w.conn != nil {
		w.conn.close()
		w.conn = nil
	}
	return w.pool.Close()
}

// update is DB.Update for SQLite.
func (w *writer) update(ctx context.Context, db *DB, f func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := &turn{start: make(chan struct{}, 1), end: make(chan error, 1)}
	if err := w.await(ctx, t); err != nil {
		return err
	}
	tx := &Tx{db: db, ctx: ctx, work: context.WithoutCancel(ctx), conn: w}
	w.take(t, tx, f)
	if err := <-t.end; err != nil {
		return err
	}
	tx.committed()
	return nil
}

// await returns nil once the connection is the caller's.
func (w *writer) await(ctx context.Context, t *turn) error {
	w.mu.Lock()
	if w.closing {
		w.mu.Unlock()
		return errClosed
	}
	if !w.held {
		w.held = true
		w.mu.Unlock()
		return nil
	}
	w.waiting = append(w.waiting, t)
	w.mu.Unlock()
	select {
	case <-t.start:
	case err := <-t.end:
		return err
	case <-ctx.Done():
		if w.withdraw(t) {
			return ctx.Err()
		}
		// The connection, or the end of waiting, is on its way.
		select {
		case <-t.start:
		case err := <-t.end:
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		w.pass(context.WithoutCancel(ctx))
		return err
	}
	return nil
}

// withdraw takes a caller out of the queue, where it still stands there.
func (w *writer) withdraw(t *turn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := slices.Index(w.waiting, t)
	if at < 0 {
		return false
	}
	w.waiting = slices.Delete(w.waiting, at, at+1)
	return true
}

// take runs the callback as part of the group that is open, or of a new one,
// and passes the connection on, also where the callback panics or leaves its
// goroutine.
func (w *writer) take(t *turn, tx *Tx, f func(*Tx) error) {
	defer w.pass(tx.work)
	if err := w.enter(tx.work); err != nil {
		t.end <- err
		return
	}
	err := errAbandoned
	defer func() {
		tx.end()
		for _, key := range tx.forgotten {
			delete(w.known, key)
		}
		w.leave(tx.work, t, err)
	}()
	err = tx.run(f)
}

// enter opens a group, or marks where the caller's part of the open one begins.
// The first needs no mark: to undo its part is to undo all.
func (w *writer) enter(ctx context.Context) error {
	if !w.group.open {
		return w.begin(ctx)
	}
	if len(w.group.members) == 0 {
		return nil
	}
	if err := w.run(ctx, "SAVEPOINT turn"); err != nil {
		w.dissolve(ctx, err)
		return translate(err)
	}
	return nil
}

// leave makes what a caller did part of the group, or takes it back. SQLite may
// have had to roll back everything, as it does when the disk is full.
func (w *writer) leave(ctx context.Context, t *turn, err error) {
	marked := len(w.group.members) > 0
	switch {
	case err == nil && (!marked || w.run(ctx, "RELEASE turn") == nil):
		w.group.members = append(w.group.members, t)
		return
	case err == nil:
		err = notStored(errGaveUp)
		w.dissolve(ctx, errGaveUp)
	case !marked:
		w.rollback(ctx)
	case w.run(ctx, "ROLLBACK TO turn") != nil || w.run(ctx, "RELEASE turn") != nil:
		w.dissolve(ctx, errGaveUp)
	}
	t.end <- err
}

// pass hands the connection to the next caller, for the open group or, once
// that is committed, for another one.
func (w *writer) pass(ctx context.Context) {
	if g := &w.group; g.open && len(g.members) < groupSize && !time.Now().After(g.until) && w.hand(false) {
		return
	}
	w.commit(ctx)
	w.hand(true)
}

// hand gives the connection to who waits longest. Where nobody waits, it is let
// go if the holder wants that, and else stays with them.
func (w *writer) hand(letGo bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) > 0 {
		next := w.waiting[0]
		w.waiting = slices.Delete(w.waiting, 0, 1)
		next.start <- struct{}{}
		return true
	}
	if letGo {
		w.held = false
		if w.closing {
			close(w.idle)
		}
	}
	return false
}

// commit ends the group and tells its members.
func (w *writer) commit(ctx context.Context) {
	g := &w.group
	if !g.open {
		return
	}
	if len(g.members) == 0 {
		w.rollback(ctx)
		return
	}
	if err := w.run(ctx, "COMMIT"); err != nil {
		w.dissolve(ctx, commitFailure(err))
		return
	}
	for _, t := range g.members {
		t.end <- nil
	}
	*g = group{members: g.members[:0]}
}

// dissolve tells the members of a group whose transaction is lost.
func (w *writer) dissolve(ctx context.Context, err error) {
	members := w.group.members
	w.group.members = nil
	w.rollback(ctx)
	for _, t := range members {
		t.end <- notStored(err)
	}
}

func notStored(err error) error {
	return fault.Unavailable("The change could not be stored. Check the disk of the data folder, then try again.").Because(err)
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
	w.group.open, w.group.until = true, time.Now().Add(groupTime)
	return nil
}

// rollback ends whatever is open. A connection on which something stays open
// is thrown away.
func (w *writer) rollback(ctx context.Context) {
	w.group = group{members: w.group.members[:0]}
	clear(w.known)
	_ = w.run(ctx, "ROLLBACK") // fails where SQLite has rolled back already
	if w.run(ctx, "BEGIN") == nil && w.run(ctx, "ROLLBACK") == nil {
		return
	}
	w.conn.discard()
	w.conn = nil
}

func (w *writer) run(ctx context.Context, statement string) error { return w.conn.run(ctx, statement) }

func (w *writer) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	return w.conn.exec(ctx, query, args)
}

func (w *writer) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	return w.conn.query(ctx, query, args)
}
