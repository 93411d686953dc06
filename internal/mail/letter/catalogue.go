package letter

import (
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

//go:embed templates
var files embed.FS

// LogoID is the Content-ID under which a letter's HTML refers to the logo.
const LogoID = "logo@sealpost"

// Content is a rendered letter.
type Content struct {
	Kind     string
	Class    Class
	Lifetime time.Duration
	Subject  string
	// Text and HTML hold one-time links, so they are secrets.
	Text, HTML secret.Value
	// Logo is the picture that the HTML shows, or empty.
	Logo     []byte
	LogoType string
}

// Catalogue renders letters. It is safe for use by several goroutines.
type Catalogue struct{ kinds map[string]*kind }

// kind is a kind of letter ready to be rendered. The plans are nil where there
// are none.
type kind struct {
	info KindInfo
	text *texttemplate.Template
	html *htmltemplate.Template

	planSubject, planText, planHTML *plan
}

// New parses the templates.
func New() (*Catalogue, error) {
	c := &Catalogue{kinds: map[string]*kind{}}
	for _, k := range Kinds() {
		t, err := texttemplate.New("layout.txt").Funcs(texttemplate.FuncMap(functions())).Option("missingkey=error").
			ParseFS(files, "templates/layout.txt", "templates/"+k.Key+".txt")
		if err != nil {
			return nil, fmt.Errorf("parsing the letter %s: %w", k.Key, err)
		}
		h, err := htmltemplate.New("layout.html").Funcs(htmltemplate.FuncMap(functions())).Option("missingkey=error").
			ParseFS(files, "templates/layout.html", "templates/"+k.Key+".html")
		if err != nil {
			return nil, fmt.Errorf("parsing the letter %s: %w", k.Key, err)
		}
		made := &kind{info: k, text: t, html: h}
		if err := made.plan(); err != nil && !errors.Is(err, errNoPlan) {
			return nil, fmt.Errorf("planning the letter %s: %w", k.Key, err)
		}
		c.kinds[k.Key] = made
	}
	return c, nil
}

// plan makes the plans of the templates, before they are executed.
func (k *kind) plan() (err error) {
	if k.planSubject, err = planText(k.text.Lookup("subject")); err != nil {
		return err
	}
	if k.planText, err = planText(k.text); err != nil {
		return err
	}
	k.planHTML, err = planHTML(k.html)
	return err
}

// rendered is what the templates of a kind make.
type rendered struct{ subject, text, html string }

// execute renders a letter, by its plans where it has them and they know how.
func (k *kind) execute(v *view) (rendered, error) {
	var r rendered
	if k.planHTML == nil {
		return k.executeTemplates(v)
	}
	var err error
	for _, part := range []struct {
		plan *plan
		out  *string
	}{{k.planSubject, &r.subject}, {k.planText, &r.text}, {k.planHTML, &r.html}} {
		if *part.out, err = part.plan.execute(v); err != nil {
			return k.executeTemplates(v)
		}
	}
	return r, nil
}

// executeTemplates renders a letter with the template library.
func (k *kind) executeTemplates(v *view) (rendered, error) {
	var subject, text, html strings.Builder
	if err := k.text.ExecuteTemplate(&subject, "subject", v); err != nil {
		return rendered{}, err
	}
	if err := k.text.Execute(&text, v); err != nil {
		return rendered{}, err
	}
	err := k.html.Execute(&html, v)
	return rendered{subject.String(), text.String(), html.String()}, err
}

// view is what templates see.
type view struct {
	Site   Site
	Letter Letter
	Title  string
	LogoID string
}

// Render returns the letter as it is sent from this installation.
func (c *Catalogue) Render(tx *store.Tx, l Letter) (Content, error) {
	site, err := c.Site(tx)
	if err != nil {
		return Content{}, err
	}
	return c.render(site, l)
}

func (c *Catalogue) render(site Site, l Letter) (Content, error) {
	k := c.kinds[l.Kind()]
	if k == nil {
		return Content{}, fault.Internal(fmt.Errorf("no letter of kind %q", l.Kind()))
	}
	v := view{Site: site, Letter: l, Title: site.Title()}
	if len(site.Logo) > 0 {
		v.LogoID = LogoID
	}
	r, err := k.execute(&v)
	if err != nil {
		return Content{}, fault.Internal(err)
	}
	return Content{
		Kind: k.info.Key, Class: k.info.Class, Lifetime: k.info.Lifetime,
		Subject: strings.Join(strings.Fields(r.subject), " "),
		Text:    secret.New(r.text), HTML: secret.New(r.html),
		Logo: site.Logo, LogoType: site.LogoType,
	}, nil
}

// The layouts go on like this behind what a letter says.
const (
	textFoot = "\n--\n"
	htmlFoot = "\n</td></tr>\n<tr><td class=\"soft\""
)

// StandingFor returns the letter as one that stands for n further ones of its
// kind, and says so. What else it says stays.
func (c Content) StandingFor(n int64) Content {
	if n <= 0 {
		return c
	}
	more := "The same happened once more within the hour."
	if n > 1 {
		more = fmt.Sprintf("The same happened %d more times within the hour.", n)
	}
	more += " This letter stands for all of them."
	c.Text = secret.New(before(textFoot, "\n"+wrap(more)+"\n", c.Text.Reveal()))
	c.HTML = secret.New(before(htmlFoot, `<p style="margin:16px 0 0">`+more+"</p>", c.HTML.Reveal()))
	return c
}

// before puts words in front of the last foot of a text. What people chose holds
// no line breaks, so that it is never taken for the foot.
func before(foot, words, text string) string {
	at := strings.LastIndex(text, foot)
	return text[:at] + words + text[at:]
}

func functions() map[string]any {
	return map[string]any{
		"inert":     inert,
		"reveal":    secret.Value.Reveal,
		"when":      when,
		"orUnknown": orUnknown,
		"wrap":      wrap,
	}
}

func when(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// joiner is an invisible character between two that must not be read as one
// word.
const joiner = "\u2060"

// inert keeps what people chose in one line, and from turning into a link in
// the reader's program: those make links of schemes, of addresses, of words
// joined by dots, and of the paths of Windows shares. An invisible joiner takes
// such words apart.
func inert(s string) string {
	if harmless(s) {
		return s
	}
	var b strings.Builder
	runes := []rune(s)
	for i, r := range runes {
		next := ' '
		if i+1 < len(runes) {
			next = runes[i+1]
		}
		switch {
		case unicode.IsControl(r) || turns(r) || unicode.In(r, unicode.Zl, unicode.Zp):
			b.WriteByte(' ')
		case r == '@':
			b.WriteString(joiner + "@" + joiner)
		case strings.ContainsRune(".\u2024\u3002\uff0e\uff61", r) && !unicode.IsSpace(next),
			r == ':' && next == '/', r == '\\' && next == '\\':
			b.WriteString(string(r) + joiner)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// harmless tells of most texts that they can stay as they are.
func harmless(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '.' || c == '@' || c == ':' || c == '\\' {
			return false
		}
	}
	return true
}

// turns finds the marks that turn the direction of writing.
func turns(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }

// wrap breaks the lines of a paragraph at 76 characters.
func wrap(s string) string {
	var b strings.Builder
	width := 0
	for i, word := range strings.Fields(s) {
		n := utf8.RuneCountInString(word)
		if i > 0 {
			if width+1+n > 76 {
				b.WriteByte('\n')
				width = 0
			} else {
				b.WriteByte(' ')
				width++
			}
		}
		b.WriteString(word)
		width += n
	}
	return b.String()
}

// Preview returns a letter of the kind with made-up contents.
func (c *Catalogue) Preview(site Site, kind string) (Content, error) {
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	if site.AccessURL == "" {
		site.AccessURL = "https://vault.example.org:7272"
	}
	link := site.Link("/invite", secret.New("abcdefghijklmnopqrstuvwxyz"))
	const from, agent = "192.0.2.17", "Firefox on Windows"
	samples := []Letter{
		Invitation{"Ada Lovelace", "ada", "Password Administrator", "Grace Hopper", link, at.Add(72 * time.Hour)},
		PasswordReset{"Ada Lovelace", site.Link("/reset", secret.New("abcdefghijklmnopqrstuvwxyz")), at.Add(30 * time.Minute), from, agent},
		PasswordChanged{"Ada Lovelace", at, from, agent},
		NewDevice{"Ada Lovelace", at, from, agent},
		ExpiryReminder{
			"Ada Lovelace", "The client secret", "smtp.office365.com:587", at.Add(7 * 24 * time.Hour), "in 7 days",
			"Make a new client secret in Microsoft Entra and type it in the mail server settings. The old one goes on working until its end, so that nothing stops.",
		},
		Test{"Grace Hopper", at, "smtp.example.org:587"},
	}
	for _, l := range samples {
		if l.Kind() == kind {
			return c.render(site, l)
		}
	}
	return Content{}, fault.NotFound("There is no such letter.")
}
