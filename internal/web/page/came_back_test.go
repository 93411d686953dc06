package page_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/web/page"
)

// What a report says is not what a server said to Sealpost: anybody who got the
// letter can have written it.
func TestWhoSaysThatMailCameBack(t *testing.T) {
	e := engine(t)
	for _, refused := range []bool{false, true} {
		want, not := "The report says", "The server said"
		if refused {
			want, not = not, want
		}
		for name, p := range map[string]page.Page{
			"bounces": &page.MailBounces{Base: base("Bounces"), Marks: []page.BounceMark{{Address: "a@example.org", Last: noon, Refused: refused, Said: "550 no"}}},
			"user":    &page.User{Base: base("Ada"), ID: "1", Email: "a@example.org", CameBack: &page.CameBack{Last: noon, Refused: refused, Said: "550 no"}},
		} {
			var b bytes.Buffer
			if err := e.Render(&b, p); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(b.String(), want) || strings.Contains(b.String(), not) {
				t.Errorf("%s, refused %v: no %q, or %q", name, refused, want, not)
			}
		}
	}
	var b bytes.Buffer
	came := &page.LetterBounce{Tag: page.Tag{Text: "Report about another address", Tone: "warn"}, At: noon, Text: "550 no", Other: "else@example.com"}
	if err := e.Render(&b, &page.MailLetter{Base: base("Letter"), Came: came}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"The report says", "else@example.com", "nothing about the letter"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the letter's page lacks %q", want)
		}
	}
}
