package mail

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/profile"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	// consentLife is how long a person may take at the authority, and again to
	// decide.
	consentLife = 10 * time.Minute
	// consentLimit is how many sign-ins one user may have under way; the oldest
	// goes.
	consentLimit = 4
	// personalTenant is the directory of all personal Microsoft accounts.
	personalTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"
)

// Browser is where a person is.
type Browser struct {
	// SessionID is the session's. Who began a sign-in in one session cannot end
	// it in another.
	SessionID string
	// Origin is what the browser shows in its address bar, for example
	// "https://vault.example.org".
	Origin string
	// AccessURL is what the Access URL is about to become, where the form that
	// begins a sign-in changes it; empty takes the one that is stored.
	AccessURL string
}

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

// note is what a sign-in under way keeps sealed.
type note struct {
	Change
	// Password and Client shadow those of Change, which marshal as nothing.
	// Client is what proves the client, Typed tells that it is new.
	Password, Client string
	Typed            bool
	// Base is the revision that the change is of.
	Base                   int64
	Full                   OAuth
	State, Nonce, Verifier string
	RedirectURI            string
	// Access and the rest are what came of it.
	Access, Refresh string
	Expires         time.Time
	Granted         string
	Identity        oauth.Identity
	OtherTenant     bool
}

func (n note) consent() oauth.Pending {
	return oauth.Pending{State: secret.New(n.State), Nonce: secret.New(n.Nonce), Verifier: secret.New(n.Verifier)}
}

func (n note) tokens() oauth.Tokens {
	return oauth.Tokens{Access: secret.New(n.Access), Refresh: secret.New(n.Refresh), Expires: n.Expires, Scopes: n.Granted, Identity: n.Identity}
}

// who is the name that signs in to the server.
func (n note) who() string {
	if n.Identity.Name != "" {
		return n.Identity.Name
	}
	return n.Full.Mailbox
}

// otherPerson tells that somebody else signed in than the settings name. An
// authority that tells nobody's name leaves it to the mail server, which lets
// nobody in whose token is another's.
func (n note) otherPerson() bool {
	return !strings.EqualFold(n.who(), n.Full.Mailbox)
}

// otherTenant tells that who signed in belongs to another directory. A tenant
// that is typed as a domain is compared by its authority: that of a tenant
// gives out tokens of this tenant alone, but for personal accounts.
func otherTenant(o oauth.Settings, i oauth.Identity) bool {
	if o.Provider != oauth.Microsoft || i.Tenant == "" {
		return false
	}
	if strings.Contains(o.Tenant, ".") {
		return strings.EqualFold(i.Tenant, personalTenant)
	}
	return !strings.EqualFold(i.Tenant, o.Tenant)
}

// RedirectURI is the address that an authority sends people back to, as it
// must be registered there.
func RedirectURI(accessURL, path string) string { return strings.TrimSuffix(accessURL, "/") + path }

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

func (s *Service) begin(tx *store.Tx, by actor.Actor, c Change, d Draft, was stored, b Browser) (string, error) {
	full := d.Profile.Authority()
	site, err := s.letters.Site(tx)
	if err != nil {
		return "", err
	}
	access := cmp.Or(b.AccessURL, site.AccessURL)
	if err := checkOrigin(access, b.Origin, full.Provider); err != nil {
		return "", err
	}
	if by.UserID == "" || b.SessionID == "" {
		return "", fault.Denied("Somebody who is signed in to Sealpost in a browser begins this.")
	}
	k, err := s.client.NewConsent()
	if err != nil {
		return "", err
	}
	n := note{
		Change: c, Client: d.password.Reveal(), Typed: d.resealed, Base: was.Revision, Full: full,
		State: k.State.Reveal(), Nonce: k.Nonce.Reveal(), Verifier: k.Verifier.Reveal(), RedirectURI: RedirectURI(access, full.RedirectPath),
	}
	w := waiting{id: store.NewID(), session: b.SessionID, user: by.UserID, stage: stageBegun, expires: tx.Now().Add(consentLife)}
	if w.sealed, err = s.sealNote(tx, w, n); err != nil {
		return "", err
	}
	if err := insertWaiting(tx, w, hashed(n.State)); err != nil {
		return "", err
	}
	if err := sweepWaiting(tx, by.UserID, consentLimit); err != nil {
		return "", err
	}
	return w.id, s.audit.Append(tx, by, audit.Event{
		Action: "mail.sign_in_begun", Kind: "mail_server", ID: was.ID, Name: d.Profile.Server(),
		Detail: []audit.Detail{{Name: "mailbox", Value: full.Mailbox}},
	})
}

// checkOrigin makes sure that the person comes back to the page that they left,
// with the session that is theirs.
func checkOrigin(access, origin string, p oauth.Provider) error {
	refuse := func(sentence string) error { return fault.Invalid("access_url", sentence) }
	u, err := url.Parse(access)
	if err != nil || u.Host == "" {
		return refuse("Set the Access URL first: the provider sends you back there.")
	}
	if want := u.Scheme + "://" + u.Host; !strings.EqualFold(want, origin) {
		return refuse("The provider sends you back to " + want + ", and you are at " + shown(origin) + ". Open Sealpost at " + want + " and sign in from there, or correct the Access URL.")
	}
	if u.Scheme != "https" && p != oauth.Generic && !profile.OnThisMachine(u.Hostname()) {
		return refuse("The provider sends people back to addresses with https alone. Give Sealpost a certificate and an Access URL with https.")
	}
	return nil
}

func shown(origin string) string {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return "another address"
	}
	return u.Scheme + "://" + u.Host
}

// hashed is how a state lies in the database.
func hashed(state string) string {
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:])
}

// place binds what is kept to who began it.
func (w waiting) place() keyring.Place {
	return keyring.Place{Table: "mail_consent", Row: w.id, Column: "sealed", Bind: strconv.Quote("mail consent 1 "+w.session) + " " + strconv.Quote(w.user)}
}

func (s *Service) sealNote(tx *store.Tx, w waiting, n note) ([]byte, error) {
	text, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	return s.keys.Seal(tx, keyring.PurposeMail, w.place(), secret.FromBytes(text))
}

func (s *Service) openNote(tx *store.Tx, w waiting) (note, error) {
	var n note
	v, err := s.keys.Open(tx, w.place(), w.sealed)
	if err != nil {
		return n, err
	}
	return n, json.Unmarshal([]byte(v.Reveal()), &n)
}

// mine reports whether w is by's, in this browser, and not over.
func (w waiting) mine(by actor.Actor, b Browser, now time.Time) bool {
	return w.user == by.UserID && w.session == b.SessionID && b.SessionID != "" && now.Before(w.expires)
}

var errNoConsent = fault.NotFound("This sign-in is not known here. It was begun in another browser, or longer than ten minutes ago. Begin again in the mail server settings.")

// noted returns a sign-in at a stage, to who began it.
func (s *Service) noted(ctx context.Context, by actor.Actor, id, stage string, b Browser) (note, error) {
	var n note
	if err := manage(by); err != nil {
		return n, err
	}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		w, err := selectWaiting(tx, id)
		if fault.Is(err, fault.KindNotFound) || err == nil && (!w.mine(by, b, tx.Now()) || w.stage != stage || len(w.sealed) == 0) {
			return errNoConsent
		}
		if err == nil {
			n, err = s.openNote(tx, w)
		}
		return err
	})
	return n, err
}

// Going returns where the person goes to sign in.
func (s *Service) Going(ctx context.Context, by actor.Actor, id string, b Browser) (Going, error) {
	n, err := s.noted(ctx, by, id, stageBegun, b)
	if err != nil {
		return Going{}, err
	}
	to, err := s.client.AuthorizeURL(n.Full.Settings, n.consent(), n.RedirectURI)
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

// FinishConsent takes a person who comes back from the authority. A refusal by
// the authority is a *Problem. A state that is missing, somebody else's, used or
// too old is a fault, and audited.
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
		return Finished{ID: w.id}, s.refusedSignIn(ctx, by, w, n, err)
	}
	n.Access, n.Refresh, n.Expires, n.Granted, n.Identity = tokens.Access.Reveal(), tokens.Refresh.Reveal(), tokens.Expires, tokens.Scopes, tokens.Identity
	n.OtherTenant = otherTenant(n.Full.Settings, tokens.Identity)
	if n.OtherTenant {
		// Nobody will use them.
		n.Access, n.Refresh = "", ""
	}
	if n.OtherTenant || n.otherPerson() {
		return Finished{ID: w.id, Who: n.who()}, s.keepDecision(ctx, by, w, n)
	}
	_, err = s.goLive(ctx, by, w.id, n)
	return Finished{Live: err == nil, ID: w.id, Who: n.who()}, err
}

// take finds the sign-in that a person comes back from and ends it: its code
// is tried once, by one. What is kept is in memory alone from then on.
func (s *Service) take(ctx context.Context, by actor.Actor, cb Callback, b Browser) (waiting, note, error) {
	var w waiting
	var n note
	var refusal error
	err := s.db.Update(ctx, func(tx *store.Tx) (err error) {
		w, n, refusal = waiting{}, note{}, nil
		state := cb.Query.Get("state")
		w, err = lockWaiting(tx, hashed(state))
		switch {
		case fault.Is(err, fault.KindNotFound) || err == nil && (state == "" || !w.mine(by, b, tx.Now())):
			refusal = errNoConsent
		case err != nil:
			return err
		case w.stage != stageBegun:
			refusal = fault.Conflict("This sign-in was used already. The mail server settings show what came of it; begin again there if it did not work.")
		default:
			if n, err = s.openNote(tx, w); err != nil {
				return err
			}
			if cb.Path != n.Full.RedirectPath {
				refusal = fault.Conflict("The provider sent you back to another address than the one that was chosen. Nothing was changed. Begin again in the mail server settings.")
			}
		}
		if refusal != nil {
			return s.auditRefusal(tx, by, n, fault.Sentence(refusal), "")
		}
		w.stage, w.sealed = stageDone, nil
		return updateWaiting(tx, w)
	})
	if err == nil {
		err = refusal
	}
	return w, n, err
}

// exchange turns what the person brought into tokens that last.
func (s *Service) exchange(ctx context.Context, cb Callback, n note) (oauth.Tokens, error) {
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
	tokens, err := s.client.Exchange(ctx, n.Full.Settings, n.Full.Credential(secret.New(n.Client)), n.consent(), n.RedirectURI, secret.New(code))
	if err == nil && tokens.Refresh.IsZero() {
		return tokens, &oauth.Error{Stage: oauth.StageToken, Host: u.Host, Code: verdict.NoRefreshToken}
	}
	return tokens, err
}

// refusedSignIn audits that a sign-in came to nothing and says why in words. The
// settings are kept for a while: see [Service.BeginOnceMore].
func (s *Service) refusedSignIn(ctx context.Context, by actor.Actor, w waiting, n note, cause error) error {
	var e *oauth.Error
	if !errors.As(cause, &e) {
		return cause
	}
	p := s.tokenProblem(Profile{OAuth: n.Full, SenderAddress: n.SenderAddress, Host: n.Host, Auth: AuthOAuth, Kind: n.Kind}, e)
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		if err := s.auditRefusal(tx, by, n, p.Reason, p.Reply); err != nil {
			return err
		}
		return s.keepUnfinished(tx, w, n)
	})
	if err != nil {
		return err
	}
	return p
}

func (s *Service) auditRefusal(tx *store.Tx, by actor.Actor, n note, reason, said string) error {
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
func (s *Service) keepDecision(ctx context.Context, by actor.Actor, w waiting, n note) error {
	return s.db.Update(ctx, func(tx *store.Tx) (err error) {
		w.stage, w.expires = stageDeciding, tx.Now().Add(consentLife)
		if w.sealed, err = s.sealNote(tx, w, n); err != nil {
			return err
		}
		if err := updateWaiting(tx, w); err != nil || !n.OtherTenant {
			return err
		}
		return s.auditRefusal(tx, by, n, n.who()+" belongs to another directory.", "")
	})
}

// Deciding returns what there is to decide.
func (s *Service) Deciding(ctx context.Context, by actor.Actor, id string, b Browser) (Decision, error) {
	n, err := s.noted(ctx, by, id, stageDeciding, b)
	if err != nil {
		return Decision{}, err
	}
	return Decision{
		ID: id, Who: n.who(), WhoTenant: n.Identity.Tenant, Sender: n.SenderAddress, Mailbox: n.Full.Mailbox, Tenant: n.Full.Tenant,
		OtherPerson: n.otherPerson(), OtherTenant: n.OtherTenant,
	}, nil
}

// Decide accepts that another person signed in: letters come from the sender
// of the settings and leave through the mailbox of who signed in, as it is with
// a shared mailbox. It wants a fresh proof of who decides.
func (s *Service) Decide(ctx context.Context, by actor.Actor, id string, b Browser) (Profile, error) {
	n, err := s.noted(ctx, by, id, stageDeciding, b)
	if err != nil {
		return Profile{}, err
	}
	if n.OtherTenant {
		return Profile{}, fault.Invalid("tenant", "Somebody of another directory cannot be accepted. Sign in with a mailbox of the directory in the settings, or type the other tenant there.")
	}
	if err := s.prove(by); err != nil {
		return Profile{}, err
	}
	n.OAuth.Mailbox = n.who()
	return s.goLive(ctx, by, id, n)
}

// goLive stores the settings that waited for a sign-in together with its
// tokens. The settings are checked anew: what they were based on may have
// changed meanwhile.
func (s *Service) goLive(ctx context.Context, by actor.Actor, id string, n note) (Profile, error) {
	c := n.Change
	c.Client = Password{}
	if n.Client != "" {
		c.Client = Password{Action: Replace, Value: secret.New(n.Client)}
	}
	var saved Profile
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		was, _, err := selectProfile(tx, true)
		if err != nil {
			return err
		}
		if was.Revision != n.Base {
			return fault.Conflict("The mail server settings were changed by somebody else while you signed in. Look at them and sign in again.")
		}
		d, was, err := s.settle(tx, by, c)
		if err != nil {
			return err
		}
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
		tokens := n.tokens()
		tokens.Identity.Name = n.who()
		if err := s.tokens.Put(tx, d.source(), tokens, by.Login); err != nil {
			return err
		}
		if err := updateWaiting(tx, waiting{id: id, stage: stageDone, expires: tx.Now().Add(consentLife)}); err != nil {
			return err
		}
		return s.audit.Append(tx, by, audit.Event{
			Action: "mail.signed_in", Kind: "mail_server", ID: saved.ID, Name: saved.Server(),
			Detail: []audit.Detail{{Name: "signed in as", Value: n.who()}, {Name: "sender address", Value: saved.SenderAddress}},
		})
	})
	return saved, err
}
