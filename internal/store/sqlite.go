package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"modernc.org/sqlite"

	"github.com/sealpost/sealpost/internal/fault"
)

// oldestSQLite is the first release without the defect that could lose
// committed pages when a write-ahead log was reset (fixed in 3.51.3).
var oldestSQLite = [3]int{3, 51, 3}

// foldFunction is the name under which SQLite knows [Fold]; its own lower
// only knows ASCII.
const foldFunction = "sealpost_fold"

// pragmas are set on, and read back from, every connection. The answers are
// what SQLite tells when the setting took.
var pragmas = []struct{ name, set, answer string }{
	{"busy_timeout", "10000", "10000"},
	{"journal_mode", "WAL", "wal"},
	{"synchronous", "FULL", "2"},
	{"foreign_keys", "ON", "1"},
	{"trusted_schema", "OFF", "0"},
	{"cell_size_check", "ON", "1"},
}

// writerPragmas are set on the connection that writes, beside those. Its cache holds
// the pages that a group of 256 changes, or SQLite writes them out in the middle
// and again; copying the log back every 16 MiB in place of 4 meets each page less
// often.
var writerPragmas = []struct{ name, set, answer string }{
	{"cache_size", "-16384", "-16384"},
	{"wal_autocheckpoint", "4000", "4000"},
}

func openSQLite(ctx context.Context, c Config) (*DB, error) {
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := prepareFile(path); err != nil {
		return nil, err
	}
	lock, err := LockFile(path+".lock", path)
	if err != nil {
		return nil, err
	}
	// The times of a file need not be on disk, and each commit would wait for
	// them; builds of SQLite other than the library's do this by themselves.
	// Where the system has only fsync, that it stays.
	_, _ = sqlite.Fdatasync(true)
	db := &DB{engine: SQLite, now: c.Now, log: c.Log, lock: lock}
	if db.now == nil {
		db.now = time.Now
	}
	if err := db.startSQLite(ctx, path); err != nil {
		if db.readers != nil {
			_ = db.readers.close()
		}
		lock.Release()
		return nil, err
	}
	return db, nil
}

// prepareFile makes folder and file with modes that keep others out. SQLite
// gives the files beside it the mode of the main one.
func prepareFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fault.Unavailable("The folder " + filepath.Dir(path) + " cannot be created. Check who owns the folder above it.").Because(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fault.Unavailable("The database file " + path + " cannot be opened. Check who owns it.").Because(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			return fault.Unavailable("The database file " + path + " can be read by others, and its mode cannot be changed. Check who owns it.").Because(err)
		}
	}
	return nil
}

func (db *DB) startSQLite(ctx context.Context, path string) error {
	writing := sql.OpenDB(newConnector(path, false))
	writing.SetMaxOpenConns(1)
	writing.SetMaxIdleConns(1)
	if err := checkVersion(ctx, writing); err != nil {
		_ = writing.Close()
		return err
	}
	if err := migrate(ctx, SQLite, writing); err != nil {
		_ = writing.Close()
		return err
	}
	n := max(4, 2*runtime.GOMAXPROCS(0))
	pool := sql.OpenDB(newConnector(path, true))
	pool.SetMaxOpenConns(n)
	pool.SetMaxIdleConns(n)
	var err error
	if db.readers, err = newReaders(ctx, pool, n); err != nil {
		_ = writing.Close()
		return err
	}
	w, err := newWriter(ctx, writing)
	if err != nil {
		_ = writing.Close()
		return err
	}
	db.writer = w
	return nil
}

func checkVersion(ctx context.Context, db *sql.DB) error {
	var version string
	if err := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return translate(err)
	}
	if !versionServes(version) {
		return fault.Unavailable("This build of Sealpost holds a SQLite with a known defect. Install a current build.").
			Because(fmt.Errorf("SQLite %s", version))
	}
	return nil
}

// versionServes reports whether version is oldestSQLite or later.
func versionServes(version string) bool {
	var v [3]int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &v[0], &v[1], &v[2]); err != nil {
		return false
	}
	for i, want := range oldestSQLite {
		if v[i] != want {
			return v[i] > want
		}
	}
	return true
}

// connector opens connections to one SQLite file and lets none into a pool
// whose settings did not take.
type connector struct {
	driver   *sqlite.Driver
	dsn      string
	readOnly bool
}

func newConnector(path string, readOnly bool) *connector {
	d := &sqlite.Driver{}
	// A driver of our own: the function is no business of other users of the
	// library in the process.
	d.MustRegisterDeterministicScalarFunction(foldFunction, 1,
		func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
			if text, ok := args[0].(string); ok {
				return Fold(text), nil
			}
			return args[0], nil
		})
	// Of an URI's special characters a path may hold all three.
	name := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
	return &connector{d, "file:" + name + "?_dqs=0", readOnly}
}

// Driver returns the driver of the connections.
func (c *connector) Driver() driver.Driver { return c.driver }

// Connect opens a connection, sets it up and reads the settings back.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	if err := c.prepare(ctx, conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func (c *connector) prepare(ctx context.Context, conn driver.Conn) error {
	q, ok := conn.(driver.QueryerContext)
	if !ok {
		return errors.New("store: the SQLite driver cannot query")
	}
	all := pragmas
	if !c.readOnly {
		all = slices.Concat(pragmas, writerPragmas)
	}
	for _, p := range all {
		if _, err := ask(ctx, q, "PRAGMA "+p.name+"="+p.set); err != nil {
			return err
		}
		if err := confirm(ctx, q, p.name, p.answer); err != nil {
			return err
		}
	}
	if !c.readOnly {
		return nil
	}
	if _, err := ask(ctx, q, "PRAGMA query_only=ON"); err != nil {
		return err
	}
	return confirm(ctx, q, "query_only", "1")
}

func confirm(ctx context.Context, q driver.QueryerContext, name, want string) error {
	got, err := ask(ctx, q, "PRAGMA "+name)
	if err != nil {
		return err
	}
	if got != want {
		return fault.Unavailable("The database file cannot be used safely where it is. Put the data folder on a local disk.").
			Because(fmt.Errorf("PRAGMA %s is %q, want %q", name, got, want))
	}
	return nil
}

// ask returns the first column of the first row as text, "" without a row.
func ask(ctx context.Context, q driver.QueryerContext, query string) (string, error) {
	rows, err := q.QueryContext(ctx, query, nil)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns := make([]driver.Value, len(rows.Columns()))
	if len(columns) == 0 {
		return "", nil
	}
	switch err := rows.Next(columns); {
	case errors.Is(err, io.EOF):
		return "", nil
	case err != nil:
		return "", err
	}
	return fmt.Sprint(columns[0]), nil
}
