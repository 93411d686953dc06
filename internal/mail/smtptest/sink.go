package smtptest

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Hangup, as an answer of SinkConfig.Answer, closes the connection in place of
// a reply.
const Hangup = "hang up"

// Asked is a command that a Sink is about to answer.
type Asked struct {
	// N numbers the connections from 1.
	N int
	// Verb is the command in upper case; "CONNECT" stands for the greeting,
	// "CONTENT" for the end of a letter.
	Verb string
	// Line is the command; empty for CONNECT and CONTENT.
	Line string
}

// SinkConfig says what a Sink offers.
type SinkConfig struct {
	// Certificate is shown in TLS; nil means that there is none.
	Certificate *tls.Certificate
	// Implicit begins with TLS; else STARTTLS is offered.
	Implicit bool
	// MinTLS is the oldest version that is taken; 0 means the library's usual.
	MinTLS uint16
	// Mechanisms are offered inside TLS, or in clear where there is no
	// certificate. With at least one of them, a sign-in is wanted before mail.
	Mechanisms []string
	// Login and Password are who may sign in.
	Login, Password string
	// Announce are further lines of the reply to EHLO. BDAT is obeyed whether
	// CHUNKING is among them or not.
	Announce []string
	// Lax takes "." between bare line feeds for the end of a letter, as some
	// servers did.
	Lax bool
	// Answer, if not nil, may return another reply than the usual one; "" stays
	// with the usual. A letter is kept unless CONTENT is answered with an error.
	Answer func(Asked) string
}

// Letter is what a Sink took.
type Letter struct {
	// Connection is the number of the connection, Login who was signed in.
	Connection int
	Login      string
	Encrypted  bool
	From       string
	To         []string
	// Params are those of MAIL.
	Params []string
	Data   []byte
	// QueueID is the id under which the usual reply says that it was taken.
	QueueID string
}

// Sink is a well-behaved server that keeps the letters it takes.
type Sink struct {
	*Server
	cfg SinkConfig

	mu       sync.Mutex
	password string
	letters  []Letter
	taken    int
	arrived  chan struct{}
}

// StartSink returns a running Sink. It stops when the test ends.
func StartSink(t testing.TB, cfg SinkConfig) *Sink {
	t.Helper()
	s := &Sink{cfg: cfg, password: cfg.Password, arrived: make(chan struct{}, 1)}
	s.Server = Start(t, Script{s.serve})
	return s
}

// SetPassword changes the password that lets in from now on.
func (s *Sink) SetPassword(password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password = password
}

func (s *Sink) secret() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.password
}

// Letters returns what was taken so far.
func (s *Sink) Letters() []Letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.letters)
}

// Wait returns the letters as soon as there are n of them.
func (s *Sink) Wait(t testing.TB, n int) []Letter {
	t.Helper()
	patience := time.NewTimer(settle)
	defer patience.Stop()
	for {
		if got := s.Letters(); len(got) >= n {
			return got
		}
		select {
		case <-s.arrived:
		case <-patience.C:
			t.Fatalf("smtptest: %d letters arrived, want %d", len(s.Letters()), n)
		}
	}
}

// keep keeps a letter and returns the id that the usual reply names it by.
func (s *Sink) keep(l Letter) (queueID string) {
	s.mu.Lock()
	s.taken++
	l.QueueID = fmt.Sprintf("%04X", s.taken)
	s.letters = append(s.letters, l)
	s.mu.Unlock()
	select {
	case s.arrived <- struct{}{}:
	default:
	}
	return l.QueueID
}

// Drain returns the letters taken since the last time and forgets them, and what
// was said on connections that have ended: a server that runs for long would
// grow else.
func (s *Sink) Drain() []Letter {
	s.forget()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.letters
	s.letters = nil
	return all
}

// session is one connection of a Sink.
type session struct {
	*Talk
	sink  *Sink
	login string
	// mail is set between MAIL and the end of the letter.
	mail bool
	next Letter
}

func (s *Sink) serve(t *Talk) error {
	t.lax = s.cfg.Lax
	c := &session{Talk: t, sink: s}
	if s.cfg.Implicit {
		if err := c.encrypt(); err != nil {
			return err
		}
	}
	if err := c.answer("CONNECT", "", "220 sink.example.org ESMTP"); err != nil {
		return err
	}
	for {
		line, err := t.Line()
		if err != nil {
			return err
		}
		if err := c.obey(line); err != nil {
			return err
		}
	}
}

func (c *session) encrypt() error {
	return Handshake(&tls.Config{Certificates: []tls.Certificate{*c.sink.cfg.Certificate}, MinVersion: c.sink.cfg.MinTLS})(c.Talk)
}

// answer says the usual reply, or what the test wants in its place. The error
// is io.EOF when the connection is to end.
func (c *session) answer(verb, line string, usual ...string) error {
	if other := c.asked(verb, line); other == Hangup {
		return Drop()(c.Talk)
	} else if other != "" {
		usual = strings.Split(other, "\n")
	}
	return c.Say(usual...)
}

func (c *session) asked(verb, line string) string {
	if c.sink.cfg.Answer == nil {
		return ""
	}
	return c.sink.cfg.Answer(Asked{c.N, verb, line})
}

func (c *session) obey(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	switch verb {
	case "EHLO":
		return c.answer(verb, line, reply(250, append([]string{"sink.example.org"}, c.announce()...))...)
	case "STARTTLS":
		return c.startTLS(line)
	case "AUTH":
		return c.signIn(line, strings.Fields(rest))
	case "MAIL", "RCPT":
		return c.envelope(verb, line, rest)
	case "DATA":
		return c.data(line)
	case "BDAT":
		return c.chunk(line, strings.Fields(rest))
	case "HELO", "RSET", "NOOP":
		c.mail = false
		return c.answer(verb, line, "250 2.0.0 ok")
	case "QUIT":
		_ = c.answer(verb, line, "221 2.0.0 bye")
		return io.EOF
	}
	return c.answer(verb, line, "500 5.5.1 what?")
}

func (c *session) announce() []string {
	cfg := c.sink.cfg
	lines := slices.Clone(cfg.Announce)
	if cfg.Certificate != nil && !c.Encrypted() {
		return append(lines, "STARTTLS")
	}
	if len(cfg.Mechanisms) > 0 {
		lines = append(lines, "AUTH "+strings.Join(cfg.Mechanisms, " "))
	}
	return lines
}

func (c *session) startTLS(line string) error {
	if c.sink.cfg.Certificate == nil || c.Encrypted() {
		return c.answer("STARTTLS", line, "502 5.5.1 not here")
	}
	if other := c.asked("STARTTLS", line); other != "" {
		return c.Say(other)
	}
	if err := c.Say("220 go ahead"); err != nil {
		return err
	}
	return c.encrypt()
}

func (c *session) envelope(verb, line, rest string) error {
	path, params, ok := parsePath(rest)
	switch {
	case !ok:
		return c.answer(verb, line, "501 5.5.4 what?")
	case verb == "RCPT" && !c.mail:
		return c.answer(verb, line, "503 5.5.1 MAIL first")
	case len(c.sink.cfg.Mechanisms) > 0 && c.login == "":
		return c.answer(verb, line, "530 5.7.0 Authentication required")
	}
	if other := c.asked(verb, line); other != "" && !strings.HasPrefix(other, "2") {
		return c.say(other)
	}
	if verb == "MAIL" {
		c.mail, c.next = true, Letter{Connection: c.N, Login: c.login, Encrypted: c.Encrypted(), From: path, Params: params}
	} else {
		c.next.To = append(c.next.To, path)
	}
	return c.Say("250 2.1.0 ok")
}

// say says what a test wants to be said, once it was asked.
func (c *session) say(text string) error {
	if text == Hangup {
		return Drop()(c.Talk)
	}
	return c.Say(strings.Split(text, "\n")...)
}

// parsePath reads "FROM:<path> params" or "TO:<path> params".
func parsePath(rest string) (path string, params []string, ok bool) {
	_, rest, ok = strings.Cut(rest, ":<")
	if !ok {
		return "", nil, false
	}
	path, rest, ok = strings.Cut(rest, ">")
	return path, strings.Fields(rest), ok
}

func (c *session) data(line string) error {
	if !c.mail || len(c.next.To) == 0 {
		return c.answer("DATA", line, "503 5.5.1 RCPT first")
	}
	if other := c.asked("DATA", line); other != "" {
		return c.say(other)
	}
	if err := c.Say("354 go ahead"); err != nil {
		return err
	}
	data, err := c.Content()
	if err != nil {
		return err
	}
	c.next.Data = data
	return c.whole()
}

// chunk takes a chunk (RFC 3030), whose octets come whatever the answer is.
func (c *session) chunk(line string, words []string) error {
	size := 0
	if len(words) > 0 {
		size, _ = strconv.Atoi(words[0])
	}
	chunk := make([]byte, size)
	if _, err := io.ReadFull(c.r, chunk); err != nil {
		return err
	}
	if !c.mail || len(c.next.To) == 0 {
		return c.answer("BDAT", line, "503 5.5.1 RCPT first")
	}
	c.next.Data = append(c.next.Data, chunk...)
	if len(words) < 2 {
		return c.answer("BDAT", line, "250 2.0.0 go on")
	}
	return c.whole()
}

// whole answers a letter that has come whole.
func (c *session) whole() error {
	c.mail = false
	other := c.asked("CONTENT", "")
	queueID := ""
	if other == "" || other == Hangup || strings.HasPrefix(other, "2") {
		queueID = c.sink.keep(c.next)
	}
	if other != "" {
		return c.say(other)
	}
	return c.Say("250 2.0.0 Ok: queued as " + queueID)
}

// challenge says a challenge and returns the decoded answer; false when the
// client took the exchange back or said what is no base64.
func (c *session) challenge(text string) (string, bool, error) {
	if err := c.Say("334 " + base64.StdEncoding.EncodeToString([]byte(text))); err != nil {
		return "", false, err
	}
	line, err := c.Line()
	if err != nil {
		return "", false, err
	}
	got, err := base64.StdEncoding.DecodeString(line)
	return string(got), err == nil && line != "*", nil
}
