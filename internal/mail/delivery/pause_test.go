package delivery_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
)

// The password of the account changes in the vault and at the server while mail
// is flowing. Nobody restarts anything.
func TestThePasswordChangesWhileMailIsFlowing(t *testing.T) {
	each(t, func(r *rig) {
		var ids, who []string
		add := func(n int) {
			for range n {
				name := fmt.Sprintf("user%d", len(who))
				who = append(who, name)
				ids = append(ids, r.add(name, news()))
			}
		}
		add(5)
		var mu sync.Mutex
		letters, newest, old := 0, 0, 0
		r.server(func(a smtptest.Asked) string {
			mu.Lock()
			defer mu.Unlock()
			newest = max(newest, a.N)
			if a.Verb != "CONTENT" {
				return ""
			}
			if letters++; letters == 3 {
				old = newest
				// In the middle of it all.
				r.sink.SetPassword("second")
				r.vault.set("second")
			}
			return ""
		})
		r.run()
		add(5)
		r.run()
		for _, l := range r.sink.Letters()[5:] {
			if l.Connection <= old {
				r.t.Error("a connection made with the old password was used again")
			}
		}
		for i, id := range ids {
			r.want(id, outbox.Accepted)
			r.wantReceived(who[i], 1)
		}
		if r.wantState(mail.Working); r.audited("mail.paused") != 0 {
			r.t.Error("mail was paused")
		}
	})
}

func TestAWrongPasswordPausesAndMendsByItself(t *testing.T) {
	each(t, func(r *rig) {
		r.add("before", news())
		r.run()
		r.wantReceived("before", 1)
		// The server gets another password, the vault does not.
		r.sink.SetPassword("second")
		r.clock.Advance(10 * time.Minute) // the old connection is too old
		ids := r.addMany("ada", "bob")
		r.run()
		p := r.wantState(mail.Paused)
		if p.Problem != "auth-refused" || !strings.Contains(p.Reason, "refuses user name or password") || !strings.Contains(p.Advice, "set its new password there") || !strings.Contains(p.Reply, "535") {
			r.t.Errorf("the banner says %+v", p)
		}
		for _, id := range ids {
			if row := r.want(id, outbox.Held); row.Attempts != 0 {
				r.t.Errorf("the pause cost %d attempts", row.Attempts)
			}
		}
		if r.audited("mail.paused") != 1 {
			r.t.Error("the pause is not audited")
		}
		before := r.sink.Connections()
		r.clock.Advance(30 * time.Second)
		r.run()
		if r.sink.Connections() != before {
			r.t.Error("the server was tried before its time")
		}
		// Set right in the vault: the next turn tries at once.
		r.vault.set("second")
		r.run()
		r.wantState(mail.Working)
		for _, id := range ids {
			r.want(id, outbox.Accepted)
		}
		if r.audited("mail.resumed") != 1 {
			r.t.Error("the end of the pause is not audited")
		}
	})
}

// Where letters are what is refused, each probe signs in and each next letter is
// refused again. Who is told of pauses hears of one.
func TestLettersThatAreRefusedHourAfterHourAreOnePause(t *testing.T) {
	each(t, func(r *rig) {
		var mended atomic.Bool
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "CONTENT" && !mended.Load() {
				return "554 5.2.252 SendAsDenied; robot not allowed to send as vault"
			}
			return ""
		})
		ids := r.queue(4)
		r.passBy(30*time.Second, 5*time.Hour, nil)
		if p := r.wantState(mail.Paused); p.Problem != "ms-sendas-252" || r.seen("probe", "ok") < 5 {
			r.t.Errorf("it shows %q after %d probes", p.Problem, r.seen("probe", "ok"))
		}
		if paused, resumed := r.audited("mail.paused"), r.audited("mail.resumed"); paused != 1 || resumed != 0 {
			r.t.Errorf("%d pauses and %d ends are told", paused, resumed)
		}
		mended.Store(true)
		r.passBy(30*time.Second, 2*time.Hour, r.arrived(4))
		for _, id := range ids {
			r.want(id, outbox.Accepted)
		}
		if paused, resumed := r.audited("mail.paused"), r.audited("mail.resumed"); paused != 1 || resumed != 1 || r.wantState(mail.Working).Problem != "" {
			r.t.Errorf("%d pauses and %d ends are told", paused, resumed)
		}
	})
}

func TestARefusalReadsThePasswordOnceMore(t *testing.T) {
	each(t, func(r *rig) {
		r.sink.SetPassword("second")
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "EHLO" && a.N == 1 {
				// The vault changes after the password was read.
				r.vault.mu.Lock()
				old := r.vault.password == "first"
				r.vault.mu.Unlock()
				if old {
					r.vault.set("second")
				}
			}
			return ""
		})
		id := r.add("ada", news())
		r.run()
		r.want(id, outbox.Accepted)
		if r.sink.Connections() != 2 || r.audited("mail.paused") != 0 {
			r.t.Error("mail was paused for a password that had changed")
		}
	})
}

func TestAPausedServerIsProbedWithARealSignIn(t *testing.T) {
	each(t, func(r *rig) {
		r.sink.SetPassword("second")
		id := r.add("ada", news())
		r.run()
		r.wantState(mail.Paused)
		for i, wait := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, time.Hour} {
			before := r.sink.Connections()
			r.clock.Advance(wait - time.Second)
			r.run()
			if r.sink.Connections() != before {
				r.t.Fatalf("probe %d came before %v", i+1, wait)
			}
			r.clock.Advance(time.Second)
			r.run()
			if got := r.sink.Connections(); got != before+1 {
				r.t.Fatalf("probe %d made %d connections", i+1, got-before)
			}
			r.wantState(mail.Paused)
		}
		if r.audited("mail.paused") != 1 || r.seen("probe", "failed") != 5 {
			r.t.Error("each probe was audited as a pause, or was not told")
		}
		r.sink.SetPassword("first")
		r.clock.Advance(time.Hour)
		before := r.sink.Connections()
		r.run()
		r.wantState(mail.Working)
		r.want(id, outbox.Accepted)
		if r.sink.Connections() != before+1 || r.seen("probe", "ok") != 1 {
			r.t.Error("the connection of the probe was not used for the letter")
		}
	})
}

func TestAProblemOfTheSettingsPausesWithoutAConnection(t *testing.T) {
	each(t, func(r *rig) {
		r.save(func(c *mail.Change) { c.AccountID = "gone" })
		id := r.add("ada", news())
		r.run()
		if p := r.wantState(mail.Paused); p.Problem != mail.RowAccountGone || p.Advice == "" {
			r.t.Errorf("the banner says %+v", p)
		}
		if r.sink.Connections() != 0 {
			r.t.Error("a connection without a password was made")
		}
		r.save(func(*mail.Change) {})
		r.run()
		r.want(id, outbox.Accepted)
	})
}

func TestAServerOutOfReachIsLeftAloneAndThenPaused(t *testing.T) {
	each(t, func(r *rig) {
		r.setDown(true)
		id := r.add("ada", news())
		began := r.clock.Now()
		var tries []time.Duration
		for r.profile().State == mail.Working && r.clock.Now().Before(began.Add(20*time.Minute)) {
			before := r.seen("connection", "failed")
			r.run()
			if r.seen("connection", "failed") > before {
				tries = append(tries, r.clock.Now().Sub(began))
			}
			r.want(id, map[mail.State]outbox.State{mail.Working: outbox.Queued, mail.Paused: outbox.Held}[r.profile().State])
			if p := r.profile(); p.State == mail.Working && (p.Problem != "refused" || p.Reason == "") {
				r.t.Fatalf("pages show nothing of the trouble: %+v", p)
			}
			r.clock.Advance(time.Second)
		}
		if len(tries) != 6 || tries[5] < 5*time.Minute || tries[5] > 5*time.Minute+2*time.Second {
			r.t.Errorf("the server was tried after %v", tries)
		}
		if tries[1] < 4*time.Second || tries[1] > 7*time.Second {
			r.t.Errorf("the second try came after %v", tries[1])
		}
		p := r.wantState(mail.Paused)
		if p.Problem != "refused" || p.Reason == "" || r.row(id).Attempts != 0 || r.audited("mail.paused") != 1 {
			r.t.Errorf("the pause says %+v", p)
		}
		r.setDown(false)
		r.clock.Advance(2 * time.Minute)
		r.run()
		r.wantState(mail.Working)
		r.want(id, outbox.Accepted)
	})
}

func TestAShortTroubleEndsWithTheNextLetter(t *testing.T) {
	each(t, func(r *rig) {
		r.setDown(true)
		id := r.add("ada", news())
		r.run()
		r.setDown(false)
		r.run()
		r.want(id, outbox.Queued)
		r.clock.Advance(7 * time.Second)
		r.run()
		r.want(id, outbox.Accepted)
		if p := r.wantState(mail.Working); p.Problem != "" || p.Reason != "" {
			r.t.Errorf("the trouble is still shown: %+v", p)
		}
	})
}

func TestChangedSettingsAreTriedAtOnce(t *testing.T) {
	each(t, func(r *rig) {
		r.save(func(c *mail.Change) { c.Port = 1 })
		id := r.add("ada", news())
		r.run()
		r.want(id, outbox.Queued)
		r.save(func(*mail.Change) {})
		r.run()
		r.want(id, outbox.Accepted)
	})
}

func TestAServerThatGreetsWithTroubleIsLeftAlone(t *testing.T) {
	each(t, func(r *rig) {
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "CONNECT" && a.N == 1 {
				return "421 4.3.2 not now"
			}
			return ""
		})
		id := r.add("ada", news())
		r.run()
		if p := r.wantState(mail.Working); p.Problem != "class-421" || !strings.Contains(p.Reply, "not now") {
			r.t.Errorf("pages show %+v", p)
		}
		r.clock.Advance(7 * time.Second)
		r.run()
		if row := r.want(id, outbox.Accepted); row.Attempts != 1 {
			r.t.Errorf("%d attempts", row.Attempts)
		}
	})
}

// A letter at which the server breaks off must not come first for ever.
func TestALetterThatBreaksTheConnectionDoesNotBlockOthers(t *testing.T) {
	each(t, func(r *rig) {
		r.server(func(a smtptest.Asked) string {
			if strings.Contains(a.Line, "RCPT TO:<poison@") {
				return smtptest.Hangup
			}
			return ""
		})
		poison := r.add("poison", news())
		good := r.add("ada", news())
		r.run()
		r.want(good, outbox.Accepted)
		if row := r.want(poison, outbox.Deferred); row.Stage != "rcpt" || row.Advice == "" {
			r.t.Errorf("the journal says %+v", row)
		}
		// Alone, again and again, it neither pauses the server nor keeps a
		// letter that comes later waiting.
		for i := range 6 {
			r.clock.Set(r.row(poison).Due)
			r.run()
			r.wantState(mail.Working)
			r.clock.Advance(6 * time.Second)
			later := r.add(fmt.Sprintf("later%d", i), reset())
			r.run()
			r.want(later, outbox.Accepted)
		}
		if got := r.want(poison, outbox.Deferred).Attempts; got != 7 {
			r.t.Errorf("%d attempts", got)
		}
	})
}

func TestAServerThatBreaksOffEachTimeIsShown(t *testing.T) {
	each(t, func(r *rig) {
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "DATA" {
				return smtptest.Hangup
			}
			return ""
		})
		ids := r.addMany("a", "b", "c", "d", "e", "f")
		r.run()
		if p := r.wantState(mail.Working); p.Problem != "network" || p.Reason == "" {
			r.t.Errorf("pages show %+v", p)
		}
		if got := r.seen("letter", "deferred"); got > 4 {
			r.t.Errorf("%d letters were tried in a row", got)
		}
		r.server(nil)
		for range 8 {
			r.clock.Advance(30 * time.Second)
			r.run()
		}
		for _, id := range ids {
			r.want(id, outbox.Accepted)
		}
		if p := r.wantState(mail.Working); p.Problem != "" {
			r.t.Errorf("pages still show %+v", p)
		}
	})
}

func TestLettersPutOffOneAfterTheOtherSlowDown(t *testing.T) {
	each(t, func(r *rig) {
		mails := 0
		var mu sync.Mutex
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "MAIL" {
				mu.Lock()
				mails++
				mu.Unlock()
				return "452 4.3.1 no space"
			}
			return ""
		})
		r.cfg.Connections = 1
		r.engine = r.newEngine(r.cfg)
		var who []string
		for i := range 12 {
			who = append(who, fmt.Sprintf("user%d", i))
		}
		ids := r.addMany(who...)
		r.run()
		if mails != 3 {
			r.t.Errorf("a full server was asked %d times in a row", mails)
		}
		r.want(ids[0], outbox.Deferred)
		if row := r.want(ids[11], outbox.Queued); row.Attempts > 1 {
			r.t.Errorf("%d attempts", row.Attempts)
		}
		r.server(nil)
		for range 20 {
			r.clock.Advance(20 * time.Second)
			r.run()
		}
		for _, id := range ids {
			r.want(id, outbox.Accepted)
		}
	})
}
