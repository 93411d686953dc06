//go:build failpoints && linux

package failpoint

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var hits atomic.Int64

// Hit kills the process with SIGKILL when the environment variable
// SEALPOST_FAILPOINT names this point. "name:3" means the third time;
// "name:3:stop" stops it with SIGSTOP instead, until somebody lets it go on.
func Hit(name string) {
	want, rest, _ := strings.Cut(os.Getenv("SEALPOST_FAILPOINT"), ":")
	if want != name {
		return
	}
	count, how, _ := strings.Cut(rest, ":")
	nth, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		nth = 1
	}
	if hits.Add(1) != nth {
		return
	}
	if how == "stop" {
		// Sent to this very thread, the signal is met before the call returns. Sent
		// to the process, it would wait for any of its threads to be run.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		_, _, _ = syscall.Syscall(syscall.SYS_TGKILL, uintptr(os.Getpid()), uintptr(syscall.Gettid()), uintptr(syscall.SIGSTOP))
		return
	}
	// The kernel ends the process at once: no deferred function runs, no
	// buffer is flushed, which is the point.
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
