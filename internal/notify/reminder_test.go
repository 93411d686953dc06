package notify_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/notify"
	"github.com/sealpost/sealpost/internal/store"
)

const day = 24 * time.Hour

func (r *rig) reminders() *notify.Reminders {
	r.t.Helper()
	n, err := notify.NewReminders(notify.RemindersConfig{
		DB: r.db, Audit: r.audit, Users: r.users, Outbox: r.box,
		Ends: func(context.Context) ([]notify.End, error) { return r.ends, nil },
	})
	r.must(err)
	return n
}

func (r *rig) secretEnds(at time.Time) notify.End {
	return notify.End{What: "The client secret", At: at, Advice: "Make a new one.", Server: "smtp.office365.com:587"}
}

// forget throws the letters away, so that the limit on letters of one kind
// does not merge those of a test that runs through months in a second.
func (r *rig) forget() {
	r.t.Helper()
	r.update(func(tx *store.Tx) error {
		for _, table := range []string{"outbox_attempt", "outbox_letter"} {
			if _, err := tx.Exec(`DELETE FROM ` + table); err != nil {
				return err
			}
		}
		return nil
	})
}

// Over the whole life of a secret administrators are written to at each step
// once: hour after hour, over restarts, and on two nodes.
func TestASecretIsRemindedOfUntilAfterItsEnd(t *testing.T) {
	each(t, func(r *rig) {
		end := r.clock.Now().Add(61*day + time.Hour)
		r.ends = []notify.End{r.secretEnds(end)}
		other := r.node()
		other.ends = r.ends
		var got []string
		for left := 61 * day; left > -3*day; left -= 12 * time.Hour {
			r.clock.Set(end.Add(-left))
			// A restart is a new object on the same rows.
			r.must(r.reminders().Run(r.ctx()))
			r.must(other.reminders().Run(r.ctx()))
			for _, l := range r.sent() {
				got = append(got, fmt.Sprintf("%d h: %s", int(left/time.Hour), l))
			}
			r.forget()
		}
		var want []string
		for _, step := range []struct {
			hours int
			words string
		}{{1440, "ends in 60 days"}, {720, "ends in 30 days"}, {336, "ends in 14 days"}, {168, "ends in 7 days"}, {72, "ends in 3 days"}, {24, "ends in 1 day"}, {0, "has ended"}} {
			for _, who := range []string{"administrator", "privileged_administrator"} {
				want = append(want, fmt.Sprintf("%d h: %s: Mail from Example Ltd: The client secret %s", step.hours, who, step.words))
			}
		}
		if !slices.Equal(got, want) {
			t := strings.Join(got, "\n")
			r.t.Errorf("got\n%s\nwant\n%s", t, strings.Join(want, "\n"))
		}
		told := r.told("mail.expiring")
		if len(told) != 7 || told[0] != "The client secret ends in 60 days, on 1 May 2026." || told[6] != "The client secret ended on 1 May 2026." {
			r.t.Errorf("the audit log says %q", told)
		}
	})
}

// Steps that passed while nobody looked are one letter, of the nearest one; a
// new end starts anew.
func TestPassedStepsAreOneLetterAndANewEndStartsAnew(t *testing.T) {
	each(t, func(r *rig) {
		run := func(ends ...notify.End) string {
			r.ends = ends
			r.must(r.reminders().Run(r.ctx()))
			r.must(r.reminders().Run(r.ctx()))
			got := r.sent()
			r.forget()
			return strings.Join(got, "; ")
		}
		now := r.clock.Now()
		both := func(words string) string {
			return "administrator: Mail from Example Ltd: " + words + "; privileged_administrator: Mail from Example Ltd: " + words
		}
		for _, tt := range []struct {
			what string
			end  notify.End
			want string
		}{
			{"12 days away", r.secretEnds(now.Add(12 * day)), both("The client secret ends in 12 days")},
			{"the same again", r.secretEnds(now.Add(12 * day)), ""},
			{"renewed for long", r.secretEnds(now.Add(700 * day)), ""},
			{"renewed, and near", r.secretEnds(now.Add(20 * day)), both("The client secret ends in 20 days")},
			{"over already", r.secretEnds(now.Add(-day)), both("The client secret has ended")},
			{"hours away", r.secretEnds(now.Add(5 * time.Hour)), both("The client secret ends within hours")},
			{"what others renew, early", notify.End{What: "The mail server's certificate", At: now.Add(20 * day), Theirs: true}, ""},
			{"what others renew, late", notify.End{What: "The mail server's certificate", At: now.Add(6 * day), Theirs: true}, both("The mail server's certificate ends in 6 days")},
		} {
			if got := run(tt.end); got != tt.want {
				r.t.Errorf("%s\ngot  %s\nwant %s", tt.what, got, tt.want)
			}
		}
		// Two at once are two letters each.
		if got := run(r.secretEnds(now.Add(2*day)), notify.End{What: "The trusted certificate CN=x", At: now.Add(3 * day)}); strings.Count(got, "Mail from") != 4 {
			r.t.Errorf("two ends: %s", got)
		}
	})
}

// Two nodes whose hours meet send one letter.
func TestTwoNodesAtOnceSendOneReminder(t *testing.T) {
	each(t, func(r *rig) {
		r.ends = []notify.End{r.secretEnds(r.clock.Now().Add(6 * day))}
		other := r.node()
		var wait sync.WaitGroup
		for range 4 {
			for _, n := range []*rig{r, other} {
				wait.Go(func() {
					if err := n.reminders().Run(r.ctx()); err != nil {
						r.t.Error(err)
					}
				})
			}
		}
		wait.Wait()
		if got := r.sent(); len(got) != 2 || len(r.told("mail.expiring")) != 1 {
			r.t.Errorf("got %q", got)
		}
	})
}

// Who is disabled, or gone, gets none; nobody at all is still on the record.
func TestOnlyThoseWhoCanActAreRemindedOf(t *testing.T) {
	each(t, func(r *rig) {
		r.update(func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE identity_user SET state = 'disabled' WHERE role = 'administrator'`)
			return err
		})
		r.ends = []notify.End{r.secretEnds(r.clock.Now().Add(6 * day))}
		r.must(r.reminders().Run(r.ctx()))
		if got := r.sent(); len(got) != 1 || !strings.HasPrefix(got[0], "privileged_administrator: ") {
			r.t.Errorf("got %q", got)
		}
		r.update(func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE identity_user SET state = 'disabled'`)
			return err
		})
		r.clock.Advance(4 * day)
		r.must(r.reminders().Run(r.ctx()))
		if got := r.told("mail.expiring"); len(r.sent()) != 1 || len(got) != 2 {
			r.t.Errorf("got %q and %q", r.sent(), got)
		}
	})
}
