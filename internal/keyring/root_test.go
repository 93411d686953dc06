package keyring_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

func TestTheRootKeyIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deeper", "root.key")
	keys := make([]keyring.RootKey, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], err = keyring.LoadOrCreateRootKey(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o400 || len(b) != 32 || bytes.Count(b, b[:1]) == 32 {
		t.Errorf("mode %v, %d bytes, %v", info.Mode(), len(b), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
	if dir, err := os.Stat(filepath.Dir(path)); err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v, %v", dir.Mode(), err)
	}
	want, err := keyring.NewRootKey(b)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range keys {
		if !keyring.SameRoot(k, want) {
			t.Errorf("start %d has another key than the file", i)
		}
	}
}

func TestWhichFilesAreNoRootKey(t *testing.T) {
	good := bytes.Repeat([]byte{7}, 32)
	dir := t.TempDir()
	file := func(name string, content []byte, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, mode := range []fs.FileMode{0o400, 0o600} {
		if _, err := keyring.LoadOrCreateRootKey(file(fmt.Sprintf("good-%o", mode), good, mode)); err != nil {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	bad := map[string]string{
		"readable by the group": file("g", good, 0o440), "readable by all": file("o", good, 0o404), "writable by the group": file("w", good, 0o620),
		"empty": file("e", nil, 0o400), "too short": file("s", good[:31], 0o400), "too long": file("l", append(good, 7), 0o400),
		"a folder": dir, "a pipe": pipe,
	}
	if os.Geteuid() == 0 {
		theirs := file("theirs", good, 0o400)
		if err := os.Chown(theirs, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		bad["somebody else's"] = theirs
	}
	for what, path := range bad {
		_, err := keyring.LoadOrCreateRootKey(path)
		if !fault.Is(err, fault.KindUnavailable) || !strings.Contains(fault.Sentence(err), path) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := keyring.NewRootKey(make([]byte, n)); !fault.Is(err, fault.KindInvalid) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestARootKeyIsNotPrinted(t *testing.T) {
	canary := []byte("canary-canary-canary-canary-1234")
	k, err := keyring.NewRootKey(canary)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "key", k, "config", keyring.Config{Root: k})
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s %q %x %d", k, k, k, k, k, k, k), fmt.Sprintf("%+v %#v", keyring.Config{Root: k}, keyring.Config{Root: k}), log.String(),
	} {
		if strings.Contains(text, "canary") || strings.Contains(text, fmt.Sprintf("%x", canary)[:12]) {
			t.Errorf("printed: %s", text)
		}
	}
}

// A lost root key is asked for, never replaced: a new one would open nothing
// and would lie where the right one belongs.
func TestALostRootKeyIsNotReplaced(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		path := filepath.Join(t.TempDir(), "root.key")
		root, err := keyring.RootKeyOf(t.Context(), db, path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keyring.Open(t.Context(), keyring.Config{DB: db, Root: root}); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		_, err = keyring.RootKeyOf(t.Context(), db, path)
		if !fault.Is(err, fault.KindUnavailable) || !strings.Contains(fault.Sentence(err), "is missing") {
			t.Errorf("got %v", err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a new root key lies there: %v", err)
		}
	})
}
