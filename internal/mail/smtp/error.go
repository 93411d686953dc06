package smtp

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is the sort of an error.
type Kind string

// The kinds.
const (
	// KindReply: the server answered with an error code.
	KindReply Kind = "reply"
	// KindProtocol: the server broke the protocol.
	KindProtocol Kind = "protocol"
	// KindInjection: the server, or somebody between, spoke before it was
	// asked at a point where that means an attack.
	KindInjection Kind = "injection"
	// KindNetwork: resolving, connecting or talking failed.
	KindNetwork Kind = "network"
	// KindTimeout: the server took too long.
	KindTimeout Kind = "timeout"
	// KindTLS: the handshake or the verification failed.
	KindTLS Kind = "tls"
	// KindPolicy: the server does not offer what was asked for, so the client
	// stopped by itself.
	KindPolicy Kind = "policy"
	// KindInput: the letter or the settings cannot be sent like this.
	KindInput Kind = "input"
	// KindCancelled: the caller gave up.
	KindCancelled Kind = "cancelled"
)

// ErrWithheld is the cause of the error of a letter that BeforeContent withheld,
// and of those that could not be begun because of that.
var ErrWithheld = errors.New("the letter is not to be sent any more")

// Error tells at which step what went wrong. It never holds a credential.
type Error struct {
	Stage Stage
	Kind  Kind
	// Code, Enhanced and Text are the server's reply where there was one: the
	// three digits, the enhanced code (RFC 3463) or "", and the text in one
	// line without control characters.
	Code     int
	Enhanced string
	Text     string
	// After is how long the server wants to be left alone; 0 where it did not
	// say.
	After time.Duration
	// Bearer tells that the connection signs in with a token.
	Bearer bool
	// Uncertain tells that the server may have taken the letter all the same.
	Uncertain bool
	// Err is the cause below.
	Err error
}

// Error describes the failure for a log.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "smtp: %s: ", e.Stage)
	switch {
	case e.Code != 0:
		fmt.Fprintf(&b, "%d ", e.Code)
		if e.Enhanced != "" {
			b.WriteString(e.Enhanced + " ")
		}
		b.WriteString(e.Text)
	case e.Text != "":
		b.WriteString(e.Text)
	}
	if e.Err != nil {
		if e.Code != 0 || e.Text != "" {
			b.WriteString(": ")
		}
		b.WriteString(e.Err.Error())
	}
	if e.Uncertain {
		b.WriteString(" (the server may have the letter)")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Reply returns what the server said as one line, or "".
func (e *Error) Reply() string {
	if e.Code == 0 {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", e.Code, strings.TrimSpace(e.Enhanced+" "+e.Text)))
}

func policy(stage Stage, text string) *Error {
	return &Error{Stage: stage, Kind: KindPolicy, Text: text}
}

func input(stage Stage, text string) *Error {
	return &Error{Stage: stage, Kind: KindInput, Text: text}
}
