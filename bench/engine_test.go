package bench

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/delivery"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
	"github.com/sealpost/sealpost/internal/worker"
)

// useSink makes the sink behind a port the profile: STARTTLS with its own
// authority and a sign-in, or neither where it is a clear one, and at most so many
// connections of all nodes.
func (h *house) useSink(b *testing.B, s *fastSink, port, connections int) {
	b.Helper()
	change := mail.Change{
		Kind: mail.KindSMTP, Host: "127.0.0.1", Port: port, Security: smtp.None, Auth: mail.AuthNone,
		SenderAddress: benchFrom, SenderName: "Sealpost", Anyway: true, Pace: pace.Limits{Connections: connections},
	}
	if !s.cfg.Clear {
		change.Security, change.Auth, change.Username = smtp.STARTTLS, mail.AuthTyped, sinkLogin
		change.Password = mail.Password{Action: mail.Replace, Value: secret.New(sinkPassword)}
		change.Trust = []mail.Candidate{{DER: s.root.Raw, Mode: trust.ModeAnchor}}
	}
	_, err := h.mail.Save(b.Context(), h.grace, change)
	must(b, err)
}

// deliver runs an engine as the program does, until the test ends.
func (h *house) deliver(b *testing.B, connections int) {
	b.Helper()
	table, err := verdict.New()
	must(b, err)
	engine, err := delivery.New(delivery.Config{
		Mail: h.mail, Outbox: h.box, Table: table, Pace: pace.New(pace.Config{DB: h.db}), Connections: connections, Log: slog.New(slog.DiscardHandler),
	})
	must(b, err)
	loops := worker.New(slog.New(slog.DiscardHandler))
	h.bell.hang(loops.Add(worker.Loop{Name: "delivery", Every: 5 * time.Second, Run: engine.Run, Wait: engine.Wait}))
	ctx := context.WithoutCancel(b.Context())
	loops.Start(ctx)
	b.Cleanup(func() {
		loops.Stop(ctx)
		_ = engine.Close(ctx)
	})
}

// settled waits until no letter waits, and checks that n were accepted.
func (h *house) settled(b *testing.B, n int) {
	b.Helper()
	ask := func(query string) (answer int) {
		must(b, h.db.View(b.Context(), func(tx *store.Tx) (err error) {
			answer, err = store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) }, query)
			return err
		}))
		return answer
	}
	began := time.Now()
	for ask(`SELECT COUNT(*) FROM (SELECT 1 FROM outbox_letter WHERE ended_at = 0 LIMIT 1) AS waiting`) > 0 {
		if time.Since(began) > patience {
			b.Fatalf("not all of %d letters are done with", n)
		}
		time.Sleep(time.Millisecond)
	}
	if got := ask(`SELECT COUNT(*) FROM outbox_letter WHERE ended_at > 0 AND state = 'accepted'`); got != n {
		b.Fatalf("%d letters are recorded as accepted, want %d", got, n)
	}
}

// The whole engine: eight callers add letters, each in a transaction of its own
// that is on disk when it returns, while delivery sends them over at most four
// connections with STARTTLS and a sign-in and records what came of each.
func BenchmarkEngine(b *testing.B) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		b.Run(string(engine), func(b *testing.B) {
			sink := startSink(b, sinkConfig{Pipelining: true, Chunking: true})
			h := build(b, storetest.Open(b, engine))
			h.useSink(b, sink, sink.port(), 4)
			h.deliver(b, 4)
			sink.expect(100)
			h.enqueue(b, 100, 8) // connections are open, statements prepared
			sink.arrived(b, patience)
			h.settled(b, 100)
			sink.expect(b.N)
			b.ReportAllocs()
			b.ResetTimer()
			since := used(b)
			h.enqueue(b, b.N, 8)
			sink.arrived(b, 5*time.Minute)
			h.settled(b, 100+b.N)
			b.StopTimer()
			perSecond(b, b.N)
			reportUse(b, since, b.N)
			b.ReportMetric(float64(sink.bytes.Load()), "B/letter")
		})
	}
}

// bell wakes the delivery of a house.
type bell struct{ loop atomic.Pointer[worker.Handle] }

func (b *bell) hang(h *worker.Handle) { b.loop.Store(h) }

func (b *bell) ring() {
	if loop := b.loop.Load(); loop != nil {
		loop.Wake()
	}
}
