package imap

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/secret"
)

// maxChallenges bounds an exchange of SASL.
const maxChallenges = 4

// SignIn proves who reads. The strongest mechanism that the server offers is
// taken; a server that offers none gets LOGIN, unless it forbids that.
func (k *Conn) SignIn(ctx context.Context, c sasl.Credential) error {
	if !k.secured {
		return &Error{Stage: StageSignIn, Kind: KindInput, Text: "the connection is not encrypted"}
	}
	var offered []string
	for _, name := range k.caps {
		if m, ok := strings.CutPrefix(name, "AUTH="); ok {
			offered = append(offered, m)
		}
	}
	name, err := c.Choose(offered, "", true)
	switch {
	case err == nil:
		err = k.authenticate(ctx, name, c)
	case c.Token.IsZero() && !k.offers("LOGINDISABLED"):
		err = k.login(ctx, c)
	default:
		return &Error{Stage: StageSignIn, Kind: KindMissing, Text: "the server offers no sign-in that is known here", Err: err}
	}
	if err != nil {
		return err
	}
	// What is offered changes with it (RFC 3501 6.2).
	return k.capability(ctx, StageSignIn)
}

func (k *Conn) authenticate(ctx context.Context, name string, c sasl.Credential) error {
	m, err := sasl.New(name, c)
	if err != nil {
		return &Error{Stage: StageSignIn, Kind: KindInput, Err: err}
	}
	first, has, err := m.Start()
	if err != nil {
		return &Error{Stage: StageSignIn, Kind: KindInput, Err: err}
	}
	text := "AUTHENTICATE " + name
	if has && k.offers("SASL-IR") {
		text += " " + encoded(first)
		has = false
	}
	tag, err := k.send(ctx, StageSignIn, text)
	if err != nil {
		return err
	}
	untagged, challenges := 0, 0
	for {
		line, err := k.line(StageSignIn)
		if err != nil {
			return err
		}
		challenge, more := strings.CutPrefix(line, "+")
		switch {
		case strings.HasPrefix(line, "* "):
			if untagged++; untagged > maxAnswers {
				return k.fault(StageSignIn, "the server answers without an end")
			}
			continue
		case !more:
			rest, ok := strings.CutPrefix(line, tag+" ")
			if !ok {
				return k.fault(StageSignIn, "this is no answer of IMAP")
			}
			if err := k.ended(StageSignIn, rest); err != nil {
				return refusalOf(err, m)
			}
			if err := m.Done(); err != nil {
				return k.fault(StageSignIn, err.Error())
			}
			return nil
		case challenges == maxChallenges:
			return k.fault(StageSignIn, "the server asks without an end")
		}
		challenges++
		reply := first
		if !has {
			b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(challenge))
			if err == nil {
				reply, err = m.Next(b)
			}
			if err != nil {
				k.broken = true
				return &Error{Stage: StageSignIn, Kind: KindProtocol, Text: "the server asks for something else than the sign-in", Err: err}
			}
		}
		has = false
		if err := k.write(StageSignIn, encodedReply(reply)+"\r\n"); err != nil {
			return err
		}
	}
}

// refusalOf adds what a mechanism heard of why it is refused.
func refusalOf(err error, m sasl.Mechanism) error {
	if r, ok := m.(sasl.Refuser); ok && r.Refusal() != "" {
		if e, ok := err.(*Error); ok {
			e.Text = clean(e.Text + " " + r.Refusal())
		}
	}
	return err
}

func encodedReply(v secret.Value) string {
	return base64.StdEncoding.EncodeToString([]byte(v.Reveal()))
}

// encoded is an initial response; an empty one is "=" (RFC 4959 3).
func encoded(v secret.Value) string {
	if v.IsZero() {
		return "="
	}
	return encodedReply(v)
}

// login is the command of RFC 3501 6.2.3. Both arguments go as literals, which
// carry every character.
func (k *Conn) login(ctx context.Context, c sasl.Credential) error {
	// The checks of what can be carried are those of PLAIN.
	if _, err := sasl.New(sasl.Plain, c); err != nil {
		return &Error{Stage: StageSignIn, Kind: KindInput, Err: err}
	}
	tag, err := k.send(ctx, StageSignIn, "LOGIN {"+strconv.Itoa(len(c.Username))+"}")
	if err != nil {
		return err
	}
	password := c.Password.Reveal()
	for _, part := range []string{c.Username + " {" + strconv.Itoa(len(password)) + "}\r\n", password + "\r\n"} {
		if err := k.invited(tag); err != nil {
			return err
		}
		if err := k.write(StageSignIn, part); err != nil {
			return err
		}
	}
	_, err = k.answers(StageSignIn, tag, 0)
	return err
}

// invited waits for the server to ask for a literal.
func (k *Conn) invited(tag string) error {
	for range maxAnswers {
		line, err := k.line(StageSignIn)
		if err != nil {
			return err
		}
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			if err := k.ended(StageSignIn, rest); err != nil {
				return err
			}
			return k.fault(StageSignIn, "the server took a sign-in that was not made")
		}
		if strings.HasPrefix(line, "+") {
			return nil
		}
		if !strings.HasPrefix(line, "* ") {
			return k.fault(StageSignIn, "this is no answer of IMAP")
		}
	}
	return k.fault(StageSignIn, "the server answers without an end")
}
