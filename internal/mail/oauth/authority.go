package oauth

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Authorities are the hosts that a token or what proves the client is ever sent
// to. The zero value allows none.
type Authorities struct {
	// hosts are "host:port", in lower-case ASCII.
	hosts []string
}

// builtIn are the hosts that need no word of the operator: Microsoft's and
// Google's authorities, and the roots of Microsoft Graph.
func builtIn() []string {
	return append(entra(),
		"accounts.google.com", "oauth2.googleapis.com",
		"graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn",
	)
}

// entra are Microsoft's authorities.
func entra() []string {
	return []string{"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn", "login.chinacloudapi.cn"}
}

// NewAuthorities returns the built-in hosts and those of the operator, each as
// "host" or "host:port". A host is a name in ASCII or an IP address; without a
// port it means 443.
func NewAuthorities(operator []string) (Authorities, error) {
	var a Authorities
	for _, h := range append(builtIn(), operator...) {
		u, err := url.Parse("https://" + strings.ToLower(h))
		if err != nil || u.Host != strings.ToLower(h) || !isHost(u.Hostname()) {
			return Authorities{}, fmt.Errorf("oauth: %q is no host of an authority", h)
		}
		port, ok := portOf(u)
		if !ok {
			return Authorities{}, fmt.Errorf("oauth: %q has no usable port", h)
		}
		a.hosts = append(a.hosts, u.Hostname()+":"+port)
	}
	return a, nil
}

// Allows tells whether u is an https address of one of the hosts, exactly as it
// is listed: a name that ends in a dot, has capital letters or other letters
// than ASCII is another name.
func (a Authorities) Allows(u *url.URL) bool {
	if u == nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Opaque != "" || !isHost(u.Hostname()) {
		return false
	}
	port, ok := portOf(u)
	return ok && slices.Contains(a.hosts, u.Hostname()+":"+port)
}

// portOf returns the port of an https address.
func portOf(u *url.URL) (string, bool) {
	port := u.Port()
	if port == "" {
		return "443", !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return port, err == nil && n > 0
}

// isHost tells a host name in lower-case ASCII, or an IP address.
func isHost(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Zone() == "" && a.String() == host
	}
	return isDomain(host)
}

// isDomain tells a domain name in lower-case A-labels, of one label or more.
func isDomain(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}
