package mail_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/secret"
)

// problem is what delivery reports of a connection made with what there is now.
func (r *rig) problem() mail.Problem {
	return mail.ProblemOf(r.open(), verdict.Verdict{Row: "auth-refused", Meaning: "The server refuses the password.", Mend: "Set the right one.", Command: "set it"}, "535 no")
}

func (r *rig) pause() {
	r.t.Helper()
	r.must(r.mail.Pause(r.t.Context(), r.problem()))
}

func (r *rig) standing() mail.Standing {
	r.t.Helper()
	st, err := r.mail.Standing(r.t.Context())
	r.must(err)
	return st
}

func TestAPauseIsProbedAfter1And5And15And60Minutes(t *testing.T) {
	each(t, func(r *rig) {
		r.save(account())
		r.pause()
		began := r.clock.Now()
		p := r.wantState(mail.Paused)
		if p.Problem != "auth-refused" || p.Reason != "The server refuses the password." || p.Advice != "Set the right one." || p.Command != "set it" || p.Reply != "535 no" || !p.Since.Equal(began) || r.gate.reason != "paused" {
			r.t.Errorf("the pause says %+v", p)
		}
		for i, wait := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, time.Hour} {
			st := r.standing()
			if st.Send || st.Probe || !st.NextProbe.Equal(r.clock.Now().Add(wait)) {
				r.t.Fatalf("after probe %d delivery is told %+v", i, st)
			}
			r.clock.Advance(wait - time.Second)
			r.pause() // told again of what is known: the next probe stays where it is
			if r.standing().Probe {
				r.t.Fatalf("probe %d comes early", i+1)
			}
			r.clock.Advance(time.Second)
			if !r.standing().Probe {
				r.t.Fatalf("probe %d does not come", i+1)
			}
			r.pause()
		}
		if got := r.wantState(mail.Paused); !got.Since.Equal(began) || len(r.audited("mail.paused")) != 1 {
			r.t.Errorf("paused since %v, audited %d times", got.Since, len(r.audited("mail.paused")))
		}
	})
}

// A sign-in proves little where letters are what is refused: the pause is over,
// and told as over, with the first letter that the server takes.
func TestAProbeThatPassesLetsLettersLeaveAndRemembersTheRow(t *testing.T) {
	each(t, func(r *rig) {
		told := func(paused, resumed int) {
			r.t.Helper()
			if p, q := len(r.audited("mail.paused")), len(r.audited("mail.resumed")); p != paused || q != resumed {
				r.t.Errorf("audited %d pauses and %d ends of them, want %d and %d", p, q, paused, resumed)
			}
		}
		r.save(account())
		r.pause()
		transport := r.open()
		r.must(r.mail.Probed(r.t.Context(), transport, nil, true))
		if p := r.wantState(mail.Working); p.Problem != r.problem().Row || p.Probes != 1 || !r.standing().Send || !r.gate.open {
			r.t.Errorf("after the probe: %+v", p)
		}
		told(1, 0)
		// The sign-in works and letters do not: the row goes on, hour after hour.
		r.pause()
		if st := r.standing(); !st.NextProbe.Equal(r.clock.Now().Add(5 * time.Minute)) {
			r.t.Errorf("the next probe is at %v", st.NextProbe)
		}
		for range 3 {
			r.must(r.mail.Probed(r.t.Context(), transport, nil, true))
			r.pause()
		}
		told(1, 0)
		// Another problem is news.
		r.must(r.mail.Probed(r.t.Context(), transport, nil, true))
		other := r.problem()
		other.Row = "another"
		r.must(r.mail.Pause(r.t.Context(), other))
		told(2, 0)
		r.must(r.mail.Probed(r.t.Context(), transport, nil, true))
		r.must(r.mail.Accepted(r.t.Context(), transport, nil, 1))
		if p := r.active(); p.Probes != 0 || p.Problem != "" || p.Reason != "" || !p.LastAccepted.Equal(r.clock.Now()) {
			r.t.Errorf("after a letter: %+v", p)
		}
		told(2, 1)
		r.must(r.mail.Accepted(r.t.Context(), transport, nil, 1))
		told(2, 1)
		r.pause()
		if st := r.standing(); !st.NextProbe.Equal(r.clock.Now().Add(time.Minute)) {
			r.t.Errorf("the row did not begin anew: %v", st.NextProbe)
		}
		told(3, 1)
		// Where no letter waits, nothing more is to come.
		r.must(r.mail.Probed(r.t.Context(), transport, nil, false))
		if p := r.wantState(mail.Working); p.Problem != "" {
			r.t.Errorf("after a probe without letters: %+v", p)
		}
		told(3, 2)
		r.must(r.mail.Accepted(r.t.Context(), transport, nil, 1))
		told(3, 2)
	})
}

// Who wants to be left alone for longer is.
func TestAPauseLastsAsLongAsTheOtherSideWants(t *testing.T) {
	each(t, func(r *rig) {
		r.save(account())
		p := r.problem()
		p.After = 20 * time.Minute
		r.must(r.mail.Pause(r.t.Context(), p))
		if st := r.standing(); !st.NextProbe.Equal(r.clock.Now().Add(20 * time.Minute)) {
			r.t.Errorf("the next probe is at %v", st.NextProbe)
		}
	})
}

// A day that is used up lets some letters leave each hour and is used up again.
// That is told once.
func TestAUsedUpDayIsToldOnce(t *testing.T) {
	each(t, func(r *rig) {
		r.save(account())
		limit := mail.Problem{Revision: r.active().Revision, Row: mail.RowDailyLimit, Reason: "The day is used up.", Advice: "Wait.", Passing: true}
		for hour := range 24 {
			r.must(r.mail.Troubled(r.t.Context(), limit))
			if p := r.wantState(mail.Working); p.Reason != limit.Reason {
				r.t.Errorf("hour %d: %+v", hour, p)
			}
			r.must(r.mail.Accepted(r.t.Context(), r.open(), nil, 1))
			r.clock.Advance(time.Hour)
		}
		if all := r.audited("mail.limited"); len(all) != 1 || all[0].Reason != limit.Reason {
			r.t.Errorf("told %d times: %+v", len(all), all)
		}
		r.must(r.mail.Troubled(r.t.Context(), limit))
		if n := len(r.audited("mail.limited")); n != 2 {
			r.t.Errorf("on the next day it was told %d times altogether", n)
		}
		r.must(r.mail.Troubled(r.t.Context(), mail.Problem{Revision: r.active().Revision}))
		if p := r.wantState(mail.Working); p.Problem != "" || p.Reason != "" {
			r.t.Errorf("it is taken back and says %+v", p)
		}
	})
}

func TestALetterOnAnOldConnectionEndsNoPause(t *testing.T) {
	each(t, func(r *rig) {
		r.save(account())
		transport := r.open()
		r.pause()
		r.must(r.mail.Accepted(r.t.Context(), transport, nil, 1))
		if p := r.wantState(mail.Paused); !p.LastAccepted.Equal(r.clock.Now()) {
			r.t.Error("the letter is not noted")
		}
	})
}

func TestNewsOfOldSettingsDoNotCount(t *testing.T) {
	each(t, func(r *rig) {
		r.save(account())
		old, transport := r.problem(), r.open()
		c := keep(account())
		c.SenderName = "Another"
		r.save(c)
		r.must(r.mail.Pause(r.t.Context(), old))
		r.must(r.mail.Troubled(r.t.Context(), old))
		if p := r.wantState(mail.Working); p.Problem != "" {
			r.t.Errorf("paused or troubled by news of old settings: %+v", p)
		}
		r.pause()
		r.must(r.mail.Probed(r.t.Context(), transport, nil, true))
		r.wantState(mail.Paused)
	})
}

func TestANewPasswordOfTheAccountIsTriedAtOnce(t *testing.T) {
	each(t, func(r *rig) {
		r.save(account())
		r.pause()
		if r.standing().Probe {
			r.t.Fatal("probed without a reason")
		}
		r.vault.set("second password")
		if !r.standing().Probe {
			r.t.Fatal("the new password is not tried")
		}
		r.pause() // it is wrong as well
		if st := r.standing(); st.Probe || st.NextProbe.Sub(r.clock.Now()) != 5*time.Minute {
			r.t.Errorf("the same password is tried again and again: %+v", st)
		}
	})
}

func TestSavingTriesAtOnce(t *testing.T) {
	each(t, func(r *rig) {
		r.save(typed())
		r.pause()
		r.save(keep(typed()))
		if p := r.wantState(mail.Working); p.Probes != 0 || p.Reason != "" || !p.NextProbe.IsZero() {
			r.t.Errorf("after saving: %+v", p)
		}
	})
}

func TestAPersonStopsMailAndLetsItGo(t *testing.T) {
	each(t, func(r *rig) {
		for what, err := range map[string]error{"stop": r.mail.Stop(r.t.Context(), admin, ""), "resume": r.mail.Resume(r.t.Context(), admin)} {
			if !fault.Is(err, fault.KindNotFound) {
				r.t.Errorf("%s without a server: %v", what, err)
			}
		}
		r.save(account())
		r.against(r.mail.Stop(r.t.Context(), admin, strings.Repeat("x", 201)), "reason")
		r.must(r.mail.Stop(r.t.Context(), admin, "maintenance"))
		if p := r.wantState(mail.Stopped); p.Reason != "Stopped by grace: maintenance" || p.Advice == "" || r.gate.reason != "operator" {
			r.t.Errorf("the stop says %+v", p)
		}
		// Nothing but a person ends it.
		r.pause()
		r.must(r.mail.Troubled(r.t.Context(), r.problem()))
		r.must(r.mail.Probed(r.t.Context(), r.open(), nil, true))
		r.must(r.mail.Accepted(r.t.Context(), r.open(), nil, 1))
		r.save(keep(account()))
		_, err := r.mail.TrustImport(r.t.Context(), admin, [][]byte{r.ca.Raw}, trust.ModeAnchor, secret.Value{})
		r.must(err)
		r.clock.Advance(24 * time.Hour)
		if st := r.standing(); st.Send || st.Probe {
			r.t.Errorf("delivery is told %+v", st)
		}
		if p := r.wantState(mail.Stopped); p.Reason != "Stopped by grace: maintenance" {
			r.t.Errorf("the stop says %+v", p)
		}
		r.must(r.mail.Resume(r.t.Context(), other))
		if p := r.wantState(mail.Working); p.Reason != "" || !r.standing().Send {
			r.t.Errorf("after it: %+v", p)
		}
		if len(r.audited("mail.stopped")) != 1 || len(r.audited("mail.resumed")) != 1 {
			r.t.Error("it is not audited")
		}
		r.must(r.mail.Stop(r.t.Context(), admin, ""))
		if p := r.active(); p.Reason != "Stopped by grace." {
			r.t.Errorf("the stop says %q", p.Reason)
		}
	})
}

func TestTroubleIsShownWithoutAPause(t *testing.T) {
	each(t, func(r *rig) {
		r.save(account())
		r.must(r.mail.Troubled(r.t.Context(), r.problem()))
		if p := r.wantState(mail.Working); p.Reason != "The server refuses the password." || !r.standing().Send {
			r.t.Errorf("the trouble says %+v", p)
		}
		r.must(r.mail.Accepted(r.t.Context(), r.open(), nil, 1))
		if p := r.wantState(mail.Working); p.Reason != "" || p.Problem != "" {
			r.t.Errorf("the trouble is over and says %+v", p)
		}
		if len(r.audited("mail.paused")) != 0 {
			r.t.Error("trouble is audited as a pause")
		}
	})
}

func TestAcceptedLettersAreNotedOnceASecond(t *testing.T) {
	each(t, func(r *rig) {
		r.save(account())
		transport, first := r.open(), r.clock.Now()
		r.must(r.mail.Accepted(r.t.Context(), transport, nil, 1))
		r.clock.Advance(500 * time.Millisecond)
		r.must(r.mail.Accepted(r.t.Context(), transport, nil, 1))
		if got := r.active().LastAccepted; !got.Equal(first) {
			r.t.Errorf("noted at %v", got)
		}
		r.clock.Advance(500 * time.Millisecond)
		r.must(r.mail.Accepted(r.t.Context(), transport, nil, 1))
		if got := r.active().LastAccepted; !got.Equal(r.clock.Now()) {
			r.t.Errorf("noted at %v", got)
		}
	})
}

func TestHealthTellsWhatEndsAndWhatToKnow(t *testing.T) {
	each(t, func(r *rig) {
		h, err := r.mail.Health(r.t.Context(), admin)
		r.must(err)
		if h.Set {
			r.t.Error("there is a server before there is one")
		}
		c := typed()
		c.Host = "smtp.office365.com"
		c.Trust = []mail.Candidate{{DER: r.anchor("Our CA").Raw, Mode: trust.ModeAnchor}, {DER: r.anchor("A pin").Raw, Mode: trust.ModePin}}
		c.TestToken, c.Anyway = r.pass(c), false
		r.save(c)
		h, err = r.mail.Health(r.t.Context(), admin)
		r.must(err)
		if len(h.Ends) != 2 || h.Ends[0].What != "The mail server's certificate" || !strings.Contains(h.Ends[1].What, "Our CA") {
			r.t.Fatalf("what ends: %+v", h.Ends)
		}
		if end := h.Ends[0]; end.Warn(end.At.Add(-31*24*time.Hour)) || !end.Warn(end.At.Add(-29*24*time.Hour)) || !end.Warn(end.At.Add(time.Hour)) {
			r.t.Error("the warning comes at the wrong time")
		}
		if len(h.Notes) != 1 || !strings.Contains(h.Notes[0], "December 2026") {
			r.t.Errorf("the notes are %q", h.Notes)
		}
		clear := typed()
		clear.Security, clear.ConfirmClear = "none", oldHost
		if notes := r.notes(clear); len(notes) != 2 || !strings.Contains(notes[0], "in clear") || !strings.Contains(notes[1], "without a passed test") {
			r.t.Errorf("the notes are %q", notes)
		}
		clear.Auth = mail.AuthNone
		if notes := r.notes(clear); len(notes) != 2 || !strings.Contains(notes[0], "links in them travel in clear") {
			r.t.Errorf("the notes are %q", notes)
		}
	})
}

// notes saves c and returns what Health says of it.
func (r *rig) notes(c mail.Change) []string {
	r.t.Helper()
	r.save(c)
	h, err := r.mail.Health(r.t.Context(), admin)
	r.must(err)
	return h.Notes
}

// serverEnds is what Health tells of the server's own certificate.
func (r *rig) serverEnds() (mail.End, bool) {
	r.t.Helper()
	h, err := r.mail.Health(r.t.Context(), admin)
	r.must(err)
	for _, e := range h.Ends {
		if e.What == "The mail server's certificate" {
			return e, true
		}
	}
	return mail.End{}, false
}

// Nobody tests a server again because its certificate was renewed.
func TestTheEndOfTheServersCertificateIsThatOfTheLastConnection(t *testing.T) {
	each(t, func(r *rig) {
		old := r.lab.Make(smtptest.Order{DNS: []string{oldHost}, By: r.ca, Until: 20 * 24 * time.Hour}).Certificate
		renewed := r.lab.Make(smtptest.Order{DNS: []string{oldHost}, By: r.ca, Until: 110 * 24 * time.Hour}).Certificate
		r.save(account()) // without a test
		if end, ok := r.serverEnds(); ok {
			r.t.Errorf("something ends before anybody saw it: %+v", end)
		}
		r.must(r.mail.Accepted(r.t.Context(), r.open(), old, 1))
		if end, ok := r.serverEnds(); !ok || !end.At.Equal(old.NotAfter) || !end.Warn(r.clock.Now()) {
			r.t.Errorf("after a letter: %+v, %v", end, ok)
		}
		// The same second: what is new is noted all the same.
		r.must(r.mail.Accepted(r.t.Context(), r.open(), renewed, 1))
		if end, ok := r.serverEnds(); !ok || !end.At.Equal(renewed.NotAfter) || end.Warn(r.clock.Now()) {
			r.t.Errorf("after the renewal: %+v, %v", end, ok)
		}
		r.pause()
		r.must(r.mail.Probed(r.t.Context(), r.open(), old, false))
		if end, ok := r.serverEnds(); !ok || !end.At.Equal(old.NotAfter) {
			r.t.Errorf("after a probe: %+v, %v", end, ok)
		}
		// Of an old profile's server nobody wants to know.
		before := r.open()
		r.save(func() mail.Change { c := keep(account()); c.SenderName = "Another"; return c }())
		r.must(r.mail.Accepted(r.t.Context(), before, renewed, 1))
		if end, _ := r.serverEnds(); end.At.Equal(renewed.NotAfter) {
			r.t.Error("news of old settings count")
		}
	})
}

func TestAPinnedServersCertificateDoesNotEnd(t *testing.T) {
	each(t, func(r *rig) {
		leaf := r.lab.Make(smtptest.Order{Name: "old appliance", From: -20 * 24 * time.Hour, Until: -time.Hour})
		other := r.lab.Make(smtptest.Order{DNS: []string{oldHost}, By: r.ca})
		r.save(account())
		r.must(r.mail.Accepted(r.t.Context(), r.open(), other.Certificate, 1))
		_, err := r.imports(admin, trust.ModePin, secret.Value{}, leaf)
		r.must(err)
		if end, ok := r.serverEnds(); ok {
			r.t.Errorf("the pin may be for what was seen last, which ends: %+v", end)
		}
		r.must(r.mail.Accepted(r.t.Context(), r.open(), leaf.Certificate, 1))
		if end, ok := r.serverEnds(); ok {
			r.t.Errorf("a pinned certificate ends: %+v", end)
		}
		// One that an authority vouches for ends, pins or not.
		r.must(r.mail.Accepted(r.t.Context(), r.open(), other.Certificate, 1))
		if end, ok := r.serverEnds(); !ok || !end.At.Equal(other.NotAfter) {
			r.t.Errorf("another certificate: %+v, %v", end, ok)
		}
	})
}
