package smtp

import "context"

// probe is a chunk that makes no sense as a command, with its end.
const probe = "XSYNC\r\n"

// sayProbe asks whether the server takes the octets of a chunk also where there
// is no transaction that they could belong to, as RFC 3030 2 wants it. One that
// does not reads them as commands: a letter whose recipients are refused would
// become a list of commands, written by whoever wrote the letter. Public servers
// do that. RSET follows, in the same group unless the server wants each command
// by itself. It is for a connection on which no transaction is open (reset): in
// one with recipients it would be a letter to them.
func (c *Conn) sayProbe() {
	c.said("BDAT 7 LAST")
	c.cfg.Transcript.add("C:", "[7 bytes to see whether they are taken]")
	c.out.text(probe)
	if c.groups() {
		c.said("RSET")
	}
}

// probed reads the answers to the probe: a refusal of the chunk, one of its
// content where that was read as a command, and a yes to RSET.
func (c *Conn) probed(ctx context.Context, inStep bool) *Error {
	chunk, e := c.answer(ctx, StageMail)
	if e != nil {
		return asError(e)
	}
	if inStep {
		c.said("RSET")
		if err := c.out.flush(ctx); err != nil {
			return c.ioError(ctx, StageMail, err)
		}
	}
	next, e := c.answer(ctx, StageMail)
	if e != nil {
		return asError(e)
	}
	taken := next.Code == 250
	if !taken {
		if next, e = c.answer(ctx, StageMail); e != nil {
			return asError(e)
		}
	}
	switch {
	case next.Code != 250:
		return odd(StageMail, next)
	case taken && refusal(chunk.Code) && chunk.Code != 500 && chunk.Code != 502:
		c.inChunks = true
	default:
		c.doubt(chunking, true)
	}
	return nil
}

// probeInStep asks by itself.
func (c *Conn) probeInStep(ctx context.Context) *Error {
	if err := c.reset(ctx); err != nil {
		return err
	}
	c.sayProbe()
	if err := c.out.flush(ctx); err != nil {
		return c.ioError(ctx, StageMail, err)
	}
	return c.probed(ctx, true)
}
