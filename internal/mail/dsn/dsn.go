package dsn

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"slices"
	"strings"
)

// Kind is what a mail is.
type Kind string

// The kinds of mails.
const (
	// Failed: at least one recipient will not get the mail.
	Failed Kind = "failed"
	// Delayed: it is still tried.
	Delayed Kind = "delayed"
	// Delivered: it arrived, or was passed on to where no more is heard of it.
	Delivered Kind = "delivered"
	// Reply: an automatic answer, such as that somebody is away.
	Reply Kind = "reply"
	// Other: anything else.
	Other Kind = "other"
)

const (
	maxDepth      = 5
	maxParts      = 30
	maxFields     = 300
	maxValue      = 4 << 10
	maxRecipients = 50
	maxHeader     = 64 << 10
	maxStatus     = 256 << 10
	maxText       = 128 << 10
	maxNames      = 50
)

// Recipient is what a report says of one recipient.
type Recipient struct {
	// Address is who it was sent to, in lower case, where that is known: the
	// original recipient rather than the final one.
	Address string
	// Final is who the server that reports tried to reach, in lower case, ""
	// where it does not say: another one than Address where mail is forwarded.
	Final string
	// Kind is Failed, Delayed or Delivered.
	Kind Kind
	// Status is the status code of RFC 3463, such as "5.1.1", or "".
	Status string
	// Text is what the server said.
	Text string
}

// Report is what a mail says.
type Report struct {
	Kind       Kind
	Recipients []Recipient
	// Envelopes are the ids that the sender gave the envelope (RFC 3461 4.4).
	Envelopes []string
	// Messages are the Message-IDs, with angle brackets, of returned mails.
	Messages []string
	// Addresses are those that the report itself was sent to, and those that the
	// returned mail says it came from, in lower case.
	Addresses []string
}

// Parse reads a mail, or its beginning.
func Parse(mail []byte) Report {
	fields, body := split(mail, maxHeader)
	p := &parser{}
	for _, name := range []string{"delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to", "to", "cc"} {
		p.addresses(fields.all(name)...)
	}
	p.part(textproto.MIMEHeader{
		"Content-Type": fields.all("content-type"), "Content-Transfer-Encoding": fields.all("content-transfer-encoding"),
	}, body, 0)
	p.plain(fields)
	p.settle(fields)
	return p.Report
}

type parser struct {
	Report
	parts int
	// status tells that there was a part with the status of a delivery.
	status bool
	// text is the first part for people.
	text []byte
}

// settle decides what the mail is.
func (p *parser) settle(fields header) {
	for _, k := range []Kind{Failed, Delayed, Delivered} {
		if slices.ContainsFunc(p.Recipients, func(r Recipient) bool { return r.Kind == k }) {
			p.Kind = k
			return
		}
	}
	p.Kind = Other
	if automatic(fields) {
		p.Kind = Reply
	}
}

// automatic tells answers that nobody wrote (RFC 3834), in the words of those
// who say so.
func automatic(f header) bool {
	word := strings.ToLower(f.first("auto-submitted"))
	if strings.HasPrefix(word, "auto-replied") || strings.HasPrefix(word, "auto-generated") {
		return true
	}
	switch strings.ToLower(strings.TrimSpace(f.first("precedence"))) {
	case "auto_reply", "junk":
		return true
	}
	return f.first("x-autoreply") != "" || f.first("x-autorespond") != "" || f.first("x-auto-reply-from") != "" || f.first("x-ms-exchange-inbox-rules-loop") != ""
}

// part reads a part of the mail and what is in it.
func (p *parser) part(h textproto.MIMEHeader, body []byte, depth int) {
	if p.parts++; p.parts > maxParts || depth > maxDepth {
		return
	}
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil && kind == "" {
		kind = "text/plain"
	}
	switch kind = strings.ToLower(kind); {
	case strings.HasPrefix(kind, "multipart/"):
		p.multipart(params["boundary"], body, depth)
	case kind == "message/delivery-status", kind == "message/global-delivery-status":
		p.status = true
		p.delivery(decoded(h, body, maxStatus))
	case kind == "text/rfc822-headers", kind == "message/rfc822", kind == "message/global", kind == "message/global-headers", kind == "message/rfc822-headers":
		p.returned(decoded(h, body, maxHeader))
	case kind == "text/plain" && p.text == nil:
		p.text = decoded(h, body, maxText)
	}
}

func (p *parser) multipart(boundary string, body []byte, depth int) {
	if boundary == "" {
		return
	}
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for p.parts <= maxParts {
		part, err := r.NextRawPart()
		if err != nil {
			return
		}
		// A mail that was cut ends in the middle of a part: what there is counts.
		b, _ := io.ReadAll(part)
		p.part(part.Header, b, depth+1)
	}
}

// decoded undoes the transfer encoding, up to a size.
func decoded(h textproto.MIMEHeader, body []byte, most int) []byte {
	var r io.Reader = bytes.NewReader(body)
	switch strings.ToLower(strings.TrimSpace(h.Get("Content-Transfer-Encoding"))) {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	}
	b, _ := io.ReadAll(io.LimitReader(r, int64(most)))
	return b
}

// delivery reads the fields of RFC 3464: one group for the mail, then one for
// each recipient.
func (p *parser) delivery(b []byte) {
	for len(b) > 0 && len(p.Recipients) < maxRecipients {
		var f header
		f, b = split(b, maxStatus)
		if id := f.first("original-envelope-id"); id != "" && len(p.Envelopes) < maxNames {
			p.Envelopes = append(p.Envelopes, line(id, 200))
		}
		p.recipient(f)
	}
}

func (p *parser) recipient(f header) {
	r := Recipient{Status: status(f.first("status")), Text: typed(f.first("diagnostic-code"))}
	action, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(f.first("action"))), " ")
	switch action {
	case "failed":
		r.Kind = Failed
	case "delayed":
		r.Kind = Delayed
	case "delivered", "relayed", "expanded":
		r.Kind = Delivered
	default:
		return
	}
	for _, name := range []string{"original-recipient", "final-recipient"} {
		if a := address(plainAddress(f.first(name))); a != "" {
			r.Address = a
			break
		}
	}
	r.Final = address(plainAddress(f.first("final-recipient")))
	if r.Status == "" || strings.HasSuffix(r.Status, ".0.0") {
		// Exchange and others are more exact in the text.
		if s := statusIn(r.Text); s != "" {
			r.Status = s
		}
	}
	p.Recipients = append(p.Recipients, r)
}

// returned reads the header of the mail that came back.
func (p *parser) returned(b []byte) {
	f, _ := split(b, maxHeader)
	for _, id := range f.all("message-id") {
		if len(p.Messages) < maxNames {
			if id = line(strings.TrimSpace(id), 400); strings.HasPrefix(id, "<") && strings.HasSuffix(id, ">") {
				p.Messages = append(p.Messages, id)
			}
		}
	}
	p.addresses(f.all("return-path")...)
	p.addresses(f.all("x-envelope-from")...)
}
