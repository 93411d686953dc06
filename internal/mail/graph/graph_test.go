package graph_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sealpost/sealpost/internal/mail/graph"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// canary is the token, which must stand in no error and no transcript.
const canary = "eyJ0eXAi.CANARY-7731-token~with+every/character_of-it=="

const letterText = "From: vault@example.org\r\nTo: ada@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello.\r\n"

// asked is a request that the server saw.
type asked struct {
	method, path, token, contentType, body string
}

// rig is Microsoft Graph, as far as a test needs it.
type rig struct {
	t      *testing.T
	server *httptest.Server
	cfg    graph.Config
	events []smtp.Event

	mu    sync.Mutex
	seen  []asked
	reply http.HandlerFunc
}

// newRig returns a server that answers letters with reply.
func newRig(t *testing.T, reply http.HandlerFunc) *rig {
	r := &rig{t: t, reply: reply}
	r.server = httptest.NewUnstartedServer(http.HandlerFunc(r.serve))
	r.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.server.EnableHTTP2 = strings.Contains(t.Name(), "HTTP2")
	r.server.StartTLS()
	t.Cleanup(r.server.Close)
	r.cfg = graph.Config{
		URL: r.server.URL, Token: secret.New(canary), HTTP: r.server.Client(), Transcript: &smtp.Transcript{},
		Observe: func(e smtp.Event) { r.events = append(r.events, e) },
	}
	return r
}

func (r *rig) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // it was broken off
	}
	r.mu.Lock()
	token, _ := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	r.seen = append(r.seen, asked{req.Method, req.URL.EscapedPath(), token, req.Header.Get("Content-Type"), string(body)})
	r.mu.Unlock()
	w.Header().Set("Request-Id", "11111111-2222-3333-4444-555555555555")
	if req.Method == http.MethodHead {
		return
	}
	r.reply(w, req)
}

// requests returns those with a method.
func (r *rig) requests(method string) []asked {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.seen), func(a asked) bool { return a.method != method })
}

func (r *rig) dial() *graph.Conn {
	r.t.Helper()
	c, err := graph.Dial(r.t.Context(), r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func letterTo(to string) smtp.Submission {
	return smtp.Submission{From: "vault@example.org", To: []string{to}, Body: []byte(letterText)}
}

// send sends one letter.
func send(ctx context.Context, c *graph.Conn, s smtp.Submission) smtp.Result {
	r := smtp.Result{Err: &smtp.Error{Text: "done was not called"}}
	err := c.Send(ctx, smtp.Each(s), func(_ int, got smtp.Result) { r = got })
	if err != nil && r.Err == nil {
		r.Err = &smtp.Error{Err: err}
	}
	return r
}

// wantQuiet checks that the token stands nowhere.
func (r *rig) wantQuiet(texts ...string) {
	r.t.Helper()
	for _, text := range append(texts, r.cfg.Transcript.String()) {
		for i := 0; i+12 <= len(canary); i++ {
			if strings.Contains(text, canary[i:i+12]) {
				r.t.Fatalf("the token stands in %q", text)
			}
		}
	}
}

func accept(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }

// says answers as Graph does when it refuses.
func says(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		// A map of maps of strings can always be marshalled.
		body, _ := json.Marshal(map[string]map[string]string{"error": {"code": code, "message": message}})
		_, _ = w.Write(body)
	}
}

func TestALetterIsHandedOverAsMIME(t *testing.T) {
	for _, c := range []struct{ name, mailbox, path string }{
		{"by the one who signed in", "", "/v1.0/me/sendMail"},
		{"by an application", "vault@example.org", "/v1.0/users/vault@example.org/sendMail"},
		{"from a mailbox that a path could not hold", "a/../b?c#d@example.org", "/v1.0/users/a%2F..%2Fb%3Fc%23d@example.org/sendMail"},
		{"over HTTP2", "", "/v1.0/me/sendMail"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, accept)
			r.cfg.Mailbox = c.mailbox
			conn := r.dial()
			var steps []string
			s := letterTo("ada@example.org")
			s.BeforeContent = func() bool {
				steps = append(steps, fmt.Sprint("before, requests: ", len(r.requests(http.MethodPost))))
				return true
			}
			wrote := make(chan struct{})
			s.AfterContent = func() { close(wrote) }
			got := send(t.Context(), conn, s)
			if got.Err != nil {
				t.Fatal(got.Err)
			}
			<-wrote
			if !slices.Equal(steps, []string{"before, requests: 0"}) {
				t.Errorf("got the steps %q", steps)
			}
			if got.Reply.Code != 202 || got.QueueID != "11111111-2222-3333-4444-555555555555" {
				t.Errorf("got reply %v and id %q", got.Reply, got.QueueID)
			}
			posts := r.requests(http.MethodPost)
			if len(posts) != 1 {
				t.Fatalf("got %d requests", len(posts))
			}
			mime, err := base64.StdEncoding.DecodeString(posts[0].body)
			if err != nil || string(mime) != letterText {
				t.Errorf("got the letter %q, %v", mime, err)
			}
			if p := posts[0]; p.path != c.path || p.token != canary || p.contentType != "text/plain" {
				t.Errorf("got %+v", p)
			}
			if !conn.Usable() || !conn.Alive(t.Context()) || conn.Certificate() == nil || conn.Idle() > time.Minute {
				t.Error("the connection is not as it was")
			}
			r.wantQuiet()
		})
	}
}

func TestConnectingShowsNoToken(t *testing.T) {
	r := newRig(t, accept)
	conn := r.dial()
	if conn.Certificate() == nil {
		t.Error("no certificate")
	}
	heads := r.requests(http.MethodHead)
	if len(heads) != 1 || heads[0].token != "" || heads[0].path != "/v1.0/" {
		t.Errorf("got %+v", heads)
	}
	if len(r.events) != 2 || r.events[0].Stage != smtp.StageConnect || r.events[1].TLS == nil {
		t.Errorf("got the steps %+v", r.events)
	}
	if err := conn.Close(); err != nil || conn.Usable() {
		t.Error("the connection is still there", err)
	}
	if got := send(t.Context(), conn, letterTo("ada@example.org")); got.Err == nil || len(r.requests(http.MethodPost)) != 0 {
		t.Error("a letter left on a connection that was closed")
	}
}

func TestARefusalTellsWhatGraphSaid(t *testing.T) {
	const id = " (request-id 11111111-2222-3333-4444-555555555555)"
	html := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "<html>down</html>")
	}
	for _, c := range []struct {
		name   string
		reply  http.HandlerFunc
		text   string
		code   int
		usable bool
	}{
		{"token", says(401, "InvalidAuthenticationToken", "Access token has expired."), "InvalidAuthenticationToken: Access token has expired." + id, 401, false},
		{"rights", says(403, "ErrorAccessDenied", "Access is denied."), "ErrorAccessDenied: Access is denied." + id, 403, true},
		{"letter", says(400, "ErrorMimeContentInvalidBase64String", "Invalid base64."), "ErrorMimeContentInvalidBase64String: Invalid base64." + id, 400, true},
		{"size", says(413, "RequestEntityTooLarge", ""), "RequestEntityTooLarge" + id, 413, true},
		{"no JSON", html, "Service Unavailable" + id, 503, true},
		{"hostile words", says(400, "X\r\nY", "a\x00b\u202ec\nd"), "X Y: a b c d" + id, 400, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.reply)
			conn := r.dial()
			got := send(t.Context(), conn, letterTo("ada@example.org")).Err
			if got.Stage != graph.Stage || got.Kind != smtp.KindReply || got.Code != c.code || got.Text != c.text || got.Uncertain || !got.Bearer {
				t.Errorf("got %+v, want %d %q", got, c.code, c.text)
			}
			if conn.Usable() != c.usable {
				t.Errorf("usable is %t", conn.Usable())
			}
			r.wantQuiet(got.Error(), got.Reply())
		})
	}
}

func TestGraphSaysHowLongItWantsToBeLeftAlone(t *testing.T) {
	for _, c := range []struct {
		value    string
		min, max time.Duration
	}{
		{"17", 17 * time.Second, 17 * time.Second},
		{time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat), 30 * time.Second, 90 * time.Second},
		{time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), 0, 0},
		{"-5", 0, 0},
		{"soon", 0, 0},
		{"", 0, 0},
	} {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			if c.value != "" {
				w.Header().Set("Retry-After", c.value)
			}
			says(429, "ApplicationThrottled", "Too many requests")(w, req)
		})
		got := send(t.Context(), r.dial(), letterTo("ada@example.org")).Err
		if got.Code != 429 || got.After < c.min || got.After > c.max {
			t.Errorf("%q: got %+v, want between %v and %v", c.value, got, c.min, c.max)
		}
	}
}

func TestGraphThatIsBusyIsNotConnectedTo(t *testing.T) {
	r := newRig(t, accept)
	r.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	_, err := graph.Dial(t.Context(), r.cfg)
	var e *smtp.Error
	if !errors.As(err, &e) || e.Code != 503 || e.After != 30*time.Second || e.Stage != graph.Stage {
		t.Errorf("got %v", err)
	}
}

// hijack takes the connection away from the server and drops it.
func hijack(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

func TestALostAnswerIsUncertain(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { hijack(w) })
	conn := r.dial()
	got := send(t.Context(), conn, letterTo("ada@example.org")).Err
	if !got.Uncertain || got.Stage != graph.Stage || got.Kind != smtp.KindNetwork || conn.Usable() {
		t.Errorf("got %+v", got)
	}
	if n := len(r.requests(http.MethodPost)); n != 1 {
		t.Errorf("the letter was sent %d times", n)
	}
	r.wantQuiet(got.Error())
}

func TestAnAnswerThatDoesNotComeIsUncertain(t *testing.T) {
	release := make(chan struct{})
	r := newRig(t, func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-release:
		case <-req.Context().Done():
		}
	})
	defer close(release)
	conn := r.dial()
	ctx, cancel := context.WithCancel(t.Context())
	s := letterTo("ada@example.org")
	s.AfterContent = cancel
	got := send(ctx, conn, s).Err
	if !got.Uncertain || got.Kind != smtp.KindCancelled || conn.Usable() {
		t.Errorf("got %+v", got)
	}
	r.cfg.Timeout = time.Second
	got = send(t.Context(), r.dial(), letterTo("ada@example.org")).Err
	if !got.Uncertain || got.Kind != smtp.KindTimeout {
		t.Errorf("got %+v", got)
	}
}

// A letter of which only a part left is not uncertain: no server takes that for
// a whole one.
func TestALetterThatLeftInPartIsNotUncertain(t *testing.T) {
	r := newRig(t, accept)
	// This one takes the start of a letter and closes.
	stub := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodHead {
			return
		}
		var start [1000]byte
		_, _ = io.ReadFull(req.Body, start[:])
		hijack(w)
	}))
	stub.StartTLS()
	defer stub.Close()
	// What no buffer on the way holds.
	r.cfg.URL, r.cfg.HTTP, r.cfg.MaxSize = stub.URL, stub.Client(), 64<<20
	conn := r.dial()
	s := letterTo("ada@example.org")
	s.Body = []byte(letterText + strings.Repeat("A line of a long letter.\r\n", 1_500_000))
	got := send(t.Context(), conn, s).Err
	if got.Uncertain || got.Kind != smtp.KindNetwork || conn.Usable() {
		t.Errorf("got %+v", got)
	}
}

func TestASuccessThatGraphDoesNotKnowIsUncertain(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "welcome") })
	got := send(t.Context(), r.dial(), letterTo("ada@example.org")).Err
	if !got.Uncertain || got.Kind != smtp.KindProtocol {
		t.Errorf("got %+v", got)
	}
}

// Who stands between Graph and us does not know what became of a letter that it
// passed on.
func TestAGatewaysRefusalIsUncertain(t *testing.T) {
	for status, uncertain := range map[int]bool{502: true, 504: true, 500: false, 503: false} {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body)
			w.WriteHeader(status)
		})
		got := send(t.Context(), r.dial(), letterTo("ada@example.org")).Err
		if got.Uncertain != uncertain || got.Kind != smtp.KindReply || got.Code != status {
			t.Errorf("%d: got %+v", status, got)
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	evil := newRig(t, accept)
	for _, status := range []int{301, 302, 303, 307, 308} {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, evil.server.URL+"/v1.0/me/sendMail", status)
		})
		conn := r.dial()
		got := send(t.Context(), conn, letterTo("ada@example.org")).Err
		if got.Kind != smtp.KindReply || got.Code != status || got.Uncertain {
			t.Errorf("%d: got %+v", status, got)
		}
	}
	if len(evil.seen) != 0 {
		t.Errorf("the other server was asked: %+v", evil.seen)
	}
}

func TestALetterThatIsTooLargeDoesNotLeave(t *testing.T) {
	r := newRig(t, accept)
	conn := r.dial()
	s := letterTo("ada@example.org")
	s.Body = make([]byte, 3_000_001)
	got := send(t.Context(), conn, s).Err
	if got.Kind != smtp.KindInput || got.Stage != graph.Stage || !strings.Contains(got.Text, "3000001 bytes") || !conn.Usable() {
		t.Errorf("got %+v", got)
	}
	s.To = nil
	s.Body = []byte("x")
	if got := send(t.Context(), conn, s).Err; got.Kind != smtp.KindInput {
		t.Errorf("a letter to nobody: %+v", got)
	}
	if n := len(r.requests(http.MethodPost)); n != 0 {
		t.Errorf("%d letters left", n)
	}
	s = letterTo("ada@example.org")
	s.Body = make([]byte, 3_000_000)
	if got := send(t.Context(), conn, s); got.Err != nil {
		t.Error(got.Err)
	}
	if size := len(r.requests(http.MethodPost)[0].body); size > 4_000_000 {
		t.Errorf("the request has %d bytes", size)
	}
}

func TestTheTokenIsNotRepeated(t *testing.T) {
	for _, echo := range []string{canary, "you sent Bearer " + canary, "began with " + canary[:20] + "...", "ended with " + canary[len(canary)-15:]} {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Request-Id", echo)
			says(400, echo, echo)(w, req)
		})
		got := send(t.Context(), r.dial(), letterTo("ada@example.org"))
		r.wantQuiet(got.Err.Error(), got.Err.Reply(), fmt.Sprintf("%+v", got))
	}
	// A successful answer may repeat it too.
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Request-Id", canary)
		w.WriteHeader(http.StatusAccepted)
	})
	got := send(t.Context(), r.dial(), letterTo("ada@example.org"))
	r.wantQuiet(got.QueueID, fmt.Sprintf("%+v %+v", got, r.events))
}

func TestSettingsThatWouldCarryTheTokenAstrayAreRefused(t *testing.T) {
	r := newRig(t, accept)
	for name, change := range map[string]func(*graph.Config){
		"in clear":        func(c *graph.Config) { c.URL = strings.Replace(c.URL, "https:", "http:", 1) },
		"no host":         func(c *graph.Config) { c.URL = "https:///v1.0" },
		"user in address": func(c *graph.Config) { c.URL = strings.Replace(c.URL, "https://", "https://a:b@", 1) },
		"query":           func(c *graph.Config) { c.URL += "?x=" },
		"no token":        func(c *graph.Config) { c.Token = secret.Value{} },
		"line in token":   func(c *graph.Config) { c.Token = secret.New("abc\r\nX-Evil: 1") },
		"control A":       func(c *graph.Config) { c.Token = secret.New("abc\x01") },
		"only padding":    func(c *graph.Config) { c.Token = secret.New("==") },
		"up the path":     func(c *graph.Config) { c.Mailbox = ".." },
	} {
		cfg := r.cfg
		change(&cfg)
		_, err := graph.Dial(t.Context(), cfg)
		var e *smtp.Error
		if !errors.As(err, &e) || e.Kind != smtp.KindInput {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if len(r.seen) != 0 {
		t.Errorf("the server was asked: %+v", r.seen)
	}
}

func TestWhatKeepsGraphFromBeingReached(t *testing.T) {
	r := newRig(t, accept)
	stranger := &http.Transport{}
	stranger.TLSClientConfig = r.server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	stranger.TLSClientConfig.RootCAs = x509.NewCertPool()
	defer stranger.CloseIdleConnections()
	failing := func(err error) *http.Client {
		return &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, err }}}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name  string
		ctx   context.Context
		http  *http.Client
		stage smtp.Stage
		kind  smtp.Kind
	}{
		{"unknown authority", t.Context(), &http.Client{Transport: stranger}, smtp.StageTLS, smtp.KindTLS},
		{"no such name", t.Context(), failing(&net.DNSError{Err: "no such host", IsNotFound: true}), smtp.StageResolve, smtp.KindNetwork},
		{"refused", t.Context(), failing(&net.OpError{Op: "dial", Err: errors.New("refused")}), smtp.StageConnect, smtp.KindNetwork},
		{"not allowed", t.Context(), failing(&smtp.Error{Stage: smtp.StageConnect, Kind: smtp.KindInput, Text: "not here"}), smtp.StageConnect, smtp.KindInput},
		{"cancelled", over, r.cfg.HTTP, graph.Stage, smtp.KindCancelled},
	} {
		cfg := r.cfg
		cfg.HTTP = c.http
		_, err := graph.Dial(c.ctx, cfg)
		var e *smtp.Error
		if !errors.As(err, &e) || e.Stage != c.stage || e.Kind != c.kind || e.Uncertain || !e.Bearer {
			t.Errorf("%s: got %+v, want %s %s", c.name, err, c.stage, c.kind)
		}
	}
}

func TestLettersLeaveOneAfterTheOtherUntilTheConnectionEnds(t *testing.T) {
	var n atomic.Int64
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if n.Add(1) == 2 {
			says(401, "InvalidAuthenticationToken", "")(w, req)
			return
		}
		accept(w, req)
	})
	conn := r.dial()
	var done []string
	err := conn.Send(t.Context(), smtp.Each(letterTo("a@x"), letterTo("b@x"), letterTo("c@x")), func(i int, r smtp.Result) {
		done = append(done, fmt.Sprintf("%d:%t", i, r.Err == nil))
	})
	if err == nil || !slices.Equal(done, []string{"0:true", "1:false"}) {
		t.Errorf("got %v, %v", done, err)
	}
}
