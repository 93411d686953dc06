package delivery_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
)

// Letters with one-time links are to stay on TLS where that is wanted and the
// server promises it; they leave all the same where it does not.
func TestTLSOnTheWholeWay(t *testing.T) {
	for _, tt := range []struct {
		what     string
		announce []string
		wanted   bool
		want     int
	}{
		{"wanted and offered", []string{"REQUIRETLS"}, true, 1},
		{"not wanted", []string{"REQUIRETLS"}, false, 0},
		{"not offered", nil, true, 0},
	} {
		t.Run(tt.what, func(t *testing.T) {
			eachServer(t, tt.announce, func(r *rig) {
				r.save(func(c *mail.Change) { c.RequireTLS = tt.wanted })
				var mu sync.Mutex
				var said []string
				r.server(func(a smtptest.Asked) string {
					if a.Verb == "MAIL" {
						mu.Lock()
						defer mu.Unlock()
						said = append(said, a.Line)
					}
					return ""
				})
				with, without := r.add("ada", reset()), r.add("ada", news())
				r.run()
				r.want(with, outbox.Accepted)
				r.want(without, outbox.Accepted)
				mu.Lock()
				defer mu.Unlock()
				if all := strings.Join(said, "\n"); len(said) != 2 || strings.Count(all, " REQUIRETLS") != tt.want {
					t.Errorf("said:\n%s", all)
				}
			})
		})
	}
}
