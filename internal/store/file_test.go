package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

func constraint(err error) *store.ConstraintError {
	var broken *store.ConstraintError
	if errors.As(err, &broken) {
		return broken
	}
	return nil
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFilesAreKeptFromOthers(t *testing.T) {
	t.Parallel()
	// Of an URI's special characters a path may hold all three.
	dir := filepath.Join(t.TempDir(), "a ?#%20 b", "data")
	db := storetest.OpenConfig(t, store.Config{Path: filepath.Join(dir, "sealpost.db")})
	update(t, db, `CREATE TABLE thing (id BIGINT)`, `INSERT INTO thing VALUES (1)`)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 3 {
		t.Errorf("files: %v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", f.Name(), info.Mode(), err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sealpost.db")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	storetest.OpenConfig(t, store.Config{Path: path})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a file that others could read has mode %v, %v", info.Mode(), err)
	}
}

func TestEveryConnectionIsSafe(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, store.SQLite)
	if db.Readers() < 4 {
		t.Errorf("%d connections were opened at start", db.Readers())
	}
	for name, want := range store.Pragmas() {
		if got, err := db.AskReader(t.Context(), "PRAGMA "+name); err != nil || got != want {
			t.Errorf("to read: %s is %q, want %q; %v", name, got, want, err)
		}
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			got, err := store.One(tx, scanText, "PRAGMA "+name)
			if got != want {
				t.Errorf("to write: %s is %q, want %q", name, got, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	for version, want := range map[string]bool{
		"3.51.3": true, "3.51.2": false, "3.52.0": true, "3.50.9": false, "4.0.0": true, "3.51": false, "": false, "2.99.99": false,
	} {
		if got := store.VersionServes(version); got != want {
			t.Errorf("SQLite %q: taken %v, want %v", version, got, want)
		}
	}
}

func TestTheLockIsForOneAlone(t *testing.T) {
	t.Parallel()
	path := storetest.SQLitePath(t)
	db := storetest.OpenConfig(t, store.Config{Path: path})
	_, err := store.Open(t.Context(), store.Config{Path: path})
	if !fault.Is(err, fault.KindUnavailable) || !strings.Contains(fault.Sentence(err), fmt.Sprintf("(process %d)", os.Getpid())) {
		t.Errorf("a second one in this process: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.OpenConfig(t, store.Config{Path: path})
}

// writeForEver is the second process: it writes row after row and says each
// that was acknowledged.
func writeForEver(path string) int {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Config{Path: path})
	if err != nil {
		fmt.Println("refused:", fault.Sentence(err))
		return 1
	}
	first, _ := strconv.Atoi(os.Getenv("STORE_TEST_FIRST"))
	for i := first; ; i++ {
		if err := db.Update(ctx, func(tx *store.Tx) error { return insert(tx, i) }); err != nil {
			fmt.Println("failed:", err)
			return 1
		}
		fmt.Println(i)
	}
}

// startWriter starts the second process.
func startWriter(t *testing.T, path string, first int) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STORE_TEST_WRITE="+path, fmt.Sprint("STORE_TEST_FIRST=", first))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// TestKilledItKeepsWhatItPromised kills a writing process again and again.
func TestKilledItKeepsWhatItPromised(t *testing.T) {
	t.Parallel()
	kills := 6
	if os.Getenv("SEALPOST_TORTURE") != "" {
		kills = 200
	}
	path := storetest.SQLitePath(t)
	db, err := store.Open(t.Context(), store.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	update(t, db, `CREATE TABLE thing (id BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL)`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	promised := 0
	for kill := range kills {
		cmd, said := startWriter(t, path, promised)
		for n := 0; n < 3+kill*7%40 && said.Scan(); n++ {
			if _, err := fmt.Sscan(said.Text(), &promised); err != nil {
				t.Fatalf("the writer says %q", said.Text())
			}
		}
		if kill == 0 {
			if _, err := store.Open(t.Context(), store.Config{Path: path}); !fault.Is(err, fault.KindUnavailable) || !strings.Contains(fault.Sentence(err), fmt.Sprintf("(process %d)", cmd.Process.Pid)) {
				t.Errorf("opened beside another process: %v", err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for said.Scan() { // what it said before it died counts
			if _, err := fmt.Sscan(said.Text(), &promised); err != nil {
				t.Fatalf("the writer says %q", said.Text())
			}
		}
		_ = cmd.Wait()
		db, err := store.Open(t.Context(), store.Config{Path: path})
		if err != nil {
			t.Fatalf("after kill %d: %v", kill, err)
		}
		ids := things(t, db)
		// One more than promised may be there: stored, and killed before it
		// could say so.
		if n := len(ids); n != promised+1 && n != promised+2 || ids[n-1] != n-1 {
			t.Fatalf("after kill %d: %d rows, the last %d; promised up to %d", kill, n, ids[n-1], promised)
		}
		if got, err := db.AskReader(t.Context(), "PRAGMA integrity_check"); got != "ok" {
			t.Errorf("after kill %d: the file is %q, %v", kill, got, err)
		}
		promised = len(ids)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
