package delivery_test

import (
	"context"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/store"
)

// A letter that was refused leaves its transaction open on many servers. What the
// client says to find out what the server keeps must not reach its recipients.
func TestNobodyGetsWhatIsNoLetter(t *testing.T) {
	eachWindow(t, 1, func(r *rig) {
		var asked atomic.Int32
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "DATA" && asked.Add(1) == 1 {
				return "552 5.3.4 too large"
			}
			return ""
		})
		ids := r.queue(4)
		r.run()
		r.want(ids[0], outbox.Failed)
		for _, id := range ids[1:] {
			r.want(id, outbox.Accepted)
		}
		for _, l := range r.sink.Letters() {
			if !strings.Contains(string(l.Data), "Message-ID:") || l.To[0] == "user0@example.org" {
				r.t.Errorf("%v got %q", l.To, l.Data)
			}
		}
	})
}

// breaking panics once so much was written over all connections.
type breaking struct {
	net.Conn
	left *atomic.Int64
}

func (b breaking) Write(p []byte) (int, error) {
	if n := int64(len(p)); b.left.Add(-n) < 0 && b.left.Swap(1<<50) < 0 {
		panic("a wire that breaks")
	}
	return b.Conn.Write(p)
}

// A panic while a lane claims and sends at the same time ends its stint: the
// process lives, nobody claims on, and what was not in flight leaves later.
func TestAPanicInAStreamEndsTheStint(t *testing.T) {
	eachWindow(t, 1, func(r *rig) {
		var left atomic.Int64
		left.Store(800_000)
		c := r.mailed
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := r.dial(ctx, network, address)
			return breaking{conn, &left}, err
		}
		r.mail = mail.New(c)
		r.cfg.Mail = r.mail
		r.engine = r.newEngine(r.cfg)
		ids := r.queue(300)
		if _, err := r.engine.Run(r.t.Context()); err == nil || !strings.Contains(err.Error(), "a wire that breaks") {
			r.t.Fatalf("got %.200v", err)
		}
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		for _, g := range strings.Split(string(stacks), "\n\n") {
			if strings.Contains(g, r.t.Name()) && (strings.Contains(g, "(*trip).low") || strings.Contains(g, "(*window).head")) {
				r.t.Errorf("after Run is left:\n%s", g)
			}
		}
		for range 3 {
			r.clock.Advance(10 * time.Minute)
			r.run()
		}
		for _, id := range ids {
			r.want(id, outbox.Accepted)
		}
	})
}

// A server that says how many letters it takes on a connection gets each on one
// that takes it. That is no trouble.
func TestAServerThatTakesSoManyLettersOnAConnection(t *testing.T) {
	for _, announce := range [][]string{{"PIPELINING", "CHUNKING", "LIMITS MAILMAX=10"}, {"LIMITS MAILMAX=10"}} {
		t.Run(announce[0], func(t *testing.T) {
			eachServer(t, announce, func(r *rig) {
				r.cfg.Connections = 2
				r.engine = r.newEngine(r.cfg)
				ids := r.queue(45)
				if _, err := r.engine.Run(r.t.Context()); err != nil {
					r.t.Fatal(err)
				}
				r.wantOnce(ids)
				perConnection := map[int]int{}
				for _, l := range r.sink.Letters() {
					perConnection[l.Connection]++
				}
				for c, n := range perConnection {
					if n > 10 {
						r.t.Errorf("connection %d took %d letters", c, n)
					}
				}
				if n := len(perConnection); n > 8 {
					r.t.Errorf("%d connections", n)
				}
				if n := r.engine.Concurrency(); n != 2 {
					r.t.Errorf("%d connections are trusted", n)
				}
				if p := r.wantState(mail.Working); p.Problem != "" {
					r.t.Errorf("the problem is %s", p.Problem)
				}
				if n := r.claims(ids); n > 0 {
					r.t.Errorf("%d letters were given back", n)
				}
			})
		})
	}
}

// claims returns how many claims were made of letters beyond the first.
func (r *rig) claims(ids []string) (n int) {
	r.t.Helper()
	r.must(r.db.View(r.t.Context(), func(tx *store.Tx) (err error) {
		n, err = store.One(tx, func(row store.Row) (n int, err error) { return n, row.Scan(&n) }, "SELECT SUM(attempt) FROM outbox_letter")
		return err
	}))
	return n - len(ids)
}

// A server that lets in and breaks off with letters on the way is trusted with
// fewer connections, once for each that broke.
func TestAConnectionThatBreaksTakesOneAway(t *testing.T) {
	eachWindow(t, 2, func(r *rig) {
		r.queue(1)
		r.run()
		if n := r.engine.Concurrency(); n != 2 {
			r.t.Fatalf("%d connections at first", n)
		}
		r.at(1, func() string { return smtptest.Hangup })
		r.queue(1)
		r.run()
		if n := r.engine.Concurrency(); n != 1 {
			r.t.Errorf("%d connections after one broke", n)
		}
	})
}

// The content of a letter may begin long after the letter was handed over, since
// it waits for the one before. Whoever stops the server meanwhile means this one
// too.
func TestALetterThatWaitedIsLookedAtAgain(t *testing.T) {
	eachServer(t, []string{"PIPELINING"}, func(r *rig) {
		r.cfg.Connections = 1
		r.engine = r.newEngine(r.cfg)
		r.queue(1)
		r.run() // the next claim is of two
		r.at(1, func() string {
			if err := r.mail.Stop(context.Background(), admin, "hijacked"); err != nil {
				r.t.Error(err)
			}
			time.Sleep(1200 * time.Millisecond) // more than a letter stays fresh
			return ""
		})
		ids := r.queue(2)
		r.run()
		r.want(ids[0], outbox.Accepted)
		if row := r.want(ids[1], outbox.Held); row.Attempts != 0 || row.MaybeSent {
			r.t.Errorf("the letter that was withheld took %d attempts", row.Attempts)
		}
		r.server(nil)
		r.must(r.mail.Resume(r.t.Context(), admin))
		r.run()
		r.want(ids[1], outbox.Accepted)
		if n := len(r.sink.Letters()); n != 3 {
			r.t.Errorf("%d letters came", n)
		}
	})
}

// A database that does not answer holds neither a stop nor a close for long, and
// what it did not take is known for as long as the process lives.
func TestAStopDoesNotWaitForTheDatabase(t *testing.T) {
	eachWindow(t, 1, func(r *rig) {
		ctx, stop := context.WithCancel(r.t.Context())
		r.cfg.Grace = 10 * time.Millisecond
		r.engine = r.newEngine(r.cfg)
		r.engine.SetLastWords(100 * time.Millisecond)
		release := make(chan struct{})
		var holding sync.WaitGroup
		r.at(1, func() string {
			held := make(chan struct{})
			holding.Go(func() {
				err := r.db.Update(context.Background(), func(tx *store.Tx) error {
					if r.db.Engine() != store.SQLite {
						if _, err := tx.Exec("LOCK TABLE outbox_letter IN ACCESS EXCLUSIVE MODE"); err != nil {
							return err
						}
					}
					close(held)
					<-release
					return nil
				})
				if err != nil {
					r.t.Error(err)
				}
			})
			<-held
			time.AfterFunc(50*time.Millisecond, stop)
			return ""
		})
		id := r.add("ada", news())
		began := time.Now()
		_, err := r.engine.Run(ctx)
		if took := time.Since(began); err == nil || took > 5*time.Second {
			r.t.Errorf("Run took %s: %v", took, err)
		}
		closing, cancel := context.WithTimeout(r.t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := r.engine.Close(closing); err == nil {
			r.t.Error("nobody was told that the outcome was not written")
		}
		if took := time.Since(began); took > 12*time.Second {
			r.t.Errorf("Close came back after %s", took)
		}
		close(release)
		holding.Wait()
		r.run()
		r.want(id, outbox.Accepted)
		r.wantReceived("ada", 1)
	})
}
