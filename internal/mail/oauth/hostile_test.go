package oauth_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/secret"
)

func refresh(t *testing.T, cfg oauth.Config, s oauth.Settings) (oauth.Tokens, error) {
	t.Helper()
	return oauth.NewClient(cfg).Refresh(t.Context(), s, bySecret(), secret.New(oldRefresh))
}

// A success that is none gives no token, least of all an empty one.
func TestAnAnswerThatIsNoneGivesNoToken(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"a page", "<html><body>Sign in " + clientSecret + "</body></html>", "not one of an authority"},
		{"nothing", "", "not one of an authority"},
		{"a list", "[]", "not one of an authority"},
		{"null", "null", "no access token"},
		{"an empty object", "{}", "no access token"},
		{"two objects", tokens(nil) + tokens(nil), "not one of an authority"},
		{"no access token", tokens(map[string]any{"access_token": nil}), "no access token"},
		{"an empty access token", tokens(map[string]any{"access_token": ""}), "no access token"},
		{"an access token that is a number", tokens(map[string]any{"access_token": 7}), "not one of an authority"},
		{"CR LF in the access token", tokens(map[string]any{"access_token": "canary\r\nMAIL FROM:<>"}), "access token holds a character"},
		{"LF at its end", tokens(map[string]any{"access_token": "canary\n"}), "access token holds a character"},
		{"\\x01 in it", tokens(map[string]any{"access_token": "canary\x01\x01"}), "access token holds a character"},
		{"NUL in it", tokens(map[string]any{"access_token": "canary\x00"}), "access token holds a character"},
		{"a space in it", tokens(map[string]any{"access_token": "canary x"}), "access token holds a character"},
		{"= in its middle", tokens(map[string]any{"access_token": "canary=x"}), "access token holds a character"},
		{"= alone", tokens(map[string]any{"access_token": "=="}), "access token holds a character"},
		{"other letters", tokens(map[string]any{"access_token": "canäry"}), "access token holds a character"},
		{"CR LF in the refresh token", tokens(map[string]any{"refresh_token": "canary\r\nx"}), "refresh token holds a character"},
		{"a space in the refresh token", tokens(map[string]any{"refresh_token": "canary x"}), "refresh token holds a character"},
		{"another type", tokens(map[string]any{"token_type": "mac"}), "not a bearer token"},
		{"no type", tokens(map[string]any{"token_type": nil}), "not a bearer token"},
		{"expires_in missing", tokens(map[string]any{"expires_in": nil}), "how long"},
		{"expires_in 0", tokens(map[string]any{"expires_in": 0}), "how long"},
		{"expires_in negative", tokens(map[string]any{"expires_in": -3600}), "how long"},
		{"expires_in in words", tokens(map[string]any{"expires_in": "an hour"}), "how long"},
		{"expires_in empty", tokens(map[string]any{"expires_in": ""}), "how long"},
		{"expires_in broken", tokens(map[string]any{"expires_in": 0.5}), "how long"},
		{"expires_in in an object", tokens(map[string]any{"expires_in": map[string]int{"s": 5}}), "how long"},
		{"expires_in true", tokens(map[string]any{"expires_in": true}), "how long"},
		{"expires_in of 1,000 years", tokens(map[string]any{"expires_in": 31_536_000_000}), "how long"},
		{"expires_in of 400 days", tokens(map[string]any{"expires_in": 400 * 24 * 3600}), "how long"},
		{"expires_in past every number", strings.Replace(tokens(nil), "4711", strings.Repeat("9", 400), 1), "how long"},
	} {
		a := serve(t, say(200, tt.body))
		got, err := refresh(t, a.config(t), a.microsoft(oauth.Consent))
		e := refused(t, err)
		if e.Stage != oauth.StageToken || e.Status != 200 || e.Host != a.host() || !strings.Contains(e.Text, tt.want) {
			t.Errorf("%s: got stage %s, %d, %q, want %q", tt.name, e.Stage, e.Status, e.Text, tt.want)
		}
		if !got.Access.IsZero() || !got.Refresh.IsZero() {
			t.Errorf("%s: tokens came of it", tt.name)
		}
	}
}

func TestARefusalWithAGoodStatusIsARefusal(t *testing.T) {
	a := serve(t, say(200, `{"error":"invalid_grant","error_description":"Gone."}`))
	_, err := refresh(t, a.config(t), a.generic(oauth.Consent))
	if e := refused(t, err); e.Code != "invalid_grant" || e.Text != "Gone." {
		t.Errorf("got %q %q", e.Code, e.Text)
	}
}

// An answer that sends the request elsewhere is a failure, also to a host that
// is allowed: the other origin is never connected to.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var connections atomic.Int64
	other := httptest.NewUnstartedServer(say(200, tokens(nil)))
	other.Config.ErrorLog = quiet()
	other.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	other.StartTLS()
	defer other.Close()
	for _, status := range []int{300, 301, 302, 303, 307, 308} {
		a := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Refresh", "0; url="+other.URL)
			http.Redirect(w, r, other.URL+"/token", status)
		})
		cfg := a.config(t, strings.TrimPrefix(other.URL, "https://"))
		_, err := refresh(t, cfg, a.microsoft(oauth.Consent))
		if e := refused(t, err); e.Stage != oauth.StageToken || e.Status != status || !strings.Contains(e.Text, "never followed") {
			t.Errorf("%d: %v", status, e)
		}
		// Nor does the client for others follow.
		c := oauth.NewClient(cfg)
		resp, err := c.HTTP().Post(a.URL, "text/plain", strings.NewReader(clientSecret))
		if err != nil || resp.StatusCode != status {
			t.Fatalf("%d: %v", status, err)
		}
		_ = resp.Body.Close()
		c.HTTP().CloseIdleConnections()
		if a.requests() != 2 {
			t.Errorf("%d: the authority was asked %d times, want 2", status, a.requests())
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("the other origin saw %d connections", n)
	}
	// It would have been counted.
	resp, err := other.Client().Get(other.URL)
	if err != nil || connections.Load() != 1 {
		t.Fatalf("the other origin counts nothing: %v", err)
	}
	_ = resp.Body.Close()
}

func TestTheHTTPClientTalksToAuthoritiesAlone(t *testing.T) {
	a, stranger := serve(t, say(200, "")), serve(t, say(200, ""))
	cfg := a.config(t)
	var dialed []string
	cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialed = append(dialed, address)
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	h := oauth.NewClient(cfg).HTTP()
	for _, address := range []string{stranger.URL, "http://" + a.host(), "https://example.org/", a.URL + ".example/"} {
		if resp, err := h.Post(address, "text/plain", strings.NewReader("x")); err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s was asked", address)
		}
	}
	if len(dialed) != 0 {
		t.Errorf("connected to %v", dialed)
	}
	if h.Jar != nil || h.Timeout != 10*time.Second {
		t.Errorf("the client keeps cookies, or waits %s", h.Timeout)
	}
}

// counted counts what the client reads.
type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n.Add(int64(n))
	return n, err
}

func TestAnEndlessAnswerIsCutOff(t *testing.T) {
	flood := func(w io.Writer, text string) {
		for {
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
		}
	}
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		stage  oauth.Stage
	}{
		"an endless body": {func(w http.ResponseWriter, _ *http.Request) { flood(w, strings.Repeat("x", 4096)) }, oauth.StageToken},
		"an endless refusal": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			flood(w, `{"error":"x",`+strings.Repeat(" ", 4096))
		}, oauth.StageToken},
		"a body that is one byte too long": {func(w http.ResponseWriter, _ *http.Request) {
			body := tokens(nil)
			_, _ = io.WriteString(w, body+strings.Repeat(" ", 64<<10+1-len(body)))
		}, oauth.StageToken},
		"an endless header": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			flood(conn, "X: "+strings.Repeat("x", 4096)+"\r\n")
		}, oauth.StageReach},
		"an endless line": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			flood(conn, strings.Repeat("x", 4096))
		}, oauth.StageReach},
		"endless interim answers": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			flood(conn, "HTTP/1.1 102 Processing\r\nX: "+strings.Repeat("x", 1024)+"\r\n\r\n")
		}, oauth.StageReach},
	} {
		a := serve(t, tt.answer)
		cfg := a.config(t)
		var read atomic.Int64
		cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return counted{conn, &read}, err
		}
		_, err := refresh(t, cfg, a.microsoft(oauth.Consent))
		if e := refused(t, err); e.Stage != tt.stage {
			t.Errorf("%s: %v", name, e)
		}
		if n := read.Load(); n > 512<<10 {
			t.Errorf("%s: %d bytes were read", name, n)
		}
	}
	body := tokens(nil)
	a := serve(t, say(200, body+strings.Repeat(" ", 64<<10-len(body))))
	if _, err := refresh(t, a.config(t), a.microsoft(oauth.Consent)); err != nil {
		t.Errorf("an answer of exactly 64 KiB: %v", err)
	}
}

// A token as long as an answer can be is taken.
func TestALongTokenIsTaken(t *testing.T) {
	long := strings.Repeat("a", 60<<10)
	a := serve(t, say(200, tokens(map[string]any{"access_token": long})))
	got, err := refresh(t, a.config(t), a.microsoft(oauth.Consent))
	if err != nil || got.Access.Reveal() != long {
		t.Errorf("got %d bytes, %v", len(got.Access.Reveal()), err)
	}
}

// An authority that answers a byte a second, or not at all, costs ten seconds:
// of a clock that stands still until everybody waits.
func TestASlowAnswerEndsAfterTenSeconds(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	server.Close()
	for name, answer := range map[string]string{
		"silence":    "",
		"the header": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100),
		"the body":   "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + strings.Repeat(" ", 100),
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &authority{Server: server}
			cfg := a.config(t)
			cfg.Now = nil
			var served sync.WaitGroup
			cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				served.Go(func() {
					conn := tls.Server(theirs, &tls.Config{Certificates: server.TLS.Certificates})
					defer func() { _ = conn.Close() }()
					if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
						_, _ = io.Copy(io.Discard, r.Body)
					}
					hungUp := make(chan struct{})
					served.Go(func() {
						defer close(hungUp)
						_, _ = io.Copy(io.Discard, conn)
					})
					for i := range len(answer) {
						time.Sleep(time.Second)
						if _, err := io.WriteString(conn, answer[i:i+1]); err != nil {
							return
						}
					}
					<-hungUp
				})
				return ours, nil
			}
			began := time.Now()
			_, err := oauth.NewClient(cfg).Refresh(t.Context(), a.microsoft(oauth.Consent), bySecret(), secret.New(oldRefresh))
			if e := refused(t, err); e.Stage != oauth.StageReach || !strings.Contains(e.Text, "in time") {
				t.Errorf("%s: %v", name, e)
			}
			if took := time.Since(began); took != 10*time.Second {
				t.Errorf("%s: took %s, want 10s", name, took)
			}
			served.Wait()
		})
	}
}

func TestWhereNoAuthorityIsReached(t *testing.T) {
	a := serve(t, say(200, tokens(nil)))
	old := httptest.NewUnstartedServer(say(200, tokens(nil)))
	old.Config.ErrorLog = quiet()
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10} //nolint:gosec // that is the point
	old.StartTLS()
	defer old.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	garbage := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			// What was sent comes back where a status line stands.
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s %s\r\n\r\n", clientSecret, oldRefresh)
			_ = conn.Close()
		}
	})
	hangup := serve(t, func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	cut := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, tokens(nil))
	})
	for _, tt := range []struct {
		name, address string
		cfg           oauth.Config
		want          string
	}{
		{"nobody listens", "https://" + gone.Addr().String(), a.config(t, gone.Addr().String()), "cannot be connected to"},
		{"an unknown certificate", a.URL, func() oauth.Config { c := a.config(t); c.Roots = nil; return c }(), "not trusted"},
		{"the certificate of another name", strings.Replace(a.URL, "127.0.0.1", "localhost", 1), a.config(t, strings.Replace(a.host(), "127.0.0.1", "localhost", 1)), "not trusted"},
		{"TLS 1.1", old.URL, a.config(t, strings.TrimPrefix(old.URL, "https://")), "TLS"},
		{"no HTTP", garbage.URL, a.config(t, garbage.host()), "broke off"},
		{"a hang-up", hangup.URL, a.config(t, hangup.host()), "broke off"},
		{"an answer cut short", cut.URL, a.config(t, cut.host()), "broke off"},
		{"the address where a cloud tells secrets", "https://169.254.169.254", a.config(t, "169.254.169.254"), "local link"},
		{"the same as IPv6", "https://[::ffff:169.254.169.254]", a.config(t, "[::ffff:169.254.169.254]"), "local link"},
		{"no address at all as IPv6", "https://[::ffff:0.0.0.0]:8443", a.config(t, "[::ffff:0.0.0.0]:8443"), "local link"},
		{"no address at all", "https://0.0.0.0:8443", a.config(t, "0.0.0.0:8443"), "local link"},
	} {
		s := a.generic(oauth.Consent)
		s.TokenURL, s.AuthorizeURL = tt.address+"/token", a.URL+"/authorize"
		_, err := refresh(t, tt.cfg, s)
		if e := refused(t, err); e.Stage != oauth.StageReach || e.Status != 0 || !strings.Contains(e.Text, tt.want) {
			t.Errorf("%s: got %s %q (%v), want %q", tt.name, e.Stage, e.Text, e.Err, tt.want)
		}
	}
	if n := a.requests(); n != 0 {
		t.Errorf("the authority saw %d requests without TLS that is verified", n)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err = oauth.NewClient(a.config(t)).Refresh(ctx, a.microsoft(oauth.Consent), bySecret(), secret.New(oldRefresh))
	if e := refused(t, err); e.Stage != oauth.StageReach || !strings.Contains(e.Text, "stopped") {
		t.Errorf("stopped: %v", e)
	}
}

func TestReachVerifiesTheAuthorityAndSendsNothing(t *testing.T) {
	a := serve(t, say(404, ""))
	state, err := oauth.NewClient(a.config(t)).Reach(t.Context(), a.microsoft(oauth.Consent))
	if err != nil || len(state.PeerCertificates) == 0 || !state.PeerCertificates[0].Equal(a.Certificate()) || state.Version < tls.VersionTLS12 {
		t.Errorf("got %v, TLS %x", err, state.Version)
	}
	if form := a.form(t); len(form) != 0 || a.seen[0].URL.String() != "/" {
		t.Errorf("the authority saw %s with %v", a.seen[0].URL, form)
	}
	cfg := a.config(t)
	cfg.Roots = nil
	_, err = oauth.NewClient(cfg).Reach(t.Context(), a.microsoft(oauth.Consent))
	if e := refused(t, err); e.Stage != oauth.StageReach || !strings.Contains(e.Text, "not trusted") {
		t.Errorf("got %v", e)
	}
}

// proxy is a CONNECT proxy that records what passes through it.
type proxy struct {
	*httptest.Server
	mu      sync.Mutex
	asked   []string
	auth    []string
	passing strings.Builder
}

func connectProxy(t *testing.T, status int) *proxy {
	p := &proxy{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked, p.auth = append(p.asked, r.Method+" "+r.Host), append(p.auth, r.Header.Get("Proxy-Authorization"))
		p.mu.Unlock()
		if status != 200 {
			http.Error(w, "canary of the proxy", status)
			return
		}
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(502)
			return
		}
		defer func() { _ = there.Close() }()
		here, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = here.Close() }()
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(here, there) }()
		_, _ = io.Copy(io.MultiWriter(there, p), here)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *proxy) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passing.Write(b)
}

func TestAProxyConnectsAndSeesNothing(t *testing.T) {
	a := serve(t, say(200, tokens(nil)))
	p := connectProxy(t, 200)
	cfg := a.config(t)
	var err error
	if cfg.Proxy, err = url.Parse(strings.Replace(p.URL, "http://", "http://sealpost:pass@", 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := refresh(t, cfg, a.microsoft(oauth.Consent)); err != nil {
		t.Fatal(err)
	}
	if _, err := oauth.NewClient(cfg).Reach(t.Context(), a.microsoft(oauth.Consent)); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	want := "CONNECT " + a.host()
	if len(p.asked) != 2 || p.asked[0] != want || p.asked[1] != want || p.auth[0] != "Basic c2VhbHBvc3Q6cGFzcw==" {
		t.Errorf("the proxy was asked %q with %q", p.asked, p.auth)
	}
	for _, c := range canaries {
		if strings.Contains(p.passing.String(), c) {
			t.Errorf("%q passed the proxy in clear", c)
		}
	}
	if p.passing.Len() == 0 {
		t.Error("nothing passed the proxy")
	}
}

func TestAProxyThatRefusesIsNamed(t *testing.T) {
	a := serve(t, say(200, tokens(nil)))
	for _, status := range []int{403, 407, 502} {
		cfg := a.config(t)
		var err error
		if cfg.Proxy, err = url.Parse(strings.Replace(connectProxy(t, status).URL, "http://", "http://sealpost:canary@", 1)); err != nil {
			t.Fatal(err)
		}
		_, err = refresh(t, cfg, a.microsoft(oauth.Consent))
		if e := refused(t, err); e.Stage != oauth.StageReach || e.Status != 0 || !strings.Contains(e.Text, fmt.Sprint("proxy does not connect to the authority: it answered ", status)) {
			t.Errorf("%d: %v", status, e)
		}
	}
	if a.requests() != 0 {
		t.Error("the authority was asked past the proxy")
	}
}
