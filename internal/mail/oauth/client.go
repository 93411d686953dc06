package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
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
	// Dial connects; nil dials, and refuses link-local addresses.
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

// Pending is what ties a person's sign-in at the authority to the one who began
// it. The caller keeps it sealed until the person is back.
type Pending struct {
	// State comes back in the address, Nonce in the id_token; Verifier proves
	// to the authority that it is the same client (RFC 7636).
	State, Nonce, Verifier secret.Value
}

var errUnfinished = errors.New("not yet")

func NewClient(cfg Config) *Client             { return &Client{http: &http.Client{}} }
func (c *Client) HTTP() *http.Client           { return c.http }
func (c *Client) NewConsent() (Pending, error) { return Pending{}, errUnfinished }
func (c *Client) AuthorizeURL(s Settings, k Pending, redirectURI string) (string, error) {
	return "", errUnfinished
}

func (c *Client) Exchange(ctx context.Context, s Settings, cred Credential, k Pending, redirectURI string, code secret.Value) (Tokens, error) {
	return Tokens{}, errUnfinished
}

func (c *Client) Refresh(ctx context.Context, s Settings, cred Credential, refresh secret.Value) (Tokens, error) {
	return Tokens{}, errUnfinished
}

func (c *Client) Obtain(ctx context.Context, s Settings, cred Credential) (Tokens, error) {
	return Tokens{}, errUnfinished
}

func (c *Client) Reach(ctx context.Context, s Settings) (tls.ConnectionState, error) {
	return tls.ConnectionState{}, errUnfinished
}
func Refused(q url.Values, host string) *Error                       { return nil }
func (s Settings) Complete(graph bool) Settings                      { return s }
func (s Settings) Check(check *fault.Check, allowed Authorities)     {}
func (s Settings) CheckCredential(c Credential, now time.Time) error { return nil }
func (s Settings) CredentialEnds(c Credential) time.Time             { return time.Time{} }
