package store_test

import (
	"bytes"
	"database/sql"
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// wire stands between the store and PostgreSQL and cuts connections.
type wire struct {
	t      *testing.T
	server string
	// cut says what happens to the next COMMIT.
	cut atomic.Value
}

const (
	pass   = ""
	before = "cut before the server hears of it"
	behind = "cut before its answer arrives"
)

// newWire returns the wire and the address that leads through it.
func newWire(t *testing.T) (*wire, secret.Value) {
	t.Helper()
	u, err := url.Parse(storetest.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	const socket = ".s.PGSQL.5432"
	q := u.Query()
	w := &wire{t: t, server: filepath.Join(q.Get("host"), socket)}
	w.cut.Store(pass)
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(conn)
		}
	}()
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	return w, secret.New(u.String())
}

// carry moves bytes both ways until the connection is to be cut.
func (w *wire) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("unix", w.server)
	if err != nil {
		return
	}
	defer server.Close()
	var mute atomic.Bool
	go func() {
		defer client.Close()
		b := make([]byte, 32<<10)
		for {
			n, err := server.Read(b)
			if err != nil || mute.Load() {
				return // an answer that is cut off
			}
			if _, err := client.Write(b[:n]); err != nil {
				return
			}
		}
	}()
	b := make([]byte, 32<<10)
	for {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		if bytes.Contains(b[:n], []byte("COMMIT\x00")) {
			switch w.cut.Swap(pass) {
			case before:
				return
			case behind:
				mute.Store(true)
			}
		}
		if _, err := server.Write(b[:n]); err != nil {
			return
		}
		if mute.Load() {
			// The server's answer is read by the other side and dropped.
			_, _ = io.Copy(io.Discard, client)
			return
		}
	}
}

// TestACommitWithoutAnswer cuts the connection around a COMMIT. The change is
// stored or not, nobody can know, and it is not made a second time.
func TestACommitWithoutAnswer(t *testing.T) {
	t.Parallel()
	w, address := newWire(t)
	db := storetest.OpenConfig(t, store.Config{URL: address})
	update(t, db, `CREATE TABLE thing (id BIGINT NOT NULL, name TEXT NOT NULL)`)
	for i, cut := range []string{behind, before} {
		runs, told := 0, false
		w.cut.Store(cut)
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			runs++
			tx.OnCommit(func() { told = true })
			return insert(tx, i)
		})
		if !errors.Is(err, store.ErrUnknownOutcome) || !fault.Is(err, fault.KindUnavailable) || runs != 1 || told {
			t.Errorf("%s: %d runs, told of success %v, %v", cut, runs, told, err)
		}
	}
	// The next one gets a connection that works, and finds one row.
	update(t, db, `INSERT INTO thing (id, name) VALUES (9, 'x')`)
	if got := things(t, db); !slices.Equal(got, []int{0, 9}) {
		t.Errorf("stored %v, want the first and the last", got)
	}
}

// TestBrokenIdleConnections ends all sessions of a node between two
// transactions, and in the middle of one.
func TestBrokenIdleConnections(t *testing.T) {
	t.Parallel()
	c := storetest.Config(t, store.Postgres, nil)
	db, other := storetest.OpenConfig(t, c), storetest.OpenConfig(t, c)
	update(t, db, `CREATE TABLE thing (id BIGINT NOT NULL, name TEXT NOT NULL)`)
	end := func() {
		t.Helper()
		err := other.Update(t.Context(), func(tx *store.Tx) error {
			return tx.Each(func(store.Row) error { return nil },
				`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	end()
	if err := db.Update(t.Context(), func(tx *store.Tx) error { return insert(tx, 1) }); err != nil {
		t.Errorf("after all sessions ended: %v", err)
	}
	end()
	if got := things(t, db); !slices.Equal(got, []int{1}) {
		t.Errorf("read %v", got)
	}
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		if err := insert(tx, 2); err != nil {
			return err
		}
		end()
		return insert(tx, 3)
	})
	if !fault.Is(err, fault.KindUnavailable) || errors.Is(err, store.ErrUnknownOutcome) {
		t.Errorf("ended in the middle: %v", err)
	}
	if got := things(t, db); !slices.Equal(got, []int{1}) {
		t.Errorf("stored %v, want the first alone", got)
	}
}

// TestTheClockIsTheDatabases: nodes whose clocks differ agree on the time of a
// transaction.
func TestTheClockIsTheDatabases(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, store.Postgres)
	err := db.View(t.Context(), func(tx *store.Tx) error {
		began, err := store.One(tx, func(r store.Row) (n int64, err error) { return n, r.Scan(&n) },
			`SELECT CAST(extract(epoch FROM now()) * 1000000 AS BIGINT)`)
		if behind := store.Micros(tx.Now()) - began; behind < 0 || behind > 60_000_000 {
			t.Errorf("the transaction's time is %d µs behind its beginning", behind)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A database whose locale folds ASCII alone would find "Äpfel" by "Äpfel" only.
func TestADatabaseThatKnowsNoCaseIsRefused(t *testing.T) {
	u, err := url.Parse(storetest.EmptyPostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	admin, err := sql.Open("pgx", u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if _, err := admin.Exec(`CREATE DATABASE plain TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`); err != nil {
		t.Fatal(err)
	}
	u.Path = "/plain"
	_, err = store.Open(t.Context(), store.Config{URL: secret.New(u.String())})
	if !fault.Is(err, fault.KindUnavailable) || !strings.Contains(fault.Sentence(err), "LC_CTYPE") {
		t.Errorf("got %v", err)
	}
}

// A node that was halted in the middle of a change gives the rows up that it had
// locked, and hears of it when it goes on.
func TestASilentTransactionEnds(t *testing.T) {
	t.Parallel()
	c := storetest.Config(t, store.Postgres, nil)
	halted, other := storetest.OpenConfig(t, c), storetest.OpenConfig(t, c)
	update(t, halted, `CREATE TABLE thing (id BIGINT NOT NULL, name TEXT NOT NULL)`, `INSERT INTO thing (id, name) VALUES (1, 'x')`)
	halted.SetIdleLimit(200 * time.Millisecond)
	err := halted.Update(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.Exec(`UPDATE thing SET name = 'halted' WHERE id = 1`); err != nil {
			return err
		}
		// It waits for the row, and gets it though the first one says nothing.
		update(t, other, `UPDATE thing SET name = 'other' WHERE id = 1`)
		return nil
	})
	// Whether its connection was closed before or behind its COMMIT, it cannot
	// always tell.
	if !fault.Is(err, fault.KindUnavailable) {
		t.Errorf("the one that was halted heard %v", err)
	}
	err = other.View(t.Context(), func(tx *store.Tx) error {
		name, err := store.One(tx, scanText, `SELECT name FROM thing WHERE id = 1`)
		if name != "other" {
			t.Errorf("the row says %q", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
