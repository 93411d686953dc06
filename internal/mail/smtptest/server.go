package smtptest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// maxKept bounds what is kept of one connection's bytes.
	maxKept = 8 << 20
	// settle bounds the wait for connections to end.
	settle = 10 * time.Second
)

// Server listens on loopback and lets each connection run through a script.
type Server struct {
	t        testing.TB
	listener net.Listener
	scripts  []Script
	stopped  context.Context
	running  sync.WaitGroup

	mu    sync.Mutex
	talks []*Talk
	// gone counts connections that were forgotten.
	gone int
	// marks are connections of our own, see caughtUp.
	marks map[string]chan struct{}
}

// Start returns a server whose first connection follows the first script, the
// second the second, and so on; the last script serves all further ones. What a
// client says against a script is an error of the test. The server stops when
// the test ends.
func Start(t testing.TB, scripts ...Script) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("smtptest: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{t: t, listener: listener, scripts: scripts, stopped: ctx, marks: map[string]chan struct{}{}}
	s.running.Go(s.accept)
	t.Cleanup(func() {
		stop()
		_ = listener.Close()
		s.mu.Lock()
		for _, talk := range s.talks {
			_ = talk.raw.Close()
		}
		s.mu.Unlock()
		s.running.Wait()
	})
	return s
}

func (s *Server) accept() {
	for n := 0; ; {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		if s.isMark(conn) {
			continue
		}
		n++
		talk := newTalk(s, conn, n)
		s.mu.Lock()
		if s.stopped.Err() != nil {
			_ = conn.Close()
		}
		s.talks = append(s.talks, talk)
		s.mu.Unlock()
		script := s.scripts[min(n, len(s.scripts))-1]
		s.running.Go(func() { s.serve(talk, script) })
	}
}

// caughtUp returns once every connection made so far is known: connections are
// accepted in their order, so one of our own that arrives comes after them.
func (s *Server) caughtUp() {
	s.mu.Lock()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		s.mu.Unlock()
		return // the server has stopped
	}
	arrived := make(chan struct{})
	s.marks[conn.LocalAddr().String()] = arrived
	s.mu.Unlock()
	select {
	case <-arrived:
	case <-s.stopped.Done():
	}
	_ = conn.Close()
}

func (s *Server) isMark(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	arrived, ok := s.marks[conn.RemoteAddr().String()]
	if ok {
		delete(s.marks, conn.RemoteAddr().String())
		close(arrived)
		_ = conn.Close()
	}
	return ok
}

// serve runs the script, then listens until the client goes, so that whatever
// it still says is seen.
func (s *Server) serve(talk *Talk, script Script) {
	defer close(talk.ended)
	defer func() { _ = talk.raw.Close() }()
	for _, step := range script {
		if err := step(talk); err != nil {
			if off := (*offScript)(nil); errors.As(err, &off) && s.stopped.Err() == nil {
				s.t.Errorf("smtptest: connection %d: %v", talk.N, off)
			}
			break
		}
	}
	talk.drain()
}

// Addr returns "host:port".
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Port returns the port on 127.0.0.1.
func (s *Server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// Dial connects to the server whatever the address says. It fits where a client
// takes a dialer, and lets a test use host names that do not exist.
func (s *Server) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, s.Addr())
}

// Connections returns how many connections there were.
func (s *Server) Connections() int {
	s.caughtUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone + len(s.talks)
}

// Wire returns what all clients sent, as somebody on the way sees it: after a
// handshake that is ciphertext. It waits for the connections to end.
func (s *Server) Wire() []byte { return s.seen(func(t *Talk) []byte { return t.raw.bytes() }) }

// Inside returns what all clients said inside TLS. It waits for the connections
// to end.
func (s *Server) Inside() []byte { return s.seen(func(t *Talk) []byte { return t.inside.bytes() }) }

func (s *Server) seen(of func(*Talk) []byte) []byte {
	s.t.Helper()
	s.caughtUp()
	s.mu.Lock()
	talks := slices.Clone(s.talks)
	s.mu.Unlock()
	patience := time.NewTimer(settle)
	defer patience.Stop()
	var all []byte
	for _, talk := range talks {
		select {
		case <-talk.ended:
		case <-patience.C:
			s.t.Fatalf("smtptest: connection %d is still open", talk.N)
		}
		all = append(all, of(talk)...)
	}
	return all
}

// Leak tells what of the secrets went over the wire in clear: the secret
// itself, in base64 too, or "AUTH" where a sign-in was begun outside TLS. It
// returns "" when nothing did.
func (s *Server) Leak(secrets ...string) string {
	s.t.Helper()
	return leak(s.Wire(), secrets)
}

// LeakInside is Leak for what was said inside TLS.
func (s *Server) LeakInside(secrets ...string) string {
	s.t.Helper()
	return leak(s.Inside(), secrets)
}

var auth = regexp.MustCompile(`(?im)^AUTH `)

func leak(seen []byte, secrets []string) string {
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if bytes.Contains(seen, []byte(form)) {
				return secret
			}
		}
	}
	if auth.Match(seen) {
		return "AUTH"
	}
	return ""
}

// forms returns a secret as it is and as it looks in the middle of base64, where
// it can stand in three ways.
func forms(secret string) []string {
	all := []string{secret}
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + secret))
		from, to := (shift*8+5)/6, (shift+len(secret))*8/6
		all = append(all, text[from:to])
	}
	return all
}

// tap keeps what is read from a connection.
type tap struct {
	net.Conn
	mu   sync.Mutex
	kept bytes.Buffer
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept.Len() < maxKept {
		t.kept.Write(p[:n])
	}
	return n, err
}

func (t *tap) bytes() []byte {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.kept.Bytes())
}

// forget forgets connections that have ended.
func (s *Server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.talks = slices.DeleteFunc(s.talks, func(t *Talk) bool {
		select {
		case <-t.ended:
			s.gone++
			return true
		default:
			return false
		}
	})
}

// buffered is a connection whose first bytes were read ahead.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }
