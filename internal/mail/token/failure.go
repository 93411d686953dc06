package token

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/mail/oauth"
)

const (
	// longestWait bounds what an authority may ask for: a wrong number must not
	// stop mail for days.
	longestWait = time.Hour
	// refusalWait is how long an authority that said no is left alone: long
	// enough that many letters make few requests, short enough that a person who
	// has mended it need not wait.
	refusalWait = 30 * time.Second
)

// passes reports whether a failure may go by itself.
func passes(e *oauth.Error) bool {
	return e.Stage == oauth.StageReach || e.Status >= http.StatusInternalServerError || e.Status == http.StatusTooManyRequests ||
		e.Code == "temporarily_unavailable" || e.Code == "server_error"
}

// wait is how long nobody asks after a failure, the nth in a row.
func wait(e *oauth.Error, n int64) time.Duration {
	d := refusalWait
	if passes(e) {
		waits := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute}
		d = waits[min(max(n, 1), int64(len(waits)))-1]
	}
	return min(max(d, e.RetryAfter), longestWait)
}

// said is an oauth.Error as a row keeps it, for those who come before retry_at.
type said struct {
	Stage       oauth.Stage `json:"stage"`
	Code        string      `json:"code,omitempty"`
	Numbers     []int       `json:"numbers,omitempty"`
	Suberror    string      `json:"suberror,omitempty"`
	Text        string      `json:"text,omitempty"`
	Trace       string      `json:"trace,omitempty"`
	Correlation string      `json:"correlation,omitempty"`
	Status      int         `json:"status,omitempty"`
	Host        string      `json:"host,omitempty"`
	Cause       string      `json:"cause,omitempty"`
}

// writeFailure returns what a row keeps of a failure.
func writeFailure(e *oauth.Error) string {
	s := said{e.Stage, e.Code, e.Numbers, e.Suberror, e.Text, e.TraceID, e.CorrelationID, e.Status, e.Host, ""}
	if e.Err != nil {
		s.Cause = strings.ToValidUTF8(e.Err.Error(), "?")
	}
	b, err := json.Marshal(s)
	if err != nil {
		return ""
	}
	return string(b)
}

// failed returns the failure that a row notes.
func (r row) failed(now time.Time) *oauth.Error {
	var s said
	if json.Unmarshal([]byte(r.failure), &s) != nil || s.Stage == "" {
		// Somebody else failed in words that this version cannot read.
		s = said{Stage: oauth.StageReach}
	}
	e := &oauth.Error{
		Stage: s.Stage, Code: s.Code, Numbers: s.Numbers, Suberror: s.Suberror, Text: s.Text, TraceID: s.Trace, CorrelationID: s.Correlation,
		Status: s.Status, Host: s.Host, RetryAfter: r.retryAt.Sub(now),
	}
	if s.Cause != "" {
		e.Err = errors.New(s.Cause)
	}
	return e
}
