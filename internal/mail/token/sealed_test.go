package token_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

func (n *node) sealed(profileID string) (b []byte, version int64) {
	n.r.t.Helper()
	n.r.must(n.db.View(n.r.t.Context(), func(tx *store.Tx) error {
		_, err := store.One(tx, func(r store.Row) (int, error) { return 0, r.Scan(&b, &version) },
			`SELECT sealed, version FROM mail_token WHERE profile_id = $1`, profileID)
		return err
	}))
	return b, version
}

// Whoever can write to the database cannot move tokens to where they are not
// meant for.
func TestSealedTokensDoNotMove(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		a, b := r.source(), r.source()
		b.ProfileID = "profile-2"
		r.one.signIn(a)
		r.one.signIn(b) // at the same moment, so that the versions are the same
		sealedA, versionA := r.one.sealed(a.ProfileID)
		sealedB, versionB := r.one.sealed(b.ProfileID)
		if versionA != versionB {
			t.Fatalf("versions %d and %d: the swap would prove nothing", versionA, versionB)
		}
		put := func(sealed []byte, profileID string) {
			t.Helper()
			r.exec(`UPDATE mail_token SET sealed = $1 WHERE profile_id = $2`, sealed, profileID)
		}
		put(sealedB, a.ProfileID)
		put(sealedA, b.ProfileID)
		for _, s := range []token.Source{a, b} {
			if _, err := r.one.keeper.Access(t.Context(), s); !errors.Is(err, token.ErrSignIn) {
				t.Errorf("swapped: got %v", err)
			}
		}

		// Nor does what the same row held before.
		put(sealedA, a.ProfileID)
		r.clock.Advance(2 * time.Hour)
		r.one.access(a)
		put(sealedA, a.ProfileID)
		if _, err := r.two.keeper.Access(t.Context(), a); !errors.Is(err, token.ErrSignIn) {
			t.Errorf("an older value: got %v", err)
		}
		for i, broken := range [][]byte{{}, []byte("nonsense"), sealedA[:len(sealedA)-1]} {
			put(broken, a.ProfileID)
			if _, err := r.two.keeper.Access(t.Context(), a); !errors.Is(err, token.ErrSignIn) {
				t.Errorf("broken value %d: got %v", i, err)
			}
		}
		// However broken it is, a sign-in mends it.
		r.one.signIn(a)
		r.two.access(a)
		// An application mends it by itself.
		put(sealedB, a.ProfileID)
		r.one.access(r.application())
	})
}

func TestKeysRotateWhileTokensAreReplaced(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		r.clock.Advance(2 * time.Hour)
		r.authority.hold()
		asking := r.one.begin(t.Context(), s)
		out := <-r.authority.arrived
		before, _ := r.one.sealed(s.ProfileID)
		report, err := r.two.keys.Rotate(t.Context(), actor.Operator("root", "cli"), token.SealedColumns(), nil)
		r.must(err)
		if report.Rewrapped != 1 || report.Retired == 0 || len(report.Damaged) != 0 {
			t.Errorf("got %+v", report)
		}
		if after, _ := r.one.sealed(s.ProfileID); string(after) == string(before) {
			t.Error("the tokens are under the old key still")
		}
		out()
		got := <-asking
		r.must(got.err)
		_, err = r.two.keys.Rotate(t.Context(), actor.Operator("root", "cli"), token.SealedColumns(), nil)
		r.must(err)
		// A process that starts now has nothing in memory.
		if a := r.node(r.two.db).access(s); a.Version != got.access.Version {
			t.Errorf("got version %d, want %d", a.Version, got.access.Version)
		}
	})
}

// No token and no secret stands anywhere but in what is sealed.
func TestNothingIsTold(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		var said []string
		note := func(v any, err error) {
			said = append(said, fmt.Sprintf("%v %+v %#v %v %#v", v, v, v, err, err))
			for ; err != nil; err = errors.Unwrap(err) {
				said = append(said, fmt.Sprintf("%+v %#v", err, err))
			}
		}
		r.authority.strict = true
		r.one.signIn(s)
		for _, echo := range []string{"refresh-" + canary + "-2", "secret-" + canary} {
			r.clock.Advance(2 * time.Hour)
			r.authority.refuse = []refusal{{400, `{"error":"invalid_grant","error_description":"what is ` + echo + `?","trace_id":"` + echo + `"}`, ""}}
			note(r.one.keeper.Access(t.Context(), s))
			note(r.two.keeper.Access(t.Context(), s))
			r.authority.refuse = []refusal{{500, echo, ""}}
			note(nil, r.one.keeper.Prove(t.Context(), s))
		}
		r.clock.Advance(time.Hour)
		note(r.one.keeper.Access(t.Context(), s))
		r.clock.Advance(2 * time.Hour)
		mend := r.breakStoring()
		note(r.one.keeper.Access(t.Context(), s))
		mend()
		note(r.one.keeper.Access(t.Context(), s))
		note(r.one.facts(), nil)
		note(s, nil)
		note(r.one.keeper.Try(t.Context(), r.application()))
		r.clock.Advance(2 * time.Hour)
		r.authority.drop = 1
		note(r.one.keeper.Access(t.Context(), s))
		said = append(said, r.dump(), r.one.log.String(), r.two.log.String(), fmt.Sprintf("%+v", r.one.events))
		for _, text := range said {
			if at := strings.Index(text, canary); at >= 0 {
				t.Errorf("a secret is told: …%s…", text[max(0, at-80):min(len(text), at+40)])
			}
		}
		if log := r.one.log.String(); !strings.Contains(log, "token: renewed") || !strings.Contains(log, "invalid_grant") {
			t.Errorf("the log tells too little:\n%s", log)
		}
	})
}

// dump returns every row of mail_token as text, bytes both as they are and in
// hexadecimal.
func (r *rig) dump() string {
	r.t.Helper()
	var out strings.Builder
	r.must(r.one.db.View(r.t.Context(), func(tx *store.Tx) error {
		return tx.Each(func(row store.Row) error {
			all := make([]any, 16)
			for i := range all {
				all[i] = new(any)
			}
			if err := row.Scan(all...); err != nil {
				return err
			}
			for _, v := range all {
				v := *v.(*any)
				if b, ok := v.([]byte); ok {
					fmt.Fprintf(&out, "%s %s ", b, hex.EncodeToString(b))
				}
				fmt.Fprintf(&out, "%v ", v)
			}
			return nil
		}, `SELECT * FROM mail_token`)
	}))
	if !strings.Contains(out.String(), "profile-1") {
		r.t.Error("the dump is empty")
	}
	return out.String()
}

// A token of any length is kept whole.
func TestLongTokensAreKeptWhole(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		long := oauth.Tokens{
			Access: secret.New(strings.Repeat("a", 60_000)), Refresh: secret.New(strings.Repeat("r", 60_000)), Expires: r.clock.Now().Add(time.Hour),
		}
		r.one.update(func(tx *store.Tx) error { return r.one.keeper.Put(tx, s, long, "admin") })
		if a := r.two.access(s); !a.Token.Equal(long.Access) {
			t.Errorf("got %d characters", len(a.Token.Reveal()))
		}
	})
}
