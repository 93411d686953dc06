package delivery_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
)

// denies makes the server say "relaying denied" to some recipients.
func (r *rig) denies(who ...string) {
	r.server(func(a smtptest.Asked) string {
		for _, w := range who {
			if strings.Contains(a.Line, "RCPT TO:<"+w) {
				return "550 5.7.1 relaying denied"
			}
		}
		return ""
	})
}

func TestOneRecipientThatIsDeniedDoesNotPauseMail(t *testing.T) {
	each(t, func(r *rig) {
		r.denies("bad")
		bad := r.add("bad", news())
		ids := r.addMany("one", "two", "three")
		r.run()
		for _, id := range ids {
			r.want(id, outbox.Accepted)
		}
		row := r.want(bad, outbox.Deferred)
		if !strings.Contains(row.Reply, "relaying denied") || !strings.Contains(row.Advice, "does not pass mail on") {
			r.t.Errorf("the journal says %+v", row)
		}
		r.wantState(mail.Working)
		// Alone, later, it still does not.
		r.clock.Set(row.Due)
		r.run()
		if r.want(bad, outbox.Deferred); r.audited("mail.paused") != 0 {
			r.t.Error("a letter that was blamed pauses mail")
		}
		r.wantState(mail.Working)
	})
}

// Once the doubt is settled, work goes on in large steps and the letter's
// outcome does not wait for the rest.
func TestTheDoubtIsSettledByOneLetter(t *testing.T) {
	each(t, func(r *rig) {
		r.denies("bad")
		r.cfg.Connections = 1
		r.engine = r.newEngine(r.cfg)
		bad := r.add("bad", news())
		hangs, goOn := r.hangAt(3)
		r.addMany("a", "b", "c", "d", "e")
		done := make(chan error, 1)
		go func() {
			_, err := r.engine.Run(r.t.Context())
			done <- err
		}()
		<-hangs
		r.want(bad, outbox.Deferred)
		goOn()
		r.must(<-done)
		r.run()
		r.wantReceived("e", 1)
	})
}

func TestADeniedLetterAlonePausesUntilAnotherShowsThatItIsTheLetter(t *testing.T) {
	each(t, func(r *rig) {
		r.denies("bad")
		bad := r.add("bad", news())
		r.run()
		if p := r.wantState(mail.Paused); p.Problem != "relay-denied" {
			r.t.Errorf("the banner says %+v", p)
		}
		if row := r.want(bad, outbox.Held); !strings.Contains(row.Reply, "relaying denied") {
			r.t.Errorf("the journal says %+v", row)
		}
		// A reset must not wait for an hour for the sake of one bad address.
		good := r.add("ada", reset())
		r.run()
		r.want(good, outbox.Accepted)
		r.want(bad, outbox.Deferred)
		r.wantState(mail.Working)
	})
}

func TestAServerThatTakesNothingPausesAndKeepsAll(t *testing.T) {
	each(t, func(r *rig) {
		asked := 0
		var mu sync.Mutex
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "RCPT" {
				mu.Lock()
				asked++
				mu.Unlock()
				return "550 5.7.1 relaying denied"
			}
			return ""
		})
		ids := r.addMany("a", "b", "c", "d", "e", "f", "g", "h")
		r.run()
		r.wantState(mail.Paused)
		if asked > 6 {
			r.t.Errorf("%d letters were tried", asked)
		}
		for _, id := range ids {
			r.want(id, outbox.Held)
		}
		r.clock.Advance(30 * time.Second)
		before := r.sink.Connections()
		r.run()
		if r.sink.Connections() != before {
			r.t.Error("a server that refused several letters was tried before its time")
		}
		r.server(nil)
		r.clock.Advance(time.Minute)
		r.run()
		for _, id := range ids {
			r.want(id, outbox.Accepted)
		}
	})
}

func TestASenderThatIsRefusedPausesAtOnce(t *testing.T) {
	each(t, func(r *rig) {
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "MAIL" {
				return "553 5.7.1 not your address"
			}
			return ""
		})
		ids := r.addMany("a", "b", "c")
		r.run()
		if p := r.wantState(mail.Paused); p.Problem != "class-5xx-mail" || !strings.Contains(p.Reply, "not your address") {
			r.t.Errorf("the banner says %+v", p)
		}
		for _, id := range ids {
			r.want(id, outbox.Held)
		}
		r.server(nil)
		r.must(r.mail.Resume(r.t.Context(), admin))
		r.run()
		for _, id := range ids {
			r.want(id, outbox.Accepted)
		}
	})
}

// A letter that keeps the sender of earlier settings says nothing about those
// of now.
func TestTheOldSenderOfALetterDoesNotPauseTheNewSettings(t *testing.T) {
	each(t, func(r *rig) {
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "CONTENT" && a.N == 1 {
				return smtptest.Hangup
			}
			if a.Verb == "MAIL" && a.N > 1 && strings.Contains(a.Line, "<vault@") {
				return "553 5.7.1 not your address"
			}
			return ""
		})
		old := r.add("old", news())
		r.run()
		r.want(old, outbox.Uncertain)
		r.save(func(c *mail.Change) { c.SenderAddress = "new@example.org" })
		r.clock.Advance(2 * time.Minute)
		fresh := r.add("fresh", news())
		r.run()
		r.wantState(mail.Working)
		r.want(fresh, outbox.Accepted)
		r.want(old, outbox.Deferred)
	})
}
