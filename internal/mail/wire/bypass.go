package wire

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sealpost/sealpost/internal/fault"
)

// Bypass are hosts that are reached without the proxy. The zero Bypass has none.
type Bypass struct {
	names    []string // in lower case; with a dot in front for what is below alone
	networks []netip.Prefix
}

// ParseBypass reads what stands in mail.no_proxy: "mail.example.org" is the host
// and everything below it, ".example.org" and "*.example.org" only what is below
// it, 10.0.0.0/8 a network and 10.1.2.3 an address. A network holds for names as
// well, where they are looked up here and all their addresses are in one.
func ParseBypass(texts []string) (Bypass, error) {
	var b Bypass
	for _, t := range texts {
		if a, err := netip.ParseAddr(strings.Trim(t, "[]")); err == nil {
			a = a.Unmap()
			b.networks = append(b.networks, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		if p, err := netip.ParsePrefix(t); err == nil {
			b.networks = append(b.networks, p.Masked())
			continue
		}
		name := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(t, "*"), "."))
		if !validName(strings.TrimPrefix(name, ".")) || strings.HasPrefix(t, "*") && !strings.HasPrefix(t, "*.") {
			return Bypass{}, fault.Invalid("mail.no_proxy", fmt.Sprintf("%q is neither a host, nor what is below one like .example.org, nor a network like 10.0.0.0/8.", clean(t)))
		}
		b.names = append(b.names, name)
	}
	return b, nil
}

// Host reports whether a name, or an address, is among them.
func (b Bypass) Host(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return b.Address(a)
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return slices.ContainsFunc(b.names, func(n string) bool {
		if below, ok := strings.CutPrefix(n, "."); ok {
			return strings.HasSuffix(host, "."+below)
		}
		return host == n || strings.HasSuffix(host, "."+n)
	})
}

// Address reports whether an address is in one of the networks.
func (b Bypass) Address(a netip.Addr) bool { return within(b.networks, a) }
