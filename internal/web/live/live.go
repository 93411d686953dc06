// Package live tells open pages what changed while they are open.
//
// A hub asks one question once a second for all who listen, however many there
// are, and hands every listener the same answer. It asks more rarely where the
// answer takes long, so that asking never costs more than a tenth of the time,
// and not at all while nobody listens. Listeners are bounded, all together and
// for each person. One that does not keep up is cut off; its page comes back
// and begins anew.
//
// The package knows nothing of pages, letters or browsers.
package live

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
)

const (
	// every is how often the question is asked while somebody listens.
	every = time.Second
	// share is how many times as long as the answer took the hub rests.
	share = 9
	// most and mostEach bound the listeners. A browser that speaks HTTP/1.1 has
	// six connections to a server; pages must find one free.
	most     = 200
	mostEach = 5
	// backlog is how many answers a listener may be behind.
	backlog = 16
)

// Config is what a hub needs.
type Config[T any] struct {
	// Ask returns the answer, and whether it differs from the one before; first
	// tells that there is none before. It is called by one goroutine at a time.
	Ask func(ctx context.Context, first bool) (answer T, changed bool, err error)
	// Every is how often Ask is called at most; 0 means once a second.
	Every time.Duration
	// Most and MostEach bound the listeners, all together and of one person; 0
	// means 200 and 5.
	Most, MostEach int
	// Log receives failures of Ask. Nil means slog.Default.
	Log *slog.Logger
}

// Hub hands answers to listeners. It is safe for use by several goroutines.
type Hub[T any] struct {
	c Config[T]

	mu        sync.Mutex
	listeners map[*Listener[T]]bool
	each      map[string]int
	last      *T
	closed    bool
	stop      context.CancelFunc
	asking    sync.WaitGroup
	turn      sync.Mutex
}

// New returns a hub without listeners.
func New[T any](c Config[T]) *Hub[T] {
	if c.Every <= 0 {
		c.Every = every
	}
	if c.Most <= 0 {
		c.Most = most
	}
	if c.MostEach <= 0 {
		c.MostEach = mostEach
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Hub[T]{c: c, listeners: map[*Listener[T]]bool{}, each: map[string]int{}}
}

// Listener receives answers until it is closed.
type Listener[T any] struct {
	// C gives each answer that differs, the newest known at once. It is closed
	// when the hub ends or the listener does not keep up.
	C   <-chan T
	c   chan T
	hub *Hub[T]
	who string
}

// Listen adds a listener for a person, until its Close; the end of ctx does not
// end it. A fault of kind unavailable tells that there are too many, or that the
// hub has ended.
func (h *Hub[T]) Listen(ctx context.Context, who string) (*Listener[T], error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, fault.Unavailable("Sealpost is stopping.")
	case len(h.listeners) >= h.c.Most:
		return nil, full("Too many pages are open that follow the journal. This one shows how things were; reload it.")
	case h.each[who] >= h.c.MostEach:
		return nil, full("You have too many pages open that follow the journal. This one shows how things were; reload it.")
	}
	c := make(chan T, backlog)
	l := &Listener[T]{C: c, c: c, hub: h, who: who}
	h.listeners[l] = true
	h.each[who]++
	if h.last != nil {
		c <- *h.last
	}
	if len(h.listeners) == 1 {
		// It goes on for others when the first one leaves.
		ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
		h.stop = stop
		h.asking.Go(func() { h.ask(ctx) })
	}
	return l, nil
}

// Close removes the listener. It may be called more than once.
func (l *Listener[T]) Close() {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	l.hub.remove(l)
}

// remove takes a listener out and stops asking after the last one. The lock is
// held.
func (h *Hub[T]) remove(l *Listener[T]) {
	if !h.listeners[l] {
		return
	}
	delete(h.listeners, l)
	close(l.c)
	if h.each[l.who]--; h.each[l.who] == 0 {
		delete(h.each, l.who)
	}
	if len(h.listeners) == 0 {
		h.stop()
		h.last = nil
	}
}

// Close ends all listeners and waits until nothing is asked any more.
func (h *Hub[T]) Close() {
	h.mu.Lock()
	h.closed = true
	for l := range h.listeners {
		h.remove(l)
	}
	h.mu.Unlock()
	h.asking.Wait()
}

// ask asks until ctx ends.
func (h *Hub[T]) ask(ctx context.Context) {
	wait := time.NewTimer(0)
	defer wait.Stop()
	first := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		began := time.Now()
		answer, changed, err := h.once(ctx, first)
		took := time.Since(began)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			h.c.Log.ErrorContext(ctx, "asking what changed", "err", err)
		case changed || first:
			first = false
			h.tell(ctx, answer)
		}
		wait.Reset(max(h.c.Every, share*took))
	}
}

// once asks, and turns a panic into an error. One that stopped asking may not
// have ended when the next begins.
func (h *Hub[T]) once(ctx context.Context, first bool) (answer T, changed bool, err error) {
	h.turn.Lock()
	defer h.turn.Unlock()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return h.c.Ask(ctx, first)
}

// tell hands an answer to all, unless the last of them left meanwhile.
func (h *Hub[T]) tell(ctx context.Context, answer T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	h.last = &answer
	for l := range h.listeners {
		select {
		case l.c <- answer:
		default:
			h.remove(l)
		}
	}
}

// full is the answer to one listener too many.
func full(sentence string) error {
	return fault.Unavailable(sentence).WithCode(fault.CodeLimited)
}
