package bench

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds the wait for a process to serve or to end.
const patience = 30 * time.Second

// program builds the binary as a release is built.
func program(b *testing.B) string {
	path := filepath.Join(b.TempDir(), "sealpost")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "../cmd/sealpost")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		b.Fatalf("building: %v\n%s", err, said)
	}
	return path
}

// server is a running process.
type server struct {
	cmd     *exec.Cmd
	address string
	// took is the time from its start to the first answer.
	took time.Duration
}

// start runs the program on the data folder and waits for its first answer.
func start(b *testing.B, path, data string) *server {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	address := listener.Addr().String()
	must(b, listener.Close())
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	cmd := exec.Command(path, "serve", "--data", data, "--listen", address, "--capture", "off")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	must(b, cmd.Start())
	for time.Since(began) < patience {
		answer, err := client.Get("https://" + address + "/healthz")
		if err != nil {
			time.Sleep(200 * time.Microsecond)
			continue
		}
		_ = answer.Body.Close()
		return &server{cmd, address, time.Since(began)}
	}
	b.Fatal("the server does not answer")
	return nil
}

// stop ends the process the way an operator does.
func (s *server) stop(b *testing.B) {
	must(b, s.cmd.Process.Signal(syscall.SIGTERM))
	must(b, s.cmd.Wait())
}

// resident returns the memory that the process holds, in MiB.
func (s *server) resident(b *testing.B) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	must(b, err)
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(text)[0])
			must(b, err)
			return float64(kib) / 1024
		}
	}
	b.Fatal("the kernel does not say how much memory the process has")
	return 0
}

// From the start of the process to the first answer over TLS, on a database
// that was there before.
func BenchmarkStart(b *testing.B) {
	path, data := program(b), filepath.Join(b.TempDir(), "data")
	start(b, path, data).stop(b)
	var sum time.Duration
	runs := 0
	for b.Loop() {
		s := start(b, path, data)
		sum += s.took
		runs++
		b.StopTimer()
		s.stop(b)
		b.StartTimer()
	}
	b.ReportMetric(float64(sum.Milliseconds())/float64(runs), "ms/start")
}

// What a server holds that did nothing for a while, and what it weighs on disk.
func BenchmarkIdle(b *testing.B) {
	path, data := program(b), filepath.Join(b.TempDir(), "data")
	info, err := os.Stat(path)
	must(b, err)
	s := start(b, path, data)
	defer s.stop(b)
	for b.Loop() {
		time.Sleep(5 * time.Second)
	}
	b.ReportMetric(s.resident(b), "MiB-resident")
	b.ReportMetric(float64(info.Size())/(1<<20), "MiB-binary")
}
