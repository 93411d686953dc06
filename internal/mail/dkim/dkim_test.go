package dkim_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	ours "github.com/sealpost/sealpost/internal/mail/dkim"
	"github.com/sealpost/sealpost/internal/mail/domain"
	"github.com/sealpost/sealpost/internal/mail/domain/domaintest"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

var (
	admin = actor.Actor{Kind: actor.KindUser, UserID: "u1", Login: "ada", Role: actor.PrivilegedAdministrator}
	guest = actor.Actor{Kind: actor.KindUser, UserID: "u2", Login: "eve", Role: actor.PasswordUser}
)

// rig is the service over a database, with a DNS of the test's.
type rig struct {
	*testing.T
	db     *store.DB
	clock  *storetest.Clock
	keys   *keyring.Keyring
	audit  *audit.Log
	dns    *domaintest.Server
	sender string
	proved bool
	log    bytes.Buffer
	s      *ours.Service
}

func each(t *testing.T, f func(r *rig)) {
	t.Helper()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := &rig{T: t, db: db, clock: clock, dns: domaintest.Start(t, nil), sender: "mail.example.org", proved: true}
		root, err := keyring.NewRootKey(bytes.Repeat([]byte{1}, 32))
		r.must(err)
		r.keys, err = keyring.Open(t.Context(), keyring.Config{DB: db, Root: root, Now: clock.Now})
		r.must(err)
		r.audit = audit.New(audit.Config{DB: db, Keys: r.keys})
		r.s = r.service()
		f(r)
	})
}

// service is one of a node: nothing is kept open in it yet.
func (r *rig) service() *ours.Service {
	resolver, err := domain.New(domain.Config{Server: r.dns.Addr(), Wait: 200 * time.Millisecond})
	r.must(err)
	return ours.NewService(ours.Config{
		DB: r.db, Keys: r.keys, Audit: r.audit, DNS: resolver, Log: slog.New(slog.NewTextHandler(&r.log, nil)),
		Sender: func(context.Context, ours.Slot) (string, error) { return r.sender, nil },
		Prove: func(actor.Actor) error {
			if !r.proved {
				return fault.Denied("Type your password again to go on.").WithCode(fault.CodeReauthenticate)
			}
			return nil
		},
	})
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) make(w ours.Wish) ours.Set {
	r.Helper()
	set, err := r.s.Make(r.Context(), admin, ours.Main, w)
	r.must(err)
	return set
}

// publish puts the records of a set into the DNS.
func (r *rig) publish(set ours.Set) {
	for _, k := range set.Keys {
		r.dns.Put(k.Record.Name+" TXT", k.Record.Value)
	}
}

func (r *rig) check() ours.Status {
	r.Helper()
	st, err := r.s.Check(r.Context(), admin, ours.Main)
	r.must(err)
	return st
}

// signs returns the set that signs letters from a domain.
func (r *rig) signs(from string) string {
	r.Helper()
	id, err := r.s.Key(r.Context(), ours.Main, from)
	r.must(err)
	return id
}

// actions returns what the audit log says of keys, the oldest first.
func (r *rig) actions() string {
	r.Helper()
	page, err := r.audit.Search(r.Context(), admin, audit.Filter{})
	r.must(err)
	var out []string
	for _, e := range slices.Backward(page.Entries) {
		if rest, ok := strings.CutPrefix(e.Action, "mail.dkim_"); ok {
			out = append(out, rest)
		}
	}
	return strings.Join(out, " ")
}

// looked verifies a message by what stands in the DNS.
func (r *rig) looked(signed []byte) []error {
	r.Helper()
	resolver, err := domain.New(domain.Config{Server: r.dns.Addr()})
	r.must(err)
	all, err := dkim.VerifyWithOptions(bytes.NewReader(signed), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) { return resolver.TXT(r.Context(), name) }})
	r.must(err)
	var out []error
	for _, v := range all {
		out = append(out, v.Err)
	}
	return out
}

func TestASetSignsOnceItsRecordsAreSeen(t *testing.T) {
	each(t, func(r *rig) {
		m := letter(t, "Hello", "Text", "<p>Text</p>", nil)
		set := r.make(ours.Wish{Algorithms: []ours.Algorithm{ours.Ed25519, ours.RSA}})
		if set.State != ours.New || set.Domain != "mail.example.org" || len(set.Keys) != 2 || set.Keys[0].Selector != "sealpost202603" || set.Keys[1].Selector != "sealpost202603-ed" {
			r.Fatalf("got %+v", set)
		}
		if id := r.signs(r.sender); id != "" {
			r.Errorf("%s signs before anybody can check it", id)
		}
		st := r.check()
		if st.New == nil || st.New.Keys[0].Verdict != ours.Missing || !strings.Contains(st.New.Keys[0].Why, "no TXT record") || r.signs(r.sender) != "" {
			r.Errorf("without a record: %+v", st.New)
		}
		// One of two is not enough.
		r.dns.Put(set.Keys[0].Record.Name+" TXT", set.Keys[0].Record.Value)
		if st = r.check(); st.New == nil || st.New.Keys[0].Verdict != ours.OK || st.New.Keys[1].Verdict != ours.Missing || r.signs(r.sender) != "" {
			r.Errorf("with one record: %+v", st.New)
		}
		r.dns.Put(set.Keys[1].Record.Name+" TXT", "v=DKIM1; k=ed25519; p="+ours.Published(smallKey()))
		if st = r.check(); st.New == nil || st.New.Keys[1].Verdict != ours.Differs || !strings.Contains(st.New.Keys[1].Why, "Another key") {
			r.Errorf("with another key: %+v", st.New)
		}
		r.dns.Treat(set.Keys[1].Record.Name, domaintest.ServFail)
		if st = r.check(); st.New == nil || st.New.Keys[1].Verdict != ours.Unsure {
			r.Errorf("with a DNS that is down: %+v", st.New)
		}
		r.dns.Treat(set.Keys[1].Record.Name, domaintest.Answer)
		r.publish(set)
		if st = r.check(); st.New != nil || st.Active == nil || st.Active.ID != set.ID || !st.Active.Published() || st.Active.Anyway {
			r.Fatalf("with both records: %+v", st)
		}
		if id := r.signs(r.sender); id != set.ID {
			r.Errorf("%q signs, want %s", id, set.ID)
		}
		if id := r.signs("other.example"); id != "" {
			r.Errorf("%s signs for a stranger", id)
		}
		if id := r.signs("notmail.example.org"); id != "" {
			r.Errorf("%s signs for a sibling", id)
		}
		signed, err := r.s.Sign(r.Context(), set.ID, m, at)
		r.must(err)
		if got := r.looked(signed); len(got) != 2 || got[0] != nil || got[1] != nil {
			r.Errorf("the signatures are %v\n%s", got, signed)
		}
		// Another node makes the same bytes.
		again, err := r.service().Sign(r.Context(), set.ID, m, at)
		r.must(err)
		if !bytes.Equal(signed, again) {
			r.Error("another node signs otherwise")
		}
		if got := r.actions(); got != "key_made switched_on" {
			r.Errorf("audited: %s", got)
		}
		// The record goes: letters are signed on, and it is told once.
		r.dns.Put(set.Keys[0].Record.Name + " TXT")
		r.check()
		if st = r.check(); st.Active == nil || st.Active.Keys[0].Verdict != ours.Missing || r.signs(r.sender) != set.ID {
			r.Errorf("without the record: %+v", st.Active)
		}
		if got := r.actions(); got != "key_made switched_on lost" {
			r.Errorf("audited: %s", got)
		}
	})
}

func TestRotation(t *testing.T) {
	each(t, func(r *rig) {
		m := letter(t, "Hello", "Text", "<p>Text</p>", nil)
		old := r.make(ours.Wish{Domain: "Example.ORG.", Algorithms: []ours.Algorithm{ours.Ed25519}})
		if old.Domain != "example.org" || old.Keys[0].Selector != "sealpost202603" {
			r.Fatalf("got %+v", old)
		}
		r.publish(old)
		r.must(r.s.Tend(r.Context())) // without anybody asking
		if id := r.signs(r.sender); id != old.ID {
			r.Fatalf("%q signs", id)
		}
		before, err := r.s.Sign(r.Context(), old.ID, m, at)
		r.must(err)

		next := r.make(ours.Wish{Domain: "example.org", Algorithms: []ours.Algorithm{ours.Ed25519}})
		if next.Keys[0].Selector != "sealpost202603b" || r.signs(r.sender) != old.ID {
			r.Errorf("got %+v, and %s signs", next, r.signs(r.sender))
		}
		// A second thought replaces the first.
		third := r.make(ours.Wish{Domain: "example.org", Selector: "autumn", Algorithms: []ours.Algorithm{ours.Ed25519}})
		st, err := r.s.Status(r.Context(), admin, ours.Main)
		r.must(err)
		if st.New == nil || st.New.ID != third.ID || st.Active.ID != old.ID || st.Selector != "sealpost202603b" {
			r.Errorf("got %+v", st)
		}
		r.publish(third)
		r.clock.Advance(time.Minute)
		r.check()
		if id := r.signs(r.sender); id != third.ID {
			r.Errorf("%s signs after the switch", id)
		}
		// What was tried with the old one keeps its bytes.
		after, err := r.service().Sign(r.Context(), old.ID, m, at)
		r.must(err)
		if !bytes.Equal(before, after) {
			r.Error("a retired set signs otherwise than before")
		}
		r.clock.Advance(6 * 24 * time.Hour)
		r.must(r.s.Tend(r.Context()))
		if st, err = r.s.Status(r.Context(), admin, ours.Main); err != nil || len(st.Retired) != 1 {
			r.Errorf("after six days: %+v, %v", st, err)
		}
		r.clock.Advance(2 * 24 * time.Hour)
		r.must(r.s.Tend(r.Context()))
		if st, err = r.s.Status(r.Context(), admin, ours.Main); err != nil || len(st.Retired) != 0 {
			r.Errorf("after eight days: %+v, %v", st, err)
		}
		// A letter that names a set that is gone leaves without a signature.
		if got, err := r.service().Sign(r.Context(), old.ID, m, at); err != nil || !bytes.Equal(got, m) || !strings.Contains(r.log.String(), "without its signature") {
			r.Errorf("a set that is gone: %v, %s", err, r.log.String())
		}
		if got := r.actions(); got != "key_made switched_on key_made key_made switched_on key_deleted" {
			r.Errorf("audited: %s", got)
		}
	})
}

func TestAnywayOffAndDiscard(t *testing.T) {
	each(t, func(r *rig) {
		one := []ours.Algorithm{ours.Ed25519}
		if err := r.s.Anyway(r.Context(), admin, ours.Main); !fault.Is(err, fault.KindConflict) {
			r.Errorf("without a new set: %v", err)
		}
		set := r.make(ours.Wish{Algorithms: one})
		r.must(r.s.Anyway(r.Context(), admin, ours.Main))
		st, err := r.s.Status(r.Context(), admin, ours.Main)
		r.must(err)
		if st.Active == nil || !st.Active.Anyway || r.signs(r.sender) != set.ID {
			r.Errorf("got %+v", st.Active)
		}
		r.sender = "example.net"
		if st, err = r.s.Status(r.Context(), admin, ours.Main); err != nil || !st.Misfit() || r.signs(r.sender) != "" {
			r.Errorf("another sender: %+v, %v", st, err)
		}
		r.sender = "mail.example.org"
		r.make(ours.Wish{Algorithms: one})
		r.must(r.s.Discard(r.Context(), admin, ours.Main))
		r.must(r.s.Discard(r.Context(), admin, ours.Main)) // nothing is there
		r.must(r.s.Off(r.Context(), admin, ours.Main))
		st, err = r.s.Status(r.Context(), admin, ours.Main)
		r.must(err)
		if st.Active != nil || st.New != nil || len(st.Retired) != 1 || r.signs(r.sender) != "" {
			r.Errorf("switched off: %+v", st)
		}
		if got := r.actions(); got != "key_made switched_on key_made key_deleted switched_off" {
			r.Errorf("audited: %s", got)
		}
	})
}

func TestTheTwoServersChangePlaces(t *testing.T) {
	each(t, func(r *rig) {
		one := []ours.Algorithm{ours.Ed25519}
		first := r.make(ours.Wish{Algorithms: one})
		r.must(r.s.Anyway(r.Context(), admin, ours.Main))
		second, err := r.s.Make(r.Context(), admin, ours.Second, ours.Wish{Algorithms: one})
		r.must(err)
		if second.Keys[0].Selector == first.Keys[0].Selector {
			r.Error("two sets have one selector")
		}
		r.must(r.s.Anyway(r.Context(), admin, ours.Second))
		if r.signs(r.sender) != first.ID {
			r.Error("the second's set signs for the first")
		}
		r.must(r.db.Update(r.Context(), r.s.Exchange))
		if r.signs(r.sender) != second.ID {
			r.Error("the sets did not change places")
		}
	})
}

func TestWhoMayAndWhatIsRefused(t *testing.T) {
	each(t, func(r *rig) {
		for field, w := range map[string]ours.Wish{
			"domain":     {Domain: "example.net"},
			"selector":   {Selector: "-x"},
			"algorithms": {Algorithms: []ours.Algorithm{"rsa-sha1"}},
		} {
			_, err := r.s.Make(r.Context(), admin, ours.Main, w)
			if f := fault.Fields(err); len(f) != 1 || f[0].Field != field {
				r.Errorf("%s: %v", field, err)
			}
		}
		for _, w := range []ours.Wish{{Domain: "org"}, {Domain: "evilexample.org"}, {Domain: "x.mail.example.org"}, {Selector: strings.Repeat("a", 61)}, {Selector: "a.b"}, {Selector: "a_b"}, {Selector: "a b"}, {Selector: "ä"}} {
			if _, err := r.s.Make(r.Context(), admin, ours.Main, w); len(fault.Fields(err)) != 1 {
				r.Errorf("%+v: %v", w, err)
			}
		}
		r.make(ours.Wish{Algorithms: []ours.Algorithm{ours.Ed25519}})
		r.must(r.s.Anyway(r.Context(), admin, ours.Main))
		if _, err := r.s.Make(r.Context(), admin, ours.Main, ours.Wish{Selector: "sealpost202603"}); len(fault.Fields(err)) != 1 {
			r.Errorf("a selector that is in use: %v", err)
		}
		calls := map[string]func(by actor.Actor) error{
			"make": func(by actor.Actor) error {
				_, err := r.s.Make(r.Context(), by, ours.Main, ours.Wish{Algorithms: []ours.Algorithm{ours.Ed25519}})
				return err
			},
			"anyway":  func(by actor.Actor) error { return r.s.Anyway(r.Context(), by, ours.Main) },
			"off":     func(by actor.Actor) error { return r.s.Off(r.Context(), by, ours.Main) },
			"discard": func(by actor.Actor) error { return r.s.Discard(r.Context(), by, ours.Main) },
			"status":  func(by actor.Actor) error { _, err := r.s.Status(r.Context(), by, ours.Main); return err },
			"check":   func(by actor.Actor) error { _, err := r.s.Check(r.Context(), by, ours.Main); return err },
		}
		for name, call := range calls {
			if err := call(guest); !fault.Is(err, fault.KindDenied) {
				r.Errorf("%s by a guest: %v", name, err)
			}
		}
		r.proved = false
		for _, name := range []string{"make", "anyway", "off"} {
			if err := calls[name](admin); fault.CodeOf(err) != fault.CodeReauthenticate {
				r.Errorf("%s without a proof: %v", name, err)
			}
		}
		r.proved, r.sender = true, ""
		if err := calls["make"](admin); !fault.Is(err, fault.KindConflict) {
			r.Errorf("without a mail server: %v", err)
		}
	})
}

// Keys rotate with the rest, and a record changed in the database opens nothing.
func TestKeysAreSealedWhereTheyStand(t *testing.T) {
	each(t, func(r *rig) {
		m := letter(t, "Hello", "Text", "<p>Text</p>", nil)
		set := r.make(ours.Wish{Algorithms: []ours.Algorithm{ours.Ed25519}})
		want, err := r.s.Sign(r.Context(), set.ID, m, at)
		r.must(err)
		report, err := r.keys.Rotate(r.Context(), actor.Operator("root", "cli"), ours.SealedColumns(), nil)
		r.must(err)
		if report.Rewrapped != 1 || len(report.Damaged) > 0 {
			r.Errorf("got %+v", report)
		}
		got, err := r.service().Sign(r.Context(), set.ID, m, at)
		r.must(err)
		if !bytes.Equal(got, want) {
			r.Error("after a rotation of the keys letters are signed otherwise")
		}
		for _, change := range []string{
			`UPDATE mail_dkim SET domain = 'example.net'`,
			`UPDATE mail_dkim_key SET selector = 'other'`,
			`UPDATE mail_dkim_key SET public = 'AAAA'`,
		} {
			err := r.db.Update(r.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(change)
				return err
			})
			r.must(err)
			if _, err := r.service().Sign(r.Context(), set.ID, m, at); !errors.Is(err, keyring.ErrSealed) {
				r.Errorf("%s: %v", change, err)
			}
		}
	})
}
