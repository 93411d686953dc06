package capture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/capture"
	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

var admin = actor.Actor{Kind: actor.KindUser, UserID: "u-admin", Login: "grace", Role: actor.Administrator}

// rig is a mailbox that listens, over a database whose clock the test sets.
type rig struct {
	t     *testing.T
	db    *store.DB
	clock *storetest.Clock
	audit *audit.Log
	box   *capture.Mailbox
}

func each(t *testing.T, change func(*capture.Config), f func(r *rig)) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := &rig{t: t, db: db, clock: clock}
		root, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
		r.must(err)
		keys, err := keyring.Open(t.Context(), keyring.Config{DB: db, Root: root})
		r.must(err)
		log := slog.New(slog.DiscardHandler)
		r.audit = audit.New(audit.Config{DB: db, Keys: keys, Log: log})
		c := capture.Config{DB: db, Keys: keys, Audit: r.audit, Log: log}
		if change != nil {
			change(&c)
		}
		r.box = capture.New(c)
		r.must(r.box.Listen("127.0.0.1:0"))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.box.Serve(ctx) }()
		t.Cleanup(func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		f(r)
	})
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// dial connects with our own client, as delivery does.
func (r *rig) dial() *smtp.Conn {
	r.t.Helper()
	host, port, err := net.SplitHostPort(r.box.Addr())
	r.must(err)
	var n int
	_, err = fmt.Sscan(port, &n)
	r.must(err)
	conn, err := smtp.Dial(r.t.Context(), smtp.Config{Host: host, Port: n, Security: smtp.None, LocalName: "vault.example.org"})
	r.must(err)
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// send hands bytes over and returns what came of it.
func (r *rig) send(source []byte, to ...string) smtp.Result {
	r.t.Helper()
	var result smtp.Result
	err := r.dial().Send(r.t.Context(), smtp.Each(smtp.Submission{From: "vault@example.org", To: to, Body: source}), func(_ int, res smtp.Result) { result = res })
	if err != nil && result.Err == nil {
		r.t.Fatal(err)
	}
	return result
}

func (r *rig) list(f capture.Filter) capture.Page {
	r.t.Helper()
	page, err := r.box.List(r.t.Context(), admin, f)
	r.must(err)
	return page
}

func (r *rig) audited(action string) []audit.Entry {
	r.t.Helper()
	page, err := r.audit.Search(r.t.Context(), admin, audit.Filter{Action: action})
	r.must(err)
	return page.Entries
}

var logo = []byte("\x89PNG not really")

func letter(t *testing.T, subject string) []byte {
	t.Helper()
	address := func(text string) message.Address {
		a, err := message.ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	b, err := message.Build(message.Parts{
		From: address("Vault Grün <vault@example.org>"), To: address("Ada <ada@example.org>"), Subject: subject,
		Text: "Hello Ada,\n.a line with a dot\n\nhttps://vault.example.org/invite#token ünïcode\n", HTML: `<p>Hello <img src="cid:logo@sealpost"> ünïcode`,
		MessageID: "<0123456789@example.org>", Date: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC),
		Inline: []message.Image{{ID: "logo@sealpost", Type: "image/png", Data: logo}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestALetterIsCaughtAsItCame(t *testing.T) {
	caught := make(chan struct{}, 10)
	each(t, func(c *capture.Config) { c.Caught = func() { caught <- struct{}{} } }, func(r *rig) {
		source := letter(r.t, "Grüße from the vault")
		result := r.send(source, "ada@example.org", "bob@example.org")
		if result.Err != nil {
			r.t.Fatal(result.Err)
		}
		<-caught
		page := r.list(capture.Filter{})
		if len(page.Mails) != 1 || page.Next != "" {
			r.t.Fatalf("the list has %+v", page)
		}
		m := page.Mails[0]
		if m.From != "vault@example.org" || strings.Join(m.To, " ") != "ada@example.org bob@example.org" || m.Subject != "Grüße from the vault" ||
			!m.HasHTML || m.Size != len(source) || !m.At.Equal(r.clock.Now()) || result.QueueID != m.ID {
			r.t.Errorf("the list says %+v, the server said %q", m, result.QueueID)
		}
		_, c, err := r.box.Get(r.t.Context(), admin, m.ID)
		r.must(err)
		if !bytes.Equal(c.Source, source) {
			r.t.Errorf("the bytes differ:\n%q\n%q", c.Source, source)
		}
		if c.Text != "Hello Ada,\r\n.a line with a dot\r\n\r\nhttps://vault.example.org/invite#token ünïcode\r\n" || !strings.Contains(c.HTML, "<p>Hello") || !strings.Contains(c.HTML, "ünïcode") {
			r.t.Errorf("the text is %q, the HTML %q", c.Text, c.HTML)
		}
		if p := c.Inline["logo@sealpost"]; p.Type != "image/png" || !bytes.Equal(p.Data, logo) {
			r.t.Errorf("the picture is %+v", p)
		}
		if got := c.Header("from"); got != "Vault Grün <vault@example.org>" && got != `"Vault Grün" <vault@example.org>` {
			r.t.Errorf("From is %q", got)
		}
		file, err := r.box.Source(r.t.Context(), admin, m.ID)
		r.must(err)
		if !bytes.Equal(file, source) {
			r.t.Error("the file differs from what came")
		}
	})
}

func TestOpeningALetterIsAuditedAndNotForEverybody(t *testing.T) {
	each(t, nil, func(r *rig) {
		r.send(letter(r.t, "Secret"), "ada@example.org")
		id := r.list(capture.Filter{}).Mails[0].ID
		_, _, err := r.box.Get(r.t.Context(), admin, id)
		r.must(err)
		_, err = r.box.Source(r.t.Context(), admin, id)
		r.must(err)
		for _, action := range []string{"capture.opened", "capture.downloaded"} {
			if got := r.audited(action); len(got) != 1 || got[0].ID != id || got[0].Name != "Secret" || got[0].Actor.Login != "grace" {
				r.t.Errorf("%s: %+v", action, got)
			}
		}
		for _, role := range []actor.Role{actor.PasswordAdministrator, actor.PasswordAuditor, actor.PasswordUser} {
			by := actor.Actor{Kind: actor.KindUser, UserID: "u", Role: role}
			_, listed := r.box.List(r.t.Context(), by, capture.Filter{})
			_, _, got := r.box.Get(r.t.Context(), by, id)
			_, source := r.box.Source(r.t.Context(), by, id)
			_, cleared := r.box.Clear(r.t.Context(), by)
			for what, err := range map[string]error{"list": listed, "get": got, "source": source, "delete": r.box.Delete(r.t.Context(), by, id), "clear": cleared} {
				if !fault.Is(err, fault.KindDenied) {
					r.t.Errorf("%s may %s: %v", role, what, err)
				}
			}
		}
		if len(r.audited("capture.opened")) != 1 {
			r.t.Error("a refusal counts as an opening")
		}
	})
}

// Without the audit log nothing is shown.
func TestNoAuditNoLetter(t *testing.T) {
	each(t, nil, func(r *rig) {
		r.send(letter(r.t, "Secret"), "ada@example.org")
		id := r.list(capture.Filter{}).Mails[0].ID
		r.must(r.db.Update(r.t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`ALTER TABLE audit_entry RENAME TO gone`)
			return err
		}))
		_, c, err := r.box.Get(r.t.Context(), admin, id)
		if err == nil || c.Text != "" || c.Source != nil {
			r.t.Errorf("a letter was shown without an audit entry: %v", err)
		}
		if source, err := r.box.Source(r.t.Context(), admin, id); err == nil || source != nil {
			r.t.Error("a file was handed out without an audit entry")
		}
	})
}

func TestLettersAreSealedAtRest(t *testing.T) {
	each(t, nil, func(r *rig) {
		r.send(letter(r.t, "One"), "ada@example.org")
		r.send(letter(r.t, "Two"), "ada@example.org")
		r.must(r.db.View(r.t.Context(), func(tx *store.Tx) error {
			return tx.Each(func(row store.Row) error {
				var sealed []byte
				err := row.Scan(&sealed)
				if bytes.Contains(sealed, []byte("token")) || len(sealed) == 0 {
					r.t.Error("a one-time link lies open in the database")
				}
				return err
			}, `SELECT sealed FROM capture_mail`)
		}))
		// One moved to another's place does not open.
		page := r.list(capture.Filter{})
		r.must(r.db.Update(r.t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE capture_mail SET sealed = (SELECT sealed FROM capture_mail WHERE id = $1) WHERE id = $2`, page.Mails[0].ID, page.Mails[1].ID)
			return err
		}))
		if _, _, err := r.box.Get(r.t.Context(), admin, page.Mails[1].ID); !errors.Is(err, keyring.ErrSealed) {
			r.t.Errorf("got %v", err)
		}
	})
}

func TestTheListIsPagedAndSearched(t *testing.T) {
	each(t, nil, func(r *rig) {
		for i := range 7 {
			r.send(letter(r.t, fmt.Sprintf("Letter %d", i)), fmt.Sprintf("user%d@example.org", i%3))
		}
		first := r.list(capture.Filter{Limit: 3})
		second := r.list(capture.Filter{Limit: 3, Cursor: first.Next})
		third := r.list(capture.Filter{Limit: 3, Cursor: second.Next})
		var got []string
		for _, p := range []capture.Page{first, second, third} {
			for _, m := range p.Mails {
				got = append(got, m.Subject)
			}
		}
		if want := "Letter 6 Letter 5 Letter 4 Letter 3 Letter 2 Letter 1 Letter 0"; strings.Join(got, " ") != want || third.Next != "" {
			r.t.Errorf("got %v", got)
		}
		for text, want := range map[string]int{"USER1": 2, "letter 3": 1, "vault@": 7, "%": 0, "nobody": 0} {
			if got := len(r.list(capture.Filter{Text: text}).Mails); got != want {
				r.t.Errorf("%q finds %d, want %d", text, got, want)
			}
		}
	})
}

func TestLettersGo(t *testing.T) {
	each(t, nil, func(r *rig) {
		for i := range 4 {
			r.send(letter(r.t, fmt.Sprintf("Letter %d", i)), "ada@example.org")
		}
		id := r.list(capture.Filter{}).Mails[0].ID
		r.must(r.box.Delete(r.t.Context(), admin, id))
		if err := r.box.Delete(r.t.Context(), admin, id); !fault.Is(err, fault.KindNotFound) {
			r.t.Errorf("got %v", err)
		}
		if n, err := r.box.Clear(r.t.Context(), admin); n != 3 || err != nil {
			r.t.Errorf("cleared %d: %v", n, err)
		}
		if len(r.list(capture.Filter{}).Mails) != 0 || len(r.audited("capture.deleted")) != 1 || len(r.audited("capture.cleared")) != 1 {
			r.t.Error("letters are left, or it is not audited")
		}
	})
}

func TestTheMailboxKeepsTheNewest(t *testing.T) {
	each(t, func(c *capture.Config) { c.Max = 3 }, func(r *rig) {
		for i := range 5 {
			r.send(letter(r.t, fmt.Sprintf("Letter %d", i)), "ada@example.org")
		}
		if got := r.list(capture.Filter{}).Mails; len(got) != 3 || got[2].Subject != "Letter 2" {
			r.t.Errorf("got %+v", got)
		}
		r.clock.Advance(31 * 24 * time.Hour)
		r.must(r.box.Prune(r.t.Context()))
		if got := r.list(capture.Filter{}).Mails; len(got) != 0 {
			r.t.Errorf("old letters are kept: %+v", got)
		}
	})
}

func TestTheMailboxHasABound(t *testing.T) {
	size := len(letter(t, "Letter 0"))
	each(t, func(c *capture.Config) { c.MaxBytes = int64(2*size + size/2) }, func(r *rig) {
		for i := range 4 {
			r.send(letter(r.t, fmt.Sprintf("Letter %d", i)), "ada@example.org")
		}
		if got := r.list(capture.Filter{}).Mails; len(got) != 2 {
			r.t.Errorf("%d letters are kept", len(got))
		}
		// One letter too large for the server.
		big := append(letter(r.t, "Big"), bytes.Repeat([]byte("a line of forty characters, all the same\r\n"), 250000)...)
		if result := r.send(big, "ada@example.org"); result.Err == nil {
			r.t.Error("a letter of 10 MB was taken")
		}
	})
}

func TestADatabaseThatFailsIsNoAcceptance(t *testing.T) {
	each(t, nil, func(r *rig) {
		r.must(r.db.Update(r.t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`ALTER TABLE capture_mail RENAME TO gone`)
			return err
		}))
		result := r.send(letter(r.t, "Lost?"), "ada@example.org")
		if result.Err == nil || result.Err.Code != 451 || strings.Contains(result.Err.Text, "capture_mail") {
			r.t.Errorf("got %v", result.Err)
		}
	})
}

func TestTheMailboxListensOnLoopbackAlone(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:25", "example.org:25", "[::]:0", "nonsense"} {
		if err := capture.New(capture.Config{}).Listen(addr); !fault.Is(err, fault.KindInvalid) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	first, second := capture.New(capture.Config{}), capture.New(capture.Config{})
	if got := first.Addr(); got != "" {
		t.Errorf("it listens on %s before it was told to", got)
	}
	if err := first.Serve(t.Context()); err == nil {
		t.Error("it serves without a port")
	}
	if err := first.Listen("localhost:0"); err != nil {
		t.Fatal(err)
	}
	if err := second.Listen(first.Addr()); !fault.Is(err, fault.KindUnavailable) {
		t.Errorf("a port in use: %v", err)
	}
	if err := first.Close(); err != nil || first.Addr() != "" {
		t.Errorf("closing: %v", err)
	}
}

func TestSealedColumnsAreNamed(t *testing.T) {
	if got := capture.SealedColumns(); len(got) != 1 || got[0].Table != "capture_mail" {
		t.Errorf("got %+v", got)
	}
}

// What a page shows around a letter tells nothing of what it says.
func TestTheEnvelopeIsNoOpening(t *testing.T) {
	each(t, nil, func(r *rig) {
		r.send([]byte("From: a@example.org\r\nSubject: Files\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"+
			"--x\r\nContent-Type: text/plain\r\n\r\nsecret words\r\n"+
			"--x\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=\"list.csv\"\r\n\r\na,b\r\n--x--\r\n"), "ada@example.org")
		id := r.list(capture.Filter{}).Mails[0].ID
		mail, attached, err := r.box.Envelope(r.t.Context(), admin, id)
		r.must(err)
		if mail.Subject != "Files" || len(attached) != 1 || attached[0] != (capture.Attached{Name: "list.csv", Type: "text/csv", Size: 3}) {
			r.t.Errorf("got %+v with %+v", mail, attached)
		}
		if n := len(r.audited("capture.opened")); n != 0 {
			r.t.Errorf("%d openings are audited", n)
		}
		by := actor.Actor{Kind: actor.KindUser, UserID: "u", Role: actor.PasswordAuditor}
		if _, _, err := r.box.Envelope(r.t.Context(), by, id); !fault.Is(err, fault.KindDenied) {
			r.t.Errorf("without the permission: %v", err)
		}
	})
}
