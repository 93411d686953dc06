package sasl

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"golang.org/x/text/secure/precis"

	"github.com/sealpost/sealpost/internal/secret"
)

const (
	// minIterations is what RFC 5802 5.1 wants at least; below it a listener
	// could try passwords too cheaply. maxIterations keeps a hostile server
	// from holding a processor.
	minIterations = 4096
	maxIterations = 2_000_000
	// maxServerMessage bounds what a server may send, in bytes.
	maxServerMessage = 4096
)

// scram is RFC 5802 without channel binding.
type scram struct {
	name      string
	hash      func() hash.Hash
	size      int
	c         Credential
	nonce     string
	firstBare string
	// serverSignature is what the server must send in the end.
	serverSignature []byte
	step            int
}

// newSCRAM returns an exchange; nonce nil draws one.
func newSCRAM(name string, c Credential, nonce []byte) *scram {
	s := &scram{name: name, c: c, hash: sha256.New, size: sha256.Size}
	if name == SCRAMSHA1 {
		s.hash, s.size = sha1.New, sha1.Size
	}
	if nonce == nil {
		nonce = make([]byte, 18)
		_, _ = rand.Read(nonce) // never fails, see crypto/rand
	}
	s.nonce = base64.StdEncoding.EncodeToString(nonce)
	return s
}

func (s *scram) Name() string { return s.name }

func (s *scram) Start() (secret.Value, bool, error) {
	user := prepare(s.c.Username)
	user = strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user)
	s.firstBare = "n=" + user + ",r=" + s.nonce
	return secret.New("n,," + s.firstBare), true, nil
}

func (s *scram) Next(challenge []byte) (secret.Value, error) {
	s.step++
	if len(challenge) > maxServerMessage {
		return secret.Value{}, fmt.Errorf("%w: it is too long", ErrChallenge)
	}
	switch s.step {
	case 1:
		return s.proof(string(challenge))
	case 2:
		return secret.Value{}, s.verify(string(challenge))
	}
	return secret.Value{}, fmt.Errorf("%w: SCRAM has two", ErrChallenge)
}

// proof answers the server-first-message.
func (s *scram) proof(serverFirst string) (secret.Value, error) {
	none := secret.Value{}
	nonce, salt, iterations, err := parseServerFirst(serverFirst)
	if err != nil {
		return none, err
	}
	if len(nonce) <= len(s.nonce) || !strings.HasPrefix(nonce, s.nonce) {
		return none, fmt.Errorf("%w: the nonce does not continue ours", ErrChallenge)
	}
	salted, err := pbkdf2.Key(s.hash, prepare(s.c.Password.Reveal()), salt, iterations, s.size)
	if err != nil {
		return none, fmt.Errorf("sasl: %w", err)
	}
	clientKey := s.mac(salted, "Client Key")
	h := s.hash()
	h.Write(clientKey)
	withoutProof := "c=biws,r=" + nonce
	auth := s.firstBare + "," + serverFirst + "," + withoutProof
	signature := s.mac(h.Sum(nil), auth)
	proof := make([]byte, len(clientKey))
	for i := range proof {
		proof[i] = clientKey[i] ^ signature[i]
	}
	s.serverSignature = s.mac(s.mac(salted, "Server Key"), auth)
	return secret.New(withoutProof + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// verify checks the server-final-message.
func (s *scram) verify(serverFinal string) error {
	text, isSignature := strings.CutPrefix(serverFinal, "v=")
	if !isSignature {
		return fmt.Errorf("%w: it refused the proof", ErrServer)
	}
	text, _, _ = strings.Cut(text, ",")
	got, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !hmac.Equal(got, s.serverSignature) {
		return ErrServer
	}
	s.serverSignature = nil
	return nil
}

// Done insists on the server's signature.
func (s *scram) Done() error {
	if s.step < 2 || s.serverSignature != nil {
		return ErrServer
	}
	return nil
}

func (s *scram) mac(key []byte, text string) []byte {
	m := hmac.New(s.hash, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// parseServerFirst reads "r=nonce,s=salt,i=count" with extensions behind it.
// A mandatory extension (m=) is refused, as the RFC wants.
func parseServerFirst(text string) (nonce string, salt []byte, iterations int, err error) {
	bad := func(what string) (string, []byte, int, error) {
		return "", nil, 0, fmt.Errorf("%w: %s", ErrChallenge, what)
	}
	parts := strings.Split(text, ",")
	if len(parts) < 3 {
		return bad("it has too few parts")
	}
	nonce, ok := strings.CutPrefix(parts[0], "r=")
	if !ok || strings.ContainsFunc(nonce, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return bad("the nonce is not readable")
	}
	encoded, ok := strings.CutPrefix(parts[1], "s=")
	if salt, err = base64.StdEncoding.DecodeString(encoded); !ok || err != nil || len(salt) == 0 {
		return bad("the salt is not readable")
	}
	count, ok := strings.CutPrefix(parts[2], "i=")
	iterations, err = strconv.Atoi(count)
	if !ok || err != nil || iterations < minIterations || iterations > maxIterations {
		return bad("the iteration count is out of bounds")
	}
	return nonce, salt, iterations, nil
}

// prepare normalises text as RFC 8265 wants in place of SASLprep, and leaves
// what the profile refuses as it is: the server decides.
func prepare(s string) string {
	if out, err := precis.OpaqueString.String(s); err == nil {
		return out
	}
	return s
}
