package token_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

func TestATokenServesUntilItsEndIsNear(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		a := r.one.access(s)
		if short(a.Token) != "access-1" || a.Who != "mail@example.com" || a.Scopes != "send offline_access" {
			t.Errorf("got %s of %q for %q", short(a.Token), a.Who, a.Scopes)
		}
		r.clock.Advance(54 * time.Minute)
		if again := r.two.access(s); again.Version != a.Version {
			t.Errorf("the other node got version %d, want %d", again.Version, a.Version)
		}
		r.requests(0, "while the token is not near its end")

		r.clock.Advance(2 * time.Minute)
		b := r.one.access(s)
		if short(b.Token) != "access-3" || b.Version <= a.Version || b.Who != "mail@example.com" {
			t.Errorf("after 56 minutes: got %s, version %d after %d", short(b.Token), b.Version, a.Version)
		}
		if c := r.two.access(s); c.Version != b.Version {
			t.Errorf("the other node got version %d, want %d", c.Version, b.Version)
		}
		r.requests(1, "for one end of one token")

		r.clock.Advance(56 * time.Minute)
		r.two.access(s)
		if got, want := r.authority.sent(), "refresh-2 refresh-4"; got != want {
			t.Errorf("refresh tokens used: got %q, want %q", got, want)
		}
	})
}

// The node that is asked to renew spreads over a fifth of the margin.
func TestNodesDoNotAllRenewAtOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		early := 0
		const many = 40
		for range many {
			r.one.signIn(s)
			r.clock.Advance(55*time.Minute + 30*time.Second)
			before := r.authority.requests()
			r.one.access(s)
			early += r.authority.requests() - before
		}
		if early == 0 || early == many {
			t.Errorf("%d of %d were renewed within the first half of the spread", early, many)
		}
	})
}

// One refresh for each token, however many want one on however many nodes.
func TestOneRefreshForTwoHundredOnTwoNodes(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.authority.life = 60
		r.one.signIn(s)
		start, step, whole := r.clock.Now(), 5*time.Second, 3*time.Minute
		if os.Getenv("SEALPOST_TORTURE") != "" {
			step, whole = time.Second, 15*time.Minute
		}
		var renewed []time.Duration
		for r.clock.Now().Sub(start) < whole {
			before := r.authority.requests()
			var all sync.WaitGroup
			for i := range 200 {
				all.Go(func() {
					n := []*node{r.one, r.two}[i%2]
					a, err := n.keeper.Access(t.Context(), s)
					if err != nil {
						t.Errorf("Access: %v", err)
						return
					}
					n.living(a)
				})
			}
			all.Wait()
			switch made := r.authority.requests() - before; made {
			case 0:
			case 1:
				renewed = append(renewed, r.clock.Now().Sub(start))
			default:
				t.Errorf("%d requests at %v: %s", made, r.clock.Now().Sub(start), r.authority.sent())
			}
			r.clock.Advance(step)
		}
		last := time.Duration(0)
		for _, at := range renewed {
			// A quarter of the life is the margin.
			if at-last < 45*time.Second {
				t.Errorf("renewed at %v, %v after the one before", at, at-last)
			}
			last = at
		}
		if len(renewed) < int(whole/time.Minute)-1 {
			t.Errorf("renewed %d times in %v", len(renewed), whole)
		}
	})
}

func TestNobodySignedIn(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s, other := r.source(), r.source()
		other.Bind = "place 2"
		for _, when := range []string{"before any sign-in", "after one for another place"} {
			a, err := r.one.keeper.Access(t.Context(), s)
			if !errors.Is(err, token.ErrSignIn) || !a.Token.IsZero() {
				t.Errorf("%s: got %v, %v", when, a, err)
			}
			if _, err := r.one.keeper.Try(t.Context(), s); !errors.Is(err, token.ErrSignIn) {
				t.Errorf("%s: Try: got %v", when, err)
			}
			if err := r.one.keeper.Prove(t.Context(), s); !errors.Is(err, token.ErrSignIn) {
				t.Errorf("%s: Prove: got %v", when, err)
			}
			if err := r.one.keeper.KeepAlive(t.Context(), s); !errors.Is(err, token.ErrSignIn) {
				t.Errorf("%s: KeepAlive: got %v", when, err)
			}
			r.one.signIn(other)
		}
		unsaved := s
		unsaved.ProfileID = ""
		if _, err := r.one.keeper.Try(t.Context(), unsaved); !errors.Is(err, token.ErrSignIn) {
			t.Errorf("a profile that was never saved: got %v", err)
		}
		if !fault.Is(token.ErrSignIn, fault.KindConflict) {
			t.Error("ErrSignIn is not a conflict")
		}
		r.requests(0, "without anybody signed in")
	})
}

// What one node does to the tokens is known on the other at once.
func TestMemoryIsDroppedWhenAnythingChanges(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s, other := r.source(), r.source()
		other.Bind = "place 2"
		r.one.signIn(s)
		r.two.access(s)

		again := r.one.signIn(s)
		if got := r.two.access(s).Token; !got.Equal(again.Access) {
			t.Errorf("after a new sign-in on the other node: got %s, want %s", short(got), short(again.Access))
		}
		if _, err := r.two.keeper.Access(t.Context(), other); !errors.Is(err, token.ErrSignIn) {
			t.Errorf("for another place: got %v", err)
		}
		r.one.update(func(tx *store.Tx) error { return r.one.keeper.Rebind(tx, s, other) })
		if got := r.two.access(other).Token; !got.Equal(again.Access) {
			t.Errorf("for the new place: got %s, want %s", short(got), short(again.Access))
		}
		if _, err := r.two.keeper.Access(t.Context(), s); !errors.Is(err, token.ErrSignIn) {
			t.Errorf("for the old place: got %v", err)
		}
		r.one.update(func(tx *store.Tx) error { return r.one.keeper.Drop(tx, s.ProfileID) })
		if _, err := r.two.keeper.Access(t.Context(), other); !errors.Is(err, token.ErrSignIn) {
			t.Errorf("after the tokens were dropped: got %v", err)
		}
		r.requests(0, "nothing had to be asked")
	})
}

func TestMailGoesOnWithoutTheDatabase(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s, other := r.source(), r.source()
		other.Bind = "place 2"
		r.one.signIn(s)
		a := r.one.access(s)
		r.must(r.one.db.Close())
		r.clock.Advance(58 * time.Minute)
		if got := r.one.access(s); got.Version != a.Version {
			t.Errorf("without a database: got version %d, want %d", got.Version, a.Version)
		}
		if _, err := r.one.keeper.Access(t.Context(), other); err == nil {
			t.Error("a token in memory was given for another place")
		}
		r.clock.Advance(-2 * time.Hour)
		if got, err := r.one.keeper.Access(t.Context(), s); err == nil {
			t.Errorf("the clock was put back: got a token that ends %v", got.Expires)
		}
		r.clock.Advance(2*time.Hour + 2*time.Minute)
		if got, err := r.one.keeper.Access(t.Context(), s); err == nil {
			t.Errorf("the token has ended: got one that ends %v", got.Expires)
		}
		r.requests(0, "a refresh token that cannot be stored must not be asked for")
	})
}

// What is known to be gone is not given from memory either.
func TestWithoutTheDatabaseNothingThatIsGone(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		for _, tt := range []struct {
			name string
			gone func(n *node, version int64)
		}{
			{"dropped on the other node", func(n *node, _ int64) {
				r.one.update(func(tx *store.Tx) error { return r.one.keeper.Drop(tx, s.ProfileID) })
				if _, err := n.keeper.Access(t.Context(), s); !errors.Is(err, token.ErrSignIn) {
					t.Errorf("got %v", err)
				}
			}},
			{"refused", func(n *node, version int64) {
				r.clock.Advance(10 * time.Minute)
				_, err := n.keeper.Refused(t.Context(), s, version)
				r.must(err)
			}},
			{"replaced", func(n *node, _ int64) { n.signIn(s) }},
		} {
			r.one.signIn(s)
			a := r.two.access(s)
			tt.gone(r.two, a.Version)
			r.exec(`ALTER TABLE mail_token RENAME TO away`)
			if got, err := r.two.keeper.Access(t.Context(), s); err == nil {
				t.Errorf("%s: got version %d", tt.name, got.Version)
			}
			r.exec(`ALTER TABLE away RENAME TO mail_token`)
		}
	})
}

// A database that hangs does not hold up mail for long.
func TestADatabaseThatHangs(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		if r.one.db.Engine() == store.SQLite {
			return // readers wait for nobody
		}
		s := r.source()
		r.one.signIn(s)
		a := r.two.access(s)
		locked, done := make(chan struct{}), make(chan struct{})
		var hanging sync.WaitGroup
		hanging.Go(func() {
			err := r.one.db.Update(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(`LOCK TABLE mail_token IN ACCESS EXCLUSIVE MODE`)
				close(locked)
				<-done
				return err
			})
			if err != nil {
				t.Errorf("locking the table: %v", err)
			}
		})
		<-locked
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		got, err := r.two.keeper.Access(ctx, s)
		if err != nil || got.Version != a.Version {
			t.Errorf("got version %d, %v, want %d", got.Version, err, a.Version)
		}
		close(done)
		hanging.Wait()
	})
}

func TestACallerWhoGaveUpGetsNothing(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		r.one.access(s)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.one.keeper.Access(ctx, s); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestClocks(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		for _, tt := range []struct {
			name string
			jump time.Duration
			want int
		}{
			{"stands", 0, 0},
			{"was put back by an hour", -time.Hour, 1},
			{"was put back by a moment", -time.Millisecond, 1},
			{"was put forward by ten hours", 10 * time.Hour, 1},
			{"was put forward by ten years", 10 * 365 * 24 * time.Hour, 1},
		} {
			r.one.signIn(s)
			r.one.access(s)
			before := r.authority.requests()
			r.clock.Advance(tt.jump)
			r.one.access(s)
			r.requests(before+tt.want, "the clock "+tt.name)
			r.two.access(s)
			r.one.access(s)
			r.requests(before+tt.want, "the clock "+tt.name+", and goes on")
		}
	})
}

// Two nodes whose clocks differ by more than a token's life agree on when it
// ends: the database's clock is what counts.
func TestNodesWhoseClocksDiffer(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		wrong := storetest.NewClock()
		r.two.clock = wrong
		wrong.Advance(-3 * time.Hour)
		r.one.signIn(s)
		r.two.access(s)
		r.clock.Advance(50 * time.Minute)
		wrong.Advance(50 * time.Minute)
		r.two.access(s)
		r.requests(0, "before its end")
		r.clock.Advance(9 * time.Minute)
		wrong.Advance(9 * time.Minute)
		r.two.access(s)
		r.one.access(s)
		r.requests(1, "near its end")
		if f := r.one.facts(); f.Expires.Sub(r.clock.Now()) != time.Hour {
			t.Errorf("the new one ends in %v", f.Expires.Sub(r.clock.Now()))
		}
	})
}

func TestALifeIsBelievedForADay(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.authority.life = 7 * 24 * 3600
		for _, how := range []string{"signed in", "renewed"} {
			if how == "signed in" {
				r.one.signIn(s)
			}
			r.one.access(s)
			if got := r.one.facts().Expires.Sub(r.clock.Now()); got != 24*time.Hour {
				t.Errorf("%s: it ends in %v", how, got)
			}
			r.clock.Advance(24 * time.Hour)
			r.one.access(s)
		}
		r.requests(2, "once a day")

		forever := r.authority.signIn(r.clock.Now())
		forever.Expires = time.Unix(1<<40, 0)
		r.one.update(func(tx *store.Tx) error { return r.one.keeper.Put(tx, s, forever, "admin") })
		r.one.access(s)
		if got := r.one.facts().Expires.Sub(r.clock.Now()); got != 24*time.Hour {
			t.Errorf("without end: it ends in %v", got)
		}
	})
}

func TestASignInMustLast(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		full := r.authority.signIn(r.clock.Now())
		for _, missing := range []oauth.Tokens{{Access: full.Access, Expires: full.Expires}, {Refresh: full.Refresh, Expires: full.Expires}} {
			err := r.one.db.Update(t.Context(), func(tx *store.Tx) error { return r.one.keeper.Put(tx, s, missing, "admin") })
			if !fault.Is(err, fault.KindInvalid) {
				t.Errorf("got %v", err)
			}
		}
		err := r.one.db.Update(t.Context(), func(tx *store.Tx) error {
			return r.one.keeper.Put(tx, token.Source{ProfileID: "profile-1"}, full, "admin")
		})
		if err == nil {
			t.Error("tokens were stored that are bound to nothing")
		}
		if f := r.one.facts(); f != (token.Facts{}) {
			t.Errorf("something was stored: %+v", f)
		}
		if _, err := r.one.keeper.Access(t.Context(), token.Source{ProfileID: "profile-1"}); err == nil {
			t.Error("Access without a place gave a token")
		}
	})
}

// A sign-in whose access token has ended, because somebody took long to decide,
// is as good as any: there is the refresh token.
func TestASignInThatWasDecidedLate(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		late := r.authority.signIn(r.clock.Now())
		r.clock.Advance(2 * time.Hour)
		r.one.update(func(tx *store.Tx) error { return r.one.keeper.Put(tx, s, late, "admin") })
		if a := r.one.access(s); short(a.Token) != "access-3" {
			t.Errorf("got %s", short(a.Token))
		}
	})
}

func TestFactsTellWhatMayBeTold(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		began := r.clock.Now()
		r.one.signIn(s)
		r.clock.Advance(56 * time.Minute)
		r.one.access(s)
		now := r.clock.Now()
		want := token.Facts{
			Who: "mail@example.com", Tenant: "tenant-1", SignedInBy: "admin", SignedInAt: began, Scopes: "send offline_access",
			GotAt: now, RefreshAt: now, Expires: now.Add(time.Hour),
		}
		if got := r.two.facts(); got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestOpensIsAboutOnePlace(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s, other, app := r.source(), r.source(), r.application()
		other.Bind = "place 2"
		opens := func(s token.Source) (ok bool) {
			r.must(r.one.db.View(t.Context(), func(tx *store.Tx) (err error) {
				ok, err = r.one.keeper.Opens(tx, s)
				return err
			}))
			return ok
		}
		if opens(s) {
			t.Error("it opens before anybody signed in")
		}
		r.one.signIn(s)
		if !opens(s) || opens(other) {
			t.Errorf("got %t, %t, want true, false", opens(s), opens(other))
		}
		r.one.access(app)
		if opens(app) || opens(s) {
			t.Error("an application has nobody who signed in")
		}
	})
}

func TestAServerThatRefusesAToken(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		for _, tt := range []struct {
			name string
			life int
			age  time.Duration
			want bool
		}{
			{"young", 3600, 4 * time.Minute, false},
			{"no longer young", 3600, 6 * time.Minute, true},
			{"short and young", 60, 29 * time.Second, false},
			{"short and no longer young", 60, 31 * time.Second, true},
			{"from the future", 3600, -time.Minute, true},
		} {
			r.authority.set(func() { r.authority.life = tt.life })
			r.one.signIn(s)
			a := r.one.access(s)
			r.two.access(s)
			before := r.authority.requests()
			r.clock.Advance(tt.age)
			again, err := r.one.keeper.Refused(t.Context(), s, a.Version)
			if err != nil || again != tt.want {
				t.Errorf("%s: got %t, %v, want %t", tt.name, again, err, tt.want)
			}
			if !tt.want {
				r.one.access(s)
				r.requests(before, tt.name+": it is not replaced")
				continue
			}
			b, c := r.two.access(s), r.one.access(s)
			if b.Version <= a.Version || c.Version != b.Version {
				t.Errorf("%s: got versions %d and %d after %d", tt.name, b.Version, c.Version, a.Version)
			}
			r.requests(before+1, tt.name+": one for both nodes")
			again, err = r.two.keeper.Refused(t.Context(), s, a.Version)
			if err != nil || !again {
				t.Errorf("%s: the token before: got %t, %v, want true", tt.name, again, err)
			}
			if again, err := r.two.keeper.Refused(t.Context(), s, b.Version); err != nil || again {
				t.Errorf("%s: the new one at once: got %t, %v, want false", tt.name, again, err)
			}
			r.two.access(s)
			r.requests(before+1, tt.name+": and no more")
		}
	})
}

// A refused token is not given again, even if there is no other one.
func TestARefusedTokenIsGone(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		a := r.one.access(s)
		r.clock.Advance(10 * time.Minute)
		_, err := r.one.keeper.Refused(t.Context(), s, a.Version)
		r.must(err)
		r.authority.refuse = []refusal{{503, `{"error":"temporarily_unavailable"}`, ""}}
		if e := r.two.refusal(s); e.Status != 503 {
			t.Errorf("got %v", e)
		}
		other := s
		other.Bind = "place 2"
		if again, err := r.one.keeper.Refused(t.Context(), other, a.Version); err != nil || !again {
			t.Errorf("for settings that changed: got %t, %v, want true", again, err)
		}
	})
}

func TestKeepAliveUsesWhatLiesUnused(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		keep := func(want int, why string) {
			t.Helper()
			r.must(r.one.keeper.KeepAlive(t.Context(), s))
			r.must(r.two.keeper.KeepAlive(t.Context(), s))
			r.requests(want, why)
		}
		r.authority.life = 100 * 3600 // the access token alone would last
		r.one.signIn(s)
		r.clock.Advance(19 * time.Hour)
		keep(0, "after 19 hours")
		r.clock.Advance(time.Hour)
		keep(1, "after 20 hours")
		r.clock.Advance(19 * time.Hour)
		keep(1, "19 hours later")
		r.exec(`UPDATE mail_token SET refresh_at = refresh_at + 31536000000000`)
		keep(2, "when it was used in a year, by a clock that was wrong")

		r.authority.set(func() { clear(r.authority.valid) })
		r.clock.Advance(20 * time.Hour)
		var e *oauth.Error
		if err := r.one.keeper.KeepAlive(t.Context(), s); !errors.As(err, &e) || e.Code != "invalid_grant" {
			t.Errorf("a refusal: got %v", err)
		}
		if err := r.one.keeper.KeepAlive(t.Context(), r.application()); err != nil {
			t.Errorf("an application has nothing to keep: got %v", err)
		}
	})
}

func TestANewSecretIsProvenFirst(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		a := r.one.access(s)
		wrong := s
		wrong.Credential.Secret = secret.New("wrong")
		var e *oauth.Error
		if err := r.one.keeper.Prove(t.Context(), wrong); !errors.As(err, &e) || e.Code != "invalid_client" {
			t.Fatalf("a wrong secret: got %v", err)
		}
		if got := r.one.access(s).Version; got != a.Version {
			t.Errorf("a wrong secret changed the token: version %d after %d", got, a.Version)
		}
		r.must(r.one.keeper.Prove(t.Context(), s))
		if got := r.two.access(s).Version; got <= a.Version {
			t.Errorf("what the right secret gave was not kept: version %d after %d", got, a.Version)
		}
		r.requests(2, "one for each secret")

		// The wrong secret must not hold up those who have the right one.
		r.clock.Advance(56 * time.Minute)
		_ = r.one.keeper.Prove(t.Context(), wrong)
		r.one.access(s)
		r.requests(4, "a wrong secret, and at once the right one")
	})
}

func TestATestWithATypedSecretHoldsUpNobody(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		wrong := s
		wrong.Credential.Secret = secret.New("wrong")
		a, err := r.one.keeper.Try(t.Context(), wrong)
		r.must(err)
		r.one.living(a)
		r.clock.Advance(time.Hour)
		var e *oauth.Error
		if _, err := r.one.keeper.Try(t.Context(), wrong); !errors.As(err, &e) || e.Code != "invalid_client" {
			t.Errorf("got %v", err)
		}
		r.one.access(s)
		r.requests(2, "the test, then mail at once")

		// A test asks also while mail waits.
		r.clock.Advance(time.Hour)
		r.authority.refuse = []refusal{{503, `{"error":"temporarily_unavailable"}`, ""}}
		r.one.refusal(s)
		if a, err = r.one.keeper.Try(t.Context(), s); err != nil {
			t.Fatalf("a test while mail waits: %v", err)
		}
		if got := r.two.access(s).Version; got != a.Version {
			t.Errorf("mail got version %d, want that of the test, %d", got, a.Version)
		}
		r.requests(4, "mail, then the test")
	})
}
