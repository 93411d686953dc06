package bounce_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
)

// handled tells whether a message proves to be about a letter of ours.
func (r *rig) handled(mail []byte) (ours bool) {
	r.t.Helper()
	r.must(r.db.Update(r.t.Context(), func(tx *store.Tx) (err error) {
		ours, err = r.s.Handle(tx, mail)
		return err
	}))
	return ours
}

// Ids of letters stand in the audit log and in exports: who knows one can make
// up no report, and who got the letter can.
func TestALettersIDProvesNothing(t *testing.T) {
	each(t, func(r *rig) {
		s := r.send("u-ada", "ada@example.org")
		plain := strings.ReplaceAll(s.id, "-", "")
		_, host, _ := strings.Cut(s.messageID, "@")
		for _, forged := range []string{"<" + plain + "@" + host, "<" + plain + ".@" + host, "<" + plain + ".0000000000000000@" + host, "<" + s.id + "@" + host} {
			if r.handled(report(s, "failed", "bounces@example.org", forged)) {
				r.t.Errorf("%s proves that the letter was seen", forged)
			}
		}
		if _, ok := r.marked(s.to); ok || !r.row(s.id).Bounce.IsZero() {
			r.t.Error("a forged report counts")
		}
		if !strings.HasPrefix(s.messageID, "<"+plain+".") || len(s.messageID) != len("<.@")+32+16+len(host) {
			r.t.Errorf("the Message-ID is %s", s.messageID)
		}
		if !r.handled(report(s, "failed", "bounces@example.org", s.messageID)) {
			r.t.Error("the letter's Message-ID proves nothing")
		}
		if _, ok := r.marked(s.to); !ok {
			r.t.Error("the address is not marked")
		}
		// One from before, whose id was random.
		old := r.send("u-ben", "ben@example.org")
		old.messageID = "<0123456789abcdef0123456789abcdef@vault.example.org>"
		r.must(r.db.Update(r.t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE outbox_letter SET message_id = $1 WHERE id = $2`, old.messageID, old.id)
			return err
		}))
		if !r.handled(report(old, "failed", "bounces@example.org", old.messageID)) {
			r.t.Error("a letter from before is not known any more")
		}
	})
}

// A report about the address that somebody forwards their mail to says nothing
// about their own, and does not stand in the way of one that does.
func TestAForwardedLetterMarksNobody(t *testing.T) {
	each(t, func(r *rig) {
		s := r.send("u-ada", "Ada@example.org")
		about := func(kind, original, final string) []byte {
			with := "Final-Recipient: rfc822; " + final
			if original != "" {
				with = "Original-Recipient: rfc822;" + original + "\r\n" + with
			}
			return []byte(strings.Replace(string(report(s, kind, "bounces@example.org", s.messageID)), "Final-Recipient: rfc822; "+s.to, with, 1))
		}
		if !r.handled(about("failed", "ada@example.org", "elsewhere@example.com")) {
			r.t.Fatal("the report is not about the letter")
		}
		if _, ok := r.marked(s.to); ok || len(r.entries("mail.bounced")) > 0 {
			r.t.Error("the user's address is marked for another one")
		}
		if b := r.row(s.id).Bounce; b.Final || b.Other != "elsewhere@example.com" || b.Status != "5.1.1" {
			r.t.Errorf("the journal says %+v", b)
		}
		// Capitals do not matter.
		if !r.handled(about("failed", "", "ADA@EXAMPLE.ORG")) {
			r.t.Fatal("the report is not about the letter")
		}
		if b := r.row(s.id).Bounce; !b.Final || b.Other != "" {
			r.t.Errorf("the journal says %+v", b)
		}
		if _, ok := r.marked(s.to); !ok {
			r.t.Error("the address is not marked")
		}
		o, err := r.s.Overview(r.t.Context(), admin)
		r.must(err)
		if o.Counts["foreign"] != 1 || o.Counts["failed"] != 1 {
			r.t.Errorf("counted %v", o.Counts)
		}
	})
}

// What comes back is under the trace of the request that caused the letter.
func TestWhatComesBackIsUnderTheLettersTrace(t *testing.T) {
	each(t, func(r *rig) {
		trace := actor.NewTrace(r.clock.Now())
		ctx := actor.WithTrace(r.t.Context(), trace)
		send := func(to string, out outbox.Outcome) sent {
			var id string
			r.must(r.db.Update(ctx, func(tx *store.Tx) (err error) {
				id, err = r.box.Add(tx, outbox.Recipient{UserID: "u-ada", Name: "Ada", Address: to}, letter.PasswordChanged{Name: "Ada"})
				return err
			}))
			claims, err := r.box.Claim(context.Background(), outbox.Main, 10, time.Minute, "sender")
			r.must(err)
			out.ID, out.Attempt = id, claims[0].Attempt
			r.must(r.box.Record(context.Background(), out))
			return sent{id, claims[0].MessageID, to, r.s.Return(r.t.Context(), id, "vault@example.org")}
		}
		refused := send("refused@example.org", outbox.Outcome{State: outbox.Failed, Stage: "rcpt", Code: 550, Enhanced: "5.1.1", Reply: "550 no"})
		back := send("back@example.org", outbox.Outcome{State: outbox.Accepted})
		r.handled(report(back, "failed", "bounces@example.org", back.messageID))
		entries := r.entries("mail.bounced")
		if len(entries) != 2 || entries[0].ID != back.id || entries[1].ID != refused.id {
			r.t.Fatalf("the audit log says %+v", entries)
		}
		for i, word := range []string{"report says", "server said"} {
			e := entries[i]
			if e.Actor.RequestID != trace || !said(e.Detail, word) {
				r.t.Errorf("%s is under %q, wanted %q; %v", e.Name, e.Actor.RequestID, trace, e.Detail)
			}
		}
	})
}

func said(all []audit.Detail, name string) bool {
	for _, d := range all {
		if d.Name == name {
			return true
		}
	}
	return false
}

// A node that comes late, when another one has just read, takes no lease: it
// would keep the others out and read nothing.
func TestNoLeaseIsTakenWhereNothingIsDue(t *testing.T) {
	each(t, func(r *rig) {
		r.save(settings(nil, nil))
		take := func(due time.Duration) (ok bool) {
			r.must(r.db.Update(r.t.Context(), func(tx *store.Tx) (err error) {
				r.must(bounce.Due(tx, tx.Now().Add(due)))
				ok, err = r.s.TakeLease(tx)
				return err
			}))
			return ok
		}
		if take(time.Second) {
			r.t.Error("the lease is taken before reading is due")
		}
		if !take(0) {
			r.t.Error("the lease is not taken when reading is due")
		}
	})
}
