package bench

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealpost/sealpost/test/peers"
)

// feed submits n letters to the server at port over so many connections at a
// time and returns once each was acknowledged. A connection sends content and
// the next envelope in one piece, so that the round trip is waited for once a
// letter.
func feed(b *testing.B, port, n, connections, size int) {
	b.Helper()
	var next atomic.Int64
	var wait sync.WaitGroup
	for range connections {
		wait.Go(func() {
			if err := feedOne(port, &next, int64(n), size); err != nil {
				b.Error(err)
			}
		})
	}
	wait.Wait()
}

func feedOne(port int, next *atomic.Int64, n int64, size int) error {
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	w := bufio.NewWriterSize(conn, 64<<10)
	if err := expect(r, w, "", "220"); err != nil {
		return err
	}
	if err := expect(r, w, "EHLO feeder.example.org\r\n", "250"); err != nil {
		return err
	}
	envelope := func(i int64) string {
		return fmt.Sprintf("MAIL FROM:<vault@example.org>\r\nRCPT TO:<ada-%d@example.org>\r\nDATA\r\n", i)
	}
	i := next.Add(1)
	for said := envelope(i); i <= n; {
		for _, want := range []string{"250", "250", "354"} {
			if err := expect(r, w, said, want); err != nil {
				return err
			}
			said = ""
		}
		said = plainLetter(i, size) + ".\r\n"
		if i = next.Add(1); i <= n {
			said += envelope(i)
		}
		// The rest of what it says answers the next envelope.
		if err := expect(r, w, said, "250"); err != nil {
			return err
		}
		said = ""
	}
	return expect(r, w, "QUIT\r\n", "")
}

// expect says something, and wants the reply to begin with the code.
func expect(r *bufio.Reader, w *bufio.Writer, say, want string) error {
	if say != "" {
		_, _ = w.WriteString(say)
		if err := w.Flush(); err != nil {
			return err
		}
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, want) {
			return fmt.Errorf("the server said %q, want %s", line, want)
		}
		if len(line) < 4 || line[3] != '-' {
			return nil
		}
	}
}

// plainLetter is a letter of so many bytes.
func plainLetter(i int64, size int) string {
	head := fmt.Sprintf("Date: Sun, 01 Mar 2026 09:30:00 +0000\r\nFrom: Sealpost <vault@example.org>\r\nTo: Ada Lovelace <ada-%d@example.org>\r\n"+
		"Subject: Your account\r\nMessage-ID: <%d@vault.example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n", i, i)
	const line = "Nobody will ever ask you for this code or for your password, by no way.\r\n"
	return head + strings.Repeat(line, max(size-len(head)+len(line)-1, 0)/len(line))
}

// Postfix takes letters in from eight clients and relays them at the same time,
// over at most four connections with STARTTLS that it uses again.
func BenchmarkPostfixRelay(b *testing.B) {
	sink := startSink(b, sinkConfig{Pipelining: true, Chunking: true, Open: true})
	relay := peers.PostfixRelay(b, sink.port())
	sink.expect(200)
	feed(b, relay.Port, 200, 8, letterSize) // its processes have started
	sink.arrived(b, time.Minute)
	sink.expect(b.N)
	b.ResetTimer()
	began := time.Now()
	feed(b, relay.Port, b.N, 8, letterSize)
	last := sink.arrived(b, 5*time.Minute)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/last.Sub(began).Seconds(), "letters/s")
	b.ReportMetric(float64(sink.bytes.Load()), "B/letter")
}

// Postfix writes letters to its queue, where they stay on hold.
func BenchmarkPostfixInsert(b *testing.B) {
	for _, writers := range []int{1, 4} {
		b.Run(fmt.Sprintf("writers-%d", writers), func(b *testing.B) {
			relay := peers.PostfixRelay(b, 0)
			feed(b, relay.Port, 20*writers, writers, letterSize)
			b.ResetTimer()
			feed(b, relay.Port, b.N, writers, letterSize)
			perSecond(b, b.N)
		})
	}
}

// letterSize is what a letter of the engine's benchmark has on its way, in
// bytes.
const letterSize = 5000
