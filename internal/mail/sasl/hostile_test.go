package sasl

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/secret"
)

// serverFirst is a challenge that fits the exchange m.
func serverFirst(m *scram, iterations int) []byte {
	return fmt.Appendf(nil, "r=%sserver,s=QSXCR+Q6sek8bf92,i=%d", m.nonce, iterations)
}

// An exchange that somebody drove to its end cannot be driven again, and no
// mechanism ends well out of turn.
func TestExchangesHaveOneOrder(t *testing.T) {
	for _, name := range Strength() {
		m, err := New(name, cred("user", "pencil"))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := m.Start(); err != nil {
			t.Fatal(err)
		}
		if name != Plain && m.Done() == nil {
			t.Errorf("%s: success before any challenge was believed", name)
		}
		for range 4 {
			_, err = m.Next([]byte("x"))
		}
		if !errors.Is(err, ErrChallenge) && !errors.Is(err, ErrServer) {
			t.Errorf("%s: the fourth challenge was answered: %v", name, err)
		}
	}
}

// The bounds of the iteration count hold at their edges, and the largest one
// does not hold a processor for long.
func TestIterationsAreBounded(t *testing.T) {
	for n, want := range map[int]bool{1: false, minIterations - 1: false, minIterations: true, maxIterations: true, maxIterations + 1: false, 1 << 40: false, -4096: false} {
		m := newSCRAM(SCRAMSHA1, cred("user", "pencil"), nil)
		if _, _, err := m.Start(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err := m.Next(serverFirst(m, n))
		if (err == nil) != want {
			t.Errorf("%d iterations: %v", n, err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%d iterations took %s", n, took)
		}
	}
}

// A server that does not know the password is not believed, whatever it says.
func TestAServerWithoutThePasswordIsNotBelieved(t *testing.T) {
	proof := func(password string) (*scram, string) {
		m := newSCRAM(SCRAMSHA256, cred("user", password), []byte("123456789012345678"))
		_, _, _ = m.Start()
		if _, err := m.Next(serverFirst(m, minIterations)); err != nil {
			t.Fatal(err)
		}
		return m, base64.StdEncoding.EncodeToString(m.serverSignature)
	}
	m, right := proof("pencil")
	_, wrong := proof("pen")
	if _, err := m.Next([]byte("v=" + wrong)); !errors.Is(err, ErrServer) || m.Done() == nil {
		t.Errorf("the signature of another password was believed: %v", err)
	}
	m, _ = proof("pencil")
	if _, err := m.Next([]byte("v=" + right + ",x=more")); err != nil || m.Done() != nil {
		t.Errorf("control: the right signature: %v", err)
	}
	if _, err := m.Next([]byte("v=" + right)); !errors.Is(err, ErrChallenge) {
		t.Errorf("a third challenge: %v", err)
	}
}

// Each exchange draws a nonce of its own: a proof cannot be played back.
func TestNoncesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		n := newSCRAM(SCRAMSHA256, cred("user", "pencil"), nil).nonce
		if seen[n] || len(n) < 24 || strings.ContainsAny(n, ", ") {
			t.Fatalf("the nonce %q", n)
		}
		seen[n] = true
	}
}

// The examples of RFC 4013 section 3, as far as RFC 8265 keeps them.
func TestPasswordsAreNormalised(t *testing.T) {
	for in, want := range map[string]string{
		"user": "user", "USER": "USER", "a\u00a0b": "a b", "\u00e9": "\u00e9", "e\u0301": "\u00e9", "\u2168": "\u2168", "\x07": "\x07", "": "",
	} {
		if got := prepare(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// A weaker mechanism is not slipped in for a fixed one.
func TestNoDowngradeOfAFixedMechanism(t *testing.T) {
	for i, fixed := range Strength() {
		offered := append(append([]string{}, Strength()[:i]...), Strength()[i+1:]...)
		if got, err := cred("user", "pencil").Choose(offered, fixed, true); err == nil {
			t.Errorf("%s became %s", fixed, got)
		}
		if got, err := cred("user", "pencil").Choose(Strength(), fixed, true); err != nil || got != fixed {
			t.Errorf("control: %s became %s, %v", fixed, got, err)
		}
	}
	if _, err := New("XOAUTH2", cred("user", "pencil")); err == nil {
		t.Error("a mechanism that is not known here was taken")
	}
}

// Whatever a server asks, the answers are bounded, and only a server that knows
// the password, or is not asked to prove it, ends well.
func FuzzChallenges(f *testing.F) {
	f.Fuzz(func(t *testing.T, which uint8, first, second, third []byte) {
		name := Strength()[int(which)%len(Strength())]
		m, err := New(name, Credential{Username: "user", Password: secret.New("crayon")})
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := m.(*scram); ok {
			s.nonce = "fyko+d2lbbFgONRv9qkxdawL"
		}
		if _, _, err := m.Start(); err != nil {
			t.Fatal(err)
		}
		answered := 0
		for _, challenge := range [][]byte{first, second, third} {
			answer, err := m.Next(challenge)
			if err != nil {
				if !errors.Is(err, ErrChallenge) && !errors.Is(err, ErrServer) {
					t.Fatalf("%s: %v", name, err)
				}
				break
			}
			answered++
			if n := len(answer.Reveal()); n > 2*maxServerMessage {
				t.Fatalf("%s: an answer of %d bytes", name, n)
			}
		}
		if answered > 2 || m.Done() == nil && (name == SCRAMSHA1 || name == SCRAMSHA256) {
			t.Fatalf("%s: %d answers to %q %q %q, done: %v", name, answered, first, second, third, m.Done())
		}
	})
}
