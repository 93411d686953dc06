package web

import (
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/web/checkup"
	"github.com/sealpost/sealpost/internal/web/page"
)

// letters returns whether letters leave through the first server, and how many
// there are.
func (s *Site) letters(v *visit) (gate outbox.Gate, n outbox.Counts, err error) {
	err = s.DB.View(v.ctx(), func(tx *store.Tx) error {
		if gate, err = s.Outbox.Gate(tx, outbox.Main); err != nil {
			return err
		}
		n, err = s.Outbox.Counts(tx)
		return err
	})
	return gate, n, err
}

// mailNow returns how a mail server stands, in words and as it is.
func (s *Site) mailNow(v *visit, slot mail.Slot) (page.MailState, mail.Health, error) {
	health, err := s.serverOf(slot).Health(v.ctx(), v.by)
	if err != nil {
		return page.MailState{}, health, err
	}
	both, err := s.Servers.State(v.ctx())
	if err != nil {
		return page.MailState{}, health, err
	}
	_, n, err := s.letters(v)
	state := mailState(health, both.Of(slot).Gate, n, s.Now())
	state.At = slot.SettingsPath()
	withCover(&state, both, slot)
	return state, health, err
}

// mailState says in words how mail stands.
func mailState(h mail.Health, gate outbox.Gate, n outbox.Counts, now time.Time) page.MailState {
	st := page.MailState{
		Waiting: n.Waiting, Oldest: n.Oldest, Accepted: n.Accepted24h, Delayed: n.Delayed, Failed: n.Lost24h(),
		Notes: h.Notes, Ends: mailEnds(h.Ends, now), Moving: h.Set,
	}
	if h.Set {
		st.LastAccepted, st.Server = h.Profile.LastAccepted, h.Profile.Server()
		st.Today, st.PerDay = h.SentToday, h.Profile.Limits().PerDay
	}
	if h.SignedIn {
		f := h.OAuth
		st.SignedIn = &page.MailSignedIn{Who: f.Who, Tenant: f.Tenant, By: f.SignedInBy, At: f.SignedInAt, Expires: f.Expires, Renewed: f.GotAt}
	}
	judgeMail(&st, h, gate)
	offerSignIn(&st, h)
	return st
}

// offerSignIn adds the button for whom the provider wants to see: where letters
// do not leave, whatever is the matter. It is the main one where that mends it.
func offerSignIn(st *page.MailState, h mail.Health) {
	p := h.Profile
	mends := p.Remedy == verdict.RemedySignIn && (p.State == mail.Paused || p.State == mail.Working && p.Problem != "")
	if !h.Set || !p.WantsSignIn() || !mends && p.State != mail.Paused && p.State != mail.Stopped {
		return
	}
	st.SignIn = "Sign in again"
	if !h.SignedIn {
		st.SignIn = "Sign in"
	}
	if mends {
		st.Act = "signin"
	}
}

// judgeMail sets the verdict and the one button that mends it.
func judgeMail(st *page.MailState, h mail.Health, gate outbox.Gate) {
	p := h.Profile
	switch {
	case !h.Set:
		st.Tone, st.Title, st.Text = "note", "No mail server is set up", "Invitations and other mail wait until there is one."
	case p.State == mail.Stopped:
		st.Tone, st.Title, st.Text, st.Act, st.Since = "warn", "Stopped", p.Reason, "resume", p.Since
	case p.State == mail.Paused:
		st.Tone, st.Title, st.Act, st.Since, st.NextTry = "bad", "Paused", "try", p.Since, p.NextProbe
		problemOf(st, h)
	case !gate.Open:
		st.Tone, st.Title, st.Text, st.Act, st.Since = "warn", "On hold", gate.Detail, "release", gate.Since
	case p.Problem != "":
		st.Tone, st.Title, st.Act = "warn", "Having trouble", "stop"
		problemOf(st, h)
	case p.Kind == mail.KindCapture:
		st.Tone, st.Title, st.Act = "note", "Capturing", "stop"
		st.Text = "Mail does not leave this machine: the capture mailbox keeps it."
	default:
		st.Tone, st.Title = delivering(p)
		st.Act = "stop"
		if p.LastAccepted.IsZero() {
			st.Text = "No letter has left through this server yet."
		}
	}
}

// delivering is the verdict on a server that takes letters. What an
// administrator accepted against advice stays in sight.
func delivering(p mail.Profile) (tone, title string) {
	switch {
	case p.InClear():
		return "bad", "Delivering, with the password in clear"
	case p.Exposed():
		return "warn", "Delivering, in clear"
	case p.SavedAnyway():
		return "warn", "Delivering, with settings that passed no test"
	}
	return "good", "Delivering"
}

func problemOf(st *page.MailState, h mail.Health) {
	p := h.Profile
	st.Text, st.Advice, st.Command, st.Reply, st.Link = p.Reason, p.Advice, p.Command, page.Said(p.Reply), p.Link
	st.Speaker = checkup.TheServer
	if p.Auth == mail.AuthOAuth {
		st.Reply = page.SaidWhole(p.Reply)
	}
	if h.FromAuthority || p.OAuth.Via == mail.ViaGraph {
		st.Speaker = checkup.Speaker(p.OAuth.Provider)
	}
}

// mailEnds returns what ends when, with a tone where that is near.
func mailEnds(ends []mail.End, now time.Time) []page.MailEnd {
	var all []page.MailEnd
	for _, e := range ends {
		end := page.MailEnd{What: e.What, At: e.At}
		switch {
		case e.At.Before(now):
			end.Tone = "bad"
		case e.Warn(now):
			end.Tone = "warn"
		}
		all = append(all, end)
	}
	return all
}

// mailStatePart answers with the state alone.
func (s *Site) mailStatePart(v *visit) error {
	state, _, err := s.mailNow(v, v.mail().slot)
	if err != nil {
		return err
	}
	return v.part(&page.MailSettings{}, "mail-state", state)
}

func (s *Site) resumeMail(v *visit) error {
	if err := v.mail().Resume(v.ctx(), v.by); err != nil {
		return s.settingsAgain(v, err)
	}
	return v.redirect(v.mail().path, "Letters leave now.")
}

func (s *Site) stopMail(v *visit) error {
	if err := v.mail().Stop(v.ctx(), v.by, v.text("reason")); err != nil {
		return s.settingsAgain(v, err)
	}
	notice := "All letters are kept back until somebody resumes."
	if two, err := s.twoServers(v); err != nil {
		return err
	} else if two {
		notice = "The letters of this server are kept back until somebody resumes."
	}
	return v.redirect(v.mail().path, notice)
}

func (s *Site) removeMail(v *visit) error {
	if err := v.mail().Remove(v.ctx(), v.by); err != nil {
		return s.settingsAgain(v, err)
	}
	if v.mail().slot == mail.Second {
		return v.redirect(mailSettingsPath, "The second mail server is removed. All letters leave through this one.")
	}
	return v.redirect(v.mail().path, "The mail server is removed. Letters wait until another one is set up.")
}

// settingsAgain shows the settings as they are stored, with why an act was not
// done.
func (s *Site) settingsAgain(v *visit, err error) error {
	p, pageErr := s.mailPage(v)
	if pageErr != nil {
		return pageErr
	}
	refuse(p, err)
	return v.again(p, err)
}
