package identity_test

import (
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
)

// What follows a session must notice its end without keeping it alive.
func TestFollowingASessionKeepsItNotAlive(t *testing.T) {
	each(t, func(r *rig) {
		session, _, err := r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		r.must(err)
		me, ada := r.actor(session), r.join("ada", actor.PasswordUser)
		ended := func(what string, want int) {
			r.t.Helper()
			got, err := r.id.Ended(r.ctx(), []actor.Actor{me, ada})
			r.must(err)
			if len(got) != want {
				r.t.Fatalf("%s: %d of two sessions are over, want %d: %v", what, len(got), want, got)
			}
		}
		ended("fresh", 0)
		for range 3 {
			r.clock.Advance(9 * time.Minute)
			ended("followed", 0)
		}
		r.clock.Advance(4 * time.Minute)
		ended("idle for 31 minutes", 2)

		session, _, err = r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		r.must(err)
		me = r.actor(session)
		ended("signed in again", 1)
		r.must(r.id.SignOut(r.ctx(), me))
		ended("signed out", 2)

		session, _, err = r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		r.must(err)
		changed := r.actor(session)
		changed.Role = actor.PasswordUser
		got, err := r.id.Ended(r.ctx(), []actor.Actor{changed})
		if err != nil || len(got) != 1 {
			r.t.Errorf("a session of another role by now: %v, %v", got, err)
		}
	})
}
