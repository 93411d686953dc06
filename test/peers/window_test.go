package peers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/test/peers"
)

// Postfix was written by others after the same pages: it takes a window of
// letters in chunks, and tells of each what became of it, also where senders and
// recipients are refused in the middle.
func TestPostfixTakesAWindowOfLetters(t *testing.T) {
	m := peers.Postfix(t)
	m.AddUser(t, "sender", password)
	for _, tt := range []struct {
		name     string
		security smtp.Security
		port     int
	}{
		{"in TLS", smtp.STARTTLS, m.Submission},
		{"in clear", smtp.None, m.Relay},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := settings(m, tt.port, tt.security)
			if tt.security != smtp.None {
				cfg.Auth = &smtp.Auth{Credential: credential("sender", password)}
			}
			c, err := smtp.Dial(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if caps := c.Caps(); !caps.Chunking || !caps.Pipelining {
				t.Fatalf("this Postfix announces %v", caps.Lines)
			}
			w := newWindow(strings.ReplaceAll(tt.name, " ", "-"))
			const many = 300
			for i := range many {
				w.add(i)
			}
			var results []smtp.Result
			err = c.Send(t.Context(), smtp.Each(w.letters...), func(i int, r smtp.Result) {
				if i != len(results) {
					t.Errorf("letter %d is told after %d others", i, len(results))
				}
				results = append(results, r)
			})
			if err != nil || len(results) != len(w.letters) {
				t.Fatalf("%d results, %v\n%s", len(results), err, m.Log())
			}
			lines := strings.Join(cfg.Transcript.Lines(), "\n")
			if !strings.Contains(lines, "LAST\nC: [letter of ") || strings.Count(lines, "\nC: DATA") != 1 || strings.Count(lines[:strings.LastIndex(lines, "BDAT")], "BDAT") < 60 {
				t.Errorf("the letters did not come in chunks, in flight together:\n%s", lines)
			}
			for i, r := range results {
				if got := said(r); got != w.want[i] {
					t.Errorf("letter %d to %v: got %s, want %s", i, w.letters[i].To, got, w.want[i])
				}
			}
			if !c.Alive(t.Context()) {
				t.Error("the connection did not survive")
			}
			for i, text := range w.texts {
				for _, to := range w.arrives[i] {
					mail := m.Wait(t, to, 1)
					if got := mail[0].Text; len(mail) != 1 || got != text {
						t.Errorf("%s got %d letters, %.40q of %d bytes, want %.40q of %d", to, len(mail), got, len(got), text, len(text))
					}
				}
			}
		})
	}
}

// said is what a result comes to.
func said(r smtp.Result) string {
	text := "taken"
	if r.Err != nil {
		text = fmt.Sprintf("%s %s %d", r.Err.Stage, r.Err.Kind, r.Err.Code)
	}
	if r.Err == nil && r.QueueID == "" {
		text += " without an id"
	}
	return fmt.Sprintf("%s, %d refused", text, len(r.Refused))
}

// window is a row of letters of which some are refused.
type window struct {
	name    string
	letters []smtp.Submission
	want    []string
	// arrives are who gets which text.
	arrives [][]string
	texts   []string
}

func newWindow(name string) *window { return &window{name: name} }

// add appends letter i, of a kind that depends on i.
func (w *window) add(i int) {
	to := func(who string) string { return fmt.Sprintf("%s-%s-%d@example.org", who, w.name, i) }
	line := fmt.Sprintf("This is letter %d.\r\n.\r\n..\r\nMAIL FROM:<evil@example.net>\r\nRCPT TO:<evil@example.net>\r\nDATA\r\n", i)
	text := strings.Repeat(line, 1+i%40)
	if i%53 == 7 {
		text = strings.Repeat(line, 4000) // several windows' worth of bytes
	}
	s := smtp.Submission{From: "vault@example.org", To: []string{to("ada")}, Body: body(fmt.Sprintf("%s-%d", w.name, i), text+"end")}
	want, arrives := "taken, 0 refused", s.To
	switch i % 11 {
	case 2:
		s.To, want, arrives = []string{to("refused")}, "rcpt reply 550, 1 refused", nil
	case 4:
		s.To, want, arrives = []string{to("later")}, "rcpt reply 450, 1 refused", nil
	case 5:
		s.From, want, arrives = "no domain@", "mail input 0, 0 refused", nil
	case 6:
		s.To, want, arrives = []string{to("refused"), to("ben"), to("later"), to("cleo")}, "taken, 2 refused", []string{to("ben"), to("cleo")}
	case 8:
		s.To, want, arrives = []string{to("refused"), to("later")}, "rcpt reply 450, 2 refused", nil
	case 9:
		// A sender that Postfix cannot read.
		s.From, want, arrives = "a..b@-", "mail reply 501, 0 refused", nil
	}
	if i == 100 {
		// More than Postfix takes by default.
		s.Body, want, arrives = append(s.Body, strings.Repeat(strings.Repeat("x", 76)+"\r\n", 10_240_000/78)...), "mail input 0, 0 refused", nil
	}
	w.letters, w.want, w.arrives = append(w.letters, s), append(w.want, want), append(w.arrives, arrives)
	w.texts = append(w.texts, strings.ReplaceAll(text, "\r\n", "\n")+"end\n")
}
