package graph

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/secret"
)

// Stage is the step in which Graph answers a letter.
const Stage smtp.Stage = "graph"

// mostBytes is how large a letter may be: Graph takes requests of 4 MB, and
// base64 makes four bytes of three.
const mostBytes = 3_000_000

// Config is what a connection needs.
type Config struct {
	// URL is the root of Graph, for example https://graph.microsoft.com.
	URL string
	// Mailbox is whose letters leave; empty is that of the person who signed
	// in.
	Mailbox string
	Token   secret.Value
	// HTTP carries the requests; it must verify the server and may have a
	// proxy. Its own timeout and its way with redirects are not used.
	HTTP *http.Client
	// Timeout bounds one request; 60 seconds where it is 0.
	Timeout time.Duration
	// Observe, if not nil, is told of each step as it ends.
	Observe func(smtp.Event)
	// Transcript, if not nil, records the dialogue without the token.
	Transcript *smtp.Transcript
	// MaxSize is how large a letter may be, in bytes; 3,000,000 where it is 0.
	MaxSize int
}

// Conn sends letters. It belongs to one goroutine at a time.
type Conn struct {
	cfg  Config
	http *http.Client
	// reach and send are the addresses that are asked.
	reach, send *url.URL
	last        time.Time
	broken      bool
	server      *x509.Certificate
}

// Dial reaches Graph, without the token: whether Graph takes it only a letter
// shows. The error is an *smtp.Error.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	c, bad := newConn(cfg)
	if bad != nil {
		return nil, bad
	}
	began := time.Now()
	var remote string
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { remote = i.Conn.RemoteAddr().String() }})
	a, err := c.ask(ctx, http.MethodHead, c.reach, nil)
	if err != nil {
		return nil, c.failure(ctx, err)
	}
	if a.status == http.StatusTooManyRequests || a.status >= 500 {
		return nil, c.refusal(a)
	}
	c.observe(smtp.Event{Stage: smtp.StageConnect, Detail: []string{remote}, Took: time.Since(began)})
	c.observe(smtp.Event{Stage: smtp.StageTLS, TLS: a.tls})
	return c, nil
}

// newConn checks the settings.
func newConn(cfg Config) (*Conn, *smtp.Error) {
	root, err := url.Parse(cfg.URL)
	switch {
	case err != nil || root.Scheme != "https" || root.Hostname() == "" || root.User != nil || root.RawQuery != "" || root.Fragment != "":
		return nil, input(smtp.StageConnect, "the address of Microsoft Graph is none of https")
	case !isToken(cfg.Token.Reveal()):
		return nil, input(smtp.StageAuth, "the token is empty or holds characters that no token has")
	case cfg.Mailbox == "." || cfg.Mailbox == "..":
		return nil, input(smtp.StageConnect, "the mailbox has no name")
	}
	if cfg.MaxSize <= 0 {
		cfg.MaxSize = mostBytes
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = time.Minute
	}
	c := &Conn{cfg: cfg, reach: root.JoinPath("v1.0", "/"), send: root.JoinPath("v1.0", "me", "sendMail")}
	if cfg.Mailbox != "" {
		c.send = root.JoinPath("v1.0", "users", url.PathEscape(cfg.Mailbox), "sendMail")
	}
	h := *cfg.HTTP
	// The bounds are those of each request, and a token goes nowhere else.
	h.Timeout, h.Jar = 0, nil
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &h
	return c, nil
}

// isToken reports whether s is a b64token (RFC 6750 2.1).
func isToken(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/") == ""
}

// Alive reports whether letters can be tried. Graph is asked nothing: each
// request makes sure of its own connection.
func (c *Conn) Alive(context.Context) bool { return !c.broken }

// Usable reports whether another letter may be tried.
func (c *Conn) Usable() bool { return !c.broken }

// Idle returns how long nothing was said.
func (c *Conn) Idle() time.Duration { return time.Since(c.last) }

// Certificate returns what Graph proved itself with.
func (c *Conn) Certificate() *x509.Certificate { return c.server }

// Close ends it. There is nothing to say: the connections below are the HTTP
// client's.
func (c *Conn) Close() error {
	c.broken = true
	return nil
}

func (c *Conn) observe(e smtp.Event) {
	if c.cfg.Observe != nil {
		c.cfg.Observe(e)
	}
}
