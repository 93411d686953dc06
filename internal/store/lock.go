package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/sealpost/sealpost/internal/fault"
)

// FileLock keeps a second process away from something, such as a SQLite file.
// The kernel drops it when the process ends, however it ends, so that a crash
// leaves no stale lock behind. The file itself stays: removing it would let
// two processes hold locks on two files of one name.
type FileLock struct{ file *os.File }

// LockFile takes the lock at path on what it protects. It refuses with a fault
// that names the process when another one, or this one already, holds it.
func LockFile(path, what string) (*FileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fault.Unavailable(fmt.Sprintf("The lock file %s cannot be opened. Check who owns the data folder.", path)).Because(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 20))
		_ = f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("store: locking %s: %w", path, err)
		}
		who := ""
		if pid := strings.TrimSpace(string(holder)); pid != "" {
			who = " (process " + pid + ")"
		}
		return nil, fault.Unavailable(fmt.Sprintf(
			"Another Sealpost%s has %s open. Stop it first, or give this one its own data folder.", who, what)).Because(err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return &FileLock{f}, nil
}

// Release gives the lock up.
func (l *FileLock) Release() { _ = l.file.Close() }
