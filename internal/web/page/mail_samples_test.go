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
	tokens := page.MailOAuth{
		Provider: "google", Cloud: "china", Grant: "consent", ClientAuth: "secret", Via: "graph", Tenant: "example.org", ClientID: "c", Mailbox: "m@example.org",
		SecretEnds: "2028-11-30", SecretSetAt: noon, KeySetAt: noon, SecretAction: "replace", KeyAction: "replace", SecretLost: true, KeyLost: true, Bound: "x",
		RedirectPath: "/oauth/mail/callback", OwnPath: "/oauth/mail/callback", PMPPath: "/pmpredirect/AzureOAuth", Scopes: "a b", SignedIn: true,
		Clouds: []page.CloudChoice{{Key: "global", Name: "Worldwide"}, {Key: "china", Name: "China", Host: "h", Note: "Look.", Unsure: true}},
		Usual:  page.Endpoints{AuthorizeURL: "https://a.example", TokenURL: "https://t.example", Scopes: "s", GraphURL: "https://g.example"},
	}
	microsoft := form
	microsoft.Kind, microsoft.OAuth, microsoft.Move, microsoft.UsualPerDay, microsoft.PacePerMinute = "microsoft", tokens, true, "10000", "20"
	generic := form
	generic.Auth, generic.OAuth = "oauth", tokens
	generic.OAuth.Provider, generic.OAuth.ClientAuth, generic.OAuth.RedirectPath = "generic", "none", tokens.PMPPath
	test := page.MailTest{
		To: "ana@example.org", Now: true, Ran: true, Server: "mail.example.org:587", Sent: "ana@example.org", Took: time.Second, Transcript: []string{"C: EHLO x", "S: 250 <b>"},
		Steps: []page.CheckStep{
			{Key: "resolve", Title: "Look up", Is: "ok", Detail: "192.0.2.1", Took: time.Millisecond},
			{Key: "hello", Title: "Ask", Is: "ok", Lines: []string{"AUTH PLAIN"}, Raw: "250 ok"},
			{Key: "tls", Title: "Encrypt", Is: "bad", Detail: "Nobody vouches.", Advice: "Compare.", Raw: "454 no", Command: "Set-X", Link: "https://login.microsoftonline.com/error?code=1", Chain: []page.Certificate{cert, cert}},
			{Key: "signin", Title: "Sign in", Is: "skip"},
			{Key: "mail", Title: "Hand over", Is: "run"},
			{Key: "x", Title: "Warned", Is: "warn", Advice: "Renew it."},
		},
		Groups: []page.CheckStep{
			{Key: "dns", Title: "What the DNS says", Is: "warn", Detail: "DMARC fails.", Took: time.Second, Checks: []page.CheckStep{
				{Key: "spf", Title: "SPF", Is: "warn", Detail: "It lacks somebody.", Advice: "Enter this.", Lines: []string{"v=spf1 -all"}, Record: &page.DNSRecord{Key: "spf", Name: "example.org", Type: "TXT", Value: "v=spf1 ~all"}},
				{Key: "mx", Title: "MX", Is: "ok", Detail: "mx.example.org"},
			}},
			{Key: "ports", Title: "Ports", Is: "run"},
		},
		File: page.Download("text/plain", []byte("x")), JSON: page.Download("application/json", []byte("{}")),
	}
	passed := page.MailTest{To: "ana@example.org", Ran: true, Passed: true, Server: "s", Sent: "ana@example.org"}
	bad := page.MailState{
		Tone: "bad", Title: "Paused", Text: "The server refuses the sign-in.", Since: noon, Advice: "Check it.", Command: "Set-X", Reply: "535 no",
		NextTry: noon, LastAccepted: noon, Server: "s:587", Waiting: 4, Oldest: noon, Ends: []page.MailEnd{{What: "The certificate", At: noon, Tone: "warn"}},
		Notes: []string{"Saved anyway."}, Act: "try", Moving: true, Speaker: "The server",
	}
	out := bad
	out.Act, out.SignIn, out.Speaker, out.Link, out.Today, out.PerDay = "signin", "Sign in again", "Microsoft", "https://login.microsoftonline.com/error?code=50173", 8123, 10000
	out.SignedIn = &page.MailSignedIn{Who: "vault@example.org", Tenant: "t", By: "ana", At: noon, Expires: noon, Renewed: noon}
	out.Ends = append(out.Ends, page.MailEnd{What: "The client secret", At: noon, Tone: "bad"})
	stopped := out
	stopped.Title, stopped.Act, stopped.SignIn, stopped.Today = "Stopped", "resume", "Sign in", 10000
	letter := page.LetterRow{
		ID: "1", To: "Ben", Address: "ben@example.org", Kind: "Invitation", Subject: "Welcome", State: page.Tag{Text: "Held", Tone: "warn"},
		Added: noon, Changed: noon, Attempts: 2, Note: "Advice.", Reply: "450 later", Merged: 2,
	}
	mail := page.CapturedMail{ID: "1", From: "vault@example.org", To: "ben@example.org", At: noon, Size: 1200}
	var days []page.ChartDay
	for i := range 14 {
		days = append(days, page.ChartDay{Start: noon.AddDate(0, 0, i-13), Accepted: i * 3, Delayed: i % 3, Failed: i % 5})
	}
	first := page.MailState{
		At: "/admin/settings/mail", Name: "First server", Tone: "bad", Title: "Paused", Text: "It refuses the sign-in.", Since: noon, Server: "mail.example.org:587",
		Cover: "Its letters leave through the second server until it works again.", Covered: true, LastAccepted: noon,
	}
	second := page.MailState{At: "/admin/settings/mail/second", Name: "Second server", Tone: "good", Title: "Delivering", Cover: "The first server takes its letters over", CoverAt: noon}
	return []page.Page{
		&page.MailServers{Base: base("Which server letters leave through"), At: "/admin/settings/mail/servers", Servers: []page.MailState{{Tone: "note", Title: "No mail server"}}, Most: 200},
		&page.MailServers{
			Base: wrong(base("Which server letters leave through"), "routes", "fallback"), At: "/admin/settings/mail/servers", Two: true, Servers: []page.MailState{first, second},
			Revision: 3, Fallback: "15m", Routes: "example.org", HasRoutes: 1, Most: 200, Ask: "exchange",
		},
		&page.MailSettings{
			Base: base("Second mail server"), At: "/admin/settings/mail/second", Second: true, Two: true, Set: true, Ask: "remove", State: second,
			Form: page.MailForm{At: "/admin/settings/mail/second", Kind: "smtp", Security: "starttls", AccessURL: "https://vault.example.org"},
		},
		&page.MailSettings{Base: base("Mail Server Settings"), Form: page.MailForm{Kind: "smtp", Security: "starttls"}, Test: page.MailTest{To: "ana@example.org"}, State: page.MailState{Tone: "note", Title: "No mail server"}},
		&page.MailSettings{
			Base: wrong(base("Mail Server Settings"), "host", "password", "account", "auth", "test_to", "own_password"), Set: true, Ask: "stop", Form: form, Test: test, State: bad,
			Trust: page.MailTrust{Certificates: []page.Certificate{kept}, Can: true, Secret: "Password of vault at s", NeedsOwn: true, Mode: "pin", Alert: "No."},
		},
		&page.MailSettings{Base: base("Mail Server Settings"), Set: true, Ask: "remove", Form: page.MailForm{Kind: "capture", HasCapture: true, Auth: "typed", SignIn: true}, Test: passed, State: page.MailState{Tone: "good", Title: "Delivering", Act: "stop"}},
		&page.MailSettings{
			Base: wrong(base("Mail Server Settings"), "tenant", "client_id", "client_secret", "client_key", "secret_ends", "cloud", "grant", "client_auth", "via", "oauth", "redirect_path", "mailbox"),
			Set:  true, Form: microsoft, State: out, Trust: page.MailTrust{Certificates: []page.Certificate{kept}, Can: true, Secret: "Client certificate", SecretLines: true},
		},
		&page.MailSettings{Base: base("Mail Server Settings"), Set: true, Form: generic, State: stopped, Trust: page.MailTrust{Can: true, SignsInAgain: true}},
		&page.MailSettings{Base: base("Mail Server Settings"), Set: true, Form: microsoft, State: out, Trust: page.MailTrust{Graph: true}},
		&page.MailGoing{Base: base("Sign in at Microsoft"), URL: "https://login.microsoftonline.com/t/oauth2/v2.0/authorize?a=1&b=2", Host: "login.microsoftonline.com", Provider: "Microsoft", Mailbox: "vault@example.org"},
		&page.MailGoing{Base: base("Sign in at Google"), URL: "https://accounts.google.com/", Host: "accounts.google.com", Provider: "Google", Warning: "The secret ended."},
		&page.MailNotIn{Base: base("The sign-in did not work"), Provider: "The provider", Text: "No.", Advice: "Do.", Command: "Set-X", Reply: "invalid_client <b>", Link: "https://login.microsoftonline.com/error?code=7000215", Again: "1", RedirectURI: "https://vault.example.org/oauth/mail/callback"},
		&page.MailNotIn{Base: base("The sign-in did not work"), Text: "Not known here."},
		&page.MailDecide{Base: base("Somebody else signed in"), ID: "1", Who: "ana@example.org", Sender: "vault@example.org", Mailbox: "vault@example.org", Tenant: "t", Microsoft: true},
		&page.MailDecide{Base: base("Somebody else signed in"), ID: "1", Who: "ana@example.org", Sender: "vault@example.org", Mailbox: "vault@example.org"},
		&page.MailDecide{Base: wrong(base("Somebody else signed in"), "tenant"), ID: "1", Who: "ana@example.org", WhoTenant: "u", Sender: "vault@example.org", Mailbox: "vault@example.org", Tenant: "t", OtherTenant: true},
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

// What fills a script that somebody pastes into a shell is one word, or left
// out.
func TestScriptsAreFilledWithPlainWordsAlone(t *testing.T) {
	for value, want := range map[string]string{
		"vault@example.org": "vault@example.org", "https://vault.example.org:7272/oauth/mail/callback": "https://vault.example.org:7272/oauth/mail/callback",
		"":                                 "SENDER",
		"'; Remove-Mailbox -Identity 'ana": "SENDER", "$(id)": "SENDER", "a b": "SENDER", "o'neill@example.org": "SENDER", "a\nb": "SENDER", "\u2019": "SENDER",
		strings.Repeat("a", 301): "SENDER",
	} {
		if got := (page.MailForm{}).Fill(value, "SENDER"); got != want {
			t.Errorf("%q fills in %q, want %q", value, got, want)
		}
	}
}

func TestTheRedirectAddressIsWarnedOf(t *testing.T) {
	for _, tt := range []struct{ access, browser, want string }{
		{"https://vault.example.org", "https://vault.example.org", ""},
		{"http://localhost:7272", "http://localhost:7272", ""},
		{"http://127.0.0.1:7272", "http://127.0.0.1:7272", ""},
		{"http://vault.example.org", "http://vault.example.org", "https alone"},
		{"https://vault.example.org", "https://10.0.0.1:7272", "and you are at https://10.0.0.1:7272."},
		{"https://vault.example.org:7272", "https://vault.example.org", "sends you back to https://vault.example.org:7272"},
		{"", "https://vault.example.org", "Type the Access URL first"},
	} {
		f := page.MailForm{AccessURL: tt.access, Browser: tt.browser}
		if got := f.RedirectWarning(); got != tt.want && (tt.want == "" || !strings.Contains(got, tt.want)) {
			t.Errorf("%s from %s: %q, want %q", tt.access, tt.browser, got, tt.want)
		}
	}
	f := page.MailForm{AccessURL: "https://vault.example.org:7272/", OAuth: page.MailOAuth{RedirectPath: "/oauth/mail/callback"}}
	if got := f.RedirectURI() + " " + f.RedirectPort(); got != "https://vault.example.org:7272/oauth/mail/callback 7272" {
		t.Errorf("got %s", got)
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
