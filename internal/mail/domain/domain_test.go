package domain_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/domain"
	"github.com/sealpost/sealpost/internal/mail/domain/domaintest"
)

func resolver(t *testing.T, s *domaintest.Server) *domain.Resolver {
	t.Helper()
	r, err := domain.New(domain.Config{Server: s.Addr(), Wait: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestQuestions(t *testing.T) {
	s := domaintest.Start(t, map[string][]string{
		"mail.example.org A": {"192.0.2.1", "192.0.2.2"}, "mail.example.org AAAA": {"2001:db8::1"},
		"example.org MX": {"20 mx2.example.org", "10 MX1.example.org"}, "quiet.example.org MX": {"0 ."},
		"long.example.org TXT": {strings.Repeat("a", 700)}, "alias.example.org CNAME": {"mail.example.org"},
		"1.2.0.192.in-addr.arpa PTR": {"Mail.example.org"},
	})
	r := resolver(t, s)
	ctx := t.Context()
	addrs, err := r.Addresses(ctx, "Mail.Example.org.")
	if err != nil || fmt.Sprint(addrs) != "[192.0.2.1 192.0.2.2 2001:db8::1]" {
		t.Errorf("addresses: %v, %v", addrs, err)
	}
	if addrs, err = r.Addresses(ctx, "alias.example.org"); err != nil || len(addrs) != 3 {
		t.Errorf("an alias: %v, %v", addrs, err)
	}
	mx, err := r.MX(ctx, "example.org")
	if err != nil || fmt.Sprint(mx) != "[{mx1.example.org 10} {mx2.example.org 20}]" {
		t.Errorf("MX: %v, %v", mx, err)
	}
	if mx, err = r.MX(ctx, "quiet.example.org"); err != nil || len(mx) != 1 || mx[0].Host != "" {
		t.Errorf("no mail is taken: %v, %v", mx, err)
	}
	texts, err := r.TXT(ctx, "long.example.org")
	if err != nil || len(texts) != 1 || len(texts[0]) != 700 {
		t.Errorf("a text of several strings: %v, %v", texts, err)
	}
	names, err := r.Names(ctx, netip.MustParseAddr("192.0.2.1"))
	if err != nil || fmt.Sprint(names) != "[mail.example.org]" {
		t.Errorf("names: %v, %v", names, err)
	}
	for _, name := range []string{"nothing.example.org", "long.example.org"} {
		if _, err := r.Addresses(ctx, name); !errors.Is(err, domain.ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "a..b", "a b.org", strings.Repeat("a", 64) + ".org", strings.Repeat("a.", 130) + "org", "a\x00.org", "münchen\u202e.org"} {
		if _, err := r.TXT(ctx, name); !errors.Is(err, domain.ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if name, err := domain.Name("Bücher.Example.ORG"); err != nil || name != "xn--bcher-kva.example.org" {
		t.Errorf("a name in letters of its own: %q, %v", name, err)
	}
}

// What a server does wrong is never taken for "there is nothing", and the other
// way round.
func TestServersThatMisbehave(t *testing.T) {
	long := strings.Repeat("v=DMARC1; p=none; ", 100)
	for way, want := range map[domaintest.Way]error{
		domaintest.Answer: nil, domaintest.Lost: nil, domaintest.Truncate: nil, domaintest.NotThere: domain.ErrNone,
		domaintest.ServFail: domain.ErrUnsure, domaintest.Refuse: domain.ErrUnsure, domaintest.Silence: domain.ErrUnsure,
		domaintest.Garbage: domain.ErrUnsure, domaintest.WrongID: domain.ErrUnsure,
	} {
		t.Run(fmt.Sprint(way), func(t *testing.T) {
			t.Parallel()
			s := domaintest.Start(t, map[string][]string{"x.example.org TXT": {"short", long}})
			s.Treat("x.example.org", way)
			began := time.Now()
			texts, err := resolver(t, s).TXT(t.Context(), "x.example.org")
			if !errors.Is(err, want) || err == nil && (len(texts) != 2 || texts[1] != long) {
				t.Errorf("got %d texts, %v; want %v", len(texts), err, want)
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	s := domaintest.Start(t, map[string][]string{})
	s.Treat("x.example.org", domaintest.Loop)
	if addrs, err := resolver(t, s).Addresses(t.Context(), "x.example.org"); err == nil {
		t.Errorf("names that lead to each other gave %v", addrs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := resolver(t, s).TXT(ctx, "x.example.org"); !errors.Is(err, domain.ErrUnsure) {
		t.Errorf("after the end: %v", err)
	}
}

// Answers are bounded, whatever their size.
func TestAnswersAreBounded(t *testing.T) {
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("%d %s", i, strings.Repeat("b", 100)))
	}
	huge := strings.Repeat("c", 40<<10)
	s := domaintest.Start(t, map[string][]string{"many.example.org TXT": many, "huge.example.org TXT": {huge}})
	r := resolver(t, s)
	if texts, err := r.TXT(t.Context(), "many.example.org"); err != nil || len(texts) != 64 {
		t.Errorf("%d texts, %v", len(texts), err)
	}
	if texts, err := r.TXT(t.Context(), "huge.example.org"); err != nil || len(texts) != 1 || len(texts[0]) != 8<<10 {
		t.Errorf("%d texts, %v", len(texts), err)
	}
}

func TestTheOperatorsResolverIsChecked(t *testing.T) {
	for _, server := range []string{"192.0.2.53", ":53", "ns.example.org:", "x"} {
		if _, err := domain.New(domain.Config{Server: server}); fault.KindOf(err) != fault.KindInvalid {
			t.Errorf("%q: %v", server, err)
		}
	}
	if _, err := domain.New(domain.Config{}); err != nil {
		t.Error(err)
	}
}

func TestPrivateNames(t *testing.T) {
	for name, want := range map[string]bool{
		"mail": true, "mail.corp": true, "mail.example.local": true, "vault.internal": true, "x.home.arpa": true, "": true,
		"10.1.2.3": true, "[fd00::1]": true, "100.64.1.1": true, "127.0.0.1": true,
		"example.org": false, "mail.example.org": false, "192.0.2.1": false, "2001:db8::1": false, "local.example.org": false,
	} {
		if got := domain.Private(name); got != want {
			t.Errorf("%q: got %v", name, got)
		}
	}
}

func TestAlignment(t *testing.T) {
	for _, tt := range []struct {
		seen, proved string
		strict, want bool
	}{
		{"example.org", "example.org", true, true},
		{"example.org", "EXAMPLE.org.", true, true},
		{"mail.example.org", "example.org", true, false},
		{"mail.example.org", "example.org", false, true},
		{"example.org", "bounce.example.org", false, true},
		{"example.co.uk", "other.co.uk", false, false},
		{"a.github.io", "b.github.io", false, false},
		{"example.org", "contoso.onmicrosoft.com", false, false},
		{"example.org", "", false, false},
	} {
		if got := domain.Aligned(tt.seen, tt.proved, tt.strict); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
}

func TestDMARC(t *testing.T) {
	s := domaintest.Start(t, map[string][]string{
		"_dmarc.example.org TXT":     {"v=spf1 -all", "v=DMARC1; p=quarantine; sp=reject; adkim=s; rua=mailto:d@example.org; pct=50"},
		"_dmarc.own.example.org TXT": {"v=DMARC1;p=none;aspf=s"},
		"_dmarc.two.org TXT":         {"v=DMARC1; p=none", "v=DMARC1; p=reject"},
		"_dmarc.odd.org TXT":         {"v=DMARC1; p=maybe"},
		"_dmarc.told.org TXT":        {"v=DMARC1; p=maybe; rua=mailto:d@told.org"},
		"_dmarc.broken.org TXT":      {"v=DMARC1; p=none; p=reject"},
		"_dmarc.early.org TXT":       {"p=none; v=DMARC1"},
	})
	s.Treat("_dmarc.away.org", domaintest.ServFail)
	r := resolver(t, s)
	for _, tt := range []struct {
		name, at, policy string
		spf, dkim        bool
		why              string
		err              error
	}{
		{name: "example.org", at: "example.org", policy: "quarantine", dkim: true},
		{name: "a.b.example.org", at: "example.org", policy: "reject", dkim: true},
		{name: "own.example.org", at: "own.example.org", policy: "none", spf: true},
		{name: "two.org", at: "two.org", why: "several"},
		{name: "odd.org", at: "odd.org", why: "policy"},
		{name: "told.org", at: "told.org", policy: "none"},
		{name: "broken.org", at: "broken.org", why: "p=reject"},
		{name: "early.org", at: "early.org", err: domain.ErrNone},
		{name: "nothing.org", at: "nothing.org", err: domain.ErrNone},
		{name: "away.org", at: "away.org", err: domain.ErrUnsure},
	} {
		d, err := r.DMARC(t.Context(), tt.name)
		var wrong *domain.Wrong
		if errors.As(err, &wrong) != (tt.why != "") || wrong != nil && !strings.Contains(wrong.Why, tt.why) || tt.why == "" && !errors.Is(err, tt.err) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if d.At != tt.at || tt.policy != "" && d.Policy != tt.policy || d.StrictSPF != tt.spf || d.StrictDKIM != tt.dkim {
			t.Errorf("%s: %+v", tt.name, d)
		}
	}
	d, err := domain.ParseDMARC("v=DMARC1; p=none; pct=50; rua=mailto:x@example.org")
	if err != nil || d.Percent != 50 || !d.Reports {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestKeys(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	whole := b64(der)
	s := domaintest.Start(t, map[string][]string{
		"a._domainkey.example.org TXT":       {"v=DKIM1; k=rsa; p=" + whole[:100] + " \t" + whole[100:]},
		"bare._domainkey.example.org TXT":    {"p=" + b64(x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)) + "; t=y:s; h=sha256; s=email"},
		"ed._domainkey.example.org TXT":      {"v=DKIM1; k=ed25519; p=" + b64(edKey) + ";"},
		"alias._domainkey.example.org CNAME": {"a._domainkey.example.org"},
		"gone._domainkey.example.org TXT":    {"v=DKIM1; p="},
		"cut._domainkey.example.org TXT":     {"v=DKIM1; k=rsa; p=" + whole[:100]},
		"short._domainkey.example.org TXT":   {"v=DKIM1; k=ed25519; p=" + b64(edKey[:31])},
		"kind._domainkey.example.org TXT":    {"v=DKIM1; k=rot13; p=" + whole},
		"late._domainkey.example.org TXT":    {"k=rsa; v=DKIM1; p=" + whole},
		"tlsrpt._domainkey.example.org TXT":  {"v=DKIM1; s=tlsrpt; p=" + whole},
		"text._domainkey.example.org TXT":    {"hello"},
		"two._domainkey.example.org TXT":     {"p=" + whole, "p=" + whole},
		"twice._domainkey.example.org TXT":   {"p=" + whole + "; p=" + whole},
	})
	r := resolver(t, s)
	for selector, want := range map[string]string{
		"a": "rsa 2048", "alias": "rsa 2048", "bare": "rsa 2048", "ed": "ed25519 256", "gone": "taken back", "cut": "part of the record is missing", "short": "32 bytes",
		"kind": "rot13", "late": "begin with v=DKIM1", "tlsrpt": "another service", "text": "no p=", "two": "Several", "twice": "cannot be read",
	} {
		k, err := r.DKIMKey(t.Context(), selector, "example.org")
		var wrong *domain.Wrong
		got := fmt.Sprintf("%s %d", k.Algorithm, k.Bits)
		if errors.As(err, &wrong) {
			got = wrong.Why
		}
		if !strings.Contains(got, want) || k.Name != selector+"._domainkey.example.org" {
			t.Errorf("%s: got %q (%v), want %q", selector, got, err, want)
		}
	}
	k, err := r.DKIMKey(t.Context(), "bare", "example.org")
	if err != nil || !k.Testing || !k.Strict || fmt.Sprint(k.Hashes) != "[sha256]" {
		t.Errorf("flags: %+v, %v", k, err)
	}
	if public, ok := k.Public.(*rsa.PublicKey); !ok || !public.Equal(&rsaKey.PublicKey) {
		t.Error("another key came back")
	}
	if _, err := r.DKIMKey(t.Context(), "none", "example.org"); !errors.Is(err, domain.ErrNone) {
		t.Errorf("no key: %v", err)
	}
}
