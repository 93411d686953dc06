package identity

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
)

// cost is how much work one hash is (RFC 9106 3.1).
type cost struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// current is the cost of new hashes, OWASP's first recommendation for
// argon2id. Older hashes are made anew when their password is next typed.
var current = cost{memory: 19456, passes: 2, threads: 1}

const (
	saltSize = 16
	keySize  = 32
	// maxMemory and maxPasses bound what a stored hash may ask of us.
	maxMemory, maxPasses = 256 << 10, 16
)

// pool bounds how many hashes are computed at once and how many wait.
type pool struct {
	slots   chan struct{}
	waiting atomic.Int64
	derive  func(password, salt []byte, c cost) []byte
}

const (
	poolSlots = 2
	// maxWaiting is about two seconds of work on a small machine.
	maxWaiting = 64
)

func newPool() *pool {
	return &pool{slots: make(chan struct{}, poolSlots), derive: func(password, salt []byte, c cost) []byte {
		return argon2.IDKey(password, salt, c.passes, c.memory, c.threads, keySize)
	}}
}

// run derives a key when it is its turn. Too long a queue is refused.
func (p *pool) run(ctx context.Context, password secret.Value, salt []byte, c cost) ([]byte, error) {
	if p.waiting.Add(1) > maxWaiting+poolSlots {
		p.waiting.Add(-1)
		return nil, fault.Unavailable("Too many people are signing in at this moment. Try again in a few seconds.")
	}
	defer p.waiting.Add(-1)
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.slots }()
	return p.derive([]byte(norm.NFC.String(password.Reveal())), salt, c), nil
}

// hash returns the PHC string of a password under a new salt.
func (s *Service) hash(ctx context.Context, password secret.Value) (secret.Value, error) {
	salt, err := s.bytes(saltSize)
	if err != nil {
		return secret.Value{}, err
	}
	key, err := s.pool.run(ctx, password, salt, current)
	if err != nil {
		return secret.Value{}, err
	}
	return secret.New(encodeHash(current, salt, key)), nil
}

// fits reports whether the password belongs to the hash, and whether the hash
// should be made anew. An empty hash costs as much as any other and never
// fits.
func (s *Service) fits(ctx context.Context, hash, password secret.Value) (ok, outdated bool, err error) {
	text := hash.Reveal()
	if text == "" {
		text = s.decoy
	}
	c, salt, want, err := decodeHash(text)
	if err != nil {
		return false, false, fault.Internal(err)
	}
	got, err := s.pool.run(ctx, password, salt, c)
	if err != nil {
		return false, false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && !hash.IsZero(), c != current, nil
}

func encodeHash(c cost, salt, key []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memory, c.passes, c.threads, b64(salt), b64(key))
}

func decodeHash(text string) (c cost, salt, key []byte, err error) {
	bad := errors.New("identity: a stored password hash is not readable")
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return c, nil, nil, bad
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memory, &c.passes, &c.threads); n != 3 || err != nil {
		return c, nil, nil, bad
	}
	if c.memory == 0 || c.memory > maxMemory || c.passes == 0 || c.passes > maxPasses || c.threads == 0 {
		return c, nil, nil, bad
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	key, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(key) != keySize {
		return c, nil, nil, bad
	}
	return c, salt, key, nil
}
