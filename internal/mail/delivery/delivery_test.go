package delivery_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/capture"
	"github.com/sealpost/sealpost/internal/mail/delivery"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/store"
)

func TestALetterArrivesAndTheJournalTellsSo(t *testing.T) {
	each(t, func(r *rig) {
		id := r.add("ada", news())
		r.run()
		got := r.received("ada")
		if len(got) != 1 {
			r.t.Fatalf("got %d letters", len(got))
		}
		row := r.want(id, outbox.Accepted)
		for _, want := range []string{"Message-ID: " + row.MessageID, "From: \"Vault\" <vault@example.org>", "To: \"Ada\" <ada@example.org>", "Date: Sun, 01 Mar 2026 09:00:00 +0000"} {
			if !bytes.Contains(got[0], []byte(want+"\r\n")) {
				r.t.Errorf("the letter lacks %q", want)
			}
		}
		if row.Code != 250 || row.QueueID != "0001" || row.Stage != "content" || row.Advice == "" || row.Server != r.profile().Server() || row.Attempts != 1 {
			r.t.Errorf("the journal says %+v", row)
		}
		if l := r.sink.Letters()[0]; l.From != "vault@example.org" || !l.Encrypted || l.Login != "robot" {
			r.t.Errorf("it was sent as %+v", l)
		}
		if r.profile().LastAccepted.IsZero() || r.seen("letter", "accepted") != 1 || r.seen("connection", "ok") != 1 {
			r.t.Error("nobody was told")
		}
	})
}

func TestAnAnswerThatWasLostRepeatsTheSameBytes(t *testing.T) {
	each(t, func(r *rig) {
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "CONTENT" && a.N == 1 {
				return smtptest.Hangup
			}
			return ""
		})
		id := r.add("ada", news())
		r.run()
		row := r.want(id, outbox.Uncertain)
		if !row.MaybeSent || row.Stage != "content" || !strings.Contains(row.Advice, "same Message-ID") {
			r.t.Errorf("the journal says %+v", row)
		}
		// Between the attempts somebody changes who letters come from.
		r.save(func(c *mail.Change) { c.SenderName, c.SenderAddress = "Another", "another@example.org" })
		r.clock.Advance(2 * time.Minute)
		r.run()
		r.want(id, outbox.Accepted)
		got := r.received("ada")
		if len(got) != 2 || !bytes.Equal(got[0], got[1]) {
			r.t.Fatalf("the %d attempts differ:\n%s", len(got), bytes.Join(got, []byte("\n---\n")))
		}
		if from := r.sink.Letters()[1].From; from != "vault@example.org" {
			r.t.Errorf("the second attempt came from %s", from)
		}
		// A letter that was never begun has the new sender.
		r.add("bob", news())
		r.run()
		if got := r.received("bob"); len(got) != 1 || !bytes.Contains(got[0], []byte("another@example.org")) {
			r.t.Error("a new letter has the old sender")
		}
	})
}

// A filter that delivers and loses each answer must not fill a mailbox: after a
// few copies the letter waits long.
func TestALetterWhoseAnswersAreAlwaysLostIsNotCopiedWithoutEnd(t *testing.T) {
	each(t, func(r *rig) {
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "CONTENT" {
				return smtptest.Hangup
			}
			return ""
		})
		id := r.add("ada", news())
		for range 24 {
			r.run()
			r.clock.Advance(20 * time.Minute)
		}
		if n := len(r.received("ada")); n < 3 || n > 5 {
			r.t.Errorf("%d copies in 8 hours", n)
		}
		r.want(id, outbox.Uncertain)
	})
}

func TestARefusedLetterDoesNotHurtOthers(t *testing.T) {
	each(t, func(r *rig) {
		r.server(func(a smtptest.Asked) string {
			if strings.Contains(a.Line, "RCPT TO:<bad@") {
				return "550 5.1.1 no such user"
			}
			return ""
		})
		ids := r.addMany("one", "bad", "two")
		r.run()
		r.want(ids[0], outbox.Accepted)
		r.want(ids[2], outbox.Accepted)
		row := r.want(ids[1], outbox.Failed)
		if row.Stage != "rcpt" || row.Code != 550 || row.Enhanced != "5.1.1" || !strings.Contains(row.Reply, "no such user") || !strings.Contains(row.Advice, "Correct the user's e-mail address.") {
			r.t.Errorf("the journal says %+v", row)
		}
		if r.audited("letter.failed") != 1 || r.wantState(mail.Working).Problem != "" {
			r.t.Error("the failure is not audited, or the server is blamed")
		}
	})
}

func TestALetterPutOffIsTriedAgainWithinItsLife(t *testing.T) {
	each(t, func(r *rig) {
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "RCPT" {
				return "450 4.2.0 greylisted"
			}
			return ""
		})
		id := r.add("ada", reset())
		added := r.clock.Now()
		var waits []time.Duration
		for r.row(id).State != outbox.Expired && r.clock.Now().Before(added.Add(time.Hour)) {
			before := r.row(id).Attempts
			r.run()
			row := r.row(id)
			if row.Attempts == before {
				_, err := r.box.Expire(r.t.Context())
				r.must(err)
				r.clock.Advance(time.Second)
				continue
			}
			waits = append(waits, row.Due.Sub(r.clock.Now()))
			r.clock.Set(row.Due)
		}
		// A reset lives for 30 minutes: the last try comes shortly before.
		want := []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute}
		if len(waits) < len(want)+1 {
			r.t.Fatalf("the waits were %v", waits)
		}
		for i, w := range want {
			if waits[i] < w*4/5 || waits[i] > w*6/5 {
				r.t.Errorf("wait %d was %v, want %v or a fifth around it", i+1, waits[i], w)
			}
		}
		last := time.Duration(0)
		for _, w := range waits[:len(waits)-1] {
			last += w
		}
		if last < 29*time.Minute || last > 30*time.Minute {
			r.t.Errorf("the last try was %v after the letter was added", last)
		}
		_, err := r.box.Expire(r.t.Context())
		r.must(err)
		r.want(id, outbox.Expired)
		if r.audited("letter.expired") != 1 {
			r.t.Error("the end is not audited")
		}
	})
}

func TestUrgentLettersOvertakeASlowOne(t *testing.T) {
	each(t, func(r *rig) {
		hangs, goOn := r.hang()
		slow := r.add("slow", news())
		done := make(chan error, 1)
		go func() {
			_, err := r.engine.Run(r.t.Context())
			done <- err
		}()
		<-hangs
		urgent := r.add("urgent", reset())
		for r.row(urgent).State != outbox.Accepted {
			r.pause()
		}
		r.want(slow, outbox.Sending)
		goOn()
		r.must(<-done)
		r.want(slow, outbox.Accepted)
	})
}

// hang makes the server take its time over the answer to the first letter:
// until goOn is called.
func (r *rig) hang() (hangs <-chan struct{}, goOn func()) { return r.hangAt(1) }

// hangAt is hang for the nth letter. What the server answered before stays.
func (r *rig) hangAt(nth int) (hangs <-chan struct{}, goOn func()) {
	usual := r.answer
	reached, release := make(chan struct{}), make(chan struct{})
	goOn = sync.OnceFunc(func() { close(release) })
	r.t.Cleanup(goOn)
	var mu sync.Mutex
	n := 0
	r.server(func(a smtptest.Asked) string {
		if a.Verb == "CONTENT" {
			mu.Lock()
			n++
			is := n == nth
			mu.Unlock()
			if is {
				close(reached)
				<-release
			}
		}
		if usual != nil {
			return usual(a)
		}
		return ""
	})
	return reached, goOn
}

// pause lets others work for a moment; its callers wait for what another
// goroutine writes to the database.
func (r *rig) pause() {
	r.t.Helper()
	select {
	case <-time.After(time.Millisecond):
	case <-r.t.Context().Done():
		r.t.Fatal("it did not happen in time")
	}
}

func TestOneLetterOpensOneConnectionAndLeavesItForTheNext(t *testing.T) {
	each(t, func(r *rig) {
		for _, who := range []string{"a", "b", "c"} {
			r.add(who, news())
			r.run()
		}
		if got := r.sink.Connections(); got != 1 {
			r.t.Errorf("%d connections for three letters one after the other", got)
		}
		// An old connection is not used again.
		r.clock.Advance(6 * time.Minute)
		r.add("d", news())
		r.run()
		if got := r.sink.Connections(); got != 2 {
			r.t.Errorf("%d connections, want a second one", got)
		}
		r.wantReceived("d", 1)
	})
}

func TestNoMoreConnectionsThanAreAllowed(t *testing.T) {
	each(t, func(r *rig) {
		r.save(func(c *mail.Change) { c.Pace.Connections = 2 })
		var mu sync.Mutex
		busy, most := 0, 0
		r.server(func(a smtptest.Asked) string {
			mu.Lock()
			defer mu.Unlock()
			switch a.Verb {
			case "MAIL":
				busy++
				most = max(most, busy)
			case "CONTENT":
				busy--
			}
			return ""
		})
		var who []string
		for i := range 40 {
			who = append(who, fmt.Sprintf("user%d", i))
		}
		r.addMany(who...)
		r.run()
		for _, w := range who {
			r.wantReceived(w, 1)
		}
		if got := r.sink.Connections(); got > 2 || most > 2 {
			r.t.Errorf("%d connections, %d letters at the same time", got, most)
		}
	})
}

// Many servers end a connection after a number of letters.
func TestAServerThatHangsUpBetweenLettersCostsNoAttempt(t *testing.T) {
	for name, answer := range map[string]string{"421": "421 4.7.0 enough for now", "silent": smtptest.Hangup} {
		t.Run(name, func(t *testing.T) {
			each(t, func(r *rig) {
				perConnection := map[int]int{}
				var mu sync.Mutex
				r.server(func(a smtptest.Asked) string {
					mu.Lock()
					defer mu.Unlock()
					if a.Verb == "MAIL" {
						if perConnection[a.N]++; perConnection[a.N] > 3 {
							return answer
						}
					}
					return ""
				})
				var who []string
				for i := range 12 {
					who = append(who, fmt.Sprintf("user%d", i))
				}
				ids := r.addMany(who...)
				r.run()
				for _, id := range ids {
					if row := r.want(id, outbox.Accepted); row.Attempts != 1 {
						r.t.Errorf("%s took %d attempts", row.To.Address, row.Attempts)
					}
				}
			})
		})
	}
}

func TestALeaseIsRenewedWhileALetterIsInWork(t *testing.T) {
	each(t, func(r *rig) {
		hangs, goOn := r.hang()
		lease := 60 * time.Millisecond
		r.cfg.Lease = lease
		r.engine = r.newEngine(r.cfg)
		id := r.add("ada", news())
		done := make(chan error, 1)
		go func() {
			_, err := r.engine.Run(r.t.Context())
			done <- err
		}()
		<-hangs
		// The database's clock goes on far beyond the first lease.
		for range 5 {
			r.clock.Advance(lease * 9 / 10)
			for r.lease(id).Before(r.clock.Now().Add(lease)) {
				r.pause()
			}
		}
		goOn()
		r.must(<-done)
		if row := r.want(id, outbox.Accepted); row.Attempts != 1 {
			r.t.Errorf("it took %d attempts", row.Attempts)
		}
		r.wantReceived("ada", 1)
	})
}

func (r *rig) lease(id string) time.Time {
	r.t.Helper()
	var until int64
	r.must(r.db.View(r.t.Context(), func(tx *store.Tx) (err error) {
		until, err = store.One(tx, func(row store.Row) (n int64, err error) { return n, row.Scan(&n) },
			`SELECT lease_until FROM outbox_letter WHERE id = $1`, id)
		return err
	}))
	return store.FromMicros(until)
}

func TestAStopFinishesWhatIsInFlightAndGivesTheRestBack(t *testing.T) {
	each(t, func(r *rig) {
		ctx, stop := context.WithCancel(r.t.Context())
		count := 0
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "CONTENT" {
				if count++; count == 3 {
					stop()
				}
			}
			return ""
		})
		r.cfg.Connections = 1
		r.engine = r.newEngine(r.cfg)
		var who []string
		for i := range 10 {
			who = append(who, fmt.Sprintf("user%d", i))
		}
		ids := r.addMany(who...)
		for more := true; more; {
			var err error
			more, err = r.engine.Run(ctx)
			r.must(err)
		}
		r.must(r.engine.Close(r.t.Context()))
		for i, id := range ids {
			want := outbox.Accepted
			if i >= 3 {
				want = outbox.Queued
			}
			r.want(id, want)
		}
		// The next process begins where this one ended, with nothing repeated.
		r.engine = r.newEngine(r.cfg)
		r.run()
		for _, w := range who {
			r.wantReceived(w, 1)
		}
	})
}

// "The relay is hijacked, stop!": not one letter more goes there, also of a
// batch that was claimed before.
func TestAServerThatIsStoppedGetsNoFurtherLetter(t *testing.T) {
	each(t, func(r *rig) {
		count := 0
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "CONTENT" {
				if count++; count == 3 {
					if err := r.mail.Stop(context.Background(), admin, "hijacked"); err != nil {
						t.Error(err)
					}
				}
			}
			return ""
		})
		r.cfg.Connections = 1
		r.engine = r.newEngine(r.cfg)
		var who []string
		for i := range 8 {
			who = append(who, fmt.Sprintf("user%d", i))
		}
		ids := r.addMany(who...)
		r.run()
		for i, id := range ids {
			want := outbox.Accepted
			if i >= 3 {
				want = outbox.Held
			}
			if row := r.want(id, want); i >= 3 && row.Attempts > 0 && row.MaybeSent {
				r.t.Errorf("letter %d may have been sent", i)
			}
		}
		r.must(r.mail.Resume(r.t.Context(), admin))
		r.run()
		for _, w := range who {
			r.wantReceived(w, 1)
		}
	})
}

func TestAStopDoesNotWaitForEver(t *testing.T) {
	each(t, func(r *rig) {
		ctx, stop := context.WithCancel(r.t.Context())
		hangs, goOn := r.hang()
		go func() { <-hangs; stop() }()
		r.cfg.Grace = 20 * time.Millisecond
		r.engine = r.newEngine(r.cfg)
		id := r.add("ada", news())
		_, err := r.engine.Run(ctx)
		r.must(err)
		goOn()
		// The server may have it: nobody knows.
		r.want(id, outbox.Uncertain)
		r.clock.Advance(2 * time.Minute)
		r.run()
		r.want(id, outbox.Accepted)
		got := r.received("ada")
		if len(got) != 2 || !bytes.Equal(got[0], got[1]) {
			r.t.Errorf("got %d letters, or they differ", len(got))
		}
	})
}

func TestAnOutcomeThatCouldNotBeWrittenIsNotForgotten(t *testing.T) {
	each(t, func(r *rig) {
		rename := func(from, to string) {
			r.must(r.db.Update(r.t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec("ALTER TABLE " + from + " RENAME TO " + to)
				return err
			}))
		}
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "CONTENT" {
				rename("outbox_letter", "gone")
			}
			return ""
		})
		id := r.add("ada", news())
		if _, err := r.engine.Run(r.t.Context()); err == nil {
			r.t.Fatal("nobody was told that the outcome was not written")
		}
		r.server(nil)
		if _, err := r.engine.Run(r.t.Context()); err == nil {
			r.t.Fatal("work goes on although an outcome is not written")
		}
		rename("gone", "outbox_letter")
		r.run()
		r.want(id, outbox.Accepted)
		r.wantReceived("ada", 1)
	})
}

func TestAPanicDoesNotStopTheOtherLane(t *testing.T) {
	each(t, func(r *rig) {
		first := true
		var mu sync.Mutex
		r.cfg.Observe = func(e delivery.Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.What == "letter" && first {
				first = false
				panic("a metric that breaks")
			}
		}
		r.engine = r.newEngine(r.cfg)
		ids := r.addMany("a", "b", "c")
		if _, err := r.engine.Run(r.t.Context()); err == nil || !strings.Contains(err.Error(), "a metric that breaks") {
			r.t.Errorf("got %v", err)
		}
		r.run()
		for _, id := range ids {
			r.want(id, outbox.Accepted)
		}
	})
}

func TestTwoProcessesShareTheWork(t *testing.T) {
	each(t, func(r *rig) {
		var who []string
		for i := range 60 {
			who = append(who, fmt.Sprintf("user%d", i))
		}
		r.addMany(who...)
		second := r.newEngine(r.cfg)
		var both sync.WaitGroup
		for _, e := range []*delivery.Engine{r.engine, second} {
			both.Go(func() {
				for more := true; more; {
					var err error
					if more, err = e.Run(r.t.Context()); err != nil {
						r.t.Error(err)
						return
					}
				}
			})
		}
		both.Wait()
		r.run()
		for _, w := range who {
			r.wantReceived(w, 1)
		}
	})
}

func TestNothingLeavesThroughAClosedGate(t *testing.T) {
	each(t, func(r *rig) {
		r.must(r.mail.Stop(r.t.Context(), admin, "maintenance"))
		id := r.add("ada", news())
		r.clock.Advance(2 * time.Hour)
		r.run()
		r.want(id, outbox.Held)
		r.must(r.mail.Resume(r.t.Context(), admin))
		r.run()
		r.want(id, outbox.Accepted)
		// A restored backup closes the gate without a word to the profile.
		r.update(func(tx *store.Tx) error {
			return r.box.GateOf(outbox.Main).CloseGate(tx, outbox.ReasonRestored, "restored")
		})
		held := r.add("bob", news())
		before := r.sink.Connections()
		r.run()
		r.want(held, outbox.Held)
		if r.sink.Connections() != before {
			r.t.Error("a connection was made for letters that may not leave")
		}
	})
}

func TestALetterThatCannotBeBuiltFailsAlone(t *testing.T) {
	each(t, func(r *rig) {
		var bad string
		r.update(func(tx *store.Tx) (err error) {
			bad, err = r.box.Add(tx, outbox.Recipient{Name: "Ada\r\nBcc: eve@example.org", Address: "ada@example.org"}, news())
			return err
		})
		good := r.add("bob", news())
		r.run()
		r.want(bad, outbox.Failed)
		r.want(good, outbox.Accepted)
		if len(r.sink.Letters()) != 1 {
			r.t.Error("a letter with a smuggled header was sent")
		}
	})
}

func TestTheEngineShowsThatItLives(t *testing.T) {
	each(t, func(r *rig) {
		r.clock.Advance(time.Hour)
		r.run()
		if got := r.engine.LastSign(); !got.Equal(r.clock.Now()) {
			r.t.Errorf("the last sign is of %v", got)
		}
	})
}

func TestAnEngineNeedsItsParts(t *testing.T) {
	if _, err := delivery.New(delivery.Config{}); err == nil {
		t.Error("an engine of nothing")
	}
}

func TestTheCaptureMailboxIsDeliveredToLikeAnother(t *testing.T) {
	each(t, func(r *rig) {
		box := capture.New(capture.Config{DB: r.db, Keys: r.keys, Audit: r.audit, Log: r.cfg.Log})
		r.must(box.Listen("127.0.0.1:0"))
		ctx, stop := context.WithCancel(r.t.Context())
		served := make(chan error, 1)
		go func() { served <- box.Serve(ctx) }()
		defer func() {
			stop()
			r.must(<-served)
		}()
		r.mailed.CaptureAddr = box.Addr
		r.mail = mail.New(r.mailed)
		r.cfg.Mail = r.mail
		r.engine = r.newEngine(r.cfg)
		r.save(func(c *mail.Change) { *c = mail.Change{Kind: mail.KindCapture, SenderAddress: "vault@example.org"} })
		id := r.add("ada", reset())
		r.run()
		row := r.want(id, outbox.Accepted)
		_, letter, err := box.Get(r.t.Context(), admin, row.QueueID)
		r.must(err)
		if letter.Header("Message-ID") != row.MessageID || !strings.Contains(letter.Text, "https://vault.example.org/reset#token") {
			r.t.Errorf("the mailbox has %q", letter.Text)
		}
		if row.Server != "capture mailbox" || r.sink.Connections() != 0 {
			r.t.Errorf("it went to %s", row.Server)
		}
	})
}

// The certificate that a connection saw is the one that pages warn of.
func TestTheServersCertificateIsNoted(t *testing.T) {
	each(t, func(r *rig) {
		in90 := r.clock.Now().UTC().Truncate(time.Second).Add(90 * 24 * time.Hour)
		r.add("ada", news())
		r.run()
		if got := r.profile().ServerCertificateEnds; !got.Equal(in90) {
			r.t.Errorf("after a letter it ends at %v, want %v", got, in90)
		}
		r.save(func(c *mail.Change) { c.SenderName = "Another" })
		r.setDown(true)
		r.add("ada", news())
		r.run()
		for range 10 {
			r.clock.Advance(time.Minute)
			r.run()
		}
		r.wantState(mail.Paused)
		r.setDown(false)
		r.update(func(tx *store.Tx) error { _, err := tx.Exec(`UPDATE outbox_letter SET expires_at = 0`); return err })
		r.clock.Advance(time.Hour)
		r.run()
		r.wantState(mail.Working)
		if got := r.profile().ServerCertificateEnds; !got.Equal(in90) {
			r.t.Errorf("after a probe it ends at %v, want %v", got, in90)
		}
	})
}

// While the server takes its time the user is deleted, or asks for a newer
// link. An answer that puts the letter off must not bring it to them later.
func TestALetterThatIsCancelledWhileItIsSentDoesNotComeLater(t *testing.T) {
	each(t, func(r *rig) {
		r.server(func(a smtptest.Asked) string {
			if a.Verb != "CONTENT" {
				return ""
			}
			err := r.db.Update(r.t.Context(), func(tx *store.Tx) error { return r.box.CancelFor(tx, "u-ada", letter.KindPasswordReset) })
			if err != nil {
				r.t.Error(err)
			}
			return "451 4.3.0 later"
		})
		id := r.add("ada", reset())
		r.run()
		if row := r.want(id, outbox.Cancelled); row.Attempts != 1 || row.Reply == "" {
			r.t.Errorf("the journal says %+v", row)
		}
		r.server(nil)
		for range 5 {
			r.clock.Advance(5 * time.Minute)
			r.run()
		}
		r.wantReceived("ada", 0)
	})
}
