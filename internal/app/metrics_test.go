package app

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/delivery"
	"github.com/sealpost/sealpost/internal/mail/outbox"
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
			return strings.Contains(body, `sealpost_delivery_total{result="accepted",server="main",what="letter"} 1`)
		})
		_, _, body := d.get(t, "http://"+d.metrics.Addr().String()+"/metrics")
		for _, want := range []string{
			`sealpost_http_requests_total{method="GET",pattern="/sign-in",status="200"} 1`,
			`sealpost_audit_events_total{action="session.refused",outcome="refused"} 1`,
			`sealpost_audit_events_total{action="user.invited",outcome="done"} 1`,
			`sealpost_letters{state="accepted"} 1`,
			`sealpost_letters{state="waiting"} 0`,
			`sealpost_letters{state="uncertain"} 0`,
			`sealpost_letters{state="bounced"} 0`,
			`sealpost_queue_letters{class="request",server="main"} 0`,
			`sealpost_queue_oldest_seconds{class="code",server="second"} 0`,
			`sealpost_letter_wait_seconds_count{server="main"} 1`,
			`sealpost_letter_send_seconds_count{server="main"} 1`,
			`sealpost_letter_attempts_bucket{server="main",le="1"} 1`,
			`sealpost_letter_wait_seconds_count{server="second"} 0`,
			`sealpost_mail_state{server="main",state="working"} 1`,
			`sealpost_mail_state{server="main",state="paused"} 0`,
			`sealpost_mail_state{server="second",state="none"} 1`,
			`sealpost_mail_fallback{server="main"} 0`,
			`sealpost_mail_connections{server="main"} `,
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

// ruleFile is a file of rules as Prometheus reads it.
type ruleFile struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

// selectors finds metrics with the labels that they are asked for by.
var selectors = regexp.MustCompile(`(sealpost_[a-z0-9_]+)(?:\{([^}]*)\})?`)

// The rules that we give to people are rules, and speak of metrics, labels and
// values of labels that there are.
func TestTheAlertRulesNameOurMetrics(t *testing.T) {
	text, err := os.ReadFile("../../deploy/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file ruleFile
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	cfg := settings(t, store.SQLite)
	cfg.MetricsListen, cfg.LogLevel = "127.0.0.1:0", "error"
	running := open(t, cfg, Outside{})
	// Counters show once they have counted.
	for _, result := range []string{"accepted", "uncertain"} {
		running.app.metrics.delivered(delivery.Event{What: "letter", Result: result, Slot: outbox.Main, Attempt: 1, Waited: time.Second})
	}
	for _, result := range []string{"ok", "failed"} {
		running.app.metrics.delivered(delivery.Event{What: "connection", Result: result, Slot: outbox.Main})
	}
	running.app.grants.WithLabelValues("microsoft", "refresh", "failed")
	running.app.alerts.WithLabelValues("failed")
	_, _, metrics := running.get(t, "http://"+running.metrics.Addr().String()+"/metrics")
	alerts := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || alerts[r.Alert] || r.Annotations["summary"] == "" || r.Labels["severity"] != "critical" && r.Labels["severity"] != "warning" {
				t.Errorf("the rule %+v is not whole, or there twice", r)
			}
			alerts[r.Alert] = true
			if _, err := time.ParseDuration(r.For); r.For != "" && err != nil {
				t.Errorf("%s: %v", r.Alert, err)
			}
			found := selectors.FindAllStringSubmatch(r.Expr, -1)
			if len(found) == 0 {
				t.Errorf("%s asks for no metric of ours", r.Alert)
			}
			for _, f := range found {
				if !measured(metrics, f[1], f[2]) {
					t.Errorf("%s asks for %s, which is not measured", r.Alert, f[0])
				}
			}
		}
	}
	if len(alerts) < 12 {
		t.Errorf("only %d rules", len(alerts))
	}
	if promtool, err := exec.LookPath("promtool"); err == nil {
		if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", "../../deploy/alerts.yml").CombinedOutput(); err != nil {
			t.Errorf("promtool: %s", out)
		}
	}
}

// measured reports whether a line of metrics has the name and fits what is asked
// for of its labels. What ends by itself need not be there: "what" is one of the
// things that can end.
func measured(metrics, name, labels string) bool {
	if name == "sealpost_mail_end_timestamp_seconds" {
		return strings.Contains(labels, string(mail.EndKinds()[0])) || strings.Contains(labels, `what!="server_certificate"`) && slices.Contains(mail.EndKinds(), "server_certificate")
	}
	for line := range strings.Lines(metrics) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || !strings.HasPrefix(rest, "{") && !strings.HasPrefix(rest, " ") {
			continue
		}
		fits := true
		for _, l := range strings.FieldsFunc(labels, func(r rune) bool { return r == ',' }) {
			l = strings.TrimSpace(l)
			switch key, value, _ := strings.Cut(l, "="); {
			case strings.HasSuffix(key, "!"):
				fits = fits && strings.Contains(rest, strings.TrimSuffix(key, "!")+"=")
			case strings.HasPrefix(value, "~"):
				first, _, _ := strings.Cut(strings.Trim(value, `~"`), "|")
				fits = fits && strings.Contains(rest, key+`="`+first+`"`)
			default:
				fits = fits && strings.Contains(rest, l)
			}
		}
		if fits {
			return true
		}
	}
	return false
}

// What is asked for must be found to be missing.
func TestWhatIsNotMeasuredIsFound(t *testing.T) {
	const metrics = "sealpost_a{x=\"1\",y=\"2\"} 3\nsealpost_bb 4\n"
	for _, tt := range []struct {
		name, labels string
		want         bool
	}{
		{"sealpost_a", "", true},
		{"sealpost_a", `x="1"`, true},
		{"sealpost_a", `x="1", y="2"`, true},
		{"sealpost_a", `y=~"2|3"`, true},
		{"sealpost_a", `x="2"`, false},
		{"sealpost_a", `z!="2"`, false},
		{"sealpost_b", "", false},
		{"sealpost_bb", "", true},
	} {
		if got := measured(metrics, tt.name, tt.labels); got != tt.want {
			t.Errorf("%s{%s}: got %v", tt.name, tt.labels, got)
		}
	}
}
