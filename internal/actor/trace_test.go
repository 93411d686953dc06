package actor_test

import (
	"context"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
)

func TestTracesAreDistinctAndInOrder(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	seen := map[string]bool{}
	last := ""
	for i := range 1000 {
		id := actor.NewTrace(at.Add(time.Duration(i) * time.Millisecond))
		if !actor.IsTrace(id) || len(id) != actor.TraceLength {
			t.Fatalf("%q is no trace id", id)
		}
		if id <= last {
			t.Fatalf("%q follows %q", id, last)
		}
		last = id
	}
	for range 1000 {
		seen[actor.NewTrace(at)] = true
	}
	if len(seen) != 1000 {
		t.Errorf("1000 ids of one moment, %d distinct", len(seen))
	}
}

func TestWhatIsNoTrace(t *testing.T) {
	for _, text := range []string{"", "short", "ABCDEFGHIJKLMNOP", "abcdefghijklmnoz", "0123456789abcdef0", "0123456789abcde'"} {
		if actor.IsTrace(text) {
			t.Errorf("%q passes for a trace id", text)
		}
	}
}

func TestATraceTravelsInTheContext(t *testing.T) {
	if got := actor.Trace(context.Background()); got != "" {
		t.Errorf("nobody's context has trace %q", got)
	}
	if got := actor.Trace(actor.WithTrace(context.Background(), "0123456789abcdef")); got != "0123456789abcdef" {
		t.Errorf("got %q", got)
	}
}
