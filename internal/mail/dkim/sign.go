package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Algorithm is how a signature is made.
type Algorithm string

// The algorithms of RFC 6376 and RFC 8463.
const (
	RSA     Algorithm = "rsa-sha256"
	Ed25519 Algorithm = "ed25519-sha256"
)

// signed are the fields that a signature covers, in this order, as many of each
// as there are.
func signed() []string {
	return []string{
		"From", "Sender", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
		"Auto-Submitted",
	}
}

// sealed are the fields that are named once more than there are, so that nobody
// can add another one under the same signature (RFC 6376, section 8.15): all that
// may stand once (RFC 5322, section 3.6) and change what the letter seems to say.
func sealed() []string {
	return []string{
		"From", "Sender", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
	}
}

// namesOf returns what h= says about a header.
func namesOf(fields []field) []string {
	var names []string
	for _, name := range signed() {
		for _, f := range fields {
			if strings.EqualFold(f.name, name) {
				names = append(names, strings.ToLower(name))
			}
		}
		if slices.Contains(sealed(), name) {
			names = append(names, strings.ToLower(name))
		}
	}
	return names
}

// signKey is an opened key and what its signatures say of it.
type signKey struct {
	domain, selector string
	algorithm        Algorithm
	private          crypto.Signer
}

// sign returns the message with a signature of each key in front. The signatures
// cover the message alone, not each other. All of it is a function of its
// arguments: both algorithms are deterministic.
func sign(message []byte, keys []signKey, at time.Time) ([]byte, error) {
	fields, body, err := split(message)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(relaxedBody(body))
	names := namesOf(fields)
	header := selected(fields, names)
	var front []byte
	for _, k := range keys {
		f := k.field(names, digest[:], at)
		signature, err := k.sign(header, f)
		if err != nil {
			return nil, err
		}
		front = append(front, f.raw[:len(f.raw)-2]...)
		front = append(front, wrapped(signature)...)
		front = append(front, crlf...)
	}
	return append(front, message...), nil
}

// field is the DKIM-Signature without the signature: b= stands last and empty
// (RFC 6376, section 3.5). There is no l=, with which bodies could be added to,
// and no x=: a letter may wait for days at a server that is away.
func (k signKey) field(names []string, bodyHash []byte, at time.Time) field {
	lines := []string{
		"DKIM-Signature: v=1; a=" + string(k.algorithm) + "; c=relaxed/relaxed;",
		" d=" + k.domain + "; s=" + k.selector + ";",
		" t=" + strconv.FormatInt(at.Unix(), 10) + ";",
	}
	line := " h="
	for i, n := range names {
		if i < len(names)-1 {
			n += ":"
		} else {
			n += ";"
		}
		if len(line)+len(n) > lineLength {
			lines = append(lines, line)
			line = "  "
		}
		line += n
	}
	lines = append(lines, line, " bh="+base64.StdEncoding.EncodeToString(bodyHash)+";", " b=")
	return field{"DKIM-Signature", []byte(strings.Join(lines, "\r\n") + "\r\n")}
}

// lineLength is where a line is folded, as RFC 5322, section 2.1.1 wishes.
const lineLength = 76

// wrapped is a signature in base64, folded so that its first line fits behind
// " b=".
func wrapped(signature []byte) string {
	text := base64.StdEncoding.EncodeToString(signature)
	const each = lineLength - len(" b=")
	var b strings.Builder
	for len(text) > each {
		b.WriteString(text[:each] + "\r\n   ")
		text = text[each:]
	}
	return b.String() + text
}

// hash is what is signed of a header and the field of a signature without its
// signature (RFC 6376, section 3.7).
func hash(header []byte, f field) []byte {
	h := sha256.New()
	h.Write(header)
	own := relaxedField(f)
	h.Write(own[:len(own)-2])
	return h.Sum(nil)
}

func (k signKey) sign(header []byte, f field) ([]byte, error) {
	digest := hash(header, f)
	switch private := k.private.(type) {
	case *rsa.PrivateKey:
		return rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, digest)
	case ed25519.PrivateKey:
		// RFC 8463, section 3: PureEdDSA over the SHA-256 of what RSA would sign.
		return ed25519.Sign(private, digest), nil
	}
	return nil, fmt.Errorf("dkim: a key of type %T signs nothing", k.private)
}
