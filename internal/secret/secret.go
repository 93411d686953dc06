// Package secret owns one type: a value that cannot be printed, logged or
// marshalled by accident. Passwords, tokens, private keys and the plain text
// of letters travel through the program as a Value and leave it by one door,
// [Value.Reveal], which is easy to search for.
//
// The package refuses to be clever: it does not lock memory or wipe it, since
// Go's garbage collector may have copied a string before anything here ran.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Redacted is what every printing, logging and marshalling path writes in
// place of a secret, whatever its length.
const Redacted = "[redacted]"

// Value holds one secret. The zero Value is the empty secret. It is safe to
// copy and to share between goroutines, since nothing can change it. Compare
// with Equal: == compares identity.
//
// The text sits behind a pointer because fmt walks into a struct past its
// Format method where a verb does not fit (%p, %!), and prints a nested
// pointer as an address.
type Value struct{ v *string }

// New returns a Value that holds s.
func New(s string) Value {
	if s == "" {
		return Value{}
	}
	return Value{v: &s}
}

// FromBytes returns a Value that holds a copy of b.
func FromBytes(b []byte) Value { return New(string(b)) }

// Reveal opens the secret. It is the only way out: call it at the last
// possible moment, on the way to the wire, the hash or the page that a person
// asked for.
func (s Value) Reveal() string {
	if s.v == nil {
		return ""
	}
	return *s.v
}

// IsZero reports whether the secret is empty, which callers read as "none".
func (s Value) IsZero() bool { return s.v == nil }

// Equal compares two secrets without telling by its duration where, or in
// what length, they differ.
func (s Value) Equal(o Value) bool {
	a, b := sha256.Sum256([]byte(s.Reveal())), sha256.Sum256([]byte(o.Reveal()))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// String returns [Redacted].
func (s Value) String() string { return Redacted }

// GoString returns [Redacted], so that %#v tells nothing either.
func (s Value) GoString() string { return Redacted }

// Format writes [Redacted] for every verb, also those that would otherwise
// reach into the struct.
func (s Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// LogValue returns [Redacted] for log/slog.
func (s Value) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText returns [Redacted]; encoding/json, encoding/xml and YAML
// encoders all arrive here.
func (s Value) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// MarshalJSON returns [Redacted] as a JSON string.
func (s Value) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalBinary returns [Redacted], which also covers encoding/gob.
func (s Value) MarshalBinary() ([]byte, error) { return []byte(Redacted), nil }
