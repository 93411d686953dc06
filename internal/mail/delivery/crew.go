package delivery

import (
	"context"
	"sync"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	// usualLanes is how many connections there are where nobody said how many.
	usualLanes = 2
	// firstLanes is how many begin.
	firstLanes = 2
	// backlog is how many letters a claim must bring to show that there is work
	// for one connection more. From a claim that the server's speed kept smaller,
	// all that it asked for will do.
	backlog = 16
)

// crowd is how many connections a server is trusted with. It grows and shrinks
// as the concurrency of Postfix's scheduler does (SCHEDULER_README): each letter
// that is taken adds 1/n, so that n letters add one connection, and trouble with
// a connection takes one away.
type crowd struct {
	mu     sync.Mutex
	limit  int
	window float64
	// grown is closed, and replaced, when there may be one more, or work for those
	// that there are.
	grown chan struct{}
}

// set bounds the crowd.
func (c *crowd) set(limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.grown == nil {
		c.window, c.grown = firstLanes, make(chan struct{})
	}
	c.limit = limit
	c.window = min(c.window, float64(limit))
}

// took counts a letter that the server took. More connections than there are at
// first are for a backlog alone.
func (c *crowd) took(backlog bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, limit := int(c.window), c.limit
	if !backlog {
		limit = max(min(limit, firstLanes), before)
	}
	c.window = min(c.window+1/c.window, float64(limit))
	if int(c.window) > before {
		c.wake()
	}
}

// call wakes the lanes that wait: there is work for them.
func (c *crowd) call() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wake()
}

// wake lets those go on who wait for more. The caller holds the lock.
func (c *crowd) wake() {
	close(c.grown)
	c.grown = make(chan struct{})
}

// failed counts trouble with a connection.
func (c *crowd) failed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.window = max(c.window-1, 1)
}

// allows tells whether the lane with a number, from 0 on, may work.
func (c *crowd) allows(number int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return number < max(int(c.window), 1)
}

// more is closed when a lane that waits should look for letters.
func (c *crowd) more() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.grown
}

// crew returns the lanes that may work for a profile, and ends the others'
// connections.
func (e *Engine) crew(ctx context.Context, p mail.Profile) []*lane {
	n := p.Limits().Connections
	switch {
	case n <= 0 && e.most <= 0:
		n = usualLanes
	case n <= 0 || e.most > 0 && e.most < n:
		n = e.most
	}
	for len(e.lanes) < n {
		e.lanes = append(e.lanes, &lane{engine: e, name: store.NewID(), number: len(e.lanes), batch: 1})
	}
	for _, l := range e.lanes[n:] {
		l.hangUp(ctx)
	}
	e.crowd.set(n)
	return e.lanes[:n]
}
