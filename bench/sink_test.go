package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/smtptest"
)

const (
	// sinkHost is the name in a fastSink's certificate.
	sinkHost = smtptest.Host
	// sinkLogin and sinkPassword are who may sign in.
	sinkLogin, sinkPassword = "bench@example.org", "tangerine-7-harbour-X"
)

// sinkConfig says what a fastSink offers.
type sinkConfig struct {
	// Pipelining and Chunking are announced. A sink that does not announce them
	// takes BDAT for an unknown command.
	Pipelining, Chunking bool
	// Clear leaves STARTTLS and AUTH out. Open offers both and wants no sign-in.
	Clear, Open bool
}

// fastSink is a mail server on loopback that takes letters and forgets them. It
// is quick enough not to be what is measured: its replies leave together, as
// soon as the client waits for them, and it keeps nothing. It is the same one for
// everybody who is measured.
type fastSink struct {
	cfg      sinkConfig
	tls      *tls.Config
	root     *x509.Certificate
	listener net.Listener
	// taken counts letters; bytes is the content of the last one.
	taken, bytes atomic.Int64
	want         atomic.Int64
	reached      chan time.Time
	running      sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// startSink starts a sink that ends with the benchmark.
func startSink(tb testing.TB, cfg sinkConfig) *fastSink {
	tb.Helper()
	lab := smtptest.NewLab(tb, time.Now())
	root := lab.Make(smtptest.Order{Name: "Example Root", CA: true})
	leaf := lab.Make(smtptest.Order{DNS: []string{sinkHost}, IP: []net.IP{net.IPv4(127, 0, 0, 1)}, By: root}).TLS()
	s := &fastSink{
		cfg: cfg, tls: &tls.Config{Certificates: []tls.Certificate{leaf}}, root: root.Certificate,
		reached: make(chan time.Time, 1), conns: map[net.Conn]bool{},
	}
	var err error
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		tb.Fatal(err)
	}
	s.running.Go(s.accept)
	tb.Cleanup(s.stop)
	return s
}

func (s *fastSink) stop() {
	_ = s.listener.Close()
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// port is where it listens on 127.0.0.1.
func (s *fastSink) port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// dial connects to the sink, whatever the address says.
func (s *fastSink) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, s.listener.Addr().String())
}

// clientTLS verifies the sink.
func (s *fastSink) clientTLS() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(s.root)
	return &tls.Config{ServerName: sinkHost, RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// expect says that n more letters are to come; arrived then waits for the last
// of them and returns when it came.
func (s *fastSink) expect(n int) { s.want.Store(s.taken.Load() + int64(n)) }

func (s *fastSink) arrived(b *testing.B, limit time.Duration) time.Time {
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

func (s *fastSink) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			_ = conn.Close()
			continue
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		s.running.Go(func() {
			c := &sinkConn{sink: s, raw: prompt{conn, raw}}
			c.attach(c.raw)
			_ = c.serve()
			_ = conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

// sinkConn is one connection of a fastSink.
type sinkConn struct {
	sink      *fastSink
	raw       net.Conn
	r         *bufio.Reader
	w         *bufio.Writer
	encrypted bool
	signedIn  bool
	mail      bool
	to        int
	// size counts the content that came in chunks so far.
	size int
}

func (c *sinkConn) attach(conn net.Conn) {
	c.r, c.w = bufio.NewReaderSize(conn, 64<<10), bufio.NewWriterSize(conn, 16<<10)
}

func (c *sinkConn) serve() error {
	c.say("220 sink.example.org ESMTP")
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		if err := c.obey(line); err != nil {
			return errors.Join(err, c.w.Flush())
		}
	}
}

func (c *sinkConn) say(line string) {
	_, _ = c.w.WriteString(line)
	_, _ = c.w.WriteString("\r\n")
}

// line reads a line without its end. What was said before leaves first where
// the client may wait for it.
func (c *sinkConn) line() ([]byte, error) {
	if c.r.Buffered() == 0 {
		if err := c.w.Flush(); err != nil {
			return nil, err
		}
	}
	line, err := c.r.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

func (c *sinkConn) obey(line []byte) error {
	verb, rest, _ := bytes.Cut(line, []byte(" "))
	switch string(bytes.ToUpper(verb)) {
	case "MAIL":
		if !c.signedIn && !c.sink.cfg.Clear && !c.sink.cfg.Open {
			c.say("530 5.7.0 Authentication required")
			return nil
		}
		c.mail, c.to, c.size = true, 0, 0
		c.say("250 2.1.0 Ok")
	case "RCPT":
		c.to++
		c.say("250 2.1.5 Ok")
	case "DATA":
		if !c.mail || c.to == 0 {
			c.say("503 5.5.1 RCPT first")
			return nil
		}
		c.say("354 End data with <CR><LF>.<CR><LF>")
		return c.data()
	case "BDAT":
		return c.chunk(string(rest))
	case "RSET", "NOOP":
		c.mail = false
		c.say("250 2.0.0 Ok")
	case "EHLO", "HELO":
		c.hello()
	case "STARTTLS":
		return c.encrypt()
	case "AUTH":
		return c.auth(string(rest))
	case "QUIT":
		c.say("221 2.0.0 Bye")
		return io.EOF
	default:
		c.say("500 5.5.1 what?")
	}
	return nil
}

func (c *sinkConn) hello() {
	c.say("250-sink.example.org")
	if c.sink.cfg.Pipelining {
		c.say("250-PIPELINING")
	}
	if c.sink.cfg.Chunking {
		c.say("250-CHUNKING")
	}
	switch {
	case c.sink.cfg.Clear:
	case c.encrypted:
		c.say("250-AUTH PLAIN")
	default:
		c.say("250-STARTTLS")
	}
	c.say("250-8BITMIME")
	c.say("250-ENHANCEDSTATUSCODES")
	c.say("250 SIZE 100000000")
}

func (c *sinkConn) encrypt() error {
	c.say("220 2.0.0 go ahead")
	if err := c.w.Flush(); err != nil {
		return err
	}
	conn := tls.Server(c.raw, c.sink.tls)
	if err := conn.Handshake(); err != nil {
		return err
	}
	c.encrypted = true
	c.attach(conn)
	return nil
}

// auth takes AUTH PLAIN, with the words in the command or behind it.
func (c *sinkConn) auth(rest string) error {
	mechanism, words, _ := strings.Cut(rest, " ")
	if mechanism != "PLAIN" || !c.encrypted {
		c.say("504 5.5.4 not this one")
		return nil
	}
	if words == "" {
		c.say("334 ")
		line, err := c.line()
		if err != nil {
			return err
		}
		words = string(line)
	}
	if words != base64.StdEncoding.EncodeToString([]byte("\x00"+sinkLogin+"\x00"+sinkPassword)) {
		c.say("535 5.7.8 who?")
		return nil
	}
	c.signedIn = true
	c.say("235 2.7.0 welcome")
	return nil
}

// data reads a letter up to the dot.
func (c *sinkConn) data() error {
	if c.r.Buffered() == 0 {
		if err := c.w.Flush(); err != nil {
			return err
		}
	}
	n := 0
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if string(line) == ".\r\n" {
			break
		}
		n += len(line)
	}
	c.took(n)
	return nil
}

// chunk reads the octets behind BDAT (RFC 3030), whatever becomes of them.
func (c *sinkConn) chunk(rest string) error {
	if !c.sink.cfg.Chunking {
		c.say("500 5.5.1 what?")
		return nil
	}
	size, last, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	if _, err := c.r.Discard(n); err != nil {
		return err
	}
	switch {
	case !c.mail || c.to == 0:
		c.say("503 5.5.1 RCPT first")
	case last != "LAST":
		c.size += n
		c.say("250 2.0.0 Ok")
	default:
		c.took(n)
	}
	return nil
}

func (c *sinkConn) took(n int) {
	c.mail = false
	c.sink.bytes.Store(int64(c.size + n))
	c.size = 0
	if c.sink.taken.Add(1) == c.sink.want.Load() {
		c.sink.reached <- time.Now()
	}
	c.say("250 2.0.0 Ok: queued as 4F5A2B3C")
}
