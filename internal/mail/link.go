package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/consent"
	"github.com/sealpost/sealpost/internal/mail/graph"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/profile"
	"github.com/sealpost/sealpost/internal/mail/record"
	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/store"
)

// Link is a connection that letters leave on. It is for one goroutine.
type Link interface {
	// Send hands over the letters that next gives, which must not block, until
	// it gives none, and tells done of each, in order, numbered from 0. next and
	// done may be called at the same time from two goroutines. The error is what
	// ended the connection; each letter that next gave has its result all the
	// same.
	Send(ctx context.Context, next func() (smtp.Submission, bool), done func(int, smtp.Result)) error
	// Alive asks the other side whether it is still there.
	Alive(ctx context.Context) bool
	// Usable tells that nothing broke yet, Idle how long nothing was said.
	Usable() bool
	Idle() time.Duration
	// Certificate is the server's; nil without TLS.
	Certificate() *x509.Certificate
	Close() error
}

// PassesOnOverTLS tells that who is at the other end promises to pass letters on
// over TLS only, where that is asked (RFC 8689).
func PassesOnOverTLS(l Link) bool {
	c, ok := l.(interface {
		Caps() smtp.Caps
		Encrypted() bool
	})
	return ok && c.Caps().RequireTLS && c.Encrypted()
}

// DialHook is what somebody wants to see of a connection. Nil fields change
// nothing.
type DialHook struct {
	Observe    func(smtp.Event)
	Transcript *smtp.Transcript
	Timeouts   *smtp.Timeouts
}

// Dial connects and signs in, over SMTP or to Microsoft Graph. The error is an
// *smtp.Error.
func (t Transport) Dial(ctx context.Context, hook DialHook) (Link, error) {
	if t.graph != nil {
		o := t.Profile.Authority()
		mailbox := ""
		if o.Grant != oauth.Consent {
			mailbox = o.Mailbox
		}
		return linked(graph.Dial(ctx, graph.Config{
			URL: o.GraphURL, Mailbox: mailbox, Token: t.bearer, HTTP: t.graph, Observe: hook.Observe, Transcript: hook.Transcript,
		}))
	}
	cfg := t.Config
	cfg.Observe, cfg.Transcript = hook.Observe, hook.Transcript
	if hook.Timeouts != nil {
		cfg.Timeouts = *hook.Timeouts
	}
	return linked(smtp.Dial(ctx, cfg))
}

// linked keeps a nil pointer from becoming a Link that is not nil.
func linked[T Link](link T, err error) (Link, error) {
	if err != nil {
		return nil, err
	}
	return link, nil
}

// signIn lets the transport sign in with a token.
func (s *Service) signIn(t *Transport, d Draft, a token.Access) {
	p := d.Profile
	t.SecretVersion, t.bearer, t.source = a.Version, a.Token, d.source()
	t.SignedIn = SignedIn{
		Who: p.User(a.Who), Expires: a.Expires, Scopes: a.Scopes,
		SendAsApp: p.OAuth.Provider == oauth.Microsoft && p.OAuth.Grant == oauth.Application && oauth.HasRole(a.Token, oauth.SendAsApp),
	}
	if p.OAuth.Via == ViaGraph {
		t.graph = s.client.HTTP()
		return
	}
	t.Config.Auth = &smtp.Auth{
		Credential: sasl.Credential{Username: t.SignedIn.Who, Token: a.Token, Host: p.Host, Port: p.Port}, Mechanism: p.Mechanism,
	}
}

// source is where the draft's tokens come from.
func (d Draft) source() token.Source {
	o := d.Profile.Authority()
	return token.Source{ProfileID: d.Profile.ID, Bind: profile.TokenBind(d.Profile, d.Anchors), Settings: o.Settings, Credential: o.Credential(d.password)}
}

// access returns a token for what is stored, tryAccess one for a draft.
func (s *Service) access(ctx context.Context, d Draft) (token.Access, error) {
	a, err := s.tokens.Access(ctx, d.source())
	return a, s.tokenError(d.Profile, err)
}

func (s *Service) tryAccess(ctx context.Context, d Draft) (token.Access, error) {
	a, err := s.tokens.Try(ctx, d.source())
	return a, s.tokenError(d.Profile, err)
}

// tokenError makes a *Problem of why there is no token.
func (s *Service) tokenError(p Profile, err error) error {
	var e *oauth.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, token.ErrSignIn):
		return signInProblem(p)
	case errors.As(err, &e):
		return s.tokenProblem(p, e)
	}
	return err
}

// tokenProblem says what a refusal by the authority means.
func (s *Service) tokenProblem(p Profile, e *oauth.Error) *Problem {
	v := s.table.DecideGrant(e, p.OAuth.Provider)
	problem := ProblemOf(Transport{Profile: p}, v, e.Said())
	return &problem
}

func signInProblem(p Profile) *Problem {
	return &Problem{
		Revision: p.Revision, Row: RowSignIn, Remedy: verdict.RemedySignIn,
		Reason: "Nobody has signed in at the provider for these settings and trusted certificates yet.",
		Advice: "Sign in as " + p.Authority().Mailbox + " in the mail server settings.",
	}
}

// TokenRefused notes that the server refused the token of a transport. It
// reports whether another one is worth a try at once: call Open again then.
func (s *Service) TokenRefused(ctx context.Context, t Transport) (again bool, err error) {
	if t.Profile.Auth != AuthOAuth {
		return false, nil
	}
	return s.tokens.Refused(ctx, t.source, t.SecretVersion)
}

// Reach connects to the authority of a draft, for a test.
func (s *Service) Reach(ctx context.Context, d Draft) (tls.ConnectionState, error) {
	return s.client.Reach(ctx, d.Profile.Authority().Settings)
}

// KeepAlive uses what signs in to the provider once a day, so that it does not
// end for want of use while no mail leaves. Where it has ended, mail is paused,
// before a letter meets that. What sign-ins left that are over is forgotten here,
// since it holds secrets.
func (s *Service) KeepAlive(ctx context.Context) error {
	if err := s.db.Update(ctx, consent.Sweep); err != nil {
		return err
	}
	d, _, err := s.current(ctx)
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil || !d.Profile.WantsSignIn() || d.Profile.State == Paused || bound(d) != nil {
		return err
	}
	err = s.tokenError(d.Profile, s.tokens.KeepAlive(ctx, d.source()))
	var problem *Problem
	if errors.As(err, &problem) {
		switch {
		case problem.Passing:
			return nil // the token keeper tries again
		case d.Profile.State == Stopped:
			return s.ended(ctx, *problem)
		}
		return s.Pause(ctx, *problem)
	}
	if err == nil && d.Profile.State == Stopped && d.Profile.Problem != "" {
		return s.ended(ctx, Problem{Revision: d.Profile.Revision})
	}
	return err
}

// ended notes why nobody could sign in with a profile that is stopped, and that
// somebody can again where p has no row. Reason and advice stay those of the
// stop.
func (s *Service) ended(ctx context.Context, p Problem) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		st, ok, err := s.find(tx, true)
		if err != nil || !ok || st.Revision != p.Revision || st.State != Stopped || st.Problem == p.Row {
			return err
		}
		st.Problem, st.Remedy, st.Command, st.Reply, st.Link = p.Row, p.Remedy, p.Command, p.Reply, p.Link
		if err := record.Write(tx, st); err != nil || p.Row == "" {
			return err
		}
		tx.OnCommit(func() {
			s.log.Error("mail is stopped and could not be resumed", "server", st.Server(), "problem", p.Row, "reason", p.Reason, "said", p.Reply)
		})
		return s.audit.Append(tx, actor.System("delivery"), audit.Event{
			Action: "mail.sign_in_ended", Kind: "mail_server", ID: st.ID, Name: st.Server(), Reason: p.Reason,
			Detail: []audit.Detail{{Name: "provider said", Value: p.Reply}, {Name: "what to do", Value: p.Advice}},
		})
	})
}
