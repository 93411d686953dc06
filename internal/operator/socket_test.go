package operator_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/operator"
)

// words collects what a command says.
type words struct{ said []string }

func (w *words) Line(text string) { w.said = append(w.said, text) }

func (w *words) Progress(label string, done, total int64) {
	w.said = append(w.said, fmt.Sprintf("%s %d/%d", label, done, total))
}

// rig is a server on a folder of its own.
type rig struct {
	t    *testing.T
	dir  string
	stop func()
	// entered tells that "wait" began, left why it ended.
	entered chan struct{}
	left    chan error
}

var errCause = errors.New("canary: the cause")

func start(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), entered: make(chan struct{}), left: make(chan error, 1)}
	door := operator.DoorOf(map[string]func(context.Context, actor.Actor, operator.Echo, operator.Sink) (operator.Echo, error){
		"echo": func(_ context.Context, by actor.Actor, a operator.Echo, out operator.Sink) (operator.Echo, error) {
			out.Line("a line")
			out.Progress("steps", 1, 2)
			out.Line("")
			return operator.Echo{Text: fmt.Sprintf("%s %s %s", by.Login, by.Door, a.Text)}, nil
		},
		"fail": func(context.Context, actor.Actor, operator.Echo, operator.Sink) (operator.Echo, error) {
			e := fault.Invalid("field", "It is wrong.").WithCode("code").Because(errCause)
			return operator.Echo{}, e
		},
		"stumble": func(context.Context, actor.Actor, operator.Echo, operator.Sink) (operator.Echo, error) {
			panic("canary: a mistake")
		},
		"length": func(_ context.Context, _ actor.Actor, a operator.Echo, _ operator.Sink) (operator.Echo, error) {
			return operator.Echo{Text: fmt.Sprint(len(a.Text))}, nil
		},
		"wait": func(ctx context.Context, _ actor.Actor, _ operator.Echo, _ operator.Sink) (operator.Echo, error) {
			r.entered <- struct{}{}
			<-ctx.Done()
			r.left <- ctx.Err()
			return operator.Echo{}, ctx.Err()
		},
	})
	s, err := operator.Listen(r.dir, door, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	}
	t.Cleanup(r.stop)
	return r
}

func (r *rig) client() *operator.Client {
	r.t.Helper()
	c, up := operator.Connect(r.dir)
	if !up {
		r.t.Fatal("nobody answers on the socket")
	}
	return c
}

func (r *rig) run(ctx context.Context, name, args string, out operator.Sink) (string, error) {
	r.t.Helper()
	result, err := r.client().Execute(ctx, "mallory", name, json.RawMessage(args), out)
	return string(result), err
}

func TestACommandOverTheSocket(t *testing.T) {
	r := start(t)
	if info, err := os.Stat(filepath.Join(r.dir, operator.SocketName)); err != nil || info.Mode().Perm() != 0o600 || info.Mode()&os.ModeSocket == 0 {
		t.Errorf("the socket has mode %v, %v", info.Mode(), err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	var out words
	got, err := r.run(t.Context(), "echo", `{"text":"hello"}`, &out)
	// Whoever says to be mallory is who the kernel says.
	if want := fmt.Sprintf(`{"text":"operator:%s cli hello"}`, me.Username); got != want || err != nil {
		t.Errorf("got %s, want %s; %v", got, want, err)
	}
	if want := []string{"a line", "steps 1/2", ""}; !slices.Equal(out.said, want) {
		t.Errorf("said %q, want %q", out.said, want)
	}
}

func TestAFaultComesThroughWithoutItsCause(t *testing.T) {
	r := start(t)
	_, err := r.run(t.Context(), "fail", `{}`, &words{})
	fields := fault.Fields(err)
	if !fault.Is(err, fault.KindInvalid) || fault.CodeOf(err) != "code" || len(fields) != 1 || fields[0] != (fault.FieldError{Field: "field", Sentence: "It is wrong."}) {
		t.Errorf("got %v %v", err, fields)
	}
	if strings.Contains(fmt.Sprint(err), "canary") {
		t.Errorf("the cause left the server: %v", err)
	}
	for _, tt := range []struct {
		name, args string
		kind       fault.Kind
		want       string
	}{
		{"no-such", `{}`, fault.KindNotFound, `does not know the command "no-such"`},
		{"echo", `{"text":"x","newer":1}`, fault.KindInvalid, "older than the command line"},
		{"echo", `{"text":1}`, fault.KindInvalid, "do not fit"},
		{"unmarshallable", `{}`, fault.KindInternal, "Something went wrong"},
	} {
		if _, err := r.run(t.Context(), tt.name, tt.args, &words{}); !fault.Is(err, tt.kind) || !strings.Contains(fault.Sentence(err), tt.want) {
			t.Errorf("%s %s: %v", tt.name, tt.args, err)
		}
	}
	if got, err := r.run(t.Context(), "length", "", &words{}); got != `{"text":"0"}` || err != nil {
		t.Errorf("without arguments: %s, %v", got, err)
	}
}

// raw says bytes on the socket and returns what comes back before it is
// closed.
func (r *rig) raw(say string) string {
	r.t.Helper()
	conn, err := net.Dial("unix", filepath.Join(r.dir, operator.SocketName))
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	// The server may hang up before it has read all.
	_, _ = io.WriteString(conn, say)
	_ = conn.(*net.UnixConn).CloseWrite()
	back, _ := io.ReadAll(conn)
	return string(back)
}

// A mistake in one command is its own failure; the server goes on.
func TestACommandThatPanicsLeavesTheServerUp(t *testing.T) {
	r := start(t)
	_, err := r.run(t.Context(), "stumble", `{}`, &words{})
	if !fault.Is(err, fault.KindInternal) || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
	if _, err := r.run(t.Context(), "echo", `{"text":"still there"}`, &words{}); err != nil {
		t.Errorf("the next command: %v", err)
	}
}

func TestWhatIsNoRequest(t *testing.T) {
	r := start(t)
	refused := "does not understand this request"
	for what, tt := range map[string]struct{ say, want string }{
		"nothing":        {"", ""},
		"half a line":    {`{"command":"length"`, ""},
		"no JSON":        {"GET / HTTP/1.1\r\n\r\n", refused},
		"two values":     {`{"command":"length"} {"command":"length"}` + "\n", refused},
		"an unknown key": {`{"command":"length","sudo":true}` + "\n", refused},
		"too much":       {`{"command":"length","args":{"text":"` + strings.Repeat("x", operator.MaxRequest) + `"}}` + "\n", ""},
	} {
		if got := r.raw(tt.say); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: the server answers %.100q, want %q", what, got, tt.want)
		}
	}
	// The server goes on, and takes what is just not too much.
	large := strings.Repeat("x", operator.MaxRequest-200)
	if got, err := r.run(t.Context(), "length", `{"text":"`+large+`"}`, &words{}); got != fmt.Sprintf(`{"text":"%d"}`, len(large)) || err != nil {
		t.Errorf("%s, %v", got, err)
	}
}

func TestACommandIsCancelled(t *testing.T) {
	r := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan error, 1)
	go func() {
		_, err := r.client().Execute(ctx, "me", "wait", nil, &words{})
		heard <- err
	}()
	<-r.entered
	cancel()
	if err := <-r.left; !errors.Is(err, context.Canceled) {
		t.Errorf("the command ended with %v", err)
	}
	if err := <-heard; !fault.Is(err, fault.KindUnavailable) || fault.Sentence(err) != "Cancelled." {
		t.Errorf("the caller hears %v", err)
	}
}

// TestAServerThatStops ends the commands that run, tells their callers, and
// leaves nobody waiting.
func TestAServerThatStops(t *testing.T) {
	r := start(t)
	heard := make(chan error, 1)
	go func() {
		_, err := r.client().Execute(t.Context(), "me", "wait", nil, &words{})
		heard <- err
	}()
	<-r.entered
	r.stop()
	<-r.left
	if err := <-heard; err == nil {
		t.Error("the caller hears of success")
	}
	if _, up := operator.Connect(r.dir); up {
		t.Error("somebody still answers")
	}
}

// TestADeadServersSocketIsReplaced: what a kill left behind is in nobody's way.
func TestADeadServersSocketIsReplaced(t *testing.T) {
	dir := t.TempDir()
	if _, up := operator.Connect(dir); up {
		t.Error("nobody answers, it seems")
	}
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, operator.SocketName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	if _, up := operator.Connect(dir); up {
		t.Error("a dead socket counts as a server")
	}
	s, err := operator.Listen(dir, operator.DoorOf(nil), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	if _, up := operator.Connect(dir); !up {
		t.Error("the new server does not answer")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAServerThatHangsUp: a caller is told when the other end goes away in the
// middle of a command.
func TestAServerThatHangsUp(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, operator.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(conn).ReadString('\n')
			_, _ = io.WriteString(conn, `{"line":"so far"}`+"\n")
			_ = conn.Close()
		}
	}()
	c, up := operator.Connect(dir)
	if !up {
		t.Fatal("nobody answers")
	}
	var out words
	_, err = c.Execute(t.Context(), "me", "echo", nil, &out)
	if !fault.Is(err, fault.KindUnavailable) || !slices.Equal(out.said, []string{"so far"}) {
		t.Errorf("said %q, then %v", out.said, err)
	}
}

func TestWhoMayUseTheSocket(t *testing.T) {
	me := uint32(os.Geteuid())
	if !operator.Allowed(0) || !operator.Allowed(me) || operator.Allowed(me+4711) {
		t.Error("the socket serves root and the server's own user, and nobody else")
	}
}
