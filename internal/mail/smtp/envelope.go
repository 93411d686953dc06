package smtp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
)

// flight is a letter on its way.
type flight struct {
	// i is its number for done.
	i   int
	sub Submission
	// params are those of MAIL, rcpt those of each RCPT.
	params, rcpt string
	// whole is set where the letter is one of several parts; see split.
	whole *whole
	// refused tells that the letter is refused here: nothing is said of it.
	refused bool
	// reset tells that RSET is said before MAIL.
	reset bool
	// asked tells that the answers to MAIL and RCPT were read already.
	asked bool
	// start and end are the places in all that is said where the letter begins
	// and where its content ends; end is 0 before that was said.
	start    int64
	end      atomic.Int64
	accepted int
	// again tells that the letter was refused only for the way it came.
	again bool
	began time.Time
	r     Result
}

// check looks at a letter before a word is said of it, and prepares what goes
// with its addresses.
func (c *Conn) check(f *flight) *Error {
	s := &f.sub
	if len(s.To) == 0 || len(s.Body) == 0 {
		return input(StageMail, "a letter without recipient or content")
	}
	ascii, ok := plainAddress(s.From)
	for _, a := range s.To {
		if !ok {
			break
		}
		var plain bool
		plain, ok = plainAddress(a)
		ascii = ascii && plain
	}
	if !ok {
		return input(StageMail, "an address that cannot stand in an envelope")
	}
	if err := checkBody(s.Body); err != nil {
		return err
	}
	return c.parameters(f, ascii)
}

// parameters asks for what the letter needs of the server, and for nothing else.
func (c *Conn) parameters(f *flight, ascii bool) *Error {
	s := &f.sub
	var b []byte
	if c.caps.Size > 0 {
		if int64(len(s.Body)) > c.caps.Size {
			return input(StageMail, fmt.Sprintf("the letter has %d bytes, the server takes %d", len(s.Body), c.caps.Size))
		}
		b = strconv.AppendInt(append(b, " SIZE="...), int64(len(s.Body)), 10)
	}
	if eightBit(s.Body) {
		if !c.caps.EightBit {
			return input(StageMail, "the letter has 8-bit content and the server takes none")
		}
		b = append(b, " BODY=8BITMIME"...)
	}
	if !ascii {
		if !c.caps.UTF8 {
			return input(StageMail, "the server takes no addresses beyond ASCII")
		}
		b = append(b, " SMTPUTF8"...)
	}
	if s.RequireTLS {
		// RFC 8689 4.2.1: the promise counts inside TLS only.
		if !c.caps.RequireTLS || !c.tls {
			return policy(StageMail, "the server does not promise TLS on the whole way")
		}
		b = append(b, " REQUIRETLS"...)
	}
	if s.Notify && c.caps.DSN {
		b = append(b, " RET=HDRS"...)
		if id := xtext(s.EnvID); id != "" {
			b = append(append(b, " ENVID="...), id...)
		}
		f.rcpt = " NOTIFY=FAILURE,DELAY"
	}
	f.params = string(b)
	return nil
}

// maxEnvID is the longest ENVID (RFC 3461 4.4).
const maxEnvID = 100

// xtext encodes a text as RFC 3461 4 has it, or returns "" for one that cannot
// be said.
func xtext(text string) string {
	var b strings.Builder
	for _, ch := range []byte(text) {
		switch {
		case ch < ' ' || ch > '~':
			return ""
		case ch == '+' || ch == '=' || ch == ' ':
			fmt.Fprintf(&b, "+%02X", ch)
		default:
			b.WriteByte(ch)
		}
	}
	if b.Len() > maxEnvID {
		return ""
	}
	return b.String()
}

// plainAddress reports whether an address can stand between angle brackets
// without ending them or adding a parameter, and whether it is in ASCII.
func plainAddress(a string) (ascii, ok bool) {
	at := strings.IndexByte(a, '@')
	if at <= 0 || at == len(a)-1 || len(a) > 320 || strings.IndexByte(a[at+1:], '@') >= 0 {
		return false, false
	}
	ascii = true
	for i := range len(a) {
		switch ch := a[i]; {
		case ch >= 0x80:
			ascii = false
		case ch <= ' ' || ch == 0x7f || strings.IndexByte("<>()[]\\,;:\"", ch) >= 0:
			return false, false
		}
	}
	if ascii {
		return true, true
	}
	return false, !strings.ContainsFunc(a, func(r rune) bool { return unicode.IsSpace(r) || hidden(r) })
}

// checkBody refuses what could be read as the end of the content by some
// server, or as a line that is too long (RFC 5321 4.5.3.1.6).
func checkBody(body []byte) *Error {
	lines := 0
	for rest := body; len(rest) > 0; lines++ {
		i := bytes.IndexByte(rest, '\n')
		if i < 1 || rest[i-1] != '\r' {
			return input(StageContent, "a line of the letter does not end with CR LF")
		}
		if i-1 > 998 {
			return input(StageContent, "a line of the letter is longer than 998 bytes")
		}
		rest = rest[i+1:]
	}
	// Each line has one CR at its end: more of them stand elsewhere.
	if bytes.Count(body, []byte{'\r'}) != lines || bytes.IndexByte(body, 0) >= 0 {
		return input(StageContent, "a line of the letter holds CR or NUL")
	}
	return nil
}

// eightBit reports whether body has octets beyond ASCII, eight at a time.
func eightBit(body []byte) bool {
	for len(body) >= 8 {
		if binary.LittleEndian.Uint64(body)&0x8080808080808080 != 0 {
			return true
		}
		body = body[8:]
	}
	return slices.ContainsFunc(body, func(b byte) bool { return b >= 0x80 })
}

// queueID finds the id in "Ok: queued as 4F5" (Postfix), "OK id=1abc" (Exim),
// "2.0.0 abc Message accepted" and the like.
func queueID(r Reply) string {
	before := ""
	for w := range strings.FieldsSeq(r.Text()) {
		if strings.EqualFold(before, "queued as") {
			return strings.Trim(w, "<>,;()[].")
		}
		w = strings.Trim(w, "<>,;()[]")
		if id, ok := strings.CutPrefix(w, "id="); ok {
			return id
		}
		switch {
		case strings.EqualFold(w, "queued"):
			before = "queued"
		case before != "" && strings.EqualFold(w, "as"):
			before = "queued as"
		default:
			before = ""
		}
	}
	return ""
}
