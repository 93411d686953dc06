package wire

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// maxConnectReply bounds what is read of a reply to CONNECT, in bytes.
const maxConnectReply = 8 << 10

// connect has the dialogue of RFC 9110, section 9.3.6. target is "host:port",
// made of what DialContext let through.
func (p *Proxy) connect(conn net.Conn, target string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", target, target)
	if p.user != "" {
		b.WriteString("Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p.user+":"+p.password.Reveal())) + "\r\n")
	}
	b.WriteString("\r\n")
	if _, err := io.WriteString(conn, b.String()); err != nil {
		return err
	}
	status, phrase, err := readConnectReply(conn)
	if err != nil {
		return err
	}
	if status/100 == 2 {
		return nil
	}
	text := fmt.Sprintf("answered: %d %s", status, phrase)
	switch {
	case status == 407 && p.user == "":
		text = "wants user and password; write them into mail.proxy"
	case status == 407:
		text = "refuses the user and password in mail.proxy"
	}
	return &ProxyError{Proxy: p.String(), Text: strings.TrimSpace(text), Err: errNotConnected}
}

var (
	errNotConnected  = errors.New("wire: the proxy does not connect")
	errConnectReply  = errors.New("this is no reply to CONNECT")
	errConnectLength = errors.New("its reply is too long")
)

// readConnectReply reads a reply up to the empty line and not one byte further,
// since the mail server's greeting may follow at once. It reads byte by byte,
// which for the few hundred of a reply costs nothing beside the round trip.
func readConnectReply(r io.Reader) (status int, phrase string, err error) {
	line, left := "", maxConnectReply
	for n := 0; ; n++ {
		if line, err = readLine(r, &left); err != nil {
			return 0, "", err
		}
		switch {
		case n == 0:
			if status, phrase, err = parseStatus(line); err != nil {
				return 0, "", err
			}
		case line == "":
			return status, phrase, nil
		case !validHeader(line):
			return 0, "", errConnectReply
		}
	}
}

// readLine reads up to CR LF, which it leaves out, and takes what it read from
// left.
func readLine(r io.Reader, left *int) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for {
		if *left == 0 {
			return "", errConnectLength
		}
		*left--
		if _, err := io.ReadFull(r, one); err != nil {
			return "", err
		}
		if one[0] != '\n' {
			line = append(line, one[0])
			continue
		}
		text, ok := strings.CutSuffix(string(line), "\r")
		if !ok || strings.ContainsAny(text, "\r\x00") {
			return "", errConnectReply
		}
		return text, nil
	}
}

// parseStatus reads "HTTP/1.1 200 Connection established". An interim reply is
// refused: nothing asked for one.
func parseStatus(line string) (status int, phrase string, err error) {
	if len(line) < 12 || line[:7] != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' {
		return 0, "", errConnectReply
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return 0, "", errConnectReply
		}
		status = status*10 + int(c-'0')
	}
	if len(line) > 12 && line[12] != ' ' || status < 200 || status > 599 {
		return 0, "", errConnectReply
	}
	return status, clean(line[12:]), nil
}

// validHeader reports whether a line is "name: value" (RFC 9112, section 5).
// Folded lines are refused, as the RFC allows.
func validHeader(line string) bool {
	name, _, ok := strings.Cut(line, ":")
	return ok && name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}
