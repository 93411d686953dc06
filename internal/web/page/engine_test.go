package page_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/web/page"
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
		html := b.String()
		for _, bad := range []string{"<no value>", "ZgotmplZ", "%!", " style=", "<script>", "onclick=", "{{"} {
			if strings.Contains(html, bad) {
				t.Errorf("%s shows %q", sample.Template(), bad)
			}
		}
		if n := strings.Count(html, "<h1"); n != 1 {
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
