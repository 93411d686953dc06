package app

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"

	"github.com/sealpost/sealpost/internal/fault"
)

// makeFolder makes the data folder, closed to others.
func makeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fault.Unavailable("The data folder " + dir + " cannot be created. Check who owns the folder above it.").Because(err)
	}
	return nil
}

// localURL is where the web interface is as seen from this machine.
func localURL(listen string) string {
	host, port := hostOf(listen)
	if port == "443" {
		return "https://" + bracketed(host)
	}
	return "https://" + net.JoinHostPort(host, port)
}

// hostOf splits a listen address; every address of the machine is localhost.
func hostOf(listen string) (host, port string) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "localhost", ""
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "localhost"
	}
	return host, port
}

func bracketed(host string) string {
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		return "[" + host + "]"
	}
	return host
}

// actual returns the listen address with the port that the system chose.
func actual(listen string, addr net.Addr) string {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return addr.String()
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return listen
	}
	return net.JoinHostPort(host, port)
}

// certificateHosts are the names by which people reach the web interface.
func certificateHosts(listen, accessURL string) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	host, _ := hostOf(listen)
	add := func(h string) {
		if h != "" && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	add(host)
	if u, err := url.Parse(accessURL); err == nil {
		add(u.Hostname())
	}
	return hosts
}
