package imap_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sealpost/sealpost/internal/mail/imap"
	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/test/peers"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/sealpost/sealpost/test/peers.supervised.func1"))
}

const password = "correct horse battery staple"

// server is one connection of a server that a test scripts.
type server struct {
	net.Conn
	r *bufio.Reader
	// said is all that the client said, in clear and not.
	said []string
	tls  *tls.Config
}

func (s *server) say(lines ...string) {
	for _, l := range lines {
		_, _ = s.Write([]byte(l + "\r\n"))
	}
}

// hear reads a line and returns its tag and the rest.
func (s *server) hear() (tag, rest string) {
	line, err := s.r.ReadString('\n')
	if err != nil {
		return "", ""
	}
	line = strings.TrimRight(line, "\r\n")
	s.said = append(s.said, line)
	tag, rest, _ = strings.Cut(line, " ")
	return tag, rest
}

// answer answers commands until one begins with a word, whose tag it returns.
func (s *server) answer(until string, offers string) (tag, rest string) {
	for {
		tag, rest = s.hear()
		switch {
		case tag == "":
			return "", ""
		case strings.HasPrefix(rest, until):
			return tag, rest
		case rest == "CAPABILITY":
			s.say("* CAPABILITY IMAP4rev1 "+offers, tag+" OK done")
		default:
			s.say(tag + " OK done")
		}
	}
}

// handshake goes on with TLS.
func (s *server) handshake() bool {
	conn := tls.Server(s.Conn, s.tls)
	if conn.Handshake() != nil {
		return false
	}
	s.Conn, s.r = conn, bufio.NewReader(conn)
	return true
}

// rig serves one connection with script.
type rig struct {
	t    *testing.T
	cfg  imap.Config
	done chan *server
}

func serve(t *testing.T, startTLS bool, script func(*server)) *rig {
	t.Helper()
	ca, err := peers.NewAuthority("CA")
	if err != nil {
		t.Fatal(err)
	}
	chain, err := ca.Issue("imap.example.org")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(chain, chain)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, done: make(chan *server, 1)}
	r.cfg = imap.Config{
		Host: "imap.example.org", Port: 993, StartTLS: startTLS, Timeout: 700 * time.Millisecond,
		TLS: &tls.Config{ServerName: "imap.example.org", RootCAs: roots, MinVersion: tls.VersionTLS12},
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
		},
	}
	go func() {
		there, err := l.Accept()
		_ = l.Close()
		if err != nil {
			return
		}
		s := &server{Conn: there, r: bufio.NewReader(there), tls: &tls.Config{Certificates: []tls.Certificate{cert}}}
		defer func() {
			_ = there.Close()
			r.done <- s
		}()
		if startTLS || s.handshake() {
			script(s)
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return r
}

// session connects, signs in and reads a message, as far as that goes.
func (r *rig) session() error {
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	c, err := imap.Dial(ctx, r.cfg)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	if err := c.SignIn(ctx, sasl.Credential{Username: "bounces", Password: secret.New(password)}); err != nil {
		return err
	}
	if _, err := c.Open(ctx, "INBOX", true); err != nil {
		return err
	}
	if _, err := c.UIDs(ctx, 1, 10); err != nil {
		return err
	}
	_, _, err = c.Fetch(ctx, 1, 1<<20)
	return err
}

// kept checks that the password did not reach the server.
func (r *rig) kept(want string) {
	r.t.Helper()
	s := <-r.done
	all := strings.Join(s.said, "\n")
	for _, bad := range []string{password, "Ym91bmNlcw", "AGJvdW5jZXM"} {
		if strings.Contains(all, bad) {
			r.t.Errorf("%s: the server got what signs in: %q", want, all)
		}
	}
}

const greeting = "* OK ready"

// Everything that may go wrong before there is TLS: no byte of the password
// leaves.
func TestNothingIsSaidBeforeTLS(t *testing.T) {
	for name, script := range map[string]func(*server){
		"no STARTTLS": func(s *server) { s.say(greeting); s.answer("LOGOUT", "AUTH=PLAIN") },
		"refused": func(s *server) {
			s.say(greeting)
			tag, _ := s.answer("STARTTLS", "STARTTLS AUTH=PLAIN")
			s.say(tag + " BAD no")
			s.answer("LOGOUT", "AUTH=PLAIN")
		},
		"signed in already": func(s *server) { s.say("* PREAUTH welcome"); s.answer("LOGOUT", "AUTH=PLAIN") },
		"injection": func(s *server) {
			s.say(greeting)
			tag, _ := s.answer("STARTTLS", "STARTTLS")
			_, _ = s.Write([]byte(tag + " OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\ns3 OK done\r\n"))
			s.handshake()
			s.answer("LOGOUT", "AUTH=PLAIN")
		},
		"garbage for a hello": func(s *server) {
			s.say(greeting)
			tag, _ := s.answer("STARTTLS", "STARTTLS")
			s.say(tag+" OK go", "this is no TLS record at all, not in the least")
			s.answer("LOGOUT", "AUTH=PLAIN")
		},
		"another's certificate": func(s *server) {
			s.say(greeting)
			tag, _ := s.answer("STARTTLS", "STARTTLS")
			s.say(tag + " OK go")
			other, err := peers.NewAuthority("Evil")
			if err != nil {
				return
			}
			chain, err := other.Issue("imap.example.org")
			if err != nil {
				return
			}
			cert, err := tls.X509KeyPair(chain, chain)
			if err != nil {
				return
			}
			s.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
			s.handshake()
		},
		"bye":     func(s *server) { s.say("* BYE busy") },
		"silence": func(s *server) { _, _ = s.r.ReadString('\n') },
	} {
		r := serve(t, true, script)
		var e *imap.Error
		if err := r.session(); !errors.As(err, &e) {
			t.Errorf("%s: got %v", name, err)
		} else if name == "injection" && (e.Stage != imap.StageTLS || e.Kind != imap.KindProtocol) {
			t.Errorf("what was injected is passed over: %v", err)
		}
		r.kept(name)
	}
	// Nor is anybody signed in whom PREAUTH says so of, inside TLS.
	r := serve(t, false, func(s *server) { s.say("* PREAUTH welcome"); s.answer("LOGOUT", "") })
	var e *imap.Error
	if err := r.session(); !errors.As(err, &e) || e.Kind != imap.KindProtocol {
		t.Errorf("PREAUTH inside TLS: %v", err)
	}
	<-r.done
}

// serveUntil is a server that behaves until a command, and then does what a
// test wants.
func serveUntil(word string, do func(s *server, tag string)) func(*server) {
	return func(s *server) {
		s.say(greeting)
		tag, _ := s.answer(word, "AUTH=PLAIN SASL-IR")
		do(s, tag)
	}
}

func endless(s *server, text string) {
	for {
		if _, err := s.Write([]byte(text)); err != nil {
			return
		}
	}
}

func TestAHostileServerCostsLittle(t *testing.T) {
	selected := func(do func(s *server, tag string)) func(*server) {
		return func(s *server) {
			s.say(greeting)
			tag, _ := s.answer("EXAMINE", "AUTH=PLAIN SASL-IR")
			s.say("* 3 EXISTS", "* OK [UIDVALIDITY 7] valid", tag+" OK [READ-ONLY] done")
			tag, _ = s.answer("UID FETCH", "")
			do(s, tag)
		}
	}
	for name, script := range map[string]func(*server){
		"an endless line":    serveUntil("AUTHENTICATE", func(s *server, _ string) { endless(s, strings.Repeat("a", 4096)) }),
		"endless answers":    serveUntil("AUTHENTICATE", func(s *server, _ string) { endless(s, "* OK still here\r\n") }),
		"endless challenges": serveUntil("AUTHENTICATE", func(s *server, _ string) { endless(s, "+ \r\n") }),
		"an endless folder":  serveUntil("EXAMINE", func(s *server, _ string) { endless(s, "* 1 EXISTS\r\n") }),
		"success too early":  serveUntil("CAPABILITY", func(s *server, _ string) { s.say("s2 OK [READ-ONLY] signed in") }),
		"another tag":        serveUntil("EXAMINE", func(s *server, _ string) { s.say("s999 OK done") }),
		"no validity":        serveUntil("EXAMINE", func(s *server, tag string) { s.say("* 3 EXISTS", tag+" OK done") }),
		"goodbye":            serveUntil("EXAMINE", func(s *server, _ string) { s.say("* BYE [ALERT] <script>\x1b[31m") }),
		"NUL":                serveUntil("EXAMINE", func(s *server, tag string) { s.say("* \x00 EXISTS", tag+" OK done") }),
		"one byte at a time": serveUntil("EXAMINE", func(s *server, _ string) { slow(s) }),
		"a huge literal": selected(func(s *server, _ string) {
			s.say("* 1 FETCH (UID 1 BODY[]<0> {4000000000}")
			endless(s, strings.Repeat("x", 4096))
		}),
		"a larger literal": selected(func(s *server, _ string) {
			s.say("* 1 FETCH (UID 1 BODY[]<0> {1048577}")
			endless(s, strings.Repeat("x", 4096))
		}),
		"many literals":       selected(func(s *server, _ string) { many(s) }),
		"a literal that ends": selected(func(s *server, _ string) { s.say("* 1 FETCH (UID 1 BODY[]<0> {1000000}", "short") }),
		"nested without end":  selected(func(s *server, _ string) { endless(s, "* 1 FETCH "+strings.Repeat("(", 5000)+"\r\n") }),
		"no end of a string":  selected(func(s *server, tag string) { s.say(`* 1 FETCH (UID "1`, tag+" OK") }),
	} {
		r := serve(t, false, script)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		err := r.session()
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		var e *imap.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if strings.ContainsAny(e.Text, "\x1b\x00\n") || len(e.Text) > 1000 {
			t.Errorf("%s: the text is not harmless: %q", name, e.Text)
		}
		if took > 8*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
		if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 8<<20 {
			t.Errorf("%s: memory grew by %d KiB", name, grown>>10)
		}
		<-r.done
	}
}

// slow sends a byte now and then.
func slow(s *server) {
	for {
		if _, err := s.Write([]byte("*")); err != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// many sends one large message after the other.
func many(s *server) {
	for {
		s.say("* 1 FETCH (UID 1 BODY[]<0> {1048576}")
		if _, err := s.Write([]byte(strings.Repeat("x", 1<<20) + ")\r\n")); err != nil {
			return
		}
	}
}

// Lines that a server says by the way are no challenges, however many.
func TestUntaggedLinesAreNoChallenges(t *testing.T) {
	r := serve(t, false, func(s *server) {
		s.say(greeting)
		tag, _ := s.answer("AUTHENTICATE PLAIN", "AUTH=PLAIN")
		for range 10 {
			s.say("* OK still here")
		}
		s.say("+ ")
		if _, rest := s.hear(); rest != "" {
			s.say(tag + " BAD " + rest)
			return
		}
		s.say(tag + " OK signed in")
		s.answer("LOGOUT", "")
	})
	c, err := imap.Dial(t.Context(), r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SignIn(t.Context(), sasl.Credential{Username: "bounces", Password: secret.New(password)}); err != nil {
		t.Error(err)
	}
	c.Close(t.Context())
	<-r.done

	// Challenges are counted as before.
	r = serve(t, false, func(s *server) {
		s.say(greeting)
		s.answer("AUTHENTICATE PLAIN", "AUTH=PLAIN")
		for range 10 {
			s.say("+ ")
			s.hear()
		}
	})
	var e *imap.Error
	if err := r.session(); !errors.As(err, &e) || e.Kind != imap.KindProtocol {
		t.Errorf("challenges without an end: %v", err)
	}
	<-r.done
}

// A server without SASL gets LOGIN, with what no quoting can break, unless it
// forbids that.
func TestLoginIsTheLastResort(t *testing.T) {
	const odd = "p\"a\\ß{5}"
	r := serve(t, false, func(s *server) {
		s.say(greeting)
		tag, rest := s.answer("LOGIN", "")
		if rest != "LOGIN {9}" {
			s.say(tag + " BAD " + rest)
			return
		}
		s.say("+ go on")
		if _, rest := s.hear(); rest != "{9}" {
			s.say(tag + " BAD " + rest)
			return
		}
		s.say("+ go on")
		line, err := s.r.ReadString('\n')
		if err != nil || line != odd+"\r\n" {
			s.say(tag + " NO [AUTHENTICATIONFAILED] " + line)
			return
		}
		s.say(tag + " OK signed in")
		s.answer("LOGOUT", "")
	})
	ctx := t.Context()
	c, err := imap.Dial(ctx, r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SignIn(ctx, sasl.Credential{Username: "bounces\"x", Password: secret.New(odd)}); err != nil {
		t.Error(err)
	}
	c.Close(ctx)
	<-r.done

	r = serve(t, false, func(s *server) { s.say(greeting); s.answer("LOGOUT", "LOGINDISABLED") })
	var e *imap.Error
	if err := r.session(); !errors.As(err, &e) || e.Kind != imap.KindMissing {
		t.Errorf("LOGINDISABLED: %v", err)
	}
	r.kept("LOGINDISABLED")
}

// The client in front of a server that many have.
func TestARealServer(t *testing.T) {
	b := peers.BounceMailbox(t)
	ca := x509.NewCertPool()
	ca.AppendCertsFromPEM(peers.Postfix(t).Authority.PEM())
	for n := range 3 {
		b.Put(t, []byte("Subject: mail "+string(rune('a'+n))+"\r\n\r\n"+strings.Repeat("line\r\n", 1000)))
	}
	ctx := t.Context()
	for _, startTLS := range []bool{false, true} {
		port := b.Implicit
		if startTLS {
			port = b.STARTTLS
		}
		c, err := imap.Dial(ctx, imap.Config{Host: "localhost", Port: port, StartTLS: startTLS, TLS: &tls.Config{ServerName: "localhost", RootCAs: ca, MinVersion: tls.VersionTLS12}})
		if err != nil {
			t.Fatal(err)
		}
		if c.Certificate() == nil || !slices.Contains(c.Certificate().DNSNames, "localhost") {
			t.Error("the certificate is not known")
		}
		var e *imap.Error
		if err := c.SignIn(ctx, sasl.Credential{Username: b.Login, Password: secret.New("wrong")}); !errors.As(err, &e) || e.Kind != imap.KindRefused || e.Code != "AUTHENTICATIONFAILED" {
			t.Errorf("a wrong password: %v", err)
		}
		if err := c.SignIn(ctx, sasl.Credential{Username: b.Login, Password: secret.New(b.Password)}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Open(ctx, "Nowhere", true); !errors.As(err, &e) || e.Kind != imap.KindRefused {
			t.Errorf("a folder that is not there: %v", err)
		}
		if startTLS {
			works(t, c, b)
		}
		c.Close(ctx)
	}
}

// works reads and puts away what there is.
func works(t *testing.T, c *imap.Conn, b *peers.Bounces) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := c.Open(ctx, "INBOX", false)
	must(err)
	low, high, err := c.Ends(ctx)
	must(err)
	uids, err := c.UIDs(ctx, low, high+100)
	must(err)
	if f.Messages != 3 || f.Validity == 0 || len(uids) != 3 || uids[0] != low || uids[2] != high {
		t.Errorf("the folder is %+v, from %d to %d: %v", f, low, high, uids)
	}
	m, ok, err := c.Fetch(ctx, uids[0], 100)
	must(err)
	if !ok || len(m.Beginning) != 100 || !strings.HasPrefix(string(m.Beginning), "Subject: mail a\r\n") || m.Size < 6000 {
		t.Errorf("fetched %v, %d bytes of %d", ok, len(m.Beginning), m.Size)
	}
	if _, ok, err := c.Fetch(ctx, high+5, 100); ok || err != nil {
		t.Errorf("a message that is not there: %v, %v", ok, err)
	}
	must(c.See(ctx, uids[0]))
	must(c.Move(ctx, uids[0], "Erledigt & Größe \"x\""))
	must(c.Move(ctx, uids[1], "Erledigt & Größe \"x\""))
	must(c.Delete(ctx, uids[2]))
	must(c.Delete(ctx, uids[2])) // as if it had been there
	if uids, err = c.UIDs(ctx, low, high); err != nil || len(uids) != 0 || b.Count(t, "") != 0 {
		t.Errorf("%v are left, %v", uids, err)
	}
	f, err = c.Open(ctx, "Erledigt & Größe \"x\"", true)
	must(err)
	if f.Messages != 2 {
		t.Errorf("%d were moved", f.Messages)
	}
	var e *imap.Error
	if err := c.Move(ctx, 1, "a\r\nDELETE INBOX"); !errors.As(err, &e) {
		t.Errorf("a folder's name with a command in it: %v", err)
	}
}
