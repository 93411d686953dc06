package smtp_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sealpost/sealpost/internal/mail/smtp"
)

// Whatever letters meet whatever server, and wherever the connection breaks:
// each letter has its result, in order, none is called sent that is not, none is
// given up that was taken, none reaches somebody else's recipients, and no text
// is read as commands.
func TestLettersAndResultsStayTogether(t *testing.T) {
	if os.Getenv("SEALPOST_TORTURE") != "" {
		checks := flag.Lookup("rapid.checks")
		usual := checks.Value.String()
		defer func() { _ = checks.Value.Set(usual) }()
		if err := checks.Value.Set("20000"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		m := startModel(t, rapid.SampledFrom([]trait{
			honest, honest, honest, leavesChunks, noChunks, badOrder, refusesGroups, dropsGroups, keepsOpen, refusesDATA, takesDATA,
		}).Draw(t, "trait"), rapid.SampledFrom([][]string{{"PIPELINING", "CHUNKING"}, {"PIPELINING", "CHUNKING"}, {"PIPELINING"}, {"CHUNKING"}, nil}).Draw(t, "announced")...)
		defer m.stop()
		if rapid.Bool().Draw(t, "breaks") {
			m.cut = rapid.IntRange(1, 60).Draw(t, "cut")
			m.last = rapid.Bool().Draw(t, "421")
		}
		senders := []string{"ada", "ada", "ada", "refused", "later", "spam", "busy"}
		recipients := []string{"ben", "ben", "ben", "refused", "later"}
		letters := make([]smtp.Submission, rapid.IntRange(1, 20).Draw(t, "letters"))
		for i := range letters {
			letters[i] = numbered(i, rapid.SampledFrom(senders).Draw(t, "sender"), rapid.SliceOfN(rapid.SampledFrom(recipients), 1, 3).Draw(t, "recipients")...)
		}
		c, err := smtp.Dial(context.Background(), m.config())
		if err != nil {
			t.Fatal(err)
		}
		// They go in one Send, or in several on the connection.
		var results []smtp.Result
		var ended error
		for sent := 0; sent < len(letters) && ended == nil; {
			n := rapid.IntRange(1, len(letters)-sent).Draw(t, "at once")
			var some []smtp.Result
			some, ended = outcomes(t, c, letters[sent:sent+n]...)
			results = append(results, some...)
			sent += n
		}
		_ = c.Close()
		m.stop()
		if ended != nil && m.cut == 0 && m.trait != dropsGroups && m.trait != refusesGroups {
			t.Fatalf("the connection ended: %v", ended)
		}
		if wrong := m.check(letters, results, ended); wrong != "" {
			t.Fatal(wrong)
		}
	})
}

// A letter that was refused left its transaction open. The probe comes with the
// next letters of the connection, and must not become a letter to its recipients.
func TestTheProbeIsNoLetter(t *testing.T) {
	for _, announce := range [][]string{both, {"CHUNKING"}} {
		for _, trait := range []trait{refusesDATA, keepsOpen} {
			m := startModel(t, trait, announce...)
			letters := many(4)
			letters[0] = numbered(0, "spam", "ben")
			c := connect(t, m.config())
			first, err := outcomes(t, c, letters[0])
			if err != nil {
				t.Fatal(err)
			}
			rest, ended := outcomes(t, c, letters[1:]...)
			_ = c.Close()
			m.stop()
			if wrong := m.check(letters, append(first, rest...), ended); wrong != "" || ended != nil {
				t.Errorf("%s, %v: %s, ended with %v", trait, announce, wrong, ended)
			}
			if m.verbs()["BDAT"] < 2 {
				t.Errorf("%s, %v: no probe was said: %v", trait, announce, m.seen)
			}
		}
	}
}

var both = []string{"PIPELINING", "CHUNKING"}

// connect dials a model.
func connect(t *testing.T, cfg smtp.Config) *smtp.Conn {
	t.Helper()
	c, err := smtp.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// many are n letters that nothing speaks against.
func many(n int) []smtp.Submission {
	letters := make([]smtp.Submission, n)
	for i := range letters {
		letters[i] = numbered(i, "ada", "ben")
	}
	return letters
}

// The connection breaks after each reply in turn, with and without a 421.
func TestAWindowBreaksAfterEachReply(t *testing.T) {
	letters := many(8)
	letters[2] = numbered(2, "refused", "ben")
	letters[4] = numbered(4, "ada", "refused")
	letters[5] = numbered(5, "spam", "ben")
	for cut := 1; cut < 40; cut++ {
		for _, last := range []bool{false, true} {
			m := startModel(t, honest, both...)
			m.cut, m.last = cut, last
			c := connect(t, m.config())
			results, ended := outcomes(t, c, letters...)
			_ = c.Close()
			m.stop()
			if wrong := m.check(letters, results, ended); wrong != "" {
				t.Errorf("cut after %d: %s", cut, wrong)
			}
			certain := 0
			for _, r := range results {
				if r.Err == nil || !r.Err.Uncertain {
					certain++
				}
			}
			if ended == nil && cut < 30 || cut > 12 && certain == 0 {
				t.Errorf("cut after %d: %d of %d are certain, ended with %v", cut, certain, len(results), ended)
			}
		}
	}
}

// A server that has not answered any letter gets as many as the window has, and
// not one more; what it says in the end is matched all the same.
func TestTheWindowIsBounded(t *testing.T) {
	const most = 64
	m := startModel(t, honest, both...)
	defer m.stop()
	var mails atomic.Int32
	var early atomic.Bool
	m.hold = func(c *modelConn) {
		// Letter 2 is answered once everything that fits into the window came.
		if mails.Add(1) != 2 {
			return
		}
		want := strings.Count(evil, "MAIL FROM")
		for n := 0; n < most-10; {
			b, err := c.r.Peek(min(c.r.Buffered()+1, 60<<10))
			if err != nil || len(b) >= 60<<10 {
				break
			}
			n = bytes.Count(b, []byte("BDAT "))
		}
		_ = c.conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		for {
			if _, err := c.r.Peek(c.r.Buffered() + 1); err != nil {
				break
			}
		}
		_ = c.conn.SetReadDeadline(time.Time{})
		b, _ := c.r.Peek(c.r.Buffered())
		if n := bytes.Count(b, []byte("BDAT ")); n > most || want != 1 {
			early.Store(true)
		}
	}
	letters := many(200)
	c := connect(t, m.config())
	results, err := outcomes(t, c, letters...)
	if err != nil || len(results) != len(letters) {
		t.Fatalf("%d results, %v", len(results), err)
	}
	if wrong := m.check(letters, results, nil); wrong != "" {
		t.Error(wrong)
	}
	if early.Load() {
		t.Error("more letters were in flight than the window has")
	}
	if v := m.verbs(); v["BDAT"] != len(letters) || v["DATA"] != 1 { // the probe comes in place of the first
		t.Errorf("said: %v", v)
	}
	_ = c.Close()
}

// A server that writes replies and does not read on until they are taken, and a
// client that writes letters, do not wait for each other for ever.
func TestTwoWritersDoNotWaitForEachOther(t *testing.T) {
	m := startModel(t, honest, both...)
	defer m.stop()
	m.long, m.narrow = 20, true
	letters := many(40)
	for i := range letters {
		letters[i].Body = append(letters[i].Body, bytes.Repeat([]byte(strings.Repeat("x", 98)+"\r\n"), 100)...)
	}
	cfg := m.config()
	cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := m.config().Dial(ctx, network, address)
		if err == nil {
			narrow(conn)
		}
		return conn, err
	}
	c := connect(t, cfg)
	results, err := outcomes(t, c, letters...)
	if err != nil {
		t.Fatal(err)
	}
	if wrong := m.check(letters, results, nil); wrong != "" {
		t.Error(wrong)
	}
	_ = c.Close()
}

// What a server announces and does not keep is noticed by harmless means: no
// letter is lost, none is read as commands, and the next connection does without
// it.
func TestServersThatDoNotKeepWhatTheyAnnounce(t *testing.T) {
	for _, tt := range []struct {
		trait    trait
		announce []string
		// sent tells that the letters of the first connection leave all the same.
		sent bool
		// chunks and groups tell what the second connection still uses.
		chunks, groups bool
	}{
		{honest, both, true, true, true},
		{leavesChunks, both, true, false, true},
		{noChunks, both, true, false, true},
		{badOrder, both, true, false, true},
		{refusesGroups, []string{"PIPELINING"}, true, false, false},
		// What the answers belong to cannot be told here.
		{refusesGroups, both, false, false, false},
		{forgetsGroups, both, false, false, false},
		{dropsGroups, both, false, false, false},
		{noChunks, []string{"CHUNKING"}, true, false, false},
		{leavesChunks, []string{"CHUNKING"}, true, false, false},
		{badOrder, []string{"CHUNKING"}, true, false, false},
		{honest, []string{"CHUNKING"}, true, true, false},
	} {
		t.Run(fmt.Sprintf("%s %v", tt.trait, tt.announce), func(t *testing.T) {
			m := startModel(t, tt.trait, tt.announce...)
			defer m.stop()
			cfg := m.config()
			cfg.Memory = &smtp.Memory{}
			if tt.trait == forgetsGroups {
				cfg.Timeouts.Command = 300 * time.Millisecond
			}
			letters := many(6)
			c := connect(t, cfg)
			results, ended := outcomes(t, c, letters[:3]...)
			_ = c.Close()
			if (ended == nil) != tt.sent {
				t.Errorf("the first connection ended with %v", ended)
			}
			for i, r := range results {
				if (r.Err == nil) != tt.sent || r.Err != nil && r.Err.Uncertain {
					t.Errorf("letter %d: %v", i, r.Err)
				}
			}
			before := m.verbs()
			cfg.Timeouts.Command = 10 * time.Second
			c = connect(t, cfg)
			results, ended = outcomes(t, c, letters[3:]...)
			_ = c.Close()
			if ended != nil {
				t.Fatalf("the second connection ended with %v", ended)
			}
			for i, r := range results {
				if r.Err != nil {
					t.Errorf("letter %d of the second connection: %v", i, r.Err)
				}
			}
			m.stop()
			after := m.verbs()
			if got := after["BDAT"] > before["BDAT"]; got != tt.chunks {
				t.Errorf("BDAT on the second connection: %v", got)
			}
			if got := after["RSET"] > before["RSET"]+1; got != tt.groups {
				t.Errorf("groups on the second connection: %v", got)
			}
			if wrong := m.check(letters[3:], results, nil); wrong != "" {
				t.Error(wrong)
			}
			if _, read := m.taken["Subject: evil\r\n\r\nevil\r\n"]; read {
				t.Error("a text was read as commands")
			}
		})
	}
}

// Without the probe, a server that leaves the octets of a refused chunk reads
// them as commands: a letter is a list of them.
func TestChunksAreCommandsWithoutTheProbe(t *testing.T) {
	m := startModel(t, leavesChunks, both...)
	defer m.stop()
	conn, err := m.config().Dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	l := numbered(1, "ada", "refused")
	fmt.Fprintf(conn, "EHLO x\r\nMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nBDAT %d LAST\r\n%sQUIT\r\n", l.From, l.To[0], len(l.Body), l.Body)
	_, _ = io.Copy(io.Discard, conn)
	if _, read := m.taken["Subject: evil\r\n\r\nevil\r\n"]; !read {
		t.Errorf("control: no text was read as commands: %v", m.seen)
	}
}

// counted counts what is written, and in how many pieces.
type counted struct {
	net.Conn
	sizes []int
}

func (c *counted) Write(p []byte) (int, error) {
	c.sizes = append(c.sizes, len(p))
	return c.Conn.Write(p)
}

// What belongs together leaves in one piece: a peer, or a network, that delays
// what acknowledges a piece before the next one delays nothing.
func TestEachGroupIsOnePiece(t *testing.T) {
	const letters = 20
	for _, tt := range []struct {
		announce []string
		most     int
	}{
		// A group for each letter, content with its dot and the next envelope,
		// and the last content.
		{[]string{"PIPELINING"}, letters + 1},
		// MAIL, RCPT, DATA, and content with its dot.
		{nil, 4 * letters},
		// The first letter shows what the server takes, the rest fits into one.
		{both, 4},
	} {
		m := startModel(t, honest, tt.announce...)
		var conn *counted
		cfg := m.config()
		dial := cfg.Dial
		cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			raw, err := dial(ctx, network, address)
			conn = &counted{Conn: raw}
			return conn, err
		}
		c := connect(t, cfg)
		before := len(conn.sizes)
		results, err := outcomes(t, c, many(letters)...)
		if n := len(conn.sizes) - before; n > tt.most || err != nil || len(results) != letters {
			t.Errorf("%v: %d letters left in %d pieces %v, want %d at most; %v", tt.announce, len(results), n, conn.sizes, tt.most, err)
		}
		_ = c.Close()
		m.stop()
	}
}

// A letter whose recipients are answered one by one, each just in time, does not
// hold the connection for as long as that takes.
func TestALetterHasADeadlineAsAWhole(t *testing.T) {
	for _, announce := range [][]string{nil, {"PIPELINING"}, both} {
		m := startModel(t, honest, announce...)
		m.hold = func(c *modelConn) { c.conn = slow{c.conn} }
		l := numbered(1, "ada", slices.Repeat([]string{"ben"}, 100)...)
		cfg := m.config()
		cfg.Timeouts.Command, cfg.Timeouts.Final = 60*time.Millisecond, 60*time.Millisecond
		c := connect(t, cfg)
		began := time.Now()
		results, err := outcomes(t, c, l)
		if err == nil || results[0].Err.Kind != smtp.KindTimeout || results[0].Err.Uncertain {
			t.Errorf("%v: %v, %+v", announce, err, results)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%v: let go after %s", announce, took)
		}
		m.stop()
	}
}

// slow takes its time for each reply.
type slow struct{ net.Conn }

func (s slow) Write(p []byte) (int, error) {
	time.Sleep(40 * time.Millisecond)
	return s.Conn.Write(p)
}

// Replies that nobody asked for end the connection and cost no memory.
func TestAFloodOfRepliesEndsTheWindow(t *testing.T) {
	for what, flood := range map[string]string{"good ones": "250 2.0.0 ok: queued as 1\r\n", "one without end": "250-more\r\n", "no reply": "xxxxxxxxxxxxxxxxxxxxxxxxxx"} {
		m := startModel(t, honest, both...)
		var once atomic.Bool
		m.hold = func(c *modelConn) {
			if once.Swap(true) {
				piece := []byte(strings.Repeat(flood, 2000))
				for {
					if _, err := c.conn.Write(piece); err != nil {
						return
					}
				}
			}
		}
		letters := many(500)
		var results []smtp.Result
		var err error
		grown := growth(func() {
			c := connect(t, m.config())
			results, err = outcomes(t, c, letters...)
			if err == nil {
				// All letters have found an answer: what is left is too much.
				if c.Alive(t.Context()) {
					t.Errorf("%s: nobody minds", what)
				}
			}
			_ = c.Close()
		})
		if what != "good ones" && (err == nil || asError(err).Kind != smtp.KindProtocol) {
			t.Errorf("%s: %v after %d letters", what, err, len(results))
		}
		if grown > maxGrowth {
			t.Errorf("%s: memory grew by %d bytes", what, grown)
		}
		m.stop()
	}
}

// A server whose answers are one out of step does not pass for one that took the
// letter: what it says of a recipient is no answer to content.
func TestRepliesOutOfStepAreNoticed(t *testing.T) {
	m := startModel(t, honest, both...)
	defer m.stop()
	var mails atomic.Int32
	m.hold = func(c *modelConn) {
		if mails.Add(1) == 3 {
			_, _ = io.WriteString(c.conn, "250 2.1.0 once more\r\n")
		}
	}
	letters := many(5)
	c := connect(t, m.config())
	results, err := outcomes(t, c, letters...)
	if err == nil || results[2].Err == nil || results[2].Err.Kind != smtp.KindProtocol || !results[2].Err.Uncertain {
		t.Errorf("%v, %+v", err, results)
	}
}

// A server that stops reading in the middle of a letter holds nobody, and the
// letter is not uncertain, nor are those behind it.
func TestAServerThatStopsReadingAWindow(t *testing.T) {
	m := startModel(t, honest, both...)
	defer m.stop()
	stopped := make(chan struct{})
	var mails atomic.Int32
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	m.hold = func(*modelConn) {
		if mails.Add(1) == 2 {
			time.AfterFunc(100*time.Millisecond, giveUp)
			<-stopped
		}
	}
	letters := many(4)
	letters[1].Body = append(letters[1].Body, bytes.Repeat([]byte(strings.Repeat("x", 98)+"\r\n"), 200_000)...)
	c := connect(t, m.config())
	var results []smtp.Result
	err := c.Send(ctx, smtp.Each(letters...), func(_ int, r smtp.Result) { results = append(results, r) })
	close(stopped)
	if err == nil || len(results) < 2 || results[0].Err != nil {
		t.Fatalf("%v, %+v", err, results)
	}
	for i, r := range results[1:] {
		if r.Err == nil || r.Err.Uncertain || r.Err.Kind != smtp.KindCancelled {
			t.Errorf("letter %d: %v", i+1, r.Err)
		}
	}
	if c.Usable() {
		t.Error("the connection says that it can be used")
	}
}

// When a connection breaks, each letter that was sent to its end and has no
// answer is uncertain, and no other.
func TestWhatWasSentIsUncertain(t *testing.T) {
	m := startModel(t, honest, both...)
	m.narrow = true
	var mails atomic.Int32
	m.hold = func(c *modelConn) {
		if mails.Add(1) != 4 {
			return
		}
		// The command of the large letter comes behind all that is sent whole.
		for n := 1; ; n = c.r.Buffered() + 1 {
			if b, err := c.r.Peek(n); err != nil || bytes.Count(b, []byte("BDAT ")) == 4 {
				break
			}
		}
		_ = c.conn.Close()
	}
	letters := many(9)
	letters[6].From = "no address"
	letters[7].Body = append(letters[7].Body, bytes.Repeat([]byte(strings.Repeat("x", 98)+"\r\n"), 9000)...)
	cfg := m.config()
	defer m.stop()
	cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := m.config().Dial(ctx, network, address)
		if err == nil {
			narrow(conn)
		}
		return conn, err
	}
	c := connect(t, cfg)
	results, err := outcomes(t, c, letters...)
	if err == nil || len(results) < 8 {
		t.Fatalf("%v, %+v", err, results)
	}
	for i, r := range results {
		e := r.Err
		switch {
		case i < 3 && e != nil:
			t.Errorf("letter %d was answered and is called %v", i, e)
		case i >= 3 && i < 6 && (e == nil || !e.Uncertain || e.Kind != smtp.KindNetwork || e.Stage != smtp.StageContent):
			t.Errorf("letter %d was sent and is called %v", i, e)
		case i == 6 && (e == nil || e.Kind != smtp.KindInput):
			t.Errorf("letter %d cannot be sent and is called %v", i, e)
		case i > 6 && (e == nil || e.Uncertain || e.Kind != smtp.KindNetwork || e.Stage != smtp.StageMail):
			t.Errorf("letter %d was not sent to its end and is called %v", i, e)
		}
	}
}
