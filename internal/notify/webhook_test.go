package notify_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/notify"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

const key = "0123456789abcdef-key"

// receiver is the other end of a webhook.
type receiver struct {
	t      testing.TB
	server *httptest.Server
	mu     sync.Mutex
	got    []map[string]string
	// answer says what comes next; nil is 204.
	answer http.HandlerFunc
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{t: t}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		r.t.Error(err)
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(body)
	if got, want := req.Header.Get("X-Sealpost-Signature"), "sha256="+hex.EncodeToString(mac.Sum(nil)); got != want {
		r.t.Errorf("signed %q, want %q", got, want)
	}
	if req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" || req.URL.Path != "/hooks/canary-path" {
		r.t.Errorf("%s %s, %v", req.Method, req.URL, req.Header)
	}
	var got map[string]string
	if err := json.Unmarshal(body, &got); err != nil {
		r.t.Errorf("%v in %s", err, body)
	}
	r.mu.Lock()
	r.got = append(r.got, got)
	answer := r.answer
	r.mu.Unlock()
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer(w, req)
}

func (r *receiver) say(answer http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// take returns what came since the last call.
func (r *receiver) take() []map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// texts returns the texts of what came since the last call.
func (r *receiver) texts() string {
	var all []string
	for _, a := range r.take() {
		all = append(all, a["text"])
	}
	return strings.Join(all, "; ")
}

// counts counts the results.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) observe(result string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[result] += n
}

func (r *rig) hook(to *receiver, c *counts) *notify.Webhook {
	r.t.Helper()
	config := r.settings(to)
	if c != nil {
		config.Observe = c.observe
	}
	w, err := notify.NewWebhook(config)
	r.must(err)
	return w
}

func (r *rig) settings(to *receiver) notify.WebhookConfig {
	return notify.WebhookConfig{
		DB: r.db, Audit: r.audit, Letters: r.letters, URL: secret.New(to.server.URL + "/hooks/canary-path?token=canary"), Key: secret.New(key),
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// run runs until there is no more to do at this moment.
func (r *rig) run(w *notify.Webhook) {
	r.t.Helper()
	for {
		more, err := w.Run(r.ctx())
		r.must(err)
		if !more {
			return
		}
	}
}

func paused(why string) audit.Event {
	return audit.Event{
		Action: "mail.paused", Kind: "mail_server", ID: "p1", Name: "smtp.office365.com:587", Reason: why,
		Detail: []audit.Detail{
			{Name: "server said", Value: "535 5.7.3 Authentication unsuccessful [AB1 2026-03-01T09:00:00.000Z 01]"},
			{Name: "what to do", Value: "Sign in again."},
			{Name: "command", Value: "Set-CASMailbox vault@example.org -SmtpClientAuthenticationDisabled $false"},
		},
	}
}

// What happens to mail is posted while no letter can leave, from the moment on
// that somebody asked for it, in order, and as the document says.
func TestAlertsArriveInOrderWhileMailIsPaused(t *testing.T) {
	each(t, func(r *rig) {
		to, seen := newReceiver(r.t), &counts{}
		r.did(paused("Before anybody asked."))
		r.run(r.hook(to, nil))
		r.update(func(tx *store.Tx) error {
			return r.box.GateOf(outbox.Main).CloseGate(tx, outbox.ReasonPaused, "Microsoft wants a new sign-in.")
		})
		r.did(paused("Microsoft wants a new sign-in."), audit.Event{Action: "user.edited", Reason: "not about mail"}, audit.Event{Action: "mail.tested"})
		r.update(func(tx *store.Tx) error {
			return r.audit.Append(tx, actor.Actor{Kind: actor.KindUser, UserID: "u1", Login: "grace"}, audit.Event{
				Action: "mail.signed_in", Kind: "mail_server", Name: "smtp.office365.com:587",
				Detail: []audit.Detail{{Name: "signed in as", Value: "vault@example.org"}, {Name: "sender address", Value: "x"}},
			})
		})
		r.did(audit.Event{Action: "mail.resumed", Name: "smtp.office365.com:587"})
		r.run(r.hook(to, seen))
		got := to.take()
		want := []map[string]string{
			{
				"action": "mail.paused", "title": "Mail is paused: letters wait", "advice": "Sign in again.",
				"text":    "Microsoft wants a new sign-in. The server said: 535 5.7.3 Authentication unsuccessful [AB1 2026-03-01T09:00:00.000Z 01]",
				"command": "Set-CASMailbox vault@example.org -SmtpClientAuthenticationDisabled $false",
			},
			{"action": "mail.signed_in", "title": "Somebody signed in for the mail server", "text": "By grace. Signed in as vault@example.org.", "advice": "", "command": ""},
			{"action": "mail.resumed", "title": "Mail leaves again", "text": "", "advice": "", "command": ""},
		}
		if len(got) != len(want) {
			r.t.Fatalf("got %v", got)
		}
		for i, w := range want {
			w["at"], w["host"], w["server"], w["url"] = "2026-03-01T09:00:00Z", "vault.example.org:7272", "smtp.office365.com:587", "https://vault.example.org:7272/admin/settings/mail"
			w["id"] = got[i]["id"]
			if !reflect.DeepEqual(got[i], w) || w["id"] == "" || i > 0 && w["id"] == got[i-1]["id"] {
				r.t.Errorf("got  %v\nwant %v", got[i], w)
			}
		}
		if seen.n[notify.Posted] != 3 || len(seen.n) != 1 {
			r.t.Errorf("counted %v", seen.n)
		}
		// However much else is written down, nothing is lost and nothing sent twice.
		for range 60 {
			r.did(slices.Repeat([]audit.Event{{Action: "session.started"}}, 20)...)
		}
		r.did(paused("later"))
		for range 5 {
			r.run(r.hook(to, nil))
		}
		if got := to.texts(); !strings.HasPrefix(got, "later The server said") || strings.Count(got, ";") != 0 {
			r.t.Errorf("got %q", got)
		}
	})
}

// A receiver that fails is tried again after 5, 10, 20 ... seconds and at last
// every 10 minutes, with the same id; what came later waits its turn.
func TestAFailingReceiverIsTriedAgain(t *testing.T) {
	each(t, func(r *rig) {
		to, seen := newReceiver(r.t), &counts{}
		r.run(r.hook(to, nil))
		r.did(audit.Event{Action: "mail.paused", Reason: "one"}, audit.Event{Action: "mail.resumed", Reason: "two"})
		to.say(status(http.StatusInternalServerError))
		first := ""
		for i, wait := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 600, 600} {
			wait *= time.Second
			// A restart forgets nothing.
			r.run(r.hook(to, seen))
			got := to.take()
			if len(got) != 1 || got[0]["text"] != "one" || i > 0 && got[0]["id"] != first {
				r.t.Fatalf("try %d: got %v", i, got)
			}
			first = got[0]["id"]
			r.clock.Advance(wait - time.Microsecond)
			r.run(r.hook(to, seen))
			if got := to.take(); len(got) != 0 {
				r.t.Fatalf("try %d was repeated before %v", i, wait)
			}
			r.clock.Advance(time.Microsecond)
		}
		to.say(nil)
		r.run(r.hook(to, seen))
		if got := to.texts(); got != "one; two" {
			r.t.Errorf("got %q", got)
		}
		if seen.n[notify.Failed] != 9 || seen.n[notify.Posted] != 2 || len(seen.n) != 2 {
			r.t.Errorf("counted %v", seen.n)
		}
		log := r.log.String()
		if strings.Count(log, "an alert could not be posted") != 9 || !strings.Contains(log, "status 500") || strings.Contains(log, "canary") {
			r.t.Errorf("the log says %s", log)
		}
	})
}

// A node that dies between the post and its note posts again when its lease is
// over: the same alert under the same id, and none is lost.
func TestACutOffPostIsRepeated(t *testing.T) {
	each(t, func(r *rig) {
		to := newReceiver(r.t)
		r.run(r.hook(to, nil))
		r.did(audit.Event{Action: "mail.paused", Reason: "one"}, audit.Event{Action: "mail.resumed", Reason: "two"})
		ctx, cancel := context.WithCancel(r.ctx())
		to.say(func(_ http.ResponseWriter, req *http.Request) {
			cancel()
			<-req.Context().Done()
		})
		if more, err := r.hook(to, nil).Run(ctx); more || err != nil {
			r.t.Fatalf("got %v, %v", more, err)
		}
		to.say(nil)
		r.clock.Advance(29 * time.Second)
		r.run(r.hook(to, nil))
		cut := to.take()
		if len(cut) != 1 {
			r.t.Fatalf("the lease did not hold: %v", cut)
		}
		r.clock.Advance(time.Second)
		r.run(r.hook(to, nil))
		got := to.take()
		if len(got) != 2 || got[0]["id"] != cut[0]["id"] || got[1]["text"] != "two" {
			r.t.Errorf("got %v after %v", got, cut)
		}
	})
}

// Two nodes post each alert once, in order.
func TestTwoNodesPostOnce(t *testing.T) {
	each(t, func(r *rig) {
		to := newReceiver(r.t)
		r.run(r.hook(to, nil))
		other := r.node()
		var want []string
		for i := range 20 {
			r.did(audit.Event{Action: "mail.paused", Reason: fmt.Sprint(i)})
			want = append(want, fmt.Sprint(i))
		}
		posted := make(chan struct{}, 100)
		to.say(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusOK)
			posted <- struct{}{}
		})
		ctx, cancel := context.WithCancel(r.ctx())
		defer cancel()
		var wait sync.WaitGroup
		for _, n := range []*rig{r, other, r, other} {
			w := n.hook(to, nil)
			wait.Go(func() {
				for ctx.Err() == nil {
					if _, err := w.Run(ctx); err != nil && ctx.Err() == nil {
						r.t.Error(err)
						return
					}
				}
			})
		}
		for range want {
			<-posted
		}
		cancel()
		wait.Wait()
		if got := to.texts(); got != strings.Join(want, "; ") {
			r.t.Errorf("got %s", got)
		}
	})
}

// A result that comes after the lease is somebody else's business by then.
func TestALateResultChangesNothing(t *testing.T) {
	each(t, func(r *rig) {
		to := newReceiver(r.t)
		r.run(r.hook(to, nil))
		r.did(audit.Event{Action: "mail.paused", Reason: "one"}, audit.Event{Action: "mail.resumed", Reason: "two"})
		other := r.node().hook(to, nil)
		to.say(func(w http.ResponseWriter, _ *http.Request) {
			to.say(nil)
			r.clock.Advance(time.Minute)
			if _, err := other.Run(r.ctx()); err != nil {
				r.t.Error(err)
			}
			w.WriteHeader(http.StatusBadGateway)
		})
		if _, err := r.hook(to, nil).Run(r.ctx()); err != nil {
			r.t.Fatal(err)
		}
		r.run(r.hook(to, nil))
		if got := to.texts(); got != "one; one; two" {
			r.t.Errorf("got %q", got)
		}
	})
}

// What could not be posted within a day is given up and said in the log; what
// is younger is not.
func TestOldAlertsAreGivenUp(t *testing.T) {
	each(t, func(r *rig) {
		to, seen := newReceiver(r.t), &counts{}
		r.run(r.hook(to, nil))
		to.say(status(http.StatusForbidden))
		r.did(audit.Event{Action: "mail.paused", Reason: "one"}, audit.Event{Action: "mail.resumed", Reason: "two"})
		r.run(r.hook(to, seen))
		r.clock.Advance(23 * time.Hour)
		r.did(audit.Event{Action: "mail.paused", Reason: "three"})
		r.run(r.hook(to, seen))
		if got := to.texts(); got != "one; one" {
			r.t.Errorf("within the day: %q", got)
		}
		r.clock.Advance(time.Hour)
		to.say(nil)
		r.run(r.hook(to, seen))
		if got := to.texts(); got != "three" {
			r.t.Errorf("after the day: %q", got)
		}
		if seen.n[notify.GivenUp] != 2 || strings.Count(r.log.String(), "given up") != 1 || !strings.Contains(r.log.String(), "alerts=2") {
			r.t.Errorf("counted %v, log %s", seen.n, r.log)
		}
	})
}

// A receiver can neither send the alert elsewhere nor keep the node busy.
func TestAHostileReceiver(t *testing.T) {
	each(t, func(r *rig) {
		to, seen := newReceiver(r.t), &counts{}
		elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { r.t.Error("a redirect was followed") }))
		defer elsewhere.Close()
		r.run(r.hook(to, nil))
		config := r.settings(to)
		config.Timeout, config.Observe = 20*time.Millisecond, seen.observe
		impatient, err := notify.NewWebhook(config)
		r.must(err)
		for i, tt := range []struct {
			what   string
			answer http.HandlerFunc
			hook   *notify.Webhook
			passed bool
		}{
			{"301", func(w http.ResponseWriter, q *http.Request) {
				http.Redirect(w, q, elsewhere.URL, http.StatusMovedPermanently)
			}, nil, false},
			{"307", func(w http.ResponseWriter, q *http.Request) {
				http.Redirect(w, q, elsewhere.URL, http.StatusTemporaryRedirect)
			}, nil, false},
			{"no answer", func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() }, impatient, false},
			{"no HTTP", func(w http.ResponseWriter, _ *http.Request) { hijack(w, "SSH-2.0-x\r\n") }, nil, false},
			{"a header without end", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }, nil, false},
			{"an answer without end", func(w http.ResponseWriter, q *http.Request) {
				for q.Context().Err() == nil {
					if _, err := w.Write(make([]byte, 1<<16)); err != nil {
						return
					}
				}
			}, nil, true},
		} {
			r.did(audit.Event{Action: "mail.paused", Reason: fmt.Sprint(i)})
			to.say(tt.answer)
			before := seen.n[notify.Posted]
			if tt.hook == nil {
				tt.hook = r.hook(to, seen)
			}
			if _, err := tt.hook.Run(r.ctx()); err != nil {
				r.t.Fatal(err)
			}
			if got := seen.n[notify.Posted] > before; got != tt.passed {
				r.t.Errorf("%s: posted %v", tt.what, got)
			}
			to.say(nil)
			r.clock.Advance(time.Hour)
			r.run(r.hook(to, nil))
		}
		if log := r.log.String(); strings.Contains(log, "canary") || strings.Contains(log, elsewhere.URL) {
			r.t.Errorf("the log says too much: %s", log)
		}
	})
}

func hijack(w http.ResponseWriter, words string) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	_, _ = conn.Write([]byte(words))
	_ = conn.Close()
}

// Alerts go over TLS to who is vouched for, or to this machine.
func TestWhereAlertsMayGo(t *testing.T) {
	each(t, func(r *rig) {
		to := newReceiver(r.t)
		for _, tt := range []struct {
			url, key string
			ok       bool
		}{
			{"https://hooks.example.org/x", "", true},
			{"http://localhost:8080/x", key, true},
			{"http://[::1]:8080/x", "", true},
			{"http://hooks.example.org/x", "", false},
			{"http://192.0.2.1/x", "", false},
			{"ftp://hooks.example.org/x", "", false},
			{"", "", false},
			{"https:///x", "", false},
			{"https://hooks.example.org/x", "short", false},
		} {
			c := r.settings(to)
			c.URL, c.Key = secret.New(tt.url), secret.New(tt.key)
			if _, err := notify.NewWebhook(c); (err == nil) != tt.ok {
				r.t.Errorf("%s: %v", tt.url, err)
			}
		}
		safe := &receiver{t: r.t}
		safe.server = httptest.NewUnstartedServer(safe)
		safe.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
		safe.server.StartTLS()
		defer safe.server.Close()
		r.run(r.hook(to, nil))
		r.did(audit.Event{Action: "mail.paused", Reason: "one"})
		r.run(r.hook(safe, nil))
		if got := safe.texts(); got != "" {
			r.t.Errorf("a certificate that nobody vouches for was taken: %s", got)
		}
		c := r.settings(safe)
		c.Roots = x509.NewCertPool()
		c.Roots.AddCert(safe.server.Certificate())
		w, err := notify.NewWebhook(c)
		r.must(err)
		r.clock.Advance(time.Minute)
		r.run(w)
		if got := safe.texts(); got != "one" {
			r.t.Errorf("got %q", got)
		}
	})
}

// TestTheDocumentTellsWhatIsPosted: each action and field stands in it, and its
// example is what is posted.
func TestTheDocumentTellsWhatIsPosted(t *testing.T) {
	b, err := os.ReadFile("../../docs/mail/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, a := range notify.Actions() {
		if !strings.Contains(text, "`"+a+"`") {
			t.Errorf("the document does not tell of %s", a)
		}
	}
	_, rest, _ := strings.Cut(text, "X-Sealpost-Signature: ")
	_, example, _ := strings.Cut(rest, "\n\n")
	example, _, _ = strings.Cut(example, "```")
	var fields map[string]string
	if err := json.Unmarshal([]byte(example), &fields); err != nil {
		t.Fatal(err)
	}
	want := "action advice at command host id server text title url"
	if got := strings.Join(slices.Sorted(maps.Keys(fields)), " "); got != want {
		t.Errorf("the example has %s, want %s", got, want)
	}
}
