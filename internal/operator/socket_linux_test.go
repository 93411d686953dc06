package operator_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/sealpost/sealpost/internal/operator"
)

// TestAStrangerIsTurnedAway connects as another user of the machine, past the
// modes of folder and socket.
func TestAStrangerIsTurnedAway(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root: needed to become somebody else")
	}
	r := start(t)
	for dir := r.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(r.dir, operator.SocketName)
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	answer := make(chan string, 1)
	go func() {
		// This thread alone becomes somebody else; it ends with the goroutine.
		runtime.LockOSThread()
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
			answer <- errno.Error()
			return
		}
		conn, err := net.Dial("unix", path)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, `{"command":"echo","login":"root"}`+"\n")
		b, _ := io.ReadAll(conn)
		answer <- string(b)
	}()
	if got := <-answer; !strings.Contains(got, "serves root and the server's own user only") || strings.Contains(got, "operator:") {
		t.Errorf("a stranger hears %q", got)
	}
}
