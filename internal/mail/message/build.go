package message

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Image is a picture inside the HTML, which refers to it as "cid:" + ID.
type Image struct {
	// ID is the Content-ID without angle brackets, an address of the form
	// word@domain.
	ID string
	// Type is "image/png" or "image/jpeg".
	Type string
	Data []byte
}

// Parts are what a message is made of.
type Parts struct {
	From    Address
	To      Address
	ReplyTo Address
	// Subject is one line of text.
	Subject string
	// Text and HTML say the same. HTML may be empty.
	Text, HTML string
	// MessageID is the whole id with its angle brackets; see [NewMessageID].
	MessageID string
	Date      time.Time
	// Inline pictures belong to the HTML.
	Inline []Image
}

// NewMessageID returns a Message-ID (RFC 5322 3.6.4) of 128 bits read from
// random.
func NewMessageID(domain string, random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("drawing a Message-ID: %w", err)
	}
	return "<" + hex.EncodeToString(b[:]) + "@" + domain + ">", nil
}

// Build returns the message with CR LF line ends. It carries
// "Auto-Submitted: auto-generated" (RFC 3834 5) and asks Exchange for no
// automatic replies. An error means that a part cannot stand in a message.
func Build(p Parts) ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	b := make([]byte, 0, p.room())
	b = appendHeader(b, "Date", p.Date.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	b = appendHeader(b, "From", p.From.header())
	if !p.ReplyTo.IsZero() {
		b = appendHeader(b, "Reply-To", p.ReplyTo.header())
	}
	b = appendHeader(b, "To", p.To.header())
	b = appendHeader(b, "Subject", encodeText(p.Subject))
	// In one line, however long: not all who read a Message-ID look for it in the
	// next one.
	b = append(append(append(b, "Message-ID: "...), p.MessageID...), "\r\n"...)
	b = append(b, "Auto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\nMIME-Version: 1.0\r\n"...)
	return p.appendBody(b), nil
}

// room is about how many bytes the message has.
func (p Parts) room() int {
	size := 1500 + len(p.Text) + len(p.HTML) + (len(p.Text)+len(p.HTML))/8
	for _, i := range p.Inline {
		size += 200 + base64.StdEncoding.EncodedLen(len(i.Data))*78/76
	}
	return size
}

func (p Parts) check() error {
	switch {
	case p.From.IsZero() || p.To.IsZero():
		return errors.New("message: no sender or no recipient")
	case p.Date.IsZero():
		return errors.New("message: no date")
	case len(p.MessageID) < 5 || len(p.MessageID) > 400 || p.MessageID[0] != '<' || !strings.HasSuffix(p.MessageID, ">"):
		return errors.New("message: no Message-ID")
	}
	for _, s := range []string{p.From.Name, p.To.Name, p.ReplyTo.Name, p.Subject, p.MessageID} {
		if hasControl(s) {
			return errors.New("message: a control character in a header field")
		}
	}
	for _, a := range []Address{p.From, p.To, p.ReplyTo} {
		if a.IsZero() {
			continue
		}
		if d, err := DomainToASCII(a.Domain); !dotAtom(a.Local) || err != nil || d != a.Domain {
			return errors.New("message: an address was not made by ParseAddress")
		}
	}
	for _, i := range p.Inline {
		if i.Type != "image/png" && i.Type != "image/jpeg" || hasControl(i.ID) || strings.ContainsAny(i.ID, "<> ") {
			return errors.New("message: a picture with an unknown type or a bad id")
		}
	}
	return nil
}

// boundary derives the boundary of the part called name from the Message-ID,
// which is unique and stays the same for all attempts.
func (p Parts) boundary(name string) string {
	sum := sha256.Sum256([]byte(name + p.MessageID))
	// "=_" cannot occur in quoted-printable (RFC 2045 6.7).
	return "=_" + hex.EncodeToString(sum[:15])
}

// The bytes are those that mime/multipart and mime/quotedprintable would make,
// to which a test holds them, for a fifth of their time.
func (p Parts) appendBody(b []byte) []byte {
	if p.HTML == "" {
		b = append(b, "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"...)
		return appendText(b, p.Text)
	}
	boundary := p.boundary("alternative")
	b = appendHeader(b, "Content-Type", `multipart/alternative; boundary="`+boundary+`"`)
	b = append(append(append(b, "\r\n--"...), boundary...), "\r\n"...)
	b = appendPart(b, "text/plain", p.Text)
	b = append(append(append(b, "\r\n--"...), boundary...), "\r\n"...)
	if len(p.Inline) == 0 {
		b = appendPart(b, "text/html", p.HTML)
	} else {
		b = p.appendRelated(b)
	}
	return append(append(append(b, "\r\n--"...), boundary...), "--\r\n"...)
}

// appendRelated writes the HTML and the pictures that it shows.
func (p Parts) appendRelated(b []byte) []byte {
	boundary := p.boundary("related")
	b = append(b, "Content-Type: multipart/related; type=\"text/html\";\r\n boundary=\""+boundary+"\"\r\n\r\n--"+boundary+"\r\n"...)
	b = appendPart(b, "text/html", p.HTML)
	for _, i := range p.Inline {
		b = append(b, "\r\n--"+boundary+"\r\nContent-Disposition: inline\r\nContent-ID: <"+i.ID+">\r\n"+
			"Content-Transfer-Encoding: base64\r\nContent-Type: "+i.Type+"\r\n\r\n"...)
		for data := i.Data; len(data) > 0; {
			n := min(lineOfBase64, len(data))
			b = append(base64.StdEncoding.AppendEncode(b, data[:n]), "\r\n"...)
			data = data[n:]
		}
	}
	return append(append(append(b, "\r\n--"...), boundary...), "--\r\n"...)
}

// lineOfBase64 is how many bytes make a line of 76 characters (RFC 2045 6.8).
const lineOfBase64 = 57

func appendPart(b []byte, contentType, text string) []byte {
	b = append(append(append(b, "Content-Transfer-Encoding: quoted-printable\r\nContent-Type: "...), contentType...), "; charset=utf-8\r\n\r\n"...)
	return appendText(b, text)
}

// qpWidth is how many characters of a line stand before the "=" of a soft line
// break at most (RFC 2045 6.7).
const qpWidth = 75

// appendText writes text in quoted-printable with CR LF line ends, whatever
// line ends it has, and with one at its end.
func appendText(b []byte, text string) []byte {
	for len(text) > 0 {
		end := strings.IndexAny(text, "\r\n")
		if end < 0 {
			end = len(text)
		}
		b = append(appendLine(b, text[:end]), "\r\n"...)
		switch {
		case end == len(text):
			return b
		case strings.HasPrefix(text[end:], "\r\n"):
			end++
		}
		if text = text[end+1:]; text == "" {
			return b
		}
	}
	return append(b, "\r\n"...)
}

// appendLine writes what stands between two line ends.
func appendLine(b []byte, line string) []byte {
	width := 0
	room := func(n int) {
		if qpWidth-width < n {
			b = append(b, "=\r\n"...)
			width = 0
		}
	}
	for len(line) > 0 {
		n := plainRun(line)
		if n == len(line) && isBlank(line[n-1]) {
			n-- // a blank before a line end would be lost on the way
		}
		for run := line[:n]; run != ""; {
			room(1)
			m := min(len(run), qpWidth-width)
			b = append(b, run[:m]...)
			width += m
			run = run[m:]
		}
		if line = line[n:]; line != "" {
			room(3)
			const hex = "0123456789ABCDEF"
			b = append(b, '=', hex[line[0]>>4], hex[line[0]&15])
			width += 3
			line = line[1:]
		}
	}
	return b
}

// plainRun returns how many bytes at the beginning stand for themselves.
func plainRun(s string) int {
	for i := range len(s) {
		if c := s[i]; (c < '!' || c > '~' || c == '=') && !isBlank(c) {
			return i
		}
	}
	return len(s)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// maxWord is the longest word of a header that is left as it is: a line can be
// folded at spaces alone.
const maxWord = 200

// encodeText returns unstructured header text, as encoded words (RFC 2047)
// where it is more than printable ASCII, could be taken for one, or cannot be
// folded.
func encodeText(s string) string {
	long := slices.ContainsFunc(strings.Split(s, " "), func(word string) bool { return len(word) > maxWord })
	if !long && !strings.Contains(s, "=?") {
		return mime.QEncoding.Encode("utf-8", s)
	}
	// The library leaves ASCII alone, also where a reader would decode it.
	var words []string
	for len(s) > 0 {
		n := 0
		for i, r := range s {
			if i+utf8.RuneLen(r) > 42 {
				break
			}
			n = i + utf8.RuneLen(r)
		}
		words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(s[:n]))+"?=")
		s = s[n:]
	}
	return strings.Join(words, " ")
}

// appendHeader writes a header field and breaks it at spaces so that no line is
// longer than 76 characters where that is possible (RFC 5322 2.2.3).
func appendHeader(b []byte, name, value string) []byte {
	b = append(append(b, name...), ':')
	width := len(name) + 1
	for word := range strings.SplitSeq(value, " ") {
		if width+1+len(word) > 76 && word != "" {
			b = append(b, "\r\n"...)
			width = 0
		}
		b = append(append(b, ' '), word...)
		width += 1 + len(word)
	}
	return append(b, "\r\n"...)
}
