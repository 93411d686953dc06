package token_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// While one node asks, the other goes on with the token that lives.
func TestOthersGoOnWhileOneAsks(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		old := r.two.access(s)
		r.clock.Advance(56 * time.Minute)
		r.authority.hold()
		asking := r.one.begin(t.Context(), s)
		out := <-r.authority.arrived
		r.authority.flow()
		if got := r.two.access(s); got.Version != old.Version {
			t.Errorf("the other node got version %d, want %d", got.Version, old.Version)
		}
		if got := r.one.access(s); got.Version != old.Version {
			t.Errorf("the same node got version %d, want %d", got.Version, old.Version)
		}
		out()
		if got := <-asking; got.err != nil || got.access.Version <= old.Version {
			t.Errorf("the one who asked: got %v", got)
		}
		r.requests(1, "in all")
	})
}

// A node that dies while it holds the lease holds up the others until the lease
// ends, and no longer.
func TestTheHolderOfTheLeaseDies(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		r.clock.Advance(56 * time.Minute)
		dead := func() {
			r.exec(`UPDATE mail_token SET lease = 'dead', lease_until = $1`, store.Micros(r.clock.Now().Add(30*time.Second)))
		}
		dead()
		old := r.two.access(s)
		r.requests(0, "while the token lives and somebody asks")
		r.clock.Advance(31 * time.Second)
		if got := r.two.access(s); got.Version <= old.Version {
			t.Errorf("when the lease has ended: got version %d after %d", got.Version, old.Version)
		}

		r.clock.Advance(2 * time.Hour)
		dead()
		waiting := r.two.begin(t.Context(), s)
		r.clock.Advance(31 * time.Second)
		if got := <-waiting; got.err != nil {
			t.Errorf("without a token that lives: got %v", got.err)
		}
		r.requests(2, "one for each token")

		// A lease from a time when the clock was wrong is none.
		r.clock.Advance(2 * time.Hour)
		r.exec(`UPDATE mail_token SET lease = 'dead', lease_until = $1`, store.Micros(r.clock.Now().Add(time.Hour)))
		r.one.access(s)
		// Nor is a wait.
		r.clock.Advance(2 * time.Hour)
		r.exec(`UPDATE mail_token SET retry_at = $1`, store.Micros(r.clock.Now().Add(1000*time.Hour)))
		r.one.access(s)
	})
}

// A node was stopped between the authority's answer and the database, and comes
// back before or after another one has stored. At Microsoft both got good
// tokens; the first that are stored stay.
func TestAStoppedNodeComesBack(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		for _, late := range []bool{true, false} {
			r.one.signIn(s)
			r.clock.Advance(2 * time.Hour)
			before := r.authority.requests()
			r.authority.hold()
			stopped := r.one.begin(t.Context(), s)
			first := <-r.authority.arrived
			r.clock.Advance(31 * time.Second)
			other := r.two.begin(t.Context(), s)
			second := <-r.authority.arrived
			r.authority.flow()
			a, b := stopped, other
			if late {
				first, second, a, b = second, first, other, stopped
			}
			first()
			stored := <-a
			second()
			dropped := <-b
			if stored.err != nil || dropped.err != nil || dropped.access.Version != stored.access.Version {
				t.Fatalf("late %t: got %v and %v", late, stored, dropped)
			}
			if now := r.one.access(s); !now.Token.Equal(stored.access.Token) {
				t.Errorf("late %t: got %s, want %s", late, short(now.Token), short(stored.access.Token))
			}
			r.requests(before+2, "both asked")
			r.clock.Advance(2 * time.Hour)
			r.two.access(s)
		}
	})
}

// A sign-in is newer than whatever was asked before it, also one after which
// everything was made anew.
func TestASignInWhileANodeAsks(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		for _, drop := range []bool{true, false} {
			r.one.signIn(s)
			r.clock.Advance(2 * time.Hour)
			r.authority.hold()
			asking := r.one.begin(t.Context(), s)
			out := <-r.authority.arrived
			r.authority.flow()
			if drop {
				r.two.update(func(tx *store.Tx) error { return r.two.keeper.Drop(tx, s.ProfileID) })
			}
			again := r.two.signIn(s)
			out()
			if got := <-asking; got.err != nil || !got.access.Token.Equal(again.Access) {
				t.Errorf("dropped %t: got %v, %v, want the token of the sign-in", drop, short(got.access.Token), got.err)
			}
		}
	})
}

func TestTokensDroppedWhileANodeAsks(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		r.clock.Advance(2 * time.Hour)
		r.authority.hold()
		asking := r.one.begin(t.Context(), s)
		out := <-r.authority.arrived
		r.authority.flow()
		r.two.update(func(tx *store.Tx) error { return r.two.keeper.Drop(tx, s.ProfileID) })
		out()
		if got := <-asking; !errors.Is(got.err, token.ErrSignIn) {
			t.Errorf("got %v, %v", got.access, got.err)
		}
		if f := r.two.facts(); f != (token.Facts{}) {
			t.Errorf("the tokens are back: %+v", f)
		}
	})
}

// The answer to a refresh is lost. At Microsoft the refresh token that was sent
// stays good.
func TestALostAnswer(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		r.authority.drop = 1
		r.clock.Advance(56 * time.Minute)
		r.one.access(s) // the old one lives
		r.requests(1, "the answer was lost")
		r.clock.Advance(31 * time.Second)
		r.two.access(s)
		if got, want := r.authority.sent(), "refresh-2 refresh-2"; got != want {
			t.Errorf("refresh tokens used: got %q, want %q", got, want)
		}
		r.clock.Advance(2 * time.Hour)
		r.one.access(s)
	})
}

// An authority that ends a refresh token with its use has ended the only one we
// have when its answer is lost. All is tried, once, and then a person is asked.
func TestALostAnswerAtAStrictAuthority(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.authority.strict = true
		r.one.signIn(s)
		r.clock.Advance(2 * time.Hour)
		r.one.access(s) // refresh-2 becomes refresh-4
		r.clock.Advance(2 * time.Hour)
		r.authority.drop = 1
		if e := r.one.refusal(s); e.Stage != oauth.StageReach {
			t.Errorf("the lost answer: got %v", e)
		}
		for range 2 {
			r.clock.Advance(31 * time.Second)
			if e := r.two.refusal(s); e.Code != "invalid_grant" {
				t.Errorf("got %v", e)
			}
		}
		if got, want := r.authority.sent(), "refresh-2 refresh-4 refresh-4 refresh-2 refresh-4"; got != want {
			t.Errorf("refresh tokens used:\ngot  %q\nwant %q", got, want)
		}
		r.one.signIn(s)
		r.two.access(s)
	})
}

// An authority that took back what it gave last gets what it knows.
func TestTheRefreshTokenBeforeIsKeptOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		r.clock.Advance(2 * time.Hour)
		r.one.access(s)
		r.authority.set(func() { delete(r.authority.valid, "refresh-"+canary+"-4") })
		r.clock.Advance(2 * time.Hour)
		// The second try may not be answered; that does not use it up.
		r.authority.refuse = []refusal{{400, `{"error":"invalid_grant"}`, ""}, {503, `{"error":"server_error"}`, ""}}
		if e := r.one.refusal(s); e.Status != 503 {
			t.Errorf("got %v", e)
		}
		r.clock.Advance(31 * time.Second)
		r.two.access(s)
		r.clock.Advance(2 * time.Hour)
		r.two.access(s)
		if got, want := r.authority.sent(), "refresh-2 refresh-4 refresh-2 refresh-4 refresh-2 refresh-6"; got != want {
			t.Errorf("refresh tokens used:\ngot  %q\nwant %q", got, want)
		}
	})
}

func TestAnAuthorityThatDoesNotRotate(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.authority.keeps = true
		r.one.signIn(s)
		for range 3 {
			r.clock.Advance(2 * time.Hour)
			r.one.access(s)
		}
		if got, want := r.authority.sent(), "refresh-2 refresh-2 refresh-2"; got != want {
			t.Errorf("refresh tokens used: got %q, want %q", got, want)
		}
	})
}

// A lease was taken over although its holder lived, and the authority ended the
// refresh token with its first use. The answer of the first is kept, whoever
// holds the lease by then, and the second uses it.
func TestTwoAskAStrictAuthority(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.authority.strict = true
		for _, stored := range []bool{true, false} {
			r.one.signIn(s)
			r.clock.Advance(2 * time.Hour)
			r.authority.hold()
			first := r.one.begin(t.Context(), s)
			good := <-r.authority.arrived
			r.clock.Advance(31 * time.Second)
			second := r.two.begin(t.Context(), s)
			bad := <-r.authority.arrived
			r.authority.flow()
			if stored {
				good()
				a := <-first
				bad()
				if b := <-second; a.err != nil || b.err != nil || b.access.Version != a.access.Version {
					t.Errorf("the good answer first: got %v and %v", a, b)
				}
			} else {
				// The second hears of nothing but the refusal, until the first
				// is back.
				bad()
				var e *oauth.Error
				if b := <-second; !errors.As(b.err, &e) || e.Code != "invalid_grant" {
					t.Errorf("the refusal first: got %v", b.err)
				}
				good()
				if a := <-first; a.err != nil {
					t.Errorf("then the good answer: %v", a.err)
				}
			}
			r.two.access(s)
			r.clock.Advance(2 * time.Hour)
			r.two.access(s)
		}
	})
}

// A node that lost its lease has no say in what the next holder does.
func TestARefusalThatComesLate(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s, old := r.source(), r.source()
		old.Credential.Secret = secret.New("expired")
		r.one.signIn(s)
		r.clock.Advance(2 * time.Hour)
		r.authority.hold()
		first := r.one.begin(t.Context(), old)
		refused := <-r.authority.arrived
		r.clock.Advance(31 * time.Second)
		second := r.two.begin(t.Context(), s)
		good := <-r.authority.arrived
		r.authority.flow()
		held := func() (lease string) {
			r.must(r.one.db.View(t.Context(), func(tx *store.Tx) (err error) {
				lease, err = store.One(tx, func(r store.Row) (s string, err error) { return s, r.Scan(&s) }, `SELECT lease FROM mail_token`)
				return err
			}))
			return lease
		}
		before := held()
		refused()
		if got := <-first; got.err == nil {
			t.Error("the first was not refused")
		}
		if after := held(); after == "" || after != before {
			t.Errorf("the lease: got %q, want %q", after, before)
		}
		good()
		r.must((<-second).err)
		r.one.access(s)
	})
}

// A good answer that cannot be stored is neither lost nor used.
func TestAnAnswerThatCannotBeStored(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.authority.strict = true
		r.one.signIn(s)
		old := r.one.access(s)
		mend := r.breakStoring()
		r.clock.Advance(56 * time.Minute)
		for range 3 {
			if got := r.one.access(s); got.Version != old.Version {
				t.Errorf("while it cannot be stored: got version %d, want %d", got.Version, old.Version)
			}
		}
		r.clock.Advance(10 * time.Minute)
		for range 2 {
			if got, err := r.one.keeper.Access(t.Context(), s); err == nil || !got.Token.IsZero() {
				t.Errorf("when the old one has ended: got %v, %v", got, err)
			}
		}
		r.must(r.one.keeper.KeepAlive(noError(t, r.one.keeper.KeepAlive(t.Context(), s)), r.application()))
		r.requests(1, "the refresh token that was sent is not sent again")
		mend()
		if got := r.one.access(s); short(got.Token) != "access-3" || got.Expires.Sub(r.clock.Now()) != 50*time.Minute {
			t.Errorf("when it can: got %s, which ends in %v", short(got.Token), got.Expires.Sub(r.clock.Now()))
		}
		r.two.access(s)
		r.requests(1, "the answer was kept")
		if f := r.one.facts(); r.clock.Now().Sub(f.GotAt) != 10*time.Minute || f.RefreshAt != f.GotAt {
			t.Errorf("got at %v, now it is %v", f.GotAt, r.clock.Now())
		}
		r.clock.Advance(2 * time.Hour)
		r.two.access(s)
		if got, want := r.authority.sent(), "refresh-2 refresh-4"; got != want {
			t.Errorf("refresh tokens used: got %q, want %q", got, want)
		}
	})
}

// Between the commit and the moment at which the process knows of it, the new
// token is like any other: it is used, and not replaced.
func TestAnAnswerThatHasJustBeenStored(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		r.clock.Advance(2 * time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		looked := false
		// The log handler holds a lock while it writes, and nothing is written
		// by what happens in between.
		r.one.log.told = func(line string) {
			if !looked && strings.Contains(line, "token: renewed") {
				looked = true
				if a, err := r.one.keeper.Access(ctx, s); err != nil || short(a.Token) != "access-3" {
					t.Errorf("got %s, %v", short(a.Token), err)
				}
			}
		}
		r.one.access(s)
		if !looked {
			t.Error("nobody looked in between")
		}
		r.requests(1, "in all")
	})
}

// It is stored with the next call, also while the old token lives and the lease
// with it, and also where there is no mail.
func TestAnAnswerIsStoredWithTheNextCall(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		for _, next := range []struct {
			name string
			call func() error
		}{
			{"Access", func() error { _, err := r.one.keeper.Access(t.Context(), s); return err }},
			{"KeepAlive", func() error { return r.one.keeper.KeepAlive(t.Context(), s) }},
		} {
			r.one.signIn(s)
			r.clock.Advance(56 * time.Minute)
			before := r.authority.requests()
			mend := r.breakStoring()
			old := r.one.access(s)
			mend()
			r.must(next.call())
			if got := r.two.access(s); got.Version <= old.Version {
				t.Errorf("%s: got version %d after %d", next.name, got.Version, old.Version)
			}
			r.requests(before+1, next.name)
		}
	})
}

// noError wants err to be one, and returns a context to go on with.
func noError(t *testing.T, err error) context.Context {
	t.Helper()
	if err == nil {
		t.Error("what cannot be stored was not reported")
	}
	return t.Context()
}

// What waits to be stored is stored when the process ends in order.
func TestCloseStoresWhatWaits(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.authority.strict = true
		r.one.signIn(s)
		r.clock.Advance(56 * time.Minute)
		mend := r.breakStoring()
		r.one.access(s)
		if err := r.one.keeper.Close(t.Context()); err == nil {
			t.Error("Close said nothing of what it could not store")
		}
		mend()
		r.must(r.one.keeper.Close(t.Context()))
		if got := r.two.access(s); short(got.Token) != "access-3" {
			t.Errorf("got %s", short(got.Token))
		}
		r.requests(1, "in all")
	})
}

// An answer that waits is worth nothing once somebody has signed in.
func TestASignInWhileAnAnswerWaits(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		r.clock.Advance(56 * time.Minute)
		mend := r.breakStoring()
		r.one.access(s)
		mend()
		again := r.two.signIn(s)
		if got := r.one.access(s); !got.Token.Equal(again.Access) {
			t.Errorf("got %s, want %s", short(got.Token), short(again.Access))
		}
		r.requests(1, "in all")
	})
}

// The caller goes; the answer is stored all the same.
func TestTheAskingOutlivesItsCaller(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.authority.strict = true
		for _, how := range []struct {
			name string
			call func(ctx context.Context) error
		}{
			{"Access", func(ctx context.Context) error { _, err := r.one.keeper.Access(ctx, s); return err }},
			{"Prove", func(ctx context.Context) error { return r.one.keeper.Prove(ctx, s) }},
		} {
			r.one.signIn(s)
			r.clock.Advance(2 * time.Hour)
			r.authority.hold()
			ctx, cancel := context.WithCancel(t.Context())
			asking := make(chan error, 1)
			go func() { asking <- how.call(ctx) }()
			out := <-r.authority.arrived
			r.authority.flow()
			cancel()
			if err := <-asking; !errors.Is(err, context.Canceled) {
				t.Errorf("%s: got %v", how.name, err)
			}
			before := r.authority.requests()
			next := r.two.begin(t.Context(), s)
			out()
			r.must((<-next).err)
			r.requests(before, how.name+": the other node needs nothing")
		}
	})
}

func TestCloseWaitsForAnAnswer(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		r.clock.Advance(2 * time.Hour)
		r.authority.hold()
		asking := r.one.begin(t.Context(), s)
		out := <-r.authority.arrived
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.one.keeper.Close(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Close did not wait: %v", err)
		}
		out()
		r.must(r.one.keeper.Close(t.Context()))
		r.must((<-asking).err)
		r.two.access(s)
		r.requests(1, "in all")
	})
}

func TestAClosedKeeperAsksNobody(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		r.clock.Advance(56 * time.Minute)
		r.must(r.one.keeper.Close(t.Context()))
		r.one.access(s)
		if err := r.one.keeper.Prove(t.Context(), s); !fault.Is(err, fault.KindUnavailable) {
			t.Errorf("Prove: got %v", err)
		}
		r.clock.Advance(time.Hour)
		if _, err := r.one.keeper.Access(t.Context(), s); !fault.Is(err, fault.KindUnavailable) {
			t.Errorf("got %v", err)
		}
		r.requests(0, "after Close")
	})
}

// Somebody who waits for another node's lease does not hold up the end.
func TestCloseEndsTheWaitForALease(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		r.clock.Advance(2 * time.Hour)
		r.exec(`UPDATE mail_token SET lease = 'other', lease_until = $1`, store.Micros(r.clock.Now().Add(30*time.Second)))
		waiting := r.one.begin(t.Context(), s)
		r.must(r.one.keeper.Close(t.Context()))
		if got := <-waiting; !fault.Is(got.err, fault.KindUnavailable) {
			t.Errorf("got %v", got.err)
		}
	})
}

// Settings that changed while the ones before are asked for do not inherit what
// those meet.
func TestAnAskingForOtherSettings(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		old, s := r.application(), r.application()
		old.Credential.Secret = secret.New("wrong")
		s.Bind = "another place"
		r.authority.hold()
		first := r.one.begin(t.Context(), old)
		out := <-r.authority.arrived
		r.authority.flow()
		var others []<-chan result
		for range 10 {
			others = append(others, r.one.begin(t.Context(), s))
		}
		r.one.facts() // a way to the database and back, which they need too
		out()
		var e *oauth.Error
		if got := <-first; got.err == nil || errors.As(got.err, &e) && e.Code != "invalid_client" {
			t.Errorf("the old settings: got %v", got.err)
		}
		for _, other := range others {
			if got := <-other; got.err != nil {
				t.Errorf("the new settings: got %v", got.err)
			}
		}
	})
}

func TestFailuresMakeFewRequests(t *testing.T) {
	busy := refusal{503, `{"error":"temporarily_unavailable","error_description":"busy"}`, ""}
	after := func(seconds string) refusal { return refusal{429, `{"error":"temporarily_unavailable"}`, seconds} }
	denied := refusal{400, `{"error":"invalid_grant","error_description":"AADSTS50173"}`, ""}
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		for _, tt := range []struct {
			name    string
			refuse  refusal
			waits   []time.Duration
			outcome token.Outcome
		}{
			{"busy", busy, []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 5 * time.Minute}, token.Failed},
			{"busy for a time", after("600"), []time.Duration{10 * time.Minute, 10 * time.Minute}, token.Failed},
			{"busy for too long", after("864000"), []time.Duration{time.Hour, time.Hour}, token.Failed},
			{"refused", denied, []time.Duration{30 * time.Second, 30 * time.Second, 30 * time.Second}, token.Refused},
		} {
			r.one.signIn(s)
			r.clock.Advance(2 * time.Hour)
			before := r.authority.requests()
			for i, wait := range tt.waits {
				r.authority.set(func() { r.authority.refuse = []refusal{tt.refuse} })
				first := r.one.refusal(s)
				r.clock.Advance(wait - time.Second)
				for _, n := range []*node{r.one, r.two} {
					e := n.refusal(s)
					if e.Code != first.Code || e.Status != first.Status || e.Text != first.Text || e.Host != first.Host || e.RetryAfter != time.Second {
						t.Errorf("%s, wait %d: got %+v\nwant %+v", tt.name, i, e, first)
					}
				}
				r.requests(before+i+1, tt.name+": nobody asks again before its time")
				r.clock.Advance(time.Second)
			}
			if got := r.one.last(); got.Outcome != tt.outcome || got.ProfileID != s.ProfileID || got.Grant != oauth.Consent {
				t.Errorf("%s: event: got %+v", tt.name, got)
			}
			r.one.access(s)
			if got := r.one.last(); got.Outcome != token.Got {
				t.Errorf("%s: last event: got %+v", tt.name, got)
			}
			// The next failure is the first of a new row.
			r.clock.Advance(2 * time.Hour)
			r.authority.set(func() { r.authority.refuse = []refusal{busy} })
			r.one.refusal(s)
			r.clock.Advance(31 * time.Second)
			r.one.access(s)
		}
	})
}

// A refresh that fails early costs nothing while the old token lives.
func TestAnEarlyFailureGoesByUnnoticed(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		old := r.one.access(s)
		r.clock.Advance(56 * time.Minute)
		r.authority.refuse = []refusal{{500, `nothing to read`, ""}, {400, `{"error":"invalid_client"}`, ""}}
		for range 5 {
			for _, n := range []*node{r.one, r.two} {
				if got := n.access(s); got.Version != old.Version {
					t.Errorf("got version %d, want %d", got.Version, old.Version)
				}
			}
		}
		r.requests(1, "then it waits")
		r.clock.Advance(31 * time.Second)
		r.two.access(s)
		r.one.access(s)
		r.requests(2, "then it waits again")
		r.clock.Advance(10 * time.Minute)
		if got := r.one.access(s); got.Version <= old.Version {
			t.Errorf("got version %d after %d", got.Version, old.Version)
		}
	})
}

// An authority whose tokens end before anybody can use them is not asked for
// ever, and no such token is given.
func TestTokensThatEndAtOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s := r.source()
		r.one.signIn(s)
		r.clock.Advance(2 * time.Hour)
		r.authority.life = 1
		r.authority.hold()
		asking := r.one.begin(t.Context(), s)
		for {
			select {
			case out := <-r.authority.arrived:
				// The client reckons from the time at which it reads the answer,
				// so that the end must be near before.
				out()
				r.clock.Advance(time.Minute)
				if r.authority.requests() > 20 {
					t.Fatal("it asks without end")
				}
			case got := <-asking:
				if got.err == nil {
					t.Logf("the clock moved after the answer: a token that ends %v", got.access.Expires)
				}
				return
			}
		}
	})
}

func TestRebindWaitsForAnAnswer(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		s, other := r.source(), r.source()
		other.Bind = "place 2"
		r.authority.strict = true
		r.one.signIn(s)
		rebind := func(from, to token.Source) error {
			return r.one.db.Update(t.Context(), func(tx *store.Tx) error { return r.one.keeper.Rebind(tx, from, to) })
		}
		r.clock.Advance(2 * time.Hour)
		r.authority.hold()
		asking := r.two.begin(t.Context(), s)
		out := <-r.authority.arrived
		r.authority.flow()
		if err := rebind(s, other); !fault.Is(err, fault.KindUnavailable) {
			t.Errorf("while a node asks: got %v", err)
		}
		out()
		got := <-asking
		r.must(got.err)
		r.must(rebind(s, other))
		if a := r.one.access(other); !a.Token.Equal(got.access.Token) {
			t.Errorf("got %s, want %s", short(a.Token), short(got.access.Token))
		}
		r.must(rebind(s, other)) // there is nothing left to move
		r.must(rebind(other, other))
		foreign := other
		foreign.ProfileID = "profile-2"
		if err := rebind(other, foreign); err == nil {
			t.Error("tokens moved to another profile")
		}

		// An answer that waits in memory moves along.
		r.clock.Advance(2 * time.Hour)
		mend := r.breakStoring()
		if _, err := r.one.keeper.Access(t.Context(), other); err == nil {
			t.Error("a token was used that is not stored")
		}
		mend()
		r.must(rebind(other, s))
		if a := r.two.access(s); strings.TrimPrefix(short(a.Token), "access-") <= strings.TrimPrefix(short(got.access.Token), "access-") {
			t.Errorf("got %s after %s", short(a.Token), short(got.access.Token))
		}
		r.requests(2, "in all")
	})
}
