package live_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/web/live"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// question counts how often it is asked and answers when told to.
type question struct {
	asked   atomic.Int64
	answers chan int
}

func (q *question) ask(ctx context.Context, _ bool) (int, bool, error) {
	q.asked.Add(1)
	select {
	case n := <-q.answers:
		return n, true, nil
	case <-ctx.Done():
		return 0, false, ctx.Err()
	}
}

func listen(t *testing.T, h *live.Hub[int], who string) *live.Listener[int] {
	t.Helper()
	l, err := h.Listen(t.Context(), who)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func hub(t *testing.T, c live.Config[int]) *live.Hub[int] {
	c.Log, c.Every = slog.New(slog.DiscardHandler), time.Millisecond
	h := live.New(c)
	t.Cleanup(h.Close)
	return h
}

func TestOneQuestionServesAllListeners(t *testing.T) {
	q := &question{answers: make(chan int)}
	h := hub(t, live.Config[int]{Ask: q.ask})
	var all []*live.Listener[int]
	for i := range 100 {
		all = append(all, listen(t, h, fmt.Sprintf("user-%d", i)))
	}
	for n := range 3 {
		q.answers <- n
		for _, l := range all {
			if got := <-l.C; got != n {
				t.Fatalf("got answer %d, want %d", got, n)
			}
		}
	}
	// The fourth question may be asked already.
	if n := q.asked.Load(); n > 4 {
		t.Errorf("100 listeners made %d questions of 3 answers", n)
	}
	late := listen(t, h, "late")
	if got := <-late.C; got != 2 {
		t.Errorf("a late listener begins with %d", got)
	}
}

func TestNothingIsAskedWithoutListeners(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	h := hub(t, live.Config[int]{Ask: func(ctx context.Context, first bool) (int, bool, error) {
		if !first {
			t.Error("the question began without saying so")
		}
		began <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return 0, false, ctx.Err()
	}})
	for range 3 {
		l := listen(t, h, "ada")
		<-began
		l.Close()
		l.Close()
		if _, open := <-l.C; open {
			t.Error("a closed listener still hears")
		}
		<-ended
	}
}

func TestListenersAreBounded(t *testing.T) {
	q := &question{answers: make(chan int)}
	h := hub(t, live.Config[int]{Ask: q.ask, Most: 3, MostEach: 2})
	a := listen(t, h, "ada")
	listen(t, h, "ada")
	if _, err := h.Listen(t.Context(), "ada"); !fault.Is(err, fault.KindUnavailable) {
		t.Errorf("a third page of one person: %v", err)
	}
	listen(t, h, "grace")
	if _, err := h.Listen(t.Context(), "linus"); !fault.Is(err, fault.KindUnavailable) {
		t.Errorf("a fourth listener: %v", err)
	}
	a.Close()
	listen(t, h, "ada")
}

func TestWhoDoesNotKeepUpIsCutOff(t *testing.T) {
	q := &question{answers: make(chan int)}
	h := hub(t, live.Config[int]{Ask: q.ask, MostEach: 1})
	slow := listen(t, h, "slow")
	quick := listen(t, h, "quick")
	for n := range 17 { // one more than the backlog
		q.answers <- n
		<-quick.C
	}
	heard := 0
	for range slow.C {
		heard++
	}
	if heard != 16 {
		t.Errorf("the slow one heard %d answers before it was cut off", heard)
	}
	listen(t, h, "slow") // its place is free again
}

func TestFailuresAndPanicsDoNotEndTheAsking(t *testing.T) {
	turn := 0
	h := hub(t, live.Config[int]{Ask: func(context.Context, bool) (int, bool, error) {
		turn++
		switch turn {
		case 1:
			return 0, false, errors.New("the database is away")
		case 2:
			panic("a mistake")
		}
		return turn, turn == 3, nil
	}})
	if got := <-listen(t, h, "ada").C; got != 3 {
		t.Errorf("got %d", got)
	}
}

func TestTheEndOfTheHubEndsAll(t *testing.T) {
	q := &question{answers: make(chan int)}
	h := live.New(live.Config[int]{Ask: q.ask})
	l := listen(t, h, "ada")
	h.Close()
	if _, open := <-l.C; open {
		t.Error("a listener outlives the hub")
	}
	if _, err := h.Listen(t.Context(), "ada"); !fault.Is(err, fault.KindUnavailable) {
		t.Errorf("listening to a hub that ended: %v", err)
	}
}
