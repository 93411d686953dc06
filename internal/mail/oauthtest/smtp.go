package oauthtest

import (
	"cmp"
	"crypto/tls"
	"encoding/base64"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/sealpost/sealpost/internal/mail/smtptest"
)

// voice is how a mail server speaks.
type voice struct {
	// via is what letters are marked with.
	via                      string
	greeting, hello          string
	announce, mechanisms     []string
	ready, sender, recipient string
	data, done               string
	// unknown is for mechanisms that are not offered, early for mail without a
	// sign-in, clear for a sign-in without TLS.
	unknown, early, clear string
	maxRecipients         int
	signIn                func(*session, token) string
	password              func(*session, []string) string
	content               func(*session) string
}

// Names and ids as Microsoft writes them; the brackets are what support asks
// for.
const (
	frontDoor = "AM0PR04CA0001.outlook.office365.com"
	serverID  = "[AM0PR04CA0001.eurprd04.prod.outlook.com {time} 08DE2B5C4C1D2E3F]"
	backEnd   = "[Hostname=AM0PR04MB0001.eurprd04.prod.outlook.com]"
)

var exchangeVoice = voice{
	via:      "exchange",
	greeting: "220 " + frontDoor + " Microsoft ESMTP MAIL Service ready at {date} [08DE2B5C4C1D2E3F]",
	hello:    frontDoor + " Hello [127.0.0.1]",
	announce: []string{
		"SIZE 157286400", "PIPELINING", "DSN", "ENHANCEDSTATUSCODES", "{auth}", "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8",
	},
	mechanisms: []string{"LOGIN", "XOAUTH2"},
	ready:      "220 2.0.0 SMTP server ready", sender: "250 2.1.0 Sender OK", recipient: "250 2.1.5 Recipient OK",
	data: "354 Start mail input; end with <CRLF>.<CRLF>", done: "250 2.0.0 OK {id} " + backEnd,
	unknown: "504 5.7.4 Unrecognized authentication type " + serverID,
	early:   "530 5.7.57 Client not authenticated to send mail. " + serverID,
	clear:   "504 5.7.4 Unrecognized authentication type " + serverID,
	signIn:  (*session).exchangeSignIn, password: (*session).exchangePassword, content: (*session).exchangeContent,
	maxRecipients: 500,
}

const gsmtp = " a640c23a62f3a-b76549e8f3asm1234567866b.12 - gsmtp"

var gmailVoice = voice{
	via:        "gmail",
	greeting:   "220 smtp.gmail.com ESMTP" + gsmtp,
	hello:      "smtp.gmail.com at your service, [127.0.0.1]",
	announce:   []string{"SIZE 35882577", "8BITMIME", "{auth}", "ENHANCEDSTATUSCODES", "PIPELINING", "CHUNKING", "SMTPUTF8"},
	mechanisms: []string{"LOGIN", "PLAIN", "XOAUTH2", "PLAIN-CLIENTTOKEN", "OAUTHBEARER", "XOAUTH"},
	ready:      "220 2.0.0 Ready to start TLS", sender: "250 2.1.0 OK" + gsmtp, recipient: "250 2.1.5 OK" + gsmtp,
	data: "354 Go ahead" + gsmtp, done: "250 2.0.0 OK 1764000000" + gsmtp,
	unknown: "504 5.7.4 Unrecognized Authentication Type" + gsmtp,
	early:   "530-5.7.0 Authentication Required. For more information, go to\n530 5.7.0  https://support.google.com/accounts/troubleshooter/2402620" + gsmtp,
	clear:   "530-5.7.0 Must issue a STARTTLS command first. For more information, go to\n530 5.7.0  https://support.google.com/a/answer/3221692" + gsmtp,
	signIn:  (*session).gmailSignIn, password: (*session).gmailPassword, content: (*session).gmailContent,
	maxRecipients: 100,
}

// session is one connection of a mail server.
type session struct {
	*smtptest.Talk
	s *Stand
	v voice
	// user is whose mailbox is signed in, access the token.
	user   string
	access *access
	mail   bool
	next   Letter
}

// speak serves one connection.
func (s *Stand) speak(v voice) smtptest.Step {
	return func(t *smtptest.Talk) error {
		c := &session{Talk: t, s: s, v: v}
		defer c.leave()
		if err := c.answer("CONNECT", v.greeting); err != nil {
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
}

// answer says what a test wants to be said to a command, else the usual reply.
func (c *session) answer(verb, usual string) error {
	return c.reply(cmp.Or(c.s.said(verb), usual))
}

func (c *session) reply(text string) error {
	if text == smtptest.Hangup {
		return smtptest.Drop()(c.Talk)
	}
	now := c.s.now().UTC()
	text = strings.NewReplacer("{time}", now.Format("2006-01-02T15:04:05.000Z"), "{date}", now.Format("Mon, 2 Jan 2006 15:04:05 -0700")).Replace(text)
	return c.Say(strings.Split(text, "\n")...)
}

func (c *session) obey(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	switch verb {
	case "EHLO", "HELO":
		c.mail = false
		return c.hello(verb)
	case "STARTTLS":
		return c.startTLS()
	case "AUTH":
		return c.auth(strings.Fields(rest))
	case "MAIL", "RCPT":
		return c.envelope(verb, rest)
	case "DATA":
		return c.takeData()
	case "RSET":
		c.mail = false
		return c.answer(verb, "250 2.0.0 Resetting")
	case "NOOP":
		return c.answer(verb, "250 2.0.0 OK")
	case "QUIT":
		_ = c.answer(verb, "221 2.0.0 Service closing transmission channel")
		return io.EOF
	}
	return c.answer(verb, "500 5.3.3 Unrecognized command '"+verb+"'")
}

func (c *session) hello(verb string) error {
	if verb == "HELO" {
		return c.answer(verb, "250 "+c.v.hello)
	}
	lines := []string{c.v.hello}
	for _, l := range c.v.announce {
		switch {
		case l == "{auth}" && c.Encrypted():
			l = "AUTH " + strings.Join(c.v.mechanisms, " ")
		case l == "{auth}":
			l = "STARTTLS"
		}
		lines = append(lines, l)
	}
	for i, l := range lines[:len(lines)-1] {
		lines[i] = "250-" + l
	}
	lines[len(lines)-1] = "250 " + lines[len(lines)-1]
	return c.answer(verb, strings.Join(lines, "\n"))
}

func (c *session) startTLS() error {
	if c.Encrypted() {
		return c.answer("STARTTLS", "503 5.5.2 Only one STARTTLS command is allowed")
	}
	if other := c.s.said("STARTTLS"); other != "" {
		return c.reply(other)
	}
	if err := c.reply(c.v.ready); err != nil {
		return err
	}
	return smtptest.Handshake(&tls.Config{Certificates: []tls.Certificate{c.s.leaf}})(c.Talk)
}

func (c *session) envelope(verb, rest string) error {
	_, path, ok := strings.Cut(rest, ":<")
	path, params, closed := strings.Cut(path, ">")
	switch {
	case !c.Encrypted() || c.access == nil && c.user == "":
		return c.answer(verb, c.v.early)
	case !ok || !closed || strings.ContainsAny(path, " <"):
		return c.answer(verb, "501 5.1.7 Invalid address "+serverID)
	case verb == "RCPT" && !c.mail:
		return c.answer(verb, "503 5.5.2 Need mail command "+serverID)
	case verb == "RCPT" && len(c.next.To) >= c.v.maxRecipients:
		return c.answer(verb, "452 4.5.3 Too many recipients "+serverID)
	case verb == "MAIL" && tooLarge(params):
		return c.answer(verb, "552 5.3.4 Message size exceeds fixed maximum message size")
	}
	usual := c.v.recipient
	if verb == "MAIL" {
		usual = c.v.sender
	}
	reply := cmp.Or(c.s.said(verb), usual)
	if strings.HasPrefix(reply, "2") {
		if verb == "MAIL" {
			c.mail, c.next = true, Letter{Via: c.v.via, Login: c.user, From: path}
		} else {
			c.next.To = append(c.next.To, path)
		}
	}
	return c.reply(reply)
}

// tooLarge reads SIZE (RFC 1870).
func tooLarge(params string) bool {
	_, size, _ := strings.Cut(strings.ToUpper(params), "SIZE=")
	n, _ := strconv.Atoi(strings.Fields(size + " 0")[0])
	return n > 157_286_400
}

func (c *session) takeData() error {
	if !c.mail || len(c.next.To) == 0 {
		return c.answer("DATA", "503 5.5.2 Need rcpt command "+serverID)
	}
	if other := c.s.said("DATA"); other != "" {
		return c.reply(other)
	}
	if err := c.reply(c.v.data); err != nil {
		return err
	}
	raw, err := c.Content()
	if err != nil {
		return err
	}
	c.mail, c.next.Raw = false, raw
	return c.reply(c.judge())
}

// judge takes the letter or says why not.
func (c *session) judge() string {
	other := c.s.said("CONTENT")
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if other != "" && other != smtptest.Hangup && !strings.HasPrefix(other, "2") {
		return other
	}
	if reply := c.v.content(c); reply != "" {
		return reply
	}
	c.s.usage(c.user).count(c.s.now(), len(c.next.To))
	c.s.take(c.next)
	return strings.Replace(cmp.Or(other, c.v.done), "{id}", "<"+chance(9)+"@AM0PR04MB0001.eurprd04.prod.outlook.com>", 1)
}

// enter notes that a mailbox is signed in on this connection. The lock is held.
func (c *session) enter(user string, a *access) {
	c.user, c.access = user, a
	c.s.usage(user).connections++
}

func (c *session) leave() {
	if c.user == "" {
		return
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.usage(c.user).connections--
}

// token is what a client says in XOAUTH2 or OAUTHBEARER.
type token struct{ user, value string }

// auth runs AUTH (RFC 4954).
func (c *session) auth(words []string) error {
	if !c.Encrypted() {
		return c.answer("AUTH", c.v.clear)
	}
	mechanism := ""
	if len(words) > 0 {
		mechanism = strings.ToUpper(words[0])
	}
	switch {
	case !slices.Contains(c.v.mechanisms, mechanism) || strings.HasPrefix(mechanism, "PLAIN-") || mechanism == "XOAUTH":
		return c.answer("AUTH", c.v.unknown)
	case c.user != "":
		return c.answer("AUTH", "503 5.5.2 Already authenticated")
	}
	said, ok, err := c.initial(mechanism, words[1:])
	if err != nil {
		return err
	}
	if !ok {
		return c.answer("AUTH", "501 5.5.2 Cannot decode response")
	}
	if other := c.s.said("AUTH"); other != "" {
		return c.reply(other)
	}
	if mechanism == "XOAUTH2" || mechanism == "OAUTHBEARER" {
		return c.bearer(mechanism, said[0])
	}
	return c.reply(c.v.password(c, said))
}

// initial returns what the client says: one message, or for LOGIN a name and a
// password.
func (c *session) initial(mechanism string, words []string) ([]string, bool, error) {
	var said []string
	prompts := []string{""}
	if mechanism == "LOGIN" {
		prompts = []string{"Username:", "Password:"}
	}
	for i, prompt := range prompts {
		var text string
		if i == 0 && len(words) > 0 {
			text = words[0]
		} else {
			if err := c.Say("334 " + base64.StdEncoding.EncodeToString([]byte(prompt))); err != nil {
				return nil, false, err
			}
			line, err := c.Line()
			if err != nil {
				return nil, false, err
			}
			text = line
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil || text == "*" {
			return nil, false, nil
		}
		said = append(said, string(b))
	}
	c.s.sees("smtp:"+c.v.via, said...)
	return said, true, nil
}

// bearer looks at a token and says how the sign-in ends. Gmail says why not
// before it refuses.
func (c *session) bearer(mechanism, said string) error {
	reply := c.v.signIn(c, readBearer(mechanism, said))
	if strings.HasPrefix(reply, "2") || c.v.via != "gmail" {
		return c.reply(reply)
	}
	const why = `{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`
	if err := c.Say("334 " + base64.StdEncoding.EncodeToString([]byte(why))); err != nil {
		return err
	}
	line, err := c.Line()
	if err != nil {
		return err
	}
	if want := map[string]string{"XOAUTH2": "", "OAUTHBEARER": "AQ=="}[mechanism]; line != want {
		return c.reply("501 5.5.2 Cannot decode response" + gsmtp)
	}
	return c.reply(reply)
}

// readBearer reads the messages of XOAUTH2 and of RFC 7628, strictly: of what
// is none comes no token.
func readBearer(mechanism, said string) token {
	const end = "\x01\x01"
	body, ok := strings.CutSuffix(said, end)
	if !ok {
		return token{}
	}
	parts := strings.Split(body, "\x01")
	value, bearer := strings.CutPrefix(parts[len(parts)-1], "auth=Bearer ")
	user, named := strings.CutPrefix(parts[0], "user=")
	fits := len(parts) == 2
	if mechanism == "OAUTHBEARER" {
		user, named = strings.CutPrefix(parts[0], "n,a=")
		user, fits = strings.CutSuffix(user, ",")
		user = strings.NewReplacer("=2C", ",", "=3D", "=").Replace(user)
		for _, p := range parts[1 : len(parts)-1] {
			fits = fits && (strings.HasPrefix(p, "host=") || strings.HasPrefix(p, "port="))
		}
	}
	if !bearer || !named || !fits {
		return token{}
	}
	return token{user, value}
}
