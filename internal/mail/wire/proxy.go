package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/proxy"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
)

// Proxy is a way out that the operator named.
type Proxy struct {
	// scheme is "socks5", "socks5h", "http" or "https".
	scheme, host, port, user string
	password                 secret.Value
}

// maxProxyWord bounds user and password (RFC 1929, section 2).
const maxProxyWord = 255

// ParseProxy reads an address like socks5h://user:password@proxy.example.org.
// The fault repeats nothing of it, since it may hold a password.
func ParseProxy(text secret.Value) (*Proxy, error) {
	refuse := func(sentence string) (*Proxy, error) { return nil, fault.Invalid("mail.proxy", sentence) }
	u, err := url.Parse(text.Reveal())
	if err != nil {
		return refuse("This is not the address of a proxy. Write for example socks5h://proxy.example.org:1080 or http://proxy.example.org:3128, or off.")
	}
	ports := map[string]string{"socks5": "1080", "socks5h": "1080", "http": "8080", "https": "443"}
	p := &Proxy{scheme: u.Scheme, host: u.Hostname(), port: u.Port()}
	if ports[p.scheme] == "" {
		return refuse("The address of a proxy begins with socks5://, socks5h://, http:// or https://.")
	}
	if p.port == "" {
		p.port = ports[p.scheme]
	}
	if a, err := netip.ParseAddr(p.host); err == nil {
		p.host = a.Unmap().String()
	} else if !validName(p.host) {
		return refuse("The address of a proxy needs the proxy's host, for example http://proxy.example.org:3128.")
	}
	if n, err := strconv.ParseUint(p.port, 10, 16); err != nil || n == 0 || strings.HasSuffix(u.Host, ":") {
		return refuse("The port of a proxy is a number from 1 to 65535.")
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return refuse("The address of a proxy ends with its port: leave out what comes after it.")
	}
	if u.User != nil {
		word, _ := u.User.Password()
		p.user, p.password = u.User.Username(), secret.New(word)
		switch {
		case p.user == "" || word == "":
			return refuse("A proxy is signed in to with user and password: write both, or neither.")
		case len(p.user) > maxProxyWord || len(word) > maxProxyWord:
			return refuse("User and password of a proxy have at most 255 bytes each.")
		case strings.ContainsFunc(p.user+word, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return refuse("User and password of a proxy hold no line breaks.")
		case strings.HasPrefix(p.scheme, "http") && strings.Contains(p.user, ":"):
			return refuse("The user of an HTTP proxy holds no colon (RFC 7617).")
		}
	}
	return p, nil
}

// String is "scheme://host:port", without user and password.
func (p *Proxy) String() string { return p.scheme + "://" + p.address() }

func (p *Proxy) address() string { return net.JoinHostPort(p.host, p.port) }

// ProxyError tells why a proxy did not connect.
type ProxyError struct {
	// Proxy is "scheme://host:port".
	Proxy string
	// Text says in a few words what happened; Err is the cause.
	Text string
	Err  error
}

// Error names the proxy, and what happened.
func (e *ProxyError) Error() string { return "the proxy " + e.Proxy + " " + e.Text }

// Unwrap returns the cause.
func (e *ProxyError) Unwrap() error { return e.Err }

// ProxySaid returns Text, for rooms that know this package by its errors alone.
func (e *ProxyError) ProxySaid() string { return e.Text }

// through connects through the proxy. See the package's documentation about
// names and the deny list.
func (d *Dialer) through(ctx context.Context, host, port string) (net.Conn, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return d.handOver(ctx, host, port, a)
	}
	local := d.cfg.Proxy.scheme == "socks5"
	addresses, failed := d.lookAside(ctx, host, local)
	switch {
	case local && len(addresses) == 0:
		return nil, failed.finish(host, port)
	case len(addresses) > 0 && !slices.ContainsFunc(addresses, func(a netip.Addr) bool { return !a.IsLoopback() && !d.cfg.Direct.Address(a) }):
		return d.race(ctx, host, port, d.checked)
	case local:
		return d.handOverEach(ctx, host, port, addresses)
	}
	return d.handOver(ctx, host, port, addresses...)
}

// lookAside looks a name up that goes to the proxy, IPv6 first. Where the proxy
// looks it up itself, it takes a short time only.
func (d *Dialer) lookAside(ctx context.Context, host string, local bool) ([]netip.Addr, *Error) {
	if !local {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, lookAside)
		defer cancel()
	}
	r := &race{d: d, host: host, lookups: make(chan lookup, 2)}
	r.lookUp(ctx)
	found := make(map[family][]netip.Addr)
	for range 2 {
		l := <-r.lookups
		found[l.family] = l.addresses
		r.failed.lookedUp(l)
	}
	return slices.Concat(found[six], found[four]), &r.failed
}

// handOverEach gives the proxy one address after the other.
func (d *Dialer) handOverEach(ctx context.Context, host, port string, addresses []netip.Addr) (net.Conn, error) {
	var denied Error
	var last error
	for _, a := range addresses {
		if err := d.checked(a); err != nil {
			denied.add(a, err)
			continue
		}
		conn, err := d.handOver(ctx, a.String(), port, a)
		if err == nil || ctx.Err() != nil {
			return conn, err
		}
		last = err
	}
	if last == nil {
		return nil, denied.finish(host, port)
	}
	return nil, last
}

// handOver connects to the proxy and gives it the target. The known addresses of
// the target must all be allowed: which one the proxy takes is its own choice.
func (d *Dialer) handOver(ctx context.Context, target, port string, known ...netip.Addr) (net.Conn, error) {
	var denied Error
	for _, a := range known {
		if err := d.checked(a); err != nil {
			denied.add(a, err)
		}
	}
	if len(denied.Tries) > 0 {
		return nil, denied.finish(target, port)
	}
	p := d.cfg.Proxy
	raw, err := d.race(ctx, p.host, p.port, func(netip.Addr) error { return nil })
	if err != nil {
		return nil, &ProxyError{Proxy: p.String(), Text: "cannot be reached: " + err.Error(), Err: hidden{err}}
	}
	conn, err := d.ask(ctx, raw, net.JoinHostPort(target, port))
	if err != nil {
		return nil, errors.Join(err, ignoreClosed(raw.Close()))
	}
	return &proxied{Conn: conn, to: far(net.JoinHostPort(target, port) + " through " + p.String())}, nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// ask has the dialogue with the proxy on a connection to it.
func (d *Dialer) ask(ctx context.Context, conn net.Conn, target string) (net.Conn, error) {
	p := d.cfg.Proxy
	if strings.HasPrefix(p.scheme, "socks5") {
		if err := p.socks(ctx, conn, target); err != nil {
			return nil, p.failure(err)
		}
		return conn, nil
	}
	if p.scheme == "https" {
		name := p.host
		secured := tls.Client(conn, &tls.Config{ServerName: name, RootCAs: d.cfg.Roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, &ProxyError{Proxy: p.String(), Text: "does not speak TLS as it should: " + clean(err.Error()), Err: hidden{err}}
		}
		conn = secured
	}
	stop := deadline(ctx, conn)
	err := p.connect(conn, target)
	if stopErr := stop(); err == nil {
		err = stopErr
	}
	if err != nil {
		return nil, p.failure(err)
	}
	return conn, nil
}

// deadline lets the end of ctx end reads and writes, until stop is called.
func deadline(ctx context.Context, conn net.Conn) (stop func() error) {
	release := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() error {
		if !release() {
			return ctx.Err()
		}
		return conn.SetDeadline(time.Time{})
	}
}

// given is a dialer that returns a connection that is there already.
type given struct{ conn net.Conn }

func (g given) Dial(string, string) (net.Conn, error) { return g.conn, nil }

func (g given) DialContext(context.Context, string, string) (net.Conn, error) { return g.conn, nil }

// socks has the dialogue of RFC 1928.
func (p *Proxy) socks(ctx context.Context, conn net.Conn, target string) error {
	var auth *proxy.Auth
	if p.user != "" {
		auth = &proxy.Auth{User: p.user, Password: p.password.Reveal()}
	}
	dialer, err := proxy.SOCKS5("tcp", p.address(), auth, given{conn})
	if err != nil {
		return err
	}
	asker, ok := dialer.(proxy.ContextDialer)
	if !ok {
		return fmt.Errorf("wire: %T does not take a context", dialer)
	}
	_, err = asker.DialContext(ctx, "tcp", target)
	return err
}

// failure says what went wrong in the dialogue.
func (p *Proxy) failure(err error) *ProxyError {
	var already *ProxyError
	if errors.As(err, &already) {
		return already
	}
	e := &ProxyError{Proxy: p.String(), Err: hidden{err}}
	text := reason(err)
	switch {
	case timedOut(err) || errors.Is(err, context.Canceled):
		e.Text, e.Err = "did not answer in time", err
	case strings.Contains(text, "no acceptable authentication methods"):
		e.Text = "wants another sign-in than it is given; mail.proxy holds its user and password"
	case strings.Contains(text, "username/password authentication failed"):
		e.Text = "refuses the user and password in mail.proxy"
	case strings.HasPrefix(text, "unknown error "):
		e.Text = "answered: " + strings.TrimPrefix(text, "unknown error ")
	case text == "EOF" || text == "unexpected EOF":
		e.Text = "closed the connection without an answer"
	default:
		e.Text = "did not answer as it should: " + text
	}
	return e
}

// hidden keeps an error for logs, and from being taken for one of the mail
// server: that its proxy refuses a connection does not mean that it does.
type hidden struct{ error }

// proxied is a connection through a proxy. Its RemoteAddr names both ends.
type proxied struct {
	net.Conn
	to far
}

// NetConn returns the connection to the proxy.
func (p *proxied) NetConn() net.Conn { return p.Conn }

// RemoteAddr names the target and the proxy.
func (p *proxied) RemoteAddr() net.Addr { return p.to }

// far is the address of a target behind a proxy.
type far string

// Network returns "tcp".
func (far) Network() string { return "tcp" }

// String names the target and the proxy.
func (f far) String() string { return string(f) }
