// Package worker owns background loops: it starts them, wakes them, lets them
// wait between runs, backs off after errors, survives their panics, and waits
// for them when the program stops. It knows nothing of what they do.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"sync"
	"time"
)

const (
	firstBackOff = time.Second
	maxBackOff   = time.Minute
)

// Loop is work that is done again and again.
type Loop struct {
	Name string
	// Every is the longest wait between two runs.
	Every time.Duration
	// Run does a piece of work. more asks for the next run at once. After an
	// error the wait grows from a second to a minute.
	Run func(ctx context.Context) (more bool, err error)
	// Wait, if not nil, is asked after a run that found nothing more to do: it
	// returns how soon the next one is wanted, and 0 where Every will do.
	Wait func() time.Duration
}

// Handle wakes a loop.
type Handle struct{ wake chan struct{} }

// Wake makes the loop run again as soon as it can. It never blocks; a wake
// during a run makes one more run.
func (h *Handle) Wake() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Group holds the loops of a program.
type Group struct {
	log     *slog.Logger
	mu      sync.Mutex
	loops   []entry
	started bool
	cancel  context.CancelFunc
	wait    sync.WaitGroup
}

type entry struct {
	loop   Loop
	handle *Handle
}

// New returns an empty group. A nil log means slog.Default.
func New(log *slog.Logger) *Group {
	if log == nil {
		log = slog.Default()
	}
	return &Group{log: log}
}

// Add puts a loop into the group. It panics after Start, which is a mistake of
// the program.
func (g *Group) Add(l Loop) *Handle {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.started {
		panic("worker: Add after Start")
	}
	h := &Handle{wake: make(chan struct{}, 1)}
	g.loops = append(g.loops, entry{l, h})
	return h
}

// Start begins all loops. They end with ctx or with Stop.
func (g *Group) Start(ctx context.Context) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.started = true
	ctx, g.cancel = context.WithCancel(ctx)
	for _, e := range g.loops {
		g.wait.Go(func() { g.run(ctx, e) })
	}
}

// Stop tells the loops to end and waits for the runs in flight, at most until
// ctx ends.
func (g *Group) Stop(ctx context.Context) error {
	g.mu.Lock()
	if g.cancel != nil {
		g.cancel()
	}
	g.mu.Unlock()
	done := make(chan struct{})
	go func() {
		g.wait.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New("worker: background work did not end in time")
	}
}

func (g *Group) run(ctx context.Context, e entry) {
	failures := 0
	for ctx.Err() == nil {
		more, err := once(ctx, e.loop)
		wait := e.loop.Every
		switch {
		case err != nil && ctx.Err() == nil:
			failures++
			wait = min(backOff(failures), max(e.loop.Every, firstBackOff))
			g.log.Error("background work failed", "loop", e.loop.Name, "failures", failures, "err", err)
		case err == nil:
			failures = 0
			if more {
				continue
			}
			if e.loop.Wait != nil {
				if soon := e.loop.Wait(); soon > 0 {
					wait = min(wait, soon)
				}
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-e.handle.wake:
		}
		timer.Stop()
	}
}

func backOff(failures int) time.Duration {
	d := time.Duration(float64(firstBackOff) * math.Pow(2, float64(failures-1)))
	if failures > 10 || d > maxBackOff {
		return maxBackOff
	}
	return d
}

// once runs the loop and turns a panic into an error.
func once(ctx context.Context, l Loop) (more bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			more, err = false, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return l.Run(ctx)
}
