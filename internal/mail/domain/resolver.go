package domain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"github.com/sealpost/sealpost/internal/fault"
)

var (
	// ErrNone tells that the DNS knows no such name, or has no record of the
	// kind for it.
	ErrNone = errors.New("domain: there is no such record")
	// ErrUnsure tells that the DNS could not be asked or did not answer: whether
	// there is a record is not known.
	ErrUnsure = errors.New("domain: the DNS could not be asked")
	// ErrName tells that a text is no name that could be asked for.
	ErrName = errors.New("domain: this is no domain name")
)

// Wrong is a record that is there and cannot be used.
type Wrong struct {
	// Record is what stands there, without control characters.
	Record string
	// Why is one plain sentence.
	Why string
}

// Error returns the sentence.
func (w *Wrong) Error() string { return "domain: " + w.Why }

const (
	// usualWait bounds a question; a lost packet is asked for once more.
	usualWait = 2 * time.Second
	tries     = 2
	// maxAnswers bounds the records of an answer that are kept, maxText the
	// bytes of one of them. A whole answer has 64 KiB at most (RFC 1035 4.2.2).
	maxAnswers = 64
	maxText    = 8 << 10
	// maxName is the longest name in text (RFC 1035 2.3.4).
	maxName = 253
)

// Config is what a Resolver needs.
type Config struct {
	// Server is the "host:port" that is asked; empty means whom this machine
	// asks.
	Server string
	// Dial connects to it; nil means a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Wait bounds a question; 0 means two seconds. A question without an answer
	// is asked once more.
	Wait time.Duration
}

// Resolver asks the DNS. It is safe for use by several goroutines.
type Resolver struct {
	net  *net.Resolver
	wait time.Duration
}

// New returns a Resolver. The error is a fault that names the setting.
func New(c Config) (*Resolver, error) {
	if host, port, err := net.SplitHostPort(c.Server); c.Server != "" && (err != nil || host == "" || port == "") {
		return nil, fault.Invalid("mail.resolver", "Write the address and port of a DNS server, for example 192.0.2.53:53.")
	}
	r := &Resolver{wait: c.Wait}
	if r.wait <= 0 {
		r.wait = usualWait
	}
	dial := c.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	r.net = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if c.Server != "" {
			address = c.Server
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return ending(ctx, conn), nil
	}}
	return r, nil
}

// endingConn ends with a context: the library waits for an answer until a
// deadline of its own.
type endingConn struct {
	net.Conn
	stop func() bool
}

// packetConn is the same for UDP: the library tells the two apart by these
// methods.
type packetConn struct {
	*endingConn
	packets net.PacketConn
}

// ReadFrom reads a datagram.
func (p *packetConn) ReadFrom(b []byte) (int, net.Addr, error) { return p.packets.ReadFrom(b) }

// WriteTo writes one.
func (p *packetConn) WriteTo(b []byte, to net.Addr) (int, error) { return p.packets.WriteTo(b, to) }

func ending(ctx context.Context, conn net.Conn) net.Conn {
	e := &endingConn{Conn: conn, stop: context.AfterFunc(ctx, func() { _ = conn.Close() })}
	if p, ok := conn.(net.PacketConn); ok {
		return &packetConn{endingConn: e, packets: p}
	}
	return e
}

// Close ends the conversation.
func (e *endingConn) Close() error {
	e.stop()
	return e.Conn.Close()
}

// ask puts a question with a deadline, and once more where nobody answered.
func (r *Resolver) ask(ctx context.Context, question func(context.Context) error) error {
	var err error
	for range tries {
		within, cancel := context.WithTimeout(ctx, r.wait)
		err = question(within)
		cancel()
		var dns *net.DNSError
		if err == nil || ctx.Err() != nil || !errors.As(err, &dns) || !dns.IsTimeout {
			break
		}
	}
	return translate(err)
}

func translate(err error) error {
	var dns *net.DNSError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &dns) && dns.IsNotFound && !dns.IsTemporary && !dns.IsTimeout:
		return ErrNone
	}
	return fmt.Errorf("%w: %w", ErrUnsure, err)
}

// TXT returns the texts that stand at a name, each with its strings joined.
func (r *Resolver) TXT(ctx context.Context, name string) ([]string, error) {
	name, err := Name(name)
	if err != nil {
		return nil, err
	}
	var texts []string
	err = r.ask(ctx, func(ctx context.Context) (err error) {
		texts, err = r.net.LookupTXT(ctx, name+".")
		return err
	})
	if err != nil {
		return nil, err
	}
	texts = texts[:min(len(texts), maxAnswers)]
	for i := range texts {
		texts[i] = texts[i][:min(len(texts[i]), maxText)]
	}
	return texts, nil
}

// Exchanger takes the mail for a domain.
type Exchanger struct {
	// Host is "" where the domain says that it takes no mail (RFC 7505).
	Host       string
	Preference int
}

// MX returns who takes the mail for a domain, the preferred first.
func (r *Resolver) MX(ctx context.Context, name string) ([]Exchanger, error) {
	name, err := Name(name)
	if err != nil {
		return nil, err
	}
	var all []*net.MX
	err = r.ask(ctx, func(ctx context.Context) (err error) {
		all, err = r.net.LookupMX(ctx, name+".")
		if len(all) > 0 {
			return nil // names that are none were left out
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []Exchanger
	for _, mx := range all[:min(len(all), maxAnswers)] {
		out = append(out, Exchanger{Host: strings.ToLower(strings.TrimSuffix(mx.Host, ".")), Preference: int(mx.Pref)})
	}
	return out, nil
}

// Addresses returns the addresses of a host, those of IPv4 first.
func (r *Resolver) Addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	name, err := Name(name)
	if err != nil {
		return nil, err
	}
	var all []netip.Addr
	err = r.ask(ctx, func(ctx context.Context) (err error) {
		all, err = r.net.LookupNetIP(ctx, "ip", name+".")
		return err
	})
	if err != nil {
		return nil, err
	}
	var four, six []netip.Addr
	for _, a := range all[:min(len(all), maxAnswers)] {
		if a = a.Unmap(); a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	return append(four, six...), nil
}

// Names returns the names that an address is entered under.
func (r *Resolver) Names(ctx context.Context, a netip.Addr) ([]string, error) {
	var names []string
	err := r.ask(ctx, func(ctx context.Context) (err error) {
		names, err = r.net.LookupAddr(ctx, a.String())
		if len(names) > 0 {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	names = names[:min(len(names), maxAnswers)]
	for i, n := range names {
		names[i] = strings.ToLower(strings.TrimSuffix(n, "."))
	}
	return names, nil
}

// Name returns a domain name as it is asked for: in lower case, in A-labels
// (RFC 5890), without the dot at its end. Labels may begin with an underscore,
// as those of records about mail do. The error is [ErrName].
func Name(s string) (string, error) {
	s = strings.TrimSuffix(strings.TrimSpace(s), ".")
	for _, c := range []byte(s) {
		if c >= 0x80 {
			ascii, err := idna.Lookup.ToASCII(s)
			if err != nil {
				return "", ErrName
			}
			s = ascii
			break
		}
	}
	s = strings.ToLower(s)
	if s == "" || len(s) > maxName {
		return "", ErrName
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", ErrName
		}
	}
	return s, nil
}

// tame returns a record as it may be shown: without characters that do not show
// or turn the direction of writing, and not endless.
func tame(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '·'
		}
		return r
	}, s)
	const most = 1000
	if len(s) <= most {
		return s
	}
	cut := most
	for s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}
