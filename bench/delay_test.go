package bench

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// distance is a relay that makes a server stand further away: each byte takes
// half a round trip each way, and as many are on their way as are written.
type distance struct {
	to       string
	half     time.Duration
	listener net.Listener
	running  sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

// maxOnTheWay is how many pieces of up to pieceSize bytes are on their way in
// one direction. It is far above what a client keeps in flight.
const (
	maxOnTheWay = 4096
	pieceSize   = 64 << 10
)

// far puts a round trip between clients and a server, until the benchmark ends.
func far(tb testing.TB, to string, roundTrip time.Duration) *distance {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	d := &distance{to: to, half: roundTrip / 2, listener: listener}
	d.running.Go(d.accept)
	tb.Cleanup(func() {
		_ = listener.Close()
		d.mu.Lock()
		for _, c := range d.conns {
			_ = c.Close()
		}
		d.mu.Unlock()
		d.running.Wait()
	})
	return d
}

// dial connects to the server over the distance, whatever the address says.
func (d *distance) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, d.listener.Addr().String())
}

// port is where it listens on 127.0.0.1.
func (d *distance) port() int { return d.listener.Addr().(*net.TCPAddr).Port }

func (d *distance) accept() {
	for {
		near, err := d.listener.Accept()
		if err != nil {
			return
		}
		other, err := net.Dial("tcp", d.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		d.mu.Lock()
		d.conns = append(d.conns, near, other)
		d.mu.Unlock()
		d.carry(near, other)
		d.carry(other, near)
	}
}

// carry takes bytes from one side to the other, late.
func (d *distance) carry(from, to net.Conn) {
	type piece struct {
		bytes []byte
		due   time.Time
	}
	way := make(chan piece, maxOnTheWay)
	d.running.Go(func() {
		defer close(way)
		buf := make([]byte, pieceSize)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				way <- piece{append([]byte(nil), buf[:n]...), time.Now().Add(d.half)}
			}
			if err != nil {
				return
			}
		}
	})
	d.running.Go(func() {
		var err error
		for p := range way {
			if err != nil {
				continue
			}
			time.Sleep(time.Until(p.due))
			_, err = to.Write(p.bytes)
		}
		if c, ok := to.(*net.TCPConn); ok && (err == nil || err == io.EOF) {
			_ = c.CloseWrite()
		}
	})
}
