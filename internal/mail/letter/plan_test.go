package letter

import (
	"errors"
	htmltemplate "html/template"
	"strings"
	"testing"
	texttemplate "text/template"
	"time"

	"github.com/sealpost/sealpost/internal/secret"
)

// everyLetter fills the fields of all kinds with texts in turn.
func everyLetter(texts ...string) []Letter {
	next := 0
	text := func() string { next++; return texts[next%len(texts)] }
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	link := func() Link { return Link{URL: secret.New(texts[0]), Code: secret.New(text())} }
	return []Letter{
		Invitation{text(), text(), text(), text(), link(), at},
		PasswordReset{text(), link(), at, text(), text()},
		PasswordChanged{text(), at, text(), text()},
		NewDevice{text(), at, text(), text()},
		ExpiryReminder{text(), text(), text(), at, text(), text()},
		ExpiryReminder{text(), text(), text(), at, "", text()},
		Test{text(), at, text()},
	}
}

// planned checks that plans make of the letters what the library makes of them,
// and returns how many of them they made.
func planned(t *testing.T, c *Catalogue, site Site, letters []Letter) int {
	t.Helper()
	made := 0
	for _, l := range letters {
		v := &view{Site: site, Letter: l, Title: site.Title()}
		if len(site.Logo) > 0 {
			v.LogoID = LogoID
		}
		k := c.kinds[l.Kind()]
		want, err := k.executeTemplates(v)
		if err != nil {
			t.Fatal(err)
		}
		all := true
		for _, part := range []struct {
			name, want string
			plan       *plan
		}{{"subject", want.subject, k.planSubject}, {"text", want.text, k.planText}, {"html", want.html, k.planHTML}} {
			got, err := part.plan.execute(v)
			switch {
			case errors.Is(err, errNoPlan):
				all = false
			case err != nil || got != part.want:
				t.Errorf("the %s of %+v:\n%s\nwant\n%s\n%v", part.name, l, got, part.want, err)
			}
		}
		if all {
			made++
		}
		if got, err := k.execute(v); err != nil || got != want {
			t.Errorf("%+v is rendered as %+v, %v", l, got, err)
		}
	}
	return made
}

func TestPlansMakeWhatTheLibraryMakes(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	const url = "https://vault.example.org:7272"
	sites := []Site{
		{},
		{AccessURL: url},
		{AccessURL: url, Organisation: "Example & Söhne <Ltd>", Logo: []byte("x"), LogoType: "image/png"},
		{AccessURL: "https://[::1]:7272", Organisation: "a.b@c"},
	}
	for i, site := range sites {
		// Whose links are links, all of them by plan.
		letters := everyLetter(url+"/invite#abc", "Ada Lovelace")
		if got := planned(t, c, site, letters); i > 0 && got != len(letters) {
			t.Errorf("only %d of %d letters were made by plans", got, len(letters))
		}
		for _, text := range []string{
			"", "plain", "<b>\"&'+`=", "javascript:alert(1)", "http://x/%zz %20 (a) 'b' ä", "HTTPS://X", "\x00\x01\x7f", "\xff\xfe", "a\u2028b", "\ufdd0 \uffff",
			"{{.Site}}", "</title></style>", "a\nb\r\n", "mailto:x@y", "//evil", strings.Repeat("long ", 60), `\\host\share`, "日本語。テ", "%s %d %%",
		} {
			planned(t, c, site, everyLetter(text))
			planned(t, c, site, everyLetter(text, "x", "ä"))
		}
	}
}

// Templates with what plans do not know are left to the library.
func TestWhatHasNoPlan(t *testing.T) {
	for _, text := range []string{
		`{{range .Site.Logo}}x{{end}}`, `{{$x := .Title}}{{$x}}`, `{{len .Title}}`, `{{.Site.Nothing}}`, `{{if eq .Title "x"}}y{{end}}`, `{{with .Title}}{{.}}{{end}}`,
		`{{template "other" .Site}}{{define "other"}}x{{end}}`, `{{.Title.Len}}`, `{{.Letter.When.Year}}`, `{{.Site.UpdatedAt}}`, `{{.}}`,
		`{{with .Letter}}{{template "other" .}}{{end}}{{define "other"}}{{$}}{{end}}`, `{{html .Title}}`,
	} {
		tt, err := texttemplate.New("t").Funcs(functions()).Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		v := &view{Title: "title", Letter: Test{When: time.Unix(0, 0)}}
		p, err := planText(tt)
		if err == nil {
			_, err = p.execute(v)
		}
		if !errors.Is(err, errNoPlan) {
			t.Errorf("%s is planned: %v", text, err)
		}
	}
	for _, text := range []string{`<a onclick="{{.Title}}">`, `<style>{{.Title}}</style>`, `<script>{{.Title}}</script>`, `<a href=x{{.Title}}>`, `<a href="/?q={{.Title}}">`} {
		tt, err := htmltemplate.New("t").Funcs(functions()).Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := planHTML(tt); !errors.Is(err, errNoPlan) {
			t.Errorf("%s is planned: %v", text, err)
		}
	}
}

func FuzzPlans(f *testing.F) {
	c, err := New()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("https://vault.example.org", "Ada", "<b>", "%25")
	f.Fuzz(func(t *testing.T, url, organisation, a, b string) {
		planned(t, c, Site{AccessURL: url, Organisation: organisation}, everyLetter(a, b))
	})
}
