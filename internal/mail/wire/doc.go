// Package wire owns how a TCP connection to a mail server comes about: which
// addresses a name has, which of them is tried first, from which address of
// this machine, and through which proxy. What is said on the connection is
// package smtp's business.
//
// Directly, IPv6 and IPv4 race (RFC 8305): names are looked up in both families
// at once, addresses are taken from the two in turn, each a quarter of a second
// after the one before or as soon as that failed, and the first that answers
// wins. Which family won where the other one did not is remembered for some
// minutes, so that a broken IPv6 costs its quarter of a second once. Where
// nothing answers, an [*Error] tells the story of each try in plain words.
//
// The operator may name a proxy, SOCKS5 (RFC 1928, 1929) or HTTP CONNECT
// (RFC 9110, section 9.3.6), hosts that are reached without it, and the
// addresses that connections leave from. Loopback is always reached directly.
//
// Addresses on the deny list are not connected to. For direct connections that
// is exact: every address is looked at before the connection begins, whatever
// the name led to. Through socks5:// it is as exact: names are looked up here
// and the proxy is given the address. Through socks5h://, http:// and https://
// the proxy is given the name, since machines behind such proxies often cannot
// look up names at all; the name is looked up here too, for at most two seconds,
// and refused where that shows a denied address. Where it shows nothing, or the
// proxy's view differs, the proxy's own rules are what protects its network.
//
// An address is looked at as what it stands for, too: IPv4 within IPv6 (mapped,
// compatible, NAT64 of RFC 6052, 6to4), and loopback for the unspecified one.
//
// The package refuses hosts that are neither names nor addresses, so that a host
// cannot add a line to a CONNECT, names that end in a number, which others may
// take for an address, and replies of proxies that are not exactly
// what the protocols allow. It reads at most 8 KiB of a reply, and not a byte
// beyond it: what follows is the mail server's greeting.
package wire
