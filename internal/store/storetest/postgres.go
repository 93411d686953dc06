package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // database/sql driver "pgx"

	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	templateName = "sealpost_template"
	superuser    = "sealpost"
	startWait    = 60 * time.Second
	// longestSocket leaves room for the file's name in the 107 bytes that a
	// socket address has.
	longestSocket = 85
)

// server is a running PostgreSQL.
type server struct {
	dir   string // holds the socket
	pipe  *os.File
	admin *sql.DB
	count atomic.Int64
	mu    sync.Mutex
}

// cluster returns the PostgreSQL of this test binary, started by the first
// caller.
var cluster = sync.OnceValues(startServer)

// supervise runs PostgreSQL until standard input ends, then removes its
// folder. $1 is the program, $2 the folder.
const supervise = `
trap '' HUP INT QUIT TERM
"$1" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c synchronous_commit=on \
  -c full_page_writes=off -c autovacuum=off -c max_connections=300 -c shared_buffers=48MB \
  -c max_wal_size=256MB -c log_min_messages=fatal -c jit=off >"$2/log" 2>&1 </dev/null &
read -r end
kill -QUIT $!
wait $!
rm -rf "$2"
`

func startServer() (*server, error) {
	initdb, postgres, err := findPostgres()
	if err != nil {
		return nil, err
	}
	dir, identity, err := makeFolder()
	if err != nil {
		return nil, err
	}
	init := exec.Command(initdb, "-D", filepath.Join(dir, "data"), "-U", superuser, "--auth=trust",
		"-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions", "--wal-segsize=4")
	init.Dir = dir
	init.SysProcAttr = &syscall.SysProcAttr{Credential: identity}
	if out, err := init.CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	s := &server{dir: dir}
	if err := s.launch(postgres, identity); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	if err := s.prepare(); err != nil {
		_ = s.pipe.Close()
		return nil, err
	}
	return s, nil
}

// findPostgres looks where distributions put the programs.
func findPostgres() (initdb, postgres string, err error) {
	var folders []string
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			folders = append(folders, filepath.Dir(real))
		}
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin"} {
		found, _ := filepath.Glob(pattern)
		slices.Reverse(found) // the newest first
		folders = append(folders, found...)
	}
	for _, folder := range folders {
		initdb, postgres = filepath.Join(folder, "initdb"), filepath.Join(folder, "postgres")
		if runnable(initdb) && runnable(postgres) {
			return initdb, postgres, nil
		}
	}
	return "", "", errors.New("initdb and postgres are not installed")
}

func runnable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// makeFolder makes the server's folder and tells whose it is: PostgreSQL
// refuses to run as root.
func makeFolder() (dir string, identity *syscall.Credential, err error) {
	parent := os.TempDir()
	if len(parent) > longestSocket-len("/sealpost-pg-0123456789") {
		parent = "/tmp"
	}
	if dir, err = os.MkdirTemp(parent, "sealpost-pg-"); err != nil {
		return "", nil, err
	}
	if os.Geteuid() != 0 {
		return dir, nil, nil
	}
	uid, gid, err := unprivileged()
	if err == nil {
		err = os.Chown(dir, uid, gid)
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return "", nil, err
	}
	return dir, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func unprivileged() (uid, gid int, err error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errU := strconv.Atoi(u.Uid)
		gid, errG := strconv.Atoi(u.Gid)
		if errU == nil && errG == nil {
			return uid, gid, nil
		}
	}
	return 0, 0, errors.New("no unprivileged user to run it as")
}

func (s *server) launch(postgres string, identity *syscall.Credential) error {
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	// A session of its own: whoever ends the test's process group must not
	// end the shell before it has cleaned up. No output is inherited, or
	// `go test` would wait for the server.
	shell := exec.Command("/bin/sh", "-c", supervise, "sh", postgres, s.dir)
	shell.Dir = s.dir
	shell.Stdin = in
	shell.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	shell.SysProcAttr = &syscall.SysProcAttr{Credential: identity, Setsid: true}
	if err := shell.Start(); err != nil {
		return errors.Join(err, in.Close(), out.Close())
	}
	_ = in.Close()
	s.pipe = out
	go func() { _ = shell.Wait() }()
	return nil
}

// prepare waits for the server and makes the template.
func (s *server) prepare() error {
	admin, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		return err
	}
	s.admin = admin
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for admin.PingContext(ctx) != nil {
		select {
		case <-ctx.Done():
			said, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("the server did not start: %s", said)
		case <-tick.C:
		}
	}
	if _, err := admin.ExecContext(ctx, "CREATE DATABASE "+templateName+" TEMPLATE template0"); err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Config{URL: secret.New(s.url(templateName))})
	if err != nil {
		return err
	}
	return db.Close()
}

func (s *server) url(database string) string {
	q := url.Values{"host": {s.dir}, "user": {superuser}, "sslmode": {"disable"}}
	return "postgres:///" + database + "?" + q.Encode()
}

// create makes a database out of a template. The template must stay without
// connections, and a name is used once.
func (s *server) create(template string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fmt.Sprintf("test_%d", s.count.Add(1))
	_, err := s.admin.Exec("CREATE DATABASE " + name + " TEMPLATE " + template)
	return name, err
}

// drop removes a database, also one that a test left connections to. Whether
// it worked is no concern of the test: the whole server goes soon.
func (s *server) drop(name string) {
	_, _ = s.admin.Exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)")
}
