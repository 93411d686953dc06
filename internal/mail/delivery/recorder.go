package delivery

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/failpoint"
	"github.com/sealpost/sealpost/internal/mail/outbox"
)

const (
	// mostUnwritten is how many outcomes may wait to be written. Who has one more
	// waits: a crash repeats the letters of those that were not written.
	mostUnwritten = 512
	// recordTime is how long the database may take over a group, recordTries how
	// often it is asked before the group is kept for later.
	recordTime  = 30 * time.Second
	recordTries = 3
)

// entry is an outcome on its way to the database; after is called once it is
// there.
type entry struct {
	outcome outbox.Outcome
	after   func()
}

// recorder writes outcomes down in groups: what comes while one is being written
// is the next one, so that they are large under load and nobody waits without.
// What the database does not take is kept, in its order, until it does: what is
// known of a letter must not be lost while the process lives.
type recorder struct {
	outbox *outbox.Outbox

	mu      sync.Mutex
	changed *sync.Cond
	waiting []entry
	// came and written count outcomes.
	came, written int64
	running       bool
	// stuck is why those that wait were not written; broken is what went wrong
	// after others were.
	stuck, broken error
}

func newRecorder(o *outbox.Outbox) *recorder {
	r := &recorder{outbox: o}
	r.changed = sync.NewCond(&r.mu)
	return r
}

// put takes an outcome in, and waits while too many are not written.
func (r *recorder) put(ctx context.Context, entries ...entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.waiting) >= mostUnwritten && r.stuck == nil {
		r.changed.Wait()
	}
	r.waiting = append(r.waiting, entries...)
	r.came += int64(len(entries))
	if r.stuck == nil {
		r.start(ctx)
	}
}

// start lets those that wait be written. The caller holds the lock.
func (r *recorder) start(ctx context.Context) {
	r.stuck = nil
	if !r.running && len(r.waiting) > 0 {
		r.running = true
		go r.run(context.WithoutCancel(ctx))
	}
}

// flush waits until all that came is written, and returns why it is not. What
// was kept is tried again.
func (r *recorder) flush(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.start(ctx)
	for end := r.came; r.written < end && r.stuck == nil; {
		r.changed.Wait()
	}
	err := errors.Join(r.stuck, r.broken)
	r.broken = nil
	return err
}

// fails tells that the database does not take outcomes.
func (r *recorder) fails() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stuck != nil
}

// run writes groups until none waits, or one cannot be written.
func (r *recorder) run(ctx context.Context) {
	for {
		r.mu.Lock()
		group := r.waiting[:min(len(r.waiting), outbox.MostOutcomes)]
		if len(group) == 0 {
			r.running = false
			r.changed.Broadcast()
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		err := r.write(ctx, group)
		var broken error
		if err == nil {
			failpoint.Hit("delivery.recorded-group")
			broken = told(group)
		}
		r.mu.Lock()
		if err != nil {
			r.stuck, r.running = err, false
		} else {
			r.waiting = append([]entry(nil), r.waiting[len(group):]...)
			r.written += int64(len(group))
			r.broken = errors.Join(r.broken, broken)
		}
		r.changed.Broadcast()
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (r *recorder) write(ctx context.Context, group []entry) (err error) {
	outcomes := make([]outbox.Outcome, len(group))
	for i, e := range group {
		outcomes[i] = e.outcome
	}
	for range recordTries {
		err = func() error {
			ctx, cancel := context.WithTimeout(ctx, recordTime)
			defer cancel()
			return r.outbox.Record(ctx, outcomes...)
		}()
		if err == nil {
			return nil
		}
	}
	return err
}

// told calls what comes after the outcomes of a group. A panic there costs
// nothing but itself: the outcome is written.
func told(group []entry) (err error) {
	for _, e := range group {
		func() {
			defer func() {
				if p := recover(); p != nil {
					err = errors.Join(err, panicked(p))
				}
			}()
			e.after()
		}()
	}
	return err
}

// panicked is the error of a panic.
func panicked(p any) error { return fmt.Errorf("panic: %v\n%s", p, debug.Stack()) }
