package diagnose

import (
	"fmt"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/mail/smtp"
)

// FileName is what the transcript of a test is called when it is kept.
const FileName = "sealpost-mail-test.txt"

// File returns the test as a text to send to somebody who can help: what was
// tested, how each step ended, and the dialogue. version is Sealpost's.
//
// The dialogue was recorded without credentials; there is no other copy that
// they would be taken out of. Whole addresses are left out as well unless they
// were asked for: a report travels to support desks and into tickets, and what
// they need of an address is its domain.
func (r Report) File(version string) string {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(r.shown(fmt.Sprintf(format, args...)) + "\n") }
	result := "failed"
	if r.Passed {
		result = "passed"
	}
	line("Sealpost mail test")
	line("")
	line("Date       %s", r.At.UTC().Format(time.RFC3339))
	line("Sealpost   %s, replies %s", version, r.Replies)
	line("Server     %s", r.Server)
	if r.TLS != "" {
		line("Encrypted  %s", r.TLS)
	}
	line("Recipient  %s", r.To)
	line("Result     %s after %s", result, r.Took.Round(time.Millisecond))
	line("")
	line("Steps")
	for _, s := range r.Steps {
		r.told(line, s, "  ")
	}
	for _, g := range r.Checks {
		line("")
		line("%s: %s", g.Title, g.Detail)
		for _, s := range g.Checks {
			r.told(line, s, "  ")
		}
	}
	line("")
	line("Dialogue, recorded without credentials (C: Sealpost, S: the server)")
	for _, l := range r.Transcript {
		line("  %s", l)
	}
	return b.String()
}

// shown is a line as it may leave.
func (r Report) shown(text string) string {
	if r.Whole {
		return text
	}
	return smtp.MaskAddresses(text)
}

// told writes a step.
func (r Report) told(line func(string, ...any), s Step, indent string) {
	line("%s%-8s%s (%d ms)", indent, s.State.Verdict(), s.Title, s.Took.Milliseconds())
	more := indent + strings.Repeat(" ", 8)
	for _, part := range []struct{ label, text string }{
		{"", s.Detail}, {"What to do: ", s.Advice}, {"Command: ", s.Command}, {"They said: ", s.Raw},
	} {
		if part.text != "" {
			line("%s%s%s", more, part.label, part.text)
		}
	}
	for _, l := range s.Lines {
		line("%s%s", more, l)
	}
	if s.Record != (Record{}) {
		line("%s%s %s %s", more, s.Record.Name, s.Record.Type, s.Record.Value)
	}
	for _, c := range s.Chain {
		line("%sCertificate of %s, issued by %s, ends %s, %s", more, c.Subject, c.Issuer, c.NotAfter.UTC().Format(time.DateOnly), c.Key)
	}
}
