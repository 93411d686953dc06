package vault

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// How much fits, in characters; a password in bytes.
const (
	maxName     = 200
	maxType     = 100
	maxAddress  = 255
	maxPlace    = 200
	maxURL      = 2000
	maxNotes    = 4000
	maxReason   = 500
	maxPassword = 4096
)

// tidyLine brings one line of text into the form in which it is kept: composed
// (NFC), with single spaces.
func tidyLine(text string) string {
	return strings.Join(strings.Fields(norm.NFC.String(text)), " ")
}

// tidyNotes keeps lines and ends them as Unix does; a browser sends CR LF.
func tidyNotes(text string) string {
	return strings.TrimSpace(norm.NFC.String(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)))
}

// nameKey is what makes two names the same.
func nameKey(name string) string { return store.Fold(name) }

// unseen are characters that nobody sees and that could make two names look
// the same or turn the order of what is shown.
func unseen(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// unwanted are the unseen ones that notes do without: joiners belong to
// scripts and pictures, lines and tabs to text.
func unwanted(r rune) bool {
	return unseen(r) && !strings.ContainsRune("\n\t\u200c\u200d\u00ad", r)
}

// checkLine notes what is wrong with a tidied line. what begins the sentence.
func checkLine(c *fault.Check, field, what, text string, most int) bool {
	ok := utf8.ValidString(text) && !strings.ContainsFunc(text, unseen)
	return c.That(ok, field, what+" holds characters that do not show. Type it again.") &&
		c.That(utf8.RuneCountInString(text) <= most, field, fmt.Sprintf("%s is too long: %d characters at most.", what, most))
}

func checkNotes(c *fault.Check, notes string) {
	ok := utf8.ValidString(notes) && !strings.ContainsFunc(notes, unwanted)
	if c.That(ok, "notes", "The notes hold characters that do not show. Type them again.") {
		c.That(utf8.RuneCountInString(notes) <= maxNotes, "notes", fmt.Sprintf("The notes are too long: %d characters at most.", maxNotes))
	}
}

// Tidy returns the fields in the form in which they are kept, or what is wrong
// with them.
func (f Fields) Tidy() (Fields, error) {
	err := f.tidy()
	return f, err
}

// tidy brings the fields into the form in which they are kept and says what
// is wrong with them.
func (f *Fields) tidy() error {
	f.Name, f.Type, f.Address = tidyLine(f.Name), tidyLine(f.Type), tidyLine(f.Address)
	f.Department, f.Location = tidyLine(f.Department), tidyLine(f.Location)
	f.URL, f.Notes = strings.TrimSpace(f.URL), tidyNotes(f.Notes)
	if f.Type == "" {
		f.Type = typeOther
	}
	var c fault.Check
	if c.That(f.Name != "", "name", "Give the resource a name.") {
		checkLine(&c, "name", "The name", f.Name, maxName)
	}
	checkLine(&c, "type", "The type", f.Type, maxType)
	checkLine(&c, "address", "The address", f.Address, maxAddress)
	checkLine(&c, "department", "The department", f.Department, maxPlace)
	checkLine(&c, "location", "The location", f.Location, maxPlace)
	c.Add("url", checkURL(f.URL))
	checkNotes(&c, f.Notes)
	return c.Err()
}

// schemes are the beginnings of URLs that are kept. None of them can make a
// browser run what stands behind it.
var schemes = []string{
	"http", "https", "ssh", "sftp", "scp", "ftp", "ftps", "telnet", "rdp", "vnc", "smb", "nfs", "ldap", "ldaps",
	"postgres", "postgresql", "mysql", "mariadb", "sqlserver", "mssql", "oracle", "mongodb", "redis", "rediss",
	"amqp", "amqps", "mqtt", "smtp", "smtps", "imap", "imaps", "snmp", "git",
}

// checkURL refuses an URL that a page could not show with a good conscience.
func checkURL(text string) error {
	refuse := func(sentence string) error { return fault.Invalid("url", sentence) }
	if text == "" {
		return nil
	}
	if utf8.RuneCountInString(text) > maxURL {
		return refuse(fmt.Sprintf("The URL is too long: %d characters at most.", maxURL))
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unseen(r) }) {
		return refuse("The URL holds spaces or characters that do not show.")
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return refuse("This is not an URL. It has the form https://db1.example.org/console.")
	}
	if !slices.Contains(schemes, u.Scheme) {
		return refuse("URLs begin with https://, http:// or another protocol like ssh:// or rdp://. This one is not known.")
	}
	if _, has := u.User.Password(); has {
		return refuse("Leave the password out of the URL and keep it as an account: the URL is shown to everybody who sees the resource.")
	}
	return nil
}

// Link returns the URL where a page may make a link of it: web addresses
// alone. It is empty for all others, which are shown as text.
func (f Fields) Link() string {
	if u, err := url.Parse(f.URL); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		return f.URL
	}
	return ""
}

// Tidy returns the account in the form in which it is kept, or what is wrong
// with it.
func (n NewAccount) Tidy() (NewAccount, error) {
	err := n.tidy()
	return n, err
}

// tidy brings a new account into the form in which it is kept and says what
// is wrong with it. It may have no password yet.
func (n *NewAccount) tidy() error {
	n.Name, n.Notes, n.Reason = tidyLine(n.Name), tidyNotes(n.Notes), tidyLine(n.Reason)
	var c fault.Check
	checkAccount(&c, n.Name, n.Notes)
	if !n.Password.IsZero() {
		checkPassword(&c, n.Password)
	}
	checkLine(&c, "reason", "The reason", n.Reason, maxReason)
	return c.Err()
}

func checkAccount(c *fault.Check, name, notes string) {
	if c.That(name != "", "name", "Type the name that the account signs in with.") {
		checkLine(c, "name", "The name", name, maxName)
	}
	checkNotes(c, notes)
}

func checkPassword(c *fault.Check, password secret.Value) {
	plain := password.Reveal()
	if !c.That(plain != "", "password", "Type the password, or have one generated.") {
		return
	}
	c.That(len(plain) <= maxPassword, "password", fmt.Sprintf("The password is too long: %d bytes at most.", maxPassword))
	c.That(utf8.ValidString(plain) && !strings.ContainsRune(plain, 0), "password", "The password holds bytes that are no characters. Type it again.")
}
