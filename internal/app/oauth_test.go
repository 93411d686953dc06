package app

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/operator"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

const accessURL = "https://vault.example.org:7272"

// exchange is a set-up with a mailbox at Exchange Online.
const exchange = `
version: 1
access_url: ` + accessURL + `
mail:
  server: microsoft
  sender: {address: ` + oauthtest.Alerts + `}
  authentication:
    oauth:
      tenant: ` + oauthtest.Contoso + `
      client_id: ` + oauthtest.ClientID + `
      client_secret: env:CLIENT_SECRET
      secret_ends: 2026-03-20
`

// inbox is a webhook's other end.
type inbox struct {
	mu     sync.Mutex
	bodies []string
}

func (b *inbox) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bodies = append(b.bodies, string(body)+" "+r.Header.Get("X-Sealpost-Signature"))
}

func (b *inbox) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.bodies, "\n")
}

// office is a running server before the services of Microsoft.
type office struct {
	*desk
	stand *oauthtest.Stand
	clock *storetest.Clock
	alert *inbox
	grace actor.Actor
}

func eachOffice(t *testing.T, f func(t *testing.T, o *office)) {
	t.Helper()
	each(t, func(t *testing.T, cfg config.Config) {
		o := &office{clock: storetest.NewClock(), alert: &inbox{}}
		o.stand = oauthtest.Start(t, oauthtest.Options{Now: o.clock.Now})
		o.stand.Register(accessURL + mail.RedirectOwn)
		hook := httptest.NewServer(o.alert)
		t.Cleanup(hook.Close)
		cfg.MetricsListen = "127.0.0.1:0"
		cfg.AlertsWebhook = secret.New(hook.URL + "/canary-hook")
		cfg.AlertsKey = filepath.Join(t.TempDir(), "alerts.key")
		if err := os.WriteFile(cfg.AlertsKey, []byte("canary-key-0123456789\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		o.desk = open(t, cfg, Outside{
			Now: o.clock.Now, MailRoots: o.stand.Roots(), Dial: o.stand.Dial,
			Resolve: func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil },
		})
		do[operator.AdminDone](t, o.app, operator.CmdAdminCreate, operator.AdminCreate{
			Login: "grace", Name: "Grace Hopper", Email: "grace@example.org", Password: "gherkin-anvil-sextant-9",
		})
		u, err := o.app.users.UserByLogin(t.Context(), shell, "grace")
		if err != nil {
			t.Fatal(err)
		}
		o.grace = actor.Actor{Kind: actor.KindUser, UserID: u.ID, Login: "grace", Role: actor.PrivilegedAdministrator, SessionID: "s-1", Door: "web"}
		f(t, o)
	})
}

// signIn is what an administrator does in the browser.
func (o *office) signIn(t *testing.T) {
	t.Helper()
	o.grace.Proved = o.clock.Now()
	browser := mail.Browser{SessionID: o.grace.SessionID, Origin: accessURL}
	id, err := o.app.mail.BeginAgain(t.Context(), o.grace, browser)
	if err != nil {
		t.Fatal(err)
	}
	going, err := o.app.mail.Going(t.Context(), o.grace, id, browser)
	if err != nil {
		t.Fatal(err)
	}
	visit := o.stand.SignIn(t, going.URL, oauthtest.Person{Name: oauthtest.Alerts})
	if visit.Back == nil {
		t.Fatalf("nobody came back: %s", visit.Page)
	}
	done, err := o.app.mail.FinishConsent(t.Context(), o.grace, mail.Callback{Path: visit.Back.Path, Query: visit.Back.Query()}, browser)
	if err != nil || !done.Live {
		t.Fatalf("got %+v, %v", done, err)
	}
}

func (o *office) status(t *testing.T) operator.MailStatus {
	t.Helper()
	return do[operator.MailStatus](t, o.app, operator.CmdMailStatus, struct{}{})
}

// alerted returns the actions that the webhook was told of.
func (o *office) alerted(t *testing.T) string {
	t.Helper()
	var actions []string
	for line := range strings.SplitSeq(o.alert.String(), "\n") {
		var a struct{ Action string }
		if err := json.NewDecoder(strings.NewReader(line)).Decode(&a); err == nil {
			actions = append(actions, a.Action)
		}
	}
	return strings.Join(actions, " ")
}

// A mailbox at Exchange Online from its set-up over the sign-in to one that is
// revoked and made anew: letters leave, wait and leave again, and everybody who
// should know is told.
func TestAMailboxAtExchangeOnline(t *testing.T) {
	eachOffice(t, func(t *testing.T, o *office) {
		until(t, "the webhook's beginning", func() bool {
			return strings.Contains(o.scrape(t), "sealpost_mail_state") && o.cursor(t)
		})
		apply(t, o.app, exchange, map[string][]byte{"env:CLIENT_SECRET": []byte(oauthtest.ClientSecret)})
		if st := o.status(t); st.State != "paused" || st.Remedy != "sign_in" || st.SignedIn != nil {
			t.Fatalf("before the sign-in: %+v", st)
		}
		o.signIn(t)
		tested := do[operator.MailTested](t, o.app, operator.CmdMailTest, operator.MailTest{To: "grace@example.org"}).Report
		if !tested.Passed || tested.Steps[1].Title != "Get a token" || !strings.HasPrefix(tested.Steps[1].Meaning, "For "+oauthtest.Alerts) {
			t.Fatalf("the test: %+v", tested)
		}
		if err := o.reminders.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if letters := o.stand.Wait(t, 2); letters[1].To[0] != "grace@example.org" || !strings.Contains(string(letters[1].Raw), "client secret") {
			t.Errorf("got %+v", letters)
		}
		st := o.status(t)
		if st.State != "working" || st.SignedIn == nil || st.SignedIn.Who != oauthtest.Alerts || st.SignedIn.By != "grace" || st.RecipientsLimit != 10000 ||
			len(st.Ends) < 2 || st.Ends[0].What != "The client secret" || st.SignedIn.TokenEnds.IsZero() {
			t.Errorf("after the sign-in: %+v, %+v", st, st.SignedIn)
		}

		o.stand.Revoke(oauthtest.Alerts)
		o.clock.Advance(2 * time.Hour)
		apply(t, o.app, "version: 1\nusers: [{login: ada, name: Ada, email: ada@example.org, role: password_user}]", nil)
		until(t, "the pause", func() bool { return o.status(t).State == "paused" })
		st = o.status(t)
		if st.Remedy != "sign_in" || !strings.Contains(st.Said, "AADSTS50173") || !strings.Contains(st.Said, "Trace ID") || st.Waiting != 1 || !strings.Contains(st.Link, "code=50173") {
			t.Errorf("after the revocation: %+v", st)
		}
		if log := o.log.String(); !strings.Contains(log, `"level":"ERROR","msg":"mail is paused, letters wait"`) || !strings.Contains(log, "AADSTS50173") {
			t.Errorf("the log says %s", log)
		}
		// The webhook's back-off, if there was one, is by the same clock.
		until(t, "the alert", func() bool { return strings.HasSuffix(o.alerted(t), "mail.expiring mail.paused") })
		want := []string{
			`sealpost_mail_remedy{remedy="sign_in",server="main"} 1`, `sealpost_mail_remedy{remedy="settings",server="main"} 0`, `sealpost_mail_state{server="main",state="paused"} 1`,
			`sealpost_mail_end_timestamp_seconds{server="main",what="client_secret"} 1.773`, `sealpost_mail_end_timestamp_seconds{server="main",what="sign_in"} `,
			`sealpost_oauth_requests_total{grant="consent",provider="microsoft",result="refused"}`,
			`sealpost_alerts_total{result="posted"}`, `sealpost_mail_recipients_limit{server="main"} 10000`, `sealpost_mail_recipients{server="main"} `, `sealpost_oauth_token_timestamp_seconds{server="main"} 1.77`,
		}
		body := o.scrape(t)
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("the metrics lack %s", w)
			}
		}

		o.signIn(t)
		until(t, "the letter that waited", func() bool { return len(o.stand.Letters()) == 3 })
		until(t, "the alert of the sign-in", func() bool {
			return strings.Contains(o.alerted(t), "mail.paused mail.saved") && strings.Contains(o.alerted(t), "mail.signed_in")
		})
		for what, text := range map[string]string{"log": o.log.String(), "webhook": o.alert.String(), "metrics": o.scrape(t), "output": o.out.String()} {
			for _, canary := range []string{oauthtest.ClientSecret, oauthtest.Password, "canary-hook", "canary-key", "eyJ"} {
				if strings.Contains(text, canary) {
					t.Errorf("the %s holds %s", what, canary)
				}
			}
		}
		if saw := o.stand.WhoSaw(oauthtest.ClientSecret); len(saw) != 1 || saw[0] != "login.microsoftonline.com" {
			t.Errorf("the client secret went to %q", saw)
		}
	})
}

func (o *office) scrape(t *testing.T) string {
	t.Helper()
	_, _, body := o.get(t, "http://"+o.metrics.Addr().String()+"/metrics")
	return body
}

// cursor tells whether the webhook's follower has begun.
func (o *office) cursor(t *testing.T) bool {
	t.Helper()
	n := 0
	err := o.app.db.View(t.Context(), func(tx *store.Tx) (err error) {
		n, err = store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) }, `SELECT COUNT(*) FROM notify_cursor`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n == 1
}

// What of the operator's configuration cannot be used keeps a server from
// starting, in words.
func TestAlertsAndAuthoritiesThatCannotBeUsed(t *testing.T) {
	each(t, func(t *testing.T, cfg config.Config) {
		key := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(key, []byte("canary\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			change func(c *config.Config)
			want   string
		}{
			{func(c *config.Config) { c.AlertsKey = "/nowhere/key" }, "cannot be read"},
			{func(c *config.Config) { c.AlertsKey = key }, "shorter than 16"},
			{func(c *config.Config) { c.OAuthAuthorities = []string{"login_.example.org"} }, "host like"},
		} {
			c := cfg
			c.AlertsWebhook = secret.New("https://hooks.example.org/x")
			tt.change(&c)
			_, err := Start(t.Context(), c, ServeOptions{})
			text := fault.Sentence(err)
			for _, f := range fault.Fields(err) {
				text += f.Sentence
			}
			if err == nil || !strings.Contains(text, tt.want) || strings.Contains(text, "canary") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		}
	})
}
