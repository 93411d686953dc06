package smtp

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// outgoingSize is how much is said in one go: a few records of TLS.
	outgoingSize = 64 << 10
	// incomingSize is how much of what a server says is read ahead.
	incomingSize = 8 << 10
)

// outgoing gathers what is said, so that it leaves in as few pieces as possible,
// and knows how much of it left. One goroutine at a time may use it.
type outgoing struct {
	c   *Conn
	buf []byte
	// said counts everything that was put in, sent what the system took of it.
	// What was not sent never reached the server.
	said, sent int64
	// offered is how much was given to the system or is just being given: no
	// server can answer what lies behind it.
	offered atomic.Int64
	err     error
}

// text adds words.
func (o *outgoing) text(parts ...string) {
	for _, p := range parts {
		o.buf = append(o.buf, p...)
		o.said += int64(len(p))
	}
}

// bytes adds content. What does not fit is written without being copied.
func (o *outgoing) bytes(ctx context.Context, b []byte) {
	if len(o.buf)+len(b) > outgoingSize {
		o.flush(ctx)
	}
	o.said += int64(len(b))
	if len(b) > outgoingSize {
		o.write(ctx, b)
		return
	}
	o.buf = append(o.buf, b...)
}

// flush writes what was gathered. After an error nothing is written any more.
func (o *outgoing) flush(ctx context.Context) error {
	if len(o.buf) > 0 {
		o.write(ctx, o.buf)
		o.buf = o.buf[:0]
	}
	return o.err
}

func (o *outgoing) write(ctx context.Context, b []byte) {
	if o.err != nil {
		return
	}
	wait := o.c.timeout.Command + time.Duration(len(b)/MinRate)*time.Second
	if o.err = o.c.raw.SetWriteDeadline(time.Now().Add(wait)); o.err != nil {
		return
	}
	// Who gives up sets the deadline back, maybe before it was set here.
	if o.err = ctx.Err(); o.err != nil {
		return
	}
	o.offered.Store(o.sent + int64(len(b)))
	n, err := o.c.raw.Write(b)
	o.sent += int64(n)
	o.err = err
}

// incoming reads from the connection with a deadline that is set once for each
// reply, when it has to be waited for.
type incoming struct {
	c     *Conn
	ctx   context.Context
	limit time.Duration
	set   bool
	// idle, if not nil, is called before anything is waited for.
	idle func()
	// grace, once it is set, bounds all that is still read, in nanoseconds since
	// 1970.
	grace atomic.Int64
}

// Read reads what is there, or waits for it.
func (i *incoming) Read(p []byte) (int, error) {
	if i.idle != nil {
		i.idle()
	}
	if !i.set {
		i.set = true
		until := time.Now().Add(i.limit)
		if l := i.c.letterEnds; !l.IsZero() && l.Before(until) {
			until = l
		}
		if g := i.grace.Load(); g != 0 && g < until.UnixNano() {
			until = time.Unix(0, g)
		}
		if err := i.c.raw.SetReadDeadline(until); err != nil {
			return 0, err
		}
		if err := i.ctx.Err(); err != nil {
			return 0, err
		}
		// Who set a grace in the meantime may have come before the deadline here.
		if g := i.grace.Load(); g != 0 && g < until.UnixNano() {
			if err := i.c.raw.SetReadDeadline(time.Unix(0, g)); err != nil {
				return 0, err
			}
		}
	}
	return i.c.raw.Read(p)
}
