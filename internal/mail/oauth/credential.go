package oauth

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
)

const (
	// maxSecret and maxKeyFile bound what is typed or chosen, in bytes.
	maxSecret  = 4096
	maxKeyFile = 32 << 10
	// minRSA and maxRSA are the sizes of a key that signs.
	minRSA, maxRSA = 2048, 8192

	fieldSecret = "client_secret"
	fieldKey    = "client_key"
)

// CheckCredential says why c cannot prove the client, against the field
// client_secret or client_key. It repeats nothing of it.
func (s Settings) CheckCredential(c Credential, now time.Time) error {
	switch {
	case s.Grant == ServiceAccount:
		_, err := readServiceAccount(c.Key)
		return err
	case s.ClientAuth == ByCertificate:
		pair, err := readCertificate(c.Key)
		if err != nil {
			return err
		}
		return pair.checkDates(now)
	case s.ClientAuth == ByNothing:
		return nil
	}
	return s.checkSecret(c.Secret)
}

// CredentialEnds returns when c proves the client no more: the end of a
// certificate. It is zero where c does not tell.
func (s Settings) CredentialEnds(c Credential) time.Time {
	if s.Grant == ServiceAccount || s.ClientAuth != ByCertificate {
		return time.Time{}
	}
	pair, err := readCertificate(c.Key)
	if err != nil {
		return time.Time{}
	}
	return pair.certificate.NotAfter
}

func (s Settings) checkSecret(v secret.Value) error {
	refuse := func(sentence string) error { return fault.Invalid(fieldSecret, sentence) }
	typed := v.Reveal()
	switch {
	case typed == "":
		return refuse("Type the client secret.")
	case len(typed) > maxSecret:
		return refuse("The client secret is longer than 4096 characters. Is it one?")
	case strings.TrimSpace(typed) != typed:
		return refuse("The client secret begins or ends with a space or a line break. Copy it without.")
	case strings.ContainsFunc(typed, func(r rune) bool { return r < ' ' || r > '~' }):
		return refuse("The client secret holds a character that no secret has. Copy it anew.")
	case s.Provider == Microsoft && isGUID(typed):
		return refuse("This is the Secret ID. Paste the Value, which the Entra admin center shows only right after the secret was made; make a new secret if it is gone.")
	}
	return nil
}

// pair is a certificate with its key.
type pair struct {
	certificate *x509.Certificate
	key         *rsa.PrivateKey
}

func (p pair) checkDates(now time.Time) error {
	c := p.certificate
	switch {
	case now.After(c.NotAfter):
		return fault.Invalid(fieldKey, "The certificate ended on "+day(c.NotAfter)+". Make a new one and add it to the app.")
	case now.Before(c.NotBefore):
		return fault.Invalid(fieldKey, "The certificate begins on "+day(c.NotBefore)+". Is the clock of this server right?")
	}
	return nil
}

func day(t time.Time) string { return t.UTC().Format("2 January 2006") }

// readCertificate reads a PEM with the client's certificate and its RSA key, in
// any order. Microsoft takes assertions signed with RSA alone.
func readCertificate(v secret.Value) (pair, error) {
	refuse := func(sentence string) (pair, error) { return pair{}, fault.Invalid(fieldKey, sentence) }
	data := []byte(v.Reveal())
	if sentence := checkPEM(data); sentence != "" {
		return refuse(sentence)
	}
	var certificates []*x509.Certificate
	var keys []crypto.PrivateKey
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return refuse("The certificate in the file is damaged. Export it anew.")
			}
			certificates = append(certificates, c)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			k, sentence := readKey(block)
			if sentence != "" {
				return refuse(sentence)
			}
			keys = append(keys, k)
		}
	}
	switch {
	case len(keys) == 0:
		return refuse("The file holds no private key. Choose a PEM with certificate and key, or append the key to it.")
	case len(keys) > 1:
		return refuse("The file holds more than one private key. Choose one with the key of the certificate alone.")
	case len(certificates) == 0:
		return refuse("The file holds no certificate. Choose a PEM with certificate and key, or append the certificate to it.")
	}
	key, sentence := usable(keys[0])
	if sentence != "" {
		return refuse(sentence)
	}
	for _, c := range certificates {
		if key.PublicKey.Equal(c.PublicKey) {
			return pair{c, key}, nil
		}
	}
	return refuse("The private key is not that of the certificate.")
}

// checkPEM says why data cannot be a PEM, or "".
func checkPEM(data []byte) string {
	switch {
	case len(data) == 0:
		return "Choose the file with the client's certificate and its private key."
	case len(data) > maxKeyFile:
		return "The file is larger than 32 KiB. Is it a certificate with its key?"
	case data[0] == 0x30:
		return "This is a PKCS#12 file (.pfx, .p12) or one in DER form. Turn it into PEM: openssl pkcs12 -in client.pfx -nodes -out client.pem"
	case !strings.Contains(string(data), "-----BEGIN "):
		return "This is not a PEM: it holds no line that starts with -----BEGIN. A PKCS#12 file becomes one by: openssl pkcs12 -in client.pfx -nodes -out client.pem"
	}
	return ""
}

// readKey reads a private key of PKCS#8 or PKCS#1, or says why not.
func readKey(block *pem.Block) (crypto.PrivateKey, string) {
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
		return nil, "The private key is protected by a passphrase. Take it off, Sealpost seals the key itself: openssl pkey -in client.key -out plain.key"
	case block.Type == "EC PRIVATE KEY":
		return nil, notRSA
	}
	if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		return k, ""
	}
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return k, ""
	}
	return nil, "The private key is damaged, or of a kind that Sealpost does not know. Export it anew as PKCS#8: openssl pkey -in client.key -out plain.key"
}

const notRSA = "The private key is not an RSA key, and no other is accepted for this. Make an RSA key of 2048 bits or more."

// usable returns the RSA key that k is, or says why it does not sign here.
func usable(k crypto.PrivateKey) (*rsa.PrivateKey, string) {
	key, ok := k.(*rsa.PrivateKey)
	if !ok {
		return nil, notRSA
	}
	if n := key.N.BitLen(); n < minRSA || n > maxRSA {
		return nil, "The RSA key must have 2048 to 8192 bits. Make a new one."
	}
	return key, ""
}

// account is a service account of Google's.
type account struct {
	email, keyID string
	key          *rsa.PrivateKey
}

// readServiceAccount reads the key file that Google gives for a service
// account. Its addresses are not looked at: where an assertion goes is set by
// the settings alone.
func readServiceAccount(v secret.Value) (account, error) {
	refuse := func(sentence string) (account, error) { return account{}, fault.Invalid(fieldKey, sentence) }
	var f struct {
		Type  string `json:"type"`
		Email string `json:"client_email"`
		KeyID string `json:"private_key_id"`
		Key   string `json:"private_key"`
	}
	data := v.Reveal()
	switch {
	case data == "":
		return refuse("Choose the key file of the service account, in JSON.")
	case len(data) > maxKeyFile:
		return refuse("The file is larger than 32 KiB. Is it the key file of a service account?")
	case json.Unmarshal([]byte(data), &f) != nil:
		return refuse("This is not a file in JSON. In the Google Cloud console, make a key of the service account as JSON.")
	case f.Type != "service_account":
		return refuse("This is not the key file of a service account: its type is another one. In the Google Cloud console, make a key of the service account as JSON.")
	case !isMailbox(f.Email) || !isVisible(f.Email):
		return refuse("The file does not name the service account (client_email). Download it anew.")
	case word(f.KeyID) != f.KeyID:
		return refuse("The id of the key (private_key_id) is damaged. Download the file anew.")
	}
	block, _ := pem.Decode([]byte(f.Key))
	if block == nil {
		return refuse("The file holds no private key (private_key). Download it anew.")
	}
	k, sentence := readKey(block)
	if sentence != "" {
		return refuse(sentence)
	}
	key, sentence := usable(k)
	if sentence != "" {
		return refuse(sentence)
	}
	return account{email: f.Email, keyID: f.KeyID, key: key}, nil
}
