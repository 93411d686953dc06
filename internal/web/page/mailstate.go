package page

import (
	"fmt"
	"strings"
	"time"
)

// MailState is how mail stands, in words.
type MailState struct {
	// At is the page with the settings, Name what the server is called where
	// there are two.
	At, Name string
	// Cover says that another server stands in, or will at CoverAt, or that this
	// one does; "" where each sends its own letters. Covered tells the first.
	Cover   string
	CoverAt time.Time
	Covered bool
	// Tone is "good", "warn", "bad" or "note".
	Tone string
	// Title is the verdict, Text what more is known of it.
	Title, Text string
	// Since is when it began; zero where that says nothing.
	Since time.Time
	// Advice is what to do, Command what to type for it elsewhere, Reply what
	// the mail server said, Link its provider's page about that.
	Advice, Command, Reply, Link string
	// Speaker is whose words Reply are.
	Speaker string
	// SignIn is the button that begins a sign-in at the provider, "" where
	// nobody needs to.
	SignIn string
	// SignedIn is who signed in for a token; nil where nobody needs to.
	SignedIn *MailSignedIn
	// Today are the recipients of the last 24 hours, of PerDay at most; 0 where
	// the provider sets no limit.
	Today, PerDay int
	// Browser is the address that the page was asked for by.
	Browser string
	// NextTry is when Sealpost tries by itself.
	NextTry time.Time
	// LastAccepted is when Server took a letter the last time.
	LastAccepted time.Time
	Server       string
	// Waiting letters are on their way, the first of them since Oldest.
	Waiting int
	Oldest  time.Time
	// Accepted, Delayed and Failed count the last 24 hours.
	Accepted, Delayed, Failed int
	// Ends are what ends, the next first.
	Ends []MailEnd
	// Notes are further sentences that an administrator should read.
	Notes []string
	// Act is the one button that mends it: "signin", "try", "resume",
	// "release", "stop", or "" where there is none.
	Act string
	// Moving tells that the state changes by itself, so that the page looks
	// again.
	Moving bool
}

// MailEnd is something that ends on a day.
type MailEnd struct {
	What string
	At   time.Time
	// Tone is "warn" where the day is near, "bad" where it is past.
	Tone string
}

// Next returns the next end, nil where there is none.
func (s MailState) Next() *MailEnd {
	if len(s.Ends) == 0 {
		return nil
	}
	return &s.Ends[0]
}

// Crowded tells how full the day is: "", "warn" or "bad".
func (s MailState) Crowded() string {
	switch {
	case s.PerDay == 0 || s.Today*10 < s.PerDay*8:
		return ""
	case s.Today < s.PerDay:
		return "warn"
	}
	return "bad"
}

// Took writes a short duration: "4 ms", "1.2 s".
func Took(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Millisecond:
		return "< 1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// Said returns what a mail server said as a page shows it: one line, short,
// nothing that moves the text around it.
func Said(text string) string { return oneLine(text, 300) }

// SaidWhole is Said for an authority, whose sentences end in the ids that
// support asks for.
func SaidWhole(text string) string { return oneLine(text, 1500) }

func oneLine(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r < 0x20, r >= 0x7f && r < 0xa0, r == 0xfffd, r == 0x2028, r == 0x2029:
			return '·'
		case r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x2069, r == 0xfeff:
			return '·'
		}
		return r
	}, text)
	if all := []rune(text); len(all) > most {
		return string(all[:most]) + "…"
	}
	return text
}
