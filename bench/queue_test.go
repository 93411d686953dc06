package bench

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
)

// longestQueue is how many letters wait in the longest queue that is measured;
// SEALPOST_QUEUE says otherwise.
func longestQueue(b *testing.B) int {
	n, err := strconv.Atoi(os.Getenv("SEALPOST_QUEUE"))
	if err != nil {
		n = 100_000
	}
	if n < 1000 {
		b.Fatal("SEALPOST_QUEUE is too short to be a queue")
	}
	return n
}

// What waits does not matter: with a thousand letters in the queue, and with ten
// and more times as many, it costs the same to add letters, and to claim them and
// record what came of them. The memory of the process is that above what it held
// before there were letters.
func BenchmarkQueue(b *testing.B) {
	eachHouse(b, func(b *testing.B, h *house) {
		h.useSink(b)
		debug.FreeOSMemory()
		idle := resident(b)
		var lengths []int
		for n := longestQueue(b); n >= 1000; n /= 10 {
			lengths = append([]int{n}, lengths...)
		}
		waiting := 0
		for _, n := range lengths {
			b.Run(fmt.Sprintf("waiting-%d", n), func(b *testing.B) {
				h.lengthen(b, waiting, n)
				waiting = n
				debug.FreeOSMemory()
				const some = 2560
				began := time.Now()
				h.enqueue(b, some, 32)
				added := time.Since(began)
				began = time.Now()
				for done := 0; done < some; {
					claims, err := h.box.Claim(b.Context(), outbox.Main, 256, time.Minute, "{}")
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
				claimed := time.Since(began)
				b.ReportMetric(float64(added.Microseconds())/some, "µs/added")
				b.ReportMetric(float64(claimed.Microseconds())/some, "µs/claimed")
				b.ReportMetric(resident(b)-idle, "MiB-above-idle")
				b.ReportMetric(0, "ns/op")
			})
		}
	})
}

// lengthen makes the queue longer by copies of a letter that are less urgent than
// all that a benchmark adds. They have its size, and nobody will open them.
func (h *house) lengthen(b *testing.B, from, to int) {
	b.Helper()
	const at = 20_000
	h.enqueue(b, 1, 1)
	for ; from < to; from += at {
		must(b, h.db.Update(b.Context(), func(tx *store.Tx) error {
			id, err := store.One(tx, func(r store.Row) (s string, err error) { return s, r.Scan(&s) }, `SELECT id FROM outbox_letter WHERE class < 5`)
			if err != nil {
				return err
			}
			_, err = tx.Exec(`INSERT INTO outbox_letter (id, message_id, kind, class, user_id, to_address, to_name, subject, sealed, sender, state, maybe_sent,
					merged, attempt, added_at, not_before, expires_at, lease_until, changed_at, stage, code, enhanced, reply, advice, queue_id, server)
				WITH RECURSIVE n (i) AS (SELECT CAST($2 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < CAST($3 AS BIGINT))
				SELECT '0-' || CAST(1000000000 + i AS TEXT), '<' || CAST(1000000000 + i AS TEXT) || '@example.org>', kind, 5, 'w-' || CAST(i AS TEXT),
					CAST(i AS TEXT) || '@example.org', to_name, subject, sealed, sender, state, maybe_sent, merged, attempt, added_at, not_before,
					expires_at, lease_until, changed_at, stage, code, enhanced, reply, advice, queue_id, server
				FROM outbox_letter, n WHERE id = $1`, id, int64(from), int64(min(from+at, to)-1))
			return err
		}))
	}
	must(b, h.db.Update(b.Context(), func(tx *store.Tx) error {
		if _, err := tx.Exec(`DELETE FROM outbox_letter WHERE class < 5`); err != nil {
			return err
		}
		_, err := tx.Exec("ANALYZE outbox_letter")
		return err
	}))
}

// resident returns the memory that this process holds, in MiB.
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
