package journey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// patience bounds the wait for anything that a process does by itself.
const patience = 60 * time.Second

// binary returns the path of the program, built once with its failpoints.
var binary = sync.OnceValues(func() (string, error) {
	// The folder cannot go with a test, since others use it: it goes when
	// TestMain ends.
	path := filepath.Join(workshop, "sealpost")
	build := exec.Command("go", "build", "-tags", "failpoints", "-o", path, "../../cmd/sealpost")
	if said, err := build.CombinedOutput(); err != nil {
		return "", errors.New(string(said))
	}
	return path, nil
})

// workshop is the folder of things that all tests share.
var workshop string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if workshop, err = os.MkdirTemp("", "sealpost-journey-"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(workshop)
		return m.Run()
	}())
}

// machine is a place where the program can be started again and again.
type machine struct {
	t        testing.TB
	path     string
	data     string
	database string
	address  string
	// env are further words of the environment.
	env []string
}

// newMachine returns one without anything on it.
func newMachine(t testing.TB, engine store.Engine) *machine {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatalf("building the program: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, path: path, data: filepath.Join(t.TempDir(), "data"), address: listener.Addr().String()}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if engine == store.Postgres {
		m.database = storetest.PostgresURL(t)
	}
	return m
}

func (m *machine) url() string { return "https://" + m.address }

// command returns the program with words, in an environment without anything of
// the test's own.
func (m *machine) command(ctx context.Context, failpoint string, words ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, m.path, words...)
	cmd.Dir = filepath.Dir(m.data)
	cmd.Env = []string{"HOME=" + cmd.Dir, "PATH=/usr/bin:/bin", "SEALPOST_DATA=" + m.data}
	if m.database != "" {
		cmd.Env = append(cmd.Env, "SEALPOST_DATABASE="+m.database)
	}
	cmd.Env = append(cmd.Env, m.env...)
	if failpoint != "" {
		cmd.Env = append(cmd.Env, "SEALPOST_FAILPOINT="+failpoint)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// say runs a command to its end and returns what it printed.
func (m *machine) say(words ...string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := m.command(ctx, "", words...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		m.t.Fatalf("sealpost %s: %v\n%s%s", strings.Join(words, " "), err, &out, &errs)
	}
	return out.String()
}

// sayJSON runs a command that prints JSON and returns what it said.
func sayJSON[T any](m *machine, words ...string) T {
	m.t.Helper()
	var v T
	said := m.say(append(words, "--json")...)
	if err := json.Unmarshal([]byte(said), &v); err != nil {
		m.t.Fatalf("sealpost %s: %v\n%s", strings.Join(words, " "), err, said)
	}
	return v
}

// process is one run of the server.
type process struct {
	m    *machine
	cmd  *exec.Cmd
	out  *watched
	log  *watched
	done chan struct{}
	err  error
}

// start runs the server until it prints where it is. A failpoint, if not empty,
// kills it later.
func (m *machine) start(failpoint string) *process {
	m.t.Helper()
	p := &process{m: m, out: newWatched(), log: newWatched(), done: make(chan struct{})}
	p.cmd = m.command(context.Background(), failpoint, "serve", "--listen", m.address, "--capture", "127.0.0.1:0")
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.log
	if err := p.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	m.t.Cleanup(func() { p.kill() })
	if !p.out.waitFor("Sealpost is at ", p.done) {
		m.t.Fatalf("the server did not start: %v\n%s\n%s", p.err, p.out, p.log)
	}
	return p
}

// kill ends the process without a chance to do anything.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop ends the process the way an operator does.
func (p *process) stop() {
	p.m.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.m.t.Fatal(err)
	}
	<-p.done
	if p.err != nil {
		p.m.t.Errorf("the server did not stop well: %v\n%s", p.err, p.log)
	}
}

// waitKilled waits until the failpoint was met.
func (p *process) waitKilled(failpoint string) {
	p.m.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.m.t.Fatalf("the failpoint %s was not met\n%s", failpoint, p.log)
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		p.m.t.Fatalf("the process ended in another way: %v\n%s", p.err, p.log)
	}
}

// linkIn returns the link to the set-up in what a server printed.
func linkIn(text string) string {
	for word := range strings.FieldsSeq(text) {
		if strings.Contains(word, "/setup#") {
			return word
		}
	}
	return ""
}

// watched is what a process writes, which a test can wait for.
type watched struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newWatched() *watched { return &watched{more: make(chan struct{}, 1)} }

// Write keeps what was written.
func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
	return w.text.Write(b)
}

// String returns all that was written.
func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// waitFor waits until what was written holds the words.
func (w *watched) waitFor(words string, stop <-chan struct{}) bool {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for !strings.Contains(w.String(), words) {
		select {
		case <-w.more:
		case <-stop:
			return strings.Contains(w.String(), words)
		case <-deadline.C:
			return false
		}
	}
	return true
}
