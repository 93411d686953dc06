package capture

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

const (
	// maxDepth and maxParts bound how far a letter is taken apart.
	maxDepth = 8
	maxParts = 100
	// maxHeaders bounds the header fields that are shown.
	maxHeaders = 200
	// maxSubject bounds what the list shows of one, in characters.
	maxSubject = 300
)

// Content is what a letter says.
type Content struct {
	Text, HTML string
	// Headers are name and value of the header's fields in their order, the
	// values in one line and decoded.
	Headers [][2]string
	// Source is the letter as it came.
	Source []byte
	// Inline are the pictures that the HTML shows, by their Content-ID.
	Inline map[string]Part
	// Attachments are all further parts.
	Attachments []Part
}

// Part is a piece of a letter.
type Part struct {
	Name, Type string
	Data       []byte
}

// Header returns the value of the first field with the name, or "".
func (c Content) Header(name string) string {
	for _, h := range c.Headers {
		if strings.EqualFold(h[0], name) {
			return h[1]
		}
	}
	return ""
}

// parse takes a letter apart (RFC 5322, RFC 2045 to 2047). Whatever came in,
// it returns as much as can be read: there is nobody to complain to.
func parse(source []byte) Content {
	c := Content{Source: source, Inline: map[string]Part{}}
	head, body := split(source)
	var header textproto.MIMEHeader
	c.Headers, header = fields(head)
	w := walker{content: &c}
	w.part(header, body, 0)
	return c
}

// split cuts a letter at the first empty line.
func split(source []byte) (head, body []byte) {
	for at := 0; at < len(source); {
		end := bytes.IndexByte(source[at:], '\n')
		if end < 0 {
			break
		}
		if len(bytes.TrimRight(source[at:at+end], "\r")) == 0 {
			return source[:at], source[at+end+1:]
		}
		at += end + 1
	}
	return source, nil
}

// fields returns the header's fields as they are shown, and by name.
func fields(head []byte) ([][2]string, textproto.MIMEHeader) {
	var shown [][2]string
	byName := textproto.MIMEHeader{}
	unfolded := strings.NewReplacer("\r\n ", " ", "\r\n\t", " ", "\n ", " ", "\n\t", " ").Replace(string(head))
	for text := range strings.SplitSeq(unfolded, "\n") {
		name, value, ok := strings.Cut(strings.TrimRight(text, "\r"), ":")
		if !ok || len(shown) == maxHeaders {
			continue
		}
		name, value = line(strings.TrimSpace(name)), strings.TrimSpace(value)
		byName.Add(name, value)
		shown = append(shown, [2]string{name, line(decodeWords(value))})
	}
	return shown, byName
}

func decodeWords(s string) string {
	d := mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
		b, err := io.ReadAll(r)
		return strings.NewReader(toUTF8(b, charset)), err
	}}
	if text, err := d.DecodeHeader(s); err == nil {
		return text
	}
	return s
}

type walker struct {
	content *Content
	parts   int
}

// part takes one part and those inside it.
func (w *walker) part(header textproto.MIMEHeader, body []byte, depth int) {
	if w.parts++; w.parts > maxParts || depth > maxDepth {
		return
	}
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		kind, params = "text/plain", map[string]string{}
	}
	if strings.HasPrefix(kind, "multipart/") && params["boundary"] != "" {
		r := multipart.NewReader(bytes.NewReader(body), params["boundary"])
		for w.parts <= maxParts {
			p, err := r.NextRawPart()
			if err != nil {
				return
			}
			inner, _ := io.ReadAll(p)
			w.part(p.Header, inner, depth+1)
		}
		return
	}
	w.leaf(header, kind, params, decode(header.Get("Content-Transfer-Encoding"), body))
}

func (w *walker) leaf(header textproto.MIMEHeader, kind string, params map[string]string, data []byte) {
	c := w.content
	disposition, named, _ := mime.ParseMediaType(header.Get("Content-Disposition"))
	id := strings.Trim(header.Get("Content-Id"), " <>")
	switch {
	case disposition != "attachment" && kind == "text/plain" && c.Text == "":
		c.Text = toUTF8(data, params["charset"])
	case disposition != "attachment" && kind == "text/html" && c.HTML == "":
		c.HTML = toUTF8(data, params["charset"])
	case id != "" && strings.HasPrefix(kind, "image/"):
		c.Inline[id] = Part{Name: id, Type: kind, Data: data}
	default:
		name := named["filename"]
		if name == "" {
			name = params["name"]
		}
		c.Attachments = append(c.Attachments, Part{Name: line(decodeWords(name)), Type: kind, Data: data})
	}
}

// decode undoes a transfer encoding as far as that goes.
func decode(encoding string, body []byte) []byte {
	var r io.Reader
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "quoted-printable":
		r = quotedprintable.NewReader(bytes.NewReader(body))
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body))
	default:
		return body
	}
	out, _ := io.ReadAll(r)
	return out
}

// toUTF8 reads text in the few character sets that are common beside UTF-8.
func toUTF8(b []byte, charset string) string {
	if utf8.Valid(b) {
		return string(b)
	}
	table := charmap.Windows1252
	switch strings.ToLower(charset) {
	case "iso-8859-15":
		table = charmap.ISO8859_15
	case "iso-8859-2":
		table = charmap.ISO8859_2
	case "utf-8", "us-ascii":
		return strings.ToValidUTF8(string(b), "\ufffd")
	}
	out, err := table.NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\ufffd")
	}
	return string(out)
}

// line returns text in one line that can be stored and shown: no control
// characters, nothing that is no UTF-8.
func line(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// short bounds what the list shows of a subject.
func short(s string) string {
	if r := []rune(s); len(r) > maxSubject {
		return string(r[:maxSubject]) + "…"
	}
	return s
}
