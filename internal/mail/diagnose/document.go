package diagnose

import (
	"encoding/json"
	"strings"
	"time"
)

// Document is a report as programs read it. Its shape is described in
// docs/command-line.md and only grows; both doors, page and command line, give
// the same, which is why it is here.
type Document struct {
	Passed bool `json:"passed"`
	// Verdict is "ok", "warn" or "fail".
	Verdict    string    `json:"verdict"`
	Server     string    `json:"server"`
	To         string    `json:"to"`
	TLS        string    `json:"tls,omitempty"`
	At         time.Time `json:"at"`
	TookMillis int64     `json:"took_ms"`
	// Replies is the version of the tables that explain replies.
	Replies string `json:"replies"`
	// Steps decide whether the test passed, Checks do not.
	Steps      []DocumentStep `json:"steps"`
	Checks     []DocumentStep `json:"checks"`
	Transcript []string       `json:"transcript"`
}

// DocumentStep is a step, a group of checks, or a check.
type DocumentStep struct {
	Key   string `json:"key"`
	Title string `json:"title"`
	// Verdict is "ok", "warn", "fail" or "skipped".
	Verdict string `json:"verdict"`
	// Meaning says what was found, Mend what to do about it, Command what to type
	// for it elsewhere; Said is what the other side said.
	Meaning      string                `json:"meaning,omitempty"`
	Mend         string                `json:"mend,omitempty"`
	Command      string                `json:"command,omitempty"`
	Link         string                `json:"link,omitempty"`
	Said         string                `json:"said,omitempty"`
	Lines        []string              `json:"lines,omitempty"`
	Record       *DocumentRecord       `json:"record,omitempty"`
	Certificates []DocumentCertificate `json:"certificates,omitempty"`
	Checks       []DocumentStep        `json:"checks,omitempty"`
	TookMillis   int64                 `json:"took_ms"`
}

// DocumentRecord is an entry to make in the DNS.
type DocumentRecord struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Value string `json:"value"`
}

// DocumentCertificate is a certificate that the server showed, its own first.
type DocumentCertificate struct {
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Names       []string  `json:"names,omitempty"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Key         string    `json:"key"`
	Signature   string    `json:"signature"`
	Fingerprint string    `json:"fingerprint"`
}

// Verdict is a state in the words of a document.
func (s State) Verdict() string {
	switch s {
	case Bad:
		return "fail"
	case Skipped:
		return "skipped"
	}
	return string(s)
}

// Document returns the report for programs.
func (r Report) Document() Document {
	d := Document{
		Passed: r.Passed, Verdict: r.verdict(), Server: r.Server, To: r.To, TLS: r.TLS, At: r.At.UTC(), TookMillis: r.Took.Milliseconds(), Replies: r.Replies,
		Steps: documentSteps(r.Steps), Checks: documentSteps(r.Checks), Transcript: r.Transcript,
	}
	if d.Transcript == nil {
		d.Transcript = []string{}
	}
	return d
}

// JSON returns the document as text.
func (r Report) JSON() ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(r.Document())
	return []byte(b.String()), err
}

// verdict is that of the whole test.
func (r Report) verdict() string {
	if !r.Passed {
		return Bad.Verdict()
	}
	for _, s := range append(r.Steps[:len(r.Steps):len(r.Steps)], r.Checks...) {
		if s.State == Warn {
			return Warn.Verdict()
		}
	}
	return OK.Verdict()
}

func documentSteps(steps []Step) []DocumentStep {
	out := make([]DocumentStep, len(steps))
	for i, s := range steps {
		out[i] = DocumentStep{
			Key: s.Key, Title: s.Title, Verdict: s.State.Verdict(), Meaning: s.Detail, Mend: s.Advice, Command: s.Command, Link: s.Link, Said: s.Raw,
			Lines: s.Lines, TookMillis: s.Took.Milliseconds(),
		}
		if s.Record != (Record{}) {
			out[i].Record = &DocumentRecord{s.Record.Name, s.Record.Type, s.Record.Value}
		}
		for _, c := range s.Chain {
			out[i].Certificates = append(out[i].Certificates, DocumentCertificate{
				Subject: c.Subject, Issuer: c.Issuer, Names: c.Names, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
				Key: c.Key, Signature: c.Signature, Fingerprint: c.Fingerprint,
			})
		}
		if len(s.Checks) > 0 {
			out[i].Checks = documentSteps(s.Checks)
		}
	}
	return out
}
