package wire_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/wire"
	"github.com/sealpost/sealpost/internal/secret"
)

const (
	user     = "relay user"
	password = "geheim: ganz sicher"
)

// fake is a proxy of ours on loopback: it remembers what it was asked, and
// speaks the protocol or says what a test wants.
type fake struct {
	address string
	// script, if not nil, answers instead of the protocol.
	script func(c net.Conn, r *bufio.Reader)
	// to is where every target really is.
	to string
	// wants tells that it wants user and password.
	wants bool

	mu    sync.Mutex
	asked []string
}

func (f *fake) note(target string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, target)
}

func (f *fake) targets() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.asked, " ")
}

// serve listens and lets speak have each connection.
func (f *fake) serve(t *testing.T, speak func(c net.Conn, r *bufio.Reader), cfg *tls.Config) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if cfg != nil {
		l = tls.NewListener(l, cfg)
	}
	f.address = l.Addr().String()
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				if f.script != nil {
					f.script(c, bufio.NewReader(c))
					return
				}
				speak(c, bufio.NewReader(c))
			})
		}
	}()
	return f
}

// join lets both sides talk until one of them ends.
func (f *fake) join(c net.Conn, r io.Reader) {
	far, err := net.Dial("tcp", f.to)
	if err != nil {
		return
	}
	defer far.Close()
	go func() {
		_, _ = io.Copy(far, r)
		_ = far.Close()
	}()
	_, _ = io.Copy(c, far)
}

// socks speaks RFC 1928 and 1929.
func (f *fake) socks(c net.Conn, r *bufio.Reader) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(r, head); err != nil || head[0] != 5 {
		return
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(r, methods); err != nil {
		return
	}
	method := byte(0)
	if f.wants {
		if method = 2; !bytes.Contains(methods, []byte{2}) {
			_, _ = c.Write([]byte{5, 0xff})
			return
		}
	}
	_, _ = c.Write([]byte{5, method})
	if method == 2 {
		word := func() string {
			n, err := r.ReadByte()
			if err != nil {
				return ""
			}
			b := make([]byte, n)
			_, _ = io.ReadFull(r, b)
			return string(b)
		}
		if v, err := r.ReadByte(); err != nil || v != 1 {
			return
		}
		if u, p := word(), word(); u != user || p != password {
			_, _ = c.Write([]byte{1, 1})
			return
		}
		_, _ = c.Write([]byte{1, 0})
	}
	request := make([]byte, 4)
	if _, err := io.ReadFull(r, request); err != nil {
		return
	}
	target := make([]byte, map[byte]int{1: 4, 4: 16}[request[3]])
	if request[3] == 3 {
		n, _ := r.ReadByte()
		target = make([]byte, n)
	}
	port := make([]byte, 2)
	if _, err := io.ReadFull(r, target); err != nil {
		return
	}
	if _, err := io.ReadFull(r, port); err != nil {
		return
	}
	name := string(target)
	if request[3] != 3 {
		a, _ := netip.AddrFromSlice(target)
		name = a.String()
	}
	f.note(fmt.Sprintf("%s:%d", name, int(port[0])<<8|int(port[1])))
	_, _ = c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	f.join(c, r)
}

// connect speaks HTTP, read by net/http.
func (f *fake) connect(c net.Conn, r *bufio.Reader) {
	req, err := http.ReadRequest(r)
	if err != nil || req.Method != "CONNECT" {
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		return
	}
	f.note(req.RequestURI)
	if len(req.Header) > 1 || req.Host != req.RequestURI {
		f.note("strange")
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	if f.wants && req.Header.Get("Proxy-Authorization") != want {
		_, _ = io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n")
		return
	}
	_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
	f.join(c, r)
}

// greeter is a mail server: it greets, and repeats one line.
func greeter(t *testing.T) (address string) {
	t.Helper()
	g := (&fake{}).serve(t, func(c net.Conn, r *bufio.Reader) {
		_, _ = io.WriteString(c, "220 greeter\r\n")
		line, err := r.ReadString('\n')
		if err == nil {
			_, _ = io.WriteString(c, "250 "+line)
		}
	}, nil)
	return g.address
}

// talk has the greeter's dialogue.
func talk(t *testing.T, c net.Conn) {
	t.Helper()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	r := bufio.NewReader(c)
	greeting, err := r.ReadString('\n')
	if err != nil || greeting != "220 greeter\r\n" {
		t.Fatalf("got %q, %v", greeting, err)
	}
	_, _ = io.WriteString(c, "EHLO here\r\n")
	if reply, err := r.ReadString('\n'); err != nil || reply != "250 EHLO here\r\n" {
		t.Errorf("got %q, %v", reply, err)
	}
}

// proxyAt is the setting for a proxy.
func proxyAt(t *testing.T, scheme, userinfo, address string) *wire.Proxy {
	t.Helper()
	p, err := wire.ParseProxy(secret.New(scheme + "://" + userinfo + address))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const userinfo = "relay%20user:geheim%3A%20ganz%20sicher@"

func names(all map[string][]string) func(context.Context, string, string) ([]netip.Addr, error) {
	return (&world{names: all}).resolve
}

// certificateOf makes a certificate for a server on loopback.
func certificateOf(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "proxy"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

func TestThroughAProxy(t *testing.T) {
	mail := greeter(t)
	secured, roots := certificateOf(t)
	resolve := names(map[string][]string{"mx.example": {"192.0.2.1"}, "two.example": {six, "192.0.2.2"}})
	for _, tt := range []struct {
		scheme string
		signIn bool
		target string
		want   string
	}{
		{"socks5h", false, "mx.example:587", "mx.example:587"},
		{"socks5h", true, "mx.example:587", "mx.example:587"},
		{"socks5h", false, "unknown.example:25", "unknown.example:25"}, // the proxy may know it
		{"socks5h", false, "[2001:db8::9]:25", "2001:db8::9:25"},
		{"socks5", true, "mx.example:587", "192.0.2.1:587"},
		{"socks5", false, "two.example:587", six + ":587"},
		{"socks5", false, "192.0.2.3:465", "192.0.2.3:465"},
		{"http", false, "mx.example:587", "mx.example:587"},
		{"http", true, "mx.example:587", "mx.example:587"},
		{"http", false, "[2001:db8::9]:25", "[2001:db8::9]:25"},
		{"https", true, "mx.example:465", "mx.example:465"},
	} {
		t.Run(fmt.Sprintf("%s to %s, signing in: %t", tt.scheme, tt.target, tt.signIn), func(t *testing.T) {
			f := &fake{to: mail, wants: tt.signIn}
			switch tt.scheme {
			case "https":
				f.serve(t, f.connect, secured)
			case "http":
				f.serve(t, f.connect, nil)
			default:
				f.serve(t, f.socks, nil)
			}
			info := ""
			if tt.signIn {
				info = userinfo
			}
			d := wire.New(wire.Config{Proxy: proxyAt(t, tt.scheme, info, f.address), Roots: roots, Resolve: resolve})
			c, err := d.DialContext(t.Context(), "tcp", tt.target)
			if err != nil {
				t.Fatal(err)
			}
			if far := c.RemoteAddr().String(); !strings.HasSuffix(far, "through "+tt.scheme+"://"+f.address) || strings.Contains(far, "geheim") {
				t.Errorf("the far end is %q", far)
			}
			talk(t, c)
			if got := f.targets(); got != tt.want {
				t.Errorf("the proxy was asked for %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWithoutTheProxy(t *testing.T) {
	mail := greeter(t)
	_, port, _ := net.SplitHostPort(mail)
	f := &fake{to: mail}
	f.serve(t, f.connect, nil)
	direct, err := wire.ParseBypass([]string{"inside.example", ".below.example", "10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	there := func(_ context.Context, network, address string) (net.Conn, error) {
		if address == f.address {
			return net.Dial("tcp", address)
		}
		return net.Dial("tcp", mail)
	}
	d := wire.New(wire.Config{
		Proxy: proxyAt(t, "http", "", f.address), Direct: direct, Connect: there,
		Resolve: names(map[string][]string{
			"inside.example": {four}, "a.inside.example": {four}, "below.example": {four}, "a.below.example": {four},
			"ten.example": {"10.1.2.3"}, "mixed.example": {"10.1.2.3", four}, "this.example": {"127.0.0.1", "::1"}, "localhost": {"127.0.0.1"},
		}),
	})
	for _, tt := range []struct {
		host    string
		through bool
	}{
		{"127.0.0.1", false},
		{"[::1]", false},
		{"localhost", false},
		{"this.example", false},
		{"inside.example", false},
		{"A.Inside.Example.", false},
		{"a.below.example", false},
		{"below.example", true},
		{"ten.example", false},
		{"10.9.9.9", false},
		{"mixed.example", true},
		{"192.0.2.200", true},
		{"notinside.example", true},
	} {
		f.mu.Lock()
		f.asked = nil
		f.mu.Unlock()
		c, err := d.DialContext(t.Context(), "tcp", tt.host+":"+port)
		if err != nil {
			t.Logf("%s: %v", tt.host, err)
		} else {
			_ = c.Close()
		}
		if got := f.targets() != ""; got != tt.through {
			t.Errorf("%s went through the proxy: %t, want %t", tt.host, got, tt.through)
		}
	}
}

// The deny list holds for whatever can be known here.
func TestTheDenyListHoldsBehindAProxy(t *testing.T) {
	mail := greeter(t)
	resolve := names(map[string][]string{"meta.example": {"169.254.169.254"}, "both.example": {four, "169.254.169.254"}})
	deny := []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16")}
	for _, host := range []string{"2852039166", "0xa9fea9fe", "169.254.43518"} {
		for _, scheme := range []string{"socks5h", "http"} {
			f := &fake{to: mail}
			f.serve(t, f.connect, nil)
			if c, err := wire.New(wire.Config{Proxy: proxyAt(t, scheme, "", f.address), Resolve: resolve, Deny: deny}).DialContext(t.Context(), "tcp", host+":25"); err == nil {
				_ = c.Close()
				t.Errorf("%s: %s was given to the proxy", scheme, host)
			}
			if got := f.targets(); got != "" {
				t.Errorf("%s: the proxy was asked for %q", scheme, got)
			}
		}
	}
	for _, tt := range []struct{ scheme, host, asked string }{
		{"socks5h", "169.254.169.254", ""},
		{"socks5h", "[64:ff9b::169.254.169.254]", ""},
		{"socks5h", "[::ffff:169.254.169.254]", ""},
		{"socks5h", "meta.example", ""},
		{"socks5h", "both.example", ""}, // the proxy chooses which
		{"http", "meta.example", ""},
		{"http", "169.254.169.254", ""},
		{"socks5", "meta.example", ""},
		{"socks5", "both.example", four + ":25"}, // here it is chosen
	} {
		f := &fake{to: mail}
		if tt.scheme == "http" {
			f.serve(t, f.connect, nil)
		} else {
			f.serve(t, f.socks, nil)
		}
		d := wire.New(wire.Config{Proxy: proxyAt(t, tt.scheme, "", f.address), Resolve: resolve, Deny: deny})
		c, err := d.DialContext(t.Context(), "tcp", tt.host+":25")
		if err == nil {
			_ = c.Close()
		}
		if tt.asked == "" && !errors.Is(err, wire.ErrDenied) || tt.asked != "" && err != nil {
			t.Errorf("%s to %s: %v", tt.scheme, tt.host, err)
		}
		if got := f.targets(); got != tt.asked {
			t.Errorf("%s to %s: the proxy was asked for %q, want %q", tt.scheme, tt.host, got, tt.asked)
		}
	}
}

func TestProxiesThatDoNotConnect(t *testing.T) {
	say := func(text string) func(net.Conn, *bufio.Reader) {
		return func(c net.Conn, r *bufio.Reader) {
			for {
				line, err := r.ReadString('\n')
				if err != nil || line == "\r\n" {
					break
				}
			}
			_, _ = io.WriteString(c, text)
		}
	}
	octets := func(replies ...string) func(net.Conn, *bufio.Reader) {
		return func(c net.Conn, r *bufio.Reader) {
			b := make([]byte, 600)
			for _, reply := range replies {
				if _, err := r.Read(b); err != nil {
					return
				}
				_, _ = io.WriteString(c, reply)
			}
		}
	}
	endless := func(c net.Conn, _ *bufio.Reader) {
		_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		for err == nil {
			_, err = io.WriteString(c, strings.Repeat("X-More: more\r\n", 100))
		}
	}
	silent := func(_ net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) }
	for _, tt := range []struct {
		what, scheme, info string
		script             func(net.Conn, *bufio.Reader)
		want               string
	}{
		{"HTTP: refused", "http", "", say("HTTP/1.1 403 Forbidden by policy\r\nContent-Length: 0\r\n\r\n"), "answered: 403 Forbidden by policy"},
		{"HTTP: no sign-in", "http", "", say("HTTP/1.0 407 No\r\n\r\n"), "wants user and password"},
		{"HTTP: wrong sign-in", "http", userinfo, say("HTTP/1.1 407 No\r\n\r\n"), "refuses the user and password in mail.proxy"},
		{"HTTP: gone", "http", "", say(""), "closed the connection without an answer"},
		{"HTTP: half a reply", "http", "", say("HTTP/1.1 200 OK\r\nVia"), "closed the connection without an answer"},
		{"HTTP: an interim reply", "http", "", say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), "no reply to CONNECT"},
		{"HTTP: a greeting", "http", "", say("220 mail.example ESMTP\r\n"), "no reply to CONNECT"},
		{"HTTP: version 2", "http", "", say("HTTP/2 200\r\n\r\n"), "no reply to CONNECT"},
		{"HTTP: bare LF", "http", "", say("HTTP/1.1 200 OK\n\n"), "no reply to CONNECT"},
		{"HTTP: CR in a line", "http", "", say("HTTP/1.1 200 OK\rX\r\n\r\n"), "no reply to CONNECT"},
		{"HTTP: folded", "http", "", say("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"), "no reply to CONNECT"},
		{"HTTP: no header", "http", "", say("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), "no reply to CONNECT"},
		{"HTTP: a code of four digits", "http", "", say("HTTP/1.1 2000 OK\r\n\r\n"), "no reply to CONNECT"},
		{"HTTP: a long line", "http", "", say("HTTP/1.1 200 " + strings.Repeat("x", 1<<20)), "too long"},
		{"HTTP: endless", "http", "", endless, "too long"},
		{"HTTP: silent", "http", "", silent, "did not answer in time"},
		{"HTTP: markup", "http", "", say("HTTP/1.1 502 <b>\x1b[31mclick\x07here</b>\r\n\r\n"), "answered: 502 <b> [31mclick here</b>"},
		{"SOCKS: another protocol", "socks5h", "", octets("HTTP/1.1 400 Bad Request\r\n\r\n"), "unexpected protocol version 72"},
		{"SOCKS: no way to sign in", "socks5h", "", octets("\x05\xff"), "wants another sign-in"},
		{"SOCKS: wrong sign-in", "socks5h", userinfo, octets("\x05\x02", "\x01\x05"), "refuses the user and password"},
		{"SOCKS: not allowed", "socks5h", "", octets("\x05\x00", "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"), "answered: connection not allowed by ruleset"},
		{"SOCKS: refused", "socks5h", "", octets("\x05\x00", "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"), "answered: connection refused"},
		{"SOCKS: a reserved octet", "socks5h", "", octets("\x05\x00", "\x05\x00\x07\x01\x00\x00\x00\x00\x00\x00"), "non-zero reserved field"},
		{"SOCKS: a strange address", "socks5h", "", octets("\x05\x00", "\x05\x00\x00\x09\x00\x00\x00\x00\x00\x00"), "unknown address type"},
		{"SOCKS: gone", "socks5h", "", octets(""), "closed the connection without an answer"},
		{"SOCKS: half a reply", "socks5h", "", octets("\x05\x00", "\x05\x00\x00\x01\x00"), "closed the connection without an answer"},
		{"SOCKS: silent", "socks5h", "", silent, "did not answer in time"},
		{"TLS: none", "https", "", octets("HTTP/1.1 400 Bad Request\r\n\r\n"), "does not speak TLS as it should"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			f := &fake{script: tt.script}
			f.serve(t, nil, nil)
			limit := 5 * time.Second
			if strings.HasSuffix(tt.what, "silent") {
				limit = 100 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			d := wire.New(wire.Config{Proxy: proxyAt(t, tt.scheme, tt.info, f.address), Resolve: names(nil)})
			_, err := d.DialContext(ctx, "tcp", "mx.example:587")
			var e *wire.ProxyError
			if !errors.As(err, &e) || !strings.Contains(e.Text, tt.want) || len(e.Text) > 300 {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "geheim") || strings.ContainsAny(err.Error(), "\x1b\x07\r\n") {
				t.Errorf("the error says %q", err)
			}
			if ctx.Err() != nil && limit > time.Second {
				t.Error("it took as long as it might")
			}
		})
	}
}

func TestAProxyThatCannotBeReached(t *testing.T) {
	w := &world{fails: map[string]error{"192.0.2.50": refused()}}
	d := w.dialer(wire.Config{Proxy: proxyAt(t, "socks5h", userinfo, "192.0.2.50:1080")})
	_, err := d.DialContext(t.Context(), "tcp", "mx.example:587")
	want := "the proxy socks5h://192.0.2.50:1080 cannot be reached: IPv4 192.0.2.50: connection refused"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	// A refusal by the proxy is none by the mail server, nor is a wrong name.
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) {
		t.Error("there is a DNS error in it")
	}
}

// A host could add lines to a CONNECT if it could hold a line break.
func TestNothingIsInjectedIntoConnect(t *testing.T) {
	f := &fake{to: greeter(t)}
	f.serve(t, f.connect, nil)
	d := wire.New(wire.Config{Proxy: proxyAt(t, "http", "", f.address), Resolve: names(nil)})
	for _, host := range []string{"mx.example\r\nX-Evil: 1", "mx.example HTTP/1.1\r\n\r\nGET /", "mx.example\n", "a b", "a\tb", "a@b", "a/b", "a%0d%0ab"} {
		if _, err := d.DialContext(t.Context(), "tcp", host+":587"); err == nil {
			t.Errorf("%q is taken", host)
		}
	}
	if got := f.targets(); got != "" {
		t.Errorf("the proxy was asked for %q", got)
	}
}

func TestProxySettings(t *testing.T) {
	for text, want := range map[string]string{
		"socks5://proxy.example.org":             "socks5://proxy.example.org:1080",
		"socks5h://u:p@proxy.example.org:9050/":  "socks5h://proxy.example.org:9050",
		"http://10.0.0.1:3128":                   "http://10.0.0.1:3128",
		"http://proxy.example.org":               "http://proxy.example.org:8080",
		"https://u:p%20x@[2001:db8::1]":          "https://[2001:db8::1]:443",
		"http://" + userinfo + "proxy.example:1": "http://proxy.example:1",
	} {
		p, err := wire.ParseProxy(secret.New(text))
		if err != nil || p.String() != want {
			t.Errorf("%s: %v, %v; want %s", text, p, err, want)
		}
	}
	for _, text := range []string{
		"proxy.example.org:1080", "socks4://proxy", "ftp://proxy", "http://", "http://:3128", "http://proxy:0", "http://proxy:99999", "http://proxy:",
		"http://proxy/path", "http://proxy?x=1", "http://proxy#x", "http://geheim@proxy", "http://geheim:@proxy", "http://ge%0d%0aheim:x@proxy",
		"http://a%3Ab:geheim@proxy", "socks5://" + strings.Repeat("u", 256) + ":geheim@proxy", "http://proxy host:1", "http://pr%0aoxy",
	} {
		_, err := wire.ParseProxy(secret.New(text))
		if len(fault.Fields(err)) != 1 || fault.Fields(err)[0].Field != "mail.proxy" {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil && strings.Contains(err.Error()+fault.Sentence(err), "geheim") {
			t.Errorf("the fault tells the password: %v", err)
		}
	}
	for _, text := range []string{"*", "*example.org", "a b", "http://x", "10.0.0.0/33", "", "a..\n"} {
		if _, err := wire.ParseBypass([]string{text}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
