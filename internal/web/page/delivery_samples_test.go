package page_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/web/page"
)

// deliverySamples are the journal with its numbers, how well letters leave, and
// how long they are tried.
func deliverySamples() []page.Page {
	came := page.Tag{Text: "Came back", Tone: "bad"}
	row := page.LetterRow{
		ID: "1", To: "Ben", Address: "ben@example.org", Kind: "Invitation", Subject: "Welcome", State: page.Tag{Text: "Accepted", Tone: "good"},
		Added: noon, Changed: noon, Attempts: 1, Waited: 90 * time.Second, Server: "Second server", Bounce: &came,
	}
	counts := page.JournalCounts{At: noon, Items: []page.JournalCount{
		{Label: "Not done yet", N: 1234567, Path: "/x", Since: noon}, {Label: "Failed", N: 3, Path: "/x", Tone: "bad", OfDay: true}, {Label: "Delayed", N: 2, Path: "/x", Tone: "warn"},
	}}
	servers := []page.Option{{Label: "Any server"}, {Value: "second", Label: "Second server"}}
	kind := page.DeliveryKind{Field: "lifetime_invitation", Title: "Invitation", Number: "3", Unit: "days", Bounds: "1 hour to 3 days.", Usual: "3 days"}
	classes := []page.DeliveryClass{
		{Title: "Codes and resets", Place: 1, Kinds: []page.DeliveryKind{kind, {Title: "Test", Fixed: true, Usual: "10 minutes"}}}, {Title: "Digests", Place: 5},
	}
	speeds := []page.ServerSpeed{{Span: "in 24 hours", Accepted: 12, P50: "1.2 s", P95: "3 minutes", P99: "1 hour", Attempt: "40 ms, at most 1.0 s"}, {Span: "in the last hour"}}
	bars := page.NewBars("Times", "Time", "So.", []page.Bar{{Name: "within 1 second", Label: "1 s", N: 4}, {Name: "more", Label: "more"}})
	state := page.MailState{Tone: "bad", Title: "Paused", Text: "The server refuses the sign-in.", Since: noon, Cover: "The second server stands in.", At: "/admin/settings/mail"}
	return []page.Page{
		&page.MailJournal{
			Base: base("Mail journal"), Rows: []page.LetterRow{row}, Counts: counts, Live: "/x", Events: "/y", Newest: true, Servers: servers, Server: "second",
			Trace: "0123456789abcdef", Export: "/z", Reload: "/r",
		},
		&page.MailJournal{Base: base("Mail journal"), Text: "x", Further: true, Pager: page.Pager{Next: "/b"}},
		&page.MailJournal{Base: base("Mail journal"), Text: "x", Further: true, Rows: []page.LetterRow{row}, Pager: page.Pager{Next: "/b"}},
		&page.MailLetter{
			Base: base("Letter"), Letter: row, Class: "Requests", Route: "Second server", Through: "Taken by", Meant: "First server", Trace: "0123456789abcdef", Cause: "/audit?request=0123456789abcdef",
			Came: &page.LetterBounce{Tag: came, At: noon, Status: "5.1.1", Text: "no such <user>"},
		},
		&page.MailDelivery{Base: base("Mail delivery"), Keep: "365", Classes: classes},
		&page.MailDelivery{Base: wrong(base("Mail delivery"), "keep", "lifetime_invitation"), Keep: "0", Classes: classes},
		&page.MailHealth{
			Base: base("Mail health"), At: noon, Two: true,
			Servers: []page.ServerHealth{{Name: "First server", Host: "s:587", State: state, Connections: "1 of 2", PerMinute: "3", Speeds: speeds, Charts: []page.Bars{bars}, Since: noon}},
			Lines:   []page.QueueLine{{Class: "Requests", Server: "First server", Waiting: 4, Oldest: noon, Tone: "bad"}, {Class: "Alerts", Waiting: 1, Oldest: noon, Tone: "warn"}},
		},
		&page.MailHealth{Base: base("Mail health"), At: noon},
		&page.AuditEntry{Base: base("Letter failed"), Request: "0123456789abcdef", SameRequest: "/audit?request=0123456789abcdef", Letters: "/admin/mail/journal?trace=0123456789abcdef"},
		&page.Audit{Base: base("Audit"), Request: "0123456789abcdef"},
	}
}

func TestBarsFitTheirDrawing(t *testing.T) {
	for _, n := range []int{1, 5, 10, 60} {
		columns := make([]page.Bar, n)
		for i := range columns {
			columns[i] = page.Bar{Name: "x", N: i * i}
		}
		columns[0].N = 1
		b := page.NewBars("x", "x", "", columns)
		for i, c := range b.Columns {
			if c.X < 0 || c.X+c.W > b.Width || c.Y < 0 || c.H < 1 && c.N > 0 || c.Y+c.H != b.Base {
				t.Errorf("%d columns: number %d stands at %+v in %dx%d", n, i, c, b.Width, b.Height)
			}
		}
	}
	if got := page.NewBars("Times", "x", "", make([]page.Bar, 3)).Sentence(); !strings.Contains(got, "none") {
		t.Errorf("a drawing of nothing says %q", got)
	}
}
