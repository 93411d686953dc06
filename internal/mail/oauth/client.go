package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
)

const (
	// maxBody bounds an answer, in bytes.
	maxBody = 64 << 10
	// maxCode bounds a code that a browser brings, in bytes.
	maxCode = 16 << 10

	jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	grantJWT  = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// Config is what a Client needs.
type Config struct {
	// Authorities are the only hosts that the client talks to.
	Authorities Authorities
	// Roots vouch for them; nil takes the system's.
	Roots *x509.CertPool
	// Proxy is asked to connect (CONNECT); nil goes directly. The environment
	// is not looked at.
	Proxy *url.URL
	// Dial connects; nil dials, and refuses addresses of the local link.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the clock; nil takes the system's.
	Now func() time.Time
	// Random is where states, nonces and verifiers come from; nil takes
	// crypto/rand.
	Random io.Reader
}

// Client asks authorities for tokens. It keeps nothing and is safe for
// concurrent use.
type Client struct {
	authorities Authorities
	http        *http.Client
	now         func() time.Time
	random      io.Reader
}

// NewClient returns a client.
func NewClient(cfg Config) *Client {
	c := &Client{authorities: cfg.Authorities, http: newHTTP(cfg), now: cfg.Now, random: cfg.Random}
	if c.now == nil {
		c.now = time.Now
	}
	if c.random == nil {
		c.random = rand.Reader
	}
	return c
}

// HTTP returns the client's own HTTP client, which talks to its authorities
// alone and follows no redirect: a caller treats a 3xx as a failure. Its time
// for a request is 10 seconds; how much of an answer is read is the caller's
// matter.
func (c *Client) HTTP() *http.Client { return c.http }

// Pending is what ties a person's sign-in at the authority to the one who began
// it. The caller keeps it sealed until the person is back.
type Pending struct {
	// State comes back in the address, Nonce in the id_token; Verifier proves
	// to the authority that it is the same client (RFC 7636).
	State, Nonce, Verifier secret.Value
}

// NewConsent returns a new Pending, each part with 256 bits of chance.
func (c *Client) NewConsent() (Pending, error) {
	var k Pending
	for _, v := range []*secret.Value{&k.State, &k.Nonce, &k.Verifier} {
		text, err := c.chance()
		if err != nil {
			return Pending{}, err
		}
		*v = secret.New(text)
	}
	return k, nil
}

// AuthorizeURL returns the address where a person signs in and agrees, to be
// sent back to redirectURI.
func (c *Client) AuthorizeURL(s Settings, k Pending, redirectURI string) (string, error) {
	s, _, err := c.ready(s)
	if err != nil {
		return "", err
	}
	back, err := url.Parse(redirectURI)
	if err != nil || back.Scheme != "https" && back.Scheme != "http" || back.Hostname() == "" || back.Fragment != "" {
		return "", settingsError(s, errors.New("oauth: the redirect URI is not an address of a page"))
	}
	if s.Grant != Consent || k.State.IsZero() || k.Verifier.IsZero() {
		return "", settingsError(s, errors.New("oauth: this is no sign-in of a person"))
	}
	u, err := url.Parse(s.AuthorizeURL)
	if err != nil {
		return "", settingsError(s, err)
	}
	sum := sha256.Sum256([]byte(k.Verifier.Reveal()))
	q := u.Query()
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("response_type", "code")
	set("client_id", s.ClientID)
	set("redirect_uri", redirectURI)
	set("scope", s.Scopes)
	set("state", k.State.Reveal())
	set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
	set("code_challenge_method", "S256")
	set("login_hint", s.Mailbox)
	if s.identifies() {
		set("nonce", k.Nonce.Reveal())
	}
	switch s.Provider {
	case Microsoft:
		set("response_mode", "query")
		set("prompt", "select_account")
	case Google:
		// Without both, Google gives no refresh token from the second time on.
		set("access_type", "offline")
		set("prompt", "consent")
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// identifies tells that the scopes ask for an id_token.
func (s Settings) identifies() bool { return slices.Contains(strings.Split(s.Scopes, " "), "openid") }

// Exchange turns the code that a person brought back into tokens (RFC 6749
// 4.1.3), and reads who it was that signed in. Tokens without Refresh are of use
// for a moment only.
func (c *Client) Exchange(ctx context.Context, s Settings, cred Credential, k Pending, redirectURI string, code secret.Value) (Tokens, error) {
	s, u, err := c.ready(s)
	if err != nil {
		return Tokens{}, err
	}
	if s.Grant != Consent || k.Verifier.IsZero() {
		return Tokens{}, settingsError(s, errors.New("oauth: this is no sign-in of a person"))
	}
	if v := code.Reveal(); v == "" || len(v) > maxCode || !isVisible(v) {
		return Tokens{}, &Error{Stage: StageAuthorize, Host: u.Host, Text: "what came back is not a code"}
	}
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code.Reveal()},
		"redirect_uri": {redirectURI}, "code_verifier": {k.Verifier.Reveal()},
	}
	t, id, err := c.ask(ctx, s, cred, form)
	if err != nil || !s.identifies() {
		return t, err
	}
	if t.Identity, err = readIdentity(id, s, k.Nonce, c.now()); err != nil {
		return Tokens{}, &Error{Stage: StageToken, Status: http.StatusOK, Host: u.Host, Text: err.Error()}
	}
	return t, nil
}

// Refresh asks for an access token with a refresh token (RFC 6749 6). Who signed
// in stays who it was: an id_token is not read.
func (c *Client) Refresh(ctx context.Context, s Settings, cred Credential, refresh secret.Value) (Tokens, error) {
	s, _, err := c.ready(s)
	if err != nil {
		return Tokens{}, err
	}
	if s.Grant != Consent || refresh.IsZero() {
		return Tokens{}, settingsError(s, errors.New("oauth: there is no refresh token"))
	}
	t, _, err := c.ask(ctx, s, cred, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh.Reveal()}})
	return t, err
}

// Obtain asks for an access token without a person: for the application itself
// (RFC 6749 4.4), or with the key of a service account (RFC 7523 2.1).
func (c *Client) Obtain(ctx context.Context, s Settings, cred Credential) (Tokens, error) {
	s, _, err := c.ready(s)
	if err != nil {
		return Tokens{}, err
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	switch s.Grant {
	case Application:
		if s.Scopes != "" {
			form.Set("scope", s.Scopes)
		}
	case ServiceAccount:
		a, err := readServiceAccount(cred.Key)
		if err != nil {
			return Tokens{}, settingsError(s, err)
		}
		assertion, err := c.grantAssertion(s, a)
		if err != nil {
			return Tokens{}, settingsError(s, err)
		}
		form = url.Values{"grant_type": {grantJWT}, "assertion": {assertion.Reveal()}}
	default:
		return Tokens{}, settingsError(s, errors.New("oauth: a person signs in for this"))
	}
	t, _, err := c.ask(ctx, s, cred, form)
	// No grant without a person comes with a refresh token; one that does is
	// not kept (RFC 6749 4.4.3).
	t.Refresh = secret.Value{}
	return t, err
}

// ready returns s complete, with the address that tokens are asked of, or says
// what is wrong with it. Nothing is sent anywhere by settings that Check would
// refuse, however they came here.
func (c *Client) ready(s Settings) (Settings, *url.URL, error) {
	s = s.Complete(false)
	var check fault.Check
	s.Check(&check, c.authorities)
	if err := check.Err(); err != nil {
		return s, nil, settingsError(s, err)
	}
	u, err := url.Parse(s.TokenURL)
	if err != nil || !c.authorities.Allows(u) {
		return s, nil, settingsError(s, errHost)
	}
	return s, u, nil
}

// settingsError is why nothing was asked.
func settingsError(s Settings, err error) *Error {
	e := &Error{Stage: StageSettings, Err: err}
	if fields := fault.Fields(err); len(fields) > 0 {
		e.Text = fields[0].Sentence
	}
	if u, err := url.Parse(s.TokenURL); err == nil {
		e.Host = u.Host
	}
	return e
}

// ask posts form with what proves the client, and reads the tokens of the
// answer.
func (c *Client) ask(ctx context.Context, s Settings, cred Credential, form url.Values) (Tokens, string, error) {
	if err := c.prove(s, cred, form); err != nil {
		return Tokens{}, "", settingsError(s, err)
	}
	u, err := url.Parse(s.TokenURL)
	if err != nil {
		return Tokens{}, "", settingsError(s, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return Tokens{}, "", settingsError(s, errHost)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", userAgent)
	// Tokens are asked for once in an hour: a connection kept would be one that
	// the authority has closed.
	r.Close = true
	asked := c.now()
	resp, err := c.http.Do(r)
	if err != nil {
		return Tokens{}, "", unreached(u.Host, err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return Tokens{}, "", unreached(u.Host, err)
	}
	refused := &Error{Stage: StageToken, Status: resp.StatusCode, Host: u.Host}
	if len(data) > maxBody {
		refused.Text = "the answer is longer than 64 KiB"
		return Tokens{}, "", refused
	}
	if resp.StatusCode != http.StatusOK {
		return Tokens{}, "", failure(u.Host, resp, data, c.now(), credentials(form))
	}
	t, id, err := readTokens(data, asked)
	if err == nil {
		return t, id, nil
	}
	// Some authorities refuse with 200.
	if e := failure(u.Host, resp, data, c.now(), credentials(form)); e.Code != "" {
		return Tokens{}, "", e
	}
	refused.Text = err.Error()
	return Tokens{}, "", refused
}

// prove adds to form what proves the client.
func (c *Client) prove(s Settings, cred Credential, form url.Values) error {
	if s.Grant == ServiceAccount {
		return nil // the assertion is the proof
	}
	if err := s.CheckCredential(cred, c.now()); err != nil {
		return err
	}
	form.Set("client_id", s.ClientID)
	if s.Provider == Microsoft {
		// For another resource than that of the sign-in there is no token.
		form.Set("scope", s.Scopes)
	}
	switch s.ClientAuth {
	case BySecret:
		form.Set("client_secret", cred.Secret.Reveal())
	case ByCertificate:
		p, err := readCertificate(cred.Key)
		if err != nil {
			return err
		}
		assertion, err := c.clientAssertion(s, p)
		if err != nil {
			return err
		}
		form.Set("client_assertion_type", jwtBearer)
		form.Set("client_assertion", assertion.Reveal())
	}
	return nil
}

// credentials returns everything in form that must not come back in words.
func credentials(form url.Values) []secret.Value {
	var sent []secret.Value
	for _, name := range []string{"client_secret", "client_assertion", "assertion", "code", "code_verifier", "refresh_token"} {
		if v := form.Get(name); v != "" {
			sent = append(sent, secret.New(v))
		}
	}
	return sent
}
