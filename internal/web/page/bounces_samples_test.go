package page_test

import (
	"github.com/sealpost/sealpost/internal/web/page"
)

func bounceSamples() []page.Page {
	cert := page.Certificate{Subject: "imap.example.org", Issuer: "Example CA", Names: []string{"imap.example.org"}, NotBefore: noon, NotAfter: noon, Key: "RSA 2048", Fingerprint: "AB:CD", Hex: "abcd", Mode: "pin", Place: "the server's", Ends: "expired", Value: "pin:AAAA", Trust: "anchor:AAAA", Pin: "pin:AAAA"}
	form := page.BounceForm{
		Revision: 2, Envelope: "token", Address: "bounces@example.org", Example: "bounces+x@example.org", Ask: true, Reads: true, Host: "imap.example.org", Port: "993",
		Security: "implicit", Auth: "account", Account: "1", Accounts: []page.Option{{Label: "Choose"}, {Value: "1", Label: "mail / bounces"}}, PasswordSetAt: noon,
		PasswordAction: "replace", PasswordLost: true, Folder: "INBOX", Handled: "move", MoveTo: "Handled", Candidates: []page.Certificate{cert},
		Trusted: []page.Certificate{cert}, OfferAnyway: true, AskOwnPassword: true,
	}
	steps := []page.CheckStep{{Title: "Connect", Is: "ok", Detail: "fine"}, {Title: "Sign in", Is: "bad", Detail: "refused", Advice: "check", Raw: "NO <b>no</b>", Chain: []page.Certificate{cert, cert}}}
	return []page.Page{
		&page.MailBounces{Base: base("Bounces"), Form: page.BounceForm{Envelope: "sender", Port: "993", Security: "implicit", Auth: "typed", Folder: "INBOX", Handled: "leave"}},
		&page.MailBounces{
			Base: wrong(base("Bounces"), "envelope", "address", "reads", "host", "port", "security", "auth", "username", "password", "account", "folder", "handled", "move_to", "authority", "own_password"),
			Form: form, Test: &page.BounceTest{Steps: steps}, Provider: "Refused here.",
			State: page.BounceState{
				Reads: true, Tone: "bad", Title: "Cannot be read", Reason: "r", Advice: "a", Said: "NO no", Since: noon, Next: noon, ReadAt: noon,
				Counts: []page.BounceCount{{Label: "Letters that came back", N: 12345}},
			},
			Marks: []page.BounceMark{
				{Address: "a@example.org", Since: noon, Last: noon, Times: 3, Status: "5.1.1", Said: "550 <script>", LetterPath: "/l", User: "Ada", UserPath: "/users/1"},
				{Address: "b@example.org", Since: noon, Last: noon, Times: 1, Refused: true},
			}, MoreMarks: 4,
		},
		&page.MailBounces{Base: base("Bounces"), Form: form, Test: &page.BounceTest{Passed: true}},
	}
}
