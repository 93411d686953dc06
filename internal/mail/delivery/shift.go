package delivery

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// shift is the time from the first letter that is due to the moment at which
// no lane has work. While one of them is busy, perhaps for minutes with a slow
// server, the others look for new letters.
type shift struct {
	mu     sync.Mutex
	busy   int
	worked bool
	over   chan struct{}
}

// begin counts a lane as busy; false once the shift is over.
func (s *shift) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.over:
		return false
	default:
		s.busy++
		return true
	}
}

func (s *shift) end(worked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	s.worked = s.worked || worked
	if s.busy == 0 {
		close(s.over)
	}
}

// shift delivers what is due with all lanes. At first as many begin as there
// are letters, so that one letter does not open two connections.
func (e *Engine) shift(ctx context.Context, due int) (more bool, err error) {
	s := &shift{over: make(chan struct{})}
	hard, cancel := e.graceful(ctx)
	defer cancel()
	errs := make([]error, len(e.lanes))
	var all sync.WaitGroup
	for i := range e.lanes {
		if i < due {
			s.begin()
		}
	}
	for i, l := range e.lanes {
		all.Go(func() { errs[i] = l.run(ctx, hard, s, i < due) })
	}
	all.Wait()
	return s.worked && ctx.Err() == nil, errors.Join(errs...)
}

// run works until the shift is over. started tells that the lane was counted
// as busy already.
func (l *lane) run(ctx, hard context.Context, s *shift, started bool) error {
	for started || l.await(ctx, s) {
		started = false
		if err := l.stint(ctx, hard, s); err != nil {
			return err
		}
	}
	return nil
}

// stint takes turns while there is work. A panic ends this lane's stint and no
// more: its letters come back when their lease ends.
func (l *lane) stint(ctx, hard context.Context, s *shift) (err error) {
	worked := false
	defer func() {
		if p := recover(); p != nil {
			l.hangUp()
			l.suspects = nil
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		s.end(worked)
	}()
	for more := true; more && ctx.Err() == nil; worked = worked || more {
		if more, err = l.turn(ctx, hard); err != nil {
			return err
		}
	}
	return nil
}

// await waits, as long as another lane is busy, until letters are due.
func (l *lane) await(ctx context.Context, s *shift) bool {
	tick := time.NewTicker(l.engine.poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-s.over:
			return false
		case <-tick.C:
		}
		if n, open, err := l.engine.outbox.Due(ctx); err == nil && open && n > 0 {
			return s.begin()
		}
	}
}
