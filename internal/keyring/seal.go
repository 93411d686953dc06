package keyring

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// ErrSealed is wrapped by the error of Open when a value does not open where
// it stands: it was moved, changed, or sealed with another Bind.
var ErrSealed = errors.New("keyring: the sealed value does not belong here or was changed")

// LongestValue is how many bytes a value may have.
const LongestValue = 64 << 20

// Place is where a sealed value stands. All of it must be the same when the
// value is opened. For a column that [Keyring.Rotate] is told of, Row and
// Version are what the columns ID and Version hold.
type Place struct {
	// Table, Row and Column name the field; Row is the row's id.
	Table, Row, Column string
	// Version numbers the values that the field has had; 0 where it does not
	// count them.
	Version int64
	// Bind is whatever else the value is bound to, such as the host and port
	// that a password is for; empty for nothing.
	Bind string
}

// field is the part of the place that the data key is bound to. Bind is left
// to the value, so that keys rotate without knowing it.
func (p Place) field() []byte {
	return packFields([]byte(p.Table), []byte(p.Row), []byte(p.Column), packInt(p.Version))
}

// envelope is a sealed value in its parts:
//
//	format 1 | length of purpose (1) | purpose | key version (8)
//	| wrapped data key (12 + 32 + 16) | sealed value (12 + n + 16)
type envelope struct {
	id      keyID
	dataKey []byte
	value   []byte
}

const (
	formatOne      = 1
	wrappedKeySize = 12 + keySize + 16
)

func (e envelope) bytes() []byte {
	b := append([]byte{formatOne, byte(len(e.id.purpose))}, e.id.purpose...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.id.version))
	return slices.Concat(b, e.dataKey, e.value)
}

// parseHeader reads which key a sealed value needs.
func parseHeader(b []byte) (id keyID, rest []byte, err error) {
	if len(b) < 2 || b[0] != formatOne {
		return keyID{}, nil, ErrSealed
	}
	n := int(b[1])
	if b = b[2:]; len(b) < n+8 {
		return keyID{}, nil, ErrSealed
	}
	id.purpose, b = string(b[:n]), b[n:]
	id.version = int64(binary.BigEndian.Uint64(b))
	if id.version <= 0 || !slices.Contains(Purposes(), id.purpose) {
		return keyID{}, nil, ErrSealed
	}
	return id, b[8:], nil
}

func parse(b []byte) (envelope, error) {
	id, rest, err := parseHeader(b)
	if err != nil || len(rest) < wrappedKeySize {
		return envelope{}, ErrSealed
	}
	return envelope{id, rest[:wrappedKeySize], rest[wrappedKeySize:]}, nil
}

// dataKeyContext is the associated data of a wrapped data key.
func dataKeyContext(id keyID, p Place) []byte {
	return packFields([]byte(labelDataKey), []byte(id.purpose), packInt(id.version), p.field())
}

// valueContext is the associated data of the value. It leaves out the key's
// version, which changes when keys rotate.
func valueContext(purpose string, p Place) []byte {
	return packFields([]byte(labelValue), []byte(purpose), p.field(), []byte(p.Bind))
}

// Seal encrypts v for purpose and binds it to p. The transaction must be the
// one that stores the result: it holds the newest key in place until then. An
// empty value is sealed like any other.
func (k *Keyring) Seal(tx *store.Tx, purpose string, p Place, v secret.Value) ([]byte, error) {
	plain := v.Reveal()
	if !slices.Contains(Purposes(), purpose) {
		return nil, fmt.Errorf("keyring: unknown purpose %q", purpose)
	}
	if len(plain) > LongestValue {
		return nil, fault.Invalid("value", "The value is too long to be kept.")
	}
	version, err := newestVersion(tx, purpose, tx.ForShare())
	if err != nil {
		return nil, err
	}
	id := keyID{purpose, version}
	wrapping, err := k.find(tx, id)
	if err != nil {
		return nil, err
	}
	dataKey, err := k.randomBytes(keySize)
	if err != nil {
		return nil, err
	}
	e := envelope{id: id}
	if e.value, err = k.encrypt(newAEAD(dataKey), []byte(plain), valueContext(purpose, p)); err != nil {
		return nil, err
	}
	if e.dataKey, err = k.encrypt(wrapping.wrap, dataKey, dataKeyContext(id, p)); err != nil {
		return nil, err
	}
	return e.bytes(), nil
}

// Open decrypts what Seal made for the same place. The error wraps
// [ErrSealed] when the value does not open there.
func (k *Keyring) Open(tx *store.Tx, p Place, sealed []byte) (secret.Value, error) {
	plain, err := k.open(tx, p, sealed)
	if errors.Is(err, ErrSealed) || errors.Is(err, errNoKey) {
		where := fmt.Errorf("%w: %s.%s of %s, version %d", ErrSealed, p.Table, p.Column, p.Row, p.Version)
		return secret.Value{}, (&fault.Error{
			Kind:     fault.KindInternal,
			Sentence: "A stored secret cannot be opened: it was changed in the database, or is meant for something else.",
		}).Because(where)
	}
	if err != nil {
		return secret.Value{}, err
	}
	return secret.FromBytes(plain), nil
}

func (k *Keyring) open(tx *store.Tx, p Place, sealed []byte) ([]byte, error) {
	e, err := parse(sealed)
	if err != nil {
		return nil, err
	}
	dataKey, err := k.unwrap(tx, p, e)
	if err != nil {
		return nil, err
	}
	return decrypt(newAEAD(dataKey), e.value, valueContext(e.id.purpose, p))
}

func (k *Keyring) unwrap(tx *store.Tx, p Place, e envelope) ([]byte, error) {
	wrapping, err := k.find(tx, e.id)
	if err != nil {
		return nil, err
	}
	return decrypt(wrapping.wrap, e.dataKey, dataKeyContext(e.id, p))
}

// MAC returns the HMAC-SHA-256 of data under the purpose's MAC key of the
// given version, and the version used. Version 0 means the newest: store the
// version beside the MAC. MAC keys are never retired.
func (k *Keyring) MAC(tx *store.Tx, purpose string, version int64, data []byte) (mac []byte, used int64, err error) {
	if !slices.Contains(Purposes(), purpose) {
		return nil, 0, fmt.Errorf("keyring: unknown purpose %q", purpose)
	}
	name := purpose + macSuffix
	if version == 0 {
		if version, err = k.newestMAC(tx, name); err != nil {
			return nil, 0, err
		}
	}
	found, err := k.find(tx, keyID{name, version})
	if err != nil {
		return nil, 0, err
	}
	h := hmac.New(sha256.New, found.mac)
	h.Write(data)
	return h.Sum(nil), version, nil
}

func (k *Keyring) newestMAC(tx *store.Tx, name string) (int64, error) {
	now := k.now()
	k.mu.RLock()
	last := k.newest[name]
	k.mu.RUnlock()
	if now.Before(last.until) {
		return last.version, nil
	}
	version, err := newestVersion(tx, name, "")
	if err != nil {
		return 0, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.newest[name] = seen{version, now.Add(newestFor)}
	return version, nil
}

// packFields joins fields so that no two lists of fields give the same bytes.
func packFields(fields ...[]byte) []byte {
	var b []byte
	for _, f := range fields {
		b = binary.BigEndian.AppendUint64(b, uint64(len(f)))
		b = append(b, f...)
	}
	return b
}

func packInt(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// String names the place for logs, without Bind, which may tell more than a
// log should.
func (p Place) String() string {
	return strings.Join([]string{p.Table, p.Column, p.Row}, " ")
}
