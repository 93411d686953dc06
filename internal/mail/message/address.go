package message

import (
	"net/mail"
	"strings"

	"golang.org/x/net/idna"

	"github.com/sealpost/sealpost/internal/fault"
)

const (
	// maxLocal and maxDomain are the limits of RFC 5321 4.5.3.1, in octets.
	maxLocal  = 64
	maxDomain = 255
	// maxName bounds a display name, in runes.
	maxName = 128
)

// Address is one mailbox.
type Address struct {
	// Name is the display name; empty for none.
	Name string
	// Local and Domain are the two sides of the "@". The domain is in lower
	// case and in ASCII (A-labels, RFC 5890).
	Local, Domain string
}

// ParseAddress reads a mailbox as a person types it: "user@example.org", or
// "Name <user@example.org>". The local part is a dot-atom of RFC 5321 4.1.2 in
// ASCII; quoted local parts, comments, routes, address literals and lists are
// refused. The error is a fault against the field "address".
func ParseAddress(text string) (Address, error) {
	refuse := func(sentence string) (Address, error) { return Address{}, fault.Invalid("address", sentence) }
	text = strings.TrimSpace(text)
	if text == "" {
		return refuse("Type an e-mail address.")
	}
	if hasControl(text) {
		return refuse("The address holds a line break or control character. Type it anew.")
	}
	name, spec := "", text
	if i := strings.LastIndexByte(text, '<'); i >= 0 {
		if !strings.HasSuffix(text, ">") {
			return refuse("The address does not end with >.")
		}
		name, spec = strings.TrimSpace(text[:i]), text[i+1:len(text)-1]
		name = strings.TrimSpace(strings.Trim(name, `"`))
		if err := CheckName(name); err != nil {
			return Address{}, fault.Invalid("address", fault.Sentence(err))
		}
	}
	i := strings.LastIndexByte(spec, '@')
	if i <= 0 || i == len(spec)-1 {
		return refuse("An e-mail address has the form name@example.org.")
	}
	local, domain := spec[:i], spec[i+1:]
	if len(local) > maxLocal || !dotAtom(local) {
		return refuse("The part before the @ holds a character that mail servers do not take, or is too long. Letters, digits and . _ + - work everywhere.")
	}
	ascii, err := DomainToASCII(domain)
	if err != nil {
		return refuse("The part after the @ is not a domain name.")
	}
	return Address{Name: name, Local: local, Domain: ascii}, nil
}

// DomainToASCII returns a domain name in lower-case A-labels, and an error for
// what is none.
func DomainToASCII(domain string) (string, error) {
	ascii, err := toASCII(strings.ToLower(domain))
	if err != nil {
		return "", fault.Invalid("domain", "This is not a domain name.").Because(err)
	}
	bad := fault.Invalid("domain", "This is not a domain name.")
	if len(ascii) > maxDomain || ascii == "" {
		return "", bad
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", bad
		}
		for i := range len(label) {
			if c := label[i]; !isAlnum(c) && c != '-' {
				return "", bad
			}
		}
	}
	return ascii, nil
}

// toASCII leaves a name alone that is ASCII and has no hyphens of a kind with a
// meaning (RFC 5890 2.3.1): there is nothing to turn, and to look the rules up
// for each letter costs more than the rest of its addresses.
func toASCII(lower string) (string, error) {
	plain := !strings.Contains(lower, "--")
	for i := 0; plain && i < len(lower); i++ {
		c := lower[i]
		plain = isAlnum(c) || c == '-' || c == '.'
	}
	if plain {
		return lower, nil
	}
	return idna.Lookup.ToASCII(lower)
}

// CheckName refuses display names that cannot stand in a header.
func CheckName(name string) error {
	if hasControl(name) {
		return fault.Invalid("name", "The name holds a line break or control character. Type it anew.")
	}
	if len([]rune(name)) > maxName {
		return fault.Invalid("name", "The name is longer than 128 characters.")
	}
	return nil
}

// Spec returns the address without a name: local@domain.
func (a Address) Spec() string { return a.Local + "@" + a.Domain }

// IsZero reports whether there is no address.
func (a Address) IsZero() bool { return a.Local == "" && a.Domain == "" }

// String returns the address as a person reads it.
func (a Address) String() string {
	if a.Name == "" {
		return a.Spec()
	}
	return a.Name + " <" + a.Spec() + ">"
}

// header returns the address as it stands in a header: quoted or encoded as
// RFC 5322 3.2.4 and RFC 2047 want it.
func (a Address) header() string {
	// Some readers decode encoded words inside quotes as well.
	if strings.Contains(a.Name, "=?") {
		return encodeText(a.Name) + " <" + a.Spec() + ">"
	}
	return (&mail.Address{Name: a.Name, Address: a.Spec()}).String()
}

// dotAtom reports whether s is a Dot-string of RFC 5321 4.1.2.
func dotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			if c := atom[i]; !isAlnum(c) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) < 0 {
				return false
			}
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// hasControl finds what could end a line or hide text: C0 and C1 controls,
// line and paragraph separators, marks that turn the direction of writing, and
// bytes that are no UTF-8.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfffd ||
			r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
	})
}
