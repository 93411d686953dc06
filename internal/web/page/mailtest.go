package page

import (
	"encoding/base64"
	"html/template"
	"time"
)

// MailTest is a test of settings.
type MailTest struct {
	// To is where its mail goes.
	To string
	// Now tells the script to begin it by itself.
	Now bool
	// Ran tells that there is a result.
	Ran, Passed bool
	Steps       []CheckStep
	// Groups are the checks beside the steps, which decide nothing.
	Groups       []CheckStep
	Server, Sent string
	Took         time.Duration
	Transcript   []string
	// File and JSON are the test as files to keep; see [Download].
	File, JSON template.URL
}

// Download is a file as the address of a link, so that one is kept without
// another request, without scripts and without a copy on the server.
func Download(kind string, content []byte) template.URL {
	// The kind is our own word, and nothing of base64 ends an attribute or begins
	// another scheme.
	return template.URL("data:" + kind + ";charset=utf-8;base64," + base64.StdEncoding.EncodeToString(content))
}

// FailedAt returns the title of the step that failed.
func (t MailTest) FailedAt() string {
	for _, s := range t.Steps {
		if s.Is == "bad" {
			return s.Title
		}
	}
	return ""
}

// TookText is how long the test took.
func (t MailTest) TookText() string { return Took(t.Took) }

// CheckStep is one step of a test, a group of checks, or a check.
type CheckStep struct {
	Key, Title string
	// Is is "run", "ok", "warn", "bad" or "skip".
	Is                           string
	Detail, Advice, Command, Raw string
	// Speaker is whose words Raw are.
	Speaker string
	// Link is the provider's page about a failure.
	Link  string
	Lines []string
	Took  time.Duration
	Chain []Certificate
	// Record is what to enter into the DNS; nil for nothing.
	Record *DNSRecord
	// Checks are those of a group.
	Checks []CheckStep
}

// DNSRecord is an entry for the DNS that can be copied. Key is that of its check.
type DNSRecord struct{ Key, Name, Type, Value string }

// Mark is the sign before the step, Word the same to hear.
func (s CheckStep) Mark() string {
	return map[string]string{"run": "…", "ok": "✓", "warn": "!", "bad": "✕", "skip": "–"}[s.Is]
}

// Word says how the step stands.
func (s CheckStep) Word() string {
	return map[string]string{"run": "Under way", "ok": "Done", "warn": "Done, look at it", "bad": "Failed", "skip": "Left out"}[s.Is]
}

// Told tells that the step needs a box of its own: what failed, or what to
// look at.
func (s CheckStep) Told() bool { return s.Is == "bad" || s.Advice != "" }

// LinesTitle says what the lines are.
func (s CheckStep) LinesTitle() string {
	switch s.Key {
	case "hello", "offers":
		return "What the server offers"
	case "alignment":
		return "How that comes"
	}
	return "What stands there"
}

// TookText is how long the step took.
func (s CheckStep) TookText() string { return Took(s.Took) }
