// Package checkup owns how a test of a mail server looks on a page: its steps,
// the checks beside them, the certificates that the server showed, and who said
// what.
package checkup

import (
	"encoding/base64"
	"fmt"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/web/page"
)

// TheServer begins a sentence about what a mail server said.
const TheServer = "The server"

// Speaker begins a sentence about what a provider said.
func Speaker(p oauth.Provider) string {
	switch p {
	case oauth.Microsoft:
		return "Microsoft"
	case oauth.Google:
		return "Google"
	}
	return "The provider"
}

// Test is a report as a page shows it, with the files to keep. version is
// Sealpost's.
func Test(r diagnose.Report, to, version string, now time.Time, said Listener) (page.MailTest, error) {
	document, err := r.JSON()
	if err != nil {
		return page.MailTest{}, fault.Internal(err)
	}
	t := page.MailTest{
		To: to, Ran: true, Passed: r.Passed, Server: r.Server, Sent: r.To, Took: r.Took, Transcript: r.Transcript,
		File: page.Download("text/plain", []byte(r.File(version))), JSON: page.Download("application/json", document),
	}
	for _, step := range r.Steps {
		t.Steps = append(t.Steps, Step(step, now, said))
	}
	for _, group := range r.Checks {
		t.Groups = append(t.Groups, Step(group, now, said))
	}
	return t, nil
}

// Listener knows whose words are heard in a step of a test.
type Listener struct {
	// At is the page that the test is on.
	At string
	// Provider gives out the tokens; Graph tells that it takes the letters too.
	Provider oauth.Provider
	Graph    bool
}

func (l Listener) speaker(step string) string {
	if l.Graph || step == diagnose.StepAuthority || step == diagnose.StepToken {
		return Speaker(l.Provider)
	}
	return TheServer
}

// Step is a step, a group of checks or a check as a page shows it.
func Step(s diagnose.Step, now time.Time, said Listener) page.CheckStep {
	step := page.CheckStep{
		Key: s.Key, Title: s.Title, Is: string(s.State), Detail: s.Detail, Advice: s.Advice, Command: s.Command, Link: s.Link, Raw: page.Said(s.Raw), Took: s.Took,
		Speaker: said.speaker(s.Key),
	}
	if s.Key == diagnose.StepToken {
		step.Raw = page.SaidWhole(s.Raw)
	}
	for _, line := range s.Lines {
		step.Lines = append(step.Lines, page.Said(line))
	}
	if s.Record != (diagnose.Record{}) {
		step.Record = &page.DNSRecord{Key: s.Key, Name: s.Record.Name, Type: s.Record.Type, Value: s.Record.Value}
	}
	for _, check := range s.Checks {
		step.Checks = append(step.Checks, Step(check, now, said))
	}
	for i, card := range s.Chain {
		c := Certificate(card, now)
		c.Place, c.At = Place(i, len(s.Chain), card), said.At
		// The server's own certificate can be trusted, or the authority's at
		// the end of the chain; a key is pinned of the server's alone.
		if s.CanTrust && (i == 0 || i == len(s.Chain)-1 && card.IsCA) {
			c.Trust = Candidate(trust.ModeAnchor, card.DER)
		}
		if s.CanPin && i == 0 {
			c.Pin = Candidate(trust.ModePin, card.DER)
		}
		step.Chain = append(step.Chain, c)
	}
	return step
}

// Place says what the i-th of n certificates that a server showed is.
func Place(i, n int, c trust.Card) string {
	switch {
	case i == 0:
		return "the server's"
	case i == n-1 && c.SelfSigned:
		return "authority"
	}
	return "in between"
}

// Certificate is a card as pages show it.
func Certificate(c trust.Card, now time.Time) page.Certificate {
	out := page.Certificate{
		Subject: c.Subject, Issuer: c.Issuer, Names: c.Names, NotBefore: c.NotBefore, NotAfter: c.NotAfter, Key: c.Key, Signature: c.Signature,
		Fingerprint: c.Fingerprint, SelfSigned: c.SelfSigned, CA: c.IsCA,
	}
	left := c.NotAfter.Sub(now)
	switch {
	case now.Before(c.NotBefore):
		out.Ends, out.EndsTone = "not valid yet", "bad"
	case left <= 0:
		out.Ends, out.EndsTone = "expired", "bad"
	case left < 30*24*time.Hour:
		out.Ends, out.EndsTone = fmt.Sprintf("ends in %s", page.Span(left)), "warn"
	}
	return out
}

// Candidate is a certificate as a form carries it.
func Candidate(mode trust.Mode, der []byte) string {
	return string(mode) + ":" + base64.StdEncoding.EncodeToString(der)
}
