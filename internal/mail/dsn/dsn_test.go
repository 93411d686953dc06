package dsn_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jhillyerd/enmime/v2"

	"github.com/sealpost/sealpost/internal/mail/dsn"
)

const (
	messageID = "<3f0b7a0c9d5e4f6a8b1c2d3e4f5a6b7c@vault.example.org>"
	token     = "agaykd7mdlbylnzvqcfm5oql65xcwt3vkq3x7f2a"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".eml"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// firstOf returns what a report says of the first recipient of its kind.
func firstOf(r dsn.Report) dsn.Recipient {
	for _, x := range r.Recipients {
		if x.Kind == r.Kind {
			return x
		}
	}
	return dsn.Recipient{Kind: r.Kind}
}

// A report tells the address that was tried last from the one that the mail was
// sent to.
func TestTheFinalRecipientIsKept(t *testing.T) {
	r := dsn.Parse([]byte("Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\nOriginal-Recipient: rfc822;Ada@example.org\r\n" +
		"Final-Recipient: rfc822; Elsewhere@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n"))
	if got := firstOf(r); got.Address != "ada@example.org" || got.Final != "elsewhere@example.com" {
		t.Errorf("got %+v", got)
	}
}

func TestReportsAreRead(t *testing.T) {
	for _, tt := range []struct {
		name, address, status, text string
		kind                        dsn.Kind
		// proof is whether the report names the letter.
		proof bool
	}{
		{"postfix-failed", "ben@example.net", "5.1.1", "550 5.1.1 <ben@example.net>: Recipient address rejected: User unknown in virtual mailbox table", dsn.Failed, true},
		{"postfix-delayed", "ben@example.net", "4.4.1", "connect to mx.example.net[192.0.2.25]:25: Connection timed out", dsn.Delayed, true},
		{"exim-plain", "ben@example.net", "5.1.1", "host mx.example.net [192.0.2.25] SMTP error from remote mail server after RCPT TO:<ben@example.net>: 550 5.1.1 <ben@example.net>: User unknown", dsn.Failed, true},
		{"exim-report", "ben@example.net", "5.7.1", "550 5.7.1 Message refused by policy", dsn.Failed, true},
		{"exchange-online", "ben@example.net", "5.1.10", "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", dsn.Failed, true},
		{"gmail", "ben@example.net", "5.1.1", "550-5.1.1 The email account that you tried to reach does not exist. 550 5.1.1 Please try double-checking the address.", dsn.Failed, true},
		{"qmail", "ben@example.net", "5.1.1", "192.0.2.25 does not like recipient. Remote host said: 550 5.1.1 User unknown Giving up on 192.0.2.25.", dsn.Failed, true},
		{"utf8", "jürgen@bücher.example", "5.1.1", "550 5.1.1 Unbekannter Empfänger", dsn.Failed, true},
		{"vacation", "", "", "", dsn.Reply, false},
		{"receipt", "", "", "", dsn.Other, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, ends := range []string{"\n", "\r\n"} {
				r := dsn.Parse(bytes.ReplaceAll(sample(t, tt.name), []byte("\n"), []byte(ends)))
				first := firstOf(r)
				if r.Kind != tt.kind || first.Address != tt.address || first.Status != tt.status || first.Text != tt.text {
					t.Errorf("got %s %+v", r.Kind, first)
				}
				if got := slices.Contains(r.Messages, messageID); got != tt.proof {
					t.Errorf("names the letter: %v, %q", got, r.Messages)
				}
			}
		})
	}
}

func TestTokensAreFoundWhereServersPutThem(t *testing.T) {
	r := dsn.Parse(sample(t, "postfix-failed"))
	if !slices.Contains(r.Envelopes, token) {
		t.Errorf("the envelope id is not among %q", r.Envelopes)
	}
	n := 0
	for _, a := range r.Addresses {
		if a == "bounces+"+token+"@example.org" {
			n++
		}
	}
	if n != 3 {
		t.Errorf("the address of the envelope was found %d times, want 3: %q", n, r.Addresses)
	}
	// The samples are mails as another parser understands them.
	for _, name := range []string{"postfix-failed", "exim-report", "exchange-online", "gmail", "utf8", "vacation", "qmail", "exim-plain"} {
		if e, err := enmime.ReadEnvelope(bytes.NewReader(sample(t, name))); err != nil || e.GetHeader("To") == "" {
			t.Errorf("%s is no mail: %v", name, err)
		}
	}
}

// A mail that was cut in the returned letter says the same, and one that was cut
// anywhere does no harm.
func TestACutReportSaysWhatItCan(t *testing.T) {
	whole := sample(t, "postfix-failed")
	cut := whole[:bytes.Index(whole, []byte("Subject: You are invited"))]
	if r := dsn.Parse(cut); r.Kind != dsn.Failed || !slices.Contains(r.Messages, messageID) {
		t.Errorf("got %+v", r)
	}
	for i := range whole {
		dsn.Parse(whole[:i])
	}
}

// harmless checks what every text of a report must be.
func harmless(t testing.TB, r dsn.Report) {
	t.Helper()
	texts := slices.Concat(r.Envelopes, r.Messages, r.Addresses)
	for _, x := range r.Recipients {
		texts = append(texts, x.Address, x.Status, x.Text)
	}
	if len(r.Recipients) > 50 || len(texts) > 500 {
		t.Errorf("a report of %d recipients and %d texts", len(r.Recipients), len(texts))
	}
	for _, s := range texts {
		if len(s) > 4000 || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) }) {
			t.Errorf("a text that can do harm: %q", s)
		}
	}
	for _, a := range r.Addresses {
		if strings.ContainsAny(a, "<> \r\n,") || strings.Count(a, "@") == 0 {
			t.Errorf("this is no address: %q", a)
		}
	}
}

func TestHostileTextsComeOutHarmless(t *testing.T) {
	r := dsn.Parse(sample(t, "hostile"))
	harmless(t, r)
	first := firstOf(r)
	if r.Kind != dsn.Failed || first.Address != "" || first.Status != "5.1.1" {
		t.Errorf("got %+v", first)
	}
	if !strings.Contains(first.Text, "<script>") || strings.ContainsAny(first.Text, "\x1b\x00\u202e") {
		t.Errorf("text %q", first.Text)
	}
	if !slices.Equal(r.Messages, []string{"<x@y>"}) {
		t.Errorf("ids %q", r.Messages)
	}
}

// bomb is a mail that unfolds into much more than it is.
func bomb(depth, width int) []byte {
	var b strings.Builder
	b.WriteString("To: bounces@example.org\n")
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/report; boundary=\"b%d\"\n\n", i)
		for range width {
			fmt.Fprintf(&b, "--b%d\nContent-Type: message/delivery-status\n\nAction: failed\nFinal-Recipient: rfc822;a@example.org\n\n", i)
		}
		fmt.Fprintf(&b, "--b%d\n", i)
	}
	return []byte(b.String())
}

func TestBombsCostLittle(t *testing.T) {
	var wide strings.Builder
	wide.WriteString("Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n")
	for range 100_000 {
		wide.WriteString("Action: failed\nFinal-Recipient: rfc822;a@example.org\n\n")
	}
	for name, mail := range map[string][]byte{
		"deep":             bomb(2000, 1),
		"deep and wide":    bomb(8, 5000),
		"many recipients":  []byte(wide.String()),
		"one long line":    []byte("Subject: " + strings.Repeat("a", 1<<20)),
		"many fields":      []byte(strings.Repeat("A: b\n", 200_000)),
		"folded for ever":  []byte("Subject: a\n" + strings.Repeat(" b\n", 300_000)),
		"boundaries alone": []byte("Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\n", 200_000)),
		"addresses":        []byte("To: " + strings.Repeat("a@b,", 300_000)),
		"qmail for ever":   []byte("To: a@b\n\nHi. This is the program\n\n" + strings.Repeat("<a@b>:\nx\n\n", 100_000)),
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		r := dsn.Parse(mail)
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		harmless(t, r)
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 64<<20 {
			t.Errorf("%s: %d MiB were allocated", name, allocated>>20)
		}
		if took > 3*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
}

func FuzzParse(f *testing.F) {
	names, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(names) < 10 {
		f.Fatalf("%d samples, %v", len(names), err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, mail []byte) { harmless(t, dsn.Parse(mail)) })
}
