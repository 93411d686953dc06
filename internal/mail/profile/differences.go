package profile

import (
	"fmt"
	"time"

	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/mail/trust"
)

// Differences tells in words what changed. Replaced is the name of a secret that
// was replaced, which stands for it, or "".
func Differences(b, a Profile, before, after []trust.Anchor, replaced string) []audit.Detail {
	var out []audit.Detail
	note := func(name, was, is string) {
		if was != is {
			out = append(out, audit.Detail{Name: name, Before: was, After: is})
		}
	}
	note("mail server", string(b.Kind), string(a.Kind))
	note("server name", b.Host, a.Host)
	note("port", number(b.Port), number(a.Port))
	note("secure connection", string(b.Security), string(a.Security))
	note("sender address", b.SenderAddress, a.SenderAddress)
	note("sender name", b.SenderName, a.SenderName)
	note("reply-to", b.ReplyTo, a.ReplyTo)
	note("sign-in", string(b.Auth), string(a.Auth))
	note("user name", b.Username, a.Username)
	note("account", b.AccountID, a.AccountID)
	note("mechanism", b.Mechanism, a.Mechanism)
	note("EHLO name", b.LocalName, a.LocalName)
	note("connect timeout", seconds(b.Timeouts.Connect), seconds(a.Timeouts.Connect))
	note("greeting timeout", seconds(b.Timeouts.Greeting), seconds(a.Timeouts.Greeting))
	note("command timeout", seconds(b.Timeouts.Command), seconds(a.Timeouts.Command))
	note("final timeout", seconds(b.Timeouts.Final), seconds(a.Timeouts.Final))
	for i, f := range b.OAuth.words() {
		note(f.name, f.value, a.OAuth.words()[i].value)
	}
	note("connections at a time", number(b.Pace.Connections), number(a.Pace.Connections))
	note("letters a minute", number(b.Pace.PerMinute), number(a.Pace.PerMinute))
	note("recipients a day", number(b.Pace.PerDay), number(a.Pace.PerDay))
	note("TLS on the whole way", yesNo(b.RequireTLS), yesNo(a.RequireTLS))
	note("trusted certificates", Fingerprints(before), Fingerprints(after))
	if replaced != "" {
		out = append(out, audit.Detail{Name: replaced, Value: "replaced"})
	}
	confirmed := b.ClearConfirmed && b.Host == a.Host && b.Port == a.Port && b.Security == a.Security
	if a.ClearConfirmed && !confirmed {
		what := "letters in clear"
		if a.InClear() {
			what = "password in clear"
		}
		out = append(out, audit.Detail{Name: what, Value: "accepted"})
	}
	return out
}

func yesNo(set bool) string {
	if set {
		return "asked for"
	}
	return "not asked for"
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// seconds writes a timeout, "" for the usual one.
func seconds(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// Fingerprints names certificates by how they are trusted and the beginning of
// their fingerprints.
func Fingerprints(anchors []trust.Anchor) string {
	text := ""
	for i, a := range anchors {
		if i > 0 {
			text += ", "
		}
		text += string(a.Mode) + " " + trust.Fingerprint(a.DER)[:16]
	}
	return text
}
