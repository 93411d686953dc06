package app

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

func TestMetrics(t *testing.T) {
	each(t, func(t *testing.T, cfg config.Config) {
		cfg.MetricsListen = "127.0.0.1:0"
		cfg.LogLevel = "error" // what is not logged counts all the same
		d := open(t, cfg, Outside{})
		apply(t, d.app, withCapture, nil)
		until(t, "the invitation's arrival", func() bool { return len(caught(t, d.app)) == 1 })
		if _, _, err := d.app.users.SignIn(t.Context(), actor.Actor{}, "nobody", secret.New("x"), secret.Value{}); err == nil {
			t.Fatal("nobody signed in")
		}
		d.get(t, d.URL()+"/sign-in")
		until(t, "the count of the letter", func() bool {
			_, _, body := d.get(t, "http://"+d.metrics.Addr().String()+"/metrics")
			return strings.Contains(body, `sealpost_delivery_total{result="accepted",what="letter"} 1`)
		})
		_, _, body := d.get(t, "http://"+d.metrics.Addr().String()+"/metrics")
		for _, want := range []string{
			`sealpost_http_requests_total{method="GET",pattern="/sign-in",status="200"} 1`,
			`sealpost_audit_events_total{action="session.refused",outcome="refused"} 1`,
			`sealpost_audit_events_total{action="user.invited",outcome="done"} 1`,
			`sealpost_letters{state="accepted"} 1`,
			`sealpost_letters{state="waiting"} 0`,
			`sealpost_mail_state{state="working"} 1`,
			`sealpost_mail_state{state="paused"} 0`,
			"go_goroutines ",
		} {
			if !strings.Contains(body, want) {
				t.Errorf("no %s", want)
			}
		}
		if strings.Contains(body, "grace") {
			t.Error("the metrics name a person")
		}
		// The web interface does not show them.
		if status, _, _ := d.get(t, d.URL()+"/metrics"); status != 404 && status != 303 {
			t.Errorf("got %d", status)
		}
	})
}

// The rules that we give to people speak of metrics that there are.
func TestTheAlertRulesNameOurMetrics(t *testing.T) {
	rules, err := os.ReadFile("../../deploy/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	cfg := settings(t, store.SQLite)
	cfg.MetricsListen = "127.0.0.1:0"
	d := open(t, cfg, Outside{})
	descs := make(chan *prometheus.Desc, 200)
	d.app.metrics.registry.Describe(descs)
	close(descs)
	var known strings.Builder
	for desc := range descs {
		known.WriteString(desc.String())
	}
	names := regexp.MustCompile(`sealpost_[a-z_]+`).FindAllString(string(rules), -1)
	if len(names) < 8 {
		t.Errorf("found only %q", names)
	}
	for _, name := range names {
		if !strings.Contains(known.String(), `"`+name+`"`) {
			t.Errorf("there is no metric %s", name)
		}
	}
}
