package smtp

import (
	"context"
)

// sendGroups sends letters with DATA, one round trip for each: the content of
// one and the envelope of the next leave together, since RFC 2920 3.1 wants DATA
// to be the last of a group and lets anything stand behind content. It goes on
// as long as there are letters and the server keeps its word. The error is one
// that ended the connection.
func (c *Conn) sendGroups(ctx context.Context, src *source) *Error {
	f := src.take()
	if f.refused {
		src.finish(f)
		return nil
	}
	probe := c.chunks() && !c.inChunks && src.more()
	if probe {
		if err := c.reset(ctx); err != nil {
			c.lost(f, err)
			src.finish(f)
			return err
		}
		c.sayProbe()
	}
	c.sayGroup(f)
	if err := c.out.flush(ctx); err != nil {
		return c.groupEnded(ctx, src, f, c.ioError(ctx, StageMail, err))
	}
	if probe {
		if err := c.probed(ctx, false); err != nil {
			return c.groupEnded(ctx, src, f, err)
		}
	}
	for f != nil {
		c.letterEnds = c.limit(f)
		asked, err := c.heardGroup(ctx, f)
		if err != nil {
			return c.groupEnded(ctx, src, f, err)
		}
		if f.again {
			return c.inOrder(ctx, src, f, asked)
		}
		if asked && f.r.Err == nil && !c.begins(f) {
			f.r.Err = withheld(StageData)
			src.finish(f)
			return withheld(StageData)
		}
		if asked && f.r.Err == nil && c.inChunks && c.chunks() {
			return c.sendWindow(ctx, src, f)
		}
		if f, err = c.contentAndNext(ctx, src, f, asked); err != nil {
			return err
		}
	}
	return nil
}

// sayGroup says the envelope of a letter and asks for leave to say the content.
func (c *Conn) sayGroup(f *flight) {
	c.depart(f)
	c.sayEnvelope(f)
	c.said("DATA")
}

// groupEnded is for a connection that ends before content was asked for. Before
// a first group was answered well, the server may be one that minds groups.
func (c *Conn) groupEnded(ctx context.Context, src *source, f *flight, err *Error) *Error {
	if !c.grouped && ctx.Err() == nil && err.Kind != KindReply {
		c.doubt(pipelining, false)
	}
	c.lost(f, err)
	src.finish(f)
	return err
}

// heardGroup reads the answers to a group. asked tells that the server waits for
// content. The error is one that ends the connection.
func (c *Conn) heardGroup(ctx context.Context, f *flight) (asked bool, err *Error) {
	if err := c.heardEnvelope(ctx, f); err != nil {
		return false, err
	}
	reply, e := c.answer(ctx, StageData)
	switch {
	case e != nil:
		return false, asError(e)
	case reply.Code == 354:
		asked = true
	case !refusal(reply.Code):
		return false, odd(StageData, reply)
	case f.r.Err == nil:
		f.r.Err = replyError(StageData, reply)
	}
	if c.r.Buffered() > 0 {
		return false, &Error{Stage: StageContent, Kind: KindProtocol, Text: "the server answered before it had the letter"}
	}
	// A server that loses what stands behind the first command of a group, or
	// wants each to wait for the answer before, says that the order is wrong.
	f.again = f.r.Err != nil && !understood(f.r.Err.Code)
	c.grouped = c.grouped || !f.again
	return asked, nil
}

// understood tells that a code is not one for a command that the server does not
// know or did not want there (RFC 5321 4.2.2).
func understood(code int) bool { return code != 500 && code != 502 && code != 503 }

// heardEnvelope reads the answers to RSET, MAIL and RCPT. A refusal is in the
// letter's result; the error is one that ends the connection.
func (c *Conn) heardEnvelope(ctx context.Context, f *flight) *Error {
	if f.reset {
		reply, err := c.answer(ctx, StageMail)
		switch {
		case err != nil:
			return asError(err)
		case c.out.offered.Load() <= f.start:
			return early(StageMail)
		case reply.Code != 250:
			return odd(StageMail, reply)
		}
	}
	reply, err := c.answer(ctx, StageMail)
	switch {
	case err != nil:
		return asError(err)
	case c.out.offered.Load() <= f.start:
		return early(StageMail)
	case refusal(reply.Code):
		f.r.Err = replyError(StageMail, reply)
	case reply.Code != 250:
		return odd(StageMail, reply)
	}
	for _, to := range f.sub.To {
		reply, err := c.answer(ctx, StageRcpt)
		if err != nil {
			f.allRefused()
			return asError(err)
		}
		if f.r.Err != nil && refusal(reply.Code) {
			continue // nobody could be accepted for a letter without sender
		}
		if err := f.rcptSaid(to, reply); err != nil {
			return err
		}
	}
	f.allRefused()
	return nil
}

// inOrder begins f anew, command by command.
func (c *Conn) inOrder(ctx context.Context, src *source, f *flight, asked bool) *Error {
	c.doubt(pipelining, true)
	if asked {
		c.said(".")
		if err := c.out.flush(ctx); err != nil {
			return c.groupEnded(ctx, src, f, c.ioError(ctx, StageContent, err))
		}
		if err := c.dotHeard(ctx); err != nil {
			return c.groupEnded(ctx, src, f, err)
		}
	}
	c.retry(src, f)
	return nil
}

// retry puts a letter back that is to be sent in another way.
func (c *Conn) retry(src *source, f *flight) {
	src.ahead = append([]*flight{{i: f.i, sub: f.sub, params: f.params, rcpt: f.rcpt, whole: f.whole}}, src.ahead...)
}

// contentAndNext says the content of f, or the lone dot where there is nobody to
// get it, and with that the envelope of the next letter, which it returns.
func (c *Conn) contentAndNext(ctx context.Context, src *source, f *flight, asked bool) (next *flight, err *Error) {
	deliver := asked && f.r.Err == nil
	switch {
	case deliver:
		c.sayContent(ctx, f)
	case asked:
		c.said(".")
	}
	// Letters that are refused here are told of in their turn.
	var refused []*flight
	for c.groups() && src.more() && !(c.inChunks && c.chunks()) {
		if next = src.take(); !next.refused {
			c.sayGroup(next)
			break
		}
		refused = append(refused, next)
		next = nil
	}
	if e := c.out.flush(ctx); e != nil {
		err = c.ioError(ctx, StageContent, e)
	}
	switch {
	case err != nil:
	case deliver:
		if f.sub.AfterContent != nil {
			f.sub.AfterContent()
		}
		err = c.took(ctx, f)
		if next == nil {
			c.clean = err == nil && f.r.Err == nil
		}
	case asked:
		err = c.dotHeard(ctx)
	}
	if err != nil {
		c.lost(f, err)
	}
	src.finish(f)
	for _, r := range refused {
		src.finish(r)
	}
	if err != nil && next != nil {
		next.r.Err = unsent(err)
		src.finish(next)
	}
	return next, err
}

// dotHeard reads what the server says of a letter for nobody. Whatever it says,
// nothing came of it.
func (c *Conn) dotHeard(ctx context.Context) *Error {
	if _, err := c.read(ctx, StageContent, c.timeout.Final); err != nil {
		return asError(err)
	}
	return nil
}
