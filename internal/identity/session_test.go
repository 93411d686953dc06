package identity_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

var (
	wrong    = secret.New("not-the-password-1")
	noDevice secret.Value
)

func TestASessionEnds(t *testing.T) {
	each(t, func(r *rig) {
		session, _, err := r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		r.must(err)
		alive := func(want bool, what string) {
			r.t.Helper()
			_, _, err := r.id.Authenticate(r.ctx(), session.Token, home)
			if (err == nil) != want {
				r.t.Fatalf("%s: got %v, want alive %v", what, err, want)
			}
		}
		alive(true, "fresh")
		r.clock.Advance(29 * time.Minute)
		alive(true, "used after 29 minutes")
		r.clock.Advance(29 * time.Minute)
		alive(true, "used again after 29 more")
		r.clock.Advance(31 * time.Minute)
		alive(false, "idle for 31 minutes")

		session, _, err = r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		r.must(err)
		for range 24 {
			r.clock.Advance(29 * time.Minute)
			alive(true, "busy")
		}
		r.clock.Advance(29 * time.Minute)
		alive(false, "over 12 hours old")
		r.must(r.id.Sweep(r.ctx()))
		for what, token := range map[string]secret.Value{"none": {}, "made up": secret.New("abc"), "huge": secret.New(strings.Repeat("a", 10_000))} {
			_, _, err := r.id.Authenticate(r.ctx(), token, home)
			if fault.CodeOf(err) != identity.CodeSignedOut {
				r.t.Errorf("token %s: %v", what, err)
			}
		}
	})
}

func TestSigningOut(t *testing.T) {
	each(t, func(r *rig) {
		here, _, err := r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		r.must(err)
		there, _, err := r.id.SignIn(r.ctx(), visitor("198.51.100.7"), "grace", goodPassword, noDevice)
		r.must(err)
		me := r.actor(here)
		sessions, err := r.id.Sessions(r.ctx(), me, me.UserID)
		r.must(err)
		if len(sessions) != 3 || sessions[0].Name != "Firefox on Windows" {
			r.t.Fatalf("sessions: %+v", sessions)
		}
		other := r.join("other", actor.PasswordUser)
		r.want(r.id.EndSession(r.ctx(), other, there.ID), fault.KindNotFound, "ending somebody else's session")
		r.must(r.id.EndSession(r.ctx(), me, there.ID))
		_, _, err = r.id.Authenticate(r.ctx(), there.Token, home)
		r.want(err, fault.KindDenied, "an ended session")
		r.must(r.id.SignOutEverywhere(r.ctx(), me, me.UserID))
		_, _, err = r.id.Authenticate(r.ctx(), here.Token, home)
		r.must(err)
		r.must(r.id.SignOut(r.ctx(), me))
		_, _, err = r.id.Authenticate(r.ctx(), here.Token, home)
		r.want(err, fault.KindDenied, "a session signed out of")
		r.audited("session.ended grace")
	})
}

func TestWrongPasswordsLockForAWhile(t *testing.T) {
	each(t, func(r *rig) {
		try := func(from string, password secret.Value) error {
			_, _, err := r.id.SignIn(r.ctx(), visitor(from), "grace", password, noDevice)
			return err
		}
		for i := range 5 {
			if err := try("198.51.100.1", wrong); fault.CodeOf(err) == fault.CodeLimited || err == nil {
				r.t.Fatalf("guess %d: %v", i+1, err)
			}
		}
		r.audited("session.refused grace refused")
		if err := try("203.0.113.5", goodPassword); fault.CodeOf(err) != fault.CodeLimited {
			r.t.Fatalf("the right password from elsewhere while locked: %v", err)
		}
		r.clock.Advance(61 * time.Second)
		if err := try("198.51.100.1", wrong); fault.CodeOf(err) == fault.CodeLimited {
			r.t.Fatalf("locked for longer than a minute: %v", err)
		}
		r.clock.Advance(61 * time.Second)
		if err := try("198.51.100.1", goodPassword); fault.CodeOf(err) != fault.CodeLimited {
			r.t.Fatalf("the second lock is not longer: %v", err)
		}
		r.clock.Advance(60 * time.Second)
		r.must(try("198.51.100.1", goodPassword))
		for range 4 { // the count began anew
			if err := try("198.51.100.1", wrong); fault.CodeOf(err) == fault.CodeLimited {
				r.t.Fatal(err)
			}
		}
		r.must(try("198.51.100.1", goodPassword))
	})
}

func TestAKnownBrowserIsNotLockedOut(t *testing.T) {
	each(t, func(r *rig) {
		mine, _, err := r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		r.must(err)
		for range 6 {
			_, _, err := r.id.SignIn(r.ctx(), visitor("198.51.100.1"), "grace", wrong, noDevice)
			r.want(err, fault.KindDenied, "a guess")
		}
		_, _, err = r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		if fault.CodeOf(err) != fault.CodeLimited {
			r.t.Fatalf("an unknown browser: %v", err)
		}
		_, _, err = r.id.SignIn(r.ctx(), home, "grace", goodPassword, mine.Device)
		r.must(err)
		// Somebody else's known browser is no help.
		other := r.join("other", actor.PasswordUser)
		theirs, _, err := r.id.SignIn(r.ctx(), home, other.Login, goodPassword, noDevice)
		r.must(err)
		_, _, err = r.id.SignIn(r.ctx(), home, "grace", goodPassword, theirs.Device)
		if fault.CodeOf(err) != fault.CodeLimited {
			r.t.Fatalf("with somebody else's device: %v", err)
		}
	})
}

// TestParallelGuesses lets two nodes guess at the same time: what the policy
// allows is reached once, not once for each guess in flight or for each node.
func TestParallelGuesses(t *testing.T) {
	each(t, func(r *rig) {
		nodes := []*identity.Service{r.id, r.node()}
		var looked, limited atomic.Int64
		var wg sync.WaitGroup
		for i := range 24 {
			wg.Go(func() {
				_, _, err := nodes[i%2].SignIn(r.ctx(), visitor(fmt.Sprintf("198.51.100.%d", i+1)), "grace", wrong, noDevice)
				switch {
				case fault.CodeOf(err) == fault.CodeLimited:
					limited.Add(1)
				case fault.Is(err, fault.KindDenied):
					looked.Add(1)
				default:
					r.t.Errorf("guess: %v", err)
				}
			})
		}
		wg.Wait()
		if looked.Load() != 5 || limited.Load() != 19 {
			r.t.Errorf("%d guesses were looked at and %d refused, want 5 and 19", looked.Load(), limited.Load())
		}
	})
}

func TestANetworkIsLocked(t *testing.T) {
	each(t, func(r *rig) {
		guess := func(i int, from string) error {
			_, _, err := r.id.SignIn(r.ctx(), visitor(from), fmt.Sprintf("user%d", i), wrong, noDevice)
			return err
		}
		costs := r.id.Costs()
		for i := range 30 {
			if err := guess(i, fmt.Sprintf("2001:db8:1:2::%x", i+1)); fault.CodeOf(err) == fault.CodeLimited {
				r.t.Fatalf("guess %d: %v", i+1, err)
			}
		}
		if err := guess(30, "2001:db8:1:2:ffff::1"); fault.CodeOf(err) != fault.CodeLimited {
			r.t.Fatalf("the 31st guess in one /64: %v", err)
		}
		if err := guess(31, "2001:db8:1:3::1"); fault.CodeOf(err) == fault.CodeLimited {
			r.t.Fatalf("a neighbour's network: %v", err)
		}
		if got := costs(); got != 31 {
			r.t.Errorf("%d hashes for 31 guesses: a locked guess must cost none", got)
		}
		// Codes count in the same way.
		_, err := r.id.InviteInfo(r.ctx(), visitor("2001:db8:1:2::9"), secret.New("aaaa"))
		if fault.CodeOf(err) != fault.CodeLimited {
			r.t.Errorf("a code from a locked network: %v", err)
		}
		_, err = r.id.ResetInfo(r.ctx(), visitor("2001:db8:1:2::9"), secret.New("aaaa"))
		setup := r.id.CheckSetup(r.ctx(), visitor("2001:db8:1:2::9"), secret.New("aaaa"))
		if fault.CodeOf(err) != fault.CodeLimited || fault.CodeOf(setup) != fault.CodeLimited {
			r.t.Errorf("a reset code: %v; a set-up code: %v", err, setup)
		}
	})
}

// TestAnOfficeForgetsItsTypingErrors lets people behind one address mistype
// twice a day for three weeks: nobody ever has to wait.
func TestAnOfficeForgetsItsTypingErrors(t *testing.T) {
	each(t, func(r *rig) {
		for day := range 21 {
			for i := range 2 {
				_, _, err := r.id.SignIn(r.ctx(), home, fmt.Sprintf("typo%d", i), wrong, noDevice)
				if fault.CodeOf(err) == fault.CodeLimited {
					r.t.Fatalf("day %d: %v", day+1, err)
				}
				_, _, err = r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
				if err != nil {
					r.t.Fatalf("day %d: the right password: %v", day+1, err)
				}
			}
			r.clock.Advance(12 * time.Hour)
		}
	})
}

// TestAFullNetworkDrains fills the count of a network: one guess each two
// minutes is left, a right sign-in makes nobody wait longer, and who is known
// there or signed in already is not kept out at all.
func TestAFullNetworkDrains(t *testing.T) {
	each(t, func(r *rig) {
		guess := 0
		limited := func() bool {
			guess++
			_, _, err := r.id.SignIn(r.ctx(), home, fmt.Sprintf("user%d", guess), wrong, noDevice)
			return fault.CodeOf(err) == fault.CodeLimited
		}
		mine, _, err := r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		r.must(err)
		for !limited() {
		}
		if guess != 31 {
			r.t.Fatalf("%d guesses were looked at, want 30", guess-1)
		}
		r.must(r.id.Reauthenticate(r.ctx(), r.grace, goodPassword))
		_, _, err = r.id.SignIn(r.ctx(), home, "grace", goodPassword, mine.Device)
		r.must(err)
		_, _, err = r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		if fault.CodeOf(err) != fault.CodeLimited || !strings.Contains(err.Error(), "2 minutes") {
			r.t.Fatalf("an unknown browser in a full network: %v", err)
		}

		r.clock.Advance(2 * time.Minute)
		for range 3 {
			_, _, err = r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
			r.must(err)
		}
		if limited() {
			r.t.Error("right sign-ins used up the guess that time gave back")
		}
		if !limited() {
			r.t.Error("two guesses within two minutes")
		}
		r.clock.Advance(10*time.Minute + time.Second)
		for i := range 5 {
			if limited() {
				r.t.Errorf("guess %d after ten minutes", i+1)
			}
		}
		if !limited() {
			r.t.Error("six guesses within ten minutes")
		}
	})
}

// TestALockNeverLastsLong guesses once an hour for a day: each guess is looked
// at, so that nobody can lock somebody else out for good.
func TestALockNeverLastsLong(t *testing.T) {
	each(t, func(r *rig) {
		for i := range 24 {
			_, _, err := r.id.SignIn(r.ctx(), visitor("198.51.100.1"), "grace", wrong, noDevice)
			if fault.CodeOf(err) == fault.CodeLimited {
				r.t.Fatalf("guess %d: %v", i+1, err)
			}
			r.clock.Advance(time.Hour)
		}
		_, _, err := r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		r.must(err)
	})
}

// TestOnesOwnAccountDoesNotBuyGuesses signs in rightly between guesses at
// others: the network's count goes on.
func TestOnesOwnAccountDoesNotBuyGuesses(t *testing.T) {
	each(t, func(r *rig) {
		r.join("mallory", actor.PasswordUser)
		from := visitor("198.51.100.1")
		for i := range 40 {
			_, _, err := r.id.SignIn(r.ctx(), from, fmt.Sprintf("user%d", i), wrong, noDevice)
			if fault.CodeOf(err) == fault.CodeLimited {
				if i < 29 || i > 30 {
					r.t.Errorf("the network was locked after %d guesses", i)
				}
				return
			}
			if _, _, err := r.id.SignIn(r.ctx(), from, "mallory", goodPassword, noDevice); err != nil {
				if fault.CodeOf(err) == fault.CodeLimited {
					return
				}
				r.t.Fatal(err)
			}
		}
		r.t.Error("40 guesses from one network were looked at")
	})
}

func TestTheSweepTakesWhatIsOver(t *testing.T) {
	each(t, func(r *rig) {
		session, _, err := r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		r.must(err)
		_, err = r.id.Invite(r.ctx(), r.grace, ada())
		r.must(err)
		r.must(r.id.RequestReset(r.ctx(), home, "grace"))
		before := r.rows("identity_session", "identity_link", "identity_device", "identity_attempt")
		r.must(r.id.Sweep(r.ctx()))
		if got := r.rows("identity_session", "identity_link", "identity_device", "identity_attempt"); got != before {
			r.t.Errorf("the sweep took what still counts: %s, before %s", got, before)
		}
		_, _, err = r.id.Authenticate(r.ctx(), session.Token, home)
		r.must(err)
		r.clock.Advance(200 * 24 * time.Hour)
		r.must(r.id.Sweep(r.ctx()))
		// The invitation stays, so that its page can say that it ran out.
		if got, want := r.rows("identity_session", "identity_link", "identity_device", "identity_attempt"), "0 1 0 0"; got != want {
			r.t.Errorf("left over: %s, want %s", got, want)
		}
	})
}

// TestTheRealHash uses the hash of the product, which the other tests replace
// by a cheap one.
func TestTheRealHash(t *testing.T) {
	if memory, passes := identity.HashCost(); memory < 19<<10 || passes < 2 {
		t.Errorf("a hash takes %d KiB and %d passes", memory, passes)
	}
	r := onSQLite(t)
	r.id.Dear()
	composed, decomposed := secret.New("caf\u00e9-violet-tugboat"), secret.New("cafe\u0301-violet-tugboat")
	restore := identity.OldCost()
	_, err := r.id.OperatorCreateAdmin(r.ctx(), actor.Operator("root", "cli"), identity.NewUser{Name: "A", Login: "a", Email: "a@example.org"}, composed)
	restore()
	r.must(err)
	_, _, err = r.id.SignIn(r.ctx(), home, "a", wrong, noDevice)
	r.want(err, fault.KindDenied, "the wrong password")
	costs := r.id.Costs()
	for i, want := range []int{2, 3} { // the hash of another cost is made anew, once
		_, _, err = r.id.SignIn(r.ctx(), home, "a", decomposed, noDevice)
		r.must(err)
		if got := costs(); got != want {
			t.Errorf("%d hashes after %d sign-ins, want %d", got, i+1, want)
		}
	}
}

func TestAnswersDoNotTellWhoExists(t *testing.T) {
	each(t, func(r *rig) {
		disabled := r.join("disabled", actor.PasswordUser)
		r.must(r.id.Disable(r.ctx(), r.grace, disabled.UserID))
		_, err := r.id.Invite(r.ctx(), r.grace, ada())
		r.must(err)
		costs := r.id.Costs()
		answers := map[string]int{}
		for i, login := range []string{"grace", "nobody", "disabled", "ada"} {
			before := costs()
			_, _, err := r.id.SignIn(r.ctx(), visitor(fmt.Sprintf("203.0.113.%d", i+1)), login, wrong, noDevice)
			answers[fmt.Sprintf("%v hashes %d fields %v", err, costs()-before, fault.Fields(err))]++
		}
		if len(answers) != 1 {
			r.t.Errorf("sign-in answers differ: %v", answers)
		}
		for _, login := range []string{"grace", "nobody", "disabled", "ada", "grace@example.org", "nobody@example.org"} {
			r.must(r.id.RequestReset(r.ctx(), visitor("203.0.113.77"), login))
		}
		r.letter(letter.KindPasswordReset, "grace@example.org")
		for _, login := range []string{"grace", "nobody"} {
			var last error
			for range 6 {
				last = r.id.RequestReset(r.ctx(), visitor("203.0.113.78"), login)
			}
			if fault.CodeOf(last) != fault.CodeLimited {
				r.t.Errorf("six requests for %s: %v", login, last)
			}
		}
	})
}

// counted counts how often the store asks whether to go on, which it does
// before each statement.
type counted struct {
	context.Context
	statements *atomic.Int64
}

func (c counted) Err() error {
	if pc, _, _, ok := runtime.Caller(1); ok && strings.HasSuffix(runtime.FuncForPC(pc).Name(), "store.(*Tx).ready") {
		c.statements.Add(1)
	}
	return c.Context.Err()
}

// TestARequestForALinkIsTheSameWork counts statements and what they leave: for
// nobody as many run as for a user, and nothing stays but the audit entry.
func TestARequestForALinkIsTheSameWork(t *testing.T) {
	each(t, func(r *rig) {
		disabled := r.join("disabled", actor.PasswordUser)
		r.must(r.id.Disable(r.ctx(), r.grace, disabled.UserID))
		_, err := r.id.Invite(r.ctx(), r.grace, ada())
		r.must(err)
		r.must(r.id.RequestReset(r.ctx(), home, "nobody.yet")) // warms what is kept in memory
		var want int64
		for i, login := range []string{"grace", "GRACE@example.org", "nobody", "disabled", "ada", "ada@example.org", "nobody@example.org"} {
			ctx := counted{r.ctx(), new(atomic.Int64)}
			before := r.rows("outbox_letter", "identity_link")
			r.must(r.id.RequestReset(ctx, visitor(fmt.Sprintf("203.0.113.%d", i+1)), login))
			if got := ctx.statements.Load(); i == 0 {
				want = got
			} else if got != want {
				r.t.Errorf("%s: %d statements, %d for a user", login, got, want)
			}
			if after := r.rows("outbox_letter", "identity_link"); (after == before) != (i > 1) {
				r.t.Errorf("%s: %s rows before, %s after", login, before, after)
			}
		}
		if want < 10 {
			r.t.Errorf("%d statements counted: the count counts nothing", want)
		}
	})
}

func TestANewBrowserIsTold(t *testing.T) {
	each(t, func(r *rig) {
		mine, _, err := r.id.SignIn(r.ctx(), visitor("198.51.100.7"), "grace", goodPassword, noDevice)
		r.must(err)
		told := r.letter(letter.KindNewDevice, "grace@example.org")
		if text := strings.ReplaceAll(told.Content.Text.Reveal(), "\u2060", ""); !strings.Contains(text, "198.51.100.7") || !strings.Contains(text, "Firefox on Windows") {
			r.t.Errorf("the letter says: %s", text)
		}
		again, _, err := r.id.SignIn(r.ctx(), home, "grace", goodPassword, mine.Device)
		r.must(err)
		if !again.Device.Equal(mine.Device) {
			r.t.Error("a known browser got a new cookie")
		}
		r.must(r.db.View(r.ctx(), func(tx *store.Tx) error {
			counts, err := r.box.Counts(tx)
			if counts.Waiting != 0 {
				r.t.Errorf("%d letters about a known browser", counts.Waiting)
			}
			return err
		}))
		r.clock.Advance(181 * 24 * time.Hour)
		_, _, err = r.id.SignIn(r.ctx(), home, "grace", goodPassword, mine.Device)
		r.must(err)
		r.letter(letter.KindNewDevice, "grace@example.org")
	})
}

func TestTheFirstSignInIsNoNews(t *testing.T) {
	eachEmpty(t, func(r *rig) {
		_, err := r.id.OperatorCreateAdmin(r.ctx(), actor.Operator("root", "cli"), identity.NewUser{Name: "A", Login: "a", Email: "a@example.org"}, goodPassword)
		r.must(err)
		_, _, err = r.id.SignIn(r.ctx(), home, "a", goodPassword, noDevice)
		r.must(err)
		r.must(r.db.View(r.ctx(), func(tx *store.Tx) error {
			counts, err := r.box.Counts(tx)
			if counts.Waiting != 0 {
				r.t.Errorf("%d letters about the first sign-in", counts.Waiting)
			}
			return err
		}))
	})
}

func TestProvingAgain(t *testing.T) {
	each(t, func(r *rig) {
		session, _, err := r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		r.must(err)
		me := r.actor(session)
		r.must(identity.RequireProof(me, r.clock.Now()))
		r.clock.Advance(identity.ProofLife + time.Second)
		me = r.actor(session)
		if err := identity.RequireProof(me, r.clock.Now()); fault.CodeOf(err) != fault.CodeReauthenticate {
			r.t.Fatalf("an old proof: %v", err)
		}
		r.want(r.id.Reauthenticate(r.ctx(), me, wrong), fault.KindInvalid, "the wrong password")
		if err := identity.RequireProof(r.actor(session), r.clock.Now()); err == nil {
			r.t.Fatal("the wrong password proves")
		}
		r.must(r.id.Reauthenticate(r.ctx(), me, goodPassword))
		r.must(identity.RequireProof(r.actor(session), r.clock.Now()))
		r.audited("session.proved grace")
		for range 5 {
			r.want(r.id.Reauthenticate(r.ctx(), me, wrong), fault.KindInvalid, "a guess")
		}
		if err := r.id.Reauthenticate(r.ctx(), me, goodPassword); fault.CodeOf(err) != fault.CodeLimited {
			r.t.Fatalf("the sixth guess: %v", err)
		}
		for kind, by := range map[string]actor.Actor{"nobody": {}, "a user who never proved": {Kind: actor.KindUser, UserID: "u"}} {
			if err := identity.RequireProof(by, r.clock.Now()); err == nil {
				r.t.Errorf("%s passes", kind)
			}
		}
		r.must(identity.RequireProof(actor.Operator("root", "cli"), r.clock.Now()))
	})
}

func TestChangingThePassword(t *testing.T) {
	each(t, func(r *rig) {
		elsewhere, _, err := r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		r.must(err)
		next := secret.New("violet-tugboat-harbour")
		r.want(r.id.ChangePassword(r.ctx(), r.grace, wrong, next), fault.KindInvalid, "with the wrong old one")
		r.want(r.id.ChangePassword(r.ctx(), r.grace, goodPassword, goodPassword), fault.KindInvalid, "to the same")
		r.want(r.id.ChangePassword(r.ctx(), r.grace, goodPassword, secret.New("Grace.Hopper.1")), fault.KindInvalid, "to one's name")
		_, _, err = r.id.Authenticate(r.ctx(), elsewhere.Token, home)
		r.must(err)
		r.must(r.id.ChangePassword(r.ctx(), r.grace, goodPassword, next))
		_, _, err = r.id.Authenticate(r.ctx(), elsewhere.Token, home)
		r.want(err, fault.KindDenied, "the other session")
		sessions, err := r.id.Sessions(r.ctx(), r.grace, r.grace.UserID)
		r.must(err)
		if len(sessions) != 1 || sessions[0].ID != r.grace.SessionID {
			r.t.Errorf("sessions left: %+v", sessions)
		}
		r.letter(letter.KindPasswordChanged, "grace@example.org")
		r.audited("password.changed grace")
		_, _, err = r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		r.want(err, fault.KindDenied, "the old password")
		_, _, err = r.id.SignIn(r.ctx(), home, "grace", next, noDevice)
		r.must(err)
	})
}

func TestResettingThePassword(t *testing.T) {
	each(t, func(r *rig) {
		session, _, err := r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		r.must(err)
		r.must(r.id.RequestReset(r.ctx(), home, "GRACE@example.org"))
		first := r.token(r.letter(letter.KindPasswordReset, "grace@example.org"))
		r.must(r.id.RequestReset(r.ctx(), home, "grace"))
		token := r.token(r.letter(letter.KindPasswordReset, "grace@example.org"))
		next := secret.New("violet-tugboat-harbour")
		_, err = r.id.ResetPassword(r.ctx(), home, first, next)
		r.want(err, fault.KindInvalid, "the older link")
		_, _, err = r.id.AcceptInvite(r.ctx(), home, token, next)
		r.want(err, fault.KindInvalid, "a reset used as an invitation")
		_, err = r.id.ResetInfo(r.ctx(), home, token)
		r.must(err)
		_, err = r.id.ResetPassword(r.ctx(), home, token, secret.New("short"))
		r.want(err, fault.KindInvalid, "a short password")
		_, err = r.id.ResetPassword(r.ctx(), home, token, next)
		r.must(err)
		r.audited("password.reset grace")
		_, _, err = r.id.Authenticate(r.ctx(), session.Token, home)
		r.want(err, fault.KindDenied, "the session from before")
		_, err = r.id.ResetPassword(r.ctx(), home, token, next)
		r.want(err, fault.KindInvalid, "the link a second time")
		r.letter(letter.KindPasswordChanged, "grace@example.org")
		_, _, err = r.id.SignIn(r.ctx(), home, "grace", next, noDevice)
		r.must(err)

		r.must(r.id.RequestReset(r.ctx(), home, "grace"))
		token = r.token(r.letter(letter.KindPasswordReset, "grace@example.org"))
		r.clock.Advance(identity.ResetLife)
		_, err = r.id.ResetPassword(r.ctx(), home, token, next)
		r.want(err, fault.KindInvalid, "the link after its time")
	})
}

// TestOneLinkTwoHands uses one link twice at the same moment.
func TestOneLinkTwoHands(t *testing.T) {
	each(t, func(r *rig) {
		r.closeGate()
		done, err := r.id.Invite(r.ctx(), r.grace, ada())
		r.must(err)
		var wg sync.WaitGroup
		var won atomic.Int64
		for range 4 {
			wg.Go(func() {
				if _, _, err := r.id.AcceptInvite(r.ctx(), home, done.Code, goodPassword); err == nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			r.t.Errorf("%d people used one link", won.Load())
		}
	})
}

func TestAFloodOfSignInsIsBounded(t *testing.T) {
	r := onSQLite(t)
	entered, release := r.id.Stall()
	const flood = identity.PoolSize + identity.QueueSize + 10
	var refused atomic.Int64
	busy := make(chan struct{}, flood)
	var wg sync.WaitGroup
	for i := range flood {
		wg.Go(func() {
			from := visitor(fmt.Sprintf("198.51.100.%d", i+1))
			if _, _, err := r.id.SignIn(r.ctx(), from, fmt.Sprintf("user%d", i), wrong, noDevice); fault.Is(err, fault.KindUnavailable) {
				refused.Add(1)
				busy <- struct{}{}
			}
		})
	}
	for range identity.PoolSize {
		<-entered
	}
	for range 10 {
		<-busy
	}
	if len(entered) != 0 || r.id.Waiting() != identity.PoolSize+identity.QueueSize {
		t.Errorf("%d more at work, %d in the pool and its queue", len(entered), r.id.Waiting())
	}
	// A person who is told "busy" has not guessed: it counts against nobody.
	for range 20 {
		if _, _, err := r.id.SignIn(r.ctx(), home, "hedy", wrong, noDevice); !fault.Is(err, fault.KindUnavailable) || fault.CodeOf(err) == fault.CodeLimited {
			t.Fatalf("while all are busy: %v", err)
		}
	}
	close(release)
	wg.Wait()
	if refused.Load() != 10 {
		t.Errorf("%d were refused, want 10", refused.Load())
	}
}

func TestDeviceNames(t *testing.T) {
	for agent, want := range map[string]string{
		firefox: "Firefox on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":                   "Safari on macOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1": "Safari on iPhone",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36":                                   "Chrome on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36 Edg/139.0.0.0":           "Edge on Windows",
		"Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Mobile Safari/537.36":                            "Chrome on Android",
		"curl/8.9.1":   "curl",
		"":             "Unknown browser",
		"<script>x=1;": "Unknown browser",
	} {
		if got := identity.DeviceName(agent); got != want {
			t.Errorf("%q: got %q, want %q", agent, got, want)
		}
	}
}
