package smtp

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// maxInFlight and maxBytesInFlight bound the letters on a connection whose
	// replies did not come yet; one letter may be larger.
	maxInFlight      = 64
	maxBytesInFlight = 1 << 20
	// afterWrite is how long replies are waited for once nothing can be written
	// any more.
	afterWrite = 5 * time.Second
)

// window is a connection on which MAIL, RCPT and BDAT of letters are said before
// the letters before them are answered (RFC 3030 4.2). One goroutine writes,
// another one reads: a server that answers while it does not read, and the other
// way round, holds neither.
type window struct {
	c   *Conn
	src *source

	mu sync.Mutex
	// room is signalled when letters left the window, work when some came.
	room, work sync.Cond
	letters    []*flight
	bytes      int
	// freed tells that letters left since room was signalled last.
	freed bool
	// closed is set once the writer adds no more, failed once the reader can read
	// no more; wrote is what writing failed with.
	closed, failed bool
	wrote          *Error
	// caught is set once the server does not keep CHUNKING; held are the letters
	// from there on, which are told of in their order later.
	caught bool
	held   []*flight
	// panicked is what a side panicked with.
	panicked error
}

// sendWindow sends letters as long as there are any. first, if not nil, is one
// whose content the server waits for, after DATA. The error is one that ended
// the connection.
func (c *Conn) sendWindow(ctx context.Context, src *source, first *flight) *Error {
	w := &window{c: c, src: src}
	w.room.L, w.work.L = &w.mu, &w.mu
	c.in.idle = w.makeRoom
	var heard *Error
	var reading sync.WaitGroup
	reading.Go(func() { heard = w.guarded(func() *Error { return w.read(ctx) }) })
	wrote := w.guarded(func() *Error { return w.write(ctx, first) })
	if wrote != nil && ctx.Err() == nil {
		// What the server said before it went may still be there.
		c.in.grace.Store(time.Now().Add(afterWrite).UnixNano())
		_ = c.raw.SetReadDeadline(time.Now().Add(afterWrite))
	}
	w.mu.Lock()
	w.closed, w.wrote = true, wrote
	w.work.Signal()
	w.mu.Unlock()
	reading.Wait()
	if w.panicked != nil {
		panic(w.panicked)
	}
	c.in.idle = nil
	c.letterEnds = time.Time{}
	return w.tellHeld(ctx, orFirst(heard, wrote))
}

// guarded runs one side. A panic there ends the other side too, and is the
// caller's once both have come to their end: nobody else could recover from it.
func (w *window) guarded(side func() *Error) *Error {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		_ = w.c.socket.Close()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.panicked = errors.Join(w.panicked, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		w.failed = true
		w.room.Broadcast()
	}()
	return side()
}

func orFirst(a, b *Error) *Error {
	if a != nil {
		return a
	}
	return b
}

// write says letters until there are none, or the connection fails.
func (w *window) write(ctx context.Context, first *flight) *Error {
	c := w.c
	// after are those whose content was gathered and not written yet.
	var after []*flight
	flush := func() error {
		err := c.out.flush(ctx)
		if err == nil {
			for _, f := range after {
				f.sub.AfterContent()
			}
		}
		after = after[:0]
		return err
	}
	say := func(f *flight) bool {
		if !f.refused && !f.asked {
			c.depart(f)
		}
		if !w.add(f, flush) {
			return false
		}
		if f.refused {
			return true
		}
		if f.asked {
			c.sayContent(ctx, f)
		} else {
			c.sayEnvelope(f)
			c.sayChunk(ctx, f)
		}
		if f.sub.AfterContent != nil {
			after = append(after, f)
		}
		return c.out.err == nil
	}
	goOn := true
	if first != nil {
		first.asked = true
		goOn = say(first)
	}
	for goOn && w.open() && w.src.more() {
		goOn = say(w.src.take())
	}
	if err := flush(); err != nil {
		return c.ioError(ctx, StageContent, err)
	}
	return nil
}

// open reports whether further letters may be begun.
func (w *window) open() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.failed && !w.caught
}

// add puts a letter into the window once there is room. What was gathered leaves
// before that is waited for.
func (w *window) add(f *flight, flush func() error) bool {
	for !w.hasRoom(f) {
		_ = flush() // an error is kept
	}
	if !f.refused && !f.asked && !w.c.begins(f) {
		// It waited for the letters before it, and is none any more.
		f.refused, f.r.Err = true, withheld(StageMail)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.letters = append(w.letters, f)
	w.bytes += len(f.sub.Body)
	if len(w.letters) == 1 {
		w.work.Signal()
	}
	return !w.failed && w.c.out.err == nil
}

// hasRoom waits until there is room for a letter, or no letter can leave any
// more. It reports false where something is to leave before that.
func (w *window) hasRoom(f *flight) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n := len(f.sub.Body); !w.failed && w.c.out.err == nil && len(w.letters) > 0 && (len(w.letters) >= maxInFlight || w.bytes+n > maxBytesInFlight); {
		if len(w.c.out.buf) > 0 {
			return false
		}
		w.room.Wait()
	}
	return true
}

// makeRoom lets the writer go on. It is called before a reply is waited for, so
// that as many letters as possible are written in one go.
func (w *window) makeRoom() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.freed {
		w.freed = false
		w.room.Signal()
	}
}

// head returns the oldest letter in flight, or nil once there will be none.
func (w *window) head() *flight {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.letters) == 0 && !w.closed {
		if w.freed {
			w.freed = false
			w.room.Signal()
		}
		w.work.Wait()
	}
	if len(w.letters) == 0 {
		return nil
	}
	return w.letters[0]
}

// remove takes the oldest letter out of the window.
func (w *window) remove(f *flight) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.letters = w.letters[1:]
	w.bytes -= len(f.sub.Body)
	if w.freed = true; len(w.letters) < maxInFlight*3/4 {
		w.freed = false
		w.room.Signal()
	}
}

// read reads the replies and tells the results. The error is one that ended the
// connection.
func (w *window) read(ctx context.Context) *Error {
	for {
		f := w.head()
		if f == nil {
			return nil
		}
		if !f.refused {
			w.c.letterEnds = w.c.limit(f)
			if err := w.heard(ctx, f); err != nil {
				return w.fail(err)
			}
		}
		w.remove(f)
		w.finish(f)
	}
}

// heard reads the replies to one letter.
func (w *window) heard(ctx context.Context, f *flight) *Error {
	c := w.c
	if !f.asked {
		if err := c.heardEnvelope(ctx, f); err != nil {
			return err
		}
	}
	reply, e := c.read(ctx, StageContent, c.contentWait(f))
	switch {
	case e != nil:
		return asError(e)
	case f.r.Err != nil && (refusal(reply.Code) || reply.Code == 250):
		return nil // refused before: the chunk was taken and thrown away
	case !refusal(reply.Code) && !w.offered(f):
		return early(StageContent)
	case reply.Code == 250 && isAddress(reply.Enhanced):
		// It answers RCPT, or MAIL: replies and letters are out of step.
		return odd(StageContent, reply)
	case refusal(reply.Code) && !understood(reply.Code) && !f.asked:
		f.again = true
	}
	return c.judge(f, reply)
}

// offered reports whether the content of f is on its way to its last octet.
func (w *window) offered(f *flight) bool {
	end := f.end.Load()
	return end > 0 && w.c.out.offered.Load() >= end
}

// isAddress reports whether an enhanced code is about an address (RFC 3463 3.2).
func isAddress(enhanced string) bool { return len(enhanced) > 3 && enhanced[2:4] == "1." }

// finish tells the result of f, unless a letter before it is to be sent in
// another way first.
func (w *window) finish(f *flight) {
	if f.again && !w.caught {
		w.mu.Lock()
		w.caught = true
		w.mu.Unlock()
		w.c.doubt(chunking, true)
	}
	if w.caught {
		w.held = append(w.held, f)
		return
	}
	w.src.finish(f)
}

// fail ends the window: the first letter met err, and those behind it will have
// no answer.
func (w *window) fail(err *Error) *Error {
	// The writer is held no longer, by nothing.
	_ = w.c.socket.Close()
	w.mu.Lock()
	w.failed = true
	w.room.Broadcast()
	for !w.closed {
		w.work.Wait()
	}
	letters := w.letters
	w.letters = nil
	if w.wrote != nil && err.Kind == KindTimeout {
		err = w.wrote // the wait was only for what was said before
	}
	w.mu.Unlock()
	for i, f := range letters {
		switch {
		case f.refused:
		case i == 0:
			w.c.lost(f, err)
		case w.c.reached(f):
			f.r.Err = &Error{Stage: StageContent, Kind: unsent(err).Kind, Text: "the connection ended before the server answered", Uncertain: true, Err: err}
		default:
			f.r.Err = unsent(err)
		}
		w.finish(f)
	}
	return err
}

// tellHeld sends the letters that were refused for the way they came in the
// plain way, and tells of all that were held back in their order.
func (w *window) tellHeld(ctx context.Context, ended *Error) *Error {
	for _, f := range w.held {
		if !f.again || f.r.Err == nil {
			w.src.finish(f)
			continue
		}
		if ended != nil {
			f.r = Result{Err: unsent(ended)}
			w.src.finish(f)
			continue
		}
		again := &flight{i: f.i, sub: f.sub, params: f.params, rcpt: f.rcpt, whole: f.whole}
		ended = w.c.sendInStep(ctx, again, w.src)
	}
	return ended
}
