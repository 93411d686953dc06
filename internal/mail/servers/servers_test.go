package servers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/servers"
	"github.com/sealpost/sealpost/internal/store"
)

var errProof error = fault.Denied("Prove who you are.").WithCode(fault.CodeReauthenticate)

func (r *rig) wantTook(slot mail.Slot, want ...string) {
	r.t.Helper()
	slices.Sort(want)
	if got := r.took(slot); !slices.Equal(got, want) {
		r.t.Errorf("the %s server took %v, want %v", slot.Ordinal(), got, want)
	}
}

func (r *rig) wantAudited(action string, n int) {
	r.t.Helper()
	if got := r.audited(action); len(got) != n {
		r.t.Errorf("%s is audited %d times, want %d", action, len(got), n)
	}
}

// fails lets the first server be out of reach until it is paused.
func (r *rig) fails(slot mail.Slot) {
	r.t.Helper()
	r.setDown(slot, true)
	r.add("before@example.org")
	for range 30 {
		r.work()
		if r.state(slot) == mail.Paused {
			return
		}
		r.clock.Advance(30 * time.Second)
	}
	r.t.Fatalf("the %s server is %s", slot.Ordinal(), r.state(slot))
}

func TestTheSecondServerTakesOverAndGivesBack(t *testing.T) {
	each(t, func(r *rig) {
		r.two()
		r.set(15 * time.Minute)
		r.add("first@example.org")
		r.work()
		r.wantTook(mail.Main, "first@example.org")

		r.fails(mail.Main)
		began := r.clock.Now()
		r.add("during@example.org")
		r.wait(15*time.Minute-time.Second, time.Minute)
		r.wantTook(mail.Second)
		r.wantAudited("mail.taken_over", 0)
		if st, err := r.servers.State(r.t.Context()); err != nil || st.Main.Covered || !st.Main.CoveredFrom.Equal(began.Add(15*time.Minute)) {
			t.Errorf("%v: covered from %v, paused at %v", err, st.Main.CoveredFrom, began)
		}
		r.wait(time.Second, time.Second)
		r.wantTook(mail.Second, "before@example.org", "during@example.org")
		r.wantAudited("mail.taken_over", 1)
		e := r.audited("mail.taken_over")[0]
		if e.Reason == "" || !strings.HasSuffix(e.Detail[0].Value, fmt.Sprint(r.posts[mail.Second].sink.Port())) {
			t.Errorf("it is told as %+v", e)
		}
		if st, err := r.servers.State(r.t.Context()); err != nil || !st.Main.Covered {
			t.Errorf("%v: %+v", err, st.Main)
		}
		r.wait(10*time.Minute, time.Minute)
		r.wantAudited("mail.taken_over", 1)

		// A probe finds the first server at work, and the next letter is its again.
		r.setDown(mail.Main, false)
		r.wait(time.Hour, 5*time.Minute)
		if r.state(mail.Main) != mail.Working {
			t.Fatal("no probe found the first server at work")
		}
		r.add("after@example.org")
		r.work()
		r.work()
		r.wantTook(mail.Main, "first@example.org", "after@example.org")
		r.wantTook(mail.Second, "before@example.org", "during@example.org")
		r.wantAudited("mail.given_back", 1)
		if got := r.audited("mail.given_back")[0].Reason; got != "The first mail server works again." {
			t.Errorf("it is given back because: %s", got)
		}
	})
}

func TestWhoStopsAServerWantsNothingToLeave(t *testing.T) {
	each(t, func(r *rig) {
		r.two()
		r.set(0, "example.com")
		r.must(r.posts[mail.Main].mail.Stop(t.Context(), admin, ""))
		r.add("ada@example.org")
		r.add("ada@example.com")
		r.wait(3*time.Hour, time.Hour)
		r.wantTook(mail.Main)
		r.wantTook(mail.Second, "ada@example.com")
		r.must(r.posts[mail.Second].mail.Stop(t.Context(), admin, ""))
		r.must(r.posts[mail.Main].mail.Resume(t.Context(), admin))
		r.add("alan@example.com")
		r.work()
		r.wantTook(mail.Main, "ada@example.org")
		r.wantAudited("mail.taken_over", 0)
	})
}

func TestARuleThatSaysNeverAndOneThatSaysAtOnce(t *testing.T) {
	each(t, func(r *rig) {
		r.two()
		r.fails(mail.Main)
		r.wait(2*time.Hour, 20*time.Minute)
		r.wantTook(mail.Second)
		r.set(0)
		r.work()
		r.wantTook(mail.Second, "before@example.org")
		r.set(servers.Never)
		r.add("later@example.org")
		r.work()
		r.wantTook(mail.Second, "before@example.org")
		r.wantAudited("mail.given_back", 1)
		// Both are out of reach: nobody stands in for anybody.
		r.set(0)
		r.setDown(mail.Second, true)
		r.wait(20*time.Minute, time.Minute)
		if st, err := r.servers.State(t.Context()); err != nil || st.Main.Covered || st.Second.Covered {
			t.Errorf("%v: both are paused, and covered: %v, %v", err, st.Main.Covered, st.Second.Covered)
		}
	})
}

// A sign-in that is let in and letters that are refused are one pause, and one
// takeover.
func TestATrialIsToldOnce(t *testing.T) {
	each(t, func(r *rig) {
		r.two()
		r.set(0)
		r.fails(mail.Main)
		r.work()
		r.wantAudited("mail.taken_over", 1)
		r.setDown(mail.Main, false)
		main := r.posts[mail.Main].mail
		transport, err := main.Open(t.Context())
		r.must(err)
		r.must(main.Probed(t.Context(), transport, nil, true))
		r.watch()
		r.wantAudited("mail.given_back", 0)
		p, _, err := main.Active(t.Context())
		r.must(err)
		r.must(main.Pause(t.Context(), mail.Problem{Revision: p.Revision, Row: p.Problem, Reason: "Again."}))
		r.watch()
		r.wantAudited("mail.given_back", 0)
		r.wantAudited("mail.taken_over", 1)
		r.must(main.Resume(t.Context(), admin))
		r.watch()
		r.wantAudited("mail.given_back", 1)
	})
}

func TestRoutesByDomain(t *testing.T) {
	each(t, func(r *rig) {
		r.two()
		r.must(r.posts[mail.Main].mail.Stop(t.Context(), admin, ""))
		r.must(r.posts[mail.Second].mail.Stop(t.Context(), admin, ""))
		for _, a := range []string{"a@example.org", "a@sub.example.org", "a@deep.sub.example.net", "a@example.net", "a@bücher.example", "a@notexample.net"} {
			r.add(a)
		}
		r.set(servers.Never, "EXAMPLE.org", " *.example.net ", "", "Bücher.Example")
		s, err := r.servers.Settings(t.Context(), admin)
		r.must(err)
		if want := []string{"*.example.net", "example.org", "xn--bcher-kva.example"}; !slices.Equal(s.Routes, want) {
			t.Errorf("the routes are %v, want %v", s.Routes, want)
		}
		// Letters from before and from after go the same way.
		r.add("b@Example.ORG")
		r.add("b@example.com")
		r.must(r.posts[mail.Main].mail.Resume(t.Context(), admin))
		r.must(r.posts[mail.Second].mail.Resume(t.Context(), admin))
		r.work()
		r.wantTook(mail.Second, "a@example.org", "a@deep.sub.example.net", "a@xn--bcher-kva.example", "b@example.org")
		r.wantTook(mail.Main, "a@sub.example.org", "a@example.net", "a@notexample.net", "b@example.com")
		if got := r.audited("mail.routes_changed"); len(got) != 1 || got[0].Detail[0].Value != "*.example.net, example.org, xn--bcher-kva.example" {
			t.Errorf("audited: %+v", got)
		}
	})
}

func TestLettersThatAreBeingSentKeepTheirRoute(t *testing.T) {
	each(t, func(r *rig) {
		r.two()
		id := r.add("a@example.org")
		claims, err := r.box.Claim(t.Context(), outbox.Main, 1, time.Minute, "")
		if err != nil || len(claims) != 1 {
			t.Fatal(claims, err)
		}
		r.set(servers.Never, "example.org")
		route, err := r.routeOf(id)
		if err != nil || route != "main" {
			t.Errorf("%v: the letter that is being sent goes through %s", err, route)
		}
		// What ended without an acceptance goes its new way, a while later.
		r.must(r.box.Record(t.Context(), outbox.Outcome{ID: id, Attempt: claims[0].Attempt, State: outbox.Deferred, RetryAt: r.clock.Now()}))
		r.clock.Advance(time.Minute)
		r.watch()
		if route, err = r.routeOf(id); err != nil || route != "second" {
			t.Errorf("%v: the letter that was put off goes through %s", err, route)
		}
	})
}

func (r *rig) routeOf(id string) (route string, err error) {
	err = r.db.View(r.t.Context(), func(tx *store.Tx) (err error) {
		route, err = store.One(tx, func(row store.Row) (s string, err error) { return s, row.Scan(&s) }, `SELECT route FROM outbox_letter WHERE id = $1`, id)
		return err
	})
	return route, err
}

func TestTheSecondServerIsRemoved(t *testing.T) {
	each(t, func(r *rig) {
		r.two()
		r.set(servers.Never, "example.org")
		r.must(r.posts[mail.Second].mail.Stop(t.Context(), admin, ""))
		r.add("a@example.org")
		r.work()
		r.wantTook(mail.Main)
		if err := r.posts[mail.Main].mail.Remove(t.Context(), admin); !fault.Is(err, fault.KindConflict) || !strings.Contains(fault.Sentence(err), "Make the second one the first") {
			t.Errorf("removing the first of two: %v", err)
		}
		r.must(r.posts[mail.Second].mail.Remove(t.Context(), admin))
		r.work()
		r.wantTook(mail.Main, "a@example.org")
		s, err := r.servers.Settings(t.Context(), admin)
		if err != nil || len(s.Routes) != 0 {
			t.Errorf("%v: %+v", err, s)
		}
		r.must(r.posts[mail.Main].mail.Remove(t.Context(), admin))
		if err := r.trySave(mail.Second); !fault.Is(err, fault.KindConflict) {
			t.Errorf("a second server without a first: %v", err)
		}
	})
}

// held reports whether a letter is held.
func (r *rig) held(id string) bool {
	r.t.Helper()
	var held bool
	r.must(r.db.View(r.t.Context(), func(tx *store.Tx) (err error) {
		held, _, err = r.box.Held(tx, id)
		return err
	}))
	return held
}

func TestALetterIsHeldWhereNobodySendsIt(t *testing.T) {
	each(t, func(r *rig) {
		r.two()
		r.set(time.Hour, "example.com")
		main, second := r.add("a@example.org"), r.add("a@example.com")
		if r.held(main) || r.held(second) {
			t.Error("letters are held with both servers at work")
		}
		p, _, err := r.posts[mail.Second].mail.Active(t.Context())
		r.must(err)
		r.must(r.posts[mail.Second].mail.Pause(t.Context(), mail.Problem{Revision: p.Revision, Row: "refused", Reason: "No."}))
		if r.held(main) || !r.held(second) {
			t.Error("with the second server paused, the wrong one is held")
		}
		r.clock.Advance(time.Hour)
		if r.held(second) {
			t.Error("a letter is held that the first server may send")
		}
		r.must(r.posts[mail.Main].mail.Stop(t.Context(), admin, ""))
		if !r.held(main) || !r.held(second) {
			t.Error("letters are not held while nobody may send them")
		}
	})
}

func TestTheFirstStandsInForTheSecond(t *testing.T) {
	each(t, func(r *rig) {
		r.two()
		r.set(5*time.Minute, "example.org")
		r.fails(mail.Second)
		r.wantTook(mail.Main)
		r.wait(5*time.Minute, time.Minute)
		r.wantTook(mail.Main, "before@example.org")
		r.wantAudited("mail.taken_over", 1)
	})
}

func TestTheServersChangePlaces(t *testing.T) {
	each(t, func(r *rig) {
		r.two()
		r.set(0, "example.com")
		first, second := r.posts[mail.Main], r.posts[mail.Second]
		one, _, err := first.mail.Active(t.Context())
		r.must(err)
		two, _, err := second.mail.Active(t.Context())
		r.must(err)
		r.must(second.mail.Stop(t.Context(), admin, "later"))
		r.proved = false
		if err := r.servers.Exchange(t.Context(), admin); fault.CodeOf(err) != fault.CodeReauthenticate {
			t.Errorf("without a proof: %v", err)
		}
		r.proved = true
		r.must(r.servers.Exchange(t.Context(), admin))
		now, _, err := first.mail.Active(t.Context())
		r.must(err)
		then, _, err := second.mail.Active(t.Context())
		r.must(err)
		if now.ID != two.ID || then.ID != one.ID || now.State != mail.Stopped || now.Revision == one.Revision || now.Revision == two.Revision || then.Revision == now.Revision {
			t.Errorf("the first is %s %s at %d, the second %s at %d; they were %s at %d and %s at %d",
				now.ID, now.State, now.Revision, then.ID, then.Revision, one.ID, one.Revision, two.ID, two.Revision)
		}
		// The stop goes along; so do the secrets, which open where they are now.
		r.add("a@example.com")
		r.work()
		r.wantTook(mail.Main)
		r.wantTook(mail.Second)
		r.must(first.mail.Resume(t.Context(), admin))
		r.work()
		r.wantTook(mail.Second, "a@example.com") // the sink of what is the first now
		if st, err := r.servers.State(t.Context()); err != nil || st.Routes != 0 {
			t.Errorf("%v: %d routes are left", err, st.Routes)
		}
		r.wantAudited("mail.exchanged", 1)
		r.must(second.mail.Remove(t.Context(), admin))
		if err := r.servers.Exchange(t.Context(), admin); !fault.Is(err, fault.KindNotFound) {
			t.Errorf("with one server: %v", err)
		}
	})
}

func TestWhatSettingsAreRefused(t *testing.T) {
	each(t, func(r *rig) {
		r.save(mail.Main)
		try := func(field string, s servers.Settings) {
			t.Helper()
			_, err := r.servers.Save(t.Context(), admin, s)
			if !slices.ContainsFunc(fault.Fields(err), func(f fault.FieldError) bool { return f.Field == field }) {
				t.Errorf("%+v: %v, want a fault at %s", s, err, field)
			}
		}
		try("routes", servers.Settings{After: servers.Never, Routes: []string{"example.org"}})
		try("fallback", servers.Settings{After: 0})
		r.save(mail.Second)
		try("fallback", servers.Settings{After: time.Minute})
		for _, bad := range []string{"exa mple.org", "*.", "*", "a.*.example.org", "http://example.org", "-a.example", "user@example.org@", strings.Repeat("a.", 130) + "org"} {
			try("routes", servers.Settings{After: servers.Never, Routes: []string{"example.org", bad}})
		}
		many := make([]string, servers.MaxRoutes+1)
		for i := range many {
			many[i] = fmt.Sprintf("d%d.example.org", i)
		}
		try("routes", servers.Settings{After: servers.Never, Routes: many})
		r.set(servers.Never, many[1:]...)

		s, err := r.servers.Settings(t.Context(), admin)
		r.must(err)
		old := s.Revision
		s.Routes = nil
		_, err = r.servers.Save(t.Context(), admin, s)
		r.must(err)
		s.Revision, s.Routes = old, []string{"example.org"}
		if _, err := r.servers.Save(t.Context(), admin, s); !fault.Is(err, fault.KindConflict) {
			t.Errorf("over somebody else's change: %v", err)
		}
		s.Revision, r.proved = 0, false
		if _, err := r.servers.Save(t.Context(), admin, s); fault.CodeOf(err) != fault.CodeReauthenticate {
			t.Errorf("without a proof: %v", err)
		}
		user := actor.Actor{Kind: actor.KindUser, UserID: "u", Login: "u", Role: actor.PasswordUser}
		if _, err := r.servers.Save(t.Context(), user, s); !fault.Is(err, fault.KindDenied) {
			t.Errorf("by a user: %v", err)
		}
		if _, err := r.servers.Settings(t.Context(), user); !fault.Is(err, fault.KindDenied) {
			t.Errorf("read by a user: %v", err)
		}
		if err := r.servers.Exchange(t.Context(), user); !fault.Is(err, fault.KindDenied) {
			t.Errorf("exchanged by a user: %v", err)
		}
	})
}
