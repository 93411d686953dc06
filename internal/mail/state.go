package mail

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/record"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/store"
)

// probeDelays are the waits before the first, second, ... try of a paused
// profile; the last one repeats.
func probeDelays() []time.Duration {
	return []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}
}

// acceptedEvery bounds how often a success is written down.
const acceptedEvery = time.Second

// work makes the profile one that works and knows no problem.
func work(s *record.Row, now time.Time) {
	if s.State != Working {
		s.State, s.Since = Working, now
	}
	met(s, Problem{})
	s.Probes, s.NextProbe, s.ProblemSecret = 0, time.Time{}, 0
}

// met writes down why mail does not leave.
func met(s *record.Row, p Problem) {
	s.Problem, s.Reason, s.Advice, s.Command, s.Reply, s.Link, s.Remedy = p.Row, p.Reason, p.Advice, p.Command, p.Reply, p.Link, p.Remedy
}

// ProblemOf makes a problem of a verdict on a transport; reply is what the
// server said, or "".
func ProblemOf(t Transport, v verdict.Verdict, reply string) Problem {
	v = t.Profile.Means(v)
	return Problem{
		Revision: t.Profile.Revision, SecretVersion: t.SecretVersion,
		Row: v.Row, Reason: v.Meaning, Advice: v.Mend, Command: v.Command, Reply: reply,
		Link: v.Link, Remedy: v.Remedy, Passing: v.Act == verdict.Retry, After: v.After,
	}
}

// Pause keeps all letters back for the reason of p and sets the time of the
// next probe: 1, 5, 15 and then 60 minutes after one another, and no earlier
// than p wants it. It does nothing when the profile has changed since p was met,
// when a person stopped it, and when it is paused already and no probe was due.
//
// The first pause is audited, later ones only count. That holds beyond a probe
// too: one that met the same problem with the first letter after it goes on with
// the pause from before, and who is told of pauses hears of it once.
func (s *Service) Pause(ctx context.Context, p Problem) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		st, ok, err := s.find(tx, true)
		if err != nil || !ok || st.Revision != p.Revision || st.State == Stopped {
			return err
		}
		if st.State == Paused && tx.Now().Before(st.NextProbe) && st.ProblemSecret == p.SecretVersion {
			return nil
		}
		return s.pause(tx, actor.System("delivery"), &st, p)
	})
}

func (s *Service) pause(tx *store.Tx, by actor.Actor, st *record.Row, p Problem) error {
	now := tx.Now()
	fresh := st.State != Paused && (st.Probes == 0 || st.Problem != p.Row)
	if st.State != Paused {
		st.State, st.Since = Paused, now
	}
	met(st, p)
	delays := probeDelays()
	st.NextProbe = now.Add(max(delays[min(st.Probes, len(delays)-1)], p.After))
	st.Probes++
	st.ProblemSecret = p.SecretVersion
	if err := record.Write(tx, *st); err != nil {
		return err
	}
	if err := s.gate.CloseGate(tx, gatePaused, p.Reason); err != nil || !fresh {
		return err
	}
	tx.OnCommit(func() {
		s.log.Error("mail is paused, letters wait", "server", st.Server(), "problem", p.Row, "reason", p.Reason, "said", p.Reply)
	})
	event := audit.Event{
		Action: "mail.paused", Kind: "mail_server", ID: st.ID, Name: st.Server(), Reason: p.Reason,
		Detail: []audit.Detail{{Name: "problem", Value: p.Row}, {Name: "server said", Value: p.Reply}, {Name: "what to do", Value: p.Advice}},
	}
	if p.Command != "" {
		event.Detail = append(event.Detail, audit.Detail{Name: "command", Value: p.Command})
	}
	return s.audit.Append(tx, by, event)
}

// Troubled notes why the server cannot be used for the moment, while the
// profile goes on working and letters stay due. Pages show it; the next letter
// that the server takes ends it, and so does a problem without a row. That the
// recipients of a day are used up is audited once a day.
func (s *Service) Troubled(ctx context.Context, p Problem) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		st, ok, err := s.find(tx, true)
		if err != nil || !ok || st.Revision != p.Revision || st.State != Working || st.Problem == p.Row {
			return err
		}
		met(&st, p)
		if err := record.Write(tx, st); err != nil || p.Row != RowDailyLimit {
			return err
		}
		news, err := s.paces.Tell(tx, st.ID)
		if err != nil || !news {
			return err
		}
		return s.audit.Append(tx, actor.System("delivery"), audit.Event{
			Action: "mail.limited", Kind: "mail_server", ID: st.ID, Name: st.Server(), Reason: p.Reason,
			Detail: []audit.Detail{{Name: "what to do", Value: p.Advice}},
		})
	})
}

// Probed lets letters leave again after a connection made with t stood the
// test. The next pause goes on in the row of delays until a letter is
// accepted. Server is the certificate that the connection saw, nil without TLS:
// its end is what pages warn of.
//
// Where letters are waiting, the pause is over for sure, and audited as over,
// with the first of them that the server takes; until then the problem is shown
// as trouble. A sign-in proves little where letters are what is refused: each
// probe would be told as an end, and the next letter as a new pause.
func (s *Service) Probed(ctx context.Context, t Transport, server *x509.Certificate, waiting bool) error {
	return s.success(ctx, t, server, taken{probe: true, waiting: waiting})
}

// Accepted notes that the server took letters on a connection made with t, and
// counts n recipients: those that no grant of package pace counted. It does not end a
// pause: the connection may be older than what the pause is for. For server see
// [Service.Probed].
func (s *Service) Accepted(ctx context.Context, t Transport, server *x509.Certificate, n int) error {
	return s.success(ctx, t, server, taken{recipients: n})
}

// taken is what a server took: a sign-in for a probe, while letters were
// waiting or not, or letters.
type taken struct {
	probe, waiting bool
	recipients     int
}

func (s *Service) success(ctx context.Context, t Transport, server *x509.Certificate, what taken) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		st, ok, err := s.find(tx, true)
		if err != nil || !ok || st.ID != t.Profile.ID || st.Revision != t.Profile.Revision {
			return err
		}
		if err := s.paces.Sent(tx, st.ID, what.recipients); err != nil {
			return err
		}
		now, letter := tx.Now(), !what.probe
		resumed := st.State == Paused && what.probe
		over := resumed && !what.waiting || letter && st.State == Working && st.Probes > 0
		ends := t.CertificateEnds(server)
		renewed := !ends.Equal(st.ServerCertificateEnds)
		st.ServerCertificateEnds = ends
		if !resumed && !renewed && (!letter || st.Probes == 0 && st.Problem == "" && now.Sub(st.LastAccepted) < acceptedEvery) {
			return nil
		}
		if letter {
			st.LastAccepted = now
		}
		switch {
		case over || letter && st.State == Working:
			work(&st, now)
		case resumed:
			st.State, st.Since, st.NextProbe, st.ProblemSecret = Working, now, time.Time{}, 0
		}
		if resumed {
			if err := s.gate.OpenGate(tx); err != nil {
				return err
			}
		}
		if err := record.Write(tx, st); err != nil || !over {
			return err
		}
		return s.audit.Append(tx, actor.System("delivery"), audit.Event{
			Action: "mail.resumed", Kind: "mail_server", ID: st.ID, Name: st.Server(),
		})
	})
}

// Stop keeps all letters back until Resume. Reason is what the person gives
// for it, at most 200 characters.
func (s *Service) Stop(ctx context.Context, by actor.Actor, reason string) error {
	if err := manage(by); err != nil {
		return err
	}
	if len([]rune(reason)) > 200 {
		return fault.Invalid("reason", "The reason is longer than 200 characters.")
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		st, ok, err := s.find(tx, true)
		if err != nil {
			return err
		}
		if !ok {
			return errNoServer
		}
		work(&st, tx.Now())
		st.State, st.Since = Stopped, tx.Now()
		st.Reason = "Stopped by " + by.Login + "."
		if reason != "" {
			st.Reason = "Stopped by " + by.Login + ": " + reason
		}
		st.Advice = "Resume it in the mail server settings."
		if err := record.Write(tx, st); err != nil {
			return err
		}
		if err := s.gate.CloseGate(tx, gateOperator, st.Reason); err != nil {
			return err
		}
		return s.audit.Append(tx, by, audit.Event{Action: "mail.stopped", Kind: "mail_server", ID: st.ID, Name: st.Server(), Reason: reason})
	})
}

// Resume lets letters leave now, whoever or whatever paused them.
func (s *Service) Resume(ctx context.Context, by actor.Actor) error {
	if err := manage(by); err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		st, ok, err := s.find(tx, true)
		if err != nil {
			return err
		}
		if !ok {
			return errNoServer
		}
		work(&st, tx.Now())
		if err := record.Write(tx, st); err != nil {
			return err
		}
		if err := errors.Join(s.gate.OpenGate(tx), s.paces.Lift(tx, st.ID)); err != nil {
			return err
		}
		return s.audit.Append(tx, by, audit.Event{Action: "mail.resumed", Kind: "mail_server", ID: st.ID, Name: st.Server()})
	})
}

// Standing tells delivery what to do.
type Standing struct {
	Profile Profile
	// Set is false while there is no profile.
	Set bool
	// Send: letters may leave. Probe: the profile is paused and a connection
	// should be tried now. NextProbe is when, if not now.
	Send, Probe bool
	NextProbe   time.Time
}

// Standing returns what delivery should do. A paused profile whose account got
// another password since is due for a probe at once.
func (s *Service) Standing(ctx context.Context) (Standing, error) {
	var st Standing
	var due bool
	var problemSecret int64
	err := s.db.View(ctx, func(tx *store.Tx) error {
		have, ok, err := s.find(tx, false)
		st.Profile, st.Set, problemSecret = have.Profile, ok, have.ProblemSecret
		due = !tx.Now().Before(st.Profile.NextProbe)
		return err
	})
	if err != nil || !st.Set {
		return st, err
	}
	st.Send = st.Profile.State == Working
	if st.Profile.State != Paused {
		return st, nil
	}
	st.NextProbe, st.Probe = st.Profile.NextProbe, due
	if !due && st.Profile.Auth == AuthAccount && s.secrets != nil {
		c, err := s.secrets.Current(ctx, st.Profile.AccountID)
		st.Probe = err == nil && c.Version != problemSecret
	}
	return st, nil
}
