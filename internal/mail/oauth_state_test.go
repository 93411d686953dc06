package mail_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	busy    = `{"error":"temporarily_unavailable","error_description":"AADSTS90033: A transient error has occurred. Please try again.","error_codes":[90033]}`
	revoked = `{"error":"invalid_grant","error_description":"AADSTS50173: The provided grant has expired due to it being revoked.","error_codes":[50173]}`
)

func TestASecretIsReplacedWhileTheOldOneStillWorks(t *testing.T) {
	eachOffice(t, func(o *office) {
		o.setUp(o.microsoft())
		first := o.open()
		o.clock.Advance(time.Minute)
		next := o.active().Change()
		next.Anyway = true
		next.Client = mail.Password{Action: mail.Replace, Value: secret.New(nextSecret)}
		next.OAuth.SecretEnds = o.clock.Now().Add(700 * 24 * time.Hour)
		// One that does not work changes nothing and says why.
		got := o.refuse(admin, next, "client_secret")
		for _, want := range []string{"AADSTS7000215", "nothing was changed", "0f1e2d3c-0000-0000-0000-000000000001"} {
			if !strings.Contains(got.Sentence, want) {
				o.t.Errorf("%q lacks %q", got.Sentence, want)
			}
		}
		// Neither does one of which nobody can say now.
		o.ours.set(func() { o.ours.secrets, o.ours.refusal = append(o.ours.secrets, nextSecret), busy })
		o.refuse(admin, next, "client_secret")
		if o.open().SignedIn.Who != first.SignedIn.Who || o.active().Revision != first.Profile.Revision {
			o.t.Error("something was changed")
		}
		o.ours.set(func() { o.ours.refusal = "" })
		saved := o.save(next)
		if !saved.OAuth.SecretSetAt.Equal(o.clock.Now()) || saved.State != mail.Working || !saved.OAuth.SecretEnds.Equal(next.OAuth.SecretEnds) {
			o.t.Errorf("saved as %+v", saved)
		}
		text := audit.DetailText(o.audited("mail.saved")[0].Detail)
		if !strings.Contains(text, "client secret: replaced") || strings.Contains(text, nextSecret) || !strings.Contains(text, "client secret ends") {
			o.t.Errorf("the audit says %q", text)
		}
		// The old one goes, and nobody has to sign in.
		o.ours.set(func() { o.ours.secrets = []string{nextSecret} })
		o.clock.Advance(2 * time.Hour)
		if o.open().SignedIn.Who != sender || o.ours.grants("authorization_code") != 1 {
			o.t.Error("somebody had to sign in")
		}
	})
}

func TestASecretIsReplacedThoughTheSignInHasEnded(t *testing.T) {
	eachOffice(t, func(o *office) {
		o.setUp(o.microsoft())
		o.clock.Advance(2 * time.Hour)
		o.ours.set(func() { o.ours.refusal = revoked })
		next := o.active().Change()
		next.Client = mail.Password{Action: mail.Replace, Value: secret.New(nextSecret)}
		o.save(next)
		_, err := o.mail.Open(o.t.Context())
		if p := o.wantProblem(err); p.Remedy != verdict.RemedySignIn {
			o.t.Errorf("the problem is %+v", p)
		}
		o.ours.set(func() { o.ours.refusal, o.ours.secrets = "", []string{nextSecret} })
		id, err := o.mail.BeginAgain(o.t.Context(), admin, o.browser)
		o.must(err)
		done, err := o.finish(o.away(id))
		o.must(err)
		if !done.Live {
			o.t.Errorf("the sign-in ended with %+v", done)
		}
	})
}

func TestSomebodySignsInBeforeOrAfterSaving(t *testing.T) {
	eachOffice(t, func(o *office) {
		if got := o.refuse(admin, o.microsoft(), "oauth"); got.Code != fault.CodeSignIn || !strings.Contains(got.Sentence, sender) {
			o.t.Errorf("saving says %+v", got)
		}
		c := o.microsoft()
		c.SignInLater = true
		if p := o.save(c); p.State != mail.Paused || p.Problem != mail.RowSignIn || p.Remedy != verdict.RemedySignIn || p.SavedAnyway() {
			o.t.Errorf("saved as %+v", p)
		}
		o.wantState(mail.Paused)
		_, err := o.mail.Open(o.t.Context())
		if p := o.wantProblem(err); p.Row != mail.RowSignIn || p.Passing {
			o.t.Errorf("the problem is %+v", p)
		}
		id, err := o.mail.BeginAgain(o.t.Context(), admin, o.browser)
		o.must(err)
		_, err = o.finish(o.away(id))
		o.must(err)
		o.wantState(mail.Working)
		// Another sender is another mailbox, unless it is typed whose it is.
		c = o.active().Change()
		c.SenderAddress, c.Anyway = "another@example.org", true
		if got := o.refuse(admin, c, "oauth"); !strings.Contains(got.Sentence, "another@example.org") {
			o.t.Errorf("another sender: %+v", got)
		}
	})
}

func TestAnApplicationSignsInWithoutAPerson(t *testing.T) {
	eachOffice(t, func(o *office) {
		c := o.app()
		c.Anyway = false
		o.refuse(admin, c, "anyway")
		d, err := o.mail.Draft(o.t.Context(), admin, c, "ada@example.org")
		o.must(err)
		state, err := o.mail.Reach(o.t.Context(), d)
		o.must(err)
		if len(state.PeerCertificates) == 0 {
			o.t.Error("the authority was not reached over TLS")
		}
		transport, err := o.mail.OpenDraft(o.t.Context(), d)
		o.must(err)
		if transport.SignedIn.Who != sender || transport.Config.Auth.Credential.Username != sender || transport.SignedIn.Expires.Sub(o.clock.Now()) != time.Hour {
			o.t.Errorf("a test signs in as %+v", transport.SignedIn)
		}
		c.TestToken, err = o.mail.Passed(o.t.Context(), d, time.Time{})
		o.must(err)
		if p := o.save(c); p.SavedAnyway() || p.State != mail.Working {
			o.t.Errorf("saved as %+v", p)
		}
		if got := o.open(); got.SignedIn.Who != sender || got.Config.Auth.Credential.Token.Reveal() != "access-token-2" {
			o.t.Errorf("it signs in with %+v", got.Config.Auth)
		}
		// The mailbox may be another one than the sender.
		c.OAuth.Mailbox, c.TestToken, c.Anyway = "robot@example.org", "", true
		o.save(c)
		if got := o.open().SignedIn.Who; got != "robot@example.org" {
			o.t.Errorf("%s signs in", got)
		}
		_, err = o.mail.BeginAgain(o.t.Context(), admin, o.browser)
		o.against(err, "grant")
		// A new secret is tried before the old one goes.
		c.Client.Value = secret.New(nextSecret)
		o.refuse(admin, c, "client_secret")
		o.open()
	})
}

// Where nobody signs in, nobody is told to. What the authority says of a grant
// does not prove a new secret there.
func TestNothingOfAnApplicationIsMendedByASignIn(t *testing.T) {
	eachOffice(t, func(o *office) {
		o.save(o.app())
		table, err := verdict.New()
		o.must(err)
		transport := o.open()
		refused := &smtp.Error{Stage: smtp.StageAuth, Kind: smtp.KindReply, Code: 535, Enhanced: "5.7.3", Text: "Authentication unsuccessful", Bearer: true}
		v := table.DecideFrom(refused, transport.Profile.Provider())
		o.must(o.mail.Pause(o.t.Context(), mail.ProblemOf(transport, v, refused.Reply())))
		if p := o.wantState(mail.Paused); p.Remedy != verdict.RemedySettings || !strings.Contains(p.Advice, "object ID") {
			o.t.Errorf("the profile says %q: %s", p.Remedy, p.Advice)
		}
		o.ours.set(func() { o.ours.refusal = `{"error":"invalid_grant","error_description":"no"}` })
		next := o.app()
		next.Client.Value = secret.New(nextSecret)
		if got := o.refuse(admin, next, "client_secret"); strings.Contains(strings.ToLower(got.Sentence), "sign in") {
			o.t.Errorf("the new secret is refused with %q", got.Sentence)
		}
		o.clock.Advance(2 * time.Hour)
		_, err = o.mail.Open(o.t.Context())
		if p := o.wantProblem(err); p.Remedy != verdict.RemedySettings || strings.Contains(strings.ToLower(p.Reason+p.Advice), "sign in") {
			o.t.Errorf("the problem is %+v", p)
		}
	})
}

func TestACertificateOrAServiceAccountProvesTheClient(t *testing.T) {
	eachOffice(t, func(o *office) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		o.must(err)
		der, err := x509.MarshalPKCS8PrivateKey(key)
		o.must(err)
		private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		file, err := json.Marshal(map[string]string{
			"type": "service_account", "client_email": "robot@project.iam.gserviceaccount.com", "private_key": private, "private_key_id": "1",
			"client_id": "1", "token_uri": "https://oauth2.googleapis.com/token",
		})
		o.must(err)
		c := o.generic()
		c.OAuth = mail.OAuth{Settings: oauth.Settings{Provider: oauth.Google, Grant: oauth.ServiceAccount}}
		o.refuse(admin, c, "client_key")
		c.Client = mail.Password{Action: mail.Replace, Value: secret.New(string(file))}
		p := o.save(c)
		if p.OAuth.Via != mail.ViaSMTP || p.Limits().PerDay != 2000 || p.Authority().Mailbox != sender {
			o.t.Errorf("saved as %+v", p)
		}
		if text := audit.DetailText(o.audited("mail.saved_untested")[0].Detail); !strings.Contains(text, "service account key: replaced") || strings.Contains(text, "PRIVATE") {
			o.t.Errorf("the audit says %q", text)
		}
		o.save(keeping(c))
		cert := o.app()
		cert.OAuth.ClientAuth = oauth.ByCertificate
		if got := o.refuse(admin, cert, "client_key"); got.Sentence == "" {
			o.t.Error("a secret was taken for a certificate")
		}
	})
}

func TestAFailureThatGoesByPausesNothing(t *testing.T) {
	eachOffice(t, func(o *office) {
		o.setUp(o.microsoft())
		o.clock.Advance(2 * time.Hour)
		o.ours.set(func() { o.ours.refusal = busy })
		_, err := o.mail.Open(o.t.Context())
		p := o.wantProblem(err)
		if !p.Passing || p.Remedy != "" || !strings.Contains(p.Reply, "AADSTS90033") {
			o.t.Errorf("the problem is %+v", p)
		}
		o.must(o.mail.Troubled(o.t.Context(), *p))
		if got := o.wantState(mail.Working); got.Problem != p.Row || got.Link != p.Link {
			o.t.Errorf("the profile says %+v", got)
		}
		o.ours.set(func() { o.ours.refusal = "" })
		o.clock.Advance(10 * time.Minute)
		o.must(o.mail.Accepted(o.t.Context(), o.open(), nil, 1))
		if got := o.active(); got.Problem != "" || got.Link != "" {
			o.t.Errorf("afterwards it says %+v", got)
		}
	})
}

func TestATokenThatTheServerRefusesIsReplacedOnce(t *testing.T) {
	eachOffice(t, func(o *office) {
		o.setUp(o.microsoft())
		transport := o.open()
		again, err := o.mail.TokenRefused(o.t.Context(), transport)
		o.must(err)
		if again {
			o.t.Error("a token that was just given is replaced")
		}
		o.clock.Advance(20 * time.Minute)
		again, err = o.mail.TokenRefused(o.t.Context(), transport)
		o.must(err)
		next := o.open()
		if !again || next.Key() == transport.Key() || next.Config.Auth.Credential.Token.Equal(transport.Config.Auth.Credential.Token) {
			o.t.Error("the token is used again")
		}
		o.save(typed())
		if again, err := o.mail.TokenRefused(o.t.Context(), o.open()); again || err != nil {
			o.t.Errorf("a password: %v, %v", again, err)
		}
	})
}

func TestTheSignInIsUsedOnceADay(t *testing.T) {
	eachOffice(t, func(o *office) {
		alive := func() { o.t.Helper(); o.must(o.mail.KeepAlive(o.t.Context())) }
		alive() // there is no profile yet
		o.save(typed())
		alive()
		o.setUp(o.microsoft())
		for day := range 3 {
			o.clock.Advance(21 * time.Hour)
			alive()
			alive()
			if got := o.ours.grants("refresh_token"); got != day+1 {
				o.t.Errorf("after %d days it was used %d times", day+1, got)
			}
		}
		o.clock.Advance(21 * time.Hour)
		o.ours.set(func() { o.ours.refusal = busy })
		alive()
		o.wantState(mail.Working)
		o.ours.set(func() { o.ours.refusal = revoked })
		o.clock.Advance(10 * time.Minute)
		alive()
		if p := o.wantState(mail.Paused); p.Remedy != verdict.RemedySignIn || !strings.Contains(p.Reply, "AADSTS50173") {
			o.t.Errorf("a sign-in that has ended: %+v", p)
		}
	})
}

// A sign-in may end while mail is stopped. Whoever is told of mail hears of it
// once, and mail stays stopped.
func TestASignInThatEndsWhileMailIsStoppedIsTold(t *testing.T) {
	eachOffice(t, func(o *office) {
		alive := func() { o.t.Helper(); o.clock.Advance(21 * time.Hour); o.must(o.mail.KeepAlive(o.t.Context())) }
		o.setUp(o.microsoft())
		o.must(o.mail.Stop(o.t.Context(), admin, "maintenance"))
		alive()
		o.ours.set(func() { o.ours.refusal = busy })
		alive()
		if p := o.wantState(mail.Stopped); p.Problem != "" {
			o.t.Errorf("what goes by is noted: %+v", p)
		}
		o.ours.set(func() { o.ours.refusal = revoked })
		alive()
		alive()
		p := o.wantState(mail.Stopped)
		if p.Remedy != verdict.RemedySignIn || p.Reason != "Stopped by grace: maintenance" || !strings.Contains(p.Reply, "AADSTS50173") {
			o.t.Errorf("it says %+v", p)
		}
		if all := o.audited("mail.sign_in_ended"); len(all) != 1 || all[0].Reason == "" {
			o.t.Errorf("told %d times: %+v", len(all), all)
		}
		o.ours.set(func() { o.ours.refusal = "" })
		id, err := o.mail.BeginAgain(o.t.Context(), admin, o.browser)
		o.must(err)
		_, err = o.finish(o.away(id))
		o.must(err)
		alive()
		if p := o.wantState(mail.Stopped); p.Problem != "" || p.Remedy != "" || p.Reason != "Stopped by grace: maintenance" {
			o.t.Errorf("after a new sign-in it says %+v", p)
		}
	})
}

func TestWhatEndsIsKnownBefore(t *testing.T) {
	eachOffice(t, func(o *office) {
		health := func() mail.Health {
			o.t.Helper()
			h, err := o.mail.Health(o.t.Context(), admin)
			o.must(err)
			return h
		}
		o.setUp(o.microsoft())
		h := health()
		if len(h.Ends) != 1 || !strings.Contains(h.Ends[0].What, "sign-in at Microsoft") || h.Ends[0].At.Sub(o.clock.Now()) != 90*24*time.Hour {
			o.t.Errorf("what ends: %+v", h.Ends)
		}
		for _, want := range []string{"when the client secret ends", "No letter has left"} {
			if !slices.ContainsFunc(h.Notes, func(n string) bool { return strings.Contains(n, want) }) {
				o.t.Errorf("the notes %q lack %q", h.Notes, want)
			}
		}
		c := o.active().Change()
		c.OAuth.SecretEnds, c.Anyway, c.Pace.PerDay = o.clock.Now().Add(20*24*time.Hour), true, 10
		o.save(c)
		o.must(o.mail.Accepted(o.t.Context(), o.open(), nil, 8))
		h = health()
		if len(h.Ends) != 2 || !strings.Contains(h.Ends[0].What, "client secret") || !h.Ends[0].Warn(o.clock.Now()) {
			o.t.Errorf("what ends: %+v", h.Ends)
		}
		if len(h.Notes) != 1 || !strings.Contains(h.Notes[0], "8 recipients") || h.SentToday != 8 {
			o.t.Errorf("the notes are %q after %d", h.Notes, h.SentToday)
		}
	})
}

// What a change says in the audit log are the names of the form.
func TestTheAuditSaysWhatChangedOfTheTokens(t *testing.T) {
	eachOffice(t, func(o *office) {
		c := o.microsoft()
		c.Client.Value = secret.New(clientSecret)
		o.setUp(c)
		text := audit.DetailText(o.audited("mail.saved")[0].Detail)
		for _, want := range []string{"tenant ID", tenant, "client ID", clientID, "token URL", "authorize URL", "scopes", "token grant", "client secret: replaced", "letters leave via", "cloud", "redirect path"} {
			if !strings.Contains(text, want) {
				o.t.Errorf("the audit %q lacks %q", text, want)
			}
		}
		if strings.Contains(text, clientSecret) {
			o.t.Error("the audit holds the secret")
		}
		o.update(func(tx *store.Tx) error {
			return tx.Each(func(r store.Row) error {
				var oauth, token []byte
				if err := r.Scan(&oauth, &token); err != nil {
					return err
				}
				for _, s := range []string{clientSecret, "access-token", "refresh-token"} {
					if strings.Contains(string(oauth)+string(token), s) {
						o.t.Errorf("the database holds %q as it is", s)
					}
				}
				return nil
			}, `SELECT o.sealed, t.sealed FROM mail_oauth o JOIN mail_token t ON t.profile_id = o.profile_id`)
		})
		o.must(o.mail.Remove(o.t.Context(), admin))
		o.update(func(tx *store.Tx) error {
			return tx.Each(func(store.Row) error {
				o.t.Error("something of the profile is left")
				return nil
			}, `SELECT profile_id FROM mail_oauth UNION SELECT profile_id FROM mail_token`)
		})
	})
}

func TestSettingsOfTokensAreChecked(t *testing.T) {
	eachOffice(t, func(o *office) {
		for _, tt := range []struct {
			field string
			do    func(c *mail.Change)
		}{
			{"tenant", func(c *mail.Change) { c.OAuth.Tenant = "../evil" }},
			{"tenant", func(c *mail.Change) { c.OAuth.Tenant = "common" }},
			{"client_id", func(c *mail.Change) { c.OAuth.ClientID = "" }},
			{"token_url", func(c *mail.Change) { c.OAuth.TokenURL = "https://login.evil.example/token" }},
			{"token_url", func(c *mail.Change) { c.OAuth.TokenURL = "http://login.microsoftonline.com/token" }},
			{"authorize_url", func(c *mail.Change) { c.OAuth.AuthorizeURL = "https://login.evil.example/authorize" }},
			{"cloud", func(c *mail.Change) { c.OAuth.Cloud = "moon" }},
			{"grant", func(c *mail.Change) { c.OAuth.Grant = "password" }},
			{"mailbox", func(c *mail.Change) { c.OAuth.Mailbox = "nobody" }},
			{"redirect_path", func(c *mail.Change) { c.OAuth.RedirectPath = "/elsewhere" }},
			{"via", func(c *mail.Change) { c.OAuth.Via = "pigeon" }},
			{"via", func(c *mail.Change) {
				*c = o.generic()
				c.OAuth.Via = mail.ViaGraph
			}},
			{"host", func(c *mail.Change) { c.Host = "192.0.2.1" }},
			{"host", func(c *mail.Change) { c.Host = "" }},
			{"mechanism", func(c *mail.Change) { c.Mechanism = "PLAIN" }},
			{"pace_per_minute", func(c *mail.Change) { c.Pace.PerMinute = -1 }},
			{"pace_connections", func(c *mail.Change) { c.Pace.Connections = 11 }},
			{"client_secret", func(c *mail.Change) { c.Client.Value = secret.New("••••••••") }},
			{"client_secret", func(c *mail.Change) { c.Client.Value = secret.New(secret.Redacted) }},
			{"client_secret", func(c *mail.Change) { c.Client = mail.Password{Action: mail.Clear} }},
			{"client_secret", func(c *mail.Change) { c.Client.Action = "something else" }},
			{"client_secret", func(c *mail.Change) { c.Client = mail.Password{} }},
			{"provider", func(c *mail.Change) {
				*c = o.generic()
				c.OAuth.Provider = oauth.Microsoft
			}},
			{"security", func(c *mail.Change) {
				*c = o.generic()
				c.Security, c.ConfirmClear = "none", outlook
			}},
		} {
			c := o.microsoft()
			tt.do(&c)
			o.refuse(admin, c, tt.field)
			_, err := o.mail.BeginConsent(o.t.Context(), admin, c, o.browser)
			o.against(err, tt.field)
		}
		c := typed()
		c.Mechanism = "XOAUTH2"
		o.refuse(admin, c, "mechanism")
		// What Microsoft's worldwide cloud has need not be typed.
		c = o.microsoft()
		c.Host, c.Port, c.OAuth.Cloud, c.OAuth.AuthorizeURL, c.OAuth.TokenURL, c.OAuth.Scopes, c.SignInLater = "", 0, "", "", "", "", true
		p := o.save(c)
		if full := p.Authority(); p.Server() != "smtp.office365.com:587" || p.Security != "starttls" || p.OAuth.Cloud != "global" || p.OAuth.TokenURL != "" ||
			full.TokenURL != "https://login.microsoftonline.com/"+tenant+"/oauth2/v2.0/token" {
			o.t.Errorf("saved as %+v, which is %+v", p, full)
		}
	})
}
