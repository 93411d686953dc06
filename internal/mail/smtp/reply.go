package smtp

import (
	"bufio"
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
	var reply Reply
	total := 0
	for n := 1; ; n++ {
		line, err := readLine(r)
		if err != nil {
			return reply, err
		}
		if total += len(line); n > maxReplyLines || total > maxReplyBytes {
			return reply, fmt.Errorf("%w: it has no end", errReply)
		}
		code, more, text, err := parseReplyLine(line)
		switch {
		case err != nil:
			return reply, err
		case n == 1:
			reply.Code = code
		case code != reply.Code:
			return reply, fmt.Errorf("%w: its lines have different codes", errReply)
		}
		enhanced, rest := cutEnhanced(code, text)
		if enhanced != "" {
			reply.Enhanced, text = enhanced, rest
		}
		if code != challenge {
			text = visible(text)
		}
		reply.Lines = append(reply.Lines, text)
		if !more {
			return reply, nil
		}
	}
}

// readLine returns a line without its CR LF.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", fmt.Errorf("%w: a line is too long", errReply)
	}
	if err != nil {
		return "", err
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok {
		return "", fmt.Errorf("%w: a line ends without CR", errReply)
	}
	if strings.ContainsAny(text, "\x00\r") {
		return "", fmt.Errorf("%w: a line holds NUL or CR", errReply)
	}
	return text, nil
}

func parseReplyLine(line string) (code int, more bool, text string, err error) {
	bad := fmt.Errorf("%w: a line does not begin with a code", errReply)
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, false, "", bad
	}
	for _, c := range []byte(line[:3]) {
		if c < '0' || c > '9' {
			return 0, false, "", bad
		}
		code = code*10 + int(c-'0')
	}
	if code < 200 || code > 599 {
		return 0, false, "", bad
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
	parts := strings.Split(word, ".")
	if len(parts) != 3 || len(parts[0]) != 1 || int(parts[0][0]-'0') != code/100 {
		return "", text
	}
	for _, p := range parts[1:] {
		if p == "" || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return "", text
		}
	}
	return word, rest
}

// hidden finds control characters, those that do not show or turn the direction
// of writing, and bytes that are no UTF-8.
func hidden(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// visible shows hidden characters as a dot, and cuts what is longer than 500
// bytes.
func visible(s string) string {
	s = strings.Map(func(r rune) rune {
		if hidden(r) {
			return '·'
		}
		return r
	}, s)
	const most = 500
	if len(s) <= most {
		return s
	}
	cut := most
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
