package oauthtest

import (
	_ "embed"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// aadsts holds Microsoft's errors, one a line: number, error, HTTP status,
// suberror, text. A {word} in a text is filled in.
//
//go:embed aadsts.tsv
var aadsts string

// sts is an error of Entra; one of Google's has no number.
type sts struct {
	number, status       int
	code, suberror, text string
	at                   time.Time
	trace, correlation   string
	// page is an error that is shown where it happens: there is no way back.
	page bool
}

var catalogue = sync.OnceValue(func() map[int]sts {
	all := map[int]sts{}
	for line := range strings.Lines(aadsts) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 5 {
			panic("aadsts.tsv: " + line)
		}
		number, errN := strconv.Atoi(f[0])
		status, errS := strconv.Atoi(f[2])
		if errN != nil || errS != nil || all[number].number != 0 {
			panic("aadsts.tsv: " + line)
		}
		all[number] = sts{number: number, code: f[1], status: status, suberror: f[3], text: f[4]}
	}
	return all
})

// sts returns an error of Entra with its words filled in: pairs of name and
// value. What the request tells needs no pair, and what the test wants to go
// wrong has none.
func (s *Stand) sts(r *http.Request, number int, words ...string) *sts {
	e, ok := catalogue()[number]
	if !ok {
		s.t.Errorf("oauthtest: AADSTS%d is not in aadsts.tsv", number)
	}
	now := s.now().UTC().Format(stamp)
	words = append(words, "app", r.FormValue("client_id"), "tenant", r.PathValue("tenant"), "redirect", r.FormValue("redirect_uri"),
		"scope", r.FormValue("scope"), "grant", r.FormValue("grant_type"), "method", r.Method,
		"name", "Sealpost", "user", Alerts, "in", "Contoso", "issued", now, "from", now, "now", now, "ends", now,
		"cloud", "us", "reason", "The key was not found.", "resource", "https://outlook.office.com")
	for i := 0; i+1 < len(words); i += 2 {
		e.text = strings.ReplaceAll(e.text, "{"+words[i]+"}", words[i+1])
	}
	e.at, e.trace, e.correlation = s.now().UTC(), uuid.NewString(), uuid.NewString()
	return &e
}

const stamp = "2006-01-02 15:04:05Z"

// describe returns the error_description; between separates its parts.
func (e *sts) describe(between string) string {
	if e.number == 0 {
		return e.text
	}
	return strings.Join([]string{
		fmt.Sprintf("AADSTS%d: %s", e.number, e.text), "Trace ID: " + e.trace,
		"Correlation ID: " + e.correlation, "Timestamp: " + e.at.Format(stamp),
	}, between)
}

func (e *sts) uri() string {
	return fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", e.number)
}

// refuse answers a request for a token with the error, in Microsoft's form or in
// Google's.
func (a *answer) refuse(e *sts) {
	a.number = e.number
	if e.number == 0 {
		a.json(e.status, map[string]string{"error": e.code, "error_description": e.text})
		return
	}
	body := struct {
		Error         string `json:"error"`
		Description   string `json:"error_description"`
		Codes         []int  `json:"error_codes"`
		Timestamp     string `json:"timestamp"`
		TraceID       string `json:"trace_id"`
		CorrelationID string `json:"correlation_id"`
		URI           string `json:"error_uri"`
		Suberror      string `json:"suberror,omitempty"`
	}{e.code, e.describe(" "), []int{e.number}, e.at.Format(stamp), e.trace, e.correlation, e.uri(), e.suberror}
	a.json(e.status, body)
}
