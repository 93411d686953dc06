package identity_test

import (
	"testing"

	"github.com/sealpost/sealpost/internal/actor"
)

// A letter shows a sign-in name with invisible joiners, so that no program makes
// a link of it. Copied from there it must still let its owner in.
func TestASignInNameCopiedFromALetterWorks(t *testing.T) {
	each(t, func(r *rig) {
		r.join("ada.lovelace", actor.PasswordUser)
		if _, _, err := r.id.SignIn(r.ctx(), home, " ada.\u2060lovelace ", goodPassword, noDevice); err != nil {
			t.Error(err)
		}
	})
}
