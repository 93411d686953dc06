package blueprint_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
)

// How letters are delivered may stand alone; what is left out stays.
func TestHowLettersAreDelivered(t *testing.T) {
	each(t, func(r *rig) {
		const file = "version: 1\nmail:\n  delivery:\n    journal_days: 90\n    lifetimes: {invitation: 48h, password_changed: 36h}\n"
		steps := r.apply(file, nil)
		if len(steps) != 1 || !strings.HasPrefix(steps[0], "change mail delivery; ") || !strings.Contains(steps[0], "Invitation is tried for: 3 days becomes 2 days") {
			r.t.Fatalf("got %+v", steps)
		}
		r.settled(file, nil)
		r.apply("version: 1\nmail: {delivery: {lifetimes: {new_device: 2h}}}", nil)
		s, err := r.Outbox.Settings(r.ctx(), root)
		r.must(err)
		if s.Keep != 90*24*time.Hour || s.Lifetimes[letter.KindInvitation] != 48*time.Hour || s.Lifetimes[letter.KindNewDevice] != 2*time.Hour {
			r.t.Errorf("got %+v", s)
		}
		if _, set, err := r.Mail.Active(r.ctx()); set || err != nil {
			r.t.Errorf("a mail server appeared: %v", err)
		}
	})
}

func TestDeliveryThatDoesNotFit(t *testing.T) {
	each(t, func(r *rig) {
		for _, tt := range []struct{ file, want string }{
			{"version: 1\nmail:\n  delivery:\n    journal_days: 3\n", "line 4: The journal keeps letters for 7 days to 5 years"},
			{"version: 1\nmail:\n  delivery:\n    lifetimes:\n      password_reset: 31m\n", "line 5: This letter is tried for 5 minutes to 30 minutes: its link lives no longer."},
			{"version: 1\nmail:\n  delivery:\n    lifetimes:\n      newsletter: 1h\n", "line 5: There is no such letter. The kinds are invitation, "},
			{"version: 1\nmail: {}\n", "2 fields need your attention."},
		} {
			_, err := r.plan(tt.file, nil)
			if !fault.Is(err, fault.KindInvalid) || !strings.Contains(fault.Sentence(err), tt.want) {
				r.t.Errorf("%s: %v", tt.file, fault.Sentence(err))
			}
		}
		s, err := r.Outbox.Settings(r.ctx(), root)
		r.must(err)
		if s.Revision != 0 || s.Keep != outbox.UsualKeep {
			r.t.Errorf("a comparison changed something: %+v", s)
		}
	})
}
