package wire

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// stagger is how long an address has before the next one is tried beside it
	// (RFC 8305, section 5), headStart how long the answer of the family that
	// goes first is waited for once the other's is there (section 3).
	stagger   = 250 * time.Millisecond
	headStart = 50 * time.Millisecond
	// remembered is how long the family that failed goes second, and maxHosts
	// for how many hosts that is known.
	remembered = 10 * time.Minute
	maxHosts   = 256
	// maxAddresses bounds the addresses of one family that are tried.
	maxAddresses = 8
	// lookAside is how long a name that a proxy will look up is looked up here.
	lookAside = 2 * time.Second
)

// Config is how connections come about.
type Config struct {
	// Deny are addresses that no mail server may have.
	Deny []netip.Prefix
	// Proxy is the way out; nil is the direct one.
	Proxy *Proxy
	// Direct are hosts that are reached without the proxy.
	Direct Bypass
	// Source are the addresses that connections leave from, at most one of each
	// family. Where there are any, a family without one is not used, so that
	// nothing leaves from an address that nobody chose. Loopback is reached from
	// anywhere. Empty leaves the choice to the system.
	Source []netip.Addr
	// Roots vouch for an https:// proxy; nil means the system's.
	Roots *x509.CertPool
	// Resolve looks up the addresses of a host; network is "ip4" or "ip6". Nil
	// means the system's resolver.
	Resolve func(ctx context.Context, network, host string) ([]netip.Addr, error)
	// Connect connects to "address:port"; nil means a net.Dialer.
	Connect func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the clock for what is remembered; nil means time.Now.
	Now func() time.Time
}

// Dialer connects. It is safe for use by several goroutines.
type Dialer struct {
	cfg Config

	mu sync.Mutex
	// firsts says which family goes first to a host, while it is remembered.
	firsts map[string]first
}

type first struct {
	family family
	until  time.Time
}

// New returns a dialer.
func New(c Config) *Dialer {
	d := &Dialer{cfg: c, firsts: make(map[string]first)}
	if d.cfg.Resolve == nil {
		d.cfg.Resolve = net.DefaultResolver.LookupNetIP
	}
	if d.cfg.Connect == nil {
		d.cfg.Connect = d.connect
	}
	if d.cfg.Now == nil {
		d.cfg.Now = time.Now
	}
	return d
}

// family is an address family: "ip6" or "ip4".
type family string

const (
	six  family = "ip6"
	four family = "ip4"
)

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return four
	}
	return six
}

func (f family) other() family {
	if f == six {
		return four
	}
	return six
}

// title is the name for people.
func (f family) title() string {
	if f == six {
		return "IPv6"
	}
	return "IPv4"
}

// DialContext connects to "host:port", whose host is a name or an address;
// network is "tcp". The error is an *Error or a *ProxyError, and errors.Is finds
// [ErrDenied] in it where nothing but the deny list stood in the way.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || network != "tcp" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("not a host and a port")}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("not a port")}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.Unmap().String()
	} else if !validName(host) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("not a host")}
	}
	if d.cfg.Proxy == nil || thisMachine(host) || d.cfg.Direct.Host(host) {
		return d.race(ctx, host, port, d.checked)
	}
	return d.through(ctx, host, port)
}

// Proxy returns the proxy that a host's name is given to, "" where it is looked
// up here.
func (d *Dialer) Proxy(host string) string {
	p := d.cfg.Proxy
	if p == nil || p.scheme == "socks5" || thisMachine(host) || d.cfg.Direct.Host(host) {
		return ""
	}
	return p.String()
}

// checked returns ErrDenied for an address that no mail server may have.
func (d *Dialer) checked(a netip.Addr) error {
	if Denied(d.cfg.Deny, a) {
		return ErrDenied
	}
	return nil
}

// Denied tells an address that is in one of the networks, by itself or by the
// IPv4 address that it stands for.
func Denied(deny []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(forms(a), func(a netip.Addr) bool { return within(deny, a) })
}

// within tells an address that is in one of the networks by itself.
func within(networks []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// forms returns an address and the others that a connection to it may reach.
func forms(a netip.Addr) []netip.Addr {
	a = a.Unmap().WithZone("")
	all := []netip.Addr{a}
	b := a.As16()
	embedded := func(at int) { all = append(all, netip.AddrFrom4([4]byte(b[at:]))) }
	switch {
	case a.IsUnspecified():
		// Linux connects to itself.
		all = append(all, netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	case a.Is4(), a.IsLoopback():
	case nat64.Contains(a): // RFC 6052
		embedded(12)
	case sixToFour.Contains(a): // RFC 3056
		embedded(2)
	case compatible.Contains(a): // RFC 4291, section 2.5.5.1
		embedded(12)
	}
	return all
}

var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	compatible = netip.MustParsePrefix("::/96")
)

// validName reports whether a host is made of what names are made of, and is no
// address in another spelling. It is what keeps a line break out of a CONNECT,
// and 2852039166 or 0xa9fea9fe, which some take for 169.254.169.254, from a proxy
// that the deny list cannot look behind.
func validName(host string) bool {
	return host != "" && len(host) <= 253 && !endsInNumber(host) && !strings.ContainsFunc(host, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	})
}

// endsInNumber tells a host whose last label is a number, decimal, octal or
// hexadecimal, as the URL standard of WHATWG has it (section 3.5). No top-level
// domain is one (RFC 3696, section 2).
func endsInNumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if rest, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(rest, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// thisMachine tells a host that is this machine whatever anybody says of it
// (RFC 6761, section 6.3).
func thisMachine(host string) bool {
	a, err := netip.ParseAddr(host)
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	return err == nil && (a.IsLoopback() || a.IsUnspecified()) || name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// connect is a net.Dialer that leaves from the source address. TCP_NODELAY stays
// on, as Go has it.
func (d *Dialer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	if to, err := netip.ParseAddrPort(address); err == nil && !to.Addr().IsLoopback() {
		if from, ok := d.source(familyOf(to.Addr())); ok && from.IsValid() {
			dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		}
	}
	return dialer.DialContext(ctx, network, address)
}

// source returns the address that connections of a family leave from; the zero
// one leaves it to the system. ok is false where the family is not used.
func (d *Dialer) source(f family) (from netip.Addr, ok bool) {
	for _, a := range d.cfg.Source {
		if familyOf(a) == f {
			return a, true
		}
	}
	return netip.Addr{}, len(d.cfg.Source) == 0
}

// goesFirst returns the family that goes first to a host: IPv6 (RFC 6724),
// unless it failed a short time ago.
func (d *Dialer) goesFirst(host string) family {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f, ok := d.firsts[host]; ok && d.cfg.Now().Before(f.until) {
		return f.family
	}
	return six
}

// remember notes that a family answered where the other one, asked before, did
// not. Once there are too many hosts, the one that is forgotten soonest goes.
func (d *Dialer) remember(host string, f family) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.firsts[host]; !ok && len(d.firsts) >= maxHosts {
		oldest := ""
		for h, f := range d.firsts {
			if oldest == "" || cmp.Compare(f.until.UnixNano(), d.firsts[oldest].until.UnixNano()) < 0 {
				oldest = h
			}
		}
		delete(d.firsts, oldest)
	}
	d.firsts[host] = first{f, d.cfg.Now().Add(remembered)}
}
