package mail_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

const secondPassword = "second horse battery staple"

// second returns the service of the second server, beside the rig's.
func (r *rig) second() (*mail.Service, *gate) {
	c, g := r.cfg, &gate{}
	c.Slot, c.Gate = mail.Second, g
	return mail.New(c), g
}

func TestASecondServerNeedsAFirst(t *testing.T) {
	each(t, func(r *rig) {
		two, _ := r.second()
		if _, err := two.Save(r.t.Context(), admin, typed()); !fault.Is(err, fault.KindConflict) {
			r.t.Errorf("got %v", err)
		}
		if _, err := two.Draft(r.t.Context(), admin, typed(), "a@example.org"); !fault.Is(err, fault.KindConflict) {
			r.t.Errorf("a test: %v", err)
		}
	})
}

// Each server has what is its own, however much the two are alike.
func TestTwoServersShareNothing(t *testing.T) {
	each(t, func(r *rig) {
		two, twoGate := r.second()
		first := r.save(typed())
		c := typed()
		c.Password.Value = secret.New(secondPassword)
		c.Trust = []mail.Candidate{{DER: r.anchor("Second CA").Certificate.Raw, Mode: "anchor"}}
		second, err := two.Save(r.t.Context(), admin, c)
		r.must(err)
		if second.ID == first.ID || second.Slot != mail.Second || first.Slot != mail.Main {
			r.t.Fatalf("the profiles are %+v and %+v", first, second)
		}
		own := func(s *mail.Service) string {
			r.t.Helper()
			t, err := s.Open(r.t.Context())
			r.must(err)
			return t.Config.Auth.Credential.Password.Reveal()
		}
		if own(r.mail) != password || own(two) != secondPassword {
			r.t.Error("a server got the other's password")
		}
		if list, err := r.mail.TrustList(r.t.Context(), admin); err != nil || len(list) != 0 {
			r.t.Errorf("%v: the first server trusts %v", err, list)
		}
		r.must(two.Pause(r.t.Context(), mail.Problem{Revision: second.Revision, Row: "refused", Reason: "No."}))
		r.must(two.Stop(r.t.Context(), admin, "")) // a stop comes last
		if p := r.wantState(mail.Working); p.Revision != first.Revision || twoGate.open {
			r.t.Errorf("the first server is %+v", p)
		}
		r.must(two.Resume(r.t.Context(), admin))
		// What is sealed for one opens for the other nowhere: not in its place, and
		// not with the profiles in each other's slots.
		swap := func(column string) {
			r.update(func(tx *store.Tx) error {
				return errors.Join(
					exec(tx, `CREATE TABLE kept AS SELECT id, sealed FROM mail_profile`),
					exec(tx, `UPDATE mail_profile SET `+column+` = (SELECT k.`+column+` FROM kept k WHERE k.id <> mail_profile.id)`),
					exec(tx, `DROP TABLE kept`),
				)
			})
		}
		swap("sealed")
		for _, s := range []*mail.Service{r.mail, two} {
			_, err := s.Open(r.t.Context())
			var p *mail.Problem
			if !errors.As(err, &p) || p.Row != mail.RowSecretRequired {
				r.t.Errorf("with the other's password: %v", err)
			}
		}
		swap("sealed")
		if own(r.mail) != password || own(two) != secondPassword {
			r.t.Error("what was its own does not open any more")
		}
		r.must(two.Remove(r.t.Context(), admin))
		if own(r.mail) != password {
			r.t.Error("the first server lost its password with the second")
		}
	})
}

func exec(tx *store.Tx, statement string) error {
	_, err := tx.Exec(statement)
	return err
}

// A sign-in belongs to the server that it was begun for, and its tokens to no
// other.
func TestASignInIsForOneServer(t *testing.T) {
	eachOffice(t, func(o *office) {
		o.setUp(o.microsoft())
		main := o.mail
		two, _ := o.second()
		cb := func() mail.Callback {
			o.mail = two
			cb := o.away(o.begin(o.microsoft()))
			o.mail = main
			return cb
		}
		back := cb()
		if slot, err := main.SlotOf(o.t.Context(), back); err != nil || slot != mail.Second {
			o.t.Errorf("%v: the way back leads to %s", err, slot)
		}
		if slot, err := main.SlotOf(o.t.Context(), mail.Callback{}); err != nil || slot != mail.Main {
			o.t.Errorf("%v: one that nobody knows leads to %s", err, slot)
		}
		if _, err := o.finish(back); !fault.Is(err, fault.KindNotFound) {
			o.t.Errorf("ended for the first server: %v", err)
		}
		done, err := two.FinishConsent(o.t.Context(), admin, back, o.browser)
		if err != nil || !done.Live {
			o.t.Fatalf("ended for the second server: %v, %+v", err, done)
		}
		tokens := func(s *mail.Service) string {
			o.t.Helper()
			t, err := s.Open(o.t.Context())
			o.must(err)
			return t.Config.Auth.Credential.Token.Reveal()
		}
		if a, b := tokens(main), tokens(two); a == b || !strings.HasPrefix(a, "access-token-") || !strings.HasPrefix(b, "access-token-") {
			o.t.Errorf("the tokens are %s and %s", a, b)
		}
		// Tokens of one under the name of the other are none.
		o.update(func(tx *store.Tx) error {
			return errors.Join(
				exec(tx, `UPDATE mail_token SET sealed = (SELECT t.sealed FROM mail_token t JOIN mail_profile p ON p.id = t.profile_id WHERE p.slot = 'main'), version = version + 1`),
			)
		})
		_, err = two.Open(o.t.Context())
		if p := o.wantProblem(err); p.Row != mail.RowSignIn {
			o.t.Errorf("with the other's tokens: %+v", p)
		}
		// Removing one ends its sign-ins under way, and leaves the other's.
		o.begin(o.microsoft())
		waits, _ := o.waiting()
		cb()
		o.must(two.Remove(o.t.Context(), admin))
		if now, _ := o.waiting(); now >= waits+1 || now == 0 {
			o.t.Errorf("%d sign-ins wait, %d before", now, waits)
		}
	})
}
