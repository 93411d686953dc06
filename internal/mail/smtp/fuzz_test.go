package smtp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/secret"
)

// Whatever bytes come: a reply keeps its bounds, or there is none.
func FuzzReply(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(data), maxReplyLine)
		reply, err := readReply(r)
		if err != nil {
			if !errors.Is(err, errReply) && !errors.Is(err, io.EOF) {
				t.Fatalf("%q: %v is neither a broken reply nor an end", data, err)
			}
			return
		}
		if reply.Code < 200 || reply.Code > 599 || len(reply.Lines) == 0 || len(reply.Lines) > maxReplyLines {
			t.Fatalf("%q gave %+v", data, reply)
		}
		if e := reply.Enhanced; e != "" && (e[0] != byte('0'+reply.Code/100) || strings.Count(e, ".") != 2) {
			t.Fatalf("%q gave the enhanced code %q", data, e)
		}
		for _, text := range append(reply.Lines, reply.Text(), reply.String(), queueID(reply)) {
			checkTame(t, text)
		}
		if n := len(reply.Text()); n > 520 {
			t.Fatalf("the text has %d bytes", n)
		}
		parseCaps(reply.Lines)
	})
}

func checkTame(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) || strings.ContainsFunc(text, hidden) {
		t.Fatalf("%q can do more than stand in a line", text)
	}
}

// Announcements are bounded and in upper case, whatever a server announces.
func FuzzCaps(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Split(text, "\n")
		c := parseCaps(lines)
		if len(c.Auth) > maxAnnounced || c.Size < 0 || len(c.Lines) > len(lines) {
			t.Fatalf("%q gave %+v", text, c)
		}
		for _, m := range c.Auth {
			if m == "" || m != strings.ToUpper(m) || strings.ContainsAny(m, " \t=") {
				t.Fatalf("%q gave the mechanism %q", text, m)
			}
		}
	})
}

// A transcript stays short and tame, whatever is said.
func FuzzTranscript(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string, n uint16) {
		transcript := &Transcript{}
		for range n % (2 * maxTranscript) {
			transcript.add("S:", text)
		}
		lines := transcript.Lines()
		if len(lines) > maxTranscript {
			t.Fatalf("%d lines", len(lines))
		}
		for _, l := range lines {
			if checkTame(t, l); len(l) > 520 || !strings.HasPrefix(l, "S: ") {
				t.Fatalf("%q", l)
			}
		}
	})
}

// tape is a server whose words are fixed: it says one line at a time.
type tape struct {
	net.Conn
	words *bufio.Reader
	heard bytes.Buffer
}

func (c *tape) Read(p []byte) (int, error) {
	line, err := c.words.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || len(line) > 0 {
		err = nil
	}
	return copy(p, line), err
}

func (c *tape) Write(p []byte) (int, error)    { return c.heard.Write(p) }
func (*tape) Close() error                     { return nil }
func (*tape) SetDeadline(time.Time) error      { return nil }
func (*tape) SetReadDeadline(time.Time) error  { return nil }
func (*tape) SetWriteDeadline(time.Time) error { return nil }
func (*tape) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func newTape(words []byte) *tape {
	return &tape{words: bufio.NewReaderSize(bytes.NewReader(words), maxReplyLine)}
}
func (c *tape) dial(context.Context, string, string) (net.Conn, error) { return c, nil }

// Whatever a server says in clear, no credential is said to it; and where the
// administrator allowed it, none is told to anybody else.
func FuzzServer(f *testing.F) {
	const password = "tangerine-7-harbour-X"
	f.Fuzz(func(t *testing.T, words []byte, way uint8) {
		c := newTape(words)
		cfg := Config{
			Host: "mail.example.org", Port: 25, Security: STARTTLS, TLS: &tls.Config{ServerName: "mail.example.org"}, LocalName: "vault.example.net",
			Auth: &Auth{Credential: sasl.Credential{Username: "vault", Password: secret.New(password)}}, Dial: c.dial, Transcript: &Transcript{},
		}
		if way%4 == 2 {
			cfg.Auth = &Auth{Credential: sasl.Credential{Username: "vault", Token: secret.New(password)}}
		}
		clear := way%2 == 1
		if clear {
			cfg.Security, cfg.AllowClearAuth, cfg.TLS = None, true, nil
			if n := int(way / 2); n < len(sasl.Strength()) {
				cfg.Auth.Mechanism = sasl.Strength()[n]
			}
		}
		conn, err := Dial(t.Context(), cfg)
		if err == nil {
			body := []byte("Subject: x\r\n\r\n.\r\n..\r\nx\r\n")
			err = conn.Send(t.Context(), Each(Submission{From: "a@b.org", To: []string{"c@d.org", "e@f.org"}, Body: body}), func(_ int, r Result) {
				if r.Err == nil && r.Reply.Code != 250 {
					t.Fatalf("sent with %+v", r.Reply)
				}
			})
			_ = conn.Close()
		}
		told := cfg.Transcript.String()
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Stage == "" || e.Kind == "" {
				t.Fatalf("%v does not say where and what", err)
			}
			told += e.Error()
		}
		for _, form := range []string{password, base64.StdEncoding.EncodeToString([]byte(password)), base64.StdEncoding.EncodeToString([]byte("\x00vault\x00" + password))} {
			if strings.Contains(told, form) {
				t.Fatalf("told: %s", told)
			}
			if !clear && bytes.Contains(c.heard.Bytes(), []byte(form)) {
				t.Fatalf("said in clear: %s", c.heard.Bytes())
			}
		}
		if !clear && bytes.Contains(c.heard.Bytes(), []byte("AUTH")) {
			t.Fatalf("a sign-in was begun in clear: %s", c.heard.Bytes())
		}
	})
}

func TestQueueIDs(t *testing.T) {
	for text, want := range map[string]string{
		"Ok: queued as 4F5A2": "4F5A2", "OK id=1abc-0001-xy": "1abc-0001-xy", "Message accepted": "", "queued as": "",
		"Requested mail action okay, completed: id=1Mx": "1Mx", "Ok: queued as <9B1>.": "9B1", "": "",
	} {
		if got := queueID(Reply{Code: 250, Lines: []string{text}}); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestAnnouncements(t *testing.T) {
	c := parseCaps([]string{"mail.example.org", "size 1000", "AUTH PLAIN login", "AUTH=LOGIN", "PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8", "STARTTLS", "SIZE -1", "SIZE x", "", "X-Y"})
	if c.Size != 1000 || strings.Join(c.Auth, " ") != "PLAIN LOGIN LOGIN" || !c.Pipelining || !c.Chunking || !c.EightBit || !c.UTF8 || !c.StartTLS || len(c.Lines) != 12 {
		t.Errorf("got %+v", c)
	}
	many := parseCaps([]string{"x", "AUTH " + strings.Repeat("A ", 200), "AUTH PLAIN"})
	if len(many.Auth) != 1 {
		t.Errorf("%d mechanisms are remembered", len(many.Auth))
	}
}
