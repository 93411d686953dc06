package oauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/secret"
)

// rsaKey is made once: making one takes long.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })

func newRSA(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t *testing.T, key crypto.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return block("PRIVATE KEY", der)
}

// certificate is one of a key, good for a year before and after now.
func certificate(t *testing.T, key crypto.Signer, from, to time.Time) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "sealpost"}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", der)
}

var (
	lastYear = now.AddDate(-1, 0, 0)
	nextYear = now.AddDate(1, 0, 0)
)

func clientPEM(t *testing.T) string {
	t.Helper()
	return certificate(t, rsaKey(), lastYear, nextYear) + pkcs8(t, rsaKey())
}

func TestWhatProvesAClientIsChecked(t *testing.T) {
	rsaKey := rsaKey()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	weak := newRSA(1024)
	good, key := certificate(t, rsaKey, lastYear, nextYear), pkcs8(t, rsaKey)
	locked := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("canary")}))
	account := func(changes map[string]any) string {
		f := map[string]any{
			"type": "service_account", "client_email": "mail@project.iam.gserviceaccount.com", "private_key": key,
			"private_key_id": "k1", "token_uri": "https://evil.example/token",
		}
		for k, v := range changes {
			f[k] = v
		}
		b, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	bySecret := oauth.Settings{Provider: oauth.Microsoft, Grant: oauth.Consent, ClientAuth: oauth.BySecret}
	elsewhere := oauth.Settings{Provider: oauth.Generic, Grant: oauth.Consent, ClientAuth: oauth.BySecret}
	byKey := oauth.Settings{Provider: oauth.Microsoft, Grant: oauth.Application, ClientAuth: oauth.ByCertificate}
	robot := oauth.Settings{Provider: oauth.Google, Grant: oauth.ServiceAccount}
	public := oauth.Settings{Provider: oauth.Generic, Grant: oauth.Consent, ClientAuth: oauth.ByNothing}
	for _, tt := range []struct {
		name        string
		s           oauth.Settings
		value, want string
	}{
		{"a secret", bySecret, clientSecret, ""},
		{"no secret", bySecret, "", "Type the client secret"},
		{"the secret's ID", bySecret, client, "This is the Secret ID"},
		{"a GUID elsewhere", elsewhere, client, ""},
		{"a space at its end", bySecret, clientSecret + " ", "ends with a space"},
		{"a line break at its beginning", bySecret, "\n" + clientSecret, "ends with a space"},
		{"a control character", bySecret, "canary\x01x", "a character that no secret has"},
		{"another letter", bySecret, "canäry", "a character that no secret has"},
		{"an endless secret", bySecret, strings.Repeat("x", 4097), "longer than 4096"},
		{"a public client has none", public, "", ""},

		{"certificate and key", byKey, good + key, ""},
		{"key and certificate, with words between", byKey, "Bag Attributes\n" + key + "subject=x\n" + good, ""},
		{"PKCS#1", byKey, block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)) + good, ""},
		{"a chain", byKey, certificate(t, ec, lastYear, nextYear) + good + key, ""},
		{"nothing", byKey, "", "Choose the file"},
		{"the certificate alone", byKey, good, "no private key"},
		{"the key alone", byKey, key, "no certificate"},
		{"two keys", byKey, good + key + pkcs8(t, ec), "more than one private key"},
		{"another key", byKey, certificate(t, ec, lastYear, nextYear) + key, "not that of the certificate"},
		{"an EC key", byKey, certificate(t, ec, lastYear, nextYear) + pkcs8(t, ec), "not an RSA key"},
		{"an EC key in its own form", byKey, certificate(t, ec, lastYear, nextYear) + block("EC PRIVATE KEY", ecDER), "not an RSA key"},
		{"a weak key", byKey, certificate(t, weak, lastYear, nextYear) + pkcs8(t, weak), "2048"},
		{"an encrypted key", byKey, good + block("ENCRYPTED PRIVATE KEY", []byte("canary")), "openssl pkey"},
		{"an encrypted key of old", byKey, good + locked, "openssl pkey"},
		{"a damaged key", byKey, good + block("PRIVATE KEY", []byte("canary")), "damaged"},
		{"a damaged certificate", byKey, block("CERTIFICATE", []byte("canary")) + key, "damaged"},
		{"PKCS#12", byKey, "\x30\x82\x0a\x01canary", "openssl pkcs12"},
		{"no PEM", byKey, "canary", "not a PEM"},
		{"armour without content", byKey, "-----BEGIN canary", "no private key"},
		{"an endless file", byKey, strings.Repeat("x", 32<<10+1), "larger than 32 KiB"},
		{"an expired certificate", byKey, certificate(t, rsaKey, lastYear, now.AddDate(0, 0, -2)) + key, "ended on 3 November 2026"},
		{"a certificate of tomorrow", byKey, certificate(t, rsaKey, now.AddDate(0, 0, 1), nextYear) + key, "begins on 6 November 2026"},

		{"a service account", robot, account(nil), ""},
		{"a service account without the key's id", robot, account(map[string]any{"private_key_id": ""}), ""},
		{"no file", robot, "", "Choose the key file"},
		{"no JSON", robot, "canary", "not a file in JSON"},
		{"an endless JSON", robot, strings.Repeat(" ", 32<<10+1), "larger than 32 KiB"},
		{"the file of an OAuth client", robot, `{"web":{"client_secret":"canary"}}`, "not the key file of a service account"},
		{"no name", robot, account(map[string]any{"client_email": ""}), "does not name"},
		{"a name with a line break", robot, account(map[string]any{"client_email": "a@b\nc"}), "does not name"},
		{"a broken id", robot, account(map[string]any{"private_key_id": "k\n"}), "is damaged"},
		{"no key", robot, account(map[string]any{"private_key": "canary"}), "holds no private key"},
		{"a broken key", robot, account(map[string]any{"private_key": block("PRIVATE KEY", []byte("canary"))}), "damaged"},
		{"an EC key there", robot, account(map[string]any{"private_key": pkcs8(t, ec)}), "not an RSA key"},
		{"a weak key there", robot, account(map[string]any{"private_key": pkcs8(t, weak)}), "2048"},
	} {
		field, c := "client_key", oauth.Credential{Key: secret.New(tt.value)}
		if tt.s.ClientAuth == oauth.BySecret {
			field, c = "client_secret", oauth.Credential{Secret: secret.New(tt.value)}
		}
		err := tt.s.CheckCredential(c, now)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		f := fault.Fields(err)
		if len(f) != 1 || f[0].Field != field || !strings.Contains(f[0].Sentence, tt.want) {
			t.Errorf("%s: got %v, want %q at %s", tt.name, err, tt.want, field)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error repeats the file: %v", tt.name, err)
		}
	}
	if got := byKey.CredentialEnds(oauth.Credential{Key: secret.New(good + key)}); !got.Equal(nextYear) {
		t.Errorf("the certificate ends %s, want %s", got, nextYear)
	}
	for _, none := range []time.Time{
		byKey.CredentialEnds(oauth.Credential{Key: secret.New("x")}), robot.CredentialEnds(oauth.Credential{Key: secret.New(account(nil))}),
		bySecret.CredentialEnds(oauth.Credential{Secret: secret.New(clientSecret)}),
	} {
		if !none.IsZero() {
			t.Errorf("an end that nobody knows is %s", none)
		}
	}
}

// claims verifies a token with the public key and returns what it says.
func claims(t *testing.T, token, alg string) (head, body map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q has %d parts", token, len(parts))
	}
	for i, v := range []*map[string]any{&head, &body} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, v); err != nil {
			t.Fatal(err)
		}
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if alg == "PS256" {
		// RFC 7518 3.5: the salt is as long as the hash.
		err = rsa.VerifyPSS(&rsaKey().PublicKey, crypto.SHA256, sum[:], signature, &rsa.PSSOptions{SaltLength: sha256.Size})
	} else {
		err = rsa.VerifyPKCS1v15(&rsaKey().PublicKey, crypto.SHA256, sum[:], signature)
	}
	if err != nil || head["alg"] != alg || head["typ"] != "JWT" {
		t.Errorf("%v: %v", head, err)
	}
	from, to := body["iat"].(float64), body["exp"].(float64)
	if from != float64(now.Unix()) || body["nbf"] != body["iat"] || to <= from || to-from > 600 {
		t.Errorf("good from %v and %v to %v", from, body["nbf"], to)
	}
	if id, _ := body["jti"].(string); len(id) < 32 {
		t.Errorf("the id is %q", id)
	}
	return head, body
}

func TestACertificateProvesTheClient(t *testing.T) {
	a := serve(t, say(200, tokens(nil)))
	c := oauth.NewClient(a.config(t))
	s := a.microsoft(oauth.Application)
	s.ClientAuth = oauth.ByCertificate
	file := clientPEM(t)
	seen := map[any]bool{}
	for range 2 {
		a.forms = nil
		if _, err := c.Obtain(t.Context(), s, oauth.Credential{Key: secret.New(file)}); err != nil {
			t.Fatal(err)
		}
		form := a.form(t)
		head, body := claims(t, form.Get("client_assertion"), "PS256")
		der, _ := pem.Decode([]byte(file))
		sum := sha256.Sum256(der.Bytes)
		if head["x5t#S256"] != base64.RawURLEncoding.EncodeToString(sum[:]) {
			t.Errorf("the header is %v", head)
		}
		if body["iss"] != client || body["sub"] != client || body["aud"] != a.URL+"/"+tenant+"/oauth2/v2.0/token" || seen[body["jti"]] {
			t.Errorf("the claims are %v", body)
		}
		seen[body["jti"]] = true
		same(t, form, url.Values{
			"grant_type": {"client_credentials"}, "client_id": {client}, "scope": {"https://outlook.office365.com/.default"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {form.Get("client_assertion")},
		})
	}
}

// The key file of a service account names an address of its own, which nothing
// is ever sent to.
func TestAServiceAccountSignsForAMailbox(t *testing.T) {
	evil := serve(t, say(200, tokens(nil)))
	a := serve(t, say(200, tokens(nil)))
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "mail@project.iam.gserviceaccount.com", "private_key": pkcs8(t, rsaKey()), "private_key_id": "k1",
		"token_uri": evil.URL, "auth_uri": evil.URL,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := oauth.NewClient(a.config(t, evil.host()))
	if _, err := c.Obtain(t.Context(), a.google(oauth.ServiceAccount), oauth.Credential{Key: secret.FromBytes(b)}); err != nil {
		t.Fatal(err)
	}
	form := a.form(t)
	head, body := claims(t, form.Get("assertion"), "RS256")
	if head["kid"] != "k1" || body["iss"] != "mail@project.iam.gserviceaccount.com" || body["sub"] != "alerts@example.org" ||
		body["aud"] != a.URL+"/token" || body["scope"] != "https://mail.google.com/" {
		t.Errorf("the assertion says %v %v", head, body)
	}
	same(t, form, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {form.Get("assertion")}})
	if evil.requests() != 0 {
		t.Error("the address in the key file was asked")
	}

	a.answer = func(w http.ResponseWriter, r *http.Request) {
		say(400, `{"error":"invalid_grant","error_description":"Invalid JWT: `+a.forms[1].Get("assertion")+`"}`)(w, r)
	}
	_, err = c.Obtain(t.Context(), a.google(oauth.ServiceAccount), oauth.Credential{Key: secret.FromBytes(b)})
	if e := refused(t, err); e.Text != "Invalid JWT: [redacted]" {
		t.Errorf("got %q", e.Text)
	}
}
