package delivery

import (
	"context"
	"errors"
	"sync"
	"time"
)

// shift is the time from the first letter that is due to the moment at which
// no lane has work. While one of them is busy, perhaps for minutes with a slow
// server, the others look for new letters.
type shift struct {
	mu   sync.Mutex
	busy int
	// seeking counts lanes that are about to claim: each letter that is due
	// may be theirs.
	seeking int
	worked  bool
	over    chan struct{}
}

// begin counts a lane as busy and as about to claim; see seek. It returns nil
// once the shift is over.
func (s *shift) begin() (found func()) {
	s.mu.Lock()
	select {
	case <-s.over:
		s.mu.Unlock()
		return nil
	default:
		s.busy++
		s.mu.Unlock()
		return s.seek()
	}
}

// seek counts a lane as about to claim until found is called.
func (s *shift) seek() (found func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeking++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seeking--
	})
}

// seekers returns how many lanes are about to claim.
func (s *shift) seekers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seeking
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

// shift delivers what is due with the lanes of a crew. At first as many begin as
// there are letters, so that one letter does not open two connections.
func (e *Engine) shift(ctx context.Context, crew []*lane, due int) (more bool, err error) {
	s := &shift{over: make(chan struct{})}
	send, books, cancel := e.graceful(ctx)
	defer cancel()
	// What was found before may be of other settings.
	e.active.Store(nil)
	beside, stop := context.WithCancel(books)
	var upkeep sync.WaitGroup
	upkeep.Go(func() { e.keep(beside) })
	upkeep.Go(func() { e.look(beside) })
	defer upkeep.Wait()
	defer stop()
	errs := make([]error, len(crew))
	var all sync.WaitGroup
	found := make([]func(), len(crew))
	for i := range min(due, len(crew), firstLanes) {
		found[i] = s.begin()
	}
	for i, l := range crew {
		l.books = books
		all.Go(func() { errs[i] = l.run(ctx, send, s, found[i]) })
	}
	all.Wait()
	return s.worked && ctx.Err() == nil, errors.Join(errs...)
}

// run works until the shift is over. A lane that has begun already is given
// what begin returned. A panic while it waits is told like one of a stint.
func (l *lane) run(ctx, send context.Context, s *shift, found func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	if found == nil {
		found = l.await(ctx, s)
	}
	for ; found != nil; found = l.await(ctx, s) {
		if err := l.stint(ctx, send, s, found); err != nil {
			return err
		}
	}
	return nil
}

// stint takes turns while there is work. A panic ends this lane's stint and no
// more: its letters come back when their lease ends.
func (l *lane) stint(ctx, send context.Context, s *shift, found func()) (err error) {
	worked := false
	defer func() {
		found()
		s.end(worked)
	}()
	defer func() {
		if p := recover(); p != nil {
			worked, err = false, panicked(p)
			l.suspects = nil
			l.engine.keeper.forget(l)
			l.hangUp(ctx)
		}
	}()
	for more := true; more && ctx.Err() == nil && l.engine.crowd.allows(l.number); found = s.seek() {
		more, err = l.turn(ctx, send, found)
		found()
		if err != nil {
			return err
		}
		worked = worked || more
		more = more && l.settle(ctx)
	}
	return nil
}

// await waits, as long as another lane is busy, until there are letters for
// this one, and begins. It returns nil when the shift is over.
func (l *lane) await(ctx context.Context, s *shift) (found func()) {
	tick := time.NewTicker(l.engine.poll)
	defer tick.Stop()
	for {
		more := l.engine.crowd.more()
		select {
		case <-ctx.Done():
			return nil
		case <-s.over:
			return nil
		case <-more:
		case <-tick.C:
		}
		l.upkeep(ctx)
		if !l.engine.crowd.allows(l.number) {
			l.hangUp(ctx)
			continue
		}
		if l.engine.still() {
			continue
		}
		// Those who seek now may have claimed when the letters are counted.
		others := s.seekers()
		if n, open, err := l.engine.outbox.Due(ctx, l.engine.slot); err == nil && open && n > max(others, s.seekers()) {
			return s.begin()
		}
	}
}
