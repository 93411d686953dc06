package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sealpost/sealpost/internal/mail/smtp"
)

// breaking is a connection that panics once so much was written.
type breaking struct {
	net.Conn
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		panic("a wire that breaks")
	}
	return b.Conn.Write(p)
}

// A panic on either side of a window is one of the caller, who can recover from
// it: both sides have come to their end by then, and nothing more is said on the
// connection.
func TestAPanicEndsTheWindowAndNoMore(t *testing.T) {
	large := make([]smtp.Submission, 200)
	for i := range large {
		large[i] = numbered(i, "ada", "ben")
		large[i].Body = append(large[i].Body, strings.Repeat("0123456789\r\n", 1000)...)
	}
	for _, tt := range []struct {
		name string
		// left is how much can be written, next and done are calls that panic.
		left        int
		next, done  int
		wantResults bool
	}{
		{name: "write", left: 900_000, next: -1, done: -1, wantResults: true},
		{name: "next", left: 1 << 30, next: 150, done: -1, wantResults: true},
		{name: "done", left: 1 << 30, next: -1, done: 50},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := startModel(t, honest, both...)
			defer m.stop()
			cfg := m.config()
			dial := cfg.Dial
			cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dial(ctx, network, address)
				return &breaking{conn, tt.left}, err
			}
			c := connect(t, cfg)
			var pulled, told atomic.Int32
			panicked := func() (p any) {
				defer func() { p = recover() }()
				_ = c.Send(t.Context(), func() (smtp.Submission, bool) {
					i := int(pulled.Load())
					if i == tt.next {
						panic("next")
					}
					if i == len(large) {
						return smtp.Submission{}, false
					}
					pulled.Add(1)
					return large[i], true
				}, func(i int, _ smtp.Result) {
					if i == tt.done {
						panic("done")
					}
					told.Add(1)
				})
				return nil
			}()
			if panicked == nil || !strings.Contains(fmt.Sprint(panicked), "goroutine") {
				t.Errorf("Send panicked with %v", panicked)
			}
			if c.Usable() {
				t.Error("the connection is still used")
			}
			if tt.wantResults && told.Load() < pulled.Load()-1 {
				t.Errorf("%d results for %d letters", told.Load(), pulled.Load())
			}
			_ = c.Close()
			m.stop()
			if m.verbs()["QUIT"] != 0 {
				t.Error("QUIT was said where it may be content")
			}
		})
	}
}

// Whoever gives a letter is asked again just before its content leaves: until
// then it may have waited for a long time.
func TestALetterIsWithheldAtTheLastMoment(t *testing.T) {
	for _, announce := range [][]string{nil, {"PIPELINING"}, {"CHUNKING"}, both} {
		for which := range 4 {
			m := startModel(t, honest, announce...)
			c := connect(t, m.config())
			letters := many(4)
			letters[which].BeforeContent = func() bool { return false }
			results, ended := outcomes(t, c, letters...)
			if ended != nil && !errors.Is(ended, smtp.ErrWithheld) {
				t.Errorf("%v, letter %d: the connection ended with %v", announce, which, ended)
			}
			if c.Usable() != (ended == nil) {
				t.Errorf("%v, letter %d: usable is %v after %v", announce, which, c.Usable(), ended)
			}
			_ = c.Close()
			m.stop()
			for i, r := range results {
				_, taken := m.taken[string(letters[i].Body)]
				withheld := r.Err != nil && errors.Is(r.Err, smtp.ErrWithheld) && !r.Err.Uncertain
				if taken == withheld || taken != (r.Err == nil) || i == which && !withheld {
					t.Errorf("%v, letter %d of which %d was withheld: %v, taken is %v", announce, i, which, r.Err, taken)
				}
			}
			if len(results) <= which || ended == nil && len(m.taken) != len(letters)-1 {
				t.Errorf("%v, letter %d: %d results, %d came", announce, which, len(results), len(m.taken))
			}
		}
	}
}
