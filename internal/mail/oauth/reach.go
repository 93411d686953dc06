package oauth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const (
	// totalTime is for one request from its first byte to its answer's last.
	totalTime = 10 * time.Second
	// idleTime is how long a connection is kept for the next request.
	idleTime = 30 * time.Second
	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 64 << 10
	userAgent = "Sealpost"
)

// errHost and errLinkLocal are why nothing was sent.
var (
	errHost      = errors.New("oauth: this address is not that of an allowed authority")
	errLinkLocal = errors.New("oauth: the address is one of the local link, where no authority is")
)

// proxyError is a proxy that does not connect.
type proxyError int

func (e proxyError) Error() string { return fmt.Sprintf("oauth: the proxy answered %d", int(e)) }

// newHTTP returns the client that asks authorities: no redirects, no cookies,
// no compression, nothing from the environment, and no host that is not allowed,
// whoever wants it.
func newHTTP(cfg Config) *http.Client {
	t := &http.Transport{
		DialContext:            dialer(cfg.Dial),
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.Roots},
		TLSHandshakeTimeout:    totalTime,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        idleTime,
		MaxResponseHeaderBytes: maxHeader,
	}
	if cfg.Proxy != nil {
		t.Proxy = http.ProxyURL(cfg.Proxy)
		t.ProxyConnectHeader = http.Header{"User-Agent": {userAgent}}
		t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, r *http.Response) error {
			if r.StatusCode != http.StatusOK {
				return proxyError(r.StatusCode)
			}
			return nil
		}
	}
	return &http.Client{
		Transport:     guard{allowed: cfg.Authorities, next: t},
		Timeout:       totalTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// dialError is a connection that did not come about.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

func dialer(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	if dial == nil {
		dial = (&net.Dialer{Timeout: totalTime, Control: refuseLinkLocal}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, dialError{err}
		}
		return conn, nil
	}
}

// guard lets requests pass to allowed hosts alone.
type guard struct {
	allowed Authorities
	next    *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if g.allowed.Allows(r.URL) {
		return g.next.RoundTrip(r)
	}
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return nil, errHost
}

// CloseIdleConnections is what http.Client.CloseIdleConnections calls.
func (g guard) CloseIdleConnections() { g.next.CloseIdleConnections() }

// refuseLinkLocal keeps connections from the addresses where machines in a
// cloud are told their secrets. It sees the address that a name led to.
func refuseLinkLocal(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if a := ap.Addr(); a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return errLinkLocal
	}
	return nil
}

// unreached turns a failed request into an Error. Of words that came over the
// wire nothing is kept: they may repeat what was sent.
func unreached(host string, err error) *Error {
	e := &Error{Stage: StageReach, Host: host}
	var (
		dial  dialError
		dns   *net.DNSError
		cert  *tls.CertificateVerificationError
		op    *net.OpError
		plain tls.RecordHeaderError
		proxy proxyError
		slow  net.Error
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Err, e.Text = dns, "the name of the authority is not known here"
	case errors.As(err, &dns):
		e.Err, e.Text = dns, "the name of the authority cannot be looked up"
	case errors.As(err, &cert):
		e.Err, e.Text = cert, "the certificate of the authority is not trusted"
	case errors.As(err, &proxy):
		e.Err, e.Text = proxy, fmt.Sprintf("the proxy does not connect to the authority: it answered %d", int(proxy))
	case errors.Is(err, errLinkLocal):
		e.Err, e.Text = errLinkLocal, "the name of the authority leads to an address of the local link"
	case errors.Is(err, context.Canceled):
		e.Err, e.Text = context.Canceled, "the request was stopped"
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &slow) && slow.Timeout():
		e.Err, e.Text = context.DeadlineExceeded, "the authority did not answer in time"
	case errors.As(err, &dial):
		e.Err, e.Text = dial.error, "the authority cannot be connected to"
	case errors.As(err, &plain) || errors.As(err, &op) && op.Op == "remote error" || strings.Contains(err.Error(), ": tls: "):
		e.Text = "TLS with the authority does not come about: TLS 1.2 or later is needed"
	default:
		e.Text = "the connection broke off, or what answered is not an authority"
	}
	return e
}

// Reach connects to the authority of s and verifies its TLS. It asks for
// nothing that needs a secret.
func (c *Client) Reach(ctx context.Context, s Settings) (tls.ConnectionState, error) {
	s, u, err := c.ready(s)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, "https://"+u.Host+"/", nil)
	if err != nil {
		return tls.ConnectionState{}, settingsError(s, err)
	}
	r.Header.Set("User-Agent", userAgent)
	r.Close = true
	resp, err := c.http.Do(r)
	if err != nil {
		return tls.ConnectionState{}, unreached(u.Host, err)
	}
	// What it answered does not matter.
	_ = resp.Body.Close()
	return *resp.TLS, nil
}
