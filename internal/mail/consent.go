package mail

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/consent"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/record"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// Going leads to the authority.
type Going struct {
	// URL is where the person signs in, at Host.
	URL, Host string
	Provider  oauth.Provider
	// Mailbox is who should sign in.
	Mailbox string
	// Warning is a sentence about what will keep the sign-in from succeeding,
	// or "".
	Warning string
}

// Callback is how a person came back.
type Callback struct {
	Path  string
	Query url.Values
}

// Finished is what came of a sign-in.
type Finished struct {
	// Live tells that the profile works with it. Else the person has to decide:
	// see [Service.Deciding].
	Live bool
	ID   string
	// Who signed in.
	Who string
}

// Decision is what an administrator has to decide: whether somebody else than
// expected is right.
type Decision struct {
	ID string
	// Who signed in, of the directory WhoTenant.
	Who, WhoTenant string
	// Sender, Mailbox and Tenant are what the settings say.
	Sender, Mailbox, Tenant string
	OtherPerson             bool
	// OtherTenant is never accepted: the settings must change.
	OtherTenant bool
}

// BeginConsent checks c as Save does and keeps it until the person comes back
// from the authority: see [Service.Going]. What is stored goes on working.
// It is refused, at the field "access_url", to a browser that is not at the
// Access URL, since the person comes back there.
func (s *Service) BeginConsent(ctx context.Context, by actor.Actor, c Change, b Browser) (string, error) {
	c.Anyway, c.TestToken = true, ""
	var id string
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		d, was, err := s.settle(tx, by, c)
		if err != nil {
			return err
		}
		if !d.Profile.WantsSignIn() {
			return fault.Invalid("grant", "Nobody needs to sign in for these settings. Save them.")
		}
		before, err := s.storedDraft(tx, was)
		if err != nil {
			return err
		}
		if reroutes(before, d) {
			if err := s.prove(by); err != nil {
				return err
			}
		}
		id, err = s.begin(tx, by, c, d, was, b)
		return err
	})
	return id, err
}

// BeginAgain begins a sign-in with the settings that are stored, however broken
// the tokens are.
func (s *Service) BeginAgain(ctx context.Context, by actor.Actor, b Browser) (string, error) {
	if err := manage(by); err != nil {
		return "", err
	}
	p, ok, err := s.Active(ctx)
	if err != nil {
		return "", err
	}
	if !ok {
		return "", errNoServer
	}
	return s.BeginConsent(ctx, by, p.Change(), b)
}

func (s *Service) begin(tx *store.Tx, by actor.Actor, c Change, d Draft, was record.Row, b Browser) (string, error) {
	if was.ID == "" {
		if err := s.mayBegin(tx, ""); err != nil {
			return "", err
		}
	}
	full := d.Profile.Authority()
	site, err := s.letters.Site(tx)
	if err != nil {
		return "", err
	}
	access := cmp.Or(b.AccessURL, site.AccessURL)
	if err := consent.CheckOrigin(access, b.Origin, full.Provider); err != nil {
		return "", err
	}
	if by.UserID == "" || b.SessionID == "" {
		return "", fault.Denied("Somebody who is signed in to Sealpost in a browser begins this.")
	}
	k, err := s.client.NewConsent()
	if err != nil {
		return "", err
	}
	n := consent.Note{
		Change: c, Client: d.password.Reveal(), Typed: d.resealed, Base: was.Revision, BaseID: was.ID, Full: full,
		State: k.State.Reveal(), Nonce: k.Nonce.Reveal(), Verifier: k.Verifier.Reveal(), RedirectURI: consent.RedirectURI(access, full.RedirectPath),
	}
	w := consent.Waiting{ID: store.NewID(), Slot: s.slot, Session: b.SessionID, User: by.UserID, Stage: consent.Begun, Expires: tx.Now().Add(consent.Life)}
	if err = w.Seal(tx, s.keys, n); err != nil {
		return "", err
	}
	if err := consent.Insert(tx, w, n.State); err != nil {
		return "", err
	}
	if err := consent.Trim(tx, by.UserID); err != nil {
		return "", err
	}
	return w.ID, s.audit.Append(tx, by, audit.Event{
		Action: "mail.sign_in_begun", Kind: "mail_server", ID: was.ID, Name: d.Profile.Server(),
		Detail: []audit.Detail{{Name: "mailbox", Value: full.Mailbox}},
	})
}

var errNoConsent = fault.NotFound("This sign-in is not known here. It was begun in another browser, or longer than ten minutes ago. Begin again in the mail server settings.")

// noted returns a sign-in at a stage, to who began it.
func (s *Service) noted(ctx context.Context, by actor.Actor, id string, stage consent.Stage, b Browser) (consent.Note, error) {
	var n consent.Note
	if err := manage(by); err != nil {
		return n, err
	}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		w, err := consent.Find(tx, id)
		if fault.Is(err, fault.KindNotFound) || err == nil && (!w.Mine(by, b, tx.Now()) || w.Slot != s.slot || w.Stage != stage || len(w.Sealed) == 0) {
			return errNoConsent
		}
		if err == nil {
			n, err = w.Open(tx, s.keys)
		}
		return err
	})
	return n, err
}

// Going returns where the person goes to sign in.
func (s *Service) Going(ctx context.Context, by actor.Actor, id string, b Browser) (Going, error) {
	n, err := s.noted(ctx, by, id, consent.Begun, b)
	if err != nil {
		return Going{}, err
	}
	to, err := s.client.AuthorizeURL(n.Full.Settings, n.Pending(), n.RedirectURI)
	if err != nil {
		return Going{}, err
	}
	u, err := url.Parse(to)
	if err != nil {
		return Going{}, fault.Internal(err)
	}
	g := Going{URL: to, Host: u.Host, Provider: n.Full.Provider, Mailbox: n.Full.Mailbox}
	if ends := n.Full.SecretEnds; !ends.IsZero() && !ends.After(s.now()) {
		g.Warning = "The " + n.Full.SecretName() + " ended on " + ends.UTC().Format(time.DateOnly) + ". The provider will refuse it after you have signed in: replace it in the settings first."
	}
	return g, nil
}

// SlotOf returns the server that a person comes back for from the authority; the
// first one where nobody knows, which refuses such people in words.
func (s *Service) SlotOf(ctx context.Context, cb Callback) (Slot, error) {
	slot := Main
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		slot, err = consent.SlotOf(tx, cb.Query.Get("state"))
		return err
	})
	if fault.Is(err, fault.KindNotFound) {
		return Main, nil
	}
	return slot, err
}

// FinishConsent takes a person who comes back from the authority. A refusal by
// the authority is a *Problem. A state that is missing, somebody else's, used or
// too old is a fault, and audited; one that nobody ever had only now and then.
func (s *Service) FinishConsent(ctx context.Context, by actor.Actor, cb Callback, b Browser) (Finished, error) {
	if err := manage(by); err != nil {
		return Finished{}, err
	}
	w, n, err := s.take(ctx, by, cb, b)
	if err != nil {
		return Finished{}, err
	}
	tokens, err := s.exchange(ctx, cb, n)
	if err != nil {
		return Finished{ID: w.ID}, s.refusedSignIn(ctx, by, w, n, err)
	}
	n.Access, n.Refresh, n.Expires, n.Granted, n.Identity = tokens.Access.Reveal(), tokens.Refresh.Reveal(), tokens.Expires, tokens.Scopes, tokens.Identity
	n.OtherTenant = consent.OtherTenant(n.Full.Settings, tokens.Identity)
	if n.OtherTenant {
		// Nobody will use them.
		n.Access, n.Refresh = "", ""
	}
	if n.OtherTenant || n.OtherPerson() {
		return Finished{ID: w.ID, Who: n.Who()}, s.keepDecision(ctx, by, w, n)
	}
	if _, err = s.goLive(ctx, by, w.ID, n); err != nil {
		return Finished{ID: w.ID, Who: n.Who()}, s.refusedSignIn(ctx, by, w, n, err)
	}
	return Finished{Live: true, ID: w.ID, Who: n.Who()}, nil
}

// take finds the sign-in that a person comes back from and ends it: its code
// is tried once, by one. What is kept is in memory alone from then on.
func (s *Service) take(ctx context.Context, by actor.Actor, cb Callback, b Browser) (consent.Waiting, consent.Note, error) {
	var w consent.Waiting
	var n consent.Note
	var refusal error
	err := s.db.Update(ctx, func(tx *store.Tx) (err error) {
		w, n, refusal = consent.Waiting{}, consent.Note{}, nil
		state := cb.Query.Get("state")
		w, err = consent.Lock(tx, state)
		switch {
		case fault.Is(err, fault.KindNotFound):
			refusal = errNoConsent
			return s.auditStranger(tx, by, b)
		case err == nil && (!w.Mine(by, b, tx.Now()) || w.Slot != s.slot):
			refusal = errNoConsent
		case err != nil:
			return err
		case w.Stage != consent.Begun:
			refusal = fault.Conflict("This sign-in was used already. The mail server settings show what came of it; begin again there if it did not work.")
		default:
			if n, err = w.Open(tx, s.keys); err != nil {
				return err
			}
			if cb.Path != n.Full.RedirectPath {
				refusal = fault.Conflict("The provider sent you back to another address than the one that was chosen. Nothing was changed. Begin again in the mail server settings.")
			}
		}
		if refusal != nil {
			return s.auditRefusal(tx, by, n, fault.Sentence(refusal), "")
		}
		w.Stage, w.Sealed = consent.Done, nil
		return consent.Update(tx, w)
	})
	if err == nil {
		err = refusal
	}
	return w, n, err
}

// exchange turns what the person brought into tokens that last.
func (s *Service) exchange(ctx context.Context, cb Callback, n consent.Note) (oauth.Tokens, error) {
	u, err := url.Parse(n.Full.AuthorizeURL)
	if err != nil {
		return oauth.Tokens{}, fault.Internal(err)
	}
	if e := oauth.Refused(cb.Query, u.Host); e != nil {
		return oauth.Tokens{}, e
	}
	code := cb.Query.Get("code")
	if code == "" {
		return oauth.Tokens{}, &oauth.Error{Stage: oauth.StageAuthorize, Host: u.Host, Text: "the answer holds neither a code nor an error"}
	}
	tokens, err := s.client.Exchange(ctx, n.Full.Settings, n.Full.Credential(secret.New(n.Client)), n.Pending(), n.RedirectURI, secret.New(code))
	if err == nil && tokens.Refresh.IsZero() {
		return tokens, &oauth.Error{Stage: oauth.StageToken, Host: u.Host, Code: verdict.NoRefreshToken}
	}
	return tokens, err
}

// refusedSignIn audits that a sign-in came to nothing and says why in words. The
// settings are kept for a while: see [Service.BeginOnceMore].
func (s *Service) refusedSignIn(ctx context.Context, by actor.Actor, w consent.Waiting, n consent.Note, cause error) error {
	reason, reply := fault.Sentence(cause), ""
	if fault.Is(cause, fault.KindConflict) {
		// Who begins once more has been told, and means what is there by then.
		n.Revision = 0
	}
	var e *oauth.Error
	if errors.As(cause, &e) {
		p := s.tokenProblem(Profile{OAuth: n.Full, SenderAddress: n.SenderAddress, Host: n.Host, Auth: AuthOAuth, Kind: n.Kind}, e)
		cause, reason, reply = p, p.Reason, p.Reply
	}
	err := s.db.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		if err := s.auditRefusal(tx, by, n, reason, reply); err != nil {
			return err
		}
		return s.keepUnfinished(tx, w, n)
	})
	if err != nil {
		return errors.Join(cause, err)
	}
	return cause
}

// auditStranger notes a way back that belongs to no sign-in. Every page that a
// person looks at can lead there, so that it is noted a few times an hour, by a
// name of its own.
func (s *Service) auditStranger(tx *store.Tx, by actor.Actor, b Browser) error {
	if !s.strangers.Allow(by.UserID+" "+b.SessionID, s.now()) {
		return nil
	}
	return s.audit.Append(tx, by, audit.Event{
		Action: "mail.sign_in_unknown", Kind: "mail_server", Reason: fault.Sentence(errNoConsent), Outcome: audit.Failed,
	})
}

func (s *Service) auditRefusal(tx *store.Tx, by actor.Actor, n consent.Note, reason, said string) error {
	e := audit.Event{Action: "mail.sign_in_refused", Kind: "mail_server", Reason: reason, Outcome: audit.Failed}
	if n.Full.Mailbox != "" {
		e.Detail = append(e.Detail, audit.Detail{Name: "mailbox", Value: n.Full.Mailbox})
	}
	if said != "" {
		e.Detail = append(e.Detail, audit.Detail{Name: "provider said", Value: said})
	}
	return s.audit.Append(tx, by, e)
}

// keepDecision keeps what came of a sign-in until an administrator decides.
func (s *Service) keepDecision(ctx context.Context, by actor.Actor, w consent.Waiting, n consent.Note) error {
	return s.db.Update(ctx, func(tx *store.Tx) (err error) {
		w.Stage, w.Expires = consent.Deciding, tx.Now().Add(consent.Life)
		if err = w.Seal(tx, s.keys, n); err != nil {
			return err
		}
		if err := consent.Update(tx, w); err != nil || !n.OtherTenant {
			return err
		}
		return s.auditRefusal(tx, by, n, n.Who()+" belongs to another directory.", "")
	})
}

// Deciding returns what there is to decide.
func (s *Service) Deciding(ctx context.Context, by actor.Actor, id string, b Browser) (Decision, error) {
	n, err := s.noted(ctx, by, id, consent.Deciding, b)
	if err != nil {
		return Decision{}, err
	}
	return Decision{
		ID: id, Who: n.Who(), WhoTenant: n.Identity.Tenant, Sender: n.SenderAddress, Mailbox: n.Full.Mailbox, Tenant: n.Full.Tenant,
		OtherPerson: n.OtherPerson(), OtherTenant: n.OtherTenant,
	}, nil
}

// Decide accepts that another person signed in: letters come from the sender
// of the settings and leave through the mailbox of who signed in, as it is with
// a shared mailbox. It wants a fresh proof of who decides.
func (s *Service) Decide(ctx context.Context, by actor.Actor, id string, b Browser) (Profile, error) {
	n, err := s.noted(ctx, by, id, consent.Deciding, b)
	if err != nil {
		return Profile{}, err
	}
	if n.OtherTenant {
		return Profile{}, fault.Invalid("tenant", "Somebody of another directory cannot be accepted. Sign in with a mailbox of the directory in the settings, or type the other tenant there.")
	}
	if err := s.prove(by); err != nil {
		return Profile{}, err
	}
	n.OAuth.Mailbox = n.Who()
	return s.goLive(ctx, by, id, n)
}

// goLive stores the settings that waited for a sign-in together with its
// tokens. The settings are checked anew: what they were based on may have
// changed meanwhile.
func (s *Service) goLive(ctx context.Context, by actor.Actor, id string, n consent.Note) (Profile, error) {
	c := n.Change
	c.Client = Password{}
	if n.Client != "" {
		c.Client = Password{Action: Replace, Value: secret.New(n.Client)}
	}
	var saved Profile
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		was, _, err := s.find(tx, true)
		if err != nil {
			return err
		}
		if was.ID != n.BaseID || was.Revision != n.Base {
			return fault.Conflict("The mail server settings were changed by somebody else while you signed in. Look at them and sign in again.")
		}
		d, was, err := s.settle(tx, by, c)
		if err != nil {
			return err
		}
		// The authority took the secret a moment ago, and the tokens of before are
		// replaced.
		d.proven, d.moves = true, false
		if d.rebound = !n.Typed; d.rebound {
			d.Profile.OAuth.SecretSetAt = was.OAuth.SecretSetAt
		}
		tested, err := s.tested(tx, c, d, was)
		if err != nil {
			return err
		}
		if saved, err = s.store(tx, by, d, was, tested); err != nil {
			return err
		}
		d.Profile = saved
		tokens := n.Tokens()
		tokens.Identity.Name = n.Who()
		if err := s.tokens.Put(tx, d.source(), tokens, by.Login); err != nil {
			return err
		}
		if err := consent.Update(tx, consent.Waiting{ID: id, Stage: consent.Done, Expires: tx.Now().Add(consent.Life)}); err != nil {
			return err
		}
		return s.audit.Append(tx, by, audit.Event{
			Action: "mail.signed_in", Kind: "mail_server", ID: saved.ID, Name: saved.Server(),
			Detail: []audit.Detail{{Name: "signed in as", Value: n.Who()}, {Name: "sender address", Value: saved.SenderAddress}},
		})
	})
	return saved, err
}
