package smtp

import (
	"context"
)

// sendInStep sends one letter command by command. The error is one that ended
// the connection.
func (c *Conn) sendInStep(ctx context.Context, f *flight, src *source) *Error {
	if f.refused {
		src.finish(f)
		return nil
	}
	c.letterEnds = c.limit(f)
	var err *Error
	if c.chunks() && !c.inChunks && !c.caps.Pipelining && src.more() {
		err = c.probeInStep(ctx)
	}
	if err == nil {
		err = c.step(ctx, f)
	}
	if err == nil && f.again {
		c.doubt(chunking, true)
		c.retry(src, f)
		return nil
	}
	if err != nil {
		c.lost(f, err)
	}
	src.finish(f)
	return err
}

// step says what the letter needs, each command when the one before is
// answered.
func (c *Conn) step(ctx context.Context, f *flight) *Error {
	if err := c.reset(ctx); err != nil {
		return err
	}
	if err := c.mailAndRcpt(ctx, f); err != nil {
		return err
	}
	if f.r.Err != nil {
		// The refusal stands whatever becomes of RSET.
		return c.reset(ctx)
	}
	inChunk := c.chunks() && c.inChunks && !c.caps.Pipelining
	if inChunk {
		if !c.begins(f) {
			f.r.Err = withheld(StageMail)
			return c.reset(ctx)
		}
		c.sayChunk(ctx, f)
	} else {
		reply, err := c.command(ctx, StageData, "DATA")
		switch {
		case err != nil:
			return asError(err)
		case refusal(reply.Code):
			f.r.Err = replyError(StageData, reply)
			return c.reset(ctx)
		case reply.Code != 354:
			return odd(StageData, reply)
		case c.r.Buffered() > 0:
			return &Error{Stage: StageContent, Kind: KindProtocol, Text: "the server answered before it had the letter"}
		case !c.begins(f):
			return withheld(StageData)
		}
		c.sayContent(ctx, f)
	}
	if err := c.out.flush(ctx); err != nil {
		return c.ioError(ctx, StageContent, err)
	}
	if f.sub.AfterContent != nil {
		f.sub.AfterContent()
	}
	if err := c.took(ctx, f); err != nil {
		return err
	}
	c.clean = f.r.Err == nil
	f.again = inChunk && f.r.Err != nil && !understood(f.r.Err.Code)
	return nil
}

// mailAndRcpt says MAIL and RCPT. A refusal is in the letter's result.
func (c *Conn) mailAndRcpt(ctx context.Context, f *flight) *Error {
	c.depart(f)
	reply, err := c.command(ctx, StageMail, "MAIL FROM:<"+f.sub.From+">"+f.params)
	switch {
	case err != nil:
		return asError(err)
	case refusal(reply.Code):
		f.r.Err = replyError(StageMail, reply)
		return nil
	case reply.Code != 250:
		return odd(StageMail, reply)
	}
	for _, to := range f.sub.To {
		reply, err := c.command(ctx, StageRcpt, "RCPT TO:<"+to+">"+f.rcpt)
		if err != nil {
			return asError(err)
		}
		if err := f.rcptSaid(to, reply); err != nil {
			return err
		}
	}
	f.allRefused()
	return nil
}

// rcptSaid notes what the server says of a recipient.
func (f *flight) rcptSaid(to string, reply Reply) *Error {
	switch {
	case reply.Code == 250 || reply.Code == 251:
		f.accepted++
	case refusal(reply.Code):
		if f.r.Refused == nil {
			f.r.Refused = map[string]*Error{}
		}
		f.r.Refused[to] = replyError(StageRcpt, reply)
	default:
		return odd(StageRcpt, reply)
	}
	return nil
}

// allRefused makes the refusal of all recipients that of the letter.
func (f *flight) allRefused() {
	if f.accepted == 0 && f.r.Err == nil {
		f.r.Err = f.r.Refused[f.sub.To[len(f.sub.To)-1]]
	}
}

// reset ends a transaction that may be open on the server.
func (c *Conn) reset(ctx context.Context) *Error {
	if c.clean {
		return nil
	}
	reply, err := c.command(ctx, StageMail, "RSET")
	switch {
	case err != nil:
		return asError(err)
	case reply.Code != 250:
		return odd(StageMail, reply)
	}
	c.clean = true
	return nil
}
