package bench

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/delivery"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/store"
)

// enqueue adds n invitations to n people, by so many callers at a time, each in
// a transaction of its own.
func (h *house) enqueue(b *testing.B, n, callers int) {
	b.Helper()
	var next atomic.Int64
	var wait sync.WaitGroup
	for range callers {
		wait.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				to := outbox.Recipient{UserID: fmt.Sprintf("u-%d", i), Name: "Ada Lovelace", Address: fmt.Sprintf("ada-%d@example.org", i)}
				err := h.db.Update(b.Context(), func(tx *store.Tx) error {
					_, err := h.box.Add(tx, to, invitation(tx.Now().Add(72*time.Hour)))
					return err
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}

func perSecond(b *testing.B, n int) {
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "letters/s")
}

// used returns what this process has used of the processors so far. The server
// that takes the letters is part of it, PostgreSQL and Postfix are not.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// reportUse reports what a letter used of the processors since.
func reportUse(b *testing.B, since time.Duration, n int) {
	b.Helper()
	b.ReportMetric(float64((used(b)-since).Microseconds())/float64(n), "cpu-µs/letter")
}

// A letter is rendered, sealed and written in the transaction of its cause.
func BenchmarkEnqueue(b *testing.B) {
	for _, callers := range []int{1, 4, 8, 32} {
		b.Run(fmt.Sprintf("callers-%d", callers), func(b *testing.B) {
			eachHouse(b, func(b *testing.B, h *house) {
				h.enqueue(b, 100, callers) // statements are prepared
				b.ResetTimer()
				since := used(b)
				h.enqueue(b, b.N, callers)
				perSecond(b, b.N)
				reportUse(b, since, b.N)
			})
		})
	}
}

// A letter is claimed, opened, built, sent to a server on loopback that forgets
// it, and its outcome written down.
func BenchmarkDeliver(b *testing.B) {
	for _, connections := range []int{1, 2, 8} {
		b.Run(fmt.Sprintf("connections-%d", connections), func(b *testing.B) {
			eachHouse(b, func(b *testing.B, h *house) {
				sink := startSink(b, sinkConfig{Pipelining: true, Chunking: true, Clear: true})
				h.useSink(b, sink, sink.port(), 8)
				h.enqueue(b, b.N, 32)
				must(b, h.db.Update(b.Context(), func(tx *store.Tx) error {
					// What PostgreSQL does by itself when a table grows; here
					// its own upkeep is off.
					_, err := tx.Exec("ANALYZE outbox_letter")
					return err
				}))
				table, err := verdict.New()
				must(b, err)
				engine, err := delivery.New(delivery.Config{
					Mail: h.mail, Outbox: h.box, Table: table, Pace: pace.New(pace.Config{DB: h.db}), Connections: connections, Log: slog.New(slog.DiscardHandler),
				})
				must(b, err)
				b.ResetTimer()
				for more := true; more; {
					more, err = engine.Run(b.Context())
					must(b, err)
				}
				b.StopTimer()
				perSecond(b, b.N)
				must(b, engine.Close(b.Context()))
				if got := sink.taken.Load(); got != int64(b.N) {
					b.Errorf("the server took %d letters of %d", got, b.N)
				}
			})
		})
	}
}
