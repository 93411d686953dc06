package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sealpost/sealpost/internal/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, l worker.Loop) *worker.Handle {
	g := worker.New(slog.New(slog.DiscardHandler))
	h := g.Add(l)
	g.Start(t.Context())
	t.Cleanup(func() {
		if err := g.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func TestALoopRunsAtStartAndWhenWoken(t *testing.T) {
	runs := make(chan int)
	n := 0
	h := start(t, worker.Loop{Name: "x", Every: time.Hour, Run: func(ctx context.Context) (bool, error) {
		n++
		select {
		case runs <- n:
		case <-ctx.Done():
		}
		return false, nil
	}})
	<-runs
	h.Wake()
	if got := <-runs; got != 2 {
		t.Errorf("got run %d", got)
	}
}

func TestMoreWorkIsDoneAtOnce(t *testing.T) {
	done := make(chan struct{})
	n := 0
	start(t, worker.Loop{Name: "x", Every: time.Hour, Run: func(context.Context) (bool, error) {
		if n++; n == 3 {
			close(done)
		}
		return n < 3, nil
	}})
	<-done
}

func TestAPanicAndAnErrorDoNotEndTheLoop(t *testing.T) {
	runs := make(chan int)
	n := 0
	h := start(t, worker.Loop{Name: "x", Every: time.Hour, Run: func(ctx context.Context) (bool, error) {
		n++
		select {
		case runs <- n:
		case <-ctx.Done():
			return false, nil
		}
		if n == 1 {
			panic("first")
		}
		return true, errors.New("second")
	}})
	<-runs
	h.Wake()
	<-runs
	h.Wake()
	<-runs
}

func TestStopWaitsForTheRunInFlight(t *testing.T) {
	g := worker.New(slog.New(slog.DiscardHandler))
	begun, release := make(chan struct{}), make(chan struct{})
	g.Add(worker.Loop{Name: "x", Every: time.Hour, Run: func(context.Context) (bool, error) {
		close(begun)
		<-release
		return false, nil
	}})
	g.Start(t.Context())
	<-begun
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Stop(ended); err == nil {
		t.Error("Stop did not say that work is still in flight")
	}
	close(release)
	if err := g.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestALoopComesBackWhenItsWorkWantsIt(t *testing.T) {
	runs := make(chan int)
	n := 0
	waits := []time.Duration{time.Millisecond, 0, 0}
	h := start(t, worker.Loop{
		Name: "x", Every: time.Hour,
		Run: func(ctx context.Context) (bool, error) {
			n++
			select {
			case runs <- n:
			case <-ctx.Done():
			}
			return false, nil
		},
		Wait: func() time.Duration {
			wait := waits[0]
			waits = waits[1:]
			return wait
		},
	})
	<-runs
	// Nobody wakes it: the hour is cut short.
	if got := <-runs; got != 2 {
		t.Errorf("got run %d", got)
	}
	// Now it wants nothing, and only a wake makes it come.
	h.Wake()
	if got := <-runs; got != 3 {
		t.Errorf("got run %d", got)
	}
}
