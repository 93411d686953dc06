package smtp

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/secret"
)

const (
	// maxAuthLine is the longest AUTH command with its end: the lines that follow
	// it may be longer, it may not (RFC 4954 4, RFC 5321 4.5.3.1.4). Dovecot
	// refuses one of 6,000 octets, and takes the same words behind it.
	maxAuthLine = 512
	// maxChallenges is how many challenges a sign-in may take: no mechanism here
	// needs more.
	maxChallenges = 2
	// credentials stands in a transcript for what must not.
	credentials = "[credentials]"
)

func (c *Conn) auth(ctx context.Context) error {
	began := time.Now()
	if len(c.caps.Auth) == 0 {
		return policy(StageAuth, "the server offers no sign-in")
	}
	credential := c.cfg.Auth.Credential
	credential.Host, credential.Port = c.cfg.Host, c.cfg.Port
	name, err := credential.Choose(c.caps.Auth, c.cfg.Auth.Mechanism, c.tls)
	if err != nil {
		return &Error{Stage: StageAuth, Kind: KindPolicy, Text: strings.TrimPrefix(err.Error(), "sasl: "), Err: err}
	}
	m, err := sasl.New(name, credential)
	if err != nil {
		return &Error{Stage: StageAuth, Kind: KindInput, Text: strings.TrimPrefix(err.Error(), "sasl: "), Err: err}
	}
	if err := c.exchange(ctx, m); err != nil {
		return err
	}
	c.observe(Event{Stage: StageAuth, Detail: []string{name}, Took: time.Since(began)})
	return nil
}

// exchange runs one SASL exchange (RFC 4954 4).
func (c *Conn) exchange(ctx context.Context, m sasl.Mechanism) error {
	reply, err := c.begin(ctx, m)
	if err != nil {
		return err
	}
	for n := 0; reply.Code == challenge; n++ {
		if n == maxChallenges {
			return c.cancelAuth(ctx, errors.New("the server does not stop asking"))
		}
		asked, err := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.Join(reply.Lines, "")))
		if err != nil {
			return c.cancelAuth(ctx, errors.New("the server's challenge is not base64"))
		}
		answer, err := m.Next(asked)
		if err != nil {
			return c.cancelAuth(ctx, err)
		}
		reply, err = c.say(ctx, StageAuth, c.encode(answer), credentials)
		if err != nil {
			return err
		}
	}
	if reply.Code != 235 {
		return c.authRefused(reply, m)
	}
	if err := m.Done(); err != nil {
		return &Error{Stage: StageAuth, Kind: KindProtocol, Err: err}
	}
	return nil
}

// begin says AUTH, with the initial response in the same line where there is one
// and it fits.
func (c *Conn) begin(ctx context.Context, m sasl.Mechanism) (Reply, error) {
	initial, has, err := m.Start()
	if err != nil {
		return Reply{}, &Error{Stage: StageAuth, Kind: KindInput, Err: err}
	}
	line := "AUTH " + m.Name()
	encoded := c.encode(initial)
	switch {
	case !has:
		return c.say(ctx, StageAuth, line, line)
	case len(line)+1+len(encoded)+2 <= maxAuthLine:
		return c.say(ctx, StageAuth, line+" "+encoded, line+" "+credentials)
	}
	reply, err := c.say(ctx, StageAuth, line, line)
	switch {
	case err == nil && reply.Code == 235:
		return reply, &Error{Stage: StageAuth, Kind: KindProtocol, Err: errors.New("smtp: the server let in who had not said who it is")}
	case err != nil || reply.Code != challenge:
		return reply, err
	}
	return c.say(ctx, StageAuth, encoded, credentials)
}

// authRefused is the server's refusal, with what it said of it before.
func (c *Conn) authRefused(reply Reply, m sasl.Mechanism) *Error {
	e := replyError(StageAuth, reply)
	if r, ok := m.(sasl.Refuser); ok && r.Refusal() != "" {
		e.Text = visible(strings.TrimSpace(e.Text + " (" + c.hide(r.Refusal()) + ")"))
	}
	return e
}

// encode returns what is said for v, and remembers it for hide.
func (c *Conn) encode(v secret.Value) string {
	encoded := base64.StdEncoding.EncodeToString([]byte(v.Reveal()))
	c.keepSecret(encoded)
	return encoded
}

// keepForms remembers a secret as it is and as it looks inside base64, where it
// can stand in three ways.
func (c *Conn) keepForms(s string) {
	if s == "" {
		return
	}
	c.keepSecret(s)
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + s))
		c.keepSecret(text[(shift*8+5)/6 : (shift+len(s))*8/6])
	}
}

// keepSecret remembers what hide is to look for.
func (c *Conn) keepSecret(s string) {
	c.secrets = append(c.secrets, s)
	c.pairs.add(s)
}

// pairs are pairs of neighbouring octets that occur in secrets, a bit for each.
// Most words of a server share no few of them in a row with a secret, which is
// told much quicker than where they share them.
type pairs struct{ bits []uint64 }

func (p *pairs) add(s string) {
	if p.bits == nil {
		p.bits = make([]uint64, 1<<16/64)
	}
	for i := range max(0, len(s)-1) {
		n := uint16(s[i])<<8 | uint16(s[i+1])
		p.bits[n/64] |= 1 << (n % 64)
	}
}

// mayShare reports whether text may have minHidden octets in a row that stand in
// a secret. It errs to that side only.
func (p *pairs) mayShare(text string) bool {
	if p.bits == nil {
		return false
	}
	run := 1
	for i := range max(0, len(text)-1) {
		n := uint16(text[i])<<8 | uint16(text[i+1])
		if p.bits[n/64]&(1<<(n%64)) == 0 {
			run = 1
			continue
		}
		if run++; run >= minHidden {
			return true
		}
	}
	return false
}

// minHidden is the shortest text that hide looks for: a shorter one stands in
// innocent words.
const minHidden = 4

// minTelling is how much of a long credential in one piece tells too much.
const minTelling = 12

// hide takes out of a server's words what was said in the sign-in. Some servers
// repeat what they did not understand.
func (c *Conn) hide(text string) string {
	if !c.pairs.mayShare(text) {
		return text
	}
	for _, s := range c.secrets {
		if len(s) >= minHidden {
			text = strings.ReplaceAll(text, s, credentials)
		}
		// A long one may have been repeated in part, or over several lines.
		if i := sharedPart(text, s); i >= 0 {
			text = text[:i] + credentials
		}
	}
	return text
}

// sharedPart returns where in text a telling piece of s begins, or -1.
func sharedPart(text, s string) int {
	if len(s) <= minTelling {
		return -1
	}
	for i := range max(0, len(text)-minTelling+1) {
		if strings.Contains(s, text[i:i+minTelling]) {
			return i
		}
	}
	return -1
}

// cancelAuth takes an exchange back (RFC 4954 4: a lone "*").
func (c *Conn) cancelAuth(ctx context.Context, cause error) error {
	_, _ = c.say(ctx, StageAuth, "*", "*")
	return &Error{Stage: StageAuth, Kind: KindProtocol, Err: cause}
}
