package store

import (
	"context"
	"database/sql"
	"sync"
)

// session is a connection to SQLite with the statements prepared on it: parsing
// costs more than most statements do. It belongs to one goroutine at a time.
type session struct {
	conn *sql.Conn
	kept map[string]*sql.Stmt
	// most bounds the statements kept.
	most int
}

func newSession(ctx context.Context, pool *sql.DB, most int) (*session, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, translate(err)
	}
	return &session{conn: conn, kept: make(map[string]*sql.Stmt), most: most}, nil
}

func (s *session) run(ctx context.Context, statement string) error {
	_, err := s.exec(ctx, statement, nil)
	return err
}

func (s *session) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	stmt, err := s.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

func (s *session) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	stmt, err := s.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

// prepare returns the statement, prepared once for each text.
func (s *session) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt := s.kept[query]; stmt != nil {
		return stmt, nil
	}
	if len(s.kept) >= s.most {
		s.forget()
	}
	stmt, err := s.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s.kept[query] = stmt
	return stmt, nil
}

func (s *session) forget() {
	for _, stmt := range s.kept {
		_ = stmt.Close()
	}
	clear(s.kept)
}

func (s *session) close() {
	s.forget()
	_ = s.conn.Close()
}

// discard closes a connection that nobody should use again.
func (s *session) discard() {
	s.forget()
	discard(s.conn)
}

// readers are the connections to SQLite that cannot write.
type readers struct {
	pool *sql.DB
	// idle holds those that nobody uses, nil for one that broke.
	idle    chan *session
	closing chan struct{}
	once    sync.Once
}

// newReaders opens all n connections, so that one whose settings do not take is
// found at start and not in the middle of a busy day.
func newReaders(ctx context.Context, pool *sql.DB, n int) (*readers, error) {
	r := &readers{pool: pool, idle: make(chan *session, n), closing: make(chan struct{})}
	for range n {
		s, err := newSession(ctx, pool, keptByReader)
		if err != nil {
			_ = pool.Close()
			return nil, err
		}
		r.idle <- s
	}
	return r, nil
}

// keptByReader bounds the prepared statements of a connection to read with.
const keptByReader = 100

// close waits for the transactions under way.
func (r *readers) close() error {
	r.once.Do(func() {
		close(r.closing)
		for range cap(r.idle) {
			if s := <-r.idle; s != nil {
				s.close()
			}
		}
	})
	return r.pool.Close()
}

// view runs f on a connection of its own, in a transaction that is undone.
func (r *readers) view(ctx context.Context, f func(s *session) error) error {
	select {
	case <-r.closing:
		return errClosed
	default:
	}
	var s *session
	select {
	case s = <-r.idle:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.closing:
		return errClosed
	}
	defer func() { r.idle <- s }()
	var err error
	if s == nil {
		if s, err = newSession(ctx, r.pool, keptByReader); err != nil {
			return err
		}
	}
	if err := s.run(ctx, "BEGIN"); err != nil {
		// It may or may not have begun.
		s.discard()
		s = nil
		return translate(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackWait)
		defer cancel()
		if s.run(ctx, "ROLLBACK") != nil {
			s.discard()
			s = nil
		}
	}()
	return f(s)
}
