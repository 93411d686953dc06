package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/test/peers"
)

// An invitation leaves through Postfix, which takes it and later reports that the
// server behind refuses the recipient: the running program reads that out of the
// mailbox by itself, and marks the user's address.
func TestAnInvitationThatComesBackMarksTheUser(t *testing.T) {
	each(t, func(t *testing.T, cfg config.Config) {
		b := peers.BounceMailbox(t)
		cfg.MetricsListen = "127.0.0.1:0"
		d := open(t, cfg, Outside{})
		ctx := t.Context()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		token, err := d.app.users.SetupLink(ctx)
		must(err)
		_, _, err = d.app.users.Setup(ctx, actor.Actor{Door: "setup"}, token, identity.SetupRequest{
			Name: "Grace", Login: "grace", Email: "grace@example.org", Password: secret.New("gherkin-anvil-sextant-9"), AccessURL: accessURL, Organisation: "Example",
		})
		must(err)
		_, err = d.app.bounces.Save(ctx, shell, bounce.Change{
			Settings: bounce.Settings{
				Envelope: bounce.Token, Address: b.Address, Ask: true, Reads: true, Host: "localhost", Port: b.STARTTLS, Security: smtp.STARTTLS,
				Auth: bounce.AuthTyped, Username: b.Login, Folder: "INBOX", Handled: bounce.Delete,
			},
			Password: mail.Password{Action: mail.Replace, Value: secret.New(b.Password)},
			Trust:    []mail.Candidate{{DER: peers.Postfix(t).Authority.PEM(), Mode: trust.ModeAnchor}},
		})
		must(err)
		_, err = d.app.mail.Save(ctx, shell, mail.Change{
			Kind: mail.KindSMTP, Host: "127.0.0.1", Port: b.Port, Security: smtp.None, SenderAddress: "vault@example.org", Auth: mail.AuthNone, Anyway: true,
		})
		must(err)
		address := fmt.Sprintf("refused-%s@example.net", b.Login)
		invited, err := d.app.users.Invite(ctx, shell, identity.NewUser{Name: "Ben", Login: "ben", Email: address, Role: actor.PasswordUser})
		must(err)

		deadline := time.Now().Add(patience)
		for {
			must(d.app.bounces.ReadNow(ctx, shell))
			marks, err := d.app.bounces.Marks(ctx, shell, address)
			must(err)
			if m, ok := marks[address]; ok {
				if m.UserID != invited.User.ID || m.Status != "5.1.1" || m.Origin != bounce.FromBounce {
					t.Errorf("the mark is %+v", m)
				}
				row, _, err := d.app.outbox.Get(ctx, shell, m.LetterID)
				must(err)
				if row.State != outbox.Accepted || !row.Bounce.Final {
					t.Errorf("the letter is %s, %+v", row.State, row.Bounce)
				}
				break
			}
			if time.Now().After(deadline) {
				o, _ := d.app.bounces.Overview(ctx, shell)
				t.Fatalf("not marked: %+v %v\n%s\n%s", o.Status, o.Counts, b.Log(), d.log)
			}
			time.Sleep(100 * time.Millisecond)
		}
		// It is deleted once it is known; the round may still be at that.
		for n := 0; b.Count(t, "") > 0; n++ {
			if n > 100 {
				t.Fatalf("%d messages are left in the mailbox", b.Count(t, ""))
			}
			time.Sleep(50 * time.Millisecond)
		}
		_, _, body := d.get(t, "http://"+d.Running.metrics.Addr().String()+"/metrics")
		for _, want := range []string{`sealpost_bounces_total{kind="failed"} 1`, "sealpost_bounced_addresses 1", "sealpost_bounce_mailbox_failing 0"} {
			if !strings.Contains(body, want) {
				t.Errorf("the metrics lack %q", want)
			}
		}
		if strings.Contains(d.log.String(), b.Password) {
			t.Error("the password stands in the log")
		}
	})
}
