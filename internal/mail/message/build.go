package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
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
	var b bytes.Buffer
	header := func(name, value string) {
		b.WriteString(fold(name + ": " + value))
	}
	header("Date", p.Date.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	header("From", p.From.header())
	if !p.ReplyTo.IsZero() {
		header("Reply-To", p.ReplyTo.header())
	}
	header("To", p.To.header())
	header("Subject", encodeText(p.Subject))
	header("Message-ID", p.MessageID)
	header("Auto-Submitted", "auto-generated")
	header("X-Auto-Response-Suppress", "All")
	header("MIME-Version", "1.0")
	if err := p.writeBody(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (p Parts) check() error {
	switch {
	case p.From.IsZero() || p.To.IsZero():
		return errors.New("message: no sender or no recipient")
	case p.Date.IsZero():
		return errors.New("message: no date")
	case len(p.MessageID) < 5 || len(p.MessageID) > 250 || p.MessageID[0] != '<' || !strings.HasSuffix(p.MessageID, ">"):
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

func (p Parts) writeBody(b *bytes.Buffer) error {
	if p.HTML == "" {
		b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
		return writeText(b, p.Text)
	}
	w := multipart.NewWriter(b)
	if err := w.SetBoundary(p.boundary("alternative")); err != nil {
		return err
	}
	b.WriteString(fold("Content-Type: multipart/alternative; boundary=\"" + w.Boundary() + "\""))
	b.WriteString("\r\n")
	if err := writePart(w, "text/plain; charset=utf-8", p.Text); err != nil {
		return err
	}
	if len(p.Inline) == 0 {
		if err := writePart(w, "text/html; charset=utf-8", p.HTML); err != nil {
			return err
		}
		return w.Close()
	}
	inner := multipart.NewWriter(nil)
	if err := inner.SetBoundary(p.boundary("related")); err != nil {
		return err
	}
	related, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Type": {"multipart/related; type=\"text/html\";\r\n boundary=\"" + inner.Boundary() + "\""},
	})
	if err != nil {
		return err
	}
	if err := p.writeRelated(related, inner.Boundary()); err != nil {
		return err
	}
	return w.Close()
}

func (p Parts) writeRelated(out io.Writer, boundary string) error {
	w := multipart.NewWriter(out)
	if err := w.SetBoundary(boundary); err != nil {
		return err
	}
	if err := writePart(w, "text/html; charset=utf-8", p.HTML); err != nil {
		return err
	}
	for _, i := range p.Inline {
		part, err := w.CreatePart(textproto.MIMEHeader{
			"Content-Type":              {i.Type},
			"Content-Transfer-Encoding": {"base64"},
			"Content-Disposition":       {"inline"},
			"Content-ID":                {"<" + i.ID + ">"},
		})
		if err != nil {
			return err
		}
		text := base64.StdEncoding.EncodeToString(i.Data)
		for len(text) > 0 {
			n := min(76, len(text))
			if _, err := io.WriteString(part, text[:n]+"\r\n"); err != nil {
				return err
			}
			text = text[n:]
		}
	}
	return w.Close()
}

func writePart(w *multipart.Writer, contentType, text string) error {
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Type":              {contentType},
		"Content-Transfer-Encoding": {"quoted-printable"},
	})
	if err != nil {
		return err
	}
	return writeText(part, text)
}

// writeText writes text in quoted-printable with CR LF line ends, whatever
// line ends it has.
func writeText(w io.Writer, text string) error {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	q := quotedprintable.NewWriter(w)
	if _, err := io.WriteString(q, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		return err
	}
	if err := q.Close(); err != nil {
		return err
	}
	if !strings.HasSuffix(text, "\n") {
		_, err := io.WriteString(w, "\r\n")
		return err
	}
	return nil
}

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

// fold breaks a header line at spaces so that no line is longer than 76
// characters where that is possible (RFC 5322 2.2.3), and ends it.
func fold(line string) string {
	var b strings.Builder
	width := 0
	for i, word := range strings.Split(line, " ") {
		if i > 0 {
			if width+1+len(word) > 76 && word != "" {
				b.WriteString("\r\n")
				width = 0
			}
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += len(word)
	}
	b.WriteString("\r\n")
	return b.String()
}
