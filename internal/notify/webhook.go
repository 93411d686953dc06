package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// FollowEvery is how often [Webhook.Run] should be called.
const FollowEvery = 2 * time.Second

const (
	// cursorName is the follower's in the database.
	cursorName = "webhook"
	// postWait bounds a whole request; lease is how long nobody else posts
	// after one has begun, with room for its result to be written down.
	postWait = 10 * time.Second
	lease    = 30 * time.Second
	// answerCap is how much of an answer is taken off the connection.
	answerCap = 16 << 10
	// alertLife is how old an alert may be: news of the day before is none.
	alertLife = 24 * time.Hour
	// minKey is the shortest key, in bytes.
	minKey = 16
	// backOffFirst and backOffMost are the shortest and longest wait after a
	// failure.
	backOffFirst = 5 * time.Second
	backOffMost  = 10 * time.Minute
)

// The results that Observe is told.
const (
	Posted  = "posted"
	Failed  = "failed"
	GivenUp = "given_up"
)

// SignatureHeader carries the signature of an alert: "sha256=" and the
// HMAC-SHA256 of the body in hexadecimal.
const SignatureHeader = "X-Sealpost-Signature"

// WebhookConfig is what a Webhook needs.
type WebhookConfig struct {
	DB      *store.DB
	Audit   *audit.Log
	Letters *letter.Catalogue
	// URL is where alerts are posted, https, or http on this machine.
	URL secret.Value
	// Key signs the alerts; empty leaves them unsigned.
	Key secret.Value
	// Roots vouch for the receiver; nil means the system's.
	Roots *x509.CertPool
	// Timeout bounds a whole request; 0 means 10 seconds.
	Timeout time.Duration
	// Observe is told what came of each alert: one of the results and how many
	// it is about. Nil means that nobody counts.
	Observe func(result string, n int)
	// Log receives failures. Nil means slog.Default.
	Log *slog.Logger
}

// Webhook posts alerts.
type Webhook struct {
	WebhookConfig
	client *http.Client
}

// NewWebhook returns the follower of the audit log that posts to c.URL.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	u, err := url.Parse(c.URL.Reveal())
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && !(u.Scheme == "http" && thisMachine(u.Hostname())) {
		return nil, errors.New("notify: the address of the webhook is neither https nor on this machine")
	}
	if n := len(c.Key.Reveal()); n > 0 && n < minKey {
		return nil, fmt.Errorf("notify: the key that signs alerts is shorter than %d bytes", minKey)
	}
	if c.Timeout <= 0 || c.Timeout > postWait {
		c.Timeout = postWait
	}
	if c.Observe == nil {
		c.Observe = func(string, int) {}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Webhook{WebhookConfig: c, client: &http.Client{
		Timeout: c.Timeout,
		Transport: &http.Transport{
			TLSClientConfig:        &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
			MaxResponseHeaderBytes: answerCap,
			// Alerts are rare: a connection that waits for the next one is
			// closed by somebody before.
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func thisMachine(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// task is an alert that this node posts, up to the end of its lease.
type task struct {
	entry audit.Entry
	site  letter.Site
	at    cursor
}

// Run posts the next alert, if it is time; more tells that there may be
// another one. The error is the database's: what the receiver does wrong is
// logged, counted and tried again.
func (w *Webhook) Run(ctx context.Context) (more bool, err error) {
	if due, err := w.due(ctx); err != nil || !due {
		return false, err
	}
	t, more, err := w.claim(ctx)
	if err != nil || t == nil {
		return more, err
	}
	failure := w.post(ctx, *t)
	if ctx.Err() != nil {
		return false, nil // the lease ends by itself, and whoever goes on posts it again
	}
	if err := w.settle(ctx, *t, failure); err != nil {
		return false, err
	}
	if failure == nil {
		w.Observe(Posted, 1)
		return true, nil
	}
	w.Observe(Failed, 1)
	return false, nil
}

// due looks without a lock whether there is anything to do.
func (w *Webhook) due(ctx context.Context) (due bool, err error) {
	err = w.DB.View(ctx, func(tx *store.Tx) error {
		c, ok, err := selectCursor(tx, cursorName, false)
		if err != nil || !ok {
			due = !ok
			return err
		}
		if due = !tx.Now().Before(c.next); !due {
			return nil
		}
		_, found, looked, err := w.Audit.Following(tx, c.seq, actions()...)
		due = found || looked-c.seq >= tooFar
		return err
	})
	return due, err
}

// tooFar is how far the cursor may stay behind the end of the log before it is
// moved on without an alert: the log grows with each sign-in.
const tooFar = 500

// claim takes the next alert for this node. A nil task with more means that the
// cursor moved.
func (w *Webhook) claim(ctx context.Context) (t *task, more bool, err error) {
	gone := 0
	err = w.DB.Update(ctx, func(tx *store.Tx) error {
		t, more, gone = nil, false, 0
		c, ok, err := selectCursor(tx, cursorName, true)
		if err != nil {
			return err
		}
		if !ok {
			// Nobody wants to be told what happened before they asked.
			end, err := w.Audit.End(tx)
			if err != nil {
				return err
			}
			return beginCursor(tx, cursorName, end)
		}
		if tx.Now().Before(c.next) {
			return nil
		}
		for {
			e, found, looked, err := w.Audit.Following(tx, c.seq, actions()...)
			if err != nil {
				return err
			}
			if !found {
				more, c.seq, c.next = looked > c.seq, looked, time.Time{}
				return updateCursor(tx, cursorName, c)
			}
			if tx.Now().Sub(e.At) < alertLife {
				c.next = tx.Now().Add(lease)
				t = &task{entry: e, at: c}
				break
			}
			gone++
			c.seq, c.failures = e.Seq, 0
		}
		if t.site, err = w.Letters.Site(tx); err != nil {
			return err
		}
		return updateCursor(tx, cursorName, c)
	})
	if err == nil && gone > 0 {
		w.Log.Error("alerts were given up: they could not be posted within a day", "alerts", gone)
		w.Observe(GivenUp, gone)
	}
	return t, more, err
}

// settle writes down what came of a task, unless its lease ended before.
func (w *Webhook) settle(ctx context.Context, t task, failure error) error {
	var wait time.Duration
	err := w.DB.Update(ctx, func(tx *store.Tx) error {
		wait = 0
		c, ok, err := selectCursor(tx, cursorName, true)
		if err != nil || !ok || c.seq != t.at.seq || !c.next.Equal(t.at.next) {
			return err
		}
		if failure == nil {
			return updateCursor(tx, cursorName, cursor{seq: t.entry.Seq})
		}
		c.failures++
		wait = backOff(c.failures)
		c.next = tx.Now().Add(wait)
		return updateCursor(tx, cursorName, c)
	})
	if err == nil && failure != nil {
		w.Log.Error("an alert could not be posted", "action", t.entry.Action, "seq", t.entry.Seq, "failures", t.at.failures+1, "again_in", wait, "err", failure)
	}
	return err
}

func backOff(failures int64) time.Duration {
	d := backOffFirst
	for range failures - 1 {
		if d *= 2; d >= backOffMost {
			return backOffMost
		}
	}
	return d
}

// post posts the alert. Of the address its error names the host at most, and
// of the answer nothing: the one may let in whoever knows it, the other is
// somebody else's text.
func (w *Webhook) post(ctx context.Context, t task) error {
	body, err := json.Marshal(alertOf(t.entry, t.site))
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL.Reveal(), bytes.NewReader(body))
	if err != nil {
		return errors.New("the address of the webhook cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Sealpost")
	if !w.Key.IsZero() {
		req.Header.Set(SignatureHeader, "sha256="+sign([]byte(w.Key.Reveal()), body))
	}
	res, err := w.client.Do(req)
	if err != nil {
		if outer := (*url.Error)(nil); errors.As(err, &outer) {
			err = outer.Err
		}
		return err
	}
	defer res.Body.Close()
	if _, err := io.CopyN(io.Discard, res.Body, answerCap); err != nil && !errors.Is(err, io.EOF) {
		// It was said what came of the request: the rest does not matter.
		w.Log.Debug("the answer of the webhook broke off", "err", err)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("the webhook answered with status %d", res.StatusCode)
	}
	return nil
}

func sign(key, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
