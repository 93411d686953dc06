package mail

import (
	"context"
	"errors"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/consent"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/profile"
	"github.com/sealpost/sealpost/internal/mail/record"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/store"
)

// Save makes the profile what c says and lets letters leave, unless a person
// stopped them. Mail that goes another way than before, or to who shows another
// certificate, wants a fresh proof of who asks. Without a passed test of these values it wants c.Anyway. Faults
// of kind invalid name the fields; the code fault.CodeSecretRequired stands
// against "password" when the stored one is bound to another destination.
func (s *Service) Save(ctx context.Context, by actor.Actor, c Change) (Profile, error) {
	seen, err := s.preview(ctx, by, c)
	if err != nil {
		return Profile{}, err
	}
	if err := s.proveClient(ctx, &seen); err != nil {
		return Profile{}, err
	}
	var saved Profile
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		// The lock comes first, so that what is settled is what is changed.
		if _, _, err := s.find(tx, true); err != nil {
			return err
		}
		d, was, err := s.settle(tx, by, c)
		if err != nil {
			return err
		}
		if d.consent && !seen.consent || d.replaces && !seen.replaces {
			return errStale
		}
		if d.replaces && d.source().Bind == seen.source().Bind {
			d.proven, d.ended = seen.proven, seen.ended
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
		if err := s.holdAccount(tx, d.Profile); err != nil {
			return err
		}
		missing, err := s.missing(tx, d, before)
		if err != nil {
			return err
		}
		if missing != nil && !c.SignInLater && !d.ended {
			return fault.Invalid("oauth", missing.Reason+" "+missing.Advice).WithCode(fault.CodeSignIn)
		}
		tested, err := s.tested(tx, c, d, was)
		if err != nil {
			return err
		}
		if saved, err = s.store(tx, by, d, was, tested); err != nil || missing == nil || saved.State == Stopped {
			return err
		}
		st, _, err := s.find(tx, true)
		if err != nil {
			return err
		}
		missing.Revision = st.Revision
		err = s.pause(tx, by, &st, *missing)
		saved = st.Profile
		return err
	})
	return saved, err
}

// proveClient tries a new secret of the client, or another certificate, before
// it takes the place of the one that works. Where the authority wants a person to
// sign in again, the secret is taken: nothing works without one that does.
func (s *Service) proveClient(ctx context.Context, d *Draft) error {
	if !d.replaces {
		return nil
	}
	err := s.tokens.Prove(ctx, d.source())
	if errors.Is(err, token.ErrSignIn) {
		return nil
	}
	var e *oauth.Error
	if !errors.As(err, &e) {
		d.proven = err == nil
		return err
	}
	p := s.tokenProblem(d.Profile, e)
	if p.Remedy == verdict.RemedySignIn {
		d.ended = true
		return nil
	}
	o := d.Profile.OAuth
	return fault.Invalid(o.SecretField(), "The new "+o.SecretName()+" was tried and does not work, so that nothing was changed. "+p.Reason+" "+p.Advice+" ("+p.Reply+")").Because(err)
}

// missing returns the problem that nobody has signed in at the provider for
// these settings, and nil where somebody has or nobody needs to.
func (s *Service) missing(tx *store.Tx, d, before Draft) (*Problem, error) {
	if !d.Profile.WantsSignIn() {
		return nil, nil
	}
	if d.Profile.ID != "" {
		if ok, err := s.keepsTokens(tx, before, d); ok || err != nil {
			return nil, err
		}
	}
	return signInProblem(d.Profile), nil
}

// keepsTokens reports whether somebody has signed in for what after becomes,
// or for what it was before and the tokens move. Tokens that nobody has yet
// proved the secret of after to be right for count as none.
func (s *Service) keepsTokens(tx *store.Tx, before, after Draft) (bool, error) {
	switch {
	case after.moves:
		return s.tokens.Opens(tx, before.source())
	case after.resealed && !after.rebound && !after.proven:
		return false, nil
	}
	return s.tokens.Opens(tx, after.source())
}

// reroutes reports whether mail goes to another server, or there in another
// way, or to who shows another certificate.
func reroutes(before, after Draft) bool {
	b, a := before.Profile, after.Profile
	if a.Auth == AuthOAuth && (b.Auth != AuthOAuth || profile.TokenBind(b, before.Anchors) != profile.TokenBind(a, after.Anchors)) {
		return true
	}
	return b.Kind != a.Kind || b.Host != a.Host || b.Port != a.Port || b.Security != a.Security ||
		trust.SetDigest(before.Anchors) != trust.SetDigest(after.Anchors)
}

// holdAccount makes sure that the account of a profile is still there when the
// profile is stored. Who deletes one asks for its uses before: see UsesOf.
func (s *Service) holdAccount(tx *store.Tx, p Profile) error {
	if p.Auth != AuthAccount || s.secrets == nil {
		return nil
	}
	_, err := s.secrets.HoldAccount(tx, p.AccountID)
	if fault.Is(err, fault.KindNotFound) {
		return fault.Invalid("account", "This account is gone. Choose another one.").Because(err)
	}
	return err
}

// tested returns what is known of tests of the draft: by the token of one that
// just passed, or because nothing that a test is about changed since. Settings
// for which somebody signed in were tried by that.
func (s *Service) tested(tx *store.Tx, c Change, d Draft, was record.Row) (proof, error) {
	if d.Profile.Kind == KindCapture {
		return proof{}, nil
	}
	if c.TestToken != "" {
		p, ok, err := s.readToken(tx, c.TestToken, d)
		if err != nil || ok {
			return p, err
		}
	}
	if (!was.TestedAt.IsZero() || was.WantsSignIn()) && was.Kind != KindCapture && (!d.resealed || d.rebound || d.replaces) {
		before, err := s.storedDraft(tx, was)
		if err != nil {
			return proof{}, err
		}
		if d.values() == before.values() {
			return proof{at: was.TestedAt, certEnds: was.ServerCertificateEnds}, nil
		}
	}
	if !c.Anyway {
		return proof{}, fault.Invalid("anyway", "Test these settings first, or choose Save anyway.")
	}
	return proof{}, nil
}

// storedDraft returns what is stored as a draft, without its password.
func (s *Service) storedDraft(tx *store.Tx, was record.Row) (Draft, error) {
	anchors, err := record.Anchors(tx, was.ID)
	return Draft{Profile: was.Profile, Anchors: anchors}, err
}

// store writes a settled draft with its audit entry and opens the gate.
func (s *Service) store(tx *store.Tx, by actor.Actor, d Draft, was record.Row, tested proof) (Profile, error) {
	before, err := s.storedDraft(tx, was)
	if err != nil {
		return Profile{}, err
	}
	now := tx.Now()
	next := record.Row{Profile: d.Profile, Sealed: was.Sealed}
	if was.ID == "" {
		next.ID, next.Slot = store.NewID(), s.slot
		if err := s.mayBegin(tx, tx.ForShare()); err != nil {
			return Profile{}, err
		}
		next.State, next.Since = Working, now
		if was.Revision, err = record.LastRevision(tx); err != nil {
			return Profile{}, err
		}
	}
	d.Profile.ID = next.ID
	if d.resealed || d.Profile.Auth == AuthNone || d.Profile.Auth == AuthOAuth && !d.Profile.OAuth.HasCredential() {
		if next.Sealed, err = s.seal(tx, d); err != nil {
			return Profile{}, err
		}
	}
	switch {
	case d.Profile.Auth != AuthTyped:
		next.PasswordSetAt = store.FromMicros(0)
	case d.resealed:
		next.PasswordSetAt = now
	}
	next.Revision, next.ChangedAt, next.ChangedBy = was.Revision+1, now, by.Login
	next.TestedAt, next.ServerCertificateEnds = tested.at, tested.certEnds
	if next.Kind != was.Kind || next.Server() != was.Server() || next.OAuth.Via != was.OAuth.Via {
		next.LastAccepted = store.FromMicros(0) // it was another one that took letters
	}
	if next.State != Stopped {
		work(&next, now)
		if err := s.gate.OpenGate(tx); err != nil {
			return Profile{}, err
		}
	}
	if err := record.Write(tx, next); err != nil {
		return Profile{}, err
	}
	if err := record.WriteOAuth(tx, next); err != nil {
		return Profile{}, err
	}
	if err := record.WriteAnchors(tx, next.ID, d.Anchors); err != nil {
		return Profile{}, err
	}
	if err := s.moveTokens(tx, before, d); err != nil {
		return Profile{}, err
	}
	if err := s.paces.Lift(tx, next.ID); err != nil {
		return Profile{}, err
	}
	detail, err := s.inWords(tx, differences(before, d))
	if err != nil {
		return Profile{}, err
	}
	action := "mail.saved"
	if next.SavedAnyway() {
		action = "mail.saved_untested"
	}
	return next.Profile, s.audit.Append(tx, by, audit.Event{
		Action: action, Kind: "mail_server", ID: next.ID, Name: next.Server(), Detail: detail,
	})
}

// moveTokens takes tokens along where that was decided, and forgets all that
// the secret which is sealed from now on was not proved for: else whoever makes
// up a secret and has it sealed would own the tokens by it, and could take them
// to certificates of his own. So tokens never outlive the sealing of a secret
// other than by its being equal to the one before, or taken by the authority.
func (s *Service) moveTokens(tx *store.Tx, before, after Draft) error {
	if before.Profile.Auth != AuthOAuth {
		return nil
	}
	from, to := before.source(), after.source()
	if after.Profile.Auth == AuthOAuth {
		switch keeps, err := s.keepsTokens(tx, before, after); {
		case err != nil:
			return err
		case keeps && after.moves:
			return s.tokens.Rebind(tx, from, to)
		case keeps, from.Bind == to.Bind && (!after.resealed || after.proven):
			return nil
		}
	}
	return s.tokens.Drop(tx, before.Profile.ID)
}

// Differences returns what Save of c would change, in the words of its audit
// entry, and nothing where all is as c says. A password to be replaced by the
// same one is no difference. It answers the operator alone: asked by others, it
// would be a way to guess the stored password.
func (s *Service) Differences(ctx context.Context, by actor.Actor, c Change) ([]audit.Detail, error) {
	if by.Kind != actor.KindOperator && by.Kind != actor.KindSystem {
		return nil, fault.Denied("Only the operator compares settings with a password.")
	}
	var out []audit.Detail
	err := s.db.View(ctx, func(tx *store.Tx) error {
		d, was, err := s.settle(tx, by, c)
		if err != nil {
			return err
		}
		before, err := s.storedDraft(tx, was)
		if err != nil {
			return err
		}
		if d.resealed && (d.Profile.Auth == AuthTyped || d.Profile.Auth == AuthOAuth) {
			have, err := s.opens(tx, d.Profile, d.Anchors, was.Sealed)
			if err != nil {
				return err
			}
			d.resealed = !have.Equal(d.password)
		}
		out = differences(before, d)
		if d.consent && was.AccountID == d.Profile.AccountID {
			out = append(out, audit.Detail{Name: "account", Value: "allowed with these settings"})
		}
		return nil
	})
	return out, err
}

// differences tells what changed, secrets by name only.
func differences(before, after Draft) []audit.Detail {
	replaced := ""
	if after.resealed && !after.rebound {
		switch p := after.Profile; p.Auth {
		case AuthTyped:
			replaced = "password"
		case AuthOAuth:
			replaced = p.OAuth.SecretName()
		}
	}
	return profile.Differences(before.Profile, after.Profile, before.Anchors, after.Anchors, replaced)
}

// inWords names accounts as a person knows them.
func (s *Service) inWords(tx *store.Tx, details []audit.Detail) ([]audit.Detail, error) {
	for i, d := range details {
		if d.Name != "account" {
			continue
		}
		var err error
		if details[i].Before, err = s.accountName(tx, d.Before); err != nil {
			return nil, err
		}
		if details[i].After, err = s.accountName(tx, d.After); err != nil {
			return nil, err
		}
	}
	return details, nil
}

func (s *Service) accountName(tx *store.Tx, id string) (string, error) {
	if id == "" || s.secrets == nil {
		return id, nil
	}
	name, err := s.secrets.HoldAccount(tx, id)
	if fault.Is(err, fault.KindNotFound) {
		return "one that is gone", nil
	}
	return name, err
}

// mayBegin refuses a second server where there is no first one. Words are as in
// [record.Find].
func (s *Service) mayBegin(tx *store.Tx, words string) error {
	if s.slot == Main {
		return nil
	}
	if _, ok, err := record.Find(tx, Main, words); ok || err != nil {
		return err
	}
	return fault.Conflict("Set up the first mail server before a second one.")
}

// Remove deletes the profile with its certificates and its secret, for who
// proved a moment ago who they are. Letters are held from then on, unless there
// is another server to leave through. The first server stays as long as there is
// a second one.
func (s *Service) Remove(ctx context.Context, by actor.Actor) error {
	if err := manage(by); err != nil {
		return err
	}
	if err := s.prove(by); err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		p, ok, err := s.active(tx, true)
		if err != nil {
			return err
		}
		if !ok {
			return errNoServer
		}
		if s.slot == Main {
			if _, two, err := record.Find(tx, Second, tx.ForShare()); err != nil {
				return err
			} else if two {
				return fault.Conflict("Letters need a first mail server. Make the second one the first before you remove this one, or remove the second one first.")
			}
		}
		if err := s.forget(tx, p); err != nil {
			return err
		}
		if err := s.gate.CloseGate(tx, gateNoServer, "No mail server is set up yet."); err != nil {
			return err
		}
		if err := s.removed(tx, by); err != nil {
			return err
		}
		return s.audit.Append(tx, by, audit.Event{Action: "mail.removed", Kind: "mail_server", ID: p.ID, Name: p.Server()})
	})
}

// Exchange makes the second server the first, and the first the second, as a part
// of tx, and returns what they were before. The profiles keep what is theirs:
// secrets, tokens, certificates, state and pace. Forms and sign-ins that were
// about one of them fit neither any more.
func (s *Service) Exchange(tx *store.Tx) (first, second Profile, err error) {
	for _, slot := range Slots() {
		st, ok, err := record.Find(tx, slot, tx.ForUpdate())
		if err != nil {
			return first, second, err
		}
		if !ok {
			return first, second, fault.NotFound("There are no two mail servers that could change places.")
		}
		first, second = second, st.Profile
	}
	return first, second, errors.Join(record.Exchange(tx), consent.Forget(tx, Main), consent.Forget(tx, Second))
}

// forget deletes a profile with all that is kept for it.
func (s *Service) forget(tx *store.Tx, p Profile) error {
	if err := record.NoteRevision(tx, s.slot, p.Revision); err != nil {
		return err
	}
	if err := record.Delete(tx, p.ID); err != nil {
		return err
	}
	if err := errors.Join(consent.Forget(tx, s.slot), s.paces.Forget(tx, p.ID)); err != nil {
		return err
	}
	if p.Auth != AuthOAuth {
		return nil
	}
	return s.tokens.Drop(tx, p.ID)
}
