package blueprint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/servers"
)

// MaxFile is the largest set-up file that is read, in bytes.
const MaxFile = 1 << 20

// Spec is what a set-up file says. Empty parts are left as they are.
type Spec struct {
	// Version of the file's format. 1 is the only one.
	Version int `yaml:"version"`
	// AccessURL is the address under which people reach Sealpost.
	AccessURL string `yaml:"access_url"`
	// Organisation is the name that letters carry.
	Organisation string `yaml:"organisation"`
	// Mail is the mail server profile.
	Mail *Mail `yaml:"mail"`
	// Users are invited when they are not there, and brought to what is said.
	Users []User `yaml:"users"`
	// Resources with their accounts.
	Resources []Resource `yaml:"resources"`

	lines lines
}

// Mail is the mail server profile of a set-up file.
type Mail struct {
	// Server is "other" (the default), "microsoft" or "capture".
	Server string `yaml:"server"`
	// Host and Port of the server. Exchange Online has both by itself.
	Host string `yaml:"host"`
	Port int    `yaml:"port"`
	// Security is "none", "ssl" (TLS from the start) or "tls" (STARTTLS,
	// required).
	Security string `yaml:"security"`
	// Sender is the address, with or without a name, that letters come from.
	Sender  Sender `yaml:"sender"`
	ReplyTo string `yaml:"reply_to"`
	// Authentication is left out where the server wants none.
	Authentication *Authentication `yaml:"authentication"`
	// Mechanism fixes the SASL mechanism; empty takes the strongest.
	Mechanism string `yaml:"mechanism"`
	// EHLOName is what the client calls itself; empty derives it from the
	// Access URL.
	EHLOName string `yaml:"ehlo_name"`
	// Pace is how fast letters leave; what is left out is what the provider
	// allows.
	Pace Pace `yaml:"pace"`
	// RequireTLS asks the server to pass letters with one-time links on over TLS
	// only.
	RequireTLS bool `yaml:"require_tls"`
	// Timeouts that are left out altogether stay as they are.
	Timeouts *Timeouts `yaml:"timeouts"`
	// TrustedCertificates are references to PEM or DER files. Where they are
	// given, none too, exactly these are trusted; left out, they stay.
	TrustedCertificates []Ref `yaml:"trusted_certificates"`
	// PinnedCertificates are the same for what is trusted by its key alone.
	PinnedCertificates []Ref `yaml:"pinned_certificates"`
	// SendInClear repeats the server's host name to confirm that letters, and
	// the password where there is one, may be sent without encryption.
	SendInClear string `yaml:"send_in_clear"`

	// Second is a mail server beside this one; left out, it stays as it is, and
	// so do Fallback and Routes. Fallback is how long one of the two is paused
	// before the other takes its letters over: "never", "at_once", "5m", "15m" or
	// "60m". Routes are the domains of recipients whose letters leave through the
	// second. All three stand under mail alone.
	Second   *Mail    `yaml:"second"`
	Fallback string   `yaml:"fallback"`
	Routes   []string `yaml:"routes"`
	// Delivery is how long letters are tried and remembered. It may stand alone:
	// then the mail servers stay as they are.
	Delivery *Delivery `yaml:"delivery"`
	// Bounces are where servers report failures to. They may stand alone as well.
	Bounces *Bounces `yaml:"bounces"`
}

// Timeouts bound the parts of a connection to the mail server; what is left out
// of them has its default.
type Timeouts struct {
	Connect  time.Duration `yaml:"connect"`
	Greeting time.Duration `yaml:"greeting"`
	Command  time.Duration `yaml:"command"`
	Final    time.Duration `yaml:"final"`
}

// Sender is who letters come from.
type Sender struct {
	Address string `yaml:"address"`
	Name    string `yaml:"name"`
}

// Pace bounds how fast letters leave.
type Pace struct {
	Connections int `yaml:"connections"`
	PerMinute   int `yaml:"letters_a_minute"`
	PerDay      int `yaml:"recipients_a_day"`
}

// Authentication says how the mail server is signed in to: User with
// Password, Account, or OAuth.
type Authentication struct {
	User     string      `yaml:"user"`
	Password Ref         `yaml:"password"`
	Account  *AccountRef `yaml:"account"`
	OAuth    *OAuth      `yaml:"oauth"`
}

// OAuth says how tokens are got.
type OAuth struct {
	// Provider is "google" or "generic"; Exchange Online has its own.
	Provider string `yaml:"provider"`
	// SignIn is "mailbox" (the default), "application" or "service_account".
	SignIn string `yaml:"sign_in"`
	// Cloud is Microsoft's: global (the default), gcc_high, dod, china, custom.
	Cloud    string `yaml:"cloud"`
	Tenant   string `yaml:"tenant"`
	ClientID string `yaml:"client_id"`
	// ClientSecret with the day on which it ends, Certificate or Key prove the
	// client; Certificate is a PEM with its key, Key the file of a service
	// account.
	ClientSecret Ref    `yaml:"client_secret"`
	SecretEnds   string `yaml:"secret_ends"`
	Certificate  Ref    `yaml:"certificate"`
	Key          Ref    `yaml:"key"`
	// Mailbox is who signs in; left out, the sender.
	Mailbox string `yaml:"mailbox"`
	// Via is "smtp" (the default) or "graph".
	Via string `yaml:"via"`
	// Redirect is "sealpost" (the default) or "pmp".
	Redirect string `yaml:"redirect"`
	// What is left out of these is the provider's.
	AuthorizeURL string   `yaml:"authorize_url"`
	TokenURL     string   `yaml:"token_url"`
	Scopes       []string `yaml:"scopes"`
	GraphURL     string   `yaml:"graph_url"`
}

// AccountRef names an account stored in Sealpost.
type AccountRef struct {
	// Owner is the login of who owns the resource. It may be left out where
	// the resource stands in the same file, once.
	Owner    string `yaml:"owner"`
	Resource string `yaml:"resource"`
	Account  string `yaml:"account"`
}

// User is one person of a set-up file.
type User struct {
	Login string `yaml:"login"`
	Name  string `yaml:"name"`
	Email string `yaml:"email"`
	// Role is a role in lower case with underscores.
	Role string `yaml:"role"`
	// Disabled users cannot sign in. Left out, it stays as it is.
	Disabled *bool `yaml:"disabled"`
}

// Resource is one resource of a set-up file.
type Resource struct {
	Name string `yaml:"name"`
	// Owner is the login of the user who owns it.
	Owner      string `yaml:"owner"`
	Type       string `yaml:"type"`
	Address    string `yaml:"address"`
	Department string `yaml:"department"`
	Location   string `yaml:"location"`
	URL        string `yaml:"url"`
	Notes      string `yaml:"notes"`
	// AskReason asks whoever takes out a password for the reason. Left out, it
	// stays as it is.
	AskReason *bool     `yaml:"ask_reason"`
	Accounts  []Account `yaml:"accounts"`
}

// Account is one account under a resource.
type Account struct {
	Name     string `yaml:"name"`
	Notes    string `yaml:"notes"`
	Password Ref    `yaml:"password"`
}

// Ref is a reference to something outside the file: "env:NAME" or
// "file:PATH".
type Ref string

// UnmarshalYAML refuses what is not a reference, without repeating it: it may
// be a password.
func (r *Ref) UnmarshalYAML(n *yaml.Node) error {
	kind, name, ok := strings.Cut(n.Value, ":")
	if n.Kind != yaml.ScalarNode || !ok || name == "" || (kind != "env" && kind != "file") {
		return fmt.Errorf("line %d: write env:NAME or file:PATH here; a secret never stands in the file itself", n.Line)
	}
	*r = Ref(n.Value)
	return nil
}

// Split returns "env" or "file" and the name behind it.
func (r Ref) Split() (kind, name string) {
	kind, name, _ = strings.Cut(string(r), ":")
	return kind, name
}

// Parse reads a set-up file. Unknown keys, a second document, wrong types and
// what does not fit together are faults that name the line.
func Parse(data []byte) (Spec, error) {
	var s Spec
	if len(data) > MaxFile {
		return s, fault.Invalid("file", "The file is larger than 1 MiB. Split it.")
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil {
		if errors.Is(err, io.EOF) {
			return s, fault.Invalid("file", `The file is empty. Start it with "version: 1".`)
		}
		return s, fault.Invalid("file", "The file cannot be read: "+yamlSentence(err)+".")
	}
	var more yaml.Node
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return s, fault.Invalid("file", "The file holds more than one YAML document. Keep one.")
	}
	s.lines = readLines(data)
	return s, s.lines.locate(s.check())
}

// yamlSentence shortens what the YAML library says to one line. Type errors
// repeat the offending value, which may be a password, so that only their
// line is kept.
func yamlSentence(err error) string {
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		return strings.TrimPrefix(err.Error(), "yaml: ")
	}
	var out []string
	for _, e := range te.Errors {
		if line, rest, ok := strings.Cut(e, ": "); ok && strings.HasPrefix(rest, "cannot unmarshal") {
			e = line + ": a value of another type belongs here"
		}
		out = append(out, e)
	}
	return strings.Join(out, "; ")
}

func (s Spec) check() error {
	var c fault.Check
	c.That(s.Version == 1, "version", `Start the file with "version: 1".`)
	if m := s.Mail; m != nil && m.Delivery != nil {
		m.Delivery.check(&c)
	}
	if m := s.Mail; m != nil && m.Bounces != nil {
		m.Bounces.check(&c)
	}
	if m := s.Mail; m != nil && m.describesServer() {
		m.check(&c)
		_, known := servers.RuleOf(m.Fallback)
		c.That(m.Fallback == "" || known, "mail.fallback", `Write "never", "at_once", "5m", "15m" or "60m".`)
		if two := m.Second; two != nil {
			c.That(two.Second == nil && two.Fallback == "" && two.Routes == nil && two.Delivery == nil && two.Bounces == nil, "mail.second", "There are two mail servers at most; fallback, routes, delivery and bounces stand under mail itself.")
			var sub fault.Check
			two.check(&sub)
			for _, f := range fault.Fields(sub.Err()) {
				c.That(false, secondKey+strings.TrimPrefix(f.Field, mailKey), f.Sentence)
			}
		}
	}
	logins := map[string]bool{}
	for i, u := range s.Users {
		at := fmt.Sprintf("users[%d]", i)
		c.That(u.Login != "", at+".login", "Give each user a login.")
		c.That(!logins[strings.ToLower(u.Login)], at+".login", "This login stands twice in the file.")
		logins[strings.ToLower(u.Login)] = true
	}
	seen := map[string]bool{}
	for i, r := range s.Resources {
		at := fmt.Sprintf("resources[%d]", i)
		c.That(r.Name != "", at+".name", "Give each resource a name.")
		c.That(r.Owner != "", at+".owner", "Say who owns the resource: a user's login.")
		key := strings.ToLower(r.Owner + "\x00" + r.Name)
		c.That(!seen[key], at+".name", "This owner has a resource of this name already in the file.")
		seen[key] = true
		accounts := map[string]bool{}
		for j, a := range r.Accounts {
			at := fmt.Sprintf("%s.accounts[%d].name", at, j)
			c.That(a.Name != "", at, "Give each account a name.")
			c.That(!accounts[strings.ToLower(a.Name)], at, "This account stands twice under its resource.")
			accounts[strings.ToLower(a.Name)] = true
		}
	}
	return c.Err()
}

func (m *Mail) check(c *fault.Check) {
	switch m.Server {
	case "", "other":
		c.That(m.Host != "", "mail.host", "Name the mail server.")
		c.That(m.Sender.Address != "", "mail.sender.address", "Give the sender's e-mail address.")
	case "microsoft":
		c.That(m.Sender.Address != "", "mail.sender.address", "Give the sender's e-mail address.")
		c.That(m.Authentication != nil && m.Authentication.OAuth != nil, "mail.authentication", "Exchange Online is signed in to with a token. Say how under oauth.")
		c.That(m.Security == "" || m.Security == "tls", "mail.security", "Exchange Online is always connected to by tls. Leave it out.")
	case "capture":
	default:
		c.That(false, "mail.server", `Write "other", "microsoft" or "capture".`)
	}
	switch m.Security {
	case "", "none", "ssl", "tls":
	default:
		c.That(false, "mail.security", `Write "none", "ssl" (TLS from the start) or "tls" (STARTTLS, required).`)
	}
	if m.Authentication != nil {
		m.Authentication.check(c, m.Server == "microsoft")
	}
}

func (a *Authentication) check(c *fault.Check, microsoft bool) {
	typed := a.User != "" || a.Password != ""
	ways := 0
	for _, there := range []bool{typed, a.Account != nil, a.OAuth != nil} {
		if there {
			ways++
		}
	}
	c.That(ways == 1, "mail.authentication", "Give either user and password, or account, or oauth.")
	if typed {
		c.That(a.User != "" && a.Password != "", "mail.authentication", "A user name needs a password, and the reverse.")
	}
	if a.OAuth != nil {
		a.OAuth.check(c, microsoft)
	}
}

// The keys of the two mail servers.
const (
	mailKey   = "mail"
	secondKey = "mail.second"
)

// mailServers are those that the file describes.
func (s Spec) mailServers() []*Mail {
	switch {
	case s.Mail == nil:
		return nil
	case s.Mail.Second == nil:
		return []*Mail{s.Mail}
	}
	return []*Mail{s.Mail, s.Mail.Second}
}

// References returns every reference of the file once, in its order.
func (s Spec) References() []Ref {
	var refs []Ref
	seen := map[Ref]bool{"": true}
	add := func(rs ...Ref) {
		for _, r := range rs {
			if !seen[r] {
				seen[r] = true
				refs = append(refs, r)
			}
		}
	}
	for _, m := range s.mailServers() {
		add(m.TrustedCertificates...)
		add(m.PinnedCertificates...)
		if m.Authentication != nil {
			add(m.Authentication.Password)
			if o := m.Authentication.OAuth; o != nil {
				add(o.ClientSecret, o.Certificate, o.Key)
			}
		}
	}
	if s.Mail != nil {
		add(s.Mail.Bounces.references()...)
	}
	for _, r := range s.Resources {
		for _, a := range r.Accounts {
			add(a.Password)
		}
	}
	return refs
}
