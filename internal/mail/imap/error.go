package imap

import (
	"strings"
	"unicode"
)

// Kind is the sort of a failure.
type Kind string

// The kinds of failures.
const (
	// KindNetwork: no connection, a broken one, or no answer in time.
	KindNetwork Kind = "network"
	// KindTLS: the handshake failed; Err tells why.
	KindTLS Kind = "tls"
	// KindRefused: the server said no.
	KindRefused Kind = "refused"
	// KindMissing: the server does not offer what is needed.
	KindMissing Kind = "missing"
	// KindProtocol: the server does not speak IMAP as it should.
	KindProtocol Kind = "protocol"
	// KindInput: what was asked for cannot be sent.
	KindInput Kind = "input"
)

// Stage is the step at which something failed.
type Stage string

// The stages.
const (
	StageConnect  Stage = "connect"
	StageGreeting Stage = "greeting"
	StageTLS      Stage = "tls"
	StageSignIn   Stage = "sign in"
	StageOpen     Stage = "open"
	StageList     Stage = "list"
	StageFetch    Stage = "fetch"
	StageStore    Stage = "store"
	StageMove     Stage = "move"
)

// Error is a failure with its facts.
type Error struct {
	Stage Stage
	Kind  Kind
	// Code is the response code in capitals where the server gave one, such as
	// "AUTHENTICATIONFAILED" (RFC 5530).
	Code string
	// Text is what the server said, cleaned and shortened, or what is wrong.
	Text string
	Err  error
}

// Error returns the facts in one line.
func (e *Error) Error() string {
	text := "imap: " + string(e.Stage) + ": " + string(e.Kind)
	if e.Text != "" {
		text += ": " + e.Text
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// maxSaid bounds what is repeated of a server's words, in runes.
const maxSaid = 300

// clean makes a server's words harmless: one line, no control or formatting
// characters, bounded.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return '·'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > maxSaid {
		return string(r[:maxSaid]) + "…"
	}
	return strings.TrimSpace(s)
}
