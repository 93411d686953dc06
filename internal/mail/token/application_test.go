package token_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

func TestAnApplicationNeedsNobody(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.application()
		r.authority.hold()
		first := r.one.begin(t.Context(), s)
		out := <-r.authority.arrived
		r.authority.flow()
		second := r.two.begin(t.Context(), s)
		out()
		a, b := <-first, <-second
		if a.err != nil || b.err != nil || a.access.Version != b.access.Version {
			t.Fatalf("got %v and %v", a, b)
		}
		r.one.living(a.access)
		if a.access.Who != "" || a.access.Scopes != s.Settings.Scopes {
			t.Errorf("got who %q, scopes %q", a.access.Who, a.access.Scopes)
		}
		r.requests(1, "two nodes at once")

		r.clock.Advance(56 * time.Minute)
		if c := r.two.access(s); c.Version <= a.access.Version {
			t.Errorf("near its end: got version %d after %d", c.Version, a.access.Version)
		}
		r.one.access(s)
		r.requests(2, "one for each token")
		if got := r.authority.sent(); got != " " {
			t.Errorf("refresh tokens were sent: %q", got)
		}
	})
}

func TestTwoNodesBeginTogether(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for i := range 20 {
			s := r.application()
			s.ProfileID = fmt.Sprint("profile-", i)
			before := r.authority.requests()
			first, second := r.one.begin(t.Context(), s), r.two.begin(t.Context(), s)
			a, b := <-first, <-second
			if a.err != nil || b.err != nil || a.access.Version != b.access.Version {
				t.Fatalf("got %v and %v", a, b)
			}
			r.requests(before+1, "two nodes at once")
		}
	})
}

// A row without a token gives none, whatever its other columns say.
func TestAnEmptyTokenIsNotGiven(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.application()
		wrong := s
		wrong.Credential.Secret = secret.New("wrong")
		r.one.refusal(wrong)
		now := r.clock.Now()
		r.exec(`UPDATE mail_token SET got_at = $1, expires_at = $2, retry_at = 0`, store.Micros(now), store.Micros(now.Add(time.Hour)))
		r.two.access(s)
		r.requests(2, "the empty one is replaced")
	})
}

// Settings that changed are asked for anew, and what was noted about the ones
// before does not hold them up.
func TestAnApplicationWhoseSettingsChanged(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s, changed := r.application(), r.application()
		changed.Bind = "another place"
		s.Credential.Secret = secret.New("wrong")
		if e := r.one.refusal(s); e.Code != "invalid_client" {
			t.Fatalf("got %v", e)
		}
		if e := r.two.refusal(s); e.Code != "invalid_client" || len(e.Numbers) != 1 || e.TraceID != "trace-1" {
			t.Errorf("the other node: got %+v", e)
		}
		r.requests(1, "one refusal for both nodes")
		a := r.two.access(changed)
		r.one.access(changed)
		r.requests(2, "the changed settings at once")

		changed.Bind = "a third place"
		if b := r.one.access(changed); b.Version <= a.Version || b.Token.Equal(a.Token) {
			t.Errorf("a third place: got version %d after %d", b.Version, a.Version)
		}
		r.requests(3, "a place that has no token")
	})
}

func TestATestOfAnApplicationStoresNothing(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s, unsaved := r.application(), r.application()
		unsaved.ProfileID = ""
		a, err := r.one.keeper.Try(t.Context(), unsaved)
		r.must(err)
		r.one.living(a)
		if a.Version != 0 || a.Scopes != s.Settings.Scopes {
			t.Errorf("got version %d, scopes %q", a.Version, a.Scopes)
		}
		r.must(r.one.keeper.Prove(t.Context(), unsaved))
		r.must(r.one.keeper.Prove(t.Context(), s))
		r.one.update(func(tx *store.Tx) error {
			if _, ok, err := r.one.keeper.Facts(tx, s.ProfileID); ok || err != nil {
				t.Errorf("something was stored: %t, %v", ok, err)
			}
			return nil
		})
		// Nor does it take away what somebody signed in for.
		r.one.signIn(r.source())
		r.must(r.one.keeper.Prove(t.Context(), s))
		r.one.access(r.source())
	})
}

func TestANewSecretOfAnApplication(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.application()
		wrong := s
		wrong.Credential.Secret = secret.New("wrong")
		r.one.refusal(wrong)
		var e *oauth.Error
		if err := r.one.keeper.Prove(t.Context(), wrong); !errors.As(err, &e) || e.Code != "invalid_client" {
			t.Errorf("a wrong secret: got %v", err)
		}
		r.must(r.one.keeper.Prove(t.Context(), s))
		r.two.access(s)
		r.requests(3, "what the proof gave is used, though mail was to wait")
	})
}
