package dsn

import (
	"bytes"
	"strings"
)

// plain reads the reports that have no part for programs. They count only where
// there is none that has.
func (p *parser) plain(fields header) {
	if p.status || p.text == nil {
		return
	}
	text := bytes.ReplaceAll(p.text, []byte("\r\n"), []byte("\n"))
	if failed := fields.all("x-failed-recipients"); len(failed) > 0 {
		p.exim(failed, text)
		return
	}
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("Hi. This is the")) {
		p.qmail(bytes.TrimSpace(text))
	}
}

// exim reads what Exim says where it does not send a report of RFC 3464: the
// failed recipients in a field, what was said under each address in the text, and
// a copy behind a line.
func (p *parser) exim(failed []string, text []byte) {
	said, copied := text, []byte(nil)
	if i := bytes.Index(text, []byte("\n------ This is a copy of ")); i >= 0 {
		said, copied = text[:i], text[i+1:]
	}
	for _, f := range failed {
		for one := range strings.SplitSeq(f, ",") {
			a := address(one)
			if a == "" || len(p.Recipients) >= maxRecipients {
				continue
			}
			words := under(string(said), a)
			p.Recipients = append(p.Recipients, Recipient{Address: a, Kind: Failed, Status: statusIn(words), Text: line(words, maxSaid)})
		}
	}
	if _, rest, ok := bytes.Cut(copied, []byte("\n")); ok {
		p.returned(rest)
	}
}

// under returns the lines that stand indented below an address.
func under(text, address string) string {
	var words []string
	found := false
	for l := range strings.SplitSeq(text, "\n") {
		trimmed := strings.TrimSpace(l)
		switch {
		case !found:
			found = strings.EqualFold(trimmed, address) || strings.HasPrefix(strings.ToLower(trimmed), address+" ")
		case trimmed == "" || !strings.HasPrefix(l, " "):
			return strings.Join(words, " ")
		case len(words) < 20:
			words = append(words, trimmed)
		}
	}
	return strings.Join(words, " ")
}

// qmail reads QSBMF: paragraphs, each of which begins with an address in angle
// brackets and a colon, up to one that begins with dashes; behind it is the mail.
func (p *parser) qmail(text []byte) {
	rest := text
	for n := 0; len(rest) > 0 && n < maxRecipients+5; n++ {
		var paragraph []byte
		paragraph, rest, _ = bytes.Cut(bytes.TrimLeft(rest, "\n"), []byte("\n\n"))
		if bytes.HasPrefix(paragraph, []byte("-")) {
			p.returned(bytes.TrimLeft(rest, "\n"))
			return
		}
		if n == 0 && !bytes.Contains(paragraph, []byte("program")) {
			return
		}
		head, words, ok := strings.Cut(string(paragraph), ":\n")
		if !ok || !strings.HasPrefix(head, "<") || len(p.Recipients) >= maxRecipients {
			continue
		}
		p.Recipients = append(p.Recipients, Recipient{
			Address: address(head), Kind: Failed, Status: statusIn(words), Text: line(words, maxSaid),
		})
	}
}
