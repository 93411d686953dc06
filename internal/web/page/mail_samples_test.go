package page_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/web/page"
)

func mailSamples() []page.Page {
	cert := page.Certificate{
		Subject: "mail.example.org", Issuer: "Example CA", Names: []string{"mail.example.org", "192.0.2.1"}, NotBefore: noon, NotAfter: noon.AddDate(0, 1, 0),
		Key: "ECDSA P-256", Signature: "ECDSA-SHA256", Fingerprint: "AB:CD", Place: "The server's", Ends: "ends in 31 days", EndsTone: "warn",
		Trust: "anchor:AAAA", Pin: "pin:AAAA",
	}
	kept := cert
	kept.Trust, kept.Pin, kept.Hex, kept.Mode, kept.AddedBy, kept.AddedAt = "", "", "abcd", "pin", "ana", noon
	candidate := kept
	candidate.Value = "pin:AAAA"
	form := page.MailForm{
		Revision: 3, Kind: "smtp", HasCapture: true, Host: "mail.example.org", Port: "587", SenderAddress: "vault@example.org",
		AccessURL: "https://vault.example.org", Browser: "https://10.0.0.1:7272", SignIn: true, Auth: "account", Account: "1",
		Accounts: []page.AccountChoice{{ID: "1", Resource: "mail", Name: "vault", PasswordAt: noon, PasswordBy: "ana"}, {ID: "2", Foreign: true}, {ID: "3", Resource: "mail", Name: "old"}},
		Security: "none", ClearAccepted: true, Mechanism: "PLAIN", Candidates: []page.Certificate{candidate}, TestToken: "t", OfferAnyway: true,
		Presets: []page.Preset{{Key: "zoho", Name: "Zoho", Host: "smtp.zoho.com", Port: "465", Security: "implicit", SignIn: true, Hint: "Hint."}}, PresetHint: "Hint.",
		PasswordSetAt: noon, PasswordLost: true, AskOwnPassword: true,
	}
	test := page.MailTest{
		To: "ana@example.org", Ran: true, Server: "mail.example.org:587", Sent: "ana@example.org", Took: time.Second, Transcript: []string{"C: EHLO x", "S: 250 <b>"},
		Steps: []page.CheckStep{
			{Key: "resolve", Title: "Look up", Is: "ok", Detail: "192.0.2.1", Took: time.Millisecond},
			{Key: "hello", Title: "Ask", Is: "ok", Lines: []string{"AUTH PLAIN"}, Raw: "250 ok"},
			{Key: "tls", Title: "Encrypt", Is: "bad", Detail: "Nobody vouches.", Advice: "Compare.", Raw: "454 no", Command: "Set-X", Chain: []page.Certificate{cert, cert}},
			{Key: "signin", Title: "Sign in", Is: "skip"},
			{Key: "mail", Title: "Hand over", Is: "run"},
			{Key: "x", Title: "Warned", Is: "warn", Advice: "Renew it."},
		},
	}
	passed := page.MailTest{To: "ana@example.org", Ran: true, Passed: true, Server: "s", Sent: "ana@example.org"}
	bad := page.MailState{
		Tone: "bad", Title: "Paused", Text: "The server refuses the sign-in.", Since: noon, Advice: "Check it.", Command: "Set-X", Reply: "535 no",
		NextTry: noon, LastAccepted: noon, Server: "s:587", Waiting: 4, Oldest: noon, Ends: []page.MailEnd{{What: "The certificate", At: noon, Tone: "warn"}},
		Notes: []string{"Saved anyway."}, Act: "try", Moving: true,
	}
	letter := page.LetterRow{
		ID: "1", To: "Ben", Address: "ben@example.org", Kind: "Invitation", Subject: "Welcome", State: page.Tag{Text: "Held", Tone: "warn"},
		Added: noon, Changed: noon, Attempts: 2, Note: "Advice.", Reply: "450 later", Merged: 2,
	}
	mail := page.CapturedMail{ID: "1", From: "vault@example.org", To: "ben@example.org", At: noon, Size: 1200}
	var days []page.ChartDay
	for i := range 14 {
		days = append(days, page.ChartDay{Start: noon.AddDate(0, 0, i-13), Accepted: i * 3, Delayed: i % 3, Failed: i % 5})
	}
	return []page.Page{
		&page.MailSettings{Base: base("Mail Server Settings"), Form: page.MailForm{Kind: "smtp", Security: "starttls"}, Test: page.MailTest{To: "ana@example.org"}, State: page.MailState{Tone: "note", Title: "No mail server"}},
		&page.MailSettings{
			Base: wrong(base("Mail Server Settings"), "host", "password", "account", "auth", "test_to", "own_password"), Set: true, Ask: "stop", Form: form, Test: test, State: bad,
			Trust: page.MailTrust{Certificates: []page.Certificate{kept}, Can: true, NeedsPassword: true, NeedsOwn: true, User: "vault", Server: "s", Mode: "pin", Alert: "No."},
		},
		&page.MailSettings{Base: base("Mail Server Settings"), Set: true, Ask: "remove", Form: page.MailForm{Kind: "capture", HasCapture: true, Auth: "typed", SignIn: true}, Test: passed, State: page.MailState{Tone: "good", Title: "Delivering", Act: "stop"}},
		&page.MailJournal{Base: base("Mail journal"), Rows: []page.LetterRow{letter}, Live: "/x", Pager: page.Pager{First: "/a", Next: "/b"}},
		&page.MailJournal{Base: base("Mail journal"), Text: "x"},
		&page.MailJournal{Base: base("Mail journal")},
		&page.MailLetter{
			Base: base("Letter"), Letter: letter, MessageID: "<1@x>", QueueID: "Q1", Server: "s:587", Due: noon, Expires: noon, Held: "Paused.", OneTime: true, UserPath: "/users/1",
			CanCancel: true, CanResend: true, Waits: true, Live: "/x", MaybeSent: true, Ask: "cancel",
			Attempts: []page.LetterAttempt{{Number: 1, Began: noon, Took: time.Second, State: page.Tag{Text: "Will try again", Tone: "warn"}, Stage: "rcpt", Reply: "450 later", Advice: "Nothing.", Server: "s"}},
		},
		&page.MailLetter{Base: base("Letter"), Letter: letter, Waits: true},
		&page.CaptureList{Base: base("Capture mailbox"), Mails: []page.CapturedMail{mail}, Address: "127.0.0.1:7225", Active: true, Live: "/x", Ask: "empty"},
		&page.CaptureList{Base: base("Capture mailbox"), Text: "x"},
		&page.CaptureList{Base: base("Capture mailbox")},
		&page.CaptureMail{Base: base("Welcome"), Mail: mail, View: "html", HasHTML: true, Attachments: []page.CapturedPart{{Type: "text/csv", Size: 3}}, Ask: "delete"},
		&page.CaptureMail{Base: base("Welcome"), Mail: mail, View: "text"},
		&page.CaptureMail{Base: base("Welcome"), Mail: mail, View: "headers", Headers: [][2]string{{"From", "<b>"}}},
		&page.CaptureMail{Base: base("Welcome"), Mail: mail, View: "source", Source: "From: x", Cut: true},
		&page.Home{
			Base: base("Home"), Name: "Ana", Mail: &bad, Deliveries: page.NewChart(days), Ends: bad.Ends, Horizon: true, Vault: true, CanAdd: true, Owned: 2,
			Steps:     []page.FirstStep{{Title: "Set up mail", Text: "So.", Path: "/x", Action: "Set up"}, {Title: "Done", Done: true}},
			Resources: []page.HomeResource{{ID: "1", Name: "db", Type: "Linux", Accounts: 1, ChangedAt: noon}},
			Watch:     []page.AuditRow{{Action: "user.invited", At: noon, Object: "ben"}},
		},
		&page.Home{Base: base("Home"), Deliveries: page.NewChart(make([]page.ChartDay, 14)), Vault: true, Horizon: true, Mail: &page.MailState{Tone: "good", Title: "Delivering"}},
	}
}

func TestWhatAServerSaysStaysOneShortLine(t *testing.T) {
	for _, tt := range []struct{ said, want string }{
		{"250 ok", "250 ok"},
		{"250 \x1b[31mred\x1b[0m\r\nnext\tline", "250 ·[31mred·[0m··next·line"},
		{"\u202eevil\u2066x\u200b", "·evil·x·"},
		{strings.Repeat("a", 400), strings.Repeat("a", 300) + "…"},
	} {
		if got := page.Said(tt.said); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.said, got, tt.want)
		}
	}
}

func TestTheChartFitsItsDrawing(t *testing.T) {
	days := []page.ChartDay{{Accepted: 1}, {Accepted: 4817, Delayed: 12, Failed: 1}, {}}
	c := page.NewChart(days)
	for i, d := range c.Days {
		for _, p := range d.Parts {
			if p.Y < 0 || p.H < 1 || p.Y+p.H > c.Base || p.X < 0 || p.X+p.W > c.Width {
				t.Errorf("day %d: %+v stands outside of %dx%d", i, p, c.Width, c.Height)
			}
		}
	}
	if got := len(c.Days[1].Parts); got != 3 {
		t.Errorf("the one failure among thousands does not show: %d parts", got)
	}
	if got, want := c.Lines[1].Value, 10000; got != want {
		t.Errorf("the scale ends at %d, want %d", got, want)
	}
}

func TestShortTimes(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "", 400 * time.Microsecond: "< 1 ms", 31 * time.Millisecond: "31 ms", 1240 * time.Millisecond: "1.2 s"} {
		if got := page.Took(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}
