package smtptest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Script is what a server does on one connection.
type Script []Step

// Step is one thing that a server does. An error ends the script; the server
// then listens until the client goes.
type Step func(*Talk) error

// Then returns the script with further steps behind it.
func (s Script) Then(steps ...Step) Script { return append(append(Script{}, s...), steps...) }

// Talk is one connection of a server.
type Talk struct {
	// N numbers the connections of a server from 1.
	N int

	server *Server
	raw    *tap
	inside *tap
	conn   net.Conn
	r      *bufio.Reader
	ended  chan struct{}
	// lax also takes a dot between bare line feeds for the end of a letter.
	lax bool
}

func newTalk(s *Server, conn net.Conn, n int) *Talk {
	raw := &tap{Conn: conn}
	return &Talk{N: n, server: s, raw: raw, conn: raw, r: bufio.NewReader(raw), ended: make(chan struct{})}
}

// offScript is a client that said something else than the script has.
type offScript struct{ want, got string }

func (o *offScript) Error() string { return fmt.Sprintf("want %s, got %q", o.want, o.got) }

// Say writes lines.
func (t *Talk) Say(lines ...string) error {
	_, err := io.WriteString(t.conn, strings.Join(lines, "\r\n")+"\r\n")
	return err
}

// Line reads a line and returns it without its end.
func (t *Talk) Line() (string, error) {
	line, err := t.r.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

// Encrypted reports whether the connection is inside TLS.
func (t *Talk) Encrypted() bool { return t.inside != nil }

// drain reads until the client goes.
func (t *Talk) drain() { _, _ = io.Copy(io.Discard, t.r) }

// Say is the step that writes lines.
func Say(lines ...string) Step {
	return func(t *Talk) error { return t.Say(lines...) }
}

// Raw writes bytes as they are, in one piece.
func Raw(text string) Step {
	return func(t *Talk) error {
		_, err := io.WriteString(t.conn, text)
		return err
	}
}

// Expect reads a line that must be this one.
func Expect(line string) Step {
	return expect(fmt.Sprintf("%q", line), func(got string) bool { return got == line })
}

// ExpectPrefix reads a line that must begin like this, in upper or lower case.
func ExpectPrefix(prefix string) Step {
	return expect(fmt.Sprintf("%q…", prefix), func(got string) bool {
		return len(got) >= len(prefix) && strings.EqualFold(got[:len(prefix)], prefix)
	})
}

// ExpectMatch reads a line that must match the regular expression.
func ExpectMatch(pattern string) Step {
	re := regexp.MustCompile(pattern)
	return expect("a match of "+pattern, re.MatchString)
}

func expect(want string, fits func(string) bool) Step {
	return func(t *Talk) error {
		got, err := t.Line()
		if err != nil {
			return err
		}
		if !fits(got) {
			return &offScript{want, got}
		}
		return nil
	}
}

// ExpectQuiet wants the client to say nothing for a while, neither in what was
// already read nor on the wire.
func ExpectQuiet(d time.Duration) Step {
	return func(t *Talk) error {
		if early := t.Early(d); early != "" {
			return &offScript{"silence", early}
		}
		return nil
	}
}

// Receive reads n bytes, whatever they are.
func Receive(n int) Step {
	return func(t *Talk) error {
		_, err := io.CopyN(io.Discard, t.r, int64(n))
		return err
	}
}

// Greet says hello and answers EHLO with the given announcements.
func Greet(announce ...string) Step {
	return all(Say("220 mail.example.org ESMTP"), Hello(announce...))
}

// Hello answers EHLO with the given announcements.
func Hello(announce ...string) Step {
	return all(ExpectPrefix("EHLO "), Say(reply(250, append([]string{"mail.example.org"}, announce...))...))
}

// reply returns the lines of a reply.
func reply(code int, texts []string) []string {
	lines := make([]string, len(texts))
	for i, text := range texts {
		mark := "-"
		if i == len(texts)-1 {
			mark = " "
		}
		lines[i] = fmt.Sprintf("%d%s%s", code, mark, text)
	}
	return lines
}

// StartTLS waits for STARTTLS, agrees, and encrypts.
func StartTLS(cert tls.Certificate) Step {
	return all(Expect("STARTTLS"), Say("220 go ahead"), Handshake(&tls.Config{Certificates: []tls.Certificate{cert}}))
}

// Handshake encrypts. A client that breaks the handshake off ends the script.
func Handshake(cfg *tls.Config) Step {
	return func(t *Talk) error {
		conn := tls.Server(buffered{t.raw, t.r}, cfg)
		if err := conn.HandshakeContext(t.server.stopped); err != nil {
			return err
		}
		t.inside = &tap{Conn: conn}
		t.conn, t.r = t.inside, bufio.NewReader(t.inside)
		return nil
	}
}

func all(steps ...Step) Step {
	return func(t *Talk) error {
		for _, s := range steps {
			if err := s(t); err != nil {
				return err
			}
		}
		return nil
	}
}

// Drip writes text one byte at a time with a wait after each.
func Drip(text string, wait time.Duration) Step {
	return func(t *Talk) error {
		tick := time.NewTicker(wait)
		defer tick.Stop()
		for i := range len(text) {
			if _, err := io.WriteString(t.conn, text[i:i+1]); err != nil {
				return err
			}
			select {
			case <-tick.C:
			case <-t.server.stopped.Done():
				return t.server.stopped.Err()
			}
		}
		return nil
	}
}

// Flood writes text again and again until the client goes, or until limit bytes
// are written, and returns then.
func Flood(text string, limit int) Step {
	chunk := []byte(strings.Repeat(text, max(1, 32<<10/len(text))))
	return func(t *Talk) error {
		for n := 0; n < limit; n += len(chunk) {
			if _, err := t.conn.Write(chunk); err != nil {
				return err
			}
		}
		return nil
	}
}

// Garbage writes n bytes that make no sense in any protocol, the same each
// time.
func Garbage(n int) Step {
	noise := make([]byte, n)
	state := uint32(2463534242)
	for i := range noise {
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		noise[i] = byte(state)
	}
	return Raw(string(noise))
}

// Silence says nothing more. What the client says is still read.
func Silence() Step { return func(*Talk) error { return io.EOF } }

// Drop closes the connection in the server's direction, inside TLS without its
// farewell. What the client says afterwards is still read.
func Drop() Step {
	return func(t *Talk) error {
		if c, ok := t.raw.Conn.(*net.TCPConn); ok {
			_ = c.CloseWrite()
		}
		return io.EOF
	}
}

// Reset breaks the connection off so that the client meets an error.
func Reset() Step {
	return func(t *Talk) error {
		if c, ok := t.raw.Conn.(*net.TCPConn); ok {
			_ = c.SetLinger(0)
		}
		_ = t.raw.Close()
		return io.EOF
	}
}

// Trap takes everything that a client gives: any command, any sign-in, any
// letter. EHLO is answered with the given announcements. It is what stands
// behind an attack, for a client to fall into.
func Trap(announce ...string) Step {
	return func(t *Talk) error {
		for {
			line, err := t.Line()
			if err != nil {
				return err
			}
			if err := t.take(line, announce); err != nil {
				return err
			}
		}
	}
}

func (t *Talk) take(line string, announce []string) error {
	words := strings.Fields(strings.ToUpper(line))
	if len(words) == 0 {
		return t.Say("500 5.5.1 what?")
	}
	switch words[0] {
	case "EHLO":
		return t.Say(reply(250, append([]string{"mail.example.org"}, announce...))...)
	case "STARTTLS":
		return t.Say("502 5.5.1 not here")
	case "AUTH":
		return t.takeAuth(words)
	case "DATA":
		if err := t.Say("354 go ahead"); err != nil {
			return err
		}
		if _, err := t.Content(); err != nil {
			return err
		}
		return t.Say("250 2.0.0 Ok: queued as TRAP")
	case "QUIT":
		_ = t.Say("221 2.0.0 bye")
		return io.EOF
	case "HELO", "MAIL", "RCPT", "RSET", "NOOP":
		return t.Say("250 2.0.0 ok")
	}
	return t.Say("500 5.5.1 what?")
}

// takeAuth lets a client say whatever it wants to say.
func (t *Talk) takeAuth(words []string) error {
	prompts := map[string][]string{"LOGIN": {"Username:", "Password:"}, "CRAM-MD5": {"<1.2@mail.example.org>"}}
	if len(words) < 2 {
		return t.Say("501 5.5.4 which?")
	}
	ask := prompts[words[1]]
	if len(words) == 2 && slices.Contains([]string{"PLAIN", "XOAUTH2", "OAUTHBEARER"}, words[1]) {
		ask = []string{""}
	}
	for _, p := range ask {
		if err := t.Say("334 " + base64.StdEncoding.EncodeToString([]byte(p))); err != nil {
			return err
		}
		if _, err := t.Line(); err != nil {
			return err
		}
	}
	return t.Say("235 2.7.0 welcome")
}

// Content reads a letter's content and takes the dots out again (RFC 5321
// 4.5.2).
func (t *Talk) Content() ([]byte, error) {
	var b bytes.Buffer
	for {
		line, err := t.r.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		if string(line) == ".\r\n" || t.lax && string(line) == ".\n" {
			return b.Bytes(), nil
		}
		b.Write(bytes.TrimPrefix(line, []byte(".")))
	}
}

// Early returns what the client says within a while without being asked.
func (t *Talk) Early(d time.Duration) string {
	if err := t.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return ""
	}
	_, _ = t.r.Peek(1)
	early, _ := t.r.Peek(t.r.Buffered())
	_ = t.conn.SetReadDeadline(time.Time{})
	return string(early)
}
