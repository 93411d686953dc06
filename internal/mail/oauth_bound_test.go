package mail_test

import (
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// tokenField is something that the client's secret and the tokens are bound to.
type tokenField struct {
	name string
	form func(o *office, c *mail.Change)
	// row changes it in the database; arg may hold the evil authority's host.
	row string
	arg func(o *office) any
}

func always(v any) func(*office) any { return func(*office) any { return v } }

func tokenFields() []tokenField {
	evil := func(path string) func(o *office) any {
		return func(o *office) any { return o.evil.URL + "/" + tenant + path }
	}
	return []tokenField{
		{"host", func(_ *office, c *mail.Change) { c.Host = newHost }, `UPDATE mail_profile SET host = $1`, always(newHost)},
		{"port", func(_ *office, c *mail.Change) { c.Port = 2525 }, `UPDATE mail_profile SET port = $1`, always(2525)},
		{"TLS mode", nil, `UPDATE mail_profile SET security = $1`, always("implicit")},
		{"no TLS", nil, `UPDATE mail_profile SET kind = 'smtp', clear_confirmed = true, security = $1`, always("none")},
		{"mechanism", func(_ *office, c *mail.Change) { c.Mechanism = "OAUTHBEARER" }, `UPDATE mail_profile SET mechanism = $1`, always("OAUTHBEARER")},
		{"trusted certificates", func(o *office, c *mail.Change) {
			c.Trust = []mail.Candidate{{DER: o.anchor("Evil CA").Raw, Mode: trust.ModeAnchor}}
		}, "", nil},
		{"profile", nil, `UPDATE mail_profile SET id = $1`, always("another")},
		{"tenant", func(_ *office, c *mail.Change) { c.OAuth.Tenant = foreign }, `UPDATE mail_oauth SET tenant = $1`, always(foreign)},
		{"client", func(_ *office, c *mail.Change) { c.OAuth.ClientID = foreign }, `UPDATE mail_oauth SET client_id = $1`, always(foreign)},
		{"token endpoint", func(o *office, c *mail.Change) { c.OAuth.TokenURL = o.evil.URL + "/{tenant}/oauth2/v2.0/token" }, `UPDATE mail_oauth SET token_url = $1`, evil("/oauth2/v2.0/token")},
		{"path of the token endpoint", func(_ *office, c *mail.Change) { c.OAuth.TokenURL += "2" }, `UPDATE mail_oauth SET token_url = token_url || $1`, always("2")},
		{"authorize endpoint", func(o *office, c *mail.Change) {
			c.OAuth.AuthorizeURL = o.evil.URL + "/{tenant}/oauth2/v2.0/authorize"
		}, `UPDATE mail_oauth SET authorize_url = $1`, evil("/oauth2/v2.0/authorize")},
		{"scopes", func(_ *office, c *mail.Change) {
			c.OAuth.Scopes = strings.Replace(c.OAuth.Scopes, "outlook.", "another.", 1)
		}, `UPDATE mail_oauth SET scopes = $1`, always("https://another.office.com/SMTP.Send")},
		{"mailbox", func(_ *office, c *mail.Change) { c.OAuth.Mailbox = "another@example.org" }, `UPDATE mail_oauth SET mailbox = $1`, always("another@example.org")},
		{"way of letters", func(o *office, c *mail.Change) {
			c.OAuth.Via, c.OAuth.GraphURL = mail.ViaGraph, o.evil.URL
		}, `UPDATE mail_oauth SET via = 'graph', graph_url = $1`, func(o *office) any { return o.evil.URL }},
	}
}

// forgeToken changes a field behind the service's back.
func (o *office) forgeToken(f tokenField) {
	o.update(func(tx *store.Tx) error {
		if f.row == "" {
			evil := o.anchor("Evil CA").Raw
			_, err := tx.Exec(`INSERT INTO mail_anchor (profile_id, fingerprint, mode, der, added_by, added_at) SELECT id, $1, 'anchor', $2, 'nobody', 0 FROM mail_profile`,
				trust.Fingerprint(evil), evil)
			return err
		}
		if f.name != "profile" {
			_, err := tx.Exec(f.row, f.arg(o))
			return err
		}
		// Everything of the old row moves to a new one, as a forger would do it.
		for _, statement := range []string{
			`CREATE TABLE forged AS SELECT * FROM mail_oauth`, `DELETE FROM mail_oauth`, `UPDATE mail_profile SET id = 'another'`, `UPDATE forged SET profile_id = 'another'`,
			`INSERT INTO mail_oauth SELECT * FROM forged`, `DROP TABLE forged`, `UPDATE mail_token SET profile_id = 'another'`,
		} {
			if _, err := tx.Exec(statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// use lets a transport sign in, wherever it leads.
func (o *office) use(transport mail.Transport, err error) {
	if err != nil {
		return
	}
	if link, err := transport.Dial(o.t.Context(), mail.DialHook{}); err == nil {
		_ = link.Send(o.t.Context(), smtp.Each(smtp.Submission{From: sender, To: []string{"ada@example.org"}, Body: []byte("Subject: x\r\n\r\nx\r\n")}), func(int, smtp.Result) {})
		_ = link.Close()
	}
}

// wantNoToken makes sure that nobody else heard a secret or a token.
func (o *office) wantNoToken(when string) {
	o.t.Helper()
	all := []string{clientSecret, "access-token-", "refresh-token-"}
	if got := o.thief.Leak(all...) + o.thief.LeakInside(all...); got != "" {
		o.t.Errorf("%s: the other server heard %q", when, got)
	}
	for _, s := range all {
		if o.evil.saw(s) {
			o.t.Errorf("%s: the other authority heard %q", when, s)
		}
	}
}

// The control: nothing changed, and the token goes to its server.
func TestATokenSignsInWhereItBelongs(t *testing.T) {
	eachOffice(t, func(o *office) {
		for _, c := range []mail.Change{o.microsoft(), o.app()} {
			if c.OAuth.Grant == oauth.Consent {
				o.setUp(c)
			} else {
				o.save(c)
			}
			again := keeping(c)
			again.SenderName, again.ReplyTo, again.LocalName = "Another", "help@example.org", "vault.example.org"
			o.save(again)
			transport, err := o.mail.Open(o.t.Context())
			o.must(err)
			o.use(transport, nil)
			if o.exchange.LeakInside(transport.Config.Auth.Credential.Token.Reveal()) == "" || o.exchange.Leak("access-token-") != "" {
				o.t.Error("the test would not see a token that is sent")
			}
			o.must(o.mail.Remove(o.t.Context(), admin))
		}
		if !o.ours.saw(clientSecret) {
			o.t.Error("the test would not see a secret that is sent")
		}
	})
}

// O6: the secret and the tokens of a profile open nowhere else, whichever door
// the change came through.
func TestTheClientsSecretAndTheTokensReachNobodyElse(t *testing.T) {
	eachOffice(t, func(o *office) {
		for _, grant := range []oauth.Grant{oauth.Consent, oauth.Application} {
			for _, f := range tokenFields() {
				c := o.microsoft()
				if grant == oauth.Application {
					c = o.app()
					o.save(c)
				} else {
					o.setUp(c)
				}
				if f.form != nil {
					o.doors(keeping(c), f)
				}
				o.open() // what is stored still works
				o.forgeToken(f)
				transport, err := o.mail.Open(o.t.Context())
				o.use(transport, err)
				if p := o.wantProblem(err); p.Row != mail.RowSecretRequired || p.Advice == "" {
					o.t.Errorf("a row with another %s: %+v", f.name, p)
				}
				o.must(o.mail.KeepAlive(o.t.Context()))
				o.wantNoToken(f.name)
				o.must(o.mail.Remove(o.t.Context(), admin))
				o.clock.Advance(testPause)
			}
		}
		if len(o.evil.requests) != 0 || o.thief.Connections() != 0 {
			o.t.Error("somebody else was called")
		}
	})
}

// doors tries a change of a field without the secret through each.
func (o *office) doors(c mail.Change, f tokenField) {
	o.t.Helper()
	f.form(o, &c)
	ctx := o.t.Context()
	d, draft := o.mail.Draft(ctx, admin, c, "ada@example.org")
	if draft == nil {
		o.use(o.mail.OpenDraft(ctx, d))
	}
	refused := map[string]error{"save": second(o.mail.Save(ctx, admin, c)), "test": draft}
	later := c
	later.SignInLater = true
	refused["save for later"] = second(o.mail.Save(ctx, admin, later))
	if c.OAuth.Grant == oauth.Consent {
		refused["sign in"] = second(o.mail.BeginConsent(ctx, admin, c, o.browser))
	}
	for door, err := range refused {
		if got := o.against(err, "client_secret"); got.Code != fault.CodeSecretRequired {
			o.t.Errorf("%s of another %s: %+v", door, f.name, got)
		}
	}
}

// Who types a secret may take the settings elsewhere, but not the tokens of a
// person who signed in for others.
func TestATypedSecretDoesNotTakeTheTokensAlong(t *testing.T) {
	eachOffice(t, func(o *office) {
		for _, f := range tokenFields() {
			if f.form == nil || f.name == "trusted certificates" {
				continue
			}
			o.setUp(o.microsoft())
			c := o.microsoft()
			c.Client.Value = secret.New(nextSecret)
			f.form(o, &c)
			_, err := o.mail.Save(o.t.Context(), admin, c)
			if got := o.against(err, "oauth"); got.Code != fault.CodeSignIn {
				o.t.Errorf("another %s: %+v", f.name, got)
			}
			d, err := o.mail.Draft(o.t.Context(), admin, c, "ada@example.org")
			o.must(err)
			transport, err := o.mail.OpenDraft(o.t.Context(), d)
			o.use(transport, err)
			if p := o.wantProblem(err); p.Row != mail.RowSignIn {
				o.t.Errorf("a test of another %s: %+v", f.name, p)
			}
			c.SignInLater = true
			o.save(c)
			if p := o.wantState(mail.Paused); p.Problem != mail.RowSignIn || p.Remedy != "sign_in" {
				o.t.Errorf("saved with another %s: %+v", f.name, p)
			}
			transport, err = o.mail.Open(o.t.Context())
			o.use(transport, err)
			o.wantProblem(err)
			o.wantNoToken(f.name)
			o.must(o.mail.Remove(o.t.Context(), admin))
			o.clock.Advance(testPause)
		}
	})
}

// Certificates that are trusted from now on get the tokens from who knows the
// client's secret. Who does not know it pauses mail, and loses nothing.
func TestTokensMoveToOtherCertificatesWithTheSecretAlone(t *testing.T) {
	eachOffice(t, func(o *office) {
		o.setUp(o.microsoft())
		ca := o.anchor("Our CA")
		_, err := o.imports(admin, trust.ModeAnchor, secret.New(nextSecret), ca)
		o.against(err, "password")
		_, err = o.imports(admin, trust.ModeAnchor, secret.New("••••••"), ca)
		o.against(err, "password")
		o.open()
		change, err := o.imports(admin, trust.ModeAnchor, secret.Value{}, ca)
		o.must(err)
		if !strings.Contains(change.Paused, "client secret") || o.wantState(mail.Paused).Problem != mail.RowSecretRequired {
			o.t.Errorf("without the secret: %+v", change)
		}
		_, err = o.mail.Open(o.t.Context())
		o.wantProblem(err)
		change, err = o.mail.TrustRemove(o.t.Context(), admin, trust.Fingerprint(ca.Raw), secret.Value{})
		o.must(err)
		if change.Paused != "" || o.wantState(mail.Working).Problem != "" {
			o.t.Errorf("the set of before: %+v", change)
		}
		o.open()
		change, err = o.imports(admin, trust.ModeAnchor, secret.New(clientSecret), ca)
		o.must(err)
		if change.Paused != "" || len(change.Trusted) != 1 {
			o.t.Errorf("with the secret: %+v", change)
		}
		o.wantState(mail.Working)
		o.open()
		// The form is another door to the same.
		c := o.microsoft()
		c.Distrust = []string{trust.Fingerprint(ca.Raw)}
		guessed := c
		guessed.Client.Value = secret.New(nextSecret)
		if got := o.refuse(admin, guessed, "oauth"); got.Code != fault.CodeSignIn {
			o.t.Errorf("a guessed secret: %+v", got)
		}
		o.save(c)
		o.open()
		if got := o.ours.grants("authorization_code"); got != 1 {
			o.t.Errorf("somebody signed in %d times", got)
		}
	})
}

func TestTokensOfOtherSettingsAreForgotten(t *testing.T) {
	eachOffice(t, func(o *office) {
		left := func() (n int) {
			o.t.Helper()
			o.update(func(tx *store.Tx) error {
				return tx.Each(func(r store.Row) error { return r.Scan(&n) }, `SELECT COUNT(*) FROM mail_token`)
			})
			return n
		}
		later := o.microsoft()
		later.Host, later.SignInLater = newHost, true
		for name, c := range map[string]mail.Change{"another host": later, "a password": typed()} {
			o.setUp(o.microsoft())
			if left() != 1 {
				o.t.Fatal("there are no tokens to forget")
			}
			o.save(c)
			if left() != 0 {
				o.t.Errorf("%s: the tokens are still there", name)
			}
		}
	})
}

func TestAClientWithoutASecretSignsInAgainForOtherCertificates(t *testing.T) {
	eachOffice(t, func(o *office) {
		o.ours.set(func() { o.ours.secrets = []string{""} })
		c := o.generic()
		o.setUp(c)
		if _, err := o.imports(admin, trust.ModeAnchor, secret.New("anything"), o.anchor("Our CA")); err != nil {
			o.t.Fatal(err)
		}
		if p := o.wantState(mail.Paused); p.Problem != mail.RowSignIn {
			o.t.Errorf("the profile says %+v", p)
		}
		o.setUp(c)
		o.wantState(mail.Working)
	})
}

// generic is a profile of another provider, whose client is public.
func (o *office) generic() mail.Change {
	c := o.microsoft()
	c.Kind, c.Auth, c.Security, c.Client = mail.KindSMTP, mail.AuthOAuth, smtp.STARTTLS, mail.Password{}
	c.OAuth.Provider, c.OAuth.ClientAuth, c.OAuth.Scopes = oauth.Generic, oauth.ByNothing, "mail offline_access openid"
	c.OAuth.AuthorizeURL, c.OAuth.TokenURL = o.ours.URL+"/authorize", o.ours.URL+"/token"
	return c
}

// viaGraph is a profile whose letters leave through Graph; its addresses are
// typed as they are.
func (o *office) viaGraph(c mail.Change) mail.Change {
	c.Host, c.OAuth.Via, c.OAuth.GraphURL = "", mail.ViaGraph, o.ours.URL+"/"
	c.OAuth.AuthorizeURL, c.OAuth.TokenURL = o.ours.URL+"/authorize", o.ours.URL+"/token"
	c.OAuth.Scopes = "https://graph.microsoft.com/Mail.Send offline_access openid"
	if c.OAuth.Grant == oauth.Application {
		c.OAuth.Scopes = "https://graph.microsoft.com/.default"
	}
	return c
}

func TestLettersThroughGraphAreBoundToIt(t *testing.T) {
	eachOffice(t, func(o *office) {
		for _, f := range []tokenField{
			{"way of letters", nil, `UPDATE mail_oauth SET via = $1`, always("smtp")},
			{"Graph", nil, `UPDATE mail_oauth SET graph_url = $1`, func(o *office) any { return o.evil.URL }},
			{"tenant", nil, `UPDATE mail_oauth SET tenant = $1`, always(foreign)},
			{"server", nil, `UPDATE mail_profile SET host = $1`, always(newHost)},
		} {
			for _, c := range []mail.Change{o.viaGraph(o.microsoft()), o.viaGraph(o.app())} {
				path := "/v1.0/users/" + sender + "/sendMail"
				if c.OAuth.Grant == oauth.Consent {
					path = "/v1.0/me/sendMail"
					o.setUp(c)
				} else {
					o.save(c)
				}
				p := o.active()
				if p.Host != "127.0.0.1" || p.Server() != o.ours.host() || p.OAuth.GraphURL != o.ours.URL {
					o.t.Errorf("the profile is %+v", p)
				}
				before := len(o.ours.letters)
				transport := o.open()
				o.use(transport, nil)
				if got := o.ours.letters[before:]; len(got) != 1 || !strings.HasPrefix(got[0], path+" Bearer access-token-") {
					o.t.Errorf("Graph heard %q", got)
				}
				_, err := o.imports(admin, trust.ModeAnchor, secret.Value{}, o.ca)
				o.against(err, "certificate")
				o.forgeToken(f)
				transport, err = o.mail.Open(o.t.Context())
				o.use(transport, err)
				if p := o.wantProblem(err); p.Row != mail.RowSecretRequired {
					o.t.Errorf("another %s: %+v", f.name, p)
				}
				o.must(o.mail.Remove(o.t.Context(), admin))
			}
		}
		if len(o.evil.letters)+len(o.evil.requests) != 0 || o.thief.Connections() != 0 {
			o.t.Error("somebody else was called")
		}
		for name, graph := range map[string]string{"no address": "graph", "not encrypted": "http://graph.microsoft.com", "somebody else's": "https://graph.evil.example", "with a query": o.ours.URL + "?x"} {
			c := o.viaGraph(o.app())
			c.OAuth.GraphURL = graph
			if got := o.refuse(admin, c, "graph_url"); got.Sentence == "" {
				o.t.Errorf("%s is taken", name)
			}
		}
	})
}
