package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxReplyLine  = 2 << 10
	maxReplyLines = 100
	maxReplyBytes = 64 << 10
)

// challenge is the code of a challenge in a sign-in (RFC 4954 6).
const challenge = 334

// Reply is a server's answer (RFC 5321 4.2).
type Reply struct {
	Code int
	// Enhanced is the enhanced status code (RFC 3463), or "".
	Enhanced string
	// Lines are the texts of the lines without codes and control characters,
	// cut where they are long. Those of a challenge are as they came: a
	// mechanism reads them.
	Lines []string
}

// Text returns the lines as one, cut where they are longer than 500 bytes: it
// is kept and shown to people.
func (r Reply) Text() string { return visible(strings.Join(r.Lines, " ")) }

// String returns the reply as one line.
func (r Reply) String() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", r.Code, strings.TrimSpace(r.Enhanced+" "+r.Text())))
}

// errReply is wrapped by errors about replies that break the protocol.
var errReply = errors.New("the server's reply breaks the protocol")

// readReply reads one reply. The same code stands before each line, lines end
// with CR LF, and length and number of lines are bounded.
func readReply(r *bufio.Reader) (Reply, error) {
	line, err := readLine(r)
	if err != nil {
		return Reply{}, err
	}
	return readReplyFrom(r, line)
}

// readReplyFrom reads a reply whose first line was read.
func readReplyFrom(r *bufio.Reader, line []byte) (Reply, error) {
	var reply Reply
	total := 0
	for n := 1; ; n++ {
		if total += len(line); n > maxReplyLines || total > maxReplyBytes {
			return reply, fmt.Errorf("%w: it has no end", errReply)
		}
		code, more, rest, err := parseReplyLine(line)
		text := string(rest)
		switch {
		case err != nil:
			return reply, err
		case n == 1:
			reply.Code = code
		case code != reply.Code:
			return reply, fmt.Errorf("%w: its lines have different codes", errReply)
		}
		enhanced, rest2 := cutEnhanced(code, text)
		if enhanced != "" {
			reply.Enhanced, text = enhanced, rest2
		}
		if code != challenge {
			text = visible(text)
		}
		reply.Lines = append(reply.Lines, text)
		if !more {
			return reply, nil
		}
		if line, err = readLine(r); err != nil {
			return reply, err
		}
	}
}

// readLine returns a line without its CR LF. It is good until the next one is
// read, and never shorter than one octet without an error.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || len(line) > maxReplyLine {
		return nil, fmt.Errorf("%w: a line is too long", errReply)
	}
	if err != nil {
		return nil, err
	}
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: a line ends without CR", errReply)
	case bytes.IndexByte(text, 0) >= 0 || bytes.IndexByte(text, '\r') >= 0:
		return nil, fmt.Errorf("%w: a line holds NUL or CR", errReply)
	case len(text) < 3:
		return nil, errNoCode
	}
	return text, nil
}

// errNoCode is for a line that cannot be part of a reply.
var errNoCode = fmt.Errorf("%w: a line does not begin with a code", errReply)

func parseReplyLine(line []byte) (code int, more bool, text []byte, err error) {
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, false, nil, errNoCode
	}
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0, false, nil, errNoCode
		}
		code = code*10 + int(c-'0')
	}
	if code < 200 || code > 599 {
		return 0, false, nil, errNoCode
	}
	if len(line) > 3 {
		more, text = line[3] == '-', line[4:]
	}
	return code, more, text, nil
}

// cutEnhanced takes an enhanced code of the reply's class off the front of
// text.
func cutEnhanced(code int, text string) (enhanced, rest string) {
	word, rest, _ := strings.Cut(text, " ")
	if len(word) < 5 || len(word) > 9 || int(word[0]-'0') != code/100 || word[1] != '.' {
		return "", text
	}
	subject, detail, ok := strings.Cut(word[2:], ".")
	if !ok || !shortNumber(subject) || !shortNumber(detail) {
		return "", text
	}
	return word, rest
}

// shortNumber reports whether s has one to three digits and nothing else.
func shortNumber(s string) bool {
	if s == "" || len(s) > 3 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// hidden finds control characters, those that do not show or turn the direction
// of writing, and bytes that are no UTF-8.
func hidden(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// visible shows hidden characters as a dot, and cuts what is longer than 500
// bytes.
func visible(s string) string {
	if len(s) <= mostVisible && plainText(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if hidden(r) {
			return '·'
		}
		return r
	}, s)
	if len(s) <= mostVisible {
		return s
	}
	cut := mostVisible
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// mostVisible is how many bytes of a text are shown.
const mostVisible = 500

// plainText reports whether s is printable ASCII, as nearly all replies are.
func plainText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
