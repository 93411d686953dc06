package keyring

import (
	"context"
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
	nonceSize      = 12
	tagSize        = 16
	wrappedKeySize = nonceSize + keySize + tagSize
)

func (e envelope) bytes() []byte { return slices.Concat(header(e.id, 0), e.dataKey, e.value) }

// header returns what stands before the wrapped data key, with room for so many
// bytes behind it.
func header(id keyID, room int) []byte {
	b := make([]byte, 0, 2+len(id.purpose)+8+room)
	b = append(append(b, formatOne, byte(len(id.purpose))), id.purpose...)
	return binary.BigEndian.AppendUint64(b, uint64(id.version))
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
	version, err := store.Kept(tx, newestKept+purpose, func() (int64, error) { return heldVersion(tx, purpose) })
	if err != nil {
		return nil, err
	}
	id := keyID{purpose, version}
	wrapping, err := k.find(tx, id)
	if err != nil {
		return nil, err
	}
	// All that is random about the value in one go: its key and two nonces.
	random, err := k.randomBytes(keySize + 2*nonceSize)
	if err != nil {
		return nil, err
	}
	dataKey, nonces := random[:keySize], random[keySize:]
	b := append(header(id, wrappedKeySize+nonceSize+len(plain)+tagSize), nonces[:nonceSize]...)
	b = wrapping.wrap.Seal(b, nonces[:nonceSize], dataKey, dataKeyContext(id, p))
	b = append(b, nonces[nonceSize:]...)
	// The value is sealed where it will stand, without a copy of it.
	at := len(b)
	b = append(b, plain...)
	return newAEAD(dataKey).Seal(b[:at], nonces[nonceSize:], b[at:], valueContext(purpose, p)), nil
}

// Open decrypts what Seal made for the same place. The error wraps
// [ErrSealed] when the value does not open there.
func (k *Keyring) Open(tx *store.Tx, p Place, sealed []byte) (secret.Value, error) {
	e, err := parse(sealed)
	if err != nil {
		return secret.Value{}, notHere(p)
	}
	wrapping, err := k.find(tx, e.id)
	if errors.Is(err, errNoKey) {
		return secret.Value{}, notHere(p)
	}
	if err != nil {
		return secret.Value{}, err
	}
	return e.open(wrapping, p)
}

// OpenApart is Open for a value that was read in a transaction that has ended,
// so that nobody waits for the deciphering. It asks the database only for a key
// that it does not know yet. A value that was wrapped anew meanwhile, and whose
// old key is gone, does not open: whoever gets [ErrSealed] reads it once more
// and calls Open before it believes that.
func (k *Keyring) OpenApart(ctx context.Context, p Place, sealed []byte) (v secret.Value, err error) {
	if e, err := parse(sealed); err == nil {
		if wrapping := k.known(e.id); wrapping != nil {
			return e.open(wrapping, p)
		}
	}
	err = k.db.View(ctx, func(tx *store.Tx) (err error) {
		v, err = k.Open(tx, p, sealed)
		return err
	})
	return v, err
}

func (e envelope) open(wrapping *key, p Place) (secret.Value, error) {
	dataKey, err := e.unwrap(wrapping, p)
	if err != nil {
		return secret.Value{}, notHere(p)
	}
	plain, err := decrypt(newAEAD(dataKey), e.value, valueContext(e.id.purpose, p))
	if err != nil {
		return secret.Value{}, notHere(p)
	}
	return secret.FromBytes(plain), nil
}

func (e envelope) unwrap(wrapping *key, p Place) ([]byte, error) {
	return decrypt(wrapping.wrap, e.dataKey, dataKeyContext(e.id, p))
}

// notHere is the error of a value that does not open where it stands.
func notHere(p Place) error {
	where := fmt.Errorf("%w: %s.%s of %s, version %d", ErrSealed, p.Table, p.Column, p.Row, p.Version)
	return (&fault.Error{
		Kind:     fault.KindInternal,
		Sentence: "A stored secret cannot be opened: it was changed in the database, or is meant for something else.",
	}).Because(where)
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
	version, err := newestVersion(tx, name)
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
	size := 0
	for _, f := range fields {
		size += 8 + len(f)
	}
	b := make([]byte, 0, size)
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
