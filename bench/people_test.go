package bench

import (
	"testing"

	"github.com/sealpost/sealpost/internal/secret"
)

// Signing in is meant to cost: an argon2id hash.
func BenchmarkSignIn(b *testing.B) {
	eachHouse(b, func(b *testing.B, h *house) {
		for b.Loop() {
			_, _, err := h.users.SignIn(b.Context(), visitor, "grace", password, secret.Value{})
			must(b, err)
		}
	})
}

// Every request of a page begins with finding out whose session it is.
func BenchmarkAuthenticate(b *testing.B) {
	eachHouse(b, func(b *testing.B, h *house) {
		session, _, err := h.users.SignIn(b.Context(), visitor, "grace", password, secret.Value{})
		must(b, err)
		for b.Loop() {
			_, _, err := h.users.Authenticate(b.Context(), session.Token, visitor)
			must(b, err)
		}
	})
}
