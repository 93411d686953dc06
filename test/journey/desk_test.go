package journey

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// desk is somebody with an HTTP client: it keeps cookies, follows nothing by
// itself, and remembers every answer.
type desk struct {
	t      testing.TB
	base   string
	client *http.Client

	mu   sync.Mutex
	seen []answer
}

// answer is what came back.
type answer struct {
	method, path string
	status       int
	header       http.Header
	body         string
}

// location is where the answer sends the browser.
func (a answer) location() string { return a.header.Get("Location") }

func newDesk(t testing.TB, base string) *desk {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &desk{t: t, base: base, client: &http.Client{
		Jar: jar, Timeout: patience,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, IdleConnTimeout: time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// try asks and returns what came, or why nothing did.
func (d *desk) try(method, path string, form url.Values) (answer, error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.base+path, body)
	if err != nil {
		return answer{}, err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	got, err := d.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{method, path, got.StatusCode, got.Header, string(b)}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = append(d.seen, a)
	return a, nil
}

// get asks for a page.
func (d *desk) get(path string) answer {
	d.t.Helper()
	a, err := d.try(http.MethodGet, path, nil)
	if err != nil {
		d.t.Fatalf("GET %s: %v", path, err)
	}
	return a
}

// post sends a form.
func (d *desk) post(path string, form url.Values) answer {
	d.t.Helper()
	a, err := d.try(http.MethodPost, path, form)
	if err != nil {
		d.t.Fatalf("POST %s: %v", path, err)
	}
	return a
}

// fill opens a page, fills in the form that goes to action, and returns its
// values: what the page had in it, with those of over in place of it.
func (d *desk) fill(page, action string, over map[string]string) url.Values {
	d.t.Helper()
	a := d.get(page)
	if a.status != http.StatusOK {
		d.t.Fatalf("GET %s: status %d, to %s", page, a.status, a.location())
	}
	values, ok := formIn(a.body, action, page)
	if !ok {
		d.t.Fatalf("%s has no form to %s", page, action)
	}
	for name, value := range over {
		values.Set(name, value)
	}
	return values
}

// send fills in the form on page that goes to action, and sends it.
func (d *desk) send(page, action string, over map[string]string) answer {
	d.t.Helper()
	return d.post(action, d.fill(page, action, over))
}

// done is send for a form that must be taken.
func (d *desk) done(page, action string, over map[string]string) answer {
	d.t.Helper()
	a := d.send(page, action, over)
	if a.status != http.StatusSeeOther {
		d.t.Fatalf("POST %s: status %d\n%s", action, a.status, words(a.body))
	}
	return a
}

// formIn returns what a browser would send of the form that goes to action. One
// without an action goes to the address of its page.
func formIn(page, action, address string) (url.Values, bool) {
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return nil, false
	}
	var form *html.Node
	walk(root, func(n *html.Node) {
		to, has := attribute(n, "action")
		if !has {
			to, _, _ = strings.Cut(address, "?")
		}
		if form == nil && n.Data == "form" && to == action && strings.EqualFold(attr(n, "method"), "post") {
			form = n
		}
	})
	if form == nil {
		return nil, false
	}
	values := url.Values{}
	walk(form, func(n *html.Node) {
		name, has := attribute(n, "name")
		if _, off := attribute(n, "disabled"); !has || off {
			return
		}
		switch n.Data {
		case "input":
			_, checked := attribute(n, "checked")
			kind := attr(n, "type")
			if (kind == "checkbox" || kind == "radio") && !checked || kind == "file" || kind == "submit" {
				return
			}
			value, has := attribute(n, "value")
			if !has && kind == "checkbox" {
				value = "on"
			}
			values.Add(name, value)
		case "textarea":
			values.Add(name, strings.TrimPrefix(text(n), "\n"))
		case "select":
			values.Add(name, selected(n))
		}
	})
	return values, true
}

// selected is the value of a list as it was served.
func selected(list *html.Node) string {
	var first, chosen string
	seen, found := false, false
	walk(list, func(n *html.Node) {
		if n.Data != "option" {
			return
		}
		value, has := attribute(n, "value")
		if !has {
			value = strings.TrimSpace(text(n))
		}
		if !seen {
			first, seen = value, true
		}
		if _, is := attribute(n, "selected"); is && !found {
			chosen, found = value, true
		}
	})
	if found {
		return chosen
	}
	return first
}

// walk calls f for every element.
func walk(n *html.Node, f func(*html.Node)) {
	if n.Type == html.ElementNode {
		f(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, f)
	}
}

func attribute(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func attr(n *html.Node, name string) string {
	v, _ := attribute(n, name)
	return v
}

func text(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var b strings.Builder
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		b.WriteString(text(c))
	}
	return b.String()
}

// words is what a page says, without its markup.
func words(page string) string {
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return page
	}
	said := ""
	walk(root, func(n *html.Node) {
		if n.Data == "main" {
			said = strings.Join(strings.Fields(text(n)), " ")
		}
	})
	if said == "" {
		said = strings.Join(strings.Fields(text(root)), " ")
	}
	return said
}
