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
	// lastWords is how long the database may take over what is left to write once
	// the grace after a stop is over.
	lastWords = 5 * time.Second
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
	record func(context.Context, ...outbox.Outcome) error

	mu      sync.Mutex
	changed *sync.Cond
	waiting []entry
	// came and written count outcomes.
	came, written int64
	running       bool
	// cancel ends the try that runs, ending tells that it did; hurried tells that
	// there is one try only.
	cancel          context.CancelFunc
	ending, hurried bool
	// stuck is why those that wait were not written; broken is what went wrong
	// after others were.
	stuck, broken error
}

func newRecorder(o *outbox.Outbox) *recorder {
	r := &recorder{record: o.Record}
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
		r.running, r.ending = true, false
		ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
		go r.run(ctx)
	}
}

// flush waits until all that came is written, at most until ctx ends, and returns
// why it is not. What was kept is tried again.
func (r *recorder) flush(ctx context.Context) error {
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { r.hurry(); close(over) })
	defer func() {
		if !stop() {
			<-over // it must not break off what comes later
		}
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.running && r.ending && ctx.Err() == nil {
		r.changed.Wait()
	}
	if ctx.Err() == nil {
		r.start(ctx)
	}
	end := r.came
	for r.written < end && r.stuck == nil && ctx.Err() == nil {
		r.changed.Wait()
	}
	err := errors.Join(r.stuck, r.broken)
	if err == nil && r.written < end {
		err = ctx.Err()
	}
	r.broken = nil
	return err
}

// hurry breaks off what the database does not answer. From then on it is asked
// once, and for a short time, until calm.
func (r *recorder) hurry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hurried = true
	if r.running {
		r.ending = true
		r.cancel()
	}
	r.changed.Broadcast()
}

func (r *recorder) calm() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hurried = false
}

// patience is how often the database is asked, and how long each time.
func (r *recorder) patience() (tries int, each time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hurried {
		return 1, lastWords
	}
	return recordTries, recordTime
}

// fails tells that the database does not take outcomes.
func (r *recorder) fails() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stuck != nil
}

// run writes groups until none waits, one cannot be written, or ctx ends.
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
	tries, each := r.patience()
	for range tries {
		err = func() (err error) {
			ctx, cancel := context.WithTimeout(ctx, each)
			defer cancel()
			defer func() {
				if p := recover(); p != nil {
					err = panicked(p)
				}
			}()
			return r.record(ctx, outcomes...)
		}()
		if err == nil || ctx.Err() != nil {
			return err
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

// safely runs what goes on beside the lanes. A panic there is told, and the rest
// goes on: leases that are not renewed let nothing begin.
func (e *Engine) safely(f func()) {
	defer func() {
		if p := recover(); p != nil {
			e.log.Error("something failed beside the delivery of letters", "err", panicked(p))
		}
	}()
	f()
}

// panicked is the error of a panic.
func panicked(p any) error { return fmt.Errorf("panic: %v\n%s", p, debug.Stack()) }
