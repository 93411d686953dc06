package outbox_test

import (
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
)

// A letter that was sent past the outbox stands in the journal, done with.
func TestWhatWasSentElsewhereIsNoted(t *testing.T) {
	each(t, func(r *rig) {
		woken := r.woken
		sent := outbox.Sent{
			Kind: letter.KindTest, MessageID: "<1@vault.example.org>", To: outbox.Recipient{Address: "ada@example.org"}, Subject: "Test", Took: time.Second,
			Outcome: outbox.Outcome{State: outbox.Accepted, Stage: "content", Code: 250, Reply: "250 queued as 4XY", QueueID: "4XY", Server: "mail:587"},
		}
		r.must(r.box.Note(t.Context(), sent))
		r.clock.Advance(time.Minute)
		sent.MessageID, sent.MaybeSent = "<2@vault.example.org>", true
		sent.Outcome = outbox.Outcome{State: outbox.Failed, Stage: "rcpt", Code: 550, Reply: "550 no such user", Advice: "Correct the address.", Server: "mail:587"}
		r.must(r.box.Note(t.Context(), sent))

		found, err := r.box.List(t.Context(), admin, outbox.Filter{Kind: letter.KindTest})
		r.must(err)
		if len(found.Rows) != 2 {
			t.Fatalf("%d letters are noted, want 2", len(found.Rows))
		}
		failed, accepted := found.Rows[0], found.Rows[1]
		if accepted.State != outbox.Accepted || accepted.QueueID != "4XY" || !accepted.MaybeSent || accepted.Attempts != 1 {
			t.Errorf("the accepted one: %+v", accepted)
		}
		if failed.State != outbox.Failed || failed.Advice != "Correct the address." || !failed.MaybeSent || failed.CanResend || failed.CanCancel {
			t.Errorf("the refused one: %+v", failed)
		}
		_, tries, err := r.box.Get(t.Context(), admin, failed.ID)
		r.must(err)
		if len(tries) != 1 || tries[0].State != outbox.Failed || tries[0].Stage != "rcpt" || tries[0].Ended.Sub(tries[0].Began) != time.Second {
			t.Errorf("its attempt: %+v", tries)
		}
		if r.woken != woken || len(r.claim(10)) != 0 {
			t.Error("a letter that is done with is sent again")
		}
		if err := r.box.Resend(t.Context(), admin, failed.ID); !fault.Is(err, fault.KindConflict) {
			t.Errorf("it can be sent again: %v", err)
		}
	})
}

func TestOnlyWhatIsDoneWithIsNoted(t *testing.T) {
	each(t, func(r *rig) {
		sent := outbox.Sent{Kind: letter.KindTest, MessageID: "<1@vault.example.org>", To: outbox.Recipient{Address: "ada@example.org"}}
		for _, s := range []outbox.Sent{
			func() outbox.Sent { s := sent; s.Outcome.State = outbox.Queued; return s }(),
			func() outbox.Sent { s := sent; s.Kind, s.Outcome.State = "poem", outbox.Accepted; return s }(),
			func() outbox.Sent { s := sent; s.To.Address, s.Outcome.State = "nobody", outbox.Accepted; return s }(),
		} {
			if err := r.box.Note(t.Context(), s); err == nil {
				t.Errorf("%+v is noted", s)
			}
		}
	})
}
