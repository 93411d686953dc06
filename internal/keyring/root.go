package keyring

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// keySize is the size of every key of the package in bytes: AES-256.
const keySize = 32

// RootKey is the key outside the database that opens all others. It prints as
// redacted.
type RootKey struct{ value secret.Value }

// NewRootKey returns the root key with these 32 bytes, and refuses any other
// number of them. It is for root keys that do not come from a file.
func NewRootKey(b []byte) (RootKey, error) {
	if len(b) != keySize {
		return RootKey{}, fault.Invalid("root_key", fmt.Sprintf("A root key has exactly %d bytes.", keySize))
	}
	return RootKey{secret.FromBytes(b)}, nil
}

// String returns the redacted form.
func (k RootKey) String() string { return k.value.String() }

// Format writes the redacted form for every verb.
func (k RootKey) Format(f fmt.State, verb rune) { k.value.Format(f, verb) }

// LogValue returns the redacted form for log/slog.
func (k RootKey) LogValue() slog.Value { return k.value.LogValue() }

// derive returns the key for one use of the root key.
func (k RootKey) derive(label string) []byte { return derive([]byte(k.value.Reveal()), label) }

// derive expands a key into the key for one use. Input keys are uniformly
// random, so that no salt is needed (RFC 5869, section 3.1).
func derive(key []byte, label string) []byte {
	out, err := hkdf.Key(sha256.New, key, nil, label, keySize)
	if err != nil {
		// Only a length over 255 hashes can fail.
		panic(err)
	}
	return out
}

// RootKeyOf returns the root key at path for a database. A new one is made only
// for a database that has no keys yet: beside one that does, it could open
// nothing and would stand in the place of the file that was lost.
func RootKeyOf(ctx context.Context, db *store.DB, path string) (RootKey, error) {
	var used bool
	err := db.View(ctx, func(tx *store.Tx) (err error) {
		_, used, err = selectCheck(tx)
		return err
	})
	if err != nil {
		return RootKey{}, err
	}
	if !used {
		return LoadOrCreateRootKey(path)
	}
	key, err := loadRootKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fault.Unavailable(fmt.Sprintf("The root key %s is missing, and nothing in this database opens without it. Put the file back; a second node needs a copy of the first one's.", path)).Because(err)
	}
	return key, err
}

// LoadOrCreateRootKey reads the root key at path, and makes a new one with
// mode 0400 where there is no file. It refuses, with a fault that says what
// to do, a file of another size or owner, one that is no plain file, and one
// that anyone but its owner can read or write.
func LoadOrCreateRootKey(path string) (RootKey, error) {
	key, err := loadRootKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := createRootKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return RootKey{}, fault.Unavailable(fmt.Sprintf("The root key %s cannot be created. Check who owns its folder.", path)).Because(err)
	}
	// Read back what is there: another process may have been first.
	return loadRootKey(path)
}

func loadRootKey(path string) (RootKey, error) {
	// Without O_NONBLOCK, a named pipe at the path would hold the start up.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return RootKey{}, err
	}
	if err != nil {
		return RootKey{}, fault.Unavailable(fmt.Sprintf("The root key %s cannot be opened. Check who owns it.", path)).Because(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return RootKey{}, fmt.Errorf("keyring: %w", err)
	}
	if err := checkRootKeyFile(path, info); err != nil {
		return RootKey{}, err
	}
	b, err := io.ReadAll(io.LimitReader(f, keySize+1))
	if err != nil {
		return RootKey{}, fmt.Errorf("keyring: reading the root key: %w", err)
	}
	if len(b) != keySize {
		return RootKey{}, fault.Unavailable(fmt.Sprintf("The root key %s is not a root key: it must have exactly %d bytes. Put the right file back.", path, keySize))
	}
	return NewRootKey(b)
}

func checkRootKeyFile(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fault.Unavailable(fmt.Sprintf("The root key %s is not a plain file.", path))
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fault.Unavailable(fmt.Sprintf("Others than its owner can use the root key %s (mode %04o). Run chmod 0400 on it, and consider whether it was copied.", path, info.Mode().Perm()))
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return fault.Unavailable(fmt.Sprintf("The root key %s belongs to another user (%d). It must belong to the user that runs Sealpost (%d).", path, stat.Uid, os.Geteuid()))
	}
	return nil
}

// createRootKey makes the file appear whole or not at all, and never in the
// place of one that is there.
func createRootKey(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".root-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	b := make([]byte, keySize)
	rand.Read(b) // never fails
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(0o400), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
