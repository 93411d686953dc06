package wire_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sealpost/sealpost/internal/mail/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	six  = "2001:db8::1"
	four = "192.0.2.1"
)

// world is a network of our own: names with addresses, and what becomes of a
// connection to each address.
type world struct {
	names map[string][]string
	// slow is how long the lookup of a family takes.
	slow map[string]time.Duration
	// fails says what becomes of an address: an error, silence until the end of
	// the context, or a connection where it is not there.
	fails map[string]error
	after map[string]time.Duration

	mu     sync.Mutex
	asked  []string
	opened []*conn
}

// errSilence is a black hole.
var errSilence = errors.New("silence")

// conn is a connection that knows whether it was closed.
type conn struct {
	net.Conn
	address string
	mu      sync.Mutex
	closed  bool
}

func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

func (c *conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (w *world) resolve(ctx context.Context, network, host string) ([]netip.Addr, error) {
	select {
	case <-time.After(w.slow[network]):
	case <-ctx.Done():
		return nil, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true}
	}
	var out []netip.Addr
	for _, text := range w.names[host] {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
		}
		if a.Is4() == (network == "ip4") {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return out, nil
}

func (w *world) connect(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.asked = append(w.asked, host)
	w.mu.Unlock()
	if w.fails[host] == errSilence {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
	time.Sleep(w.after[host])
	if err := w.fails[host]; err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	c := &conn{address: host}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opened = append(w.opened, c)
	return c, nil
}

func (w *world) dialer(cfg wire.Config) *wire.Dialer {
	cfg.Resolve, cfg.Connect = w.resolve, w.connect
	return wire.New(cfg)
}

// addressOf returns which address the connection went to.
func addressOf(t *testing.T, c net.Conn, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*conn).address
}

func refused() error { return os.NewSyscallError("connect", syscall.ECONNREFUSED) }

func noRoute() error { return os.NewSyscallError("connect", syscall.ENETUNREACH) }

func TestIPv6AndIPv4Race(t *testing.T) {
	for _, tt := range []struct {
		what  string
		world *world
		want  string
		after time.Duration
		asked []string
	}{
		{
			"IPv6 goes first", &world{names: map[string][]string{"mx.example": {four, six}}},
			six, 0,
			[]string{six},
		},
		{
			"a refusal begins the next try at once",
			&world{names: map[string][]string{"mx.example": {six, four}}, fails: map[string]error{six: refused()}},
			four, 0,
			[]string{six, four},
		},
		{
			"silence costs a quarter of a second",
			&world{names: map[string][]string{"mx.example": {six, four}}, fails: map[string]error{six: errSilence}},
			four, 250 * time.Millisecond,
			[]string{six, four},
		},
		{
			"families take turns",
			&world{names: map[string][]string{"mx.example": {six, "2001:db8::2", four, "192.0.2.2"}}, fails: map[string]error{six: errSilence, four: errSilence, "2001:db8::2": errSilence}},
			"192.0.2.2", 750 * time.Millisecond,
			[]string{six, four, "2001:db8::2", "192.0.2.2"},
		},
		{
			"an answer late for the head start goes second",
			&world{names: map[string][]string{"mx.example": {six, four}}, slow: map[string]time.Duration{"ip6": time.Second}},
			four, 50 * time.Millisecond,
			[]string{four},
		},
		{
			"an answer in time for the head start goes first",
			&world{names: map[string][]string{"mx.example": {six, four}}, slow: map[string]time.Duration{"ip6": 30 * time.Millisecond}},
			six, 30 * time.Millisecond,
			[]string{six},
		},
		{
			"an address that comes late is tried all the same",
			&world{names: map[string][]string{"mx.example": {six, four}}, slow: map[string]time.Duration{"ip6": time.Second}, fails: map[string]error{four: errSilence}},
			six, time.Second,
			[]string{four, six},
		},
		{
			"one family alone", &world{names: map[string][]string{"mx.example": {four}}},
			four, 0,
			[]string{four},
		},
	} {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := tt.world
				began := time.Now()
				c, err := w.dialer(wire.Config{}).DialContext(t.Context(), "tcp", "mx.example:587")
				if got := addressOf(t, c, err); got != tt.want {
					t.Errorf("connected to %s, want %s", got, tt.want)
				}
				if took := time.Since(began); took != tt.after {
					t.Errorf("it took %s, want %s", took, tt.after)
				}
				synctest.Wait()
				if !slices.Equal(w.asked, tt.asked) {
					t.Errorf("asked %q, want %q", w.asked, tt.asked)
				}
			})
		})
	}
}

func TestLosersAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{names: map[string][]string{"mx.example": {six, four}}, after: map[string]time.Duration{six: 400 * time.Millisecond, four: 100 * time.Millisecond}}
		c, err := w.dialer(wire.Config{}).DialContext(t.Context(), "tcp", "mx.example:587")
		if got := addressOf(t, c, err); got != four {
			t.Errorf("connected to %s", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(w.opened) != 2 || w.opened[0].isClosed() || !w.opened[1].isClosed() {
			t.Errorf("%d connections were opened; the loser must be closed and the winner not", len(w.opened))
		}
	})
}

func TestTheFamilyThatFailedGoesSecondForSomeMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{names: map[string][]string{"mx.example": {six, four}, "other.example": {six, four}}, fails: map[string]error{six: errSilence}}
		d := w.dialer(wire.Config{})
		dial := func(host string, want time.Duration) {
			t.Helper()
			began := time.Now()
			c, err := d.DialContext(t.Context(), "tcp", host+":587")
			if got := addressOf(t, c, err); got != four {
				t.Errorf("connected to %s", got)
			}
			if took := time.Since(began); took != want {
				t.Errorf("to %s it took %s, want %s", host, took, want)
			}
		}
		dial("mx.example", 250*time.Millisecond)
		dial("mx.example", 0)
		dial("other.example", 250*time.Millisecond) // it is known of one host
		time.Sleep(9 * time.Minute)
		dial("mx.example", 0)
		time.Sleep(2 * time.Minute)
		dial("mx.example", 250*time.Millisecond) // IPv6 may work again
		// The other way round: IPv4 goes first now, and is what fails.
		synctest.Wait()
		w.fails = map[string]error{four: errSilence}
		c, err := d.DialContext(t.Context(), "tcp", "mx.example:587")
		if got := addressOf(t, c, err); got != six {
			t.Errorf("connected to %s", got)
		}
		began := time.Now()
		c, err = d.DialContext(t.Context(), "tcp", "mx.example:587")
		if got := addressOf(t, c, err); got != six || time.Since(began) != 0 {
			t.Errorf("connected to %s after %s", got, time.Since(began))
		}
		synctest.Wait()
	})
}

func TestTheStoryOfAFailure(t *testing.T) {
	for _, tt := range []struct {
		what, address, story string
		world                *world
		is                   error
		timeout, dns         bool
	}{
		{
			"no route and a refusal", "mx.example:587", "IPv6 2001:db8::1: no route; IPv4 192.0.2.1: connection refused",
			&world{names: map[string][]string{"mx.example": {six, four}}, fails: map[string]error{six: noRoute(), four: refused()}},
			syscall.ECONNREFUSED, false, false,
		},
		{
			"silence on both sides", "mx.example:587", "IPv6 2001:db8::1: no answer in time; IPv4 192.0.2.1: no answer in time",
			&world{names: map[string][]string{"mx.example": {six, four}}, fails: map[string]error{six: errSilence, four: errSilence}},
			context.DeadlineExceeded, true, false,
		},
		{
			"no such host", "mx.example:587", "mx.example has no address",
			&world{}, nil, false, true,
		},
		{
			"DNS is down", "mx.example:587", "IPv6 cannot be looked up: server misbehaving; IPv4 cannot be looked up: server misbehaving",
			&world{names: map[string][]string{"mx.example": {"broken"}}}, nil, false, true,
		},
		{
			"DNS is silent", "mx.example:587", "mx.example was not looked up in time",
			&world{slow: map[string]time.Duration{"ip6": time.Hour, "ip4": time.Hour}}, context.DeadlineExceeded, true, true,
		},
		{
			"a literal", "[2001:db8::1]:587", "IPv6 2001:db8::1: connection refused",
			&world{fails: map[string]error{six: refused()}}, syscall.ECONNREFUSED, false, false,
		},
	} {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				_, err := tt.world.dialer(wire.Config{}).DialContext(ctx, "tcp", tt.address)
				if err == nil || err.Error() != tt.story {
					t.Fatalf("got %v, want %s", err, tt.story)
				}
				if tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("%v does not unwrap to %v", err, tt.is)
				}
				var timeout net.Error
				if !errors.As(err, &timeout) || timeout.Timeout() != tt.timeout {
					t.Errorf("timeout is not %t", tt.timeout)
				}
				if dns := (*net.DNSError)(nil); errors.As(err, &dns) != tt.dns {
					t.Errorf("a DNS error in it: %t, want %t", !tt.dns, tt.dns)
				}
				synctest.Wait()
			})
		})
	}
}

func TestEveryAddressIsLookedAtBeforeItIsCalled(t *testing.T) {
	deny := []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("2001:db8::/32")}
	w := &world{names: map[string][]string{
		"mx.example": {six, "169.254.169.254", four}, "evil.example": {"169.254.169.254", "2001:db8::7"},
		"half.example": {"169.254.169.254", "192.0.2.9"},
	}, fails: map[string]error{"192.0.2.9": refused()}}
	d := w.dialer(wire.Config{Deny: deny})
	c, err := d.DialContext(t.Context(), "tcp", "mx.example:587")
	if got := addressOf(t, c, err); got != four {
		t.Errorf("connected to %s", got)
	}
	for _, address := range []string{"evil.example:587", "169.254.169.254:25", "[::ffff:169.254.169.254]:25", "[2001:db8::1%eth0]:25"} {
		if _, err := d.DialContext(t.Context(), "tcp", address); !errors.Is(err, wire.ErrDenied) || !strings.Contains(err.Error(), "not allowed here") {
			t.Errorf("%s: %v", address, err)
		}
	}
	// An address that was tried and refused is what is to be mended.
	if _, err := d.DialContext(t.Context(), "tcp", "half.example:587"); errors.Is(err, wire.ErrDenied) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("half.example: %v", err)
	}
	if want := []string{four, "192.0.2.9"}; !slices.Equal(w.asked, want) {
		t.Errorf("connected to %q, want %q", w.asked, want)
	}
	// The control: without the list, they are called.
	c, err = w.dialer(wire.Config{}).DialContext(t.Context(), "tcp", "169.254.169.254:25")
	addressOf(t, c, err)
}

// An address that stands for another one is looked at as both.
func TestAddressesThatStandForOthers(t *testing.T) {
	for _, tt := range []struct {
		deny    string
		denied  []string
		allowed []string
	}{
		{"127.0.0.0/8", []string{"0.0.0.0", "::", "::ffff:0.0.0.0", "127.1.2.3", "::ffff:127.0.0.1"}, []string{"::1", "192.0.2.1"}},
		{"::1/128", []string{"::", "0.0.0.0", "::1"}, []string{"127.0.0.1"}},
		{
			"169.254.0.0/16",
			[]string{"::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::169.254.169.254"},
			[]string{"64:ff9b::192.0.2.1", "64:ff9b:1::169.254.169.254", "2002:c000:201::a9fe:a9fe", "2001:db8::169.254.169.254"},
		},
		{"0.0.0.0/8", []string{"0.0.0.0", "::"}, []string{"::1", "127.0.0.1"}},
	} {
		w := &world{}
		d := w.dialer(wire.Config{Deny: []netip.Prefix{netip.MustParsePrefix(tt.deny)}})
		for _, host := range tt.denied {
			if _, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(host, "25")); !errors.Is(err, wire.ErrDenied) {
				t.Errorf("without %s, %s: %v", tt.deny, host, err)
			}
		}
		if len(w.asked) > 0 {
			t.Errorf("without %s, connected to %q", tt.deny, w.asked)
		}
		for _, host := range tt.allowed {
			c, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(host, "25"))
			addressOf(t, c, err)
		}
	}
}

func TestHostsThatAreNone(t *testing.T) {
	w := &world{}
	for _, address := range []string{"mx.example", "mx.example:0", "mx.example:x", "mx.example:70000", ":587", "a b:587", "mx.example\r\nX-Evil: 1:587", "mx.exa\x00mple:587", "user@mx.example:587", "mx.example/:587", "münchen.example:587", "2852039166:25", "0xa9fea9fe:25", "0xA9.0xFE.0xa9.0xFE:25", "169.254.43518:25", "0251.0376.0251.0376:25", "169.254.169.254.:25", "mx.example.1:25", "mx.0x:25"} {
		if _, err := w.dialer(wire.Config{}).DialContext(t.Context(), "tcp", address); err == nil {
			t.Errorf("%q is a host", address)
		}
	}
	if len(w.asked) > 0 {
		t.Errorf("connected to %q", w.asked)
	}
	w = &world{names: map[string][]string{"1.example": {four}, "mx.0x1g": {four}, "mx.example.": {four}}}
	for host := range w.names {
		c, err := w.dialer(wire.Config{}).DialContext(t.Context(), "tcp", host+":25")
		addressOf(t, c, err)
	}
}

// listener listens on loopback and says a word to who connects.
func listener(t *testing.T, network, address string) (port string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Skipf("%s: %v", address, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, network)
			_ = c.Close()
		}
	}()
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// With real sockets: both families of loopback, one of them black-holed.
func TestDualStackLoopback(t *testing.T) {
	port := listener(t, "tcp4", "127.0.0.1:0")
	if p := listener(t, "tcp6", "[::1]:"+port); p != port {
		t.Fatal("two ports")
	}
	both := func(_ context.Context, network, _ string) ([]netip.Addr, error) {
		if network == "ip6" {
			return []netip.Addr{netip.IPv6Loopback()}, nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	for _, hole := range []string{"", "tcp6", "tcp4"} {
		d := wire.New(wire.Config{Resolve: both, Connect: func(ctx context.Context, network, address string) (net.Conn, error) {
			if network == hole {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}})
		c, err := d.DialContext(t.Context(), "tcp", "mx.example:"+port)
		if err != nil {
			t.Fatalf("without %q: %v", hole, err)
		}
		b, err := io.ReadAll(c)
		_ = c.Close()
		want := "tcp6"
		if hole == "tcp6" {
			want = "tcp4"
		}
		if err != nil || string(b) != want {
			t.Errorf("without %q it was %s (%v), want %s", hole, b, err, want)
		}
	}
}

func TestTheSourceAddress(t *testing.T) {
	source := []netip.Addr{netip.MustParseAddr("127.0.0.2")}
	port := listener(t, "tcp4", "127.0.0.1:0")
	// Loopback is reached from anywhere, so that a relay on this machine works.
	c, err := wire.New(wire.Config{Source: source}).DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	if from := c.LocalAddr().String(); !strings.HasPrefix(from, "127.0.0.1:") {
		t.Errorf("loopback was reached from %s", from)
	}
	_ = c.Close()
	// A family without a source is not used.
	w := &world{names: map[string][]string{"mx.example": {six, four}, "six.example": {six}}}
	c, err = w.dialer(wire.Config{Source: source}).DialContext(t.Context(), "tcp", "mx.example:587")
	if got := addressOf(t, c, err); got != four {
		t.Errorf("connected to %s", got)
	}
	_, err = w.dialer(wire.Config{Source: source}).DialContext(t.Context(), "tcp", "six.example:587")
	if err == nil || !strings.Contains(err.Error(), "mail.source has no address of this family") {
		t.Errorf("got %v", err)
	}
	// Elsewhere, the socket is bound to it: 198.51.100.0/24 is nobody's, and the
	// system refuses to leave for it from loopback, or from what it does not have.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = wire.New(wire.Config{Source: []netip.Addr{netip.MustParseAddr("198.51.100.7")}}).DialContext(ctx, "tcp", "198.51.100.1:587")
	if err == nil || !strings.Contains(err.Error(), "does not have the address to leave from (mail.source)") {
		t.Errorf("got %v", err)
	}
}

func TestNoDelayStaysOn(t *testing.T) {
	port := listener(t, "tcp4", "127.0.0.1:0")
	c, err := wire.New(wire.Config{}).DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	on := 0
	if err := raw.Control(func(fd uintptr) { on, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY) }); err != nil {
		t.Fatal(err)
	}
	if on == 0 {
		t.Error("small writes wait for acknowledgements")
	}
}

func TestSources(t *testing.T) {
	got, err := wire.ParseSource([]string{"192.0.2.10", "[2001:db8::10]"})
	if err != nil || len(got) != 2 {
		t.Errorf("got %v, %v", got, err)
	}
	for _, texts := range [][]string{{"192.0.2.10", "192.0.2.11"}, {"0.0.0.0"}, {"::"}, {"ff02::1"}, {"eth0"}, {"192.0.2.0/24"}, {"::ffff:192.0.2.1", "192.0.2.2"}} {
		if _, err := wire.ParseSource(texts); err == nil {
			t.Errorf("%q is taken", texts)
		}
	}
}
