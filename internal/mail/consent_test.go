package mail_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/store"
)

func TestAMailboxSignsInOnceAndMailIsLive(t *testing.T) {
	eachOffice(t, func(o *office) {
		id := o.begin(o.microsoft())
		if _, set, _ := o.mail.Active(o.t.Context()); set {
			o.t.Fatal("the profile is there before anybody signed in")
		}
		going, err := o.mail.Going(o.t.Context(), admin, id, o.browser)
		o.must(err)
		u, err := url.Parse(going.URL)
		o.must(err)
		q := u.Query()
		if going.Host != o.ours.host() || going.Mailbox != sender || going.Warning != "" || q.Get("login_hint") != sender ||
			q.Get("redirect_uri") != accessURL+mail.RedirectOwn || q.Get("code_challenge_method") != "S256" || len(q.Get("state")) < 22 || q.Get("nonce") == "" {
			o.t.Errorf("it leads to %+v", going)
		}
		done, err := o.finish(o.away(id))
		o.must(err)
		if !done.Live || done.Who != sender {
			o.t.Errorf("the sign-in ended with %+v", done)
		}
		p := o.wantState(mail.Working)
		if p.Kind != mail.KindMicrosoft || p.Host != outlook || p.SavedAnyway() || p.OAuth.SecretSetAt.IsZero() {
			o.t.Errorf("the profile is %+v", p)
		}
		transport := o.open()
		auth := transport.Config.Auth
		if auth == nil || auth.Credential.Username != sender || auth.Credential.Token.Reveal() != "access-token-1" || !auth.Credential.Password.IsZero() || transport.Config.AllowClearAuth {
			o.t.Errorf("it signs in with %+v", auth)
		}
		if got := o.ours.grants("authorization_code"); got != 1 {
			o.t.Errorf("%d codes were exchanged", got)
		}
		for _, action := range []string{"mail.sign_in_begun", "mail.signed_in", "mail.saved"} {
			if len(o.audited(action)) != 1 {
				o.t.Errorf("%s is not audited", action)
			}
		}
		h, err := o.mail.Health(o.t.Context(), admin)
		o.must(err)
		if !h.SignedIn || h.OAuth.Who != sender || h.OAuth.SignedInBy != "grace" {
			o.t.Errorf("health says %+v", h)
		}
		if _, sealed := o.waiting(); sealed != 0 {
			o.t.Error("the sign-in keeps what it does not need any more")
		}
	})
}

// What is stored works until the sign-in has succeeded.
func TestTheProfileOfBeforeGoesOnMeanwhile(t *testing.T) {
	eachOffice(t, func(o *office) {
		o.save(typed())
		cb := o.away(o.begin(o.microsoft()))
		if p := o.wantState(mail.Working); p.Kind != mail.KindSMTP {
			o.t.Fatalf("the profile became %+v", p)
		}
		o.must(o.signIn(o.open()))
		o.ours.set(func() {
			o.ours.refusal = `{"error":"invalid_client","error_description":"AADSTS7000222: The provided client secret keys are expired.","error_codes":[7000222]}`
		})
		_, err := o.finish(cb)
		if p := o.wantProblem(err); !strings.Contains(p.Reply, "AADSTS7000222") || p.Remedy != verdict.RemedySettings {
			o.t.Errorf("the refusal is %+v", p)
		}
		o.must(o.signIn(o.open()))
		o.ours.set(func() { o.ours.refusal = "" })
		o.setUp(o.microsoft())
		if got := o.active().Kind; got != mail.KindMicrosoft {
			o.t.Errorf("it is %s", got)
		}
	})
}

// tamper is something that is wrong with the way back.
type tamper struct {
	name string
	do   func(o *office, cb *mail.Callback, by *actor.Actor, b *mail.Browser)
}

func tampers() []tamper {
	return []tamper{
		{"no state", func(_ *office, cb *mail.Callback, _ *actor.Actor, _ *mail.Browser) { cb.Query.Del("state") }},
		{"empty state", func(_ *office, cb *mail.Callback, _ *actor.Actor, _ *mail.Browser) { cb.Query.Set("state", "") }},
		{"another state", func(_ *office, cb *mail.Callback, _ *actor.Actor, _ *mail.Browser) {
			cb.Query.Set("state", strings.Repeat("A", 43))
		}},
		{"another session", func(_ *office, _ *mail.Callback, _ *actor.Actor, b *mail.Browser) { b.SessionID = "another" }},
		{"no session", func(_ *office, _ *mail.Callback, _ *actor.Actor, b *mail.Browser) { b.SessionID = "" }},
		{"another user", func(_ *office, _ *mail.Callback, by *actor.Actor, _ *mail.Browser) { *by = other }},
		{"the other path", func(_ *office, cb *mail.Callback, _ *actor.Actor, _ *mail.Browser) { cb.Path = mail.RedirectPMP }},
		{"too late", func(o *office, _ *mail.Callback, _ *actor.Actor, _ *mail.Browser) { o.clock.Advance(10 * time.Minute) }},
	}
}

// O2: a way back that is forged, somebody else's or too old does nothing, and
// stands in the audit log.
func TestNobodyComesBackButWhoLeft(t *testing.T) {
	eachOffice(t, func(o *office) {
		for i, tt := range tampers() {
			id := o.begin(o.microsoft())
			cb, by, b := o.away(id), admin, o.browser
			tt.do(o, &cb, &by, &b)
			_, err := o.mail.FinishConsent(o.t.Context(), by, cb, b)
			if err == nil || fault.KindOf(err) == fault.KindInternal || fault.Sentence(err) == "" {
				o.t.Errorf("%s: %v", tt.name, err)
			}
			if _, set, _ := o.mail.Active(o.t.Context()); set {
				o.t.Fatalf("%s: the profile was stored", tt.name)
			}
			if got := len(o.audited("mail.sign_in_refused")) + len(o.audited("mail.sign_in_unknown")); got != i+1 {
				o.t.Errorf("%s: audited %d times", tt.name, got-i)
			}
		}
		if got := o.ours.grants("authorization_code"); got != 0 {
			o.t.Errorf("%d codes were sent to the authority", got)
		}
		// A foreign browser takes nothing from who left.
		cb := o.away(o.begin(o.microsoft()))
		_, err := o.mail.FinishConsent(o.t.Context(), admin, cb, mail.Browser{SessionID: "another", Origin: accessURL})
		o.refused(err, fault.KindNotFound)
		done, err := o.finish(cb)
		o.must(err)
		if !done.Live {
			o.t.Error("who left cannot come back any more")
		}
	})
}

// O2: the second click tells what happened and breaks nothing.
func TestAWayBackIsWalkedOnce(t *testing.T) {
	eachOffice(t, func(o *office) {
		cb := o.away(o.begin(o.microsoft()))
		_, err := o.finish(cb)
		o.must(err)
		before := o.active()
		_, err = o.finish(cb)
		o.refused(err, fault.KindConflict)
		if !strings.Contains(fault.Sentence(err), "used already") || o.wantState(mail.Working).Revision != before.Revision || o.ours.grants("authorization_code") != 1 {
			o.t.Errorf("the second time: %v", err)
		}
		if got := o.audited("mail.sign_in_refused"); len(got) != 1 {
			o.t.Errorf("audited %d times", len(got))
		}
		o.open()
	})
}

func TestOfTwoClicksAtOnceOneSignsIn(t *testing.T) {
	eachOffice(t, func(o *office) {
		cb := o.away(o.begin(o.microsoft()))
		errs := make(chan error)
		for range 4 {
			go func() { errs <- second(o.finish(cb)) }()
		}
		signedIn := 0
		for range 4 {
			switch err := <-errs; {
			case err == nil:
				signedIn++
			case !fault.Is(err, fault.KindConflict):
				o.t.Errorf("one of them heard %v", err)
			}
		}
		if signedIn != 1 || o.ours.grants("authorization_code") != 1 || o.wantState(mail.Working).Revision != 1 {
			o.t.Errorf("%d of them signed in", signedIn)
		}
	})
}

func TestTheAuthoritysRefusalIsTold(t *testing.T) {
	eachOffice(t, func(o *office) {
		cb := o.away(o.begin(o.microsoft()))
		state := cb.Query.Get("state")
		cb.Query = url.Values{"state": {state}, "error": {"access_denied"}, "error_description": {"AADSTS65004: User declined to consent to access the app. Trace ID: 0f1e2d3c-aaaa-0000-0000-000000000001 Correlation ID: 0f1e2d3c-bbbb-0000-0000-000000000002 Timestamp: 2026-01-01 00:00:00Z"}}
		_, err := o.finish(cb)
		p := o.wantProblem(err)
		for _, want := range []string{"AADSTS65004", "0f1e2d3c-aaaa-0000-0000-000000000001", "0f1e2d3c-bbbb-0000-0000-000000000002"} {
			if !strings.Contains(p.Reply, want) {
				o.t.Errorf("the reply %q lacks %q", p.Reply, want)
			}
		}
		if p.Remedy != verdict.RemedySignIn || !strings.HasSuffix(p.Link, "code=65004") || p.Reason == "" || p.Advice == "" {
			o.t.Errorf("the refusal is %+v", p)
		}
		if len(o.audited("mail.sign_in_refused")) != 1 {
			o.t.Error("the refusal is not audited")
		}
		// Neither a code nor an error.
		cb = o.away(o.begin(o.microsoft()))
		cb.Query.Del("code")
		_, err = o.finish(cb)
		o.wantProblem(err)
		// A code that the authority does not know.
		cb = o.away(o.begin(o.microsoft()))
		cb.Query.Set("code", "forged")
		_, err = o.finish(cb)
		if p := o.wantProblem(err); p.Remedy != verdict.RemedySignIn {
			o.t.Errorf("a forged code: %+v", p)
		}
	})
}

func TestASignInForTheMomentOnlyIsExplained(t *testing.T) {
	eachOffice(t, func(o *office) {
		o.ours.set(func() { o.ours.without = "refresh_token" })
		_, err := o.finish(o.away(o.begin(o.microsoft())))
		if p := o.wantProblem(err); p.Remedy != verdict.RemedySignIn || !strings.Contains(p.Reason, "no refresh token") || !strings.Contains(p.Advice, "offline_access") {
			o.t.Errorf("without a refresh token: %+v", p)
		}
	})
}

// O3: somebody else than the settings name is an administrator's decision.
func TestAnotherPersonIsDecidedUpon(t *testing.T) {
	eachOffice(t, func(o *office) {
		o.ours.set(func() { o.ours.who = "Robot@example.org" })
		done, err := o.finish(o.away(o.begin(o.microsoft())))
		o.must(err)
		if done.Live || done.Who != "Robot@example.org" {
			o.t.Fatalf("the sign-in ended with %+v", done)
		}
		if _, set, _ := o.mail.Active(o.t.Context()); set {
			o.t.Fatal("the profile was stored")
		}
		d, err := o.mail.Deciding(o.t.Context(), admin, done.ID, o.browser)
		o.must(err)
		if !d.OtherPerson || d.OtherTenant || d.Who != "Robot@example.org" || d.Sender != sender || d.Mailbox != sender || d.Tenant != tenant {
			o.t.Errorf("to decide: %+v", d)
		}
		for name, err := range map[string]error{
			"another user":    second(o.mail.Deciding(o.t.Context(), other, done.ID, o.browser)),
			"another browser": second(o.mail.Decide(o.t.Context(), admin, done.ID, mail.Browser{SessionID: "another"})),
			"an auditor":      second(o.mail.Decide(o.t.Context(), actor.Actor{Kind: actor.KindUser, UserID: admin.UserID, Role: actor.PasswordAuditor}, done.ID, o.browser)),
		} {
			if err == nil {
				o.t.Errorf("%s decides", name)
			}
		}
		_, err = o.mail.Decide(o.t.Context(), admin, done.ID, o.browser)
		o.must(err)
		p := o.wantState(mail.Working)
		if p.OAuth.Mailbox != "Robot@example.org" || p.SenderAddress != sender || o.open().SignedIn.Who != "Robot@example.org" {
			o.t.Errorf("after the decision: %+v", p)
		}
		_, err = o.mail.Decide(o.t.Context(), admin, done.ID, o.browser)
		o.refused(err, fault.KindNotFound)
		// The next sign-in of the same person is live at once.
		id, err := o.mail.BeginAgain(o.t.Context(), admin, o.browser)
		o.must(err)
		if done, err := o.finish(o.away(id)); err != nil || !done.Live {
			o.t.Errorf("signed in again: %+v, %v", done, err)
		}
	})
}

func TestADecisionWantsAProofAndIsNotForEver(t *testing.T) {
	eachOffice(t, func(o *office) {
		o.setUp(o.microsoft())
		o.ours.set(func() { o.ours.who = "robot@example.org" })
		id, err := o.mail.BeginAgain(o.t.Context(), admin, o.browser)
		o.must(err)
		done, err := o.finish(o.away(id))
		o.must(err)
		refusal := fault.Denied("Type your password again to go on.").WithCode(fault.CodeReauthenticate)
		o.cfg.Prove = func(actor.Actor) error { return refusal }
		_, err = mail.New(o.cfg).Decide(o.t.Context(), admin, done.ID, o.browser)
		if fault.CodeOf(err) != fault.CodeReauthenticate {
			o.t.Errorf("without a proof: %v", err)
		}
		o.clock.Advance(10 * time.Minute)
		_, err = o.mail.Decide(o.t.Context(), admin, done.ID, o.browser)
		o.refused(err, fault.KindNotFound)
		if got := o.open().SignedIn.Who; got != sender {
			o.t.Errorf("%s signs in", got)
		}
	})
}

// O3: another tenant is explained and refused.
func TestAnotherTenantIsRefused(t *testing.T) {
	eachOffice(t, func(o *office) {
		for _, tt := range []struct {
			typed, tid string
			refused    bool
		}{
			{tenant, foreign, true},
			{tenant, personalTenant, true},
			{"example.org", personalTenant, true},
			{"example.org", foreign, false}, // the authority of a domain speaks for its tenant
			{personalTenant, personalTenant, false},
		} {
			o.ours.set(func() { o.ours.tid = tt.tid })
			c := o.microsoft()
			c.OAuth.Tenant = tt.typed
			done, err := o.finish(o.away(o.begin(c)))
			o.must(err)
			if done.Live == tt.refused {
				o.t.Errorf("%s and %s: %+v", tt.typed, tt.tid, done)
			}
			if !tt.refused {
				continue
			}
			d, err := o.mail.Deciding(o.t.Context(), admin, done.ID, o.browser)
			o.must(err)
			if !d.OtherTenant || d.WhoTenant != tt.tid || d.Tenant != tt.typed {
				o.t.Errorf("%s and %s: to decide: %+v", tt.typed, tt.tid, d)
			}
			_, err = o.mail.Decide(o.t.Context(), admin, done.ID, o.browser)
			o.against(err, "tenant")
			if _, set, _ := o.mail.Active(o.t.Context()); set {
				o.t.Fatal("the profile was stored")
			}
		}
		if got := o.audited("mail.sign_in_refused"); len(got) != 3 || !strings.Contains(got[0].Reason, "another directory") {
			o.t.Errorf("audited %+v", got)
		}
	})
}

const personalTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

func TestASignInBeginsWhereItComesBack(t *testing.T) {
	eachOffice(t, func(o *office) {
		for _, origin := range []string{"", "http://vault.example.org", "https://vault.example.org:8443", "https://10.0.0.1", "https://vault.example.org.evil.example"} {
			_, err := o.mail.BeginConsent(o.t.Context(), admin, o.microsoft(), mail.Browser{SessionID: "session", Origin: origin})
			if got := o.against(err, "access_url"); !strings.Contains(got.Sentence, accessURL) {
				o.t.Errorf("%q: %s", origin, got.Sentence)
			}
		}
		_, err := o.mail.BeginConsent(o.t.Context(), admin, o.microsoft(), mail.Browser{Origin: accessURL})
		o.refused(err, fault.KindDenied)
		_, err = o.mail.BeginConsent(o.t.Context(), actor.Actor{Kind: actor.KindUser, UserID: "u", Role: actor.PasswordAuditor}, o.microsoft(), o.browser)
		o.refused(err, fault.KindDenied)
		_, err = o.mail.BeginConsent(o.t.Context(), admin, o.app(), o.browser)
		o.against(err, "grant")
		_, err = o.mail.BeginAgain(o.t.Context(), admin, o.browser)
		o.refused(err, fault.KindNotFound)
		bad := o.microsoft()
		bad.SenderAddress, bad.OAuth.ClientID = "nobody", ""
		_, err = o.mail.BeginConsent(o.t.Context(), admin, bad, o.browser)
		o.against(err, "sender_address")
		o.against(err, "client_id")
		// An app that was registered for another product keeps its address.
		c := o.microsoft()
		c.OAuth.RedirectPath = mail.RedirectPMP
		cb := o.away(o.begin(c))
		cb.Path = mail.RedirectPMP
		if done, err := o.finish(cb); err != nil || !done.Live {
			o.t.Errorf("the other address: %+v, %v", done, err)
		}
	})
}

func TestAFewSignInsAreUnderWay(t *testing.T) {
	eachOffice(t, func(o *office) {
		var ids []string
		for range 9 {
			ids = append(ids, o.begin(o.microsoft()))
			o.clock.Advance(time.Second)
		}
		if rows, _ := o.waiting(); rows != 4 {
			o.t.Errorf("%d sign-ins are kept", rows)
		}
		_, err := o.mail.Going(o.t.Context(), admin, ids[0], o.browser)
		o.refused(err, fault.KindNotFound)
		cb := o.away(ids[8])
		o.clock.Advance(11 * time.Minute)
		_, err = o.finish(cb)
		o.refused(err, fault.KindNotFound)
		o.begin(o.microsoft())
		if rows, _ := o.waiting(); rows != 1 {
			o.t.Errorf("%d sign-ins are kept after their time", rows)
		}
		o.update(func(tx *store.Tx) error {
			return tx.Each(func(r store.Row) error {
				var hash string
				err := r.Scan(&hash)
				if strings.Contains(cb.Query.Get("state"), hash) || len(hash) != 64 {
					o.t.Error("a state lies in the database as it is")
				}
				return err
			}, `SELECT state_hash FROM mail_consent`)
		})
	})
}

func TestSettingsThatChangedMeanwhileAreNotOverwritten(t *testing.T) {
	eachOffice(t, func(o *office) {
		cb := o.away(o.begin(o.microsoft()))
		o.save(typed())
		_, err := o.finish(cb)
		o.refused(err, fault.KindConflict)
		if p := o.wantState(mail.Working); p.Kind != mail.KindSMTP || !strings.Contains(fault.Sentence(err), "changed") {
			o.t.Errorf("%v: the profile is %+v", err, p)
		}
	})
}

func TestSigningInAgainWorksHoweverBrokenTheTokenIs(t *testing.T) {
	eachOffice(t, func(o *office) {
		first := o.setUp(o.microsoft())
		o.ours.set(func() {
			o.ours.refusal = `{"error":"invalid_grant","error_description":"AADSTS50173: The provided grant has expired due to it being revoked. Trace ID: 0f1e2d3c-aaaa-0000-0000-000000000001","error_codes":[50173]}`
		})
		o.clock.Advance(2 * time.Hour)
		_, err := o.mail.Open(o.t.Context())
		p := o.wantProblem(err)
		if p.Remedy != verdict.RemedySignIn || p.Passing || !strings.Contains(p.Reply, "AADSTS50173") || !strings.Contains(p.Reply, "0f1e2d3c-aaaa") || !strings.HasSuffix(p.Link, "code=50173") {
			o.t.Errorf("the problem is %+v", p)
		}
		o.must(o.mail.Pause(o.t.Context(), *p))
		if got := o.wantState(mail.Paused); got.Remedy != verdict.RemedySignIn || got.Link != p.Link || got.Reply != p.Reply {
			o.t.Errorf("the profile says %+v", got)
		}
		// Worse still: nothing of it can be read any more.
		o.update(func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE mail_token SET sealed = $1`, []byte("rubbish"))
			return err
		})
		o.ours.set(func() { o.ours.refusal = "" })
		id, err := o.mail.BeginAgain(o.t.Context(), admin, o.browser)
		o.must(err)
		done, err := o.finish(o.away(id))
		o.must(err)
		if got := o.wantState(mail.Working); !done.Live || got.Remedy != "" || got.Link != "" || !got.OAuth.SecretSetAt.Equal(first.OAuth.SecretSetAt) {
			o.t.Errorf("after the sign-in: %+v", got)
		}
		o.open()
		for _, e := range o.audited("mail.saved") {
			if len(e.Detail) > 0 && e.Detail[len(e.Detail)-1].Value == "replaced" && e.At.Equal(o.clock.Now()) {
				o.t.Error("the audit says that the secret was replaced")
			}
		}
	})
}

func TestASignInThatLeadsMailElsewhereWantsAProof(t *testing.T) {
	eachOffice(t, func(o *office) {
		refusal := fault.Denied("Type your password again to go on.").WithCode(fault.CodeReauthenticate)
		proved := false
		o.cfg.Prove = func(actor.Actor) error {
			if proved {
				return nil
			}
			return refusal
		}
		o.mail = mail.New(o.cfg)
		begin := func(c mail.Change) error {
			return second(o.mail.BeginConsent(o.t.Context(), admin, c, o.browser))
		}
		if err := begin(o.microsoft()); fault.CodeOf(err) != fault.CodeReauthenticate {
			o.t.Errorf("the first mail server: %v", err)
		}
		proved = true
		o.setUp(o.microsoft())
		proved = false
		o.must(begin(o.active().Change()))
		for name, do := range map[string]func(c *mail.Change){
			"mailbox": func(c *mail.Change) { c.OAuth.Mailbox = "another@example.org" },
			"sender":  func(c *mail.Change) { c.SenderAddress = "another@example.org" },
			"client":  func(c *mail.Change) { c.OAuth.ClientID = foreign },
			"host":    func(c *mail.Change) { c.Host = newHost },
		} {
			c := o.microsoft()
			do(&c)
			if err := begin(c); fault.CodeOf(err) != fault.CodeReauthenticate {
				o.t.Errorf("another %s: %v", name, err)
			}
			c.SignInLater = true
			if _, err := o.mail.Save(o.t.Context(), admin, c); fault.CodeOf(err) != fault.CodeReauthenticate {
				o.t.Errorf("saved with another %s: %v", name, err)
			}
		}
	})
}

func TestAnEndedClientSecretIsToldBeforeTheSignIn(t *testing.T) {
	eachOffice(t, func(o *office) {
		c := o.microsoft()
		c.OAuth.SecretEnds = o.clock.Now().Add(24 * time.Hour)
		o.setUp(c)
		o.clock.Advance(48 * time.Hour)
		id, err := o.mail.BeginAgain(o.t.Context(), admin, o.browser)
		o.must(err)
		going, err := o.mail.Going(o.t.Context(), admin, id, o.browser)
		o.must(err)
		if !strings.Contains(going.Warning, "client secret ended on") {
			o.t.Errorf("the warning is %q", going.Warning)
		}
	})
}
