package graph

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sealpost/sealpost/internal/mail/smtp"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// answer is what Graph said.
type answer struct {
	status int
	header http.Header
	body   []byte
	tls    *tls.ConnectionState
}

// ask makes one request. A letter goes with the token, nothing else does.
func (c *Conn) ask(ctx context.Context, method string, to *url.URL, letter *upload) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, to.String(), nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("User-Agent", "Sealpost")
	said := method + " " + to.EscapedPath()
	if letter != nil {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token.Reveal())
		req.Header.Set("Content-Type", "text/plain")
		req.ContentLength = int64(len(letter.base64))
		// A connection that was closed before a byte was written is replaced
		// by the HTTP client, which needs the letter anew.
		req.GetBody = letter.begin
		if req.Body, err = letter.begin(); err != nil {
			return answer{}, err
		}
		said += fmt.Sprintf(" [letter of %d bytes in base64]", len(letter.base64))
	}
	c.cfg.Transcript.Add("C:", said)
	resp, err := c.http.Do(req)
	c.last = time.Now()
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, header: resp.Header, tls: resp.TLS}
	// What the status says stands, whatever becomes of the rest.
	a.body, _ = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if a.tls != nil && len(a.tls.PeerCertificates) > 0 {
		c.server = a.tls.PeerCertificates[0]
	}
	c.cfg.Transcript.Add("S:", strings.TrimSpace(fmt.Sprintf("%d %s", a.status, c.said(a))))
	return a, nil
}

// Send sends the letters that next gives, one after the other, and calls done
// once for each, in order, numbered from 0. The error is what ended the
// connection; next is not asked after it.
func (c *Conn) Send(ctx context.Context, next func() (smtp.Submission, bool), done func(int, smtp.Result)) error {
	if c.broken {
		return c.bears(&smtp.Error{Stage: Stage, Kind: smtp.KindNetwork, Text: "the connection is closed"})
	}
	for i := 0; ; i++ {
		s, ok := next()
		if !ok {
			return nil
		}
		began := time.Now()
		r := c.sendOne(ctx, s)
		r.Took = time.Since(began)
		if r.Err != nil && ends(r.Err) {
			c.broken = true
		}
		done(i, r)
		if c.broken {
			return r.Err
		}
	}
}

// ends reports whether nothing more should be tried after a failure: Graph was
// not there, or did not take the token.
func ends(e *smtp.Error) bool {
	switch e.Kind {
	case smtp.KindInput:
		return false
	case smtp.KindReply:
		return e.Code == http.StatusUnauthorized
	}
	return true
}

func (c *Conn) sendOne(ctx context.Context, s smtp.Submission) smtp.Result {
	if len(s.Body) > c.cfg.MaxSize {
		return smtp.Result{Err: input(Stage, fmt.Sprintf("the letter has %d bytes, Microsoft Graph takes %d", len(s.Body), c.cfg.MaxSize))}
	}
	if len(s.To) == 0 || len(s.Body) == 0 {
		return smtp.Result{Err: input(Stage, "a letter without recipient or content")}
	}
	u := &upload{base64: []byte(base64.StdEncoding.EncodeToString(s.Body)), after: s.AfterContent}
	if s.BeforeContent != nil && !s.BeforeContent() {
		return smtp.Result{Err: &smtp.Error{Stage: Stage, Kind: smtp.KindCancelled, Err: smtp.ErrWithheld, Bearer: true}}
	}
	a, err := c.ask(httptrace.WithClientTrace(ctx, u.trace()), http.MethodPost, c.send, u)
	if err != nil {
		e := c.failure(ctx, err)
		e.Uncertain = u.may.Load()
		return smtp.Result{Err: e}
	}
	if a.status != http.StatusAccepted {
		e := c.refusal(a)
		if u.may.Load() && (a.status == http.StatusBadGateway || a.status == http.StatusGatewayTimeout) {
			// Who stands in between does not know what became of the letter.
			e.Uncertain = true
		}
		return smtp.Result{Err: e}
	}
	id := c.requestID(a)
	c.observe(smtp.Event{Stage: Stage, Detail: []string{"202 Accepted", id}})
	return smtp.Result{Reply: smtp.Reply{Code: a.status, Lines: []string{"Accepted"}}, QueueID: id}
}

// upload is a letter on its way.
type upload struct {
	base64 []byte
	after  func()
	// may tells that the other side may have the whole letter.
	may atomic.Bool
}

// begin returns the letter to be read from its start.
func (u *upload) begin() (io.ReadCloser, error) {
	u.may.Store(false)
	return &body{left: bytes.NewReader(u.base64), of: u}, nil
}

// trace returns what the HTTP client calls. A letter that was read to its end
// counts as one that the other side may have until the client says that it
// could not write it: the answer may be lost before the client says that it
// could.
func (u *upload) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{WroteRequest: func(i httptrace.WroteRequestInfo) {
		u.may.Store(i.Err == nil)
		if i.Err == nil && u.after != nil {
			u.after()
		}
	}}
}

// body is what the HTTP client reads.
type body struct {
	left *bytes.Reader
	of   *upload
}

// Read notes when nothing is left.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.left.Read(p)
	if b.left.Len() == 0 {
		b.of.may.Store(true)
	}
	return n, err
}

// Close does nothing.
func (b *body) Close() error { return nil }
