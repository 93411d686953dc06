package bounce_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
	"github.com/sealpost/sealpost/test/peers"
)

var (
	admin = actor.Actor{Kind: actor.KindUser, UserID: "u-grace", Login: "grace", Role: actor.PrivilegedAdministrator}
	// other may manage settings but not use the account.
	other  = actor.Actor{Kind: actor.KindUser, UserID: "u-alan", Login: "alan", Role: actor.Administrator}
	nobody = actor.Actor{Kind: actor.KindUser, UserID: "u-bob", Login: "bob", Role: actor.PasswordUser}
)

// rig is a bounce service beside an outbox.
type rig struct {
	t     *testing.T
	db    *store.DB
	clock *storetest.Clock
	keys  *keyring.Keyring
	audit *audit.Log
	box   *outbox.Outbox
	s     *bounce.Service
	// proved tells whether who asks proved who they are; password is that of the
	// account.
	proved   bool
	password string
}

func (r *rig) Current(context.Context, string) (mail.Credential, error) {
	return mail.Credential{Login: "bounces", Password: secret.New(r.password)}, nil
}

func (r *rig) MayUse(_ context.Context, by actor.Actor, _ string) error {
	if by.UserID != admin.UserID {
		return fault.Denied("This account is somebody else's.")
	}
	return nil
}

func (r *rig) HoldAccount(*store.Tx, string) (string, error) { return "Mail / bounces", nil }

func each(t *testing.T, f func(r *rig)) {
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := &rig{t: t, db: db, clock: clock, proved: true, password: "of the account"}
		root, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
		r.must(err)
		r.keys, err = keyring.Open(t.Context(), keyring.Config{DB: db, Root: root})
		r.must(err)
		letters, err := letter.New()
		r.must(err)
		r.audit = audit.New(audit.Config{DB: db, Keys: r.keys, Log: slog.New(slog.DiscardHandler)})
		r.box = outbox.New(outbox.Config{
			DB: db, Keys: r.keys, Letters: letters, Audit: r.audit,
			Failed: func(tx *store.Tx, id string) error { return r.s.Refused(tx, id) },
		})
		r.s = r.service(nil)
		r.must(db.Update(t.Context(), func(tx *store.Tx) error {
			r.must(letters.SetSite(tx, letter.Site{AccessURL: "https://vault.example.org"}))
			return r.box.GateOf(outbox.Main).OpenGate(tx)
		}))
		f(r)
	})
}

// service is another node's service.
func (r *rig) service(change func(*bounce.Config)) *bounce.Service {
	c := bounce.Config{
		DB: r.db, Keys: r.keys, Audit: r.audit, Outbox: r.box, Secrets: r, Log: slog.New(slog.DiscardHandler), Roots: x509.NewCertPool(),
		Prove: func(actor.Actor) error {
			if !r.proved {
				return fault.Denied("Prove who you are.").WithCode(fault.CodeReauthenticate)
			}
			return nil
		},
	}
	if change != nil {
		change(&c)
	}
	s, err := bounce.New(c)
	r.must(err)
	return s
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// sent is a letter that a server took.
type sent struct {
	id, messageID, to string
	back              bounce.Back
}

// send makes a letter that leaves, and lets a server take it.
func (r *rig) send(user, to string) sent {
	r.t.Helper()
	return r.sendAs(user, to, outbox.Outcome{State: outbox.Accepted, Stage: "content", Code: 250, Reply: "250 ok"})
}

func (r *rig) sendAs(user, to string, out outbox.Outcome) sent {
	r.t.Helper()
	var id string
	r.must(r.db.Update(r.t.Context(), func(tx *store.Tx) (err error) {
		id, err = r.box.Add(tx, outbox.Recipient{UserID: user, Name: "Ada", Address: to}, letter.PasswordChanged{Name: "Ada"})
		return err
	}))
	claims, err := r.box.Claim(r.t.Context(), outbox.Main, 10, time.Minute, "sender")
	r.must(err)
	if len(claims) != 1 || claims[0].ID != id {
		r.t.Fatalf("claimed %d letters", len(claims))
	}
	out.ID, out.Attempt = id, claims[0].Attempt
	r.must(r.box.Record(r.t.Context(), out))
	return sent{id, claims[0].MessageID, to, r.s.Return(r.t.Context(), id, "vault@example.org")}
}

// settings are those of a mailbox.
func settings(b *peers.Bounces, m *peers.MailServer) bounce.Change {
	c := bounce.Change{Settings: bounce.Settings{
		Envelope: bounce.Token, Address: "bounces@example.org", Ask: true, Reads: true, Host: "localhost", Port: 993, Security: smtp.Implicit,
		Auth: bounce.AuthTyped, Username: "bounces", Folder: "INBOX", Handled: bounce.Leave, MoveTo: "Handled",
	}, Password: mail.Password{Action: mail.Replace, Value: secret.New("secret of the mailbox")}}
	if b != nil {
		c.Address, c.Port, c.Username, c.Password.Value = b.Address, b.Implicit, b.Login, secret.New(b.Password)
		c.Trust = []mail.Candidate{{DER: m.Authority.PEM(), Mode: trust.ModeAnchor}}
	}
	return c
}

func (r *rig) save(c bounce.Change) {
	r.t.Helper()
	_, err := r.s.Save(r.t.Context(), admin, c)
	r.must(err)
}

// read reads until there is no more.
func (r *rig) read() bounce.Overview {
	r.t.Helper()
	r.clock.Advance(2 * time.Hour)
	for n := 0; ; n++ {
		more, err := r.s.Read(r.t.Context())
		r.must(err)
		if !more {
			break
		}
		if n > 100 {
			r.t.Fatal("reading does not end")
		}
	}
	o, err := r.s.Overview(r.t.Context(), admin)
	r.must(err)
	return o
}

func (r *rig) row(id string) outbox.Row {
	r.t.Helper()
	row, _, err := r.box.Get(r.t.Context(), admin, id)
	r.must(err)
	return row
}

func (r *rig) marked(address string) (bounce.Mark, bool) {
	r.t.Helper()
	marks, err := r.s.Marks(r.t.Context(), admin, address)
	r.must(err)
	m, ok := marks[address]
	return m, ok
}

func (r *rig) entries(action string) []audit.Entry {
	r.t.Helper()
	page, err := r.audit.Search(r.t.Context(), admin, audit.Filter{Action: action})
	r.must(err)
	return page.Entries
}

// report is a report of RFC 3464 about a letter: kind is "failed" or "delayed".
// It goes to the address of the envelope unless another one is given.
func report(s sent, kind, to, messageID string) []byte {
	status := map[string]string{"failed": "5.1.1", "delayed": "4.4.1", "delivered": "2.0.0"}[kind]
	if to == "" {
		to = s.back.From
	}
	return []byte(strings.ReplaceAll(fmt.Sprintf(`Return-Path: <>
Delivered-To: %[1]s
From: MAILER-DAEMON@mx.example.net
To: %[1]s
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

It did not work.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net

Final-Recipient: rfc822; %[2]s
Action: %[3]s
Status: %[4]s
Diagnostic-Code: smtp; 550 %[4]s <script>alert(1)</script> `+"\x1b[31m"+`no such user

--b
Content-Type: text/rfc822-headers

From: Vault <vault@example.org>
Message-ID: %[5]s
Subject: Hello

--b--
`, to, s.to, kind, status, messageID), "\n", "\r\n"))
}

// pipe is a server on loopback that follows a script.
func pipe(t *testing.T, serve func(net.Conn)) (port int, dial func(context.Context, string, string) (net.Conn, error)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	address := l.Addr().String()
	return int(netip.MustParseAddrPort(address).Port()), func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
}

// counting counts connections and says nothing on them.
func counting(n *int) func(net.Conn) { return func(net.Conn) { *n++ } }

// stranger is a certificate that nobody trusts yet.
func stranger(t *testing.T) []byte {
	t.Helper()
	a, err := peers.NewAuthority("Another CA")
	if err != nil {
		t.Fatal(err)
	}
	return a.PEM()
}
