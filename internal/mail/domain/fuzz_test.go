package domain

import (
	"strings"
	"testing"
)

// seeds are records as they are seen, well formed and not.
var seeds = []string{
	"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 a mx/24//64 a:x.org/24 include:_spf.google.com exists:%{i}._spf.%{d2r} ~all",
	"v=spf1 redirect=_spf.example.org exp=e.%{d}", "v=spf1 a:%{l-}/24 -all x=%{o}", "v=spf1  ptr:%%%_%- ?all", "v=spf1 a:%{",
	"v=DMARC1; p=reject; sp=none; adkim=s; aspf=r; pct=42; rua=mailto:x@example.org", "v=DMARC1;p=;", "v=DMARC1; p=none; p=none",
	"v=DKIM1; k=rsa; t=y:s; h=sha1:sha256; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A", "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
	"p=", "=", ";", "v=DKIM1;;p=A", "\x00\xff\u202e", "v=spf1\u00a0-all",
}

func sow(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
}

// tameText fails for text that could do more than stand in a line.
func tameText(t *testing.T, text string) {
	t.Helper()
	if len(text) > 1010 || strings.ContainsFunc(text, func(r rune) bool { return (r < ' ' || r > '~') && r != '·' && r != '…' }) {
		t.Fatalf("%q is not tame", text)
	}
}

// Whatever stands in the DNS: a record is read within bounds, or what is wrong
// is named.
func FuzzSPF(f *testing.F) {
	sow(f)
	f.Fuzz(func(t *testing.T, text string) {
		r, odd := parseSPF(text)
		tameText(t, odd)
		if odd != "" {
			return
		}
		if len(r.terms) > len(text) {
			t.Fatalf("%q has %d terms", text, len(r.terms))
		}
		for _, term := range r.terms {
			if term.qualifier == 0 || term.name == "" || term.bits4 < 0 || term.bits4 > 32 || term.bits6 < 0 || term.bits6 > 128 {
				t.Fatalf("%q gave %+v", text, term)
			}
			out, ok := expand(term.domain, func(byte) string { return "a.b.c" })
			if !ok {
				t.Fatalf("%q: %q passed the check and cannot be expanded", text, term.domain)
			}
			if len(out) > 6*len(text) {
				t.Fatalf("%q grew to %d bytes", text, len(out))
			}
		}
	})
}

func FuzzDMARC(f *testing.F) {
	sow(f)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDMARC(text)
		tameText(t, d.Record)
		if err != nil {
			tameText(t, err.Error())
			return
		}
		if d.Policy != "none" && d.Policy != "quarantine" && d.Policy != "reject" || d.Percent < 0 || d.Percent > 100 {
			t.Fatalf("%q gave %+v", text, d)
		}
	})
}

func FuzzKey(f *testing.F) {
	sow(f)
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKey(text)
		tameText(t, k.Record)
		if err != nil {
			tameText(t, err.Error())
			return
		}
		if k.Public == nil || k.Bits == 0 || k.Algorithm != RSA && k.Algorithm != Ed25519 {
			t.Fatalf("%q gave %+v", text, k)
		}
	})
}

// Names that come out are ones that can be asked for.
func FuzzName(f *testing.F) {
	for _, s := range []string{"example.org", "Bücher.example", "_dmarc.a.b", "xn--bcher-kva.de", ".", "a..b", "\u202e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := Name(text)
		if err != nil {
			return
		}
		if again, err := Name(name); err != nil || again != name {
			t.Fatalf("%q gave %q, and that %q, %v", text, name, again, err)
		}
		tameText(t, name)
		Organization(name)
	})
}
