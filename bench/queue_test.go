package bench

import (
	"fmt"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// longestQueue is how many letters wait in the longest queue that is measured;
// SEALPOST_QUEUE says otherwise.
func longestQueue(b *testing.B) int {
	text := os.Getenv("SEALPOST_QUEUE")
	if text == "" {
		return 100_000
	}
	n, err := strconv.Atoi(text)
	must(b, err)
	if n < 10_000 {
		b.Fatal("SEALPOST_QUEUE is too short to be a queue")
	}
	return n
}

// What waits does not matter. With ten thousand letters in the queue, and with
// ten and more times as many, it is measured what it costs to add further ones
// and to claim the first ones, how quickly all of them leave for a server that is
// quick, and what memory the process has at most meanwhile, above what it had
// before there were letters. The server that takes them is in that process.
func BenchmarkQueue(b *testing.B) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		for n, most := 10_000, longestQueue(b); n <= most; n *= 10 {
			b.Run(fmt.Sprintf("%s/waiting-%d", engine, n), func(b *testing.B) { drain(b, engine, n) })
		}
	}
}

func drain(b *testing.B, engine store.Engine, n int) {
	sink := startSink(b, sinkConfig{Pipelining: true, Chunking: true})
	h := build(b, storetest.Open(b, engine))
	h.useSink(b, sink, sink.port(), 4)
	debug.FreeOSMemory()
	idle := memory{heap(), resident(b)}
	h.fill(b, n)
	const some = 2560
	began := time.Now()
	h.enqueue(b, some, 32)
	added := time.Since(began)
	claimed := h.take(b, some)
	debug.FreeOSMemory()

	sink.expect(n)
	from := sink.taken.Load()
	b.ResetTimer()
	h.deliver(b, 4)
	var peak memory
	var tenth, last time.Duration
	for began, at := time.Now(), int64(0); at < int64(n); time.Sleep(5 * time.Millisecond) {
		at = sink.taken.Load() - from
		peak.grow(memory{heap(), resident(b)})
		if tenth == 0 && at >= int64(n/10) {
			tenth = time.Since(began)
		}
		if last == 0 && at >= int64(n-n/10) {
			last = time.Since(began)
		}
		if time.Since(began) > 20*time.Minute {
			b.Fatalf("%d letters of %d left", at, n)
		}
	}
	sink.arrived(b, patience)
	h.settled(b, n+some)
	b.StopTimer()
	all := b.Elapsed()
	perSecond(b, n)
	b.ReportMetric(float64(added.Microseconds())/some, "µs/added")
	b.ReportMetric(float64(claimed.Microseconds())/some, "µs/claimed")
	b.ReportMetric(float64(n/10)/tenth.Seconds(), "first-tenth/s")
	b.ReportMetric(float64(n/10)/(all-last).Seconds(), "last-tenth/s")
	b.ReportMetric(peak.heap-idle.heap, "MiB-heap")
	b.ReportMetric(peak.resident-idle.resident, "MiB-resident")
	b.ReportMetric(0, "ns/op")
}

// fill adds n letters, many in one transaction, whose recipients have nothing
// else waiting. PostgreSQL, whose own upkeep is off in tests, looks at the table
// now and then, as it does where it runs; SQLite has to do without that.
func (h *house) fill(b *testing.B, n int) {
	b.Helper()
	const at = 500
	look := at
	for from := 0; from < n; from += at {
		must(b, h.db.Update(b.Context(), func(tx *store.Tx) error {
			for i := from; i < min(from+at, n); i++ {
				to := outbox.Recipient{UserID: fmt.Sprintf("w-%d", i), Name: "Ada Lovelace", Address: fmt.Sprintf("w-%d@example.org", i)}
				if _, err := h.box.Add(tx, to, invitation(tx.Now().Add(72*time.Hour))); err != nil {
					return err
				}
			}
			return nil
		}))
		if h.db.Engine() == store.Postgres && (from+at >= look || from+at >= n) {
			look *= 2
			must(b, h.db.Update(b.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec("ANALYZE outbox_letter")
				return err
			}))
		}
	}
}

// take claims n letters, the first of the queue, as many at a time as delivery
// does at most, and returns how long the claims took. They count as accepted.
func (h *house) take(b *testing.B, n int) (took time.Duration) {
	b.Helper()
	for done := 0; done < n; {
		began := time.Now()
		claims, err := h.box.Claim(b.Context(), outbox.Main, min(256, n-done), time.Minute, "{}")
		took += time.Since(began)
		must(b, err)
		outcomes := make([]outbox.Outcome, len(claims))
		for i, c := range claims {
			outcomes[i] = outbox.Outcome{ID: c.ID, Attempt: c.Attempt, State: outbox.Accepted}
		}
		must(b, h.box.Record(b.Context(), outcomes...))
		if done += len(claims); len(claims) == 0 {
			b.Fatal("nothing is due")
		}
	}
	return took
}

// memory is what the process has, in MiB: objects of Go, dead ones that were not
// collected yet among them, and what the kernel counts, where SQLite's pages and
// everything else is as well.
type memory struct{ heap, resident float64 }

func (m *memory) grow(to memory) {
	m.heap, m.resident = max(m.heap, to.heap), max(m.resident, to.resident)
}

func heap() float64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return float64(sample[0].Value.Uint64()) / (1 << 20)
}

// resident returns the memory that the kernel counts for this process, in MiB.
func resident(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	must(b, err)
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(text)[0])
			must(b, err)
			return float64(kib) / 1024
		}
	}
	b.Fatal("the kernel does not say how much memory the process has")
	return 0
}
