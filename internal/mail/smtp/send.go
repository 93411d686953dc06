package smtp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Send sends the letters that next gives and calls done once for each, in
// order, numbered from 0. next must not block; it is asked until it gives none,
// the connection ends, or the server takes no more on it (see Usable). Both may
// be called at the same time, from two goroutines, but none of the two twice at
// a time. The error is what ended the connection; each letter that next gave has
// its result all the same.
//
// Several letters are in flight at a time where the server allows that. One that
// is refused costs no other. When the connection ends, those whose content may
// be on the server have an uncertain error, the others one of the network.
func (c *Conn) Send(ctx context.Context, next func() (Submission, bool), done func(i int, r Result)) error {
	if c.broken {
		return &Error{Stage: StageMail, Kind: KindNetwork, Text: "the connection is closed"}
	}
	src := &source{c: c, next: next, done: done}
	c.inStep = c.inStep || !c.cfg.Memory.trusts(c.cfg.server(), pipelining)
	c.plainContent = c.plainContent || !c.cfg.Memory.trusts(c.cfg.server(), chunking)
	stop := context.AfterFunc(ctx, func() { _ = c.socket.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	panicked := true
	defer func() {
		if panicked {
			c.drop() // QUIT might be read as content
		}
	}()
	ended := c.sendAll(ctx, src)
	panicked = false
	c.letterEnds = time.Time{}
	if ended == nil {
		return nil
	}
	c.drop()
	ended.Bearer = c.cfg.bears()
	src.abandon(ended)
	return ended
}

// sendAll sends what src has, in the way that the server allows. The error is
// one that ended the connection.
func (c *Conn) sendAll(ctx context.Context, src *source) (ended *Error) {
	for ended == nil && src.more() {
		if ctx.Err() != nil {
			ended = c.ioError(ctx, StageMail, ctx.Err())
			break
		}
		switch {
		case c.inChunks && c.groups() && c.chunks():
			ended = c.sendWindow(ctx, src, nil)
		case c.groups():
			ended = c.sendGroups(ctx, src)
		default:
			ended = c.sendInStep(ctx, src.take(), src)
		}
	}
	return ended
}

// groups reports whether commands may be said in groups (RFC 2920), chunks
// whether content may be said with BDAT (RFC 3030).
func (c *Conn) groups() bool { return c.caps.Pipelining && !c.inStep }
func (c *Conn) chunks() bool { return c.caps.Chunking && !c.plainContent }

// doubt notes that the server does not keep an extension. The connection does
// without it from now on, and so do the next ones.
func (c *Conn) doubt(what extension, sure bool) {
	if what == pipelining {
		c.inStep = true
	} else {
		c.plainContent = true
	}
	c.cfg.Memory.distrust(c.cfg.server(), what, sure)
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

// depart notes that a letter is about to be said. It is said behind RSET, unless
// it is sure that no transaction is open: that keeps it apart from the one before
// whatever the server made of that. Recipients who were accepted for one must
// never get the other.
func (c *Conn) depart(f *flight) {
	f.began, f.start, f.reset = time.Now(), c.out.said, !c.clean
	c.clean = false
}

// sayEnvelope says MAIL and RCPT in a group with what follows.
func (c *Conn) sayEnvelope(f *flight) {
	if f.reset {
		c.said("RSET")
	}
	c.out.text("MAIL FROM:<", f.sub.From, ">", f.params, "\r\n")
	if c.cfg.Transcript != nil {
		c.cfg.Transcript.add("C:", "MAIL FROM:<"+f.sub.From+">"+f.params)
	}
	for _, to := range f.sub.To {
		c.out.text("RCPT TO:<", to, ">", f.rcpt, "\r\n")
		if c.cfg.Transcript != nil {
			c.cfg.Transcript.add("C:", "RCPT TO:<"+to+">"+f.rcpt)
		}
	}
}

// said gathers a command.
func (c *Conn) said(line string) {
	c.cfg.Transcript.add("C:", line)
	c.out.text(line, "\r\n")
}

// sayContent says the letter for DATA, with its end.
func (c *Conn) sayContent(ctx context.Context, f *flight) {
	c.announce(f)
	c.sayStuffed(ctx, f.sub.Body)
	c.out.text(".\r\n")
	f.end.Store(c.out.said)
}

// sayChunk says the letter in one chunk.
func (c *Conn) sayChunk(ctx context.Context, f *flight) {
	size := strconv.Itoa(len(f.sub.Body))
	if c.cfg.Transcript != nil {
		c.cfg.Transcript.add("C:", "BDAT "+size+" LAST")
	}
	c.out.text("BDAT ", size, " LAST\r\n")
	c.announce(f)
	c.out.bytes(ctx, f.sub.Body)
	f.end.Store(c.out.said)
}

// begins tells that the content of f is still to be written. It may have waited
// long for the letters before it.
func (c *Conn) begins(f *flight) bool { return f.sub.BeforeContent == nil || f.sub.BeforeContent() }

// withheld is the error of a letter whose content is not to be written after all.
func withheld(stage Stage) *Error {
	return &Error{Stage: stage, Kind: KindCancelled, Err: ErrWithheld}
}

func (c *Conn) announce(f *flight) {
	if c.cfg.Transcript != nil {
		c.cfg.Transcript.add("C:", fmt.Sprintf("[letter of %d bytes]", len(f.sub.Body)))
	}
}

// sayStuffed says body with a dot before each line that begins with one (RFC
// 5321 4.5.2). checkBody has seen the body.
func (c *Conn) sayStuffed(ctx context.Context, body []byte) {
	if body[0] == '.' {
		c.out.text(".")
	}
	for {
		i := bytes.Index(body, []byte("\n."))
		if i < 0 {
			c.out.bytes(ctx, body)
			return
		}
		c.out.bytes(ctx, body[:i+1])
		c.out.text(".")
		body = body[i+1:]
	}
}

// lost makes of err, which ended the connection in an answer to f or in place of
// it, the result of f: the server may have the letter where its end was sent. A
// 421 says that it has not.
func (c *Conn) lost(f *flight, err *Error) {
	if f.r.Err != nil {
		return // refused before
	}
	e := *err
	if c.reached(f) && e.Kind != KindReply {
		e.Stage, e.Uncertain = StageContent, true
	}
	f.r.Err = &e
}

// reached reports whether the whole content of f was sent.
func (c *Conn) reached(f *flight) bool {
	end := f.end.Load()
	return end > 0 && c.out.sent >= end
}

// limit is how long a letter may take in all: a server that is slow with each
// word in turn does not hold a connection for hours.
func (c *Conn) limit(f *flight) time.Time {
	return time.Now().Add(c.contentWait(f) + time.Duration(5+len(f.sub.To)/10)*c.timeout.Command)
}

// contentWait is how long the answer to the content may take.
func (c *Conn) contentWait(f *flight) time.Duration {
	return c.timeout.Final + time.Duration(len(f.sub.Body)/MinRate)*time.Second
}

// took reads what a server says of a letter whose end it has.
func (c *Conn) took(ctx context.Context, f *flight) *Error {
	reply, err := c.read(ctx, StageContent, c.contentWait(f))
	if err != nil {
		return asError(err)
	}
	return c.judge(f, reply)
}

// judge sorts the answer to the content. An error is one that ends the
// connection.
func (c *Conn) judge(f *flight, reply Reply) *Error {
	switch {
	case reply.Code == 250:
		f.r.Err, f.r.Reply, f.r.QueueID = nil, reply, queueID(reply)
		return nil
	case reply.Code/100 == 4 || reply.Code/100 == 5:
		f.r.Err = replyError(StageContent, reply)
		return nil
	}
	return odd(StageContent, reply)
}

// odd is the error for a reply that is no answer to what was said: client and
// server do not understand each other.
func odd(stage Stage, reply Reply) *Error {
	e := replyError(stage, reply)
	e.Kind = KindProtocol
	return e
}

// refusal reports whether a reply says no in an orderly way.
func refusal(code int) bool { return code/100 == 4 || code/100 == 5 }

func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Stage: StageMail, Kind: KindNetwork, Err: err}
}
