package server

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientOf returns the address of the client. X-Forwarded-For is read from its
// end, where the proxy next to us wrote, and only as far as trusted proxies
// wrote it: whatever stands before was sent by the client itself.
func clientOf(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := plainAddr(peer.Addr())
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !within(client, trusted) {
			break
		}
		next, ok := parseHop(hop)
		if !ok {
			break
		}
		client = next
	}
	return client
}

// parseHop reads an address as proxies write it, some of them with a port.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if a, err := netip.ParseAddr(text); err == nil {
		return plainAddr(a), true
	}
	ap, err := netip.ParseAddrPort(text)
	return plainAddr(ap.Addr()), err == nil
}

// plainAddr makes addresses comparable: IPv4 as such, no zone.
func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func within(a netip.Addr, all []netip.Prefix) bool {
	return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(a) })
}
