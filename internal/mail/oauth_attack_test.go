package mail_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// madeUp is what somebody types who does not know the client's secret.
const madeUp = "a+secret+that+somebody+made+up"

func candidate(c *smtptest.Cert) []mail.Candidate {
	return []mail.Candidate{{DER: c.Raw, Mode: trust.ModeAnchor}}
}

// intruder may change the settings, has just proved who he is, and does not know
// the client's secret.
type intruder struct {
	*office
	helper, rogue *smtptest.Cert
	// owned are the sets of certificates for which somebody signed in or to which
	// somebody went who knows the secret.
	owned map[string]bool
	did   []string
}

// client is a profile whose client may do without a secret as well.
func (o *office) client() mail.Change {
	c := o.generic()
	c.OAuth.ClientAuth, c.SignInLater = oauth.BySecret, true
	c.Client = mail.Password{Action: mail.Replace, Value: secret.New(clientSecret)}
	return c
}

func (o *office) intruder() *intruder {
	o.t.Helper()
	o.setUp(o.client())
	return &intruder{office: o, helper: o.anchor("Helper CA"), rogue: o.anchor("Rogue CA"), owned: map[string]bool{"": true}}
}

// form is what he types. Without a value the secret is kept.
func (i *intruder) form(value string, change func(c *mail.Change)) mail.Change {
	c := i.client()
	c.Client = mail.Password{}
	if value != "" {
		c.Client = mail.Password{Action: mail.Replace, Value: secret.New(value)}
	}
	change(&c)
	return c
}

// acts are all that he may do, by name.
func (i *intruder) acts() map[string]func() error {
	ctx := i.t.Context()
	imports := func(value string, ca *smtptest.Cert) func() error {
		return func() error { return second(i.imports(admin, trust.ModeAnchor, secret.New(value), ca)) }
	}
	removes := func(value string, ca *smtptest.Cert) func() error {
		return func() error {
			return second(i.mail.TrustRemove(ctx, admin, trust.Fingerprint(ca.Raw), secret.New(value)))
		}
	}
	saves := func(value string, change func(c *mail.Change)) func() error {
		return func() error { return second(i.mail.Save(ctx, admin, i.form(value, change))) }
	}
	nothing := func(*mail.Change) {}
	trusts := func(c *mail.Change) { c.Trust = candidate(i.rogue) }
	distrusts := func(c *mail.Change) { c.Distrust = []string{trust.Fingerprint(i.helper.Raw)} }
	public := func(c *mail.Change) { c.OAuth.ClientAuth = oauth.ByNothing }
	return map[string]func() error{
		"import helper": imports("", i.helper), "import rogue": imports("", i.rogue), "import rogue, typed": imports(madeUp, i.rogue),
		"remove helper": removes("", i.helper), "remove helper, typed": removes(madeUp, i.helper), "remove rogue": removes("", i.rogue),
		"save": saves("", nothing), "save, typed": saves(madeUp, nothing), "save public": saves("", public),
		"distrust helper": saves("", distrusts), "distrust helper, typed": saves(madeUp, distrusts),
		"trust rogue": saves("", trusts), "trust rogue, typed": saves(madeUp, trusts),
		"test": func() error { return i.tests(i.form(madeUp, nothing)) }, "test rogue": func() error { return i.tests(i.form(madeUp, trusts)) },
		// The authority takes no code from who makes up the secret.
		"sign in": func() error {
			id, err := i.mail.BeginConsent(ctx, admin, i.form(madeUp, trusts), i.browser)
			if err == nil {
				_, err = i.finish(i.away(id))
			}
			return err
		},
	}
}

// tests tries a form out.
func (i *intruder) tests(c mail.Change) error {
	i.clock.Advance(testPause)
	d, err := i.mail.Draft(i.t.Context(), admin, c, "ada@example.org")
	if err != nil {
		return err
	}
	if _, err := i.mail.OpenDraft(i.t.Context(), d); err != nil {
		return err
	}
	i.judge(i.set(d.Anchors), "a test")
	return second(i.mail.Passed(i.t.Context(), d, time.Time{}))
}

// set names certificates that are trusted.
func (i *intruder) set(anchors []trust.Anchor) string {
	var names []string
	for name, ca := range map[string]*smtptest.Cert{"helper": i.helper, "rogue": i.rogue} {
		if slices.ContainsFunc(anchors, func(a trust.Anchor) bool { return bytes.Equal(a.DER, ca.Raw) }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, "+")
}

// act does what has a name, and looks what Open returns then.
func (i *intruder) act(name string) {
	i.t.Helper()
	err := i.acts()[name]()
	said := "done"
	if err != nil {
		said = fault.Sentence(err)
	}
	i.did = append(i.did, name+": "+said)
	if _, err := i.mail.Open(i.t.Context()); err != nil {
		return
	}
	list, err := i.mail.TrustList(i.t.Context(), admin)
	i.must(err)
	var anchors []trust.Anchor
	for _, t := range list {
		for _, ca := range []*smtptest.Cert{i.helper, i.rogue} {
			if t.Hex == trust.Fingerprint(ca.Raw) {
				anchors = append(anchors, trust.Anchor{DER: ca.Raw})
			}
		}
	}
	i.judge(i.set(anchors), "a transport")
}

func (i *intruder) judge(set, how string) {
	i.t.Helper()
	if !i.owned[set] {
		i.t.Errorf("%s uses the tokens with the set %q, for which nobody signed in who knew the secret:\n%s", how, set, strings.Join(i.did, "\n"))
	}
}

// Somebody who may trust certificates and does not know the client's secret has
// a made-up one sealed, and shows it to take the tokens to certificates of his
// own.
func TestAMadeUpSecretIsNoKeyToTheTokens(t *testing.T) {
	eachOffice(t, func(o *office) {
		for _, way := range [][]string{
			{"import helper", "remove helper, typed", "import rogue, typed"},
			{"import helper", "save, typed", "distrust helper, typed", "trust rogue, typed"},
			{"import helper", "remove helper, typed", "trust rogue, typed"},
			{"save public", "save, typed", "trust rogue, typed"},
			{"save public", "save, typed", "import rogue, typed"},
			{"import helper", "save public", "save, typed", "distrust helper, typed", "trust rogue, typed"},
		} {
			i := o.intruder()
			for _, name := range way {
				i.act(name)
			}
			o.must(o.mail.Remove(o.t.Context(), admin))
		}
	})
}

// What Open and a test return under a set of certificates was sealed for that
// set by somebody who knew the client's secret or signed in, whatever somebody
// does who has neither.
func TestNoWayLeadsTheTokensToAnotherSetWithoutTheSecret(t *testing.T) {
	eachOffice(t, func(o *office) {
		random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
		names := slices.Sorted(maps.Keys((&intruder{office: o, helper: o.ca, rogue: o.ca}).acts()))
		for n := range ways() {
			i := o.intruder()
			if n%3 == 2 {
				// Who knows the secret went to the helper's set before.
				_, err := o.imports(admin, trust.ModeAnchor, secret.New(clientSecret), i.helper)
				o.must(err)
				i.owned = map[string]bool{"helper": true}
			}
			for range 6 {
				i.act(names[random.IntN(len(names))])
			}
			o.must(o.mail.Remove(o.t.Context(), admin))
			if o.t.Failed() {
				return
			}
		}
	})
}

// ways is how many are tried.
func ways() int {
	if os.Getenv("SEALPOST_TORTURE") != "" {
		return 4000
	}
	return 25
}

// The way of before works again where nothing was typed meanwhile, by the form
// as well.
func TestTheSetOfBeforeWorksAgainThroughTheForm(t *testing.T) {
	eachOffice(t, func(o *office) {
		o.setUp(o.microsoft())
		ca := o.anchor("Helper CA")
		_, err := o.imports(admin, trust.ModeAnchor, secret.Value{}, ca)
		o.must(err)
		c := keeping(o.microsoft())
		c.Distrust = []string{trust.Fingerprint(ca.Raw)}
		o.save(c)
		o.wantState(mail.Working)
		if o.open().SignedIn.Who != sender || o.ours.grants("authorization_code") != 1 {
			o.t.Error("the tokens are gone")
		}
	})
}

// A sign-in is for the profile that it was begun for.
func TestASignInDoesNotOutliveItsProfile(t *testing.T) {
	eachOffice(t, func(o *office) {
		ctx := o.t.Context()
		other := typed()
		other.Trust = candidate(o.anchor("Another CA"))
		// It comes back after the profile was removed and another one made.
		o.setUp(o.microsoft())
		id, err := o.mail.BeginAgain(ctx, admin, o.browser)
		o.must(err)
		cb := o.away(id)
		form := o.active().Change()
		o.must(o.mail.Remove(ctx, admin))
		if rows, _ := o.waiting(); rows != 0 {
			o.t.Errorf("%d sign-ins outlive the profile", rows)
		}
		made := o.save(other)
		if made.Revision <= form.Revision {
			o.t.Errorf("the next profile begins at revision %d, where the one before ended at %d", made.Revision, form.Revision)
		}
		_, err = o.finish(cb)
		o.refused(err, fault.KindNotFound)
		_, err = o.mail.Save(ctx, admin, form)
		o.refused(err, fault.KindConflict)
		if now := o.active(); now.ID != made.ID || now.Revision != made.Revision || now.Kind != mail.KindSMTP {
			o.t.Errorf("the profile became %+v", now)
		}
		o.must(o.mail.Remove(ctx, admin))
		// That happens while the code is exchanged, and the revisions are the same.
		o.setUp(o.microsoft())
		id, err = o.mail.BeginAgain(ctx, admin, o.browser)
		o.must(err)
		cb = o.away(id)
		o.ours.set(func() {
			o.ours.meanwhile = func() {
				revision := o.active().Revision
				o.must(o.mail.Remove(ctx, admin))
				made = o.save(other)
				o.update(func(tx *store.Tx) error {
					_, err := tx.Exec(`UPDATE mail_profile SET revision = $1`, revision)
					return err
				})
			}
		})
		_, err = o.finish(cb)
		o.refused(err, fault.KindConflict)
		if now := o.active(); now.ID != made.ID || now.Kind != mail.KindSMTP {
			o.t.Errorf("the profile became %+v", now)
		}
	})
}

// What sign-ins keep is forgotten when they are over, though nobody begins
// another one.
func TestWhatSignInsKeepIsForgotten(t *testing.T) {
	eachOffice(t, func(o *office) {
		o.begin(o.microsoft())
		o.must(o.mail.KeepAlive(o.t.Context()))
		if rows, _ := o.waiting(); rows != 1 {
			o.t.Fatal("a sign-in under way is forgotten")
		}
		o.clock.Advance(11 * time.Minute)
		o.must(o.mail.KeepAlive(o.t.Context()))
		if rows, _ := o.waiting(); rows != 0 {
			o.t.Errorf("%d sign-ins are kept that are over", rows)
		}
	})
}

// What was typed is kept whatever the sign-in came to.
func TestWhatWasTypedOutlastsAConflict(t *testing.T) {
	eachOffice(t, func(o *office) {
		o.setUp(o.microsoft())
		c := o.microsoft()
		c.Revision, c.SenderName = o.active().Revision, "Typed anew"
		id := o.begin(c)
		cb := o.away(id)
		between := keeping(o.microsoft())
		between.ReplyTo = "help@example.org"
		o.save(between)
		done, err := o.finish(cb)
		o.refused(err, fault.KindConflict)
		kept, err := o.mail.Unfinished(o.t.Context(), admin, done.ID, o.browser)
		if err != nil || kept.SenderName != "Typed anew" || kept.Client.Action != mail.Replace {
			o.t.Fatalf("what was typed is lost: %+v, %v", kept, err)
		}
		if len(o.audited("mail.sign_in_refused")) != 1 {
			o.t.Error("the refusal is not audited")
		}
		// Who was told of the conflict begins once more and means it.
		id, err = o.mail.BeginOnceMore(o.t.Context(), admin, done.ID, o.browser)
		o.must(err)
		_, err = o.finish(o.away(id))
		o.must(err)
		if o.active().SenderName != "Typed anew" || o.open().SignedIn.Who != sender {
			o.t.Errorf("the profile is %+v", o.active())
		}
	})
}

// Every page can lead a browser to the way back. That fills no log.
func TestStrangersOnTheWayBackFillNoLog(t *testing.T) {
	eachOffice(t, func(o *office) {
		come := func(n int, session string) {
			for range n {
				cb := mail.Callback{Path: mail.RedirectOwn}
				_, err := o.mail.FinishConsent(o.t.Context(), admin, cb, mail.Browser{SessionID: session, Origin: accessURL})
				o.refused(err, fault.KindNotFound)
			}
		}
		come(20, "session")
		if got := len(o.audited("mail.sign_in_unknown")); got != 3 {
			o.t.Errorf("20 ways back are audited %d times, want 3", got)
		}
		come(20, "another")
		o.clock.Advance(time.Hour)
		come(1, "session")
		if got := len(o.audited("mail.sign_in_unknown")); got != 7 {
			o.t.Errorf("another session and another hour: audited %d times, want 7", got)
		}
		if got := len(o.audited("mail.sign_in_refused")); got != 0 {
			o.t.Errorf("%d of them count as refused sign-ins, which is an alert", got)
		}
	})
}
