package delivery

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sealpost/sealpost/internal/mail/outbox"
)

// A panic while outcomes are written costs none of them, and not the process.
func TestAPanicOfTheRecorderKeepsWhatItHad(t *testing.T) {
	r := newRecorder(nil)
	breaks, wrote := true, 0
	r.record = func(_ context.Context, out ...outbox.Outcome) error {
		if breaks {
			panic("a driver that breaks")
		}
		wrote += len(out)
		return nil
	}
	for range mostUnwritten + 10 {
		r.put(t.Context(), entry{after: func() {}})
	}
	if err := r.flush(t.Context()); err == nil || !strings.Contains(err.Error(), "a driver that breaks") || !r.fails() {
		t.Errorf("flush said %v", err)
	}
	breaks = false
	if err := r.flush(t.Context()); err != nil || wrote != mostUnwritten+10 {
		t.Errorf("%d were written, %v", wrote, err)
	}
}

// Whoever waits for a database that does not answer waits until its context ends,
// and whoever has one outcome too many until the rest is hurried.
func TestTheRecorderIsHurried(t *testing.T) {
	r := newRecorder(nil)
	var tries atomic.Int32
	answers := make(chan struct{})
	asked := make(chan struct{}, 10)
	r.record = func(ctx context.Context, _ ...outbox.Outcome) error {
		tries.Add(1)
		asked <- struct{}{}
		select {
		case <-answers:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.put(t.Context(), entry{after: func() {}})
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	flushed := make(chan error)
	go func() { flushed <- r.flush(ctx) }()
	cancel()
	if err := <-flushed; !errors.Is(err, context.Canceled) {
		t.Errorf("flush said %v", err)
	}
	if n := tries.Load(); n != 1 {
		t.Errorf("the database was asked %d times", n)
	}
	if err := r.flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("flush without time said %v", err)
	}
	close(answers)
	if err := r.flush(t.Context()); err != nil || r.fails() {
		t.Errorf("flush said %v", err)
	}
}

// A panic beside the lanes is told, and what goes on beside them goes on.
func TestAPanicBesideTheLanesIsTold(t *testing.T) {
	var log strings.Builder
	e := &Engine{log: slog.New(slog.NewTextHandler(io.Writer(&log), nil))}
	e.safely(func() { panic("a lease that breaks") })
	if !strings.Contains(log.String(), "a lease that breaks") {
		t.Errorf("the log says %q", log.String())
	}
}
