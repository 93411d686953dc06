package dsn

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// header is the fields of a header, in their order, with names in lower case.
type header []struct{ name, value string }

func (h header) first(name string) string {
	for _, f := range h {
		if f.name == name {
			return f.value
		}
	}
	return ""
}

func (h header) all(name string) []string {
	var all []string
	for _, f := range h {
		if f.name == name {
			all = append(all, f.value)
		}
	}
	return all
}

// split reads fields up to an empty line, or most bytes, and returns them and
// what follows. Lines that are none are passed over, as what a broken server
// adds.
func split(b []byte, most int) (header, []byte) {
	var h header
	read := 0
	for len(b) > 0 {
		raw := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			raw, b = b[:i+1], b[i+1:]
		} else {
			b = nil
		}
		text := bytes.TrimRight(raw, "\r\n")
		if len(text) == 0 {
			if read == 0 {
				continue // some begin with one
			}
			return h, b
		}
		if read += len(raw); read > most {
			continue // on to the empty line
		}
		if text[0] == ' ' || text[0] == '\t' {
			if n := len(h); n > 0 && len(h[n-1].value) < maxValue {
				h[n-1].value += " " + cut(strings.TrimSpace(string(text)), maxValue)
			}
			continue
		}
		name, value, ok := bytes.Cut(text, []byte(":"))
		if ok && len(h) < maxFields && len(name) < 100 {
			h = append(h, struct{ name, value string }{
				strings.ToLower(strings.TrimSpace(string(name))), cut(strings.TrimSpace(string(value)), maxValue),
			})
		}
	}
	return h, nil
}

func cut(s string, most int) string {
	if len(s) > most {
		return s[:most]
	}
	return s
}

// maxSaid bounds what is kept of a server's words, in runes.
const maxSaid = 500

// line makes a text harmless: one line of valid UTF-8 without control and
// formatting characters, at most most runes.
func line(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp):
			return '·'
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// typed returns a value behind its type, as in "smtp; 550 5.1.1 unknown".
func typed(s string) string {
	if kind, rest, ok := strings.Cut(s, ";"); ok && !strings.ContainsAny(strings.TrimSpace(kind), " .") {
		s = rest
	}
	return line(s, maxSaid)
}

var (
	statusWhole = regexp.MustCompile(`^\s*([245]\.\d{1,3}\.\d{1,3})(?:\D|$)`)
	statusAny   = regexp.MustCompile(`(?:^|[\s#(])([45]\.\d{1,3}\.\d{1,3})(?:[\s:;,.)\]-]|$)`)
)

func status(s string) string {
	if m := statusWhole.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	return ""
}

// statusIn finds a status code in a text.
func statusIn(s string) string {
	if m := statusAny.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	return ""
}

// hexed is a character of RFC 6533 3 (utf-8-addr-xtext).
var hexed = regexp.MustCompile(`\\x\{([0-9A-Fa-f]{1,6})\}`)

// plainAddress returns the address in a field such as "rfc822; x@example.org".
func plainAddress(s string) string {
	kind, rest, ok := strings.Cut(s, ";")
	if !ok {
		return s
	}
	if strings.EqualFold(strings.TrimSpace(kind), "utf-8") {
		rest = hexed.ReplaceAllStringFunc(rest, func(x string) string {
			n, err := strconv.ParseUint(x[3:len(x)-1], 16, 32)
			if err != nil || !utf8.ValidRune(rune(n)) {
				return x
			}
			return string(rune(n))
		})
	}
	return rest
}

// address returns the one address in s, in lower case, or "" for what is none.
func address(s string) string {
	if i := strings.LastIndexByte(s, '<'); i >= 0 {
		inner, rest, _ := strings.Cut(s[i+1:], ">")
		if s = inner; strings.Trim(rest, " \t:") != "" {
			return ""
		}
	}
	s = strings.ToLower(strings.TrimSpace(s))
	at := strings.LastIndexByte(s, '@')
	if at <= 0 || at == len(s)-1 || len(s) > 320 || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.In(r, unicode.Cf) || strings.ContainsRune(`<>(),;:"`, r)
	}) {
		return ""
	}
	return s
}

// addresses notes the addresses in fields.
func (p *parser) addresses(fields ...string) {
	for _, f := range fields {
		for one := range strings.SplitSeq(f, ",") {
			if len(p.Addresses) >= maxNames {
				return
			}
			if a := address(one); a != "" {
				p.Addresses = append(p.Addresses, a)
			}
		}
	}
}
