package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/server"
)

func ask(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEveryAnswerHasTheSecurityHeaders(t *testing.T) {
	h := server.Chain(http.NotFoundHandler(), server.ChainConfig{Log: quiet})
	res := ask(h, httptest.NewRequest("GET", "/nowhere", nil))
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
			"font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Cache-Control":                "no-store",
		"Strict-Transport-Security":    "",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	h = server.Chain(http.NotFoundHandler(), server.ChainConfig{Log: quiet, HSTS: true})
	if got := ask(h, httptest.NewRequest("GET", "/", nil)).Header.Get("Strict-Transport-Security"); got == "" {
		t.Error("no HSTS where it was asked for")
	}
}

func TestTheClientsAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "203.0.113.9:4000", nil, "203.0.113.9"},
		{"a stranger's word counts for nothing", "203.0.113.9:4000", []string{"198.51.100.1"}, "203.0.113.9"},
		{"a trusted proxy", "10.0.0.1:4000", []string{"203.0.113.9"}, "203.0.113.9"},
		{"what the client wrote before the proxy", "10.0.0.1:4000", []string{"127.0.0.1, 203.0.113.9"}, "203.0.113.9"},
		{"the same in two headers", "10.0.0.1:4000", []string{"127.0.0.1", "203.0.113.9"}, "203.0.113.9"},
		{"two trusted proxies", "10.0.0.1:4000", []string{"1.2.3.4, 203.0.113.9, 10.9.9.9"}, "203.0.113.9"},
		{"only proxies", "10.0.0.1:4000", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"garbage ends the walk", "10.0.0.1:4000", []string{"203.0.113.9, <b>"}, "10.0.0.1"},
		{"an empty header", "10.0.0.1:4000", []string{""}, "10.0.0.1"},
		{"with a port", "10.0.0.1:4000", []string{"203.0.113.9:55555"}, "203.0.113.9"},
		{"IPv6", "[fd00::1]:4000", []string{"2001:db8::7"}, "2001:db8::7"},
		{"IPv6 in brackets", "[fd00::1%eth0]:4000", []string{"[2001:db8::7]:443"}, "2001:db8::7"},
		{"IPv4 on an IPv6 socket", "[::ffff:10.0.0.1]:4000", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"no address at all", "@", nil, "invalid IP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			h := server.Chain(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got = server.ClientAddr(r).String()
			}), server.ChainConfig{Log: quiet, TrustedProxies: trusted})
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = tt.peer
			r.Header["X-Forwarded-For"] = tt.forwarded
			ask(h, r)
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestAPanicIsAnsweredWithAReferenceThatTheLogHas(t *testing.T) {
	var log bytes.Buffer
	h := server.Chain(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("kaputt") }),
		server.ChainConfig{Log: slog.New(slog.NewTextHandler(&log, nil))})
	res := ask(h, httptest.NewRequest("GET", "/", nil))
	id := res.Header.Get("X-Request-Id")
	body := text(t, res)
	if res.StatusCode != 500 || id == "" || !strings.Contains(body, id) || strings.Contains(body, "kaputt") {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
	if !strings.Contains(log.String(), "kaputt") || !strings.Contains(log.String(), "request_id="+id) {
		t.Errorf("the log has no such reference: %s", log.String())
	}
}

func TestAPanicInTheMiddleOfAnAnswerCutsIt(t *testing.T) {
	s := start(t, server.Chain(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic("kaputt")
	}), server.ChainConfig{Log: quiet}), nil)
	res, err := s.client.Get(s.url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("half an answer arrived as a whole one")
	}
}

func TestABodyThatIsTooLargeIsRefused(t *testing.T) {
	var seen error
	h := server.Chain(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, seen = io.ReadAll(r.Body)
		if seen != nil {
			w.WriteHeader(server.StatusOf(seen))
		}
	}), server.ChainConfig{Log: quiet, MaxBody: 10})
	for _, tt := range []struct {
		name string
		body io.Reader
		want int
	}{
		{"small enough", strings.NewReader("0123456789"), 200},
		{"announced as too large", strings.NewReader("0123456789x"), 413},
		{"too large without saying so", io.MultiReader(strings.NewReader("0123456789x")), 413},
	} {
		seen = errors.New("the handler was not reached")
		if got := ask(h, httptest.NewRequest("POST", "/", tt.body)).StatusCode; got != tt.want {
			t.Errorf("%s: got %d, want %d (%v)", tt.name, got, tt.want, seen)
		}
	}
}

func TestTheLogHoldsNothingThatTheClientChose(t *testing.T) {
	var log bytes.Buffer
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{id}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	var seen []server.Answered
	h := server.Chain(mux, server.ChainConfig{
		Log: slog.New(slog.NewJSONHandler(&log, nil)), Observe: func(a server.Answered) { seen = append(seen, a) },
	})
	r := httptest.NewRequest("GET", "/users/canary?token=canary", nil)
	r.Header.Set("User-Agent", "canary")
	r.Header.Set("X-Request-Id", "canary")
	ask(h, r)
	var line struct {
		Method, Pattern string
		Status, Bytes   int
		RequestID       string `json:"request_id"`
	}
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line.Method != "GET" || line.Pattern != "/users/{id}" || line.Status != 200 || line.Bytes != 5 || len(line.RequestID) != 16 {
		t.Errorf("got %+v", line)
	}
	ask(h, httptest.NewRequest("CANARY", "/canary", nil))
	if strings.Contains(strings.ToLower(log.String()), "canary") {
		t.Errorf("the log holds what the client sent: %s", log.String())
	}
	if len(seen) != 2 || seen[0].Pattern != "/users/{id}" || seen[1].Method != "other" {
		t.Errorf("got %+v", seen)
	}
}

func TestQuietPatternsAreLoggedAtTheLevelDebug(t *testing.T) {
	var log bytes.Buffer
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	h := server.Chain(mux, server.ChainConfig{
		Log: slog.New(slog.NewTextHandler(&log, nil)), Quiet: func(p string) bool { return p == "/healthz" },
	})
	ask(h, httptest.NewRequest("GET", "/healthz", nil))
	if log.Len() != 0 {
		t.Errorf("got %s", log.String())
	}
	ask(h, httptest.NewRequest("GET", "/healthz?bad", nil))
	if !strings.Contains(log.String(), "status=503") {
		t.Errorf("a failure was not logged: %s", log.String())
	}
}

func TestRequestsHaveIDsOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	h := server.Chain(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen[server.RequestID(r.Context())] = true
	}), server.ChainConfig{Log: quiet})
	for range 3 {
		ask(h, httptest.NewRequest("GET", "/", nil))
	}
	if len(seen) != 3 || seen[""] {
		t.Errorf("got %v", seen)
	}
	if id := server.RequestID(t.Context()); id != "" {
		t.Errorf("got %q outside of a request", id)
	}
}
