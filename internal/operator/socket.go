package operator

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
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
)

// SocketName is the name of the socket inside the data folder.
const SocketName = "control.sock"

const (
	// maxRequest bounds a request: the largest is a set-up file with its
	// certificates and secrets.
	maxRequest = 8 << 20
	// maxPath is the longest path that a socket can have (unix(7)), one less
	// than on the narrowest system.
	maxPath = 103
	// requestWait is how long a caller may take to say what it wants.
	requestWait = 30 * time.Second
)

// Server answers on the socket of one data folder.
type Server struct {
	door     *Door
	log      *slog.Logger
	listener *net.UnixListener
	path     string
	wait     sync.WaitGroup
}

// Listen opens the socket in dir. The caller holds the data folder's lock, so
// that a socket already there is a dead server's and is replaced.
func Listen(dir string, door *Door, log *slog.Logger) (*Server, error) {
	path := filepath.Join(dir, SocketName)
	if len(path) > maxPath {
		return nil, fault.Invalid("data", fmt.Sprintf("The path of the data folder is too long: its control socket %s may have at most %d characters.", path, maxPath))
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing the old control socket: %w", err)
	}
	// The folder has mode 0700, so nobody else can reach the socket between
	// its creation and the change of its mode.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protecting the control socket: %w", err), l.Close())
	}
	return &Server{door: door, log: log, listener: l, path: path}, nil
}

// Serve answers callers until ctx ends, then lets running commands end with
// it and returns.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.listener.Close() })
	defer stop()
	for {
		conn, err := s.listener.AcceptUnix()
		if err != nil {
			s.wait.Wait()
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("control socket: %w", err)
		}
		s.wait.Go(func() { s.answer(ctx, conn) })
	}
}

func (s *Server) answer(ctx context.Context, conn *net.UnixConn) {
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	out := &lineSink{enc: json.NewEncoder(conn)}
	login, err := checkPeer(conn)
	if err != nil {
		s.log.Warn("control socket refused a caller", "err", err)
		out.send(reply{Failure: toFailure(err)})
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(requestWait))
	in := bufio.NewReader(io.LimitReader(conn, maxRequest))
	line, err := in.ReadBytes('\n')
	if len(line) == 0 && errors.Is(err, io.EOF) {
		return // somebody looked whether a server is here
	}
	if err != nil {
		s.log.Warn("control socket got no whole request", "err", err)
		return
	}
	var req request
	if err := strict(line, &req); err != nil {
		out.send(reply{Failure: toFailure(fault.Invalid("", "The server does not understand this request.").Because(err))})
		return
	}
	// The caller says nothing more; its end of the line closing means that
	// the person pressed Ctrl-C.
	_ = conn.SetReadDeadline(time.Time{})
	go func() {
		_, _ = io.Copy(io.Discard, conn)
		cancel()
	}()

	if login == "" {
		login = req.Login
	}
	ctx = actor.WithTrace(ctx, actor.NewTrace(time.Now()))
	s.log.InfoContext(ctx, "operator command", "command", req.Command, "operator", login)
	result, err := s.execute(ctx, actor.Operator(login, "cli"), req, out)
	if err != nil {
		s.log.WarnContext(ctx, "operator command failed", "command", req.Command, "err", err)
		out.send(reply{Failure: toFailure(err)})
		return
	}
	out.send(reply{Result: result})
}

// execute keeps a mistake in one command from ending the server.
func (s *Server) execute(ctx context.Context, by actor.Actor, req request, out Sink) (result json.RawMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			result, err = nil, fault.Internal(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return s.door.Execute(ctx, by, req.Command, req.Args, out)
}

// lineSink writes what a command says as lines of JSON.
type lineSink struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (l *lineSink) send(r reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A caller that went away is noticed by the reader; the command is
	// cancelled there.
	_ = l.enc.Encode(r)
}

func (l *lineSink) Line(text string) { l.send(reply{Line: &text}) }

func (l *lineSink) Progress(label string, done, total int64) {
	l.send(reply{Progress: &progress{label, done, total}})
}

// Client executes commands in a running server.
type Client struct{ path string }

// Connect returns a client for the server that runs on the data folder dir,
// and false when none does.
func Connect(dir string) (*Client, bool) {
	path := filepath.Join(dir, SocketName)
	conn, err := net.DialTimeout("unix", path, 2*time.Second)
	if err != nil {
		return nil, false
	}
	_ = conn.Close()
	return &Client{path: path}, true
}

// Execute runs the named command in the server. login is the operating-system
// user who typed it. Ending ctx ends the command.
func (c *Client) Execute(ctx context.Context, login, name string, args json.RawMessage, out Sink) (json.RawMessage, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.path)
	if err != nil {
		return nil, fault.Unavailable("The running server cannot be reached over its control socket. Are you root or its user?").Because(err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := json.NewEncoder(conn).Encode(request{Command: name, Args: args, Login: login}); err != nil {
		return nil, fault.Unavailable("The running server hung up.").Because(err)
	}
	dec := json.NewDecoder(conn)
	for {
		var r reply
		if err := dec.Decode(&r); err != nil {
			if ctx.Err() != nil {
				return nil, fault.Unavailable("Cancelled.").Because(ctx.Err())
			}
			return nil, fault.Unavailable("The running server hung up before the command ended. Its log says why.").Because(err)
		}
		switch {
		case r.Line != nil:
			out.Line(*r.Line)
		case r.Progress != nil:
			out.Progress(r.Progress.Label, r.Progress.Done, r.Progress.Total)
		case r.Failure != nil:
			return nil, r.Failure.fault()
		default:
			return r.Result, nil
		}
	}
}

// errPeer is what a stranger on the socket reads.
var errPeer = fault.Denied("The control socket serves root and the server's own user only.")

// allowed reports whether a peer with this user id may use the socket.
func allowed(uid uint32) error {
	if uid == 0 || int(uid) == os.Geteuid() {
		return nil
	}
	return errPeer.Because(fmt.Errorf("peer has uid %d", uid))
}
