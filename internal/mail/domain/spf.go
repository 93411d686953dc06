package domain

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// spfTerm is a mechanism or a modifier of an SPF record (RFC 7208 4.6.1).
type spfTerm struct {
	// qualifier is '+', '-', '~' or '?'; 0 for a modifier.
	qualifier byte
	// name is in lower case.
	name string
	// domain is the domain-spec, with its macros; "" takes the record's own.
	domain string
	// network is that of ip4 and ip6; bits4 and bits6 are the prefix lengths of a
	// and mx.
	network      netip.Prefix
	bits4, bits6 int
}

// asks tells that the term costs one of the ten lookups (RFC 7208 4.6.4).
func (t spfTerm) asks() bool {
	switch t.name {
	case "include", "a", "mx", "ptr", "exists", "redirect":
		return true
	}
	return false
}

// spfRecord is a record as it was read.
type spfRecord struct {
	terms    []spfTerm
	redirect string
	hasAll   bool
	all      byte
}

// isSPF tells an SPF record from other texts (RFC 7208 4.5).
func isSPF(text string) bool {
	version, _, _ := strings.Cut(text, " ")
	return strings.EqualFold(version, "v=spf1")
}

// parseSPF reads a record. The text it returns names the term that cannot be
// read; "" where all is well.
func parseSPF(text string) (r spfRecord, wrong string) {
	if !isSPF(text) {
		return r, tame(text)
	}
	seen := map[string]bool{}
	for word := range strings.SplitSeq(text[len("v=spf1"):], " ") {
		if word == "" {
			continue
		}
		t, ok := parseTerm(word)
		if !ok || t.qualifier == 0 && seen[t.name] && (t.name == "redirect" || t.name == "exp") {
			return r, tame(word)
		}
		seen[t.name] = true
		switch {
		case t.name == "redirect":
			r.redirect = t.domain
		case t.qualifier == 0:
			// exp and what nobody knows change nothing.
		default:
			r.terms = append(r.terms, t)
			if t.name == "all" && !r.hasAll {
				r.hasAll, r.all = true, t.qualifier
			}
		}
	}
	return r, ""
}

// parseTerm reads one term.
func parseTerm(word string) (spfTerm, bool) {
	if name, value, ok := strings.Cut(word, "="); ok && modifierName(name) {
		name = strings.ToLower(name)
		// Modifiers that nobody knows are left alone, but must be well formed.
		return spfTerm{name: name, domain: value}, macros(value) && (name != "redirect" && name != "exp" || value != "")
	}
	t := spfTerm{qualifier: '+', bits4: 32, bits6: 128}
	if word != "" && strings.IndexByte("+-~?", word[0]) >= 0 {
		t.qualifier, word = word[0], word[1:]
	}
	i := strings.IndexAny(word, ":/")
	rest := ""
	if i >= 0 {
		word, rest = word[:i], word[i:]
	}
	t.name = strings.ToLower(word)
	value, hasValue := strings.CutPrefix(rest, ":")
	switch t.name {
	case "all":
		return t, rest == ""
	case "include", "exists":
		t.domain = value
		return t, hasValue && value != "" && macros(value)
	case "ip4", "ip6":
		return t.network4or6(value)
	case "ptr":
		t.domain = value
		return t, rest == "" || hasValue && value != "" && macros(value)
	case "a", "mx":
		return t.dual(rest, value, hasValue)
	}
	return t, false
}

func modifierName(s string) bool {
	for i, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || c != '-' && c != '_' && c != '.' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

func (t spfTerm) network4or6(value string) (spfTerm, bool) {
	if !strings.Contains(value, "/") {
		a, err := netip.ParseAddr(value)
		if err != nil || a.Is4() != (t.name == "ip4") || a.Zone() != "" {
			return t, false
		}
		t.network = netip.PrefixFrom(a, a.BitLen())
		return t, true
	}
	p, err := netip.ParsePrefix(value)
	t.network = p
	return t, err == nil && p.Addr().Is4() == (t.name == "ip4")
}

// dual reads [":" domain] ["/" bits] ["//" bits] (RFC 7208 5.3, 5.6).
func (t spfTerm) dual(rest, value string, hasValue bool) (spfTerm, bool) {
	if hasValue {
		rest = value
	}
	spec := rest
	if i := slashOutside(rest); i >= 0 {
		spec, rest = rest[:i], rest[i:]
	} else {
		rest = ""
	}
	t.domain = spec
	if hasValue != (spec != "") || !macros(spec) {
		return t, false
	}
	four, six, dual := strings.Cut(rest, "//")
	ok := true
	if four != "" {
		t.bits4, ok = bits(strings.TrimPrefix(four, "/"), 32)
	}
	if dual && ok {
		t.bits6, ok = bits(six, 128)
	}
	return t, ok
}

// slashOutside finds the first slash that is not inside of a macro, where it is
// a delimiter.
func slashOutside(s string) int {
	inside := false
	for i, c := range []byte(s) {
		switch c {
		case '{':
			inside = true
		case '}':
			inside = false
		case '/':
			if !inside {
				return i
			}
		}
	}
	return -1
}

func bits(s string, most int) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && n <= most && strconv.Itoa(n) == s
}

// macros reports whether each % of s begins a macro (RFC 7208 7.1), and whether
// all else can stand in a record.
func macros(s string) bool {
	_, ok := expand(s, nil)
	return ok
}

// expand puts values in the place of macros. A nil value only checks.
func expand(s string, value func(letter byte) string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < '!' || c > '~':
			return "", false
		case c != '%':
			b.WriteByte(c)
			continue
		}
		i++
		if i == len(s) {
			return "", false
		}
		switch s[i] {
		case '%':
			b.WriteByte('%')
		case '_':
			b.WriteByte(' ')
		case '-':
			b.WriteString("%20")
		case '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 2 {
				return "", false
			}
			text, ok := expandOne(s[i+1:i+end], value)
			if !ok {
				return "", false
			}
			b.WriteString(text)
			i += end
		default:
			return "", false
		}
	}
	return b.String(), true
}

// expandOne is what stands for the inside of %{…}: a letter, how many parts from
// the right, whether they are turned around, and what separates them.
func expandOne(spec string, value func(letter byte) string) (string, bool) {
	letter := spec[0] | 0x20
	if strings.IndexByte("slodiphcrtv", letter) < 0 {
		return "", false
	}
	rest := spec[1:]
	digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	rest = rest[len(digits):]
	parts := 0
	if digits != "" {
		n, err := strconv.Atoi(digits)
		if err != nil || n == 0 {
			return "", false
		}
		parts = n
	}
	turned := false
	if rest != "" && rest[0]|0x20 == 'r' {
		turned, rest = true, rest[1:]
	}
	if strings.Trim(rest, ".-+,/_=") != "" {
		return "", false
	}
	if value == nil {
		return "", true
	}
	if rest == "" {
		rest = "."
	}
	labels := strings.FieldsFunc(value(letter), func(r rune) bool { return strings.ContainsRune(rest, r) })
	if turned {
		for i, j := 0, len(labels)-1; i < j; i, j = i+1, j-1 {
			labels[i], labels[j] = labels[j], labels[i]
		}
	}
	if parts > 0 && parts < len(labels) {
		labels = labels[len(labels)-parts:]
	}
	return strings.Join(labels, "."), true
}

// dotted is an address as %{i} has it: IPv6 as nibbles.
func dotted(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	b := a.As16()
	nibbles := make([]string, 0, 32)
	for _, c := range b {
		nibbles = append(nibbles, fmt.Sprintf("%x", c>>4), fmt.Sprintf("%x", c&15))
	}
	return strings.Join(nibbles, ".")
}
