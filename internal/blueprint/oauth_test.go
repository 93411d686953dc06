package blueprint_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/oauth"
)

const (
	tenant = "11111111-2222-3333-4444-555555555555"
	client = "66666666-7777-8888-9999-000000000000"
)

// exchange is a file for Exchange Online with a mailbox that signs in.
const exchange = `
version: 1
access_url: https://vault.example.org:7272
mail:
  server: microsoft
  sender: {address: vault@example.org}
  authentication:
    oauth:
      tenant: ` + tenant + `
      client_id: ` + client + `
      client_secret: env:CLIENT_SECRET
      secret_ends: 2028-11-30
`

// A mailbox signs in by itself: mail is set up and paused until it did, and
// the file asks for nothing more.
func TestExchangeOnlineWaitsForItsSignIn(t *testing.T) {
	each(t, func(r *rig) {
		s := secrets{"env:CLIENT_SECRET": []byte("canary-1")}
		got := strings.Join(r.apply(exchange, s), "\n")
		for _, want := range []string{
			"create mail server; mail server: microsoft; server name: smtp.office365.com; port: 587; secure connection: tls; sender address: vault@example.org; sign-in: a token",
			"token grant: mailbox", "tenant ID: " + tenant, "client ID: " + client, "redirect path: sealpost", "client secret ends: 2028-11-30",
			"client secret: set from env:CLIENT_SECRET", "mail is paused until somebody signs in at the provider",
		} {
			if !strings.Contains(got, want) {
				r.t.Errorf("got %q, want %q", got, want)
			}
		}
		if strings.Contains(got, "canary") {
			r.t.Errorf("the client secret is shown: %s", got)
		}
		p, _, err := r.Mail.Active(r.ctx())
		r.must(err)
		if p.Kind != mail.KindMicrosoft || p.State != mail.Paused || p.OAuth.Grant != oauth.Consent || p.OAuth.RedirectPath != mail.RedirectOwn ||
			!p.OAuth.SecretEnds.Equal(time.Date(2028, 11, 30, 0, 0, 0, 0, time.UTC)) {
			r.t.Errorf("got %+v", p)
		}
		if got := r.actions(); !slices.Contains(got, "mail.paused smtp.office365.com:587") {
			r.t.Errorf("audited: %q", got)
		}
		r.settled(exchange, s)
		// What is bound to the secret is told and needs it; what is not changes
		// alone.
		file := strings.Replace(exchange, "sender: {address: vault@example.org}", "sender: {address: vault@example.org, name: Vault}\n  pace: {letters_a_minute: 20}", 1)
		file = strings.Replace(file, "secret_ends: 2028-11-30", "secret_ends: 2028-12-31\n      redirect: pmp", 1)
		got = strings.Join(r.apply(file, s), "\n")
		for _, want := range []string{"sender name: Vault", "letters a minute: 20", "client secret ends: 2028-11-30 becomes 2028-12-31", "redirect path: sealpost becomes pmp"} {
			if !strings.Contains(got, want) {
				r.t.Errorf("got %q, want %q", got, want)
			}
		}
		if strings.Contains(got, "set from") {
			r.t.Errorf("the same secret counts as another one: %s", got)
		}
		r.settled(file, s)
		got = strings.Join(r.apply(strings.Replace(file, "redirect: pmp", "redirect: pmp\n      mailbox: robot@example.org", 1), s), "\n")
		if !strings.Contains(got, "mailbox: robot@example.org") || !strings.Contains(got, "client secret: set from env:CLIENT_SECRET") {
			r.t.Errorf("another mailbox: %s", got)
		}
	})
}

// Who accepted on the page that another mailbox signs in does not lose that
// with the next run of a file that knows nothing of it.
func TestAnAcceptedMailboxStays(t *testing.T) {
	each(t, func(r *rig) {
		s := secrets{"env:CLIENT_SECRET": []byte("canary-1")}
		with := strings.Replace(exchange, "secret_ends: 2028-11-30", "secret_ends: 2028-11-30\n      mailbox: robot@example.org", 1)
		r.apply(with, s)
		r.settled(exchange, s)
		file := strings.Replace(exchange, "sender: {address: vault@example.org}", "sender: {address: vault@example.org, name: Vault}", 1)
		if got := strings.Join(r.apply(file, s), "\n"); strings.Contains(got, "mailbox:") {
			r.t.Errorf("another name of the sender: %s", got)
		}
		for _, change := range [][2]string{{"vault@example.org", "another@example.org"}, {client, tenant}, {tenant, client}} {
			r.apply(with, s)
			got := strings.Join(r.apply(strings.Replace(exchange, change[0], change[1], 1), s), "\n")
			if p, _, err := r.Mail.Active(r.ctx()); err != nil || p.OAuth.Mailbox != "" || !strings.Contains(got, "mailbox: robot@example.org") {
				r.t.Errorf("%s in place of %s keeps the mailbox %q: %v\n%s", change[1], change[0], p.OAuth.Mailbox, err, got)
			}
		}
	})
}

// A mail server that a person stopped stays so, and who runs the command is
// told that a sign-in is wanting all the same.
func TestAStoppedMailServerWantsItsSignIn(t *testing.T) {
	each(t, func(r *rig) {
		s := secrets{"env:CLIENT_SECRET": []byte("canary-1")}
		r.apply(exchange, s)
		r.must(r.Mail.Stop(r.ctx(), root, "maintenance"))
		got := strings.Join(r.apply(strings.Replace(exchange, "vault@example.org", "another@example.org", 1), s), "\n")
		p, _, err := r.Mail.Active(r.ctx())
		r.must(err)
		if p.State != mail.Stopped || !strings.Contains(got, "mail is stopped, and somebody has to sign in at the provider") {
			r.t.Errorf("%s: %s", p.State, got)
		}
	})
}

// Nobody signs in where the application does: the profile is saved without a
// test and works.
func TestSignInsWithoutAPerson(t *testing.T) {
	pemFile, key := clientCertificate(t)
	account, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "mail@project.iam.gserviceaccount.com", "client_id": "1234567890", "private_key_id": "k1",
		"private_key": string(key), "token_uri": "https://oauth2.googleapis.com/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(r *rig) {
		s := secrets{"file:app.pem": pemFile, "file:account.json": account, "env:S": []byte("canary-1")}
		for _, tt := range []struct {
			what, file string
			want       func(p mail.Profile) bool
		}{
			{
				"an application with a certificate, through Graph",
				"server: microsoft\n  sender: {address: vault@example.org}\n  authentication: {oauth: {sign_in: application, tenant: " + tenant + ", client_id: " + client + ", certificate: file:app.pem, via: graph}}",
				func(p mail.Profile) bool {
					return p.OAuth.Grant == oauth.Application && p.OAuth.ClientAuth == oauth.ByCertificate && p.OAuth.Via == mail.ViaGraph && !p.OAuth.SecretEnds.IsZero()
				},
			},
			{
				"an application in a national cloud",
				"server: microsoft\n  sender: {address: vault@example.org}\n  authentication: {oauth: {sign_in: application, cloud: gcc_high, tenant: example.onmicrosoft.us, client_id: " + client + ", client_secret: env:S}}",
				func(p mail.Profile) bool {
					return p.Host == "smtp.office365.us" && p.OAuth.Cloud == "gcc_high" && p.OAuth.SecretEnds.IsZero()
				},
			},
			{
				"a service account of Google",
				"host: smtp.gmail.com\n  security: tls\n  sender: {address: vault@example.org}\n  authentication: {oauth: {provider: google, sign_in: service_account, key: file:account.json}}",
				func(p mail.Profile) bool {
					return p.OAuth.Grant == oauth.ServiceAccount && p.OAuth.Provider == oauth.Google
				},
			},
		} {
			file := "version: 1\nmail:\n  " + tt.file + "\n"
			said := strings.Join(r.apply(file, s), "\n")
			p, _, err := r.Mail.Active(r.ctx())
			r.must(err)
			if !tt.want(p) || p.State != mail.Working || !p.SavedAnyway() || !strings.Contains(said, "saved without a test") || strings.Contains(said, "canary") || strings.Contains(said, "PRIVATE") {
				r.t.Errorf("%s: %+v\n%s", tt.what, p, said)
			}
			r.settled(file, s)
		}
	})
}

// What does not fit names the line, also where the mail server's own rules are
// broken.
func TestTokensThatDoNotFitNameTheLine(t *testing.T) {
	each(t, func(r *rig) {
		s := secrets{"env:S": []byte("canary-1"), "file:app.pem": []byte("canary")}
		for _, tt := range []struct{ words, key, line string }{
			{"tenant: not a tenant\n      client_id: " + client + "\n      client_secret: env:S", "tenant", "line 8: "},
			{"tenant: " + tenant + "\n      client_id: " + client + "\n      client_secret: env:S\n      token_url: https://evil.example/token", "token_url", "line 11: "},
			{"tenant: " + tenant + "\n      client_id: " + client + "\n      client_secret: env:S\n      cloud: mars", "cloud", "line 11: "},
			{"tenant: " + tenant + "\n      client_id: " + client + "\n      client_secret: env:GONE", "client_secret", "line 10: "},
			{"tenant: " + tenant + "\n      client_id: " + client, "client_secret", "line 7: "},
			{"tenant: " + tenant + "\n      client_id: " + client + "\n      certificate: file:app.pem", "", "line 7: "},
		} {
			_, err := r.plan(oauthFile("microsoft", tt.words), s)
			fields := fault.Fields(err)
			want := strings.TrimSuffix("mail.authentication.oauth."+tt.key, ".")
			if len(fields) == 0 || fields[0].Field != want || !strings.HasPrefix(fields[0].Sentence, tt.line) {
				r.t.Errorf("%s\ngot %v at %v, want %s at %q", tt.words, err, fields, want, tt.line)
			}
			if strings.Contains(fmt.Sprint(err, fields), "canary") {
				r.t.Errorf("%s: the fault repeats a secret: %v", tt.words, err)
			}
		}
		_, err := r.plan(strings.Replace(exchange, "mail:", "mail:\n  pace: {connections: 99}", 1), secrets{"env:CLIENT_SECRET": []byte("x")})
		if fields := fault.Fields(err); len(fields) != 1 || fields[0].Field != "mail.pace.connections" {
			r.t.Errorf("got %v", fields)
		}
	})
}

// clientCertificate makes a certificate with its key as one PEM, and the key
// alone.
func clientCertificate(t *testing.T) (both, key []byte) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Sealpost mail"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	return bytes.Join([][]byte{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key}, nil), key
}
