package page_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/sealpost/sealpost/internal/web/page"
	"github.com/sealpost/sealpost/internal/web/static"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func engine(t *testing.T) *page.Engine {
	t.Helper()
	e, err := page.NewEngine(func(name string) string { return "/static/0/" + name }, func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Every template is executed, in every state that has a sample.
func TestEveryPageShowsItsSamples(t *testing.T) {
	e := engine(t)
	seen := map[string]bool{}
	for _, sample := range samples() {
		seen[sample.Template()] = true
		var b bytes.Buffer
		if err := e.Render(&b, sample); err != nil {
			t.Errorf("%s: %v", sample.Template(), err)
			continue
		}
		shown := b.String()
		for _, bad := range []string{"<no value>", "ZgotmplZ", "%!", " style=", "<script>", "onclick=", "{{"} {
			if strings.Contains(shown, bad) {
				t.Errorf("%s shows %q", sample.Template(), bad)
			}
		}
		if n := strings.Count(shown, "<h1"); n != 1 {
			t.Errorf("%s has %d headings of the first rank", sample.Template(), n)
		}
	}
	names, err := page.Names()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !seen[name] {
			t.Errorf("%s.html has no sample in samples_test.go", name)
		}
	}
}

// Every page is sound HTML: ids are unique, labels and descriptions point at
// something, every field has a name for those who do not see it, and every
// file that is loaded is embedded.
func TestEveryPageIsSound(t *testing.T) {
	assets, err := static.New()
	if err != nil {
		t.Fatal(err)
	}
	e, err := page.NewEngine(assets.Path, func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	for _, sample := range samples() {
		var b bytes.Buffer
		if err := e.Render(&b, sample); err != nil {
			t.Fatal(err)
		}
		doc, err := html.Parse(&b)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range unsound(doc, assets.Handler()) {
			t.Errorf("%s: %s", sample.Template(), fault)
		}
	}
}

// unsound lists what is wrong with a page.
func unsound(doc *html.Node, assets http.Handler) []string {
	var faults []string
	ids, labelled := map[string]bool{}, map[string]bool{}
	for n := range doc.Descendants() {
		id := attribute(n, "id")
		if id != "" && ids[id] {
			faults = append(faults, "the id "+id+" stands twice")
		}
		ids[id] = true
		if n.Data == "label" {
			labelled[attribute(n, "for")] = true
		}
	}
	for n := range doc.Descendants() {
		for _, name := range []string{"for", "aria-describedby", "aria-labelledby", "popovertarget", "data-dialog", "data-copy", "data-show", "data-strength"} {
			for to := range strings.FieldsSeq(attribute(n, name)) {
				if !ids[to] {
					faults = append(faults, n.Data+" "+name+" points at "+to+", which is not there")
				}
			}
		}
		field := n.Data == "select" || n.Data == "textarea" || n.Data == "input" && attribute(n, "type") != "hidden"
		if n.Type == html.ElementNode && field && !labelled[attribute(n, "id")] && attribute(n, "aria-label") == "" &&
			attribute(n, "aria-hidden") == "" && !has(n, "hidden") && !inLabel(n) {
			faults = append(faults, "the field "+attribute(n, "name")+" has no label")
		}
		if to := attribute(n, "href") + attribute(n, "src"); strings.HasPrefix(to, static.Prefix) {
			w := httptest.NewRecorder()
			assets.ServeHTTP(w, httptest.NewRequest(http.MethodGet, to, nil))
			if w.Code != http.StatusOK {
				faults = append(faults, to+" is not embedded")
			}
		}
	}
	return faults
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func inLabel(n *html.Node) bool {
	for p := range n.Ancestors() {
		if p.Data == "label" {
			return true
		}
	}
	return false
}

// The check must find what it exists to find.
func TestTheCheckFindsUnsoundPages(t *testing.T) {
	assets, err := static.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		`<p id="a"></p><p id="a"></p>`, `<label for="nothing">x</label>`, `<input name="x">`,
		`<input aria-label="x" aria-describedby="nothing">`, `<link href="` + assets.Path("nothing.css") + `">`,
	} {
		doc, err := html.Parse(strings.NewReader(bad))
		if err != nil {
			t.Fatal(err)
		}
		if len(unsound(doc, assets.Handler())) == 0 {
			t.Errorf("%s passes", bad)
		}
	}
}

// What people typed is text wherever it shows.
func TestPagesEscapeWhatPeopleTyped(t *testing.T) {
	e := engine(t)
	evil := `"><img src=x onerror=alert(1)>`
	p := &page.SignIn{Login: evil, To: evil}
	p.Title, p.Organisation, p.Notice, p.Alert = evil, evil, evil, evil
	var b bytes.Buffer
	if err := e.Render(&b, p); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "<img") {
		t.Error("markup that somebody typed went into the page")
	}
}

func TestWordsForTimesAndNumbers(t *testing.T) {
	for _, tt := range []struct {
		ago  time.Duration
		want string
	}{
		{3 * time.Second, "just now"},
		{45 * time.Second, "45 seconds ago"},
		{time.Minute, "1 minute ago"},
		{59 * time.Minute, "59 minutes ago"},
		{26 * time.Hour, "1 day ago"},
		{-3 * 24 * time.Hour, "in 3 days"},
		{-72*time.Hour + time.Minute, "in 3 days"},
		{-90 * time.Minute, "in 2 hours"},
		{-119 * time.Second, "in 2 minutes"},
		{40 * 24 * time.Hour, "20 Jan 2026"},
	} {
		if got := page.Relative(noon.Add(-tt.ago), noon); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.ago, got, tt.want)
		}
	}
	var got []string
	for _, n := range []int{0, 999, 1000, 1234567, -1234} {
		got = append(got, page.Count(n))
	}
	if want := []string{"0", "999", "1,000", "1,234,567", "-1,234"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for n, want := range map[int]string{1: "1 byte", 999: "999 bytes", 1500: "1.5 kB", 2_000_000: "2.0 MB"} {
		if got := page.Size(n); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
