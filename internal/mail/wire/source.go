package wire

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/sealpost/sealpost/internal/fault"
)

// ParseSource reads what stands in mail.source: at most one address of each
// family that connections leave from.
func ParseSource(texts []string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, t := range texts {
		a, err := netip.ParseAddr(strings.Trim(t, "[]"))
		a = a.Unmap()
		if err != nil || a.IsUnspecified() || a.IsMulticast() {
			return nil, fault.Invalid("mail.source", fmt.Sprintf("%q is not an address of this machine, like 192.0.2.10 or 2001:db8::10.", clean(t)))
		}
		for _, b := range out {
			if familyOf(a) == familyOf(b) {
				return nil, fault.Invalid("mail.source", "Write at most one IPv4 address and one IPv6 address.")
			}
		}
		out = append(out, a)
	}
	return out, nil
}
