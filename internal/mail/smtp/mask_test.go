package smtp

import (
	"strings"
	"testing"
)

func TestAddressesAreMasked(t *testing.T) {
	for text, want := range map[string]string{
		"MAIL FROM:<vault@example.org> SIZE=10":      "MAIL FROM:<v…@example.org> SIZE=10",
		"250 2.1.5 ada@example.org, ben@x.net ok":    "250 2.1.5 a…@example.org, b…@x.net ok",
		`RCPT TO:<"ada l. <x>"@example.org>`:         "RCPT TO:<a…@example.org>",
		"RCPT TO:<bounce+ada=example.org@vault.net>": "RCPT TO:<b…@vault.net>",
		"RCPT TO:<jürgen@bücher.example>":            "RCPT TO:<j…@bücher.example>",
		"a…@example.org":                             "a…@example.org",
		"@ alone, \"\"@x":                            "@ alone, …@x",
		"no address":                                 "no address",
	} {
		if got := MaskAddresses(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	transcript := &Transcript{Mask: true}
	transcript.Add("C:", "RCPT TO:<grace@example.org>")
	if got := transcript.String(); strings.Contains(got, "grace") || !strings.Contains(got, "g…@example.org") {
		t.Errorf("got %q", got)
	}
}
