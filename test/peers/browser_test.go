package peers_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/test/peers"
)

// site serves pages, one with every mistake the browser must report.
func site(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	serve := func(path, body string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src * data:; form-action 'self'; connect-src 'self'")
			fmt.Fprintf(w, `<!doctype html><html lang="en"><head><title>Page</title><link rel="icon" href="data:,"><meta name="viewport" content="width=device-width">%s</html>`, body)
		})
	}
	serve("/good", `<body><main><h1>Good</h1><form method="post" action="/post"><label for="name">Name</label>
		<input id="name" name="name" value="old"><button>Send</button></form></main>`)
	serve("/csp", `<body><main><h1>Inline</h1><script>document.title = "ran"</script></main>`)
	serve("/console", `<script src="/console.js"></script><body><main><h1>Console</h1></main>`)
	serve("/thrown", `<script src="/thrown.js"></script><body><main><h1>Thrown</h1></main>`)
	serve("/elsewhere", `<body><main><h1>Elsewhere</h1><img alt="x" src="http://tracker.example/x.png"></main>`)
	serve("/broken", `<body><main><h1>Broken</h1><img alt="x" src="/missing.png"></main>`)
	serve("/unlabelled", `<body><main><h1>No label</h1><input name="a"><div id="wide"></div></main><link rel="stylesheet" href="/wide.css">`)
	file := func(path, kind, text string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			fmt.Fprint(w, text)
		})
	}
	serve("/moving", `<script src="/moving.js" defer></script><body><main><p id="late" hidden>Late<br>and<br>tall</p><h1>Moving</h1></main>`)
	file("/moving.js", "text/javascript", `setTimeout(() => { document.getElementById("late").hidden = false }, 200)`)
	file("/console.js", "text/javascript", `console.error("something", "broke")`)
	file("/thrown.js", "text/javascript", `throw new Error("thrown on purpose")`)
	file("/wide.css", "text/css", `#wide { width: 500px; height: 1px }`)
	mux.HandleFunc("POST /post", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprintf(w, `<!doctype html><title>Post</title><p id="said">%s</p>`, r.FormValue("name"))
	})
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func TestChromiumReportsWhatAPageDoesWrong(t *testing.T) {
	at := site(t)
	browser := peers.Chromium(t)
	for _, tt := range []struct{ path, want string }{
		{"/good", ""},
		{"/csp", "Content Security Policy"},
		{"/console", "something broke"},
		{"/thrown", "thrown on purpose"},
		{"/broken", "/missing.png answered 404"},
	} {
		t.Run(tt.path, func(t *testing.T) {
			tab := browser.Person(t, "visitor")
			if got := tab.Go(at + tt.path); got != http.StatusOK {
				t.Errorf("status %d", got)
			}
			problems := tab.Problems()
			if tt.want == "" && len(problems) > 0 || !strings.Contains(strings.Join(problems, "\n"), tt.want) {
				t.Errorf("got %q, want %q", problems, tt.want)
			}
		})
	}
	t.Run("asks elsewhere", func(t *testing.T) {
		tab := browser.Person(t, "visitor")
		tab.Go(at + "/elsewhere")
		if !slices.Contains(tab.Hosts(), "tracker.example") {
			t.Errorf("the other host was not noticed: %q", tab.Hosts())
		}
	})
	t.Run("a form", func(t *testing.T) {
		tab := browser.Person(t, "visitor")
		tab.Go(at + "/good")
		tab.Fill("#name", "new & <b>bold</b>")
		if got := tab.Press("button"); got != http.StatusUnprocessableEntity {
			t.Errorf("status %d", got)
		}
		if got, want := tab.Text(), "new & bold"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("a page that moves", func(t *testing.T) {
		tab := browser.Person(t, "visitor")
		tab.Go(at + "/good")
		if got := tab.Shift(); got != 0 {
			t.Errorf("a good page moves by %d", got)
		}
		tab.Go(at + "/moving")
		tab.Wait("#late")
		if got := tab.Shift(); got == 0 {
			t.Error("a moving page was not noticed")
		}
	})
	t.Run("axe-core, weight and width", func(t *testing.T) {
		tab := browser.Person(t, "visitor")
		tab.Go(at + "/good")
		if found := tab.Accessible(t); len(found) > 0 {
			t.Errorf("a good page is found wrong: %q", found)
		}
		tab.Go(at + "/unlabelled")
		if found := strings.Join(tab.Accessible(t), "\n"); !strings.Contains(found, "label: ") {
			t.Errorf("the missing label was not found: %q", found)
		}
		if got := tab.Weight(); got < 200 || got > 3000 {
			t.Errorf("the page weighs %d bytes", got)
		}
		tab.Look("dark", 360, 740)
		if got := tab.Sideways(); got < 100 {
			t.Errorf("%d pixels sideways", got)
		}
		if dark := peers.Eval[bool](tab, `matchMedia("(prefers-color-scheme: dark)").matches`); !dark {
			t.Error("the theme is not dark")
		}
		tab.Go(at + "/good")
		if got := tab.Sideways(); got != 0 {
			t.Errorf("%d pixels sideways on a narrow page", got)
		}
		if picture := tab.Picture(60); !strings.HasPrefix(string(picture), "\xff\xd8") {
			t.Error("no JPEG")
		}
	})
}
