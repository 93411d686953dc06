package smtp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Submission is one letter for one envelope.
type Submission struct {
	// From is the envelope's sender, To its recipients: local@domain.
	From string
	To   []string
	// Body is the whole message with CR LF line ends.
	Body []byte
	// Notify asks the server to tell the sender of a failure or a delay and of
	// nothing else, where it offers that (DSN, RFC 3461). EnvID is what such a
	// notice names the letter by, "" for nothing.
	Notify bool
	EnvID  string
	// RequireTLS wants every server on the way to use verified TLS (RFC 8689).
	// A server that does not promise that does not get the letter.
	RequireTLS bool
	// BeforeContent and AfterContent, if not nil, are called just before the
	// first byte of the content is written and just after the last.
	BeforeContent, AfterContent func()
}

// Result is what came of one submission.
type Result struct {
	// Err is nil when the server accepted the letter for at least one
	// recipient.
	Err *Error
	// Refused are the recipients that the server did not take although it took
	// others.
	Refused map[string]*Error
	// Reply is the server's last word on an accepted letter.
	Reply Reply
	// QueueID is the id under which the server says it queued the letter, or
	// "".
	QueueID string
	// Took is the time from MAIL to the last reply.
	Took time.Duration
}

// Each returns a source of letters for Send that gives subs one by one.
func Each(subs ...Submission) func() (Submission, bool) {
	return func() (Submission, bool) {
		if len(subs) == 0 {
			return Submission{}, false
		}
		s := subs[0]
		subs = subs[1:]
		return s, true
	}
}

// Send sends the letters that next gives and calls done once for each, in
// order, numbered from 0. next must not block; it is asked until it gives none,
// or the connection ends. Both may be called at the same time, from two
// goroutines, but none of the two twice at a time. The error is what ended the
// connection; each letter that next gave has its result all the same.
func (c *Conn) Send(ctx context.Context, next func() (Submission, bool), done func(i int, r Result)) error {
	if c.broken {
		return &Error{Stage: StageMail, Kind: KindNetwork, Text: "the connection is closed"}
	}
	for i := 0; ; i++ {
		s, ok := next()
		if !ok {
			return nil
		}
		began := time.Now()
		var r Result
		err := c.whileAlive(ctx, StageMail, func(ctx context.Context) error {
			r = c.sendOne(ctx, s)
			return nil
		})
		if err != nil {
			r.Err = asError(err)
		}
		c.markResult(r)
		r.Took = time.Since(began)
		if r.Err != nil && ends(r.Err) {
			c.drop()
		}
		done(i, r)
		if c.broken {
			return r.Err
		}
	}
}

// markResult notes in the errors of r how the connection signed in.
func (c *Conn) markResult(r Result) {
	if r.Err != nil {
		r.Err.Bearer = c.cfg.bears()
	}
	for _, e := range r.Refused {
		e.Bearer = c.cfg.bears()
	}
}

// ends reports whether nothing more may be said after err: anything but an
// orderly reply that leaves the connection as it is, or a letter refused here
// before a word was said.
func ends(err *Error) bool {
	switch err.Kind {
	case KindInput:
		return false
	case KindReply:
		return err.Code == 421
	}
	return true
}

func (c *Conn) sendOne(ctx context.Context, s Submission) Result {
	params, err := c.envelope(s)
	if err != nil {
		return Result{Err: err}
	}
	if err := c.expect(ctx, StageMail, "MAIL FROM:<"+s.From+">"+params, 250); err != nil {
		return c.reset(ctx, Result{Err: err})
	}
	r := Result{}
	accepted := 0
	for _, to := range s.To {
		reply, err := c.command(ctx, StageRcpt, "RCPT TO:<"+to+">")
		if err != nil {
			return Result{Err: asError(err)}
		}
		if reply.Code == 250 || reply.Code == 251 {
			accepted++
			continue
		}
		if r.Refused == nil {
			r.Refused = map[string]*Error{}
		}
		r.Refused[to] = replyError(StageRcpt, reply)
		r.Err = r.Refused[to]
	}
	if accepted == 0 {
		return c.reset(ctx, r)
	}
	r.Err = nil
	if err := c.expect(ctx, StageData, "DATA", 354); err != nil {
		r.Err = err
		return c.reset(ctx, r)
	}
	reply, err := c.content(ctx, s)
	if err != nil {
		r.Err = err
		return r
	}
	r.Reply, r.QueueID = reply, queueID(reply)
	return r
}

// expect says a command and wants exactly one code.
func (c *Conn) expect(ctx context.Context, stage Stage, line string, want int) *Error {
	reply, err := c.command(ctx, stage, line)
	if err != nil {
		return asError(err)
	}
	if reply.Code != want {
		return replyError(stage, reply)
	}
	return nil
}

// reset brings the server back to the start of a letter after an orderly
// refusal. Should that fail, the refusal stays the result.
func (c *Conn) reset(ctx context.Context, r Result) Result {
	if r.Err == nil || ends(r.Err) {
		return r
	}
	if err := c.expect(ctx, StageMail, "RSET", 250); err != nil {
		c.drop()
	}
	return r
}

// envelope checks the letter and returns the parameters of MAIL.
func (c *Conn) envelope(s Submission) (string, *Error) {
	if len(s.To) == 0 || len(s.Body) == 0 {
		return "", input(StageMail, "a letter without recipient or content")
	}
	utf8 := false
	for _, a := range append([]string{s.From}, s.To...) {
		if !plainAddress(a) {
			return "", input(StageMail, "an address that cannot stand in an envelope")
		}
		utf8 = utf8 || strings.ContainsFunc(a, func(r rune) bool { return r > 0x7e })
	}
	if err := checkBody(s.Body); err != nil {
		return "", err
	}
	var params string
	if c.caps.Size > 0 {
		if int64(len(s.Body)) > c.caps.Size {
			return "", input(StageMail, fmt.Sprintf("the letter has %d bytes, the server takes %d", len(s.Body), c.caps.Size))
		}
		params += " SIZE=" + strconv.Itoa(len(s.Body))
	}
	if bytes.ContainsFunc(s.Body, func(r rune) bool { return r > 0x7f }) {
		if !c.caps.EightBit {
			return "", input(StageMail, "the letter has 8-bit content and the server takes none")
		}
		params += " BODY=8BITMIME"
	}
	if utf8 {
		if !c.caps.UTF8 {
			return "", input(StageMail, "the server takes no addresses beyond ASCII")
		}
		params += " SMTPUTF8"
	}
	return params, nil
}

// plainAddress reports whether an address can stand between angle brackets
// without ending them or adding a parameter.
func plainAddress(a string) bool {
	local, domain, ok := strings.Cut(a, "@")
	if !ok || local == "" || domain == "" || len(a) > 320 || strings.Contains(domain, "@") {
		return false
	}
	return !strings.ContainsFunc(a, func(r rune) bool {
		return r == ' ' || strings.ContainsRune("<>()[]\\,;:\"", r) || unicode.IsSpace(r) || hidden(r)
	})
}

// checkBody refuses what could be read as the end of the content by some
// server, or as a line that is too long (RFC 5321 4.5.3.1.6).
func checkBody(body []byte) *Error {
	for len(body) > 0 {
		i := bytes.IndexByte(body, '\n')
		if i < 1 || body[i-1] != '\r' {
			return input(StageContent, "a line of the letter does not end with CR LF")
		}
		line := body[:i-1]
		if bytes.IndexByte(line, '\r') >= 0 || bytes.IndexByte(line, 0) >= 0 {
			return input(StageContent, "a line of the letter holds CR or NUL")
		}
		if len(line) > 998 {
			return input(StageContent, "a line of the letter is longer than 998 bytes")
		}
		body = body[i+1:]
	}
	return nil
}

// content writes the letter and reads the answer. Once the end of the content
// is written, every failure but a reply is uncertain.
func (c *Conn) content(ctx context.Context, s Submission) (Reply, *Error) {
	if c.r.Buffered() > 0 {
		return Reply{}, &Error{Stage: StageContent, Kind: KindProtocol, Text: "the server answered before it had the letter"}
	}
	rate := time.Duration(len(s.Body)/MinRate) * time.Second
	if err := c.deadline(ctx, c.timeout.Command+rate); err != nil {
		return Reply{}, c.ioError(ctx, StageContent, err)
	}
	if s.BeforeContent != nil {
		s.BeforeContent()
	}
	c.cfg.Transcript.add("C:", fmt.Sprintf("[letter of %d bytes]", len(s.Body)))
	w := bufio.NewWriterSize(c.raw, 32<<10)
	err := writeStuffed(w, s.Body)
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		// The end was not written: no server takes the letter as whole.
		return Reply{}, c.ioError(ctx, StageContent, err)
	}
	if _, err := io.WriteString(c.raw, ".\r\n"); err != nil {
		e := c.ioError(ctx, StageContent, err)
		e.Uncertain = true
		return Reply{}, e
	}
	if s.AfterContent != nil {
		s.AfterContent()
	}
	reply, err := c.read(ctx, StageContent, c.timeout.Final)
	switch {
	case err != nil:
		e := asError(err)
		e.Uncertain = e.Kind != KindReply
		return Reply{}, e
	case reply.Code == 250:
		return reply, nil
	case reply.Code/100 == 4 || reply.Code/100 == 5:
		return Reply{}, replyError(StageContent, reply)
	}
	e := replyError(StageContent, reply)
	e.Kind, e.Uncertain = KindProtocol, true
	return Reply{}, e
}

// writeStuffed writes body with a dot before each line that begins with one
// (RFC 5321 4.5.2). checkBody has seen the body.
func writeStuffed(w io.Writer, body []byte) error {
	for len(body) > 0 {
		if body[0] == '.' {
			if _, err := w.Write([]byte{'.'}); err != nil {
				return err
			}
		}
		i := bytes.IndexByte(body, '\n') + 1
		if i == 0 {
			i = len(body)
		}
		if _, err := w.Write(body[:i]); err != nil {
			return err
		}
		body = body[i:]
	}
	return nil
}

// queueID finds the id in "Ok: queued as 4F5" (Postfix), "OK id=1abc" (Exim),
// "2.0.0 abc Message accepted" and the like.
func queueID(r Reply) string {
	words := strings.Fields(r.Text())
	for i, w := range words {
		w = strings.Trim(w, "<>,;()[]")
		if id, ok := strings.CutPrefix(w, "id="); ok {
			return id
		}
		if strings.EqualFold(w, "as") && i > 0 && strings.EqualFold(words[i-1], "queued") && i+1 < len(words) {
			return strings.Trim(words[i+1], "<>,;()[].")
		}
	}
	return ""
}

func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Stage: StageMail, Kind: KindNetwork, Err: err}
}
