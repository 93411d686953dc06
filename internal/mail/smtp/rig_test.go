package smtp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	nsmtp "net/smtp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
)

const (
	login    = "vault-login@example.org"
	password = "tangerine-7-harbour-X"
	body     = "Subject: hello\r\nMessage-ID: <1@example.org>\r\n\r\nHello.\r\n"
)

// Whatever a server did, nothing of the client may stay behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a client that knows the authority of a certificate.
type rig struct {
	lab  *smtptest.Lab
	root *smtptest.Cert
	cert tls.Certificate
}

func newRig(t *testing.T) rig {
	t.Helper()
	lab := smtptest.NewLab(t, time.Now())
	root := lab.Make(smtptest.Order{Name: "Example Root", CA: true})
	return rig{lab, root, lab.Make(smtptest.Order{DNS: []string{smtptest.Host}, By: root}).TLS()}
}

// config is how Sealpost connects to s.
func (r rig) config(s *smtptest.Server, security smtp.Security) smtp.Config {
	policy := trust.Policy{
		Host: smtptest.Host, Roots: x509.NewCertPool(), Now: r.lab.Now,
		Anchors: []trust.Anchor{{DER: r.root.Raw, Mode: trust.ModeAnchor}},
	}
	return smtp.Config{
		Host: smtptest.Host, Port: s.Port(), Security: security, TLS: policy.TLSConfig(), LocalName: "vault.example.net",
		Auth:     &smtp.Auth{Credential: sasl.Credential{Username: login, Password: secret.New(password)}},
		Timeouts: smtp.Timeouts{Connect: 5 * time.Second, Greeting: 5 * time.Second, Command: 5 * time.Second, Final: 5 * time.Second},
		Dial:     s.Dial, Transcript: &smtp.Transcript{},
	}
}

// secure are the steps of a server up to the first words inside TLS.
func (r rig) secure() smtptest.Script {
	return smtptest.Script{smtptest.Greet("STARTTLS"), smtptest.StartTLS(r.cert)}
}

// deliver hands one letter over.
func deliver(ctx context.Context, cfg smtp.Config) (smtp.Result, *smtp.Error) {
	c, err := smtp.Dial(ctx, cfg)
	if err != nil {
		return smtp.Result{}, asError(err)
	}
	defer func() { _ = c.Close() }()
	var result smtp.Result
	_ = c.Send(ctx, smtp.Each(letter()), func(_ int, r smtp.Result) { result = r })
	return result, result.Err
}

func letter() smtp.Submission {
	return smtp.Submission{From: "vault@example.org", To: []string{"ada@example.org"}, Body: []byte(body)}
}

func asError(err error) *smtp.Error {
	var e *smtp.Error
	if errors.As(err, &e) {
		return e
	}
	return &smtp.Error{Kind: "not an smtp.Error", Err: err}
}

// naive is a client with the flaws that the attacks are made for. It stands in
// for Sealpost without its guards: an attack that does not catch it proves
// nothing. It believes any certificate, and goes on in clear where TLS fails,
// on a new connection if need be.
type naive struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	// forces says STARTTLS although it is not offered.
	forces bool
	// pipelines says EHLO in one piece with STARTTLS.
	pipelines bool
	// oldBuffer reads on in TLS from what came before it.
	oldBuffer bool
	// oldCaps goes on believing in TLS what was announced before it.
	oldCaps bool
	// nests says STARTTLS inside TLS where it is offered.
	nests bool
	// skips goes without a sign-in where none is offered; lazy skips it always.
	skips, lazy bool
}

// wire is a naive connection.
type wire struct {
	conn net.Conn
	r    *bufio.Reader
}

// sends delivers the letter and reports whether it thinks it is delivered.
func (n naive) sends(t *testing.T) bool {
	t.Helper()
	ok, err := n.try(t.Context(), true)
	if err != nil {
		ok, _ = n.try(t.Context(), false)
	}
	return ok
}

func (n naive) try(ctx context.Context, encrypt bool) (bool, error) {
	conn, err := n.dial(ctx, "tcp", "")
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	w := &wire{conn, bufio.NewReader(conn)}
	if _, err := w.reply(); err != nil {
		return false, err
	}
	caps, err := w.hello()
	if err != nil {
		return false, err
	}
	if encrypt {
		if caps, err = n.upgrade(w, caps); err != nil {
			return false, err
		}
	}
	if err := n.signIn(w, caps); err != nil {
		return false, err
	}
	code := 0
	for _, line := range []string{"MAIL FROM:<vault@example.org>", "RCPT TO:<ada@example.org>", "DATA", body + "."} {
		if code, err = w.say(line); err != nil {
			return false, err
		}
	}
	return code == 250, nil
}

// reply takes any line that ends a reply, whatever it is like.
func (w *wire) reply() (string, error) {
	text := ""
	for {
		line, err := w.r.ReadString('\n')
		text += line
		if err != nil || len(line) < 4 || line[3] != '-' {
			return text, err
		}
	}
}

func (w *wire) say(line string) (int, error) {
	if _, err := io.WriteString(w.conn, line+"\r\n"); err != nil {
		return 0, err
	}
	text, err := w.reply()
	code := 0
	_, _ = fmt.Sscanf(text, "%d", &code)
	return code, err
}

func (w *wire) hello() (string, error) {
	if _, err := io.WriteString(w.conn, "EHLO naive\r\n"); err != nil {
		return "", err
	}
	text, err := w.reply()
	if err == nil && !strings.HasPrefix(text, "250") {
		_, err = w.say("HELO naive")
	}
	return text, err
}

// upgrade turns to TLS where the server agrees, and goes on in clear where it
// does not.
func (n naive) upgrade(w *wire, caps string) (string, error) {
	if !strings.Contains(caps, "STARTTLS") && !n.forces {
		return caps, nil
	}
	line := "STARTTLS"
	if n.pipelines {
		line += "\r\nEHLO naive"
	}
	code, err := w.say(line)
	if err != nil || code/100 != 2 {
		return caps, err
	}
	conn := tls.Client(w.conn, &tls.Config{InsecureSkipVerify: true})
	if err := conn.Handshake(); err != nil {
		return caps, err
	}
	w.conn = conn
	var rest io.Reader = conn
	if n.oldBuffer {
		old, _ := w.r.Peek(w.r.Buffered())
		rest = io.MultiReader(strings.NewReader(string(old)), conn)
	}
	w.r = bufio.NewReader(rest)
	if n.oldCaps {
		return caps, nil
	}
	caps, err = w.hello()
	if n.nests && strings.Contains(caps, "STARTTLS") {
		_, err = w.say("STARTTLS")
	}
	return caps, err
}

// signIn answers whatever is asked, with PLAIN unless LOGIN alone is offered.
func (n naive) signIn(w *wire, caps string) error {
	if n.lazy || n.skips && !strings.Contains(caps, "AUTH") {
		return nil
	}
	b64 := base64.StdEncoding.EncodeToString
	line := "AUTH PLAIN " + b64([]byte("\x00"+login+"\x00"+password))
	if strings.Contains(caps, "LOGIN") && !strings.Contains(caps, "PLAIN") {
		line = "AUTH LOGIN"
	}
	code, err := w.say(line)
	for i := 0; code == 334 && err == nil; i++ {
		code, err = w.say(b64([]byte([]string{login, password}[min(i, 1)])))
	}
	return err
}

// count returns how many lines of what was said begin with a word.
func count(said []byte, word string) int {
	n := 0
	for line := range strings.Lines(string(said)) {
		if strings.HasPrefix(strings.ToUpper(line), word) {
			n++
		}
	}
	return n
}

// before reports whether one line comes before another.
func before(said []byte, first, second string) bool {
	lines := slices.Collect(strings.Lines(strings.ToUpper(string(said))))
	find := func(word string) int {
		return slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, word) })
	}
	a, b := find(first), find(second)
	return a >= 0 && (b < 0 || a < b)
}

// tls is the server's side with a certificate that the client can verify.
func (r rig) tls() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{r.cert}} }

// throughStandardLibrary sends the letter with net/smtp, which verifies the
// server as well.
func throughStandardLibrary(s *smtptest.Server, r rig) error {
	conn, err := s.Dial(context.Background(), "tcp", "")
	if err != nil {
		return err
	}
	c, err := nsmtp.NewClient(conn, smtptest.Host)
	if err != nil {
		_ = conn.Close()
		return err
	}
	defer func() { _ = c.Close() }()
	roots := x509.NewCertPool()
	roots.AddCert(r.root.Certificate)
	if ok, _ := c.Extension("STARTTLS"); ok {
		if err := c.StartTLS(&tls.Config{ServerName: smtptest.Host, RootCAs: roots}); err != nil {
			return err
		}
		if err := c.Auth(nsmtp.PlainAuth("", login, password, smtptest.Host)); err != nil {
			return err
		}
	}
	if err := c.Mail("vault@example.org"); err != nil {
		return err
	}
	if err := c.Rcpt("ada@example.org"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, body); err != nil {
		return err
	}
	return w.Close()
}

// newRoots are a system's authorities that vouch for nobody.
func newRoots() *x509.CertPool { return x509.NewCertPool() }
