package oauth

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/secret"
)

const (
	// maxNumbers is how many AADSTS numbers are kept.
	maxNumbers = 8
	// notAnswered is the text for an answer that no authority gives: a page of a
	// proxy, for example.
	notAnswered = "the answer is not one of an authority"
	// maxRetryAfter is the longest that an authority is left alone for.
	maxRetryAfter = 24 * time.Hour
)

// How Microsoft writes numbers and ids in a description.
var (
	aadsts      = regexp.MustCompile(`\bAADSTS([1-9][0-9]{3,8})\b`)
	traceID     = regexp.MustCompile(`\bTrace ID:\s*([0-9A-Za-z-]{8,64})`)
	correlation = regexp.MustCompile(`\bCorrelation ID:\s*([0-9A-Za-z-]{8,64})`)
)

// refusal is the error answer of RFC 6749 5.2 with what Microsoft adds. Members
// are raw, so that one of an odd type does not cost the others.
type refusal struct {
	Error         json.RawMessage `json:"error"`
	Description   json.RawMessage `json:"error_description"`
	Codes         json.RawMessage `json:"error_codes"`
	Suberror      json.RawMessage `json:"suberror"`
	TraceID       json.RawMessage `json:"trace_id"`
	CorrelationID json.RawMessage `json:"correlation_id"`
	Timestamp     json.RawMessage `json:"timestamp"`
}

// failure reads an answer that is no success. sent are the credentials of the
// request.
func failure(host string, resp *http.Response, body []byte, now time.Time, sent []secret.Value) *Error {
	e := &Error{Stage: StageToken, Status: resp.StatusCode, Host: host, RetryAfter: retryAfter(resp.Header.Get("Retry-After"), now)}
	var r refusal
	err := json.Unmarshal(body, &r)
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		e.Text = "the authority sends the request elsewhere, which is never followed"
		return e
	case err != nil:
		e.Text = notAnswered
		return e
	}
	e.Code, e.Suberror = text(r.Error), text(r.Suberror)
	said := text(r.Description)
	if said == "" {
		said = message(r.Error)
	}
	e.Numbers = numbers(r.Codes)
	e.TraceID, e.CorrelationID = text(r.TraceID), text(r.CorrelationID)
	e.say(said, sent)
	if e.Code == "" && e.Text == "" {
		e.Text = notAnswered
	}
	if at := scrub(text(r.Timestamp), sent); at != "" && len(at) <= 40 && !strings.Contains(e.Text, at) {
		e.Text = strings.TrimSpace(e.Text + " Timestamp: " + at)
	}
	return e
}

// say takes over a description, and cleans everything that came with it.
func (e *Error) say(said string, sent []secret.Value) {
	r := redactor(sent)
	if word(e.Code) == "" && e.Code != "" {
		// It is no code, but it is what was said.
		said = strings.TrimSpace(e.Code + " " + said)
	}
	e.Code, e.Suberror = word(r.Replace(e.Code)), word(r.Replace(e.Suberror))
	line := r.Replace(said)
	for i, m := range aadsts.FindAllStringSubmatch(line, maxNumbers) {
		n, _ := strconv.Atoi(m[1])
		j := slices.Index(e.Numbers, n)
		switch {
		case i == 0 && j > 0:
			// The number that the sentence begins with is the main one.
			e.Numbers = slices.Insert(slices.Delete(e.Numbers, j, j+1), 0, n)
		case i == 0 && j < 0:
			e.Numbers = slices.Insert(e.Numbers, 0, n)
		case j < 0:
			e.Numbers = append(e.Numbers, n)
		}
	}
	e.Numbers = e.Numbers[:min(len(e.Numbers), maxNumbers)]
	e.TraceID, e.CorrelationID = word(r.Replace(e.TraceID)), word(r.Replace(e.CorrelationID))
	if m := traceID.FindStringSubmatch(line); m != nil {
		fill(&e.TraceID, m[1])
	}
	if m := correlation.FindStringSubmatch(line); m != nil {
		fill(&e.CorrelationID, m[1])
	}
	e.Text = scrub(said, sent)
}

// Refused reads the refusal that a person was sent back with (RFC 6749
// 4.1.2.1), and returns nil where there is none. host is the authority's.
func Refused(q url.Values, host string) *Error {
	if !q.Has("error") {
		return nil
	}
	e := &Error{Stage: StageAuthorize, Host: host, Code: q.Get("error"), Suberror: q.Get("error_subcode")}
	e.say(q.Get("error_description"), []secret.Value{secret.New(q.Get("code")), secret.New(q.Get("state"))})
	if e.Code == "" && e.Text == "" {
		e.Text = "the authority gave no reason"
	}
	return e
}

// text returns a JSON string, or "" for everything else.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// message returns the words of an error in the form of Google's other
// interfaces: an object.
func message(raw json.RawMessage) string {
	var o struct {
		Message json.RawMessage `json:"message"`
	}
	if json.Unmarshal(raw, &o) != nil {
		return ""
	}
	return text(o.Message)
}

// numbers reads error_codes: numbers, or strings of digits.
func numbers(raw json.RawMessage) []int {
	var members []json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	var found []int
	for _, m := range members[:min(len(members), maxNumbers)] {
		n, err := strconv.Atoi(strings.Trim(string(m), `"`))
		if err == nil && n > 0 && n < 1_000_000_000 && !slices.Contains(found, n) {
			found = append(found, n)
		}
	}
	return found
}

// retryAfter reads the header of RFC 9110 10.2.3: seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
