package smtp

import (
	"fmt"
	"testing"
	"time"
)

// A memory is bounded, and it is the oldest that goes.
func TestAMemoryIsBounded(t *testing.T) {
	at := time.Now()
	m := &Memory{Now: func() time.Time { return at }}
	server := func(i int) string { return fmt.Sprintf("mail-%d.example.org:25", i) }
	const many = maxRemembered + 100
	for i := range many {
		m.distrust(server(i), chunking, true)
		at = at.Add(time.Second)
	}
	if n := len(m.doubted); n != maxRemembered {
		t.Errorf("%d servers are remembered, want %d", n, maxRemembered)
	}
	if !m.trusts(server(99), chunking) || m.trusts(server(100), chunking) || m.trusts(server(many-1), chunking) {
		t.Error("it is not the oldest that went")
	}
	at = at.Add(3 * sureFor)
	m.distrust(server(0), chunking, true)
	if n := len(m.doubted); n != 1 {
		t.Errorf("%d servers are remembered after three days, want 1", n)
	}
}

// A bad moment costs an hour, a second one a day. Extensions are doubted one by
// one.
func TestADoubtGrows(t *testing.T) {
	at := time.Now()
	m := &Memory{Now: func() time.Time { return at }}
	const server = "mail.example.org:25"
	for _, tt := range []struct {
		later time.Duration
		want  bool
	}{{0, false}, {59 * time.Minute, false}, {2 * time.Minute, true}} {
		if tt.later == 0 {
			m.distrust(server, pipelining, false)
		}
		at = at.Add(tt.later)
		if got := m.trusts(server, pipelining); got != tt.want || !m.trusts(server, chunking) {
			t.Errorf("after the first: %s later: got %v", tt.later, got)
		}
	}
	m.distrust(server, pipelining, false)
	at = at.Add(23 * time.Hour)
	if m.trusts(server, pipelining) {
		t.Error("the second time is forgotten within a day")
	}
	at = at.Add(50 * time.Hour)
	m.distrust(server, pipelining, false)
	at = at.Add(2 * time.Hour)
	if !m.trusts(server, pipelining) {
		t.Error("a bad moment after days counts as the third")
	}
	var none *Memory
	none.distrust(server, chunking, true)
	if !none.trusts(server, chunking) {
		t.Error("nothing is remembered nowhere")
	}
}
