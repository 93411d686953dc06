package oauth

import (
	"fmt"
	"strings"
	"time"
)

// Stage is the part of the conversation in which something went wrong.
type Stage string

// The stages.
const (
	// StageSettings: nothing was asked, because the settings or the client's
	// credential cannot be used.
	StageSettings Stage = "settings"
	// StageReach: the authority could not be reached, or its TLS not be
	// verified.
	StageReach Stage = "reach"
	// StageAuthorize: the person came back without a code.
	StageAuthorize Stage = "authorize"
	// StageToken: the authority answered a request for a token.
	StageToken Stage = "token"
)

// Error tells what an authority said, or why it said nothing. It never holds a
// credential or a token.
type Error struct {
	Stage Stage
	// Code is the error of RFC 6749 5.2 or 4.1.2.1, for example
	// "invalid_grant". What an authority does is decided by it alone. Empty
	// where there was no such answer.
	Code string
	// Numbers are Microsoft's AADSTS numbers, the main one first. They are for
	// texts.
	Numbers []int
	// Suberror is Microsoft's further word, for example "consent_required".
	Suberror string
	// Text is the description in one line, scrubbed and shortened.
	Text string
	// TraceID and CorrelationID are what support asks for.
	TraceID, CorrelationID string
	// Status is the HTTP status; 0 without an answer.
	Status int
	// RetryAfter is how long the authority wants to be left alone; 0 where it
	// did not say.
	RetryAfter time.Duration
	// Host is the authority's.
	Host string
	// Err is the cause below.
	Err error
}

// Error describes the failure for a log.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "oauth: %s: %s", e.Stage, e.Said())
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Said returns what the authority said as one line with the ids that support
// asks for, or "".
func (e *Error) Said() string {
	var parts []string
	if e.Status != 0 {
		parts = append(parts, fmt.Sprint(e.Status))
	}
	for _, s := range []string{e.Code, e.Text} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if e.TraceID != "" && !strings.Contains(e.Text, e.TraceID) {
		parts = append(parts, "Trace ID: "+e.TraceID)
	}
	if e.CorrelationID != "" && !strings.Contains(e.Text, e.CorrelationID) {
		parts = append(parts, "Correlation ID: "+e.CorrelationID)
	}
	return strings.Join(parts, " ")
}
