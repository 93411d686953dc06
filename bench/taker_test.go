package bench

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sealpost/sealpost/test/peers"
)

const (
	takerLogin    = "vault"
	takerPassword = "basalt-thimble-4-orchard"
)

// taker is a mail server on loopback that takes every letter and forgets it,
// the same one for everybody who is measured. It offers PIPELINING, CHUNKING,
// STARTTLS and AUTH PLAIN, and answers what came in one piece in one piece.
type taker struct {
	port      int
	authority *peers.Authority
	// signIn wants a sign-in before the first letter; chunking offers CHUNKING.
	signIn, chunking bool
	// bytes is the size of the last letter.
	bytes atomic.Int64

	listener net.Listener
	config   *tls.Config
	taken    atomic.Int64
	want     atomic.Int64
	reached  chan time.Time
}

func startTaker(b *testing.B, signIn, chunking bool) *taker {
	authority, err := peers.NewAuthority("Benchmark CA")
	must(b, err)
	chain, err := authority.Issue(peers.Host, "127.0.0.1")
	must(b, err)
	certificate, err := tls.X509KeyPair(chain, chain)
	must(b, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	s := &taker{
		port: listener.Addr().(*net.TCPAddr).Port, authority: authority, signIn: signIn, chunking: chunking,
		listener: listener, config: &tls.Config{Certificates: []tls.Certificate{certificate}}, reached: make(chan time.Time, 1),
	}
	b.Cleanup(func() { _ = listener.Close() })
	go s.accept()
	return s
}

// expect says that n more letters are to come; arrived then waits for the last
// of them and returns when it came.
func (s *taker) expect(n int) { s.want.Store(s.taken.Load() + int64(n)) }

func (s *taker) arrived(b *testing.B, limit time.Duration) time.Time {
	b.Helper()
	patience := time.NewTimer(limit)
	defer patience.Stop()
	select {
	case at := <-s.reached:
		return at
	case <-patience.C:
		b.Fatalf("%d letters arrived, want %d", s.taken.Load(), s.want.Load())
	}
	return time.Time{}
}

func (s *taker) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			s.serve(prompt{conn, raw})
		}()
	}
}

// prompt is a connection that acknowledges at once what it reads. Postfix
// leaves Nagle's algorithm on and waits for that in the middle of a letter: to
// a server that delays acknowledgements, as Linux does, it brings a tenth.
type prompt struct {
	net.Conn
	raw syscall.RawConn
}

func (p prompt) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	// Linux forgets the setting again and again.
	_ = p.raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1) })
	return n, err
}

// took counts a letter and tells who waits for the last one.
func (s *taker) took(size int) {
	s.bytes.Store(int64(size))
	if s.taken.Add(1) == s.want.Load() {
		s.reached <- time.Now()
	}
}

// talk is one connection to a taker.
type talk struct {
	r      *bufio.Reader
	w      *bufio.Writer
	signed bool
	mail   bool
	// size counts the content that came so far.
	size int
}

func newTalk(conn net.Conn) *talk {
	return &talk{r: bufio.NewReaderSize(conn, 64<<10), w: bufio.NewWriterSize(conn, 16<<10)}
}

func (s *taker) serve(conn net.Conn) {
	t := newTalk(conn)
	t.say("220 taker.example.org ESMTP")
	for {
		if t.r.Buffered() == 0 && t.w.Flush() != nil {
			return
		}
		line, err := t.r.ReadSlice('\n')
		if err != nil || len(line) < 5 {
			return
		}
		verb := string(bytes.ToUpper(line[:4]))
		switch verb {
		case "STAR":
			t.say("220 2.0.0 go ahead")
			if t.w.Flush() != nil {
				return
			}
			inside := tls.Server(conn, s.config)
			conn, t = inside, newTalk(inside)
		case "QUIT":
			t.say("221 2.0.0 bye")
			_ = t.w.Flush()
			return
		default:
			if !s.obey(t, verb, line, conn) {
				return
			}
		}
	}
}

func (s *taker) obey(t *talk, verb string, line []byte, conn net.Conn) bool {
	switch verb {
	case "EHLO":
		t.say("250-taker.example.org\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES")
		if s.chunking {
			t.say("250-CHUNKING")
		}
		if _, inside := conn.(*tls.Conn); inside {
			t.say("250 AUTH PLAIN")
		} else {
			t.say("250 STARTTLS")
		}
	case "AUTH":
		t.signed = true
		t.say("235 2.7.0 ok")
	case "MAIL":
		if s.signIn && !t.signed {
			t.say("530 5.7.0 sign in first")
			return true
		}
		t.mail = true
		t.say("250 2.1.0 ok")
	case "RCPT":
		t.say("250 2.1.5 ok")
	case "DATA":
		t.say("354 go ahead")
		return t.w.Flush() == nil && s.data(t)
	case "BDAT":
		return s.chunk(t, bytes.Fields(line))
	default: // RSET, NOOP
		t.say("250 2.0.0 ok")
	}
	return true
}

func (s *taker) data(t *talk) bool {
	size, begins := 0, true
	for {
		line, err := t.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return false
		}
		if begins && len(line) == 3 && line[0] == '.' {
			break
		}
		begins = err == nil
		size += len(line)
	}
	t.mail = false
	s.took(size)
	t.say("250 2.0.0 ok: queued as 4F2A9C")
	return true
}

func (s *taker) chunk(t *talk, words [][]byte) bool {
	if len(words) < 2 {
		return false
	}
	n, err := strconv.Atoi(string(words[1]))
	if err != nil || n < 0 {
		return false
	}
	if _, err := t.r.Discard(n); err != nil {
		return false
	}
	t.size += n
	if !t.mail {
		t.say("503 5.5.1 MAIL first")
		return true
	}
	if len(words) == 3 {
		t.mail = false
		s.took(t.size)
		t.size = 0
	}
	t.say("250 2.0.0 ok: queued as 4F2A9C")
	return true
}

func (t *talk) say(line string) {
	_, _ = t.w.WriteString(line) // the flush tells
	_, _ = t.w.WriteString("\r\n")
}
