package message_test

import (
	"bytes"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/jhillyerd/enmime/v2"

	"github.com/sealpost/sealpost/internal/mail/message"
)

func parts() message.Parts {
	return message.Parts{
		From:      message.Address{Name: "Sealpost", Local: "vault", Domain: "example.org"},
		To:        message.Address{Name: "Zoë Ångström", Local: "zoe", Domain: "example.org"},
		Subject:   "Welcome to Sealpost, Zoë: " + strings.Repeat("räksmörgås ", 12) + "end",
		Text:      "Hello Zoë,\n\n.\n.dot\n" + strings.Repeat("x", 1200) + "\n",
		HTML:      "<p>Hello <b>Zoë</b></p><img src=\"cid:logo@example.org\">\r\n",
		MessageID: "<0123456789abcdef@example.org>",
		Date:      time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC),
		Inline:    []message.Image{{ID: "logo@example.org", Type: "image/png", Data: bytes.Repeat([]byte{1, 2, 3}, 100)}},
	}
}

func TestAMessageIsReadBackByAnIndependentParser(t *testing.T) {
	p := parts()
	raw, err := message.Build(p)
	if err != nil {
		t.Fatal(err)
	}
	env, err := enmime.ReadEnvelope(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range env.Errors {
		t.Errorf("the parser complains: %v", e)
	}
	if got := env.GetHeader("Subject"); got != p.Subject {
		t.Errorf("subject\n got %q\nwant %q", got, p.Subject)
	}
	if got := strings.ReplaceAll(env.Text, "\r\n", "\n"); got != p.Text {
		t.Errorf("text got %q", got)
	}
	if env.HTML != p.HTML {
		t.Errorf("html got %q", env.HTML)
	}
	if len(env.Inlines) != 1 || !bytes.Equal(env.Inlines[0].Content, p.Inline[0].Data) || env.Inlines[0].ContentID != "logo@example.org" {
		t.Errorf("the picture did not survive: %v", env.Inlines)
	}
	to, err := env.AddressList("To")
	if err != nil || len(to) != 1 || to[0].Name != p.To.Name || to[0].Address != "zoe@example.org" {
		t.Errorf("to got %v, %v", to, err)
	}
	for name, want := range map[string]string{
		"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All",
		"Message-Id": p.MessageID, "User-Agent": "", "X-Mailer": "",
	} {
		if got := env.GetHeader(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(raw), "\r\n"), "\r\n") {
		if strings.ContainsAny(line, "\r\n") {
			t.Fatalf("a bare CR or LF in %q", line)
		}
		if len(line) > 78 {
			t.Errorf("a line of %d octets: %q", len(line), line)
		}
	}
}

func TestTheSamePartsGiveTheSameBytes(t *testing.T) {
	a, _ := message.Build(parts())
	b, _ := message.Build(parts())
	if !bytes.Equal(a, b) {
		t.Error("two builds of one letter differ")
	}
	p := parts()
	p.MessageID = "<other@example.org>"
	c, _ := message.Build(p)
	if bytes.Contains(c, a[bytes.Index(a, []byte("=_")):bytes.Index(a, []byte("=_"))+20]) {
		t.Error("two letters share a boundary")
	}
}

// A header that cannot be folded is encoded, and comes back as it was.
// A Message-ID stands in the line of its name, also where the host of the Access
// URL is as long as hosts may be.
func TestAMessageIDIsInOneLine(t *testing.T) {
	p := parts()
	p.MessageID = "<" + strings.Repeat("0123456789abcdef", 3) + "@" + strings.Repeat("long-label.", 23) + ">"
	got, err := message.Build(p)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(got), "\r\nMessage-ID: "+p.MessageID+"\r\n") {
		t.Errorf("the Message-ID is broken:\n%s", got)
	}
}

func TestAWordOfAnyLengthFitsIntoLines(t *testing.T) {
	for _, word := range []string{strings.Repeat("x", 1200), strings.Repeat("ö", 1200), strings.Repeat("x", 201), "a " + strings.Repeat("=?", 300) + " b"} {
		p := parts()
		p.Subject = word
		raw, err := message.Build(p)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(string(raw), "\r\n") {
			if len(line) > 998 {
				t.Errorf("%.10q: a line of %d octets", word, len(line))
			}
		}
		env, err := enmime.ReadEnvelope(bytes.NewReader(raw))
		if err != nil || env.GetHeader("Subject") != word {
			t.Errorf("%.10q came back as %.30q, %v", word, env.GetHeader("Subject"), err)
		}
	}
}

// Nothing that a person types can add a header or a recipient.
func TestInjectionIsRefusedOrHarmless(t *testing.T) {
	corpus := []string{
		"a\r\nBcc: evil@example.net", "a\nBcc: evil@example.net", "a\rBcc: x@example.net", "a\x00b", "a\u2028Bcc: x",
		"evil\u202eexe", "\x85next", "\xff\xfe",
	}
	harmless := []string{
		`"`, `a" <evil@example.net>, "b`, "=?utf-8?q?evil=0D=0ABcc:=20x?=", "<script>alert(1)</script>", "a, b@example.net",
		strings.Repeat("ö", 128), "名前", "(comment)", "a;b:c",
	}
	set := map[string]func(*message.Parts, string){
		"from name": func(p *message.Parts, s string) { p.From.Name = s },
		"to name":   func(p *message.Parts, s string) { p.To.Name = s },
		"subject":   func(p *message.Parts, s string) { p.Subject = s },
		"reply-to": func(p *message.Parts, s string) {
			p.ReplyTo = message.Address{Name: s, Local: "r", Domain: "example.org"}
		},
	}
	for field, put := range set {
		for _, s := range corpus {
			p := parts()
			put(&p, s)
			if raw, err := message.Build(p); err == nil {
				t.Errorf("%s %q was taken:\n%s", field, s, raw[:300])
			}
		}
		for _, s := range harmless {
			p := parts()
			put(&p, s)
			raw, err := message.Build(p)
			if err != nil {
				t.Errorf("%s %q: %v", field, s, err)
				continue
			}
			m, err := mail.ReadMessage(bytes.NewReader(raw))
			if err != nil {
				t.Errorf("%s %q: %v", field, s, err)
				continue
			}
			if m.Header.Get("Bcc") != "" || m.Header.Get("Cc") != "" {
				t.Errorf("%s %q added a recipient", field, s)
			}
			for _, h := range []string{"From", "To"} {
				if list, err := m.Header.AddressList(h); err != nil || len(list) != 1 {
					t.Errorf("%s %q: %s is %v, %v", field, s, h, list, err)
				}
			}
			if env, err := enmime.ReadEnvelope(bytes.NewReader(raw)); err != nil || field == "subject" && env.GetHeader("Subject") != s {
				t.Errorf("%s %q came back as %q, %v", field, s, env.GetHeader("Subject"), err)
			}
		}
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"ada@example.org":                   "ada@example.org",
		"  ada@Example.ORG ":                "ada@example.org",
		"Ada Lovelace <ada+x@example.org>":  "Ada Lovelace <ada+x@example.org>",
		`"Lovelace, Ada" <ada@example.org>`: "Lovelace, Ada <ada@example.org>",
		"user@bücher.example":               "user@xn--bcher-kva.example",
		"o'neil@example.org":                "o'neil@example.org",
		"root@localhost":                    "root@localhost",
	} {
		a, err := message.ParseAddress(text)
		if err != nil || a.String() != want {
			t.Errorf("%q: got %q, %v; want %q", text, a.String(), err, want)
		}
	}
	for _, text := range []string{
		"", "ada", "@example.org", "ada@", "a b@example.org", "ada@exa mple.org", "ada@-x.org", "ada@x..org", ".ada@example.org",
		"ada..b@example.org", `"a b"@example.org`, "ada@[127.0.0.1]", "a@b.org, c@d.org", "a@b.org\r\nRCPT TO:<x@y>", "<ada@example.org",
		"ada@example.org>", "ada(c)@example.org", "<@relay:ada@example.org>", strings.Repeat("a", 65) + "@example.org", "ädä@example.org",
		"ada@" + strings.Repeat("a.", 130) + "org", "a@b@c.org",
	} {
		if a, err := message.ParseAddress(text); err == nil {
			t.Errorf("%q was taken as %q", text, a)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"ada@example.org", `"A" <a@b.c>`, "ü@ü", "a@b\r\n", "<>@", "\"<a@b>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := message.ParseAddress(s)
		if err != nil {
			return
		}
		if strings.ContainsAny(a.Spec(), " <>\r\n\t\"(),;:\\") {
			t.Fatalf("%q gave %q", s, a.Spec())
		}
		p := parts()
		p.To = a
		raw, err := message.Build(p)
		if err != nil {
			t.Fatalf("%q parses and does not build: %v", s, err)
		}
		m, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if list, err := m.Header.AddressList("To"); err != nil || len(list) != 1 || list[0].Address != a.Spec() {
			t.Fatalf("%q came back as %v, %v", s, list, err)
		}
	})
}
