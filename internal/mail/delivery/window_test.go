package delivery_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/delivery"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/store"
)

// eachWindow is each with a server that takes letters before the ones before
// them are answered, over so many connections.
func eachWindow(t *testing.T, connections int, f func(r *rig)) {
	eachServer(t, []string{"PIPELINING", "CHUNKING", "DSN"}, func(r *rig) {
		r.cfg.Connections = connections
		r.engine = r.newEngine(r.cfg)
		f(r)
	})
}

// at calls f with the content of the nth letter, and lets the server answer what
// it returns.
func (r *rig) at(nth int, f func() string) {
	var mu sync.Mutex
	n := 0
	r.server(func(a smtptest.Asked) string {
		if a.Verb != "CONTENT" {
			return ""
		}
		mu.Lock()
		n++
		is := n == nth
		mu.Unlock()
		if is {
			return f()
		}
		return ""
	})
}

// wantOnce checks that each letter came once, at the first attempt.
func (r *rig) wantOnce(ids []string) {
	r.t.Helper()
	for _, id := range ids {
		if row := r.want(id, outbox.Accepted); row.Attempts != 1 {
			r.t.Errorf("the letter to %s took %d attempts", row.To.Address, row.Attempts)
		}
	}
	times := map[string]int{}
	for _, l := range r.sink.Letters() {
		times[l.To[0]]++
	}
	for to, n := range times {
		if n != 1 {
			r.t.Errorf("%s got %d letters", to, n)
		}
	}
	if len(times) != len(ids) {
		r.t.Errorf("%d of %d letters came", len(times), len(ids))
	}
}

// A backlog opens further connections, and what was claimed comes once.
func TestABacklogLeavesOverSeveralConnections(t *testing.T) {
	eachWindow(t, 4, func(r *rig) {
		ids := r.queue(300)
		r.run()
		r.wantOnce(ids)
		if n := r.sink.Connections(); n < 2 || n > 4 {
			r.t.Errorf("%d connections", n)
		}
	})
}

// A server that takes a long time for each letter is given few at once; that there
// are more shows all the same.
func TestABacklogOfASlowServerLeavesOverSeveralConnections(t *testing.T) {
	eachServer(t, nil, func(r *rig) {
		r.cfg.Connections = 4
		r.engine = r.newEngine(r.cfg)
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "CONTENT" {
				time.Sleep(150 * time.Millisecond) // it is the server that is slow
			}
			return ""
		})
		ids := r.queue(24)
		r.run()
		r.wantOnce(ids)
		if n := r.sink.Connections(); n < 3 || n > 4 {
			r.t.Errorf("%d connections", n)
		}
	})
}

// What is urgent waits for what was claimed at the moment, not for the queue.
func TestAnUrgentLetterOvertakesTheQueue(t *testing.T) {
	eachWindow(t, 1, func(r *rig) {
		r.at(40, func() string {
			err := r.db.Update(context.Background(), func(tx *store.Tx) error {
				_, err := r.box.Add(tx, outbox.Recipient{UserID: "u-locked-out", Name: "Ada", Address: "locked-out@example.org"}, reset())
				return err
			})
			if err != nil {
				r.t.Error(err)
			}
			return ""
		})
		r.queue(200)
		r.run()
		for i, l := range r.sink.Letters() {
			// Sixty-four left before the next ones were claimed.
			if l.To[0] == "locked-out@example.org" && i > 64 {
				r.t.Errorf("it came behind %d others", i)
			}
		}
		r.wantReceived("locked-out", 1)
	})
}

// What the connection had is finished, and the rest was never tried.
func TestAStopInTheMiddleOfAWindow(t *testing.T) {
	eachWindow(t, 1, func(r *rig) {
		ctx, stop := context.WithCancel(r.t.Context())
		r.at(20, func() string { stop(); return "" })
		ids := r.queue(100)
		for more := true; more; {
			var err error
			more, err = r.engine.Run(ctx)
			r.must(err)
		}
		accepted := 0
		for _, id := range ids {
			row := r.row(id)
			switch {
			case row.State == outbox.Accepted:
				accepted++
			case row.State != outbox.Queued || row.Attempts != 0 || row.MaybeSent:
				r.t.Errorf("a letter that was not begun is %s after %d attempts", row.State, row.Attempts)
			}
		}
		if accepted < 20 || accepted > 31 {
			r.t.Errorf("%d letters left, want those of the window", accepted)
		}
		r.run()
		r.wantOnce(ids)
	})
}

// "The relay is hijacked, stop!" holds for a window too: what is in flight ends,
// and no further letter begins.
func TestAStoppedServerGetsNoFurtherWindow(t *testing.T) {
	eachWindow(t, 1, func(r *rig) {
		r.at(20, func() string {
			if err := r.mail.Stop(context.Background(), admin, "hijacked"); err != nil {
				r.t.Error(err)
			}
			return ""
		})
		ids := r.queue(100)
		r.run()
		if n := len(r.sink.Letters()); n < 20 || n > 31 {
			r.t.Errorf("%d letters left", n)
		}
		r.must(r.mail.Resume(r.t.Context(), admin))
		r.run()
		r.wantOnce(ids)
	})
}

// A server that closes each connection after ten letters turns some away whose
// content it was sent already. It is seen to do so twice at most.
func TestAServerThatHangsUpAfterSoManyLettersInAWindow(t *testing.T) {
	eachWindow(t, 1, func(r *rig) {
		perConnection := map[int]int{}
		var mu sync.Mutex
		r.server(func(a smtptest.Asked) string {
			mu.Lock()
			defer mu.Unlock()
			if a.Verb == "MAIL" {
				if perConnection[a.N]++; perConnection[a.N] > 10 {
					return "421 4.7.0 enough for now"
				}
			}
			return ""
		})
		ids := r.queue(80)
		for range 10 {
			r.run()
			r.clock.Advance(2 * time.Second)
		}
		flagged := 0
		for _, id := range ids {
			row := r.want(id, outbox.Accepted)
			if row.Attempts > 1 {
				flagged++
				if _, attempts, err := r.box.Get(r.t.Context(), admin, id); err != nil || attempts[len(attempts)-1].State != outbox.Uncertain {
					r.t.Errorf("it took %d attempts: %v", len(attempts), err)
				}
			}
		}
		if n := len(r.sink.Letters()); n != 80 {
			r.t.Errorf("%d letters came", n)
		}
		if flagged > 2*32 {
			r.t.Errorf("%d letters were turned away", flagged)
		}
		closed := 0
		for _, n := range perConnection {
			if n > 10 {
				closed++
			}
		}
		if closed > 2 {
			r.t.Errorf("it closed %d connections", closed)
		}
	})
}

// A connection that breaks makes those uncertain that the server may have, and
// no others; each comes again with the same bytes.
func TestAConnectionThatBreaksInTheMiddleOfAWindow(t *testing.T) {
	eachWindow(t, 1, func(r *rig) {
		r.at(20, func() string { return smtptest.Hangup })
		ids := r.queue(60)
		r.run()
		for range 5 {
			r.clock.Advance(3 * time.Minute)
			r.run()
		}
		copies := map[string][][]byte{}
		for _, l := range r.sink.Letters() {
			copies[l.To[0]] = append(copies[l.To[0]], l.Data)
		}
		uncertain := 0
		for _, id := range ids {
			row := r.want(id, outbox.Accepted)
			all := copies[row.To.Address]
			if len(all) > 1 && (row.Attempts < 2 || !bytes.Equal(all[0], all[1])) {
				r.t.Errorf("%s got %d letters in %d attempts, or they differ", row.To.Address, len(all), row.Attempts)
			}
			if row.Attempts > 1 {
				uncertain++
			}
		}
		if uncertain < 1 || uncertain > 16 {
			r.t.Errorf("%d letters were uncertain", uncertain)
		}
		if p := r.wantState(mail.Working); p.Problem != "" || r.audited("mail.paused") != 0 {
			r.t.Errorf("one connection that broke is shown as %q", p.Problem)
		}
	})
}

// One refusal among many is its letter's alone.
func TestARefusalInTheMiddleOfAWindow(t *testing.T) {
	eachWindow(t, 1, func(r *rig) {
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "RCPT" && strings.Contains(a.Line, "<user33@") {
				return "550 5.1.1 no such user"
			}
			return ""
		})
		ids := r.queue(80)
		r.run()
		r.want(ids[33], outbox.Failed)
		for i, id := range ids {
			if i != 33 {
				r.want(id, outbox.Accepted)
			}
		}
	})
}

// A process that slept beyond its lease begins no letter that was claimed before:
// another one has it by now.
func TestALeaseThatIsOverLetsNoLetterBegin(t *testing.T) {
	each(t, func(r *rig) {
		hangs, goOn := r.hangAt(2)
		r.cfg.Connections, r.cfg.Lease = 1, 400*time.Millisecond
		r.engine = r.newEngine(r.cfg)
		ids := r.addMany("a", "b", "c")
		done := make(chan error, 1)
		go func() {
			_, err := r.engine.Run(r.t.Context())
			if err == nil {
				_, err = r.engine.Run(r.t.Context())
			}
			done <- err
		}()
		<-hangs // b is with the server, c is claimed
		other := r.newEngine(r.cfg)
		for r.row(ids[2]).State != outbox.Accepted {
			// The one that sleeps may have renewed its leases a moment ago.
			r.update(func(tx *store.Tx) error {
				_, err := tx.Exec(`UPDATE outbox_letter SET lease_until = 1 WHERE state = 'sending'`)
				return err
			})
			for more := true; more; {
				var err error
				more, err = other.Run(r.t.Context())
				r.must(err)
			}
		}
		slept := time.Now()
		for time.Since(slept) < r.cfg.Lease {
			r.pause()
		}
		goOn()
		r.must(<-done)
		r.wantReceived("b", 2) // it was with the server
		r.wantReceived("c", 1)
		for _, id := range ids[1:] {
			if row := r.want(id, outbox.Accepted); !row.MaybeSent || row.Attempts != 2 {
				r.t.Errorf("the journal says %+v", row)
			}
		}
	})
}

// signer signs with the newest key.
type signer struct {
	mu  sync.Mutex
	key string
}

func (s *signer) set(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = key
}

func (s *signer) Key(_ context.Context, slot outbox.Slot, domain string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key + " of " + domain + " for " + string(slot), nil
}

func (s *signer) Sign(_ context.Context, key string, message []byte, at time.Time) ([]byte, error) {
	if strings.HasPrefix(key, "broken") {
		return nil, fmt.Errorf("no key %q", key)
	}
	return append([]byte(fmt.Sprintf("X-Signed: %s at %d\r\n", key, at.Unix())), message...), nil
}

func TestLettersAreSignedAndReportedBackToTheirOwnAddress(t *testing.T) {
	eachWindow(t, 1, func(r *rig) {
		keys := &signer{key: "k1"}
		r.cfg.Signer = keys
		r.cfg.Return = func(id, from string) delivery.Return {
			return delivery.Return{From: "bounce+" + id + "@example.org", Ask: true, EnvID: "envelope-" + id}
		}
		r.engine = r.newEngine(r.cfg)
		var mu sync.Mutex
		var said []string
		first := true
		r.server(func(a smtptest.Asked) string {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, a.Line)
			if a.Verb == "CONTENT" && first {
				first = false
				return smtptest.Hangup
			}
			return ""
		})
		id := r.add("ada", news())
		r.run()
		r.want(id, outbox.Uncertain)
		keys.set("k2")
		r.clock.Advance(2 * time.Minute)
		r.run()
		r.want(id, outbox.Accepted)
		got := r.received("ada")
		if len(got) != 2 || !bytes.Equal(got[0], got[1]) || !bytes.HasPrefix(got[0], []byte("X-Signed: k1 of example.org for main at ")) {
			r.t.Errorf("got %d letters, or they differ:\n%.200s", len(got), bytes.Join(got, []byte("\n---\n")))
		}
		all := strings.Join(said, "\n")
		for _, want := range []string{"FROM:<bounce+" + id + "@example.org>", "ENVID=envelope-" + id, "NOTIFY=FAILURE,DELAY"} {
			if !strings.Contains(all, want) {
				r.t.Errorf("%q was not said:\n%s", want, all)
			}
		}
		// A key that does not sign keeps the letter, and no other one.
		keys.set("broken")
		unsigned := r.add("bob", news())
		r.run()
		if row := r.want(unsigned, outbox.Deferred); !strings.Contains(row.Advice, "signing key") {
			r.t.Errorf("the journal says %+v", row)
		}
		keys.set("k3")
		r.clock.Advance(2 * time.Minute)
		r.run()
		r.want(unsigned, outbox.Accepted)
	})
}

// The log follows a letter from the request that caused it to the server's reply.
func TestTheLogFollowsALetter(t *testing.T) {
	each(t, func(r *rig) {
		var mu sync.Mutex
		var log bytes.Buffer
		r.cfg.Log = slog.New(slog.NewTextHandler(locked{&mu, &log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
		r.engine = r.newEngine(r.cfg)
		r.server(func(a smtptest.Asked) string {
			if strings.Contains(a.Line, "RCPT TO:<bad@") {
				return "550 5.1.1 no such user"
			}
			return ""
		})
		ctx := actor.WithTrace(r.t.Context(), "trace-1")
		r.must(r.db.Update(ctx, func(tx *store.Tx) error {
			for _, who := range []string{"good", "bad"} {
				if _, err := r.box.Add(tx, outbox.Recipient{Name: "Ada", Address: who + "@example.org"}, news()); err != nil {
					return err
				}
			}
			return nil
		}))
		r.run()
		mu.Lock()
		defer mu.Unlock()
		for _, want := range []string{
			`level=DEBUG msg="a letter was accepted" state=accepted`, `level=INFO msg="a letter was not accepted" state=failed`,
			"trace=trace-1", "queue_id=0001", `reply="550 5.1.1 no such user"`, "message_id=<",
		} {
			if !strings.Contains(log.String(), want) {
				r.t.Errorf("the log lacks %s:\n%s", want, log.String())
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, e := range r.events {
			if e.What == "letter" && (e.Trace != "trace-1" || e.Attempt != 1 || e.Took <= 0 || e.Slot != outbox.Main) {
				r.t.Errorf("the event says %+v", e)
			}
		}
	})
}

// locked is a buffer that several goroutines write to.
type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}
