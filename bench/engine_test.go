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

// useTaker makes the taker behind a port the profile: STARTTLS with its own
// authority, a sign-in, at most so many connections of all nodes.
func (h *house) useTaker(b *testing.B, s *taker, port, connections int) {
	b.Helper()
	_, err := h.mail.Save(b.Context(), h.grace, mail.Change{
		Kind: mail.KindSMTP, Host: "127.0.0.1", Port: port, Security: smtp.STARTTLS, Auth: mail.AuthTyped,
		Username: takerLogin, Password: mail.Password{Action: mail.Replace, Value: secret.New(takerPassword)},
		Trust:         []mail.Candidate{{DER: s.authority.Root.Raw, Mode: trust.ModeAnchor}},
		SenderAddress: "vault@example.org", SenderName: "Sealpost", Anyway: true, Pace: pace.Limits{Connections: connections},
	})
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

// settled waits until n letters are recorded as accepted.
func (h *house) settled(b *testing.B, n int) {
	b.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(time.Millisecond) {
		accepted := 0
		must(b, h.db.View(b.Context(), func(tx *store.Tx) (err error) {
			accepted, err = store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) },
				`SELECT COUNT(*) FROM outbox_letter WHERE state = 'accepted'`)
			return err
		}))
		if accepted == n {
			return
		}
	}
	b.Fatalf("not all of %d letters are recorded as accepted", n)
}

// The whole engine: eight callers add letters, each in a transaction of its own
// that is on disk when it returns, while delivery sends them over at most four
// connections with STARTTLS and a sign-in and records what came of each.
func BenchmarkEngine(b *testing.B) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		b.Run(string(engine), func(b *testing.B) {
			taker := startTaker(b, true, true)
			h := build(b, storetest.Open(b, engine))
			h.useTaker(b, taker, taker.port, 4)
			h.deliver(b, 4)
			taker.expect(100)
			h.enqueue(b, 100, 8) // connections are open, statements prepared
			taker.arrived(b, patience)
			h.settled(b, 100)
			taker.expect(b.N)
			b.ReportAllocs()
			b.ResetTimer()
			since := used(b)
			h.enqueue(b, b.N, 8)
			taker.arrived(b, 5*time.Minute)
			h.settled(b, 100+b.N)
			b.StopTimer()
			perSecond(b, b.N)
			reportUse(b, since, b.N)
			b.ReportMetric(float64(taker.bytes.Load()), "B/letter")
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
