package letter

import (
	"bytes"
	"image"
	_ "image/jpeg" // registers the decoder for CheckLogo
	_ "image/png"  // likewise
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	// MaxLogo is the largest logo, in bytes; it travels in every letter.
	MaxLogo = 64 << 10
	// maxLogoSide is the longest side of a logo, in pixels.
	maxLogoSide = 2000
	// maxOrganisation bounds the organisation's name, in characters.
	maxOrganisation = 80
)

// Site is what letters and pages say of this installation.
type Site struct {
	// AccessURL is the address under which people reach the web interface,
	// without a slash at its end. Empty until the set-up.
	AccessURL string
	// Organisation is the name that letters carry; empty means "Sealpost".
	Organisation string
	// Logo is a PNG or JPEG picture, or empty; LogoType its media type.
	Logo     []byte
	LogoType string
	// UpdatedAt is when any of it last changed.
	UpdatedAt time.Time
}

// Title returns the organisation's name, or the product's where there is none.
func (s Site) Title() string {
	if s.Organisation != "" {
		return s.Organisation
	}
	return "Sealpost"
}

// MessageDomain is what stands behind the "@" of a Message-ID: the host of the
// Access URL where it is a name.
func (s Site) MessageDomain() string {
	u, err := url.Parse(s.AccessURL)
	if err != nil || u.Hostname() == "" {
		return "sealpost.invalid"
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		return "[" + a.String() + "]"
	}
	return u.Hostname()
}

// Link is a one-time link and the code to type where it cannot be opened.
type Link struct {
	URL, Code secret.Value
}

// Link returns the link to path with a token in its fragment.
func (s Site) Link(path string, token secret.Value) Link {
	return Link{URL: secret.New(s.AccessURL + path + "#" + token.Reveal()), Code: secret.New(group(token.Reveal()))}
}

// group puts a dash after every four characters. Who reads a code in takes
// dashes and spaces out again.
func group(code string) string {
	var b strings.Builder
	for i, r := range code {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// CheckAccessURL returns the normal form of an Access URL: scheme https, or
// http where the host is this machine; a host; nothing else but a port. There
// is no path, since the pages link to each other from the root. The error is a fault against the field "access_url".
func CheckAccessURL(text string) (string, error) {
	refuse := func(sentence string) (string, error) { return "", fault.Invalid("access_url", sentence) }
	text = strings.TrimRight(strings.TrimSpace(text), "/")
	if text == "" {
		return refuse("Type the address under which people reach Sealpost, for example https://vault.example.org:7272.")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || len(text) > 300 || strings.ContainsAny(text, " \t\r\n\"'<>\\^`{|}"):
		return refuse("This is not a web address. It has the form https://vault.example.org:7272.")
	case u.Scheme != "https" && u.Scheme != "http":
		return refuse("The address begins with https://.")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return refuse("Use https://. Links that let people in must not travel in clear.")
	case u.User != nil:
		return refuse("Leave user name and password out of the address.")
	case u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(text, "?#"):
		return refuse("Leave out everything from ? or # on.")
	case u.Path != "":
		return refuse("Leave out the path after the host: Sealpost needs a host name of its own and does not work below a path.")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return refuse("The port in this address is not a number from 1 to 65535.")
		}
	}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil {
		host, err := message.DomainToASCII(u.Hostname())
		if err != nil {
			return refuse("The host in this address is not a host name.")
		}
		if port := u.Port(); port != "" {
			host = net.JoinHostPort(host, port)
		}
		u.Host = host
	}
	u.Scheme = strings.ToLower(u.Scheme)
	return strings.TrimRight(u.String(), "/"), nil
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// CheckLogo returns the media type of a logo, or a fault against the field
// "logo". PNG and JPEG are taken; SVG can hold scripts.
func CheckLogo(data []byte) (string, error) {
	if len(data) > MaxLogo {
		return "", fault.Invalid("logo", "The picture is larger than 64 kB. It goes with every letter: make it smaller.")
	}
	c, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return "", fault.Invalid("logo", "This is not a PNG or JPEG picture.").Because(err)
	}
	if c.Width > maxLogoSide || c.Height > maxLogoSide || c.Width == 0 || c.Height == 0 {
		return "", fault.Invalid("logo", "The picture is larger than 2000 pixels.")
	}
	return "image/" + format, nil
}

// siteKept names the site among what a transaction keeps.
const siteKept = "letter site"

// Site returns what is set; the zero Site before the set-up. Its logo is shared:
// nobody may change its bytes.
func (c *Catalogue) Site(tx *store.Tx) (Site, error) {
	return store.Kept(tx, siteKept, func() (Site, error) { return readSite(tx) })
}

func readSite(tx *store.Tx) (Site, error) {
	s, err := store.One(tx, func(r store.Row) (Site, error) {
		var s Site
		var at int64
		err := r.Scan(&s.AccessURL, &s.Organisation, &s.Logo, &s.LogoType, &at)
		s.UpdatedAt = store.FromMicros(at)
		return s, err
	}, `SELECT access_url, organisation, logo, logo_type, updated_at FROM letter_site WHERE id = 'site'`)
	if fault.Is(err, fault.KindNotFound) {
		return Site{}, nil
	}
	return s, err
}

// SetSite checks and stores s. UpdatedAt is set here. Faults stand against the
// fields "access_url", "organisation" and "logo".
func (c *Catalogue) SetSite(tx *store.Tx, s Site) error {
	var check fault.Check
	normal, err := CheckAccessURL(s.AccessURL)
	check.Add("access_url", err)
	s.Organisation = strings.TrimSpace(s.Organisation)
	if check.That(utf8.RuneCountInString(s.Organisation) <= maxOrganisation, "organisation", "The name is longer than 80 characters.") {
		err := message.CheckName(s.Organisation)
		check.That(err == nil, "organisation", "The name holds a line break or control character. Type it anew.")
	}
	s.LogoType = ""
	if len(s.Logo) > 0 {
		s.LogoType, err = CheckLogo(s.Logo)
		check.Add("logo", err)
	}
	if err := check.Err(); err != nil {
		return err
	}
	tx.Forget(siteKept)
	_, err = tx.Exec(`INSERT INTO letter_site (id, access_url, organisation, logo, logo_type, updated_at)
		VALUES ('site', $1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET access_url = excluded.access_url, organisation = excluded.organisation,
			logo = excluded.logo, logo_type = excluded.logo_type, updated_at = excluded.updated_at`,
		normal, s.Organisation, s.Logo, s.LogoType, store.Micros(tx.Now()))
	return err
}
