package mail_test

import (
	"testing"

	"github.com/sealpost/sealpost/internal/mail"
)

// That one server took letters says nothing of the next.
func TestAnotherServerHasAcceptedNothing(t *testing.T) {
	each(t, func(r *rig) {
		took := func() {
			r.must(r.mail.Accepted(r.t.Context(), r.open(), nil, 1))
			if r.active().LastAccepted.IsZero() {
				r.t.Fatal("nothing was accepted")
			}
		}
		for _, change := range []func(*mail.Change){
			func(c *mail.Change) { c.Host = "other.example.org" },
			func(c *mail.Change) { c.Port = 2525 },
			func(c *mail.Change) { c.Kind = mail.KindCapture },
		} {
			r.save(typed())
			took()
			same := keep(typed())
			same.SenderName, same.RequireTLS = "Vault", true
			if p := r.save(same); p.LastAccepted.IsZero() || !p.RequireTLS || !r.active().RequireTLS {
				r.t.Errorf("the same server is another one: %+v", p)
			}
			c := typed()
			change(&c)
			if p := r.save(c); !p.LastAccepted.IsZero() || !r.active().LastAccepted.IsZero() {
				r.t.Errorf("%s has accepted mail at %s", p.Server(), p.LastAccepted)
			}
		}
		clear := typed()
		clear.Security, clear.RequireTLS, clear.ConfirmClear = "none", true, clear.Host
		r.refuse(admin, clear, "require_tls")
	})
}
