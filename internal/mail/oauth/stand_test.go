package oauth_test

import (
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/secret"
)

// The whole life of a sign-in, with the providers' own addresses, against a
// stand-in for Microsoft and Google that checks what it is sent.
func TestAPersonSignsInAndTheSignInLasts(t *testing.T) {
	stand := oauthtest.Start(t, oauthtest.Options{Now: func() time.Time { return now }})
	stand.Register(back)
	c := oauth.NewClient(oauth.Config{Authorities: builtIn(t), Roots: stand.Roots(), Dial: stand.Dial, Now: func() time.Time { return now }})
	for _, tt := range []struct {
		name, who, tenant string
		s                 oauth.Settings
		secret            string
	}{
		{"Microsoft", oauthtest.Alerts, oauthtest.Contoso, oauth.Settings{
			Provider: oauth.Microsoft, Grant: oauth.Consent, Tenant: oauthtest.Contoso, ClientID: oauthtest.ClientID, Mailbox: oauthtest.Alerts,
		}, oauthtest.ClientSecret},
		{"Microsoft, named by a domain", oauthtest.Alerts, oauthtest.Contoso, oauth.Settings{
			Provider: oauth.Microsoft, Grant: oauth.Consent, Tenant: "contoso.example", ClientID: oauthtest.ClientID, Mailbox: oauthtest.Alerts,
		}.Complete(true), oauthtest.ClientSecret},
		{"Google", oauthtest.Robot, "", oauth.Settings{
			Provider: oauth.Google, Grant: oauth.Consent, ClientID: oauthtest.GoogleClientID, Mailbox: oauthtest.Robot,
		}, oauthtest.GoogleClientSecret},
	} {
		cred := oauth.Credential{Secret: secret.New(tt.secret)}
		k, err := c.NewConsent()
		if err != nil {
			t.Fatal(err)
		}
		address, err := c.AuthorizeURL(tt.s, k, back)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		visit := stand.SignIn(t, address, oauthtest.Person{Name: tt.who})
		if visit.Back == nil || visit.Back.Query().Get("state") != k.State.Reveal() {
			t.Fatalf("%s: the person ended at %v %s", tt.name, visit.Back, visit.Page)
		}
		code := secret.New(visit.Back.Query().Get("code"))
		got, err := c.Exchange(t.Context(), tt.s, cred, k, back, code)
		if err != nil || got.Identity.Name != tt.who || got.Identity.Tenant != tt.tenant || got.Refresh.IsZero() {
			t.Fatalf("%s: %+v, %v", tt.name, got, err)
		}
		for range 2 {
			before := got.Access
			if got, err = c.Refresh(t.Context(), tt.s, cred, got.Refresh); err != nil || got.Access.Equal(before) {
				t.Fatalf("%s: a refresh: %v", tt.name, err)
			}
			if got.Refresh.IsZero() { // Google's stays
				break
			}
		}
		_, err = c.Exchange(t.Context(), tt.s, cred, k, back, code)
		if e := refused(t, err); e.Code != "invalid_grant" {
			t.Errorf("%s: a code used twice: %v", tt.name, e)
		}
	}
	k, err := c.NewConsent()
	if err != nil {
		t.Fatal(err)
	}
	s := oauth.Settings{Provider: oauth.Microsoft, Grant: oauth.Consent, Tenant: oauthtest.Contoso, ClientID: oauthtest.ClientID}
	address, err := c.AuthorizeURL(s, k, back)
	if err != nil {
		t.Fatal(err)
	}
	visit := stand.SignIn(t, address, oauthtest.Person{Name: oauthtest.Grace, Declines: true})
	if visit.Back == nil {
		t.Fatalf("the person who declined ended at %s", visit.Page)
	}
	if e := oauth.Refused(visit.Back.Query(), "login.microsoftonline.com"); e == nil || e.Code != "access_denied" {
		t.Errorf("declined: %v", e)
	}
}

func TestNobodySignsInAndTokensComeAllTheSame(t *testing.T) {
	stand := oauthtest.Start(t, oauthtest.Options{Now: func() time.Time { return now }})
	c := oauth.NewClient(oauth.Config{Authorities: builtIn(t), Roots: stand.Roots(), Dial: stand.Dial, Now: func() time.Time { return now }})
	file := clientPEM(t)
	block, _ := pem.Decode([]byte(file))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	app := stand.App(oauthtest.ClientID)
	app.Certificates = append(app.Certificates, cert)
	stand.PutApp(app)
	s := oauth.Settings{Provider: oauth.Microsoft, Grant: oauth.Application, Tenant: oauthtest.Contoso, ClientID: oauthtest.ClientID}
	byKey := s
	byKey.ClientAuth = oauth.ByCertificate
	robot := oauth.Settings{Provider: oauth.Google, Grant: oauth.ServiceAccount, Mailbox: oauthtest.Robot}
	account := stand.Delegate(t)
	for name, tt := range map[string]struct {
		s    oauth.Settings
		cred oauth.Credential
	}{
		"a secret":            {s, oauth.Credential{Secret: secret.New(oauthtest.ClientSecret)}},
		"a secret, for Graph": {s.Complete(true), oauth.Credential{Secret: secret.New(oauthtest.ClientSecret)}},
		"a certificate":       {byKey, oauth.Credential{Key: secret.New(file)}},
		"a service account":   {robot, oauth.Credential{Key: secret.FromBytes(account)}},
	} {
		got, err := c.Obtain(t.Context(), tt.s, tt.cred)
		if err != nil || got.Access.IsZero() || !got.Expires.After(now) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stand.ExpireSecret(oauthtest.ClientID, oauthtest.ClientSecret)
	_, err = c.Obtain(t.Context(), s, oauth.Credential{Secret: secret.New(oauthtest.ClientSecret)})
	if e := refused(t, err); e.Code != "invalid_client" || len(e.Numbers) == 0 || e.Numbers[0] != 7000222 || e.TraceID == "" {
		t.Errorf("an expired secret: %+v", e)
	}
}
