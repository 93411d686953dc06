package diagnose_test

import (
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
)

// Who wants TLS on the whole way hears where the server does not promise it.
func TestTheTestWarnsWhereTLSEndsAtTheServer(t *testing.T) {
	for _, tt := range []struct {
		wanted, offered bool
		warns           bool
	}{{true, false, true}, {true, true, false}, {false, false, false}} {
		r := plain(t)
		r.sink(func(c *smtptest.SinkConfig) {
			if tt.offered {
				c.Announce = []string{"REQUIRETLS"}
			}
		})
		report := r.run(t.Context(), change(func(c *mail.Change) { c.RequireTLS = tt.wanted }))
		warned := false
		for _, s := range report.Steps {
			warned = warned || s.Key == diagnose.StepHello && s.State == diagnose.Warn && strings.Contains(s.Advice, "REQUIRETLS")
		}
		if warned != tt.warns || !report.Passed {
			t.Errorf("wanted %v, offered %v: warned %v, passed %v", tt.wanted, tt.offered, warned, report.Passed)
		}
	}
}
