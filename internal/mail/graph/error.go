package graph

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sealpost/sealpost/internal/mail/smtp"
)

func input(stage smtp.Stage, text string) *smtp.Error {
	return &smtp.Error{Stage: stage, Kind: smtp.KindInput, Text: text, Bearer: true}
}

func (c *Conn) bears(e *smtp.Error) *smtp.Error {
	e.Bearer = true
	return e
}

// refusal says what an answer other than 202 is. A success that is not the one
// that Graph documents is none that a letter could be trusted to: it may have
// been taken.
func (c *Conn) refusal(a answer) *smtp.Error {
	e := &smtp.Error{Stage: Stage, Kind: smtp.KindReply, Code: a.status, Text: c.said(a), After: retryAfter(a.header, time.Now())}
	if a.status/100 == 2 {
		e.Kind, e.Uncertain = smtp.KindProtocol, true
	}
	return c.bears(e)
}

// said is what an answer says in one line: Graph's code and message, and the id
// that support asks for.
func (c *Conn) said(a answer) string {
	var body struct {
		Error struct{ Code, Message string }
	}
	text := ""
	// What is no JSON of Graph's was written for other readers.
	if json.Unmarshal(a.body, &body) == nil && body.Error.Code != "" {
		text = body.Error.Code
		if body.Error.Message != "" {
			text += ": " + body.Error.Message
		}
	}
	if text == "" {
		text = http.StatusText(a.status)
	}
	text = clean(c.hide(clean(text, 2000)), 400)
	if id := c.requestID(a); id != "" {
		text += " (request-id " + id + ")"
	}
	return text
}

// requestID is what support asks for.
func (c *Conn) requestID(a answer) string { return clean(c.hide(a.header.Get("Request-Id")), 100) }

// piece is how much of a token in a text gives it away.
const piece = 12

// hide cuts a text where it begins to repeat the token, whole or in part.
func (c *Conn) hide(text string) string {
	token := c.cfg.Token.Reveal()
	n := min(piece, len(token))
	for i := 0; i+n <= len(text); i++ {
		if strings.Contains(token, text[i:i+n]) {
			return text[:i] + "[credentials]"
		}
	}
	return text
}

// clean returns text as one line that can be shown, at most so long.
func clean(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= most {
		return text
	}
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// retryAfter reads how long Graph wants to be left alone (RFC 9110 10.2.3).
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// failure sorts why there was no answer.
func (c *Conn) failure(ctx context.Context, err error) *smtp.Error {
	// The outer error names the address, which is known.
	if outer := (*url.Error)(nil); errors.As(err, &outer) {
		err = outer.Err
	}
	e := &smtp.Error{Stage: Stage, Kind: smtp.KindNetwork, Err: err}
	var (
		already     *smtp.Error
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       tls.AlertError
		dns         *net.DNSError
		op          *net.OpError
		timeout     net.Error
	)
	switch {
	case errors.As(err, &already):
		copied := *already
		e = &copied
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		e.Kind = smtp.KindCancelled
	case errors.As(err, &certificate), errors.As(err, &record), errors.As(err, &alert):
		e.Stage, e.Kind = smtp.StageTLS, smtp.KindTLS
	case errors.As(err, &dns):
		e.Stage = smtp.StageResolve
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Kind = smtp.KindTimeout
	}
	if e.Stage == Stage && errors.As(err, &op) && op.Op == "dial" {
		e.Stage = smtp.StageConnect
	}
	return c.bears(e)
}
