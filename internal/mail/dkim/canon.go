package dkim

import (
	"bytes"
	"errors"
	"slices"
	"strings"
)

var (
	crlf     = []byte("\r\n")
	errShape = errors.New("dkim: the message has no header, or one that cannot be read")
)

// field is one field of a header: its name as it stands there, and the whole of
// it with its line ends.
type field struct {
	name string
	raw  []byte
}

// split cuts a message into the fields of its header and its body (RFC 5322,
// section 2.1). Lines end with CR LF, and an empty one stands between the two.
func split(message []byte) (fields []field, body []byte, err error) {
	for len(message) > 0 {
		if rest, ok := bytes.CutPrefix(message, crlf); ok {
			if len(fields) == 0 {
				break
			}
			return fields, rest, nil
		}
		end := bytes.Index(message, crlf)
		if end < 0 {
			return nil, nil, errShape
		}
		line := message[:end+2]
		message = message[end+2:]
		if line[0] == ' ' || line[0] == '\t' {
			if len(fields) == 0 {
				return nil, nil, errShape
			}
			last := &fields[len(fields)-1]
			last.raw = last.raw[:len(last.raw)+len(line)] // lines lie one behind the other
			continue
		}
		name, _, ok := bytes.Cut(line, []byte(":"))
		name = bytes.TrimRight(name, " \t")
		if !ok || !fieldName(name) {
			return nil, nil, errShape
		}
		fields = append(fields, field{string(name), line})
	}
	return nil, nil, errShape
}

// fieldName reports whether b is a field-name of RFC 5322, section 3.6.8.
func fieldName(b []byte) bool {
	return len(b) > 0 && !bytes.ContainsFunc(b, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' })
}

// relaxedField is the relaxed form of a field (RFC 6376, section 3.4.2).
func relaxedField(f field) []byte {
	_, value, _ := bytes.Cut(f.raw, []byte(":"))
	out := append([]byte(strings.ToLower(f.name)), ':')
	out = appendRelaxed(out, bytes.TrimLeft(bytes.ReplaceAll(value, crlf, nil), " \t"))
	return append(out, crlf...)
}

// relaxedBody is the relaxed form of a body (RFC 6376, section 3.4.4).
func relaxedBody(body []byte) []byte {
	out := make([]byte, 0, len(body)+2)
	for len(body) > 0 {
		line, rest, _ := bytes.Cut(body, crlf)
		out = append(appendRelaxed(out, line), crlf...)
		body = rest
	}
	for bytes.HasSuffix(out, []byte("\r\n\r\n")) {
		out = out[:len(out)-2]
	}
	if bytes.Equal(out, crlf) {
		return nil
	}
	return out
}

// appendRelaxed appends a line with each run of spaces and tabs as one space and
// none at its end.
func appendRelaxed(out, line []byte) []byte {
	line = bytes.TrimRight(line, " \t")
	gap := false
	for _, c := range line {
		if c == ' ' || c == '\t' {
			gap = true
			continue
		}
		if gap {
			out = append(out, ' ')
			gap = false
		}
		out = append(out, c)
	}
	return out
}

// selected returns the relaxed forms of the fields that names say, the last one
// of a name first (RFC 6376, section 5.4.2). A name that has none, or none left,
// gives nothing: it says that there is none.
func selected(fields []field, names []string) []byte {
	used := make([]bool, len(fields))
	var out []byte
	for _, name := range names {
		for i, f := range slices.Backward(fields) {
			if !used[i] && strings.EqualFold(f.name, name) {
				used[i] = true
				out = append(out, relaxedField(f)...)
				break
			}
		}
	}
	return out
}
