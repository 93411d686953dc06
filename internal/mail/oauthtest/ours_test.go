package oauthtest_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/graph"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/secret"
)

// ourClient asks under the real names, which lead to the stand.
func ourClient(t *testing.T, s *oauthtest.Stand, c *clock) *oauth.Client {
	t.Helper()
	allowed, err := oauth.NewAuthorities([]string{s.Host()})
	if err != nil {
		t.Fatal(err)
	}
	return oauth.NewClient(oauth.Config{Authorities: allowed, Roots: s.Roots(), Dial: s.Dial, Now: c.Now})
}

// consent lets a person sign in for our client.
func consent(t *testing.T, s *oauthtest.Stand, client *oauth.Client, settings oauth.Settings, cred oauth.Credential, person string) oauth.Tokens {
	t.Helper()
	k, err := client.NewConsent()
	if err != nil {
		t.Fatal(err)
	}
	address, err := client.AuthorizeURL(settings, k, callback)
	if err != nil {
		t.Fatal(err)
	}
	v := s.SignIn(t, address, oauthtest.Person{Name: person})
	if v.Back == nil || v.Back.Query().Get("state") != k.State.Reveal() {
		t.Fatalf("got %+v", v)
	}
	got, err := client.Exchange(t.Context(), settings, cred, k, callback, secret.New(v.Back.Query().Get("code")))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// What our clients do is what the stand wants: else one of them is wrong.
func TestOurClientsGoTheWholeWay(t *testing.T) {
	s, c := open(t, oauthtest.Options{})
	client := ourClient(t, s, c)
	cred := oauth.Credential{Secret: secret.New(oauthtest.ClientSecret)}
	microsoft := oauth.Settings{
		Provider: oauth.Microsoft, Grant: oauth.Consent, Tenant: oauthtest.Contoso, ClientID: oauthtest.ClientID, Mailbox: oauthtest.Alerts,
	}
	app := microsoft
	app.Grant = oauth.Application
	mail := func(t *testing.T, server *smtptest.Server, user string, token secret.Value) {
		t.Helper()
		conn, err := dial(t, s, server, bearer(user, token.Reveal()), "")
		if err != nil {
			t.Fatal(err)
		}
		if e := send(t, conn, letter(user, "ada@example.org", "ours")); e != nil {
			t.Error(e)
		}
	}
	t.Run("Microsoft, a person", func(t *testing.T) {
		got := consent(t, s, client, microsoft.Complete(false), cred, oauthtest.Alerts)
		if got.Identity.Name != oauthtest.Alerts || got.Identity.Tenant != oauthtest.Contoso {
			t.Errorf("got %+v", got.Identity)
		}
		next, err := client.Refresh(t.Context(), microsoft.Complete(false), cred, got.Refresh)
		if err != nil || next.Refresh.IsZero() || next.Refresh.Equal(got.Refresh) {
			t.Fatalf("%v", err)
		}
		mail(t, s.Exchange(), oauthtest.Alerts, next.Access)
		if saw := s.WhoSaw(oauthtest.ClientSecret); len(saw) != 1 || saw[0] != "login.microsoftonline.com" {
			t.Errorf("the secret was seen by %v", saw)
		}
	})
	t.Run("Microsoft, the address of the stand", func(t *testing.T) {
		own := microsoft
		own.AuthorizeURL, own.TokenURL = s.AuthorizeURL("{tenant}"), s.TokenURL("{tenant}")
		got := consent(t, s, client, own.Complete(false), cred, oauthtest.Alerts)
		mail(t, s.Exchange(), oauthtest.Alerts, got.Access)
	})
	t.Run("Microsoft, the application", func(t *testing.T) {
		got, err := client.Obtain(t.Context(), app.Complete(false), cred)
		if err != nil {
			t.Fatal(err)
		}
		mail(t, s.Exchange(), oauthtest.Alerts, got.Access)
	})
	t.Run("Microsoft, a certificate", func(t *testing.T) {
		cert := smtptest.NewLab(t, c.Now()).Make(smtptest.Order{Name: "client", Key: smtptest.RSA2048})
		a := s.App(oauthtest.ClientID)
		a.Certificates = []*x509.Certificate{cert.Certificate}
		s.PutApp(a)
		der, err := x509.MarshalPKCS8PrivateKey(cert.Key)
		if err != nil {
			t.Fatal(err)
		}
		byCertificate := app
		byCertificate.ClientAuth = oauth.ByCertificate
		file := string(cert.PEM()) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		got, err := client.Obtain(t.Context(), byCertificate.Complete(false), oauth.Credential{Key: secret.New(file)})
		if err != nil {
			t.Fatal(err)
		}
		mail(t, s.Exchange(), oauthtest.Alerts, got.Access)
	})
	t.Run("Graph", func(t *testing.T) {
		for _, settings := range []oauth.Settings{microsoft.Complete(true), app.Complete(true)} {
			var got oauth.Tokens
			mailbox := ""
			if settings.Grant == oauth.Consent {
				got = consent(t, s, client, settings, cred, oauthtest.Alerts)
			} else {
				var err error
				if got, err = client.Obtain(t.Context(), settings, cred); err != nil {
					t.Fatal(err)
				}
				mailbox = oauthtest.Alerts
			}
			conn, err := graph.Dial(t.Context(), graph.Config{URL: "https://graph.microsoft.com", Mailbox: mailbox, Token: got.Access, HTTP: client.HTTP()})
			if err != nil {
				t.Fatal(err)
			}
			var result smtp.Result
			if err := conn.Send(t.Context(), smtp.Each(letter(oauthtest.Alerts, "ada@example.org", "graph")), func(_ int, r smtp.Result) { result = r }); err != nil || result.Err != nil || result.QueueID == "" {
				t.Errorf("%v %+v", err, result)
			}
		}
	})
	google := oauth.Settings{Provider: oauth.Google, Grant: oauth.Consent, ClientID: oauthtest.GoogleClientID, Mailbox: oauthtest.Robot}
	t.Run("Google, a person", func(t *testing.T) {
		cred := oauth.Credential{Secret: secret.New(oauthtest.GoogleClientSecret)}
		got := consent(t, s, client, google.Complete(false), cred, oauthtest.Robot)
		if got.Identity.Name != oauthtest.Robot {
			t.Errorf("got %+v", got.Identity)
		}
		next, err := client.Refresh(t.Context(), google.Complete(false), cred, got.Refresh)
		if err != nil {
			t.Fatal(err)
		}
		mail(t, s.Gmail(), oauthtest.Robot, next.Access)
	})
	t.Run("Google, a service account", func(t *testing.T) {
		google := google
		google.Grant, google.ClientID = oauth.ServiceAccount, ""
		got, err := client.Obtain(t.Context(), google.Complete(false), oauth.Credential{Key: secret.New(string(s.Delegate(t)))})
		if err != nil {
			t.Fatal(err)
		}
		mail(t, s.Gmail(), oauthtest.Robot, got.Access)
	})
	if n := len(s.Wait(t, 8)); n != 8 {
		t.Errorf("%d letters", n)
	}
}

// A refusal keeps its number and what support asks for on the way through our
// client.
func TestOurClientReadsARefusal(t *testing.T) {
	s, c := open(t, oauthtest.Options{})
	client := ourClient(t, s, c)
	settings := oauth.Settings{
		Provider: oauth.Microsoft, Grant: oauth.Application, Tenant: oauthtest.Contoso, ClientID: oauthtest.ClientID,
	}.Complete(false)
	read := func() *oauth.Error {
		_, err := client.Obtain(t.Context(), settings, oauth.Credential{Secret: secret.New(oauthtest.ClientSecret)})
		e, _ := err.(*oauth.Error)
		if e == nil {
			t.Fatalf("got %v", err)
		}
		return e
	}
	s.ExpireSecret(oauthtest.ClientID, oauthtest.ClientSecret)
	if e := read(); e.Code != "invalid_client" || len(e.Numbers) != 1 || e.Numbers[0] != 7000222 || e.TraceID == "" || e.CorrelationID == "" {
		t.Errorf("got %+v", e)
	}
	s.FailNext(oauthtest.Failure{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"90"}}, Body: `{}`})
	if e := read(); e.Status != 429 || e.RetryAfter != 90*time.Second {
		t.Errorf("got %+v", e)
	}
	s.Redirect307(s.Elsewhere() + "/token")
	if e := read(); e.Stage != oauth.StageToken || e.Status != 307 {
		t.Errorf("got %+v", e)
	}
	if saw := s.WhoSaw(oauthtest.ClientSecret); len(saw) != 1 {
		t.Errorf("the secret was seen by %v", saw)
	}
	settings.Grant, settings.Mailbox = oauth.Consent, oauthtest.Alerts
	settings.Scopes = ""
	k, err := client.NewConsent()
	if err != nil {
		t.Fatal(err)
	}
	address, err := client.AuthorizeURL(settings, k, callback)
	if err != nil {
		t.Fatal(err)
	}
	v := s.SignIn(t, address, oauthtest.Person{Name: oauthtest.Alerts, Declines: true})
	if e := oauth.Refused(v.Back.Query(), "login.microsoftonline.com"); e == nil || e.Code != "access_denied" || e.Numbers[0] != 65004 || e.Suberror != "cancel" || e.TraceID == "" {
		t.Errorf("got %+v", e)
	}
	if e := oauth.Refused(url.Values{}, ""); e != nil {
		t.Errorf("got %+v", e)
	}
}
