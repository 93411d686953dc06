package letter_test

import (
	"bytes"
	"fmt"
	"maps"
	"mime"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jhillyerd/enmime/v2"
	"golang.org/x/net/html"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// hostile is what people may type where a name is asked for.
func hostile() []string {
	return []string{
		// markup
		`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `<a href="https://evil.example/">click</a>`, `"><b>x</b>`, `' onmouseover='x`,
		`</td></tr></table><h1>Your account is locked</h1>`, `<!-- `, `-->`, `]]>`, `&lt;b&gt;`, `<style>*{display:none}</style>`, `<meta http-equiv=refresh content="0;url=https://evil.example">`,
		"{{.Site.AccessURL}}", "{{template \"body\" .}}", "${7*7}", "%s%n%x", "\\u003cb\\u003e",
		// links
		"https://evil.example/x?y=1", "HTTP://EVIL.EXAMPLE", "www.evil.example", "evil.example", "x.t.co", "a.b.c.d.example", "evil.example.", "see evil.example/login",
		"ftp://evil.example", "mailto:x@evil.example", "x@evil.example", `\\evil\share`, "file://evil/share", "evil\u3002example", "evil\uff0eexample", "\U0001f4a9.example",
		"(evil.example)", "1.evil.example", "evil-.example", "javascript:alert(1)", "evil.example:8080/x", "//evil.example/x", "https:/\u200b/evil.example", "evil\u00ad.example",
		// headers and recipients
		"x\r\nBcc: evil@evil.example", "x\nBcc: evil@evil.example", "x\r\n\r\nbody", "x\rBcc: evil@evil.example", "x\u2028Bcc: y", "x\u2029Bcc: y", "x\x00y", "x\x0by", "x\x85y", "\x1b[31mred",
		"=?utf-8?q?x=0D=0ABcc:_evil@evil.example?=", "=?utf-8?b?PGI+?=", `x" <evil@evil.example>, "y`, "x, evil@evil.example", "x;y:z <evil@evil.example>;", "<evil@evil.example>",
		"(comment)", `\`, `"`, `\"`, "x\\\r\n y", "\r\n.\r\nMAIL FROM:<evil@evil.example>", "\n.\n", ".", "..", ".\r\nQUIT",
		// text that does not stay where it stands
		"\u202egnp.exe", "a\u2066b\u2069c", "\ufeffx", "x\u0300\u0301\u0302", "\u0645\u062d\u0645\u062f", "名前", "👩\u200d💻", "\xff\xfe", "\xed\xa0\x80", "\ufffd",
		strings.Repeat("x", 100), strings.Repeat("ö", 100), strings.Repeat("x y ", 25), strings.Repeat(".", 100), strings.Repeat("@", 100), "  x  ", "",
	}
}

// person is what a letter says of people, with one field for each thing that
// somebody chose.
type person struct{ Name, Login, Role, By, From, Agent, Server, Organisation, Sender, What, Advice string }

func benign() person {
	return person{"Ada", "ada", "Password User", "Grace", "somewhere", "Firefox", "server", "Example Ltd", "Vault", "The client secret", "Make a new one"}
}

// field is a place where a person's words go in, and the kinds of letters that
// show it.
type field struct {
	name  string
	put   func(*person, string)
	kinds string
}

func fields() []field {
	const all = "invitation password_reset password_changed new_device expiry_reminder test"
	return []field{
		{"name", func(p *person, s string) { p.Name = s }, all},
		{"login", func(p *person, s string) { p.Login = s }, letter.KindInvitation},
		{"role", func(p *person, s string) { p.Role = s }, letter.KindInvitation},
		{"inviter", func(p *person, s string) { p.By = s }, "invitation test"},
		{"address", func(p *person, s string) { p.From = s }, "password_reset password_changed new_device"},
		{"user agent", func(p *person, s string) { p.Agent = s }, "password_reset password_changed new_device"},
		{"server", func(p *person, s string) { p.Server = s }, "expiry_reminder test"},
		{"what ends", func(p *person, s string) { p.What = s }, letter.KindExpiryReminder},
		{"advice", func(p *person, s string) { p.Advice = s }, letter.KindExpiryReminder},
		{"organisation", func(p *person, s string) { p.Organisation = s }, all},
		{"sender name", func(p *person, s string) { p.Sender = s }, letter.KindTest},
	}
}

// letters are all kinds, with p's words.
func letters(site letter.Site, p person) []letter.Letter {
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	link := site.Link("/invite", secret.New("abcdefghijklmnop"))
	return []letter.Letter{
		letter.Invitation{Name: p.Name, Login: p.Login, Role: p.Role, InvitedBy: p.By, Link: link, Expires: at},
		letter.PasswordReset{Name: p.Name, Link: link, Expires: at, From: p.From, Agent: p.Agent},
		letter.PasswordChanged{Name: p.Name, When: at, From: p.From, Agent: p.Agent},
		letter.NewDevice{Name: p.Name, When: at, From: p.From, Agent: p.Agent},
		letter.ExpiryReminder{Name: p.Name, What: p.What, Server: p.Server, When: at, Left: "in 7 days", Advice: p.Advice},
		letter.Test{RequestedBy: p.By, When: at, Server: p.Server},
	}
}

// writer makes letters as delivery does.
type writer struct {
	t  *testing.T
	db *store.DB
	c  *letter.Catalogue
	// called is the organisation that is set.
	called string
}

// compose makes the bytes of the letters of the given kinds to p.
func (w *writer) compose(p person, kinds string) (map[string][]byte, error) {
	t, c := w.t, w.c
	t.Helper()
	if w.called != p.Organisation {
		err := w.db.Update(t.Context(), func(tx *store.Tx) error {
			return c.SetSite(tx, letter.Site{AccessURL: "https://vault.example.org:7272", Organisation: p.Organisation})
		})
		if err != nil {
			return nil, err
		}
		w.called = p.Organisation
	}
	all := map[string][]byte{}
	err := w.db.View(t.Context(), func(tx *store.Tx) error {
		site, err := c.Site(tx)
		if err != nil {
			return err
		}
		for _, l := range letters(site, p) {
			if !slices.Contains(strings.Fields(kinds), l.Kind()) {
				continue
			}
			content, err := c.Render(tx, l)
			if err != nil {
				return err
			}
			parts := message.Parts{
				From: message.Address{Name: p.Sender, Local: "vault", Domain: "example.org"}, To: message.Address{Name: p.Name, Local: "ada", Domain: "example.org"},
				Subject: content.Subject, Text: content.Text.Reveal(), HTML: content.HTML.Reveal(), MessageID: "<0123456789abcdef@vault.example.org>",
				Date: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC),
			}
			raw, err := message.Build(parts)
			if err != nil {
				return err
			}
			if again, err := message.Build(parts); err != nil || !bytes.Equal(raw, again) {
				t.Errorf("%s: two builds differ", l.Kind())
			}
			all[l.Kind()] = raw
		}
		return nil
	})
	return all, err
}

// seen is what a reader's program makes of a letter.
type seen struct {
	headers  []string
	to       []string
	from     string
	skeleton string
	links    []string
}

// linked is what reading programs turn into links, the eager ones included.
var linked = regexp.MustCompile(`(?i)(?:https?|ftp|file|mailto|javascript):/*[^\s\x{2060}]+\.[^\s\x{2060}]+|\bwww\.[^\s\x{2060}]+|[^\s@\x{2060}]+@[^\s@\x{2060}]+\.[^\s\x{2060}]+|[\pL\pN\pS-]+(?:[.。．｡][\pL\pN-]+)+|\\\\[\pL\pN]+|(?:https?|ftp|file)://\S`)

// read reads a letter with a parser that shares no code with what made it.
func read(t *testing.T, raw []byte) seen {
	t.Helper()
	env, err := enmime.ReadEnvelope(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range env.Errors {
		t.Errorf("the parser complains: %v", e)
	}
	s := seen{headers: env.GetHeaderKeys()}
	slices.Sort(s.headers)
	to, err := env.AddressList("To")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range to {
		s.to = append(s.to, a.Address)
	}
	from, err := env.AddressList("From")
	if err != nil || len(from) != 1 {
		t.Fatalf("from %v, %v", from, err)
	}
	s.from = from[0].Address
	found := linksOf(env.Text)
	maps.Copy(found, linksOf(env.GetHeader("Subject")))
	doc, err := html.Parse(strings.NewReader(env.HTML))
	if err != nil {
		t.Fatal(err)
	}
	var bones strings.Builder
	for n := range doc.Descendants() {
		switch n.Type {
		case html.TextNode:
			if n.Parent.Data != "style" {
				maps.Copy(found, linksOf(n.Data))
				continue
			}
			bones.WriteString(n.Data)
		case html.ElementNode, html.CommentNode:
			bones.WriteString("<" + n.Data)
			for _, a := range n.Attr {
				fmt.Fprintf(&bones, " %s=%q", a.Key, a.Val)
			}
			bones.WriteString(">")
		}
	}
	s.skeleton = bones.String()
	s.links = slices.Sorted(maps.Keys(found))
	return s
}

func linksOf(text string) map[string]bool {
	found := map[string]bool{}
	for _, l := range linked.FindAllString(text, -1) {
		found[l] = true
	}
	return found
}

// Whatever stands in whichever field: the letter that arrives has the headers,
// the receiver, the markup and the links that it has without, or the field is
// refused.
func TestNothingThatPeopleChooseChangesALetter(t *testing.T) {
	w := &writer{t: t, db: storetest.Open(t, store.SQLite), c: catalogue(t)}
	calm, err := w.compose(benign(), fields()[0].kinds)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]seen{}
	for kind, raw := range calm {
		want[kind] = read(t, raw)
		checkBytes(t, "benign", raw)
	}
	if len(want) != len(letter.Kinds()) {
		t.Errorf("%d kinds of letters are looked at, there are %d", len(want), len(letter.Kinds()))
	}
	built := 0
	places := fields()
	if os.Getenv("SEALPOST_TORTURE") == "" {
		places = together(places)
	}
	for _, f := range places {
		for _, text := range hostile() {
			p := benign()
			f.put(&p, text)
			raws, err := w.compose(p, f.kinds)
			if err != nil {
				if !refusable(text) {
					t.Errorf("%s %q: %v", f.name, text, err)
				}
				continue
			}
			for kind, raw := range raws {
				built++
				what := fmt.Sprintf("%s %q, %s", f.name, text, kind)
				checkBytes(t, what, raw)
				compare(t, what, read(t, raw), want[kind])
			}
		}
	}
	if built < 400 {
		t.Errorf("only %d letters were built", built)
	}
}

// together makes one place of all that take any text, and leaves apart those
// that refuse some.
func together(places []field) []field {
	all := field{name: "everywhere", kinds: places[0].kinds, put: func(p *person, s string) {
		for _, f := range places {
			if refuses := f.name == "name" || f.name == "organisation" || f.name == "sender name"; !refuses || !refusable(s) {
				f.put(p, s)
			}
		}
	}}
	return []field{all}
}

// refusable tells whether a text may be refused where it is a name: it holds
// control characters, marks that turn the direction, or no UTF-8, or is too
// long.
func refusable(text string) bool {
	return message.CheckName(text) != nil || len([]rune(text)) > 80
}

func compare(t *testing.T, what string, got, want seen) {
	t.Helper()
	if !slices.Equal(got.headers, want.headers) {
		t.Errorf("%s: the headers are %v", what, got.headers)
	}
	if !slices.Equal(got.to, want.to) || got.from != want.from {
		t.Errorf("%s: from %s to %v", what, got.from, got.to)
	}
	if got.skeleton != want.skeleton {
		t.Errorf("%s: the markup changed:\n%s", what, got.skeleton)
	}
	if !slices.Equal(got.links, want.links) {
		t.Errorf("%s: the links are %q, want %q", what, got.links, want.links)
	}
}

// checkBytes wants what every server and every relay on the way takes as it is.
func checkBytes(t *testing.T, what string, raw []byte) {
	t.Helper()
	text := string(raw)
	if !strings.HasSuffix(text, "\r\n") || strings.Count(text, "\n") != strings.Count(text, "\r\n") || strings.Count(text, "\r") != strings.Count(text, "\r\n") {
		t.Errorf("%s: a line does not end with CR LF", what)
	}
	for line := range strings.SplitSeq(text, "\r\n") {
		if len(line) > 998 {
			t.Errorf("%s: a line of %d bytes", what, len(line))
		}
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r > 0x7e || r < 0x20 && r != '\r' && r != '\n' && r != '\t' }) {
		t.Errorf("%s: the letter is not 7-bit", what)
	}
	head, _, _ := strings.Cut(text, "\r\n\r\n")
	for _, once := range []string{"Message-ID: <0123456789abcdef@vault.example.org>", "Auto-Submitted: auto-generated", "Subject:", "From:", "To:", "Date:", "MIME-Version: 1.0"} {
		if n := strings.Count("\r\n"+head+"\r\n", "\r\n"+once); n != 1 {
			t.Errorf("%s: %q stands %d times in the head", what, once, n)
		}
	}
}

// The names are still there to read, without what was taken apart.
func TestNamesStayReadable(t *testing.T) {
	w := &writer{t: t, db: storetest.Open(t, store.SQLite), c: catalogue(t)}
	for _, name := range []string{"Zoë Ångström", "O'Brien", "J. R. R. Tolkien", "名前", "محمد", "Smith & Sons <Ltd>", "=?utf-8?q?x?=", "Dr. med. Ada"} {
		p := benign()
		p.Name, p.Organisation = name, name
		raws, err := w.compose(p, letter.KindInvitation)
		if err != nil {
			t.Fatal(err)
		}
		env, err := enmime.ReadEnvelope(bytes.NewReader(raws[letter.KindInvitation]))
		if err != nil {
			t.Fatal(err)
		}
		plain := strings.ReplaceAll(env.Text+env.GetHeader("Subject"), "\u2060", "")
		if strings.Count(plain, name) < 3 {
			t.Errorf("%q is not in\n%s", name, plain)
		}
		if !strings.Contains(strings.ReplaceAll(env.HTML, "\u2060", ""), html.EscapeString(name)) {
			t.Errorf("%q is not in the HTML", name)
		}
		if to := env.GetHeader("To"); !strings.Contains(to, name) {
			t.Errorf("the receiver %q is called %s", name, to)
		}
	}
}

// The control: letters put together without care are found out, each by the
// check that it is for.
func TestTheChecksFindWhatTheyAreFor(t *testing.T) {
	naive := func(subject, to, text, markup string) seen {
		return read(t, []byte("From: vault@example.org\r\nTo: "+to+"\r\nSubject: "+subject+"\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"+
			text+"\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>"+markup+"</p>\r\n--b--\r\n"))
	}
	calm := naive("x", "ada@example.org", "x", "x")
	if got := naive("x\r\nBcc: evil@evil.example", "ada@example.org", "x", "x"); slices.Equal(got.headers, calm.headers) {
		t.Error("an added header is not found")
	}
	if got := naive("x", `"x" <evil@evil.example>, "y" <ada@example.org>`, "x", "x"); slices.Equal(got.to, calm.to) {
		t.Error("an added receiver is not found")
	}
	if got := naive("x", "ada@example.org", "x", "<b>x</b>"); got.skeleton == calm.skeleton {
		t.Error("added markup is not found")
	}
	for _, text := range hostile() {
		if !strings.Contains(text, "evil") || strings.Contains(text, "\n") || strings.ContainsAny(text, "\r\u2028\u2029\u200b\u00ad") || strings.Contains(text, "-.") {
			continue
		}
		if got := naive("x", "ada@example.org", text, "x"); len(got.links) == 0 && !strings.Contains(mime.QEncoding.Encode("utf-8", text), "=3D") {
			t.Errorf("%q is not found to be a link", text)
		}
	}
}

// What a person may not have in a name is refused before there is a letter.
func TestNamesThatCannotStandInALetterAreRefusedFirst(t *testing.T) {
	for _, text := range hostile() {
		_, err := message.Build(message.Parts{
			From: message.Address{Local: "a", Domain: "b.org"}, To: message.Address{Name: text, Local: "c", Domain: "d.org"},
			Subject: "x", Text: "x", MessageID: "<1@b.org>", Date: time.Unix(1, 0),
		})
		if refused := message.CheckName(text); (err != nil) && refused == nil {
			t.Errorf("%q is taken for a name and makes no letter: %v", text, err)
		} else if refused != nil && fault.Sentence(refused) == "" {
			t.Errorf("%q is refused without a word", text)
		}
	}
}

// Whatever is typed for a name: one line, no link.
func FuzzNames(f *testing.F) {
	c, err := letter.New()
	if err != nil {
		f.Fatal(err)
	}
	db := storetest.Open(f, store.SQLite)
	f.Fuzz(func(t *testing.T, name string) {
		err := db.View(t.Context(), func(tx *store.Tx) error {
			got, err := c.Render(tx, letter.Test{RequestedBy: name, Server: "server"})
			if err != nil {
				return err
			}
			text := got.Text.Reveal()
			if found := linksOf(text); len(found) > 0 {
				t.Errorf("%q makes the links %v", name, found)
			}
			if strings.Count(text, "\n") > 12+len(name)/10 {
				t.Errorf("%q makes lines:\n%s", name, text)
			}
			if strings.Contains(got.HTML.Reveal(), "<p>") {
				t.Errorf("%q makes markup", name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
