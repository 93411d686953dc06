package bounce_test

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/test/peers"
)

// A letter goes through a Postfix that takes it and hands it on to a server which
// refuses the recipient: what Postfix then reports comes into a mailbox, is read
// over IMAP, and ends at the letter and the user's address.
func TestARealBounceMarksTheAddress(t *testing.T) {
	m := peers.Postfix(t)
	each(t, func(r *rig) {
		t := r.t
		b := peers.BounceMailbox(t)
		for i, tt := range []struct {
			envelope bounce.Envelope
			security smtp.Security
			port     int
			ask      bool
		}{
			{bounce.Token, smtp.Implicit, b.Implicit, false},
			{bounce.Plain, smtp.STARTTLS, b.STARTTLS, true},
			{bounce.Plain, smtp.STARTTLS, b.STARTTLS, false},
		} {
			c := settings(b, m)
			c.Envelope, c.Security, c.Port, c.Ask, c.Handled = tt.envelope, tt.security, tt.port, tt.ask, bounce.Move
			if i > 0 {
				c.Trust = nil // it is trusted since
			}
			report, err := r.s.Test(t.Context(), admin, c)
			r.must(err)
			if !report.Passed || len(report.Steps) != 3 {
				t.Fatalf("the test says %+v", report)
			}
			r.save(c)
			to := fmt.Sprintf("refused-%d@example.net", i)
			s := r.send("u-ada", to)
			if (s.back.EnvID != "") != tt.ask || strings.Contains(s.back.From, "+") != (tt.envelope == bounce.Token) {
				t.Fatalf("it leaves as %+v", s.back)
			}
			handOver(t, b.Port, s)
			b.Wait(t, 1)
			o := r.read()
			if o.Status.State != bounce.StateWorking || o.Counts["failed"] != int64(i+1) {
				t.Fatalf("read %+v %v", o.Status, o.Counts)
			}
			mark, ok := r.marked(to)
			if !ok || mark.Status != "5.1.1" || mark.LetterID != s.id || mark.UserID != "u-ada" || !strings.Contains(mark.Said, "No such user here") {
				t.Errorf("the mark is %v %+v", ok, mark)
			}
			row := r.row(s.id)
			if !row.Bounce.Final || row.Bounce.Status != "5.1.1" || row.State != outbox.Accepted {
				t.Errorf("the letter is %s, %+v", row.State, row.Bounce)
			}
			if n := b.Count(t, ""); n != 0 {
				t.Errorf("%d messages are left in the mailbox", n)
			}
			if n := b.Count(t, "Handled"); n != i+1 {
				t.Errorf("%d messages were moved", n)
			}
		}
		if n := len(r.entries("mail.bounced")); n != 3 {
			t.Errorf("%d entries tell of it", n)
		}
	})
}

// handOver sends a mail with the envelope of s.
func handOver(t *testing.T, port int, s sent) {
	t.Helper()
	conn, err := smtp.Dial(t.Context(), smtp.Config{Host: "127.0.0.1", Port: port, Security: smtp.None, LocalName: "vault.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := "From: Vault <vault@example.org>\r\nTo: " + s.to + "\r\nMessage-ID: " + s.messageID + "\r\nSubject: Hello\r\n\r\nHello.\r\n"
	err = conn.Send(t.Context(), smtp.Each(smtp.Submission{
		From: s.back.From, To: []string{s.to}, Body: []byte(body), Notify: s.back.Ask, EnvID: s.back.EnvID,
	}), func(_ int, res smtp.Result) {
		if res.Err != nil {
			t.Error(res.Err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tamper changes one character of the token in an address.
func tamper(address string, at int) string {
	i := strings.IndexByte(address, '+') + 1 + at
	c := byte('a')
	if address[i] == c {
		c = 'b'
	}
	return address[:i] + string(c) + address[i+1:]
}

func TestOnlyWhatProvesItselfCounts(t *testing.T) {
	m := peers.Postfix(t)
	each(t, func(r *rig) {
		t := r.t
		b := peers.BounceMailbox(t)
		r.save(settings(b, m))
		a, other := r.send("u-ada", "Ada@example.net"), r.send("u-ben", "ben@example.net")
		for at := range 40 {
			b.Put(t, report(a, "failed", tamper(a.back.From, at), "<made.up@example.net>"))
		}
		// A token of another letter with this letter's Message-ID is nothing that
		// anybody honest writes.
		b.Put(t, report(a, "failed", other.back.From, a.messageID))
		b.Put(t, report(a, "failed", b.Login+"+@example.org", ""))
		b.Put(t, report(a, "failed", b.Address, "<nobody@example.org>"))
		b.Put(t, []byte("From: x@example.net\r\nTo: "+a.back.From+"\r\nAuto-Submitted: auto-replied\r\n\r\nI am away. 550 5.1.1\r\n"))
		b.Put(t, []byte("From: x@example.net\r\nTo: "+a.back.From+"\r\nSubject: win\r\n\r\nbuy\r\n"))
		b.Put(t, []byte("\r\n\x00\xff"))
		o := r.read()
		for _, s := range []sent{a, other} {
			if _, ok := r.marked(s.to); ok || !r.row(s.id).Bounce.IsZero() {
				t.Errorf("%s is marked by what proves nothing", s.to)
			}
		}
		if o.Counts["foreign"] != 43 || o.Counts["reply"] != 1 || o.Counts["other"] != 2 || o.Counts["failed"] != 0 {
			t.Errorf("counted %v", o.Counts)
		}
		if n := b.Count(t, ""); n != 46 {
			t.Errorf("%d messages are left: what is not ours stays", n)
		}

		// What is late says so, and only what fails marks; capitals do not matter.
		b.Put(t, report(a, "delayed", strings.ToUpper(a.back.From), ""))
		r.read()
		if got := r.row(a.id).Bounce; got.IsZero() || got.Final {
			t.Errorf("a letter that is late is %+v", got)
		}
		b.Put(t, report(a, "failed", "", ""))
		b.Put(t, report(a, "failed", "", ""))
		b.Put(t, report(a, "delayed", "", ""))
		b.Put(t, report(other, "delivered", "", ""))
		o = r.read()
		mark, ok := r.marked("ADA@example.net")
		if !ok || mark.Times != 1 || mark.Address != "ada@example.net" || strings.ContainsAny(mark.Said, "\x1b") {
			t.Errorf("the mark is %v %+v", ok, mark)
		}
		if got := r.row(a.id).Bounce; !got.Final || got.Status != "5.1.1" {
			t.Errorf("the letter is %+v", got)
		}
		if o.Counts["failed"] != 1 || o.Counts["delayed"] != 1 || o.Counts["delivered"] != 1 {
			t.Errorf("counted %v", o.Counts)
		}
		if _, ok := r.marked(other.to); ok {
			t.Error("an address is marked whose letter arrived")
		}
	})
}

// A folder that was made anew, and a mailbox that is read again from the
// beginning, change nothing about what is known, nor what was cleared.
func TestReadingTwiceChangesNothing(t *testing.T) {
	m := peers.Postfix(t)
	each(t, func(r *rig) {
		t := r.t
		b := peers.BounceMailbox(t)
		c := settings(b, m)
		r.save(c)
		s, slow := r.send("u-ada", "ada@example.net"), r.send("u-ada", "ada@example.net")
		b.Put(t, report(s, "failed", "", ""))
		r.read()
		if _, ok := r.marked(s.to); !ok {
			t.Fatal("not marked")
		}
		if err := r.s.Clear(t.Context(), nobody, s.to); !fault.Is(err, fault.KindDenied) {
			t.Errorf("a user clears marks: %v", err)
		}
		r.must(r.s.Clear(t.Context(), admin, s.to))
		r.must(r.s.Clear(t.Context(), admin, s.to))
		// Another folder and back begins anew.
		c.Folder, c.Password, c.Trust = "Other", mail.Password{}, nil
		r.save(c)
		c.Folder = "INBOX"
		r.save(c)
		o := r.read()
		if _, ok := r.marked(s.to); ok {
			t.Error("a bounce from before brings a mark back")
		}
		if o.Counts["failed"] != 1 || len(r.entries("mail.bounced")) != 1 || len(r.entries("mail.bounce_cleared")) != 1 {
			t.Errorf("counted %v", o.Counts)
		}
		// Nor does a letter from before that comes back only now, though it says so.
		b.Put(t, report(slow, "failed", "", ""))
		r.read()
		if _, ok := r.marked(s.to); ok || !r.row(slow.id).Bounce.Final {
			t.Error("a letter from before brings a mark back")
		}
		// The next letter that comes back marks again.
		s = r.send("u-ada", "ada@example.net")
		b.Put(t, report(s, "failed", "", ""))
		r.read()
		if mark, ok := r.marked(s.to); !ok || mark.Times != 1 {
			t.Errorf("the mark is %v %+v", ok, mark)
		}
	})
}

func TestLargeMessagesAndManyOfThem(t *testing.T) {
	m := peers.Postfix(t)
	each(t, func(r *rig) {
		t := r.t
		if r.db.Engine() != store.SQLite && !peers.Torture() {
			return // the mailbox is the same
		}
		b := peers.BounceMailbox(t)
		r.save(settings(b, m))
		big := r.send("u-ada", "ada@example.net")
		mail := report(big, "failed", "", big.messageID)
		mail = append(bytes.TrimSuffix(mail, []byte("--b--\r\n")), bytes.Repeat([]byte("x123456789012345678901234567890123456789012345678901234567890\r\n"), 10<<20/62)...)
		b.Put(t, mail)
		for range 520 {
			b.Put(t, []byte("From: x@example.net\r\nTo: x@example.org\r\nSubject: win\r\n\r\nbuy\r\n"))
		}
		last := r.send("u-ben", "ben@example.net")
		b.Put(t, report(last, "failed", "", ""))
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		r.clock.Advance(time.Hour)
		more, err := r.s.Read(t.Context())
		runtime.ReadMemStats(&after)
		r.must(err)
		if !more {
			t.Error("a round reads without a bound")
		}
		if _, ok := r.marked(big.to); !ok {
			t.Error("a bounce of 10 MB says nothing")
		}
		if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 32<<20 {
			t.Errorf("reading holds %d MiB", held>>20)
		}
		if _, ok := r.marked(last.to); ok {
			t.Error("more than 500 messages were read in a round")
		}
		if o := r.read(); o.Counts["other"] != 520 {
			t.Errorf("counted %v", o.Counts)
		}
		if _, ok := r.marked(last.to); !ok {
			t.Error("the second round missed the last message")
		}
	})
}

// Two nodes: one reads at a time, and one that lost its turn writes nothing.
func TestOneNodeReadsAtATime(t *testing.T) {
	m := peers.Postfix(t)
	each(t, func(r *rig) {
		t := r.t
		b := peers.BounceMailbox(t)
		r.save(settings(b, m))
		s := r.send("u-ada", "ada@example.net")
		b.Put(t, report(s, "failed", "", ""))
		r.clock.Advance(time.Hour)
		errs := make(chan error)
		nodes := []*bounce.Service{r.s, r.service(nil), r.service(nil)}
		for _, n := range nodes {
			go func() {
				_, err := n.Read(t.Context())
				errs <- err
			}()
		}
		for range nodes {
			r.must(<-errs)
		}
		o := r.read()
		if o.Counts["failed"] != 1 || len(r.entries("mail.bounced")) != 1 || o.Status.State != bounce.StateWorking {
			t.Errorf("counted %v, %+v", o.Counts, o.Status)
		}
	})
}

func TestWhatIsWrongIsSaidAndTriedAgain(t *testing.T) {
	m := peers.Postfix(t)
	each(t, func(r *rig) {
		t := r.t
		b := peers.BounceMailbox(t)
		good := settings(b, m)
		for _, tt := range []struct {
			name   string
			change func(*bounce.Change)
			want   string
		}{
			{"password", func(c *bounce.Change) { c.Password.Value = secret.New("wrong") }, "refuses the sign-in"},
			{"folder", func(c *bounce.Change) { c.Folder = "Nowhere" }, "Nowhere cannot be opened"},
			{"certificate", func(c *bounce.Change) { c.Trust, c.Distrust = nil, fingerprints(r) }, "Nobody known here vouches"},
			{"security", func(c *bounce.Change) { c.Security, c.Port = smtp.Implicit, b.STARTTLS }, "does not begin with TLS"},
			{"port", func(c *bounce.Change) { c.Port = 1 }, "cannot be reached"},
		} {
			c := good
			tt.change(&c)
			report, err := r.s.Test(t.Context(), admin, c)
			r.must(err)
			last := report.Steps[len(report.Steps)-1]
			if report.Passed || !last.Failed || !strings.Contains(last.Detail, tt.want) || last.Advice == "" {
				t.Errorf("%s: the test says %s %s", tt.name, last.Title, last.Detail)
			}
			r.save(c)
			for n := range 3 {
				o := r.read()
				if o.Status.State != bounce.StateFailing || !strings.Contains(o.Status.Reason, tt.want) || o.Status.Failures != int64(n+1) {
					t.Errorf("%s: the state is %+v", tt.name, o.Status)
				}
				if strings.Contains(fmt.Sprint(o), b.Password) || strings.Contains(fmt.Sprint(o), "wrong\"") {
					t.Errorf("%s: the password is shown", tt.name)
				}
			}
			r.clock.Advance(time.Minute) // the limit of tests
		}
		if n := len(r.entries("mail.bounces_failing")); n != 5 {
			t.Errorf("%d entries tell of it, want one for each", n)
		}
		r.save(good)
		if o := r.read(); o.Status.State != bounce.StateWorking || o.Status.Reason != "" || o.Status.Failures != 0 {
			t.Errorf("mended, the state is %+v", o.Status)
		}
		// It waits between two rounds, and not when somebody asks.
		b.Put(t, []byte("Subject: x\r\n\r\nx\r\n"))
		_, err := r.s.Read(t.Context())
		r.must(err)
		o, err := r.s.Overview(t.Context(), admin)
		r.must(err)
		was := o.Counts["other"]
		r.must(r.s.ReadNow(t.Context(), admin))
		_, err = r.s.Read(t.Context())
		r.must(err)
		if o, err = r.s.Overview(t.Context(), admin); err != nil || was != 0 || o.Counts["other"] != 1 {
			t.Errorf("counted %d and then %v, %v", was, o.Counts, err)
		}
	})
}

// What was handled and could not be put away keeps nothing from being read, and
// is put away once that works.
func TestWhatCannotBeMovedIsMovedLater(t *testing.T) {
	peers.Postfix(t)
	each(t, func(r *rig) {
		t := r.t
		b := peers.BounceMailbox(t)
		c := settings(b, peers.Postfix(t))
		c.Handled, c.MoveTo = bounce.Move, "a//b"
		r.save(c)
		for n := range 2 {
			s := r.send("u-ada", fmt.Sprintf("ada-%d@example.net", n))
			b.Put(t, report(s, "failed", "", ""))
			o := r.read()
			if o.Status.State != bounce.StateFailing || !strings.Contains(o.Status.Reason, "cannot be moved to a//b") || o.Status.Said == "" {
				t.Errorf("the state is %+v", o.Status)
			}
			if _, ok := r.marked(s.to); !ok {
				t.Errorf("%s is not marked", s.to)
			}
		}
		c.MoveTo, c.Password, c.Trust = "Done", mail.Password{}, nil
		r.save(c)
		o := r.read()
		if o.Status.State != bounce.StateWorking || o.Counts["failed"] != 2 || b.Count(t, "") != 0 || b.Count(t, "Done") != 2 {
			t.Errorf("the state is %+v, %v; %d are left and %d moved", o.Status, o.Counts, b.Count(t, ""), b.Count(t, "Done"))
		}
	})
}

func fingerprints(r *rig) []string {
	o, err := r.s.Overview(r.t.Context(), admin)
	r.must(err)
	var all []string
	for _, c := range o.Trusted {
		all = append(all, c.Hex)
	}
	return all
}

func TestRefusedRecipientsAreMarked(t *testing.T) {
	each(t, func(r *rig) {
		t := r.t
		for _, tt := range []struct {
			to, stage, enhanced string
			code                int
			want                bool
		}{
			{"a@example.net", "rcpt", "5.1.1", 550, true},
			{"b@example.net", "rcpt", "", 553, true},
			{"c@example.net", "rcpt", "5.1.6", 551, true},
			{"d@example.net", "rcpt", "5.7.1", 550, false},
			{"e@example.net", "rcpt", "5.1.8", 550, false},
			{"f@example.net", "content", "5.1.1", 550, false},
			{"g@example.net", "rcpt", "5.1.1", 554, false},
			{"h@example.net", "rcpt", "5.2.2", 550, false},
		} {
			s := r.sendAs("u-"+tt.to, tt.to, outbox.Outcome{State: outbox.Failed, Stage: tt.stage, Code: tt.code, Enhanced: tt.enhanced, Reply: "550 no such user"})
			mark, ok := r.marked(tt.to)
			if ok != tt.want || ok && (mark.Origin != bounce.FromRefusal || mark.LetterID != s.id || mark.Said != "550 no such user") {
				t.Errorf("%s: marked %v, %+v", tt.to, ok, mark)
			}
		}
		if marks, n, err := r.s.Standing(t.Context(), admin, 2); err != nil || n != 3 || len(marks) != 2 {
			t.Errorf("%d of %d marks stand, %v", len(marks), n, err)
		}
		if marks, n, err := r.s.Standing(t.Context(), nobody, 2); err != nil || n != 0 || marks != nil {
			t.Errorf("anybody sees marks: %d, %v", n, err)
		}
	})
}

func TestLettersLeaveWithAnAddressThatNamesThem(t *testing.T) {
	each(t, func(r *rig) {
		t := r.t
		id := store.NewID()
		if got := r.s.Return(t.Context(), id, "vault@example.org"); got != (bounce.Back{From: "vault@example.org"}) {
			t.Errorf("before anything is set, it leaves as %+v", got)
		}
		c := bounce.Change{Settings: bounce.Usual()}
		c.Envelope, c.Address = bounce.Token, "bounces@example.org"
		r.save(c)
		got := r.s.Return(t.Context(), id, "vault@example.org")
		local, domain, _ := strings.Cut(got.From, "@")
		if len(local) > 64 || domain != "example.org" || local != "bounces+"+got.EnvID || len(got.EnvID) != 40 || !got.Ask {
			t.Errorf("it leaves as %+v", got)
		}
		if again := r.s.Return(t.Context(), id, "x@example.org"); again != got {
			t.Errorf("another attempt leaves as %+v", again)
		}
		if next := r.s.Return(t.Context(), store.NewID(), "vault@example.org"); next.From == got.From {
			t.Error("two letters share an address")
		}
		// Another node hears of a change within seconds.
		node := r.service(func(c *bounce.Config) { c.Now = r.clock.Now })
		_ = node.Return(t.Context(), id, "vault@example.org")
		c.Envelope, c.Ask = bounce.Plain, false
		r.save(c)
		r.clock.Advance(6 * time.Second)
		if got := node.Return(t.Context(), id, "vault@example.org"); got != (bounce.Back{From: "bounces@example.org"}) {
			t.Errorf("after a change, it leaves as %+v", got)
		}
		c.Envelope, c.Ask = bounce.Sender, true
		r.save(c)
		if got := r.s.Return(t.Context(), id, "vault@example.org"); got.From != "vault@example.org" || got.EnvID == "" {
			t.Errorf("from the sender, it leaves as %+v", got)
		}
		c.Envelope = bounce.Token
		for _, bad := range []string{"", "Bounces <b@example.org>", "b+c@example.org", strings.Repeat("b", bounce.MaxTokenLocal+1) + "@example.org", "b@example.org\r\nRCPT TO:<x@y>"} {
			c.Address = bad
			if _, err := r.s.Save(t.Context(), admin, c); !fault.Is(err, fault.KindInvalid) {
				t.Errorf("%q is taken: %v", bad, err)
			}
		}
	})
}

// The password goes nowhere but where it was typed for: each door and each field.
func TestThePasswordIsBoundToItsPlace(t *testing.T) {
	each(t, func(r *rig) {
		t := r.t
		dialled := 0
		port, dial := pipe(t, counting(&dialled))
		r.s = r.service(func(c *bounce.Config) { c.Dial = dial })
		base := settings(nil, nil)
		base.Port = port
		r.save(base)
		base.Password = mail.Password{}
		base.Revision = 0
		if _, err := r.s.Save(t.Context(), admin, base); err != nil {
			t.Fatalf("nothing changed, and the password is wanted: %v", err)
		}
		cert := stranger(t)
		for name, change := range map[string]func(*bounce.Change){
			"host":        func(c *bounce.Change) { c.Host = "evil.example.net" },
			"port":        func(c *bounce.Change) { c.Port++ },
			"security":    func(c *bounce.Change) { c.Security = smtp.STARTTLS },
			"user":        func(c *bounce.Change) { c.Username = "mallory" },
			"certificate": func(c *bounce.Change) { c.Trust = []mail.Candidate{{DER: cert, Mode: "anchor"}} },
		} {
			c := base
			change(&c)
			before := dialled
			_, saved := r.s.Save(t.Context(), admin, c)
			_, tested := r.s.Test(t.Context(), admin, c)
			for door, err := range map[string]error{"save": saved, "test": tested} {
				if !slices.ContainsFunc(fault.Fields(err), func(f fault.FieldError) bool { return f.Field == "password" }) {
					t.Errorf("%s, %s: the stored password is used: %v", name, door, err)
				}
			}
			if dialled != before {
				t.Errorf("%s: the server was connected to", name)
			}
		}
		for _, mask := range []string{"", "••••••••", "********", "a\r\nb"} {
			c := base
			c.Password = mail.Password{Action: mail.Replace, Value: secret.New(mask)}
			if _, err := r.s.Save(t.Context(), admin, c); !fault.Is(err, fault.KindInvalid) {
				t.Errorf("%q is taken for a password: %v", mask, err)
			}
		}
		// A row that somebody changed in the database opens nothing.
		r.must(r.db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE bounce_setting SET host = 'evil.example.net', next_at = 0`)
			return err
		}))
		before := dialled
		if o := r.read(); o.Status.State != bounce.StateFailing || !strings.Contains(o.Status.Reason, "other settings") || dialled != before {
			t.Errorf("the state is %+v", o.Status)
		}
	})
}

func TestAnAccountNeedsConsent(t *testing.T) {
	each(t, func(r *rig) {
		t := r.t
		c := settings(nil, nil)
		c.Auth, c.AccountID, c.Password = bounce.AuthAccount, "account", mail.Password{}
		if _, err := r.s.Save(t.Context(), other, c); !fault.Is(err, fault.KindInvalid) {
			t.Errorf("somebody else's account is taken: %v", err)
		}
		r.save(c)
		c.Folder = "Elsewhere"
		if _, err := r.s.Save(t.Context(), other, c); err != nil {
			t.Errorf("another folder of the same mailbox wants consent: %v", err)
		}
		c.Host = "imap.example.com"
		if _, err := r.s.Save(t.Context(), other, c); !fault.Is(err, fault.KindInvalid) {
			t.Errorf("the account goes elsewhere without consent: %v", err)
		}
		r.must(r.db.View(t.Context(), func(tx *store.Tx) error {
			uses, err := r.s.UsesOf(tx, "account")
			if len(uses) != 1 || uses[0].Path != bounce.Path {
				t.Errorf("uses %+v", uses)
			}
			return err
		}))
	})
}

func TestWhoMayAndWhatIsAudited(t *testing.T) {
	each(t, func(r *rig) {
		t := r.t
		c := bounce.Change{Settings: bounce.Usual()}
		c.Envelope, c.Address = bounce.Plain, "bounces@example.org"
		_, saveErr := r.s.Save(t.Context(), nobody, c)
		_, testErr := r.s.Test(t.Context(), nobody, c)
		_, viewErr := r.s.Overview(t.Context(), nobody)
		for _, err := range []error{saveErr, testErr, viewErr, r.s.ReadNow(t.Context(), nobody)} {
			if !fault.Is(err, fault.KindDenied) {
				t.Errorf("a user is let in: %v", err)
			}
		}
		r.proved = false
		if _, err := r.s.Save(t.Context(), admin, c); fault.CodeOf(err) != fault.CodeReauthenticate {
			t.Errorf("reports go elsewhere without a proof: %v", err)
		}
		r.proved = true
		r.save(c)
		r.proved = false
		c.Ask = false
		r.save(c) // nothing goes elsewhere
		found := r.entries("mail.bounces_saved")
		if len(found) != 2 || audit.DetailText(found[1].Detail) != `envelope sender: "sender" to "plain"; bounce address: "" to "bounces@example.org"` {
			t.Errorf("entries %+v", found)
		}
		c.Revision = 1
		if _, err := r.s.Save(t.Context(), admin, c); !fault.Is(err, fault.KindConflict) {
			t.Errorf("a stale form is taken: %v", err)
		}
		c = settings(nil, nil)
		c.Host = "169.254.169.254"
		if _, err := r.s.Test(t.Context(), admin, c); !fault.Is(err, fault.KindInvalid) {
			t.Errorf("a denied address is tested: %v", err)
		}
		c.Security = smtp.None
		c.Host = "localhost"
		if _, err := r.s.Save(t.Context(), admin, c); !fault.Is(err, fault.KindInvalid) {
			t.Errorf("a mailbox is read in clear: %v", err)
		}
	})
}
