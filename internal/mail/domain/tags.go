package domain

import "strings"

// tag is one of a list like "v=DKIM1; k=rsa" (RFC 6376 3.2).
type tag struct{ name, value string }

// readTags reads a tag list. The second result is the part that is no tag, or
// that stands there twice; "" where all is well. Names keep their case: they are
// case-sensitive.
func readTags(s string) ([]tag, string) {
	var tags []tag
	seen := map[string]bool{}
	parts := strings.Split(s, ";")
	for i, part := range parts {
		part = strings.Trim(part, " \t\r\n")
		if part == "" && i == len(parts)-1 {
			break
		}
		name, value, ok := strings.Cut(part, "=")
		name, value = strings.TrimRight(name, " \t\r\n"), strings.TrimLeft(value, " \t\r\n")
		if !ok || !tagName(name) || seen[name] {
			return tags, tame(part)
		}
		seen[name] = true
		tags = append(tags, tag{name, value})
	}
	return tags, ""
}

func tagName(s string) bool {
	for i, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

// valueOf returns the value of a tag, and whether it is there.
func valueOf(tags []tag, name string) (string, bool) {
	for _, t := range tags {
		if t.name == name {
			return t.value, true
		}
	}
	return "", false
}

// without takes white space out, which may stand inside of values.
func without(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, s)
}
