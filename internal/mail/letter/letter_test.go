package letter_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func catalogue(t *testing.T) *letter.Catalogue {
	t.Helper()
	c, err := letter.New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The golden files are what a person reads. Look at them after -update.
func TestLettersAsPeopleReadThem(t *testing.T) {
	c := catalogue(t)
	site := letter.Site{AccessURL: "https://vault.example.org:7272", Organisation: "Analytical Engines"}
	for _, k := range letter.Kinds() {
		got, err := c.Preview(site, k.Key)
		if err != nil {
			t.Fatal(err)
		}
		for ext, text := range map[string]string{"txt": "Subject: " + got.Subject + "\n\n" + got.Text.Reveal(), "html": got.HTML.Reveal()} {
			path := filepath.Join("testdata", k.Key+"."+ext)
			if *update {
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("%s changed; look at it and run with -update:\n%s", path, text)
			}
		}
		for line := range strings.SplitSeq(got.Text.Reveal(), "\n") {
			if len([]rune(line)) > 78 {
				t.Errorf("%s: a line of more than 78 characters: %q", k.Key, line)
			}
		}
		if strings.Contains(got.HTML.Reveal(), "src=\"http") || strings.Contains(got.HTML.Reveal(), "url(") {
			t.Errorf("%s loads something from elsewhere", k.Key)
		}
		if k.OneTime != strings.Contains(got.Text.Reveal(), "#abcdef") {
			t.Errorf("%s: one-time is %v", k.Key, k.OneTime)
		}
	}
}

// What people chose for a name stays text: no markup, no second line, no link
// that a reading program would make of it.
func TestNamesCannotCarryMarkupOrLinks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		c := catalogue(t)
		const evil = `<a href="https://evil.example/">click</a> https://evil.example www.evil.example x@evil.example`
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			return c.SetSite(tx, letter.Site{AccessURL: "https://vault.example.org", Organisation: "evil.example <b>x</b>"})
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.View(t.Context(), func(tx *store.Tx) error {
			site, err := c.Site(tx)
			if err != nil {
				return err
			}
			got, err := c.Render(tx, letter.Invitation{
				Name: evil, Login: "ada", Role: "Password User", InvitedBy: evil,
				Link: site.Link("/invite", secret.New("token")), Expires: time.Now(),
			})
			if err != nil {
				return err
			}
			for _, text := range []string{got.Subject, got.Text.Reveal(), got.HTML.Reveal()} {
				for _, live := range []string{"evil.example", "@evil", "https://evil"} {
					if strings.Contains(text, live) {
						t.Errorf("%q is live in\n%s", live, text)
					}
				}
			}
			doc, err := html.Parse(strings.NewReader(got.HTML.Reveal()))
			if err != nil {
				return err
			}
			for n := range doc.Descendants() {
				for _, a := range n.Attr {
					if a.Key == "href" && !strings.HasPrefix(a.Val, "https://vault.example.org") {
						t.Errorf("a link to %q", a.Val)
					}
				}
				if n.Data == "b" || n.Data == "script" {
					t.Errorf("markup came through: <%s>", n.Data)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestAccessURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://vault.example.org:7272": "https://vault.example.org:7272",
		" https://Vault.Example.org/ ":   "https://vault.example.org",
		"https://example.org:443///":     "https://example.org:443",
		"http://localhost:8080":          "http://localhost:8080",
		"https://192.0.2.1:7272":         "https://192.0.2.1:7272",
		"https://[2001:db8::1]:7272":     "https://[2001:db8::1]:7272",
		"https://bücher.example":         "https://xn--bcher-kva.example",
	} {
		if got, err := letter.CheckAccessURL(in); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "vault.example.org", "http://vault.example.org", "https://", "https://u:p@example.org", "https://example.org?x=1",
		"https://example.org#x", "https://example.org/vault", "https://example.org/vault/", "https://example.org/%2e", "javascript:alert(1)", "https://exa mple.org", "https://example.org/\"onx", "ftp://example.org",
		"https://example.org\r\nX: y", "https://example.org:99999999999",
	} {
		got, err := letter.CheckAccessURL(in)
		if err == nil || len(fault.Fields(err)) != 1 || fault.Fields(err)[0].Field != "access_url" {
			t.Errorf("%q was taken as %q (%v)", in, got, err)
		}
	}
}

func TestLogoMustBeASmallPicture(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		c := catalogue(t)
		for name, logo := range map[string][]byte{
			"svg":  []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>`),
			"big":  make([]byte, letter.MaxLogo+1),
			"html": []byte("<html>"),
		} {
			err := db.Update(t.Context(), func(tx *store.Tx) error {
				return c.SetSite(tx, letter.Site{AccessURL: "https://vault.example.org", Logo: logo})
			})
			if len(fault.Fields(err)) != 1 || fault.Fields(err)[0].Field != "logo" {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestALetterThatStandsForOthersSaysSo(t *testing.T) {
	c, err := letter.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range letter.Kinds() {
		one, err := c.Preview(letter.Site{Organisation: "Example -- Ltd"}, k.Key)
		if err != nil {
			t.Fatal(err)
		}
		if same := one.StandingFor(0); same.Text.Reveal() != one.Text.Reveal() || same.HTML.Reveal() != one.HTML.Reveal() {
			t.Errorf("%s: a letter for itself alone changes", k.Key)
		}
		for n, want := range map[int64]string{1: "happened once more within", 12: "happened 12 more times within"} {
			got := one.StandingFor(n)
			text, html := strings.Join(strings.Fields(got.Text.Reveal()), " "), got.HTML.Reveal()
			if !strings.Contains(text, want) || strings.Index(text, want) > strings.LastIndex(text, "This letter was sent by a program.") {
				t.Errorf("%s: the text is\n%s", k.Key, got.Text.Reveal())
			}
			if !strings.Contains(html, want) || strings.Index(html, want) > strings.LastIndex(html, `class="soft"`) {
				t.Errorf("%s: the HTML is\n%s", k.Key, html)
			}
		}
	}
}
