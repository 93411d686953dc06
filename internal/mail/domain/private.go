package domain

import (
	"net/netip"
	"strings"
)

// inside are names that no public DNS answers for (RFC 6761, RFC 6762, RFC 8375,
// and those that organisations have long used by themselves).
var inside = []string{"local", "localhost", "internal", "intranet", "private", "corp", "home", "lan", "home.arpa", "test", "example", "invalid", "onion"}

// Private reports whether a domain or host is known inside of an organisation
// alone: a single label, a name kept for that, or an address that is not routed.
func Private(name string) bool {
	if a, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return !Public(a)
	}
	name, err := Name(name)
	if err != nil || !strings.Contains(name, ".") {
		return true
	}
	for _, end := range inside {
		if strings.HasSuffix(name, "."+end) {
			return true
		}
	}
	return false
}

// shared is the range between providers and their customers (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// Public reports whether an address is one that others can see.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}
