package domain_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/mail/domain"
	"github.com/sealpost/sealpost/internal/mail/domain/domaintest"
)

// world are the records that the tests of SPF look into.
func world(t *testing.T) *domaintest.Server {
	records := map[string][]string{
		"example.org TXT":       {"google-site-verification=x", "v=spf1 ip4:192.0.2.0/25 include:_spf.provider.net ~all"},
		"_spf.provider.net TXT": {"v=spf1 ip6:2001:db8::/32 a:relay.provider.net/30 -all"},
		"relay.provider.net A":  {"198.51.100.4"},
		"hosts.org TXT":         {"v=spf1 a mx/24 -all"}, "hosts.org A": {"192.0.2.9"}, "hosts.org MX": {"10 mx.hosts.org"}, "mx.hosts.org A": {"203.0.113.77"}, "mx.hosts.org AAAA": {"2001:db8:1::1"},
		"moved.org TXT": {"v=spf1 redirect=example.org"},
		"two.org TXT":   {"v=spf1 -all", "v=spf1 +all"},
		"odd.org TXT":   {"v=spf1 ip4:192.0.2.300 -all"},
		"word.org TXT":  {"v=spf1 includ:x.org -all"},
		"twice.org TXT": {"v=spf1 redirect=a.org redirect=b.org"},
		"lost.org TXT":  {"v=spf1 include:nothing.org -all"},
		"loop.org TXT":  {"v=spf1 include:loop2.org -all"}, "loop2.org TXT": {"v=spf1 include:loop.org -all"},
		"voids.org TXT": {"v=spf1 a:v1.org a:v2.org a:v3.org -all"},
		"open.org TXT":  {"v=spf1 +all"}, "neutral.org TXT": {"v=spf1 ?all"}, "silent.org TXT": {"v=spf1"},
		"case.org TXT":  {"V=SPF1 IP4:192.0.2.1 -ALL"},
		"long.org TXT":  {"v=spf10 -all"},
		"macro.org TXT": {"v=spf1 exists:%{i}.%{l1r-}.allow.%{d2} -all"}, "192.0.2.1.ada.allow.macro.org A": {"127.0.0.2"},
		"unsure.org TXT": {"v=spf1 include:away.org -all"},
	}
	var includes []string
	for i := range 12 {
		name := fmt.Sprintf("i%d.many.org", i)
		includes = append(includes, "include:"+name)
		records[name+" TXT"] = []string{"v=spf1 ip4:10.0.0.1 -all"}
	}
	records["many.org TXT"] = []string{"v=spf1 " + strings.Join(includes, " ") + " -all"}
	records["ten.org TXT"] = []string{"v=spf1 " + strings.Join(includes[:10], " ") + " -all"}
	s := domaintest.Start(t, records)
	s.Treat("away.org", domaintest.ServFail)
	return s
}

func TestSPFRecords(t *testing.T) {
	r := resolver(t, world(t))
	for _, tt := range []struct {
		name    string
		all     byte
		lookups int
		// includes are those followed, why is a word of what is wrong.
		includes, why string
		unsure        bool
		err           error
	}{
		{name: "example.org", all: '~', lookups: 2, includes: "_spf.provider.net"},
		{name: "hosts.org", all: '-', lookups: 2},
		{name: "moved.org", all: '~', lookups: 3, includes: "_spf.provider.net"},
		{name: "open.org", all: '+'},
		{name: "neutral.org", all: '?'},
		{name: "silent.org"},
		{name: "case.org", all: '-'},
		{name: "ten.org", all: '-', lookups: 10},
		{name: "macro.org", all: '-', lookups: 1},
		{name: "unsure.org", all: '-', lookups: 1, includes: "away.org", unsure: true},
		{name: "two.org", why: "several SPF records"},
		{name: "odd.org", why: "ip4:192.0.2.300"},
		{name: "word.org", why: "includ:x.org"},
		{name: "twice.org", why: "redirect=b.org"},
		{name: "lost.org", why: "nothing.org, which has none"},
		{name: "loop.org", why: "back to itself"},
		{name: "voids.org", why: "lead to nothing"},
		{name: "many.org", why: "10 lookups"},
		{name: "long.org", err: domain.ErrNone},
		{name: "nothing.org", err: domain.ErrNone},
		{name: "away.org", err: domain.ErrUnsure},
	} {
		s, err := r.SPF(t.Context(), tt.name)
		var wrong *domain.Wrong
		if errors.As(err, &wrong) != (tt.why != "") || wrong != nil && !strings.Contains(wrong.Why, tt.why) || tt.why == "" && !errors.Is(err, tt.err) {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if err == nil && (s.All != tt.all || s.Lookups != tt.lookups || s.Unsure != tt.unsure || tt.includes != "" && strings.Join(s.Includes, " ") != tt.includes) {
			t.Errorf("%s: %+v", tt.name, s)
		}
	}
}

func TestSPFOfAddresses(t *testing.T) {
	r := resolver(t, world(t))
	for _, tt := range []struct {
		name, from string
		want       domain.Result
	}{
		{"example.org", "192.0.2.1", domain.Pass},
		{"example.org", "::ffff:192.0.2.1", domain.Pass},
		{"example.org", "192.0.2.200", domain.SoftFail},
		{"example.org", "2001:db8::7", domain.Pass},
		{"example.org", "198.51.100.6", domain.Pass},
		{"example.org", "198.51.100.9", domain.SoftFail},
		{"moved.org", "192.0.2.1", domain.Pass},
		{"moved.org", "203.0.113.1", domain.SoftFail},
		{"hosts.org", "192.0.2.9", domain.Pass},
		{"hosts.org", "203.0.113.1", domain.Pass},
		{"hosts.org", "2001:db8:1::1", domain.Pass},
		{"hosts.org", "2001:db8:1::2", domain.Fail},
		{"hosts.org", "198.51.100.1", domain.Fail},
		{"open.org", "198.51.100.1", domain.Pass},
		{"neutral.org", "198.51.100.1", domain.Neutral},
		{"silent.org", "198.51.100.1", domain.Neutral},
		{"macro.org", "192.0.2.1", domain.Pass},
		{"macro.org", "192.0.2.2", domain.Fail},
		{"unsure.org", "192.0.2.2", domain.TempError},
		{"loop.org", "192.0.2.2", domain.PermError},
		{"lost.org", "192.0.2.2", domain.PermError},
		{"many.org", "192.0.2.2", domain.PermError},
		{"voids.org", "192.0.2.2", domain.PermError},
		{"two.org", "192.0.2.2", domain.PermError},
		{"nothing.org", "192.0.2.2", domain.None},
	} {
		s, _ := r.SPF(t.Context(), tt.name)
		if got := s.Check(t.Context(), netip.MustParseAddr(tt.from), "ada@"+tt.name, "mail."+tt.name); got != tt.want {
			t.Errorf("%s from %s: got %s, want %s", tt.name, tt.from, got, tt.want)
		}
	}
}
