package blueprint_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/test/peers"
)

const bounces = `
version: 1
mail:
  bounces:
    envelope: token
    address: bounces@example.org
    mailbox:
      host: imap.example.org
      security: tls
      authentication: {user: bounces, password: env:BOX}
      handled: move
      move_to: Done
      trusted_certificates: [file:ca.pem]
`

func TestBouncesAreSetUp(t *testing.T) {
	ca, err := peers.NewAuthority("A CA")
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(r *rig) {
		given := secrets{"env:BOX": []byte("hunter2 and more"), "file:ca.pem": ca.PEM()}
		done := r.apply(bounces, given)
		text := strings.Join(done, "\n")
		if !strings.Contains(text, "create bounces") || !strings.Contains(text, "password: set from env:BOX") || strings.Contains(text, "hunter2") {
			r.t.Errorf("done: %s", text)
		}
		o, err := r.Bounces.Overview(r.ctx(), root)
		r.must(err)
		set := o.Settings
		if set.Envelope != bounce.Token || !set.Ask || set.Port != 143 || set.Security != smtp.STARTTLS || set.Handled != bounce.Move || set.MoveTo != "Done" || set.Folder != "INBOX" || len(o.Trusted) != 1 {
			r.t.Errorf("set up as %+v", set)
		}
		if again := r.apply(bounces, given); len(again) != 0 {
			r.t.Errorf("the same file does %q", again)
		}
		given["env:BOX"] = []byte("another one")
		if next := strings.Join(r.apply(bounces, given), "\n"); next != "change bounces" && !strings.Contains(next, "password: set from env:BOX") {
			r.t.Errorf("another password does %q", next)
		}
		// What is left out of this part has its default.
		r.apply("version: 1\nmail: {bounces: {envelope: sender, ask: false}}\n", nil)
		if o, err = r.Bounces.Overview(r.ctx(), root); err != nil || o.Settings.Reads || o.Settings.Ask || o.Settings.Envelope != bounce.Sender {
			r.t.Errorf("set up as %+v, %v", o.Settings, err)
		}
		for file, want := range map[string]string{
			"{envelope: carrier_pigeon}":           "line 4",
			"{envelope: plain, address: nonsense}": "mail.bounces.address",
			"{mailbox: {host: imap.example.org, security: none, authentication: {user: a, password: env:BOX}}}": "mail.bounces.mailbox.security",
			"{mailbox: {host: imap.example.org}}":                                               "mail.bounces.mailbox.authentication",
			"{mailbox: {host: '', authentication: {user: a, password: env:BOX}}}":               "mail.bounces.mailbox.host",
			"{mailbox: {host: imap.example.org, authentication: {user: a, password: hunter2}}}": "never stands in the file itself",
		} {
			_, err := r.plan("version: 1\nmail:\n  bounces:\n    "+file+"\n", given)
			if text := fmt.Sprint(err, fault.Fields(err)); err == nil || strings.Contains(text, "hunter2") || !strings.Contains(text, want) {
				r.t.Errorf("%s: %s, want %s", file, text, want)
			}
		}
	})
}
