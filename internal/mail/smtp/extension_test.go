package smtp_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
)

// DSN and REQUIRETLS are said when they are asked for and offered, and a letter
// that needs a promise does not leave without it.
func TestParametersThatAreAskedFor(t *testing.T) {
	r := newRig(t)
	for _, tt := range []struct {
		what       string
		announce   []string
		letter     smtp.Submission
		mail, rcpt string
		kind       smtp.Kind
	}{
		{"nothing asked", []string{"DSN", "REQUIRETLS"}, letter(), "", "", ""},
		{"DSN asked, not offered", nil, smtp.Submission{Notify: true, EnvID: "x"}, "", "", ""},
		{"DSN", []string{"DSN"}, smtp.Submission{Notify: true, EnvID: "a+b=c d~é"}, " RET=HDRS", " NOTIFY=FAILURE,DELAY", ""},
		{"DSN with a name", []string{"DSN"}, smtp.Submission{Notify: true, EnvID: "a+b=c d~"}, " RET=HDRS ENVID=a+2Bb+3Dc+20d~", " NOTIFY=FAILURE,DELAY", ""},
		{"DSN with too long a name", []string{"DSN"}, smtp.Submission{Notify: true, EnvID: strings.Repeat("x", 101)}, " RET=HDRS", " NOTIFY=FAILURE,DELAY", ""},
		{"DSN with a name of two lines", []string{"DSN"}, smtp.Submission{Notify: true, EnvID: "a\r\nRSET"}, " RET=HDRS", " NOTIFY=FAILURE,DELAY", ""},
		{"REQUIRETLS", []string{"REQUIRETLS"}, smtp.Submission{RequireTLS: true}, " REQUIRETLS", "", ""},
		{"REQUIRETLS, not offered", nil, smtp.Submission{RequireTLS: true}, "", "", smtp.KindPolicy},
	} {
		for _, groups := range [][]string{nil, {"PIPELINING"}, both} {
			var said []string
			s := r.sink(t, func(c *smtptest.SinkConfig) {
				c.Announce = append(slices.Clone(tt.announce), groups...)
				c.Answer = func(a smtptest.Asked) string {
					if a.Verb == "MAIL" || a.Verb == "RCPT" {
						_, params, _ := strings.Cut(a.Line, ">")
						said = append(said, params)
					}
					return ""
				}
			})
			c := connect(t, r.config(s.Server, smtp.STARTTLS))
			one := tt.letter
			one.From, one.To, one.Body = letter().From, letter().To, letter().Body
			results, err := outcomes(t, c, one, letter(), one)
			if err != nil {
				t.Fatalf("%s: %v", tt.what, err)
			}
			_ = c.Close()
			s.Wire()
			for _, i := range []int{0, 2} {
				if e := results[i].Err; (e == nil) != (tt.kind == "") || e != nil && e.Kind != tt.kind {
					t.Errorf("%s %v: letter %d: %v", tt.what, groups, i, e)
				}
			}
			want := []string{tt.mail, tt.rcpt, "", "", tt.mail, tt.rcpt}
			if tt.kind != "" {
				want = []string{"", ""}
			}
			if results[1].Err != nil || !slices.Equal(said, want) {
				t.Errorf("%s %v: said %q, want %q; the letter between: %v", tt.what, groups, said, want, results[1].Err)
			}
		}
	}
}

// A promise of TLS on the whole way counts only where it was made inside TLS.
func TestAPromiseInClearIsNone(t *testing.T) {
	m := startModel(t, honest, "REQUIRETLS")
	defer m.stop()
	c := connect(t, m.config())
	l := numbered(1, "ada", "ben")
	l.RequireTLS = true
	results, err := outcomes(t, c, l, numbered(2, "ada", "ben"))
	if err != nil || results[0].Err == nil || results[0].Err.Kind != smtp.KindPolicy || results[1].Err != nil {
		t.Errorf("%v, %+v", err, results)
	}
	_ = c.Close()
}

// Limits that a server announces are kept (RFC 9422): a connection ends in time,
// and recipients that are too many for one envelope get several.
func TestLimitsAreKept(t *testing.T) {
	for _, groups := range [][]string{nil, {"PIPELINING"}, both} {
		m := startModel(t, honest, append([]string{"LIMITS MAILMAX=3 RCPTMAX=2 RCPTDOMAINMAX=1 X=0 MAILMAX=x"}, groups...)...)
		c := connect(t, m.config())
		if caps := c.Caps(); caps.MailMax != 3 || caps.RcptMax != 2 || caps.RcptDomainMax != 1 {
			t.Errorf("read: %+v", caps)
		}
		results, err := outcomes(t, c, many(10)...)
		if err != nil || len(results) != 3 || c.Usable() {
			t.Errorf("%v: %d letters left, %v, usable %v", groups, len(results), err, c.Usable())
		}
		if err := c.Close(); err != nil || m.verbs()["QUIT"] != 1 {
			t.Errorf("%v: %v, said %v", groups, err, m.verbs())
		}

		m.mu.Lock()
		m.announce[0] = "LIMITS RCPTMAX=2 RCPTDOMAINMAX=1"
		clear(m.taken)
		m.mu.Unlock()
		c = connect(t, m.config())
		l := numbered(20, "ada", "ben", "ben", "refused", "ben", "later")
		l.To[3] = "ben@example.net"
		none := numbered(21, "ada", "refused", "later", "refused")
		results, err = outcomes(t, c, l, none, numbered(22, "ada", "ben"))
		if err != nil || len(results) != 3 {
			t.Fatalf("%v: %v, %+v", groups, err, results)
		}
		if r := results[0]; r.Err != nil || len(r.Refused) != 2 || r.Refused[l.To[2]] == nil || r.Refused[l.To[4]] == nil || r.QueueID == "" {
			t.Errorf("%v: several envelopes: %+v", groups, r)
		}
		if r := results[1]; r.Err == nil || r.Err.Stage != smtp.StageRcpt || len(r.Refused) != 3 {
			t.Errorf("%v: several envelopes, all refused: %+v", groups, r)
		}
		if results[2].Err != nil {
			t.Errorf("%v: the letter behind: %v", groups, results[2].Err)
		}
		_ = c.Close()
		m.stop()
		if a := m.taken[string(l.Body)]; a.times != 2 {
			t.Errorf("%v: it came in %d envelopes, the last to %v", groups, a.times, a.to)
		}
	}
}

// What is remembered of a server ends after a day.
func TestServersAreForgotten(t *testing.T) {
	m := startModel(t, noChunks, both...)
	defer m.stop()
	at := time.Now()
	memory := &smtp.Memory{Now: func() time.Time { return at }}
	bdat := func(port int) bool {
		cfg := m.config()
		cfg.Memory, cfg.Port = memory, port
		c := connect(t, cfg)
		before := m.verbs()["BDAT"]
		if results, err := outcomes(t, c, many(2)...); err != nil || results[1].Err != nil {
			t.Fatalf("%v, %+v", err, results)
		}
		_ = c.Close()
		return m.verbs()["BDAT"] > before
	}
	if !bdat(25) || bdat(25) {
		t.Error("the server is not remembered")
	}
	if !bdat(26) {
		t.Error("another server is taken for the first")
	}
	at = at.Add(23 * time.Hour)
	if bdat(25) {
		t.Error("the server is forgotten after 23 hours")
	}
	at = at.Add(2 * time.Hour)
	if !bdat(25) {
		t.Error("the server is not forgotten after 25 hours")
	}
}

// noDelay asks the system whether small pieces leave at once.
func noDelay(t *testing.T, conn net.Conn) bool {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var on int
	if err := raw.Control(func(fd uintptr) { on, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY) }); err != nil {
		t.Fatal(err)
	}
	return err == nil && on != 0
}

// Nothing waits for an acknowledgement: small pieces leave at once, in TLS too,
// and a letter of a record's size is one piece from the first on.
func TestPiecesLeaveAtOnce(t *testing.T) {
	r := newRig(t)
	s := r.sink(t, func(c *smtptest.SinkConfig) { c.Announce = []string{"PIPELINING"} })
	cfg := r.config(s.Server, smtp.STARTTLS)
	var conn *counted
	cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := s.Dial(ctx, network, address)
		conn = &counted{Conn: raw}
		return conn, err
	}
	c := connect(t, cfg)
	large := letter()
	large.Body = []byte("Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 98)+"\r\n", 150))
	before := len(conn.sizes)
	if _, err := outcomes(t, c, large, large); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(len(conn.sizes) - before); got != "3" {
		t.Errorf("two letters of 15 kB left in %s pieces: %v", got, conn.sizes)
	}
	if !noDelay(t, conn.Conn) {
		t.Error("small pieces wait for an acknowledgement")
	}
	_ = c.Close()
}
