package bench

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// nodeURL and nodeConnections tell a process of BenchmarkNodes that it is a node:
// of which database, and with how many connections to the mail server.
const (
	nodeURL         = "SEALPOST_BENCH_NODE"
	nodeConnections = "SEALPOST_BENCH_CONNECTIONS"
)

// Nodes that share a PostgreSQL deliver what waits. Each is a process of its own.
// A second node is worth what it adds to one node that has the connections of
// both, which stands beside it.
//
// Far: two connections a node to a server 30 ms away that offers PIPELINING and
// no CHUNKING. A connection waits for one round trip a letter, so that connections
// are the limit. Near: four connections a node, as shipped, to a server on
// loopback with CHUNKING. The processors are the limit, which all share.
func BenchmarkNodes(b *testing.B) {
	if url := os.Getenv(nodeURL); url != "" {
		beNode(b, url)
		return
	}
	for _, place := range []struct {
		name        string
		sink        sinkConfig
		roundTrip   time.Duration
		connections int
		// times is how many letters there are for one of b.N.
		times int
	}{
		{"far", sinkConfig{Pipelining: true}, 30 * time.Millisecond, 2, 1},
		{"near", sinkConfig{Pipelining: true, Chunking: true}, 0, 4, 5},
	} {
		for _, c := range []struct{ nodes, connections int }{
			{1, place.connections}, {1, 2 * place.connections}, {2, place.connections},
		} {
			b.Run(fmt.Sprintf("%s/nodes-%d-of-%d-connections", place.name, c.nodes, c.connections), func(b *testing.B) {
				sink := startSink(b, place.sink)
				port := sink.port()
				if place.roundTrip > 0 {
					port = far(b, sink.listener.Addr().String(), place.roundTrip).port()
				}
				config := storetest.Config(b, store.Postgres, nil)
				h := build(b, storetest.OpenConfig(b, config))
				h.useSink(b, sink, port, 2*place.connections)
				n := b.N * place.times
				h.enqueue(b, n, 8)
				sink.expect(n)
				var begin []func()
				for range c.nodes {
					begin = append(begin, startNode(b, config.URL.Reveal(), c.connections))
				}
				b.ResetTimer()
				for _, f := range begin {
					f()
				}
				sink.arrived(b, 5*time.Minute)
				h.settled(b, n)
				b.StopTimer()
				perSecond(b, n)
			})
		}
	}
}

// startNode starts a process that is a node and returns once it is ready to
// deliver; begin lets it. It ends with the benchmark.
func startNode(b *testing.B, url string, connections int) (begin func()) {
	b.Helper()
	ready, say, err := os.Pipe()
	must(b, err)
	defer ready.Close()
	defer say.Close()
	node := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkNodes$", "-test.benchtime=1x")
	node.Env = append(os.Environ(), nodeURL+"="+url, nodeConnections+"="+strconv.Itoa(connections))
	node.ExtraFiles = []*os.File{say}
	node.Stderr = os.Stderr
	order, err := node.StdinPipe()
	must(b, err)
	must(b, node.Start())
	b.Cleanup(func() {
		_ = order.Close()
		if err := node.Wait(); err != nil {
			b.Errorf("a node ended badly: %v", err)
		}
	})
	_ = say.Close()
	if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
		b.Fatalf("a node did not start: %v", err)
	}
	return func() {
		_, err := order.Write([]byte{1})
		must(b, err)
	}
}

// beNode is a node until standard input ends, as it does with the process that
// started it. It says on file 3 that it is ready, and begins at a byte.
func beNode(b *testing.B, url string) {
	connections, err := strconv.Atoi(os.Getenv(nodeConnections))
	must(b, err)
	h := join(b, storetest.OpenConfig(b, store.Config{URL: secret.New(url)}))
	ready := os.NewFile(3, "ready")
	_, err = ready.Write([]byte{1})
	must(b, err)
	must(b, ready.Close())
	if _, err := io.ReadFull(os.Stdin, make([]byte, 1)); err != nil {
		return
	}
	h.deliver(b, connections)
	_, _ = io.Copy(io.Discard, os.Stdin)
}
