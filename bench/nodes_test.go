package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// Nodes that share a PostgreSQL deliver what waits, over two connections each, to
// a server 30 ms away that offers PIPELINING and no CHUNKING: a connection waits
// for one round trip a letter, so that connections are the limit, and neither the
// server nor the two cores on which all of this runs.
func BenchmarkNodes(b *testing.B) {
	const each = 2
	for _, nodes := range []int{1, 2} {
		b.Run(fmt.Sprintf("nodes-%d", nodes), func(b *testing.B) {
			taker := startTaker(b, true, false)
			config := storetest.Config(b, store.Postgres, nil)
			first := build(b, storetest.OpenConfig(b, config))
			first.useTaker(b, taker, far(b, fmt.Sprintf("127.0.0.1:%d", taker.port), 30*time.Millisecond).port(), each*nodes)
			first.enqueue(b, b.N, 8)
			taker.expect(b.N)
			b.ResetTimer()
			first.deliver(b, each)
			for range nodes - 1 {
				join(b, storetest.OpenConfig(b, config)).deliver(b, each)
			}
			taker.arrived(b, 5*time.Minute)
			first.settled(b, b.N)
			b.StopTimer()
			perSecond(b, b.N)
		})
	}
}
