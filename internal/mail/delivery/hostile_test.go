package delivery_test

import (
	"crypto/tls"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

const (
	// maxGrowth is how much memory a hostile server may cost the whole engine.
	maxGrowth = 8 << 20
	// hold is how long each wait for such a server may take. Content may take
	// what it takes at the slowest rate besides.
	hold        = time.Second
	contentHold = 20 * time.Second
)

// step is something that a client says, and the answer.
type step struct {
	name          string
	hears, answer smtptest.Step
}

// behaviour is something that a server does in place of an answer.
type behaviour struct {
	name string
	what smtptest.Step
}

// exchanges are those of a connection with one letter, one command after
// the other.
func (r *rig) exchanges() []step {
	nothing := func(*smtptest.Talk) error { return nil }
	content := func(t *smtptest.Talk) error {
		_, err := t.Content()
		return err
	}
	all := []step{
		{"greeting", nothing, smtptest.Say("220 hi")},
		{"ehlo", hears("EHLO"), smtptest.Say("250-hi", "250 STARTTLS")},
		{"starttls", hears("STARTTLS"), smtptest.Say("220 go ahead")},
		{"handshake", nothing, smtptest.Handshake(&tls.Config{Certificates: []tls.Certificate{r.cert}})},
		{"ehlo inside", hears("EHLO"), smtptest.Say("250-hi", "250 AUTH PLAIN")},
		{"auth", hears("AUTH"), smtptest.Say("235 welcome")},
		{"mail", hears("MAIL"), smtptest.Say("250 ok")},
		{"rcpt", hears("RCPT"), smtptest.Say("250 ok")},
		{"data", hears("DATA"), smtptest.Say("354 go ahead")},
		{"final", content, smtptest.Say("250 ok")},
	}
	return all
}

// hears waits for a command. A lane for which no letter is left says another one.
func hears(verb string) smtptest.Step {
	return func(t *smtptest.Talk) error {
		line, err := t.Line()
		if err == nil && !strings.HasPrefix(line, verb) {
			err = io.EOF
		}
		return err
	}
}

// hostile is a server that answers well up to a step, and how often it came to
// that.
type hostile struct {
	*smtptest.Server
	came atomic.Int64
}

func startHostile(t testing.TB, all []step, at int, what smtptest.Step) *hostile {
	h := &hostile{}
	var script smtptest.Script
	for _, e := range all[:at] {
		script = append(script, e.hears, e.answer)
	}
	script = append(script, all[at].hears, func(t *smtptest.Talk) error {
		h.came.Add(1)
		if all[at].name == "handshake" {
			// What came before the client's first word would be an injection.
			if err := smtptest.Receive(1)(t); err != nil {
				return err
			}
		}
		return what(t)
	})
	h.Server = smtptest.Start(t, script)
	return h
}

// left tells that a case is left out where there is little time: each engine
// meets each step, and both together all.
func (r *rig) left(at, behaviour, of int) bool {
	if r.db.Engine() == store.Postgres {
		at++
	}
	return !torture() && (at+behaviour)%of != 0
}

// through sends letters through another server.
func (r *rig) through(port int) {
	r.t.Helper()
	r.save(func(c *mail.Change) {
		c.Port, c.Timeouts = port, smtp.Timeouts{Connect: hold, Greeting: hold, Command: hold, Final: hold}
	})
}

// A server that talks without end, in one line or in many, at whatever step,
// costs the engine no memory and no letter.
func TestAHostileServerCostsNoMemory(t *testing.T) {
	// Others must not allocate meanwhile: this test is not one of the parallel
	// ones.
	const gigabyte = 1 << 30
	floods := []behaviour{
		{"lines without end", smtptest.Flood("250-mail.example.org and so on\r\n", gigabyte)},
		{"a gigabyte a line", smtptest.Flood(strings.Repeat("250 aaaaaaaaaaaa", 1000), gigabyte)},
		{"garbage", smtptest.Flood("\x00\xff\x16\x03\x01\r\n", gigabyte)},
	}
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := newRig(t, db, clock)
		var ids []string
		most := uint64(0)
		for at, e := range r.exchanges() {
			for i, flood := range floods {
				if r.left(at, i, 3) {
					continue
				}
				s := startHostile(t, r.exchanges(), at, flood.what)
				r.through(s.Port())
				ids = append(ids, r.add(strings.ReplaceAll(e.name, " ", "-"), news()))
				grown := growth(r.run)
				most = max(most, grown)
				if grown > maxGrowth {
					t.Errorf("%s at %s: memory grew by %d bytes", flood.name, e.name, grown)
				}
				if s.came.Load() == 0 {
					t.Errorf("control: %s at %s: nobody came to it", flood.name, e.name)
				}
				r.wantSafe(ids)
			}
		}
		t.Logf("memory grew by %d kB at most", most>>10)
		r.wantAllAfter(ids)
	})
}

// A server that answers one byte at a time, or not at all, holds a lane no longer
// than its deadline, at whatever step.
func TestAHostileServerHoldsNoLane(t *testing.T) {
	each(t, func(r *rig) {
		var ids []string
		for at, e := range r.exchanges() {
			for i, slow := range []behaviour{
				{"one byte now and then", smtptest.Drip("250-"+strings.Repeat("a", 2000), hold/10)},
				{"silence", smtptest.Silence()},
			} {
				if r.left(at, i, 2) {
					continue
				}
				if e.name == "handshake" && i == 0 {
					// What begins like TLS is waited for.
					slow.what = smtptest.Drip("\x16\x03\x03\x3f\x00"+strings.Repeat("a", 2000), hold/10)
				}
				s := startHostile(r.t, r.exchanges(), at, slow.what)
				r.through(s.Port())
				ids = append(ids, r.add(strings.ReplaceAll(e.name, " ", "-"), news()))
				began := time.Now()
				r.run()
				most := 8 * hold
				if e.name == "final" || e.name == "data" {
					most += contentHold
				}
				took := time.Since(began)
				r.t.Logf("%s at %s: the lane was free after %s", slow.name, e.name, took.Round(time.Millisecond))
				if took > most {
					r.t.Errorf("%s at %s: the lane was free after %s", slow.name, e.name, took)
				}
				if s.came.Load() == 0 {
					r.t.Errorf("control: %s at %s: nobody came to it", slow.name, e.name)
				}
				r.wantSafe(ids)
			}
		}
		r.wantAllAfter(ids)
	})
}

// wantSafe makes sure that letters are still there.
func (r *rig) wantSafe(ids []string) {
	r.t.Helper()
	for _, id := range ids {
		switch row := r.row(id); row.State {
		case outbox.Queued, outbox.Held, outbox.Deferred, outbox.Uncertain:
		default:
			r.t.Errorf("the letter to %s is %s: %s", row.To.Address, row.State, row.Reply)
		}
	}
}

// wantAllAfter makes sure that letters leave once the server is a good one.
func (r *rig) wantAllAfter(ids []string) {
	r.t.Helper()
	r.save(func(*mail.Change) {})
	r.passBy(time.Minute, 8*time.Hour, r.arrived(len(ids)))
	for _, id := range ids {
		r.want(id, outbox.Accepted)
	}
}

// growth returns how many bytes were allocated while f ran. Nothing that is
// allocated can be less than what memory grows by.
func growth(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
