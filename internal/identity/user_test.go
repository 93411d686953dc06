package identity_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

func ada() identity.NewUser {
	return identity.NewUser{Name: "Ada Lovelace", Login: "Ada", Email: "ada@example.org", Role: actor.PasswordUser}
}

func TestSetupHappensOnce(t *testing.T) {
	eachEmpty(t, func(r *rig) {
		needed, err := r.id.SetupNeeded(r.ctx())
		r.must(err)
		if !needed {
			r.t.Fatal("an empty database needs no set-up")
		}
		first, err := r.id.SetupLink(r.ctx())
		r.must(err)
		second, err := r.id.SetupLink(r.ctx())
		r.must(err)
		request := identity.SetupRequest{
			Name: "Grace", Login: "grace", Email: "grace@example.org",
			Password: secret.New("password1234"), AccessURL: "http://evil.example.org", Organisation: "Example",
		}
		r.want(r.id.CheckSetup(r.ctx(), home, secret.New("aaaaaaaaaaaaaaaaaaaaaaaaaa")), fault.KindInvalid, "a made-up code")
		_, _, err = r.id.Setup(r.ctx(), home, secret.New("aaaaaaaaaaaaaaaaaaaaaaaaaa"), request)
		r.want(err, fault.KindInvalid, "set-up with a made-up code")

		_, _, err = r.id.Setup(r.ctx(), home, first, request)
		var fields []string
		for _, f := range fault.Fields(err) {
			fields = append(fields, f.Field)
		}
		if want := []string{"access_url", "password"}; !slices.Equal(fields, want) {
			r.t.Fatalf("fields at fault: got %q, want %q", fields, want)
		}

		request.Password, request.AccessURL = goodPassword, "https://vault.example.org"
		// Typed from paper: grouped, in capitals.
		typed := secret.New(strings.ToUpper(second.Reveal()[:4] + "-" + second.Reveal()[4:] + " "))
		r.must(r.id.CheckSetup(r.ctx(), home, typed))
		session, u, err := r.id.Setup(r.ctx(), home, typed, request)
		r.must(err)
		if by := r.actor(session); by.Role != actor.PrivilegedAdministrator || by.UserID != u.ID {
			r.t.Fatalf("signed in as %+v", by)
		}
		site, err := r.id.Site(r.ctx())
		r.must(err)
		if site.AccessURL != "https://vault.example.org" || site.Organisation != "Example" {
			r.t.Fatalf("site: %+v", site)
		}
		r.audited("setup.completed grace")

		request.Login, request.Email = "eve", "eve@example.org"
		_, _, err = r.id.Setup(r.ctx(), home, first, request)
		r.want(err, fault.KindConflict, "a second set-up with the other link")
		_, err = r.id.SetupLink(r.ctx())
		r.want(err, fault.KindConflict, "a new link after the set-up")
	})
}

// TestTwoPeopleSetUp lets two nodes print a link each and both be used at the
// same moment.
func TestTwoPeopleSetUp(t *testing.T) {
	eachEmpty(t, func(r *rig) {
		nodes := []*identity.Service{r.id, r.node()}
		errs := make([]error, len(nodes))
		var wg sync.WaitGroup
		for i, node := range nodes {
			token, err := node.SetupLink(r.ctx())
			r.must(err)
			wg.Go(func() {
				login := []string{"grace", "ada"}[i]
				_, _, errs[i] = node.Setup(r.ctx(), home, token, identity.SetupRequest{
					Name: login, Login: login, Email: login + "@example.org", Password: goodPassword, AccessURL: "https://vault.example.org",
				})
			})
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || r.rows("identity_user") != "1" {
			r.t.Errorf("both or neither set it up: %v; users: %s", errs, r.rows("identity_user"))
		}
	})
}

func TestAnInvitedUserComesIn(t *testing.T) {
	each(t, func(r *rig) {
		done, err := r.id.Invite(r.ctx(), r.grace, ada())
		r.must(err)
		if done.Held || !done.Link.IsZero() || !done.Code.IsZero() {
			r.t.Error("the link is shown although the letter leaves")
		}
		if done.User.Login != "ada" || done.User.State != identity.Invitee {
			r.t.Errorf("invited %+v", done.User)
		}
		r.audited("user.invited ada")
		token := r.token(r.letter(letter.KindInvitation, "ada@example.org"))

		for range 5 { // robots look, and try empty and bad passwords
			info, err := r.id.InviteInfo(r.ctx(), home, token)
			r.must(err)
			if info.Login != "ada" || info.Role != actor.PasswordUser || info.Organisation != "Example Ltd" {
				r.t.Fatalf("info: %+v", info)
			}
			_, _, err = r.id.AcceptInvite(r.ctx(), home, token, secret.Value{})
			r.want(err, fault.KindInvalid, "no password")
			_, _, err = r.id.AcceptInvite(r.ctx(), home, token, secret.New("Ada Lovelace 1"))
			r.want(err, fault.KindInvalid, "their own name as password")
		}
		_, _, err = r.id.SignIn(r.ctx(), home, "ada", goodPassword, secret.Value{})
		r.want(err, fault.KindDenied, "sign-in before accepting")
		_, err = r.id.ResetPassword(r.ctx(), home, token, goodPassword)
		r.want(err, fault.KindInvalid, "an invitation used as a reset")

		session, u, err := r.id.AcceptInvite(r.ctx(), home, token, goodPassword)
		r.must(err)
		if by := r.actor(session); by.UserID != u.ID || by.Role != actor.PasswordUser {
			r.t.Fatalf("signed in as %+v", by)
		}
		r.audited("user.joined ada")
		_, _, err = r.id.AcceptInvite(r.ctx(), home, token, secret.New("another-violet-tugboat"))
		r.want(err, fault.KindInvalid, "the link a second time")
		_, err = r.id.InviteInfo(r.ctx(), home, token)
		r.want(err, fault.KindInvalid, "a look at a used link")
		_, _, err = r.id.SignIn(r.ctx(), home, "ADA ", goodPassword, secret.Value{})
		r.must(err)
	})
}

// TestAFormSentTwiceInvitesOnce repeats a request whose answer was lost, also
// at the same moment.
func TestAFormSentTwiceInvitesOnce(t *testing.T) {
	each(t, func(r *rig) {
		r.closeGate()
		n := ada()
		n.ID = store.NewID()
		nodes := []*identity.Service{r.id, r.node(), r.id, r.id}
		var wg sync.WaitGroup
		got := make([]identity.Invited, len(nodes))
		for i, node := range nodes {
			wg.Go(func() {
				var err error
				if got[i], err = node.Invite(r.ctx(), r.grace, n); err != nil {
					r.t.Errorf("form %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		first := 0
		for _, done := range got {
			if done.User.ID != n.ID || done.User.Login != "ada" || done.Again != done.Link.IsZero() || done.Again != done.Code.IsZero() {
				r.t.Errorf("answered %+v", done)
			}
			if !done.Again {
				first++
			}
		}
		if counts := r.rows("identity_user", "outbox_letter", "identity_link"); first != 1 || counts != "2 1 1" {
			r.t.Errorf("%d first answers; users, letters and links: %s", first, counts)
		}
		other := n
		other.Login, other.Email = "bob", "bob@example.org"
		_, err := r.id.Invite(r.ctx(), r.grace, other)
		r.want(err, fault.KindConflict, "the form of ada filled in for bob")
		other.ID = "damaged"
		_, err = r.id.Invite(r.ctx(), r.grace, other)
		r.want(err, fault.KindInvalid, "a damaged form")
		n.ID = store.NewID()
		_, err = r.id.Invite(r.ctx(), r.grace, n)
		r.want(err, fault.KindConflict, "ada in another form")
		r.openGate()
		mine := ada()
		mine.ID, mine.Login, mine.Email, mine.Role = r.grace.UserID, "grace", "grace@example.org", actor.PrivilegedAdministrator
		_, err = r.id.Invite(r.ctx(), r.join("admin", actor.Administrator), mine)
		r.want(err, fault.KindDenied, "a form with the id of who may not be managed")
	})
}

func TestAnInvitationEnds(t *testing.T) {
	each(t, func(r *rig) {
		done, err := r.id.Invite(r.ctx(), r.grace, ada())
		r.must(err)
		old := r.token(r.letter(letter.KindInvitation, "ada@example.org"))
		_, err = r.id.ResendInvitation(r.ctx(), r.grace, done.User.ID)
		r.must(err)
		r.audited("user.invited_again ada")
		_, _, err = r.id.AcceptInvite(r.ctx(), home, old, goodPassword)
		r.want(err, fault.KindInvalid, "the replaced link")

		newer := r.token(r.letter(letter.KindInvitation, "ada@example.org"))
		r.clock.Advance(identity.InvitationLife - time.Second)
		_, err = r.id.InviteInfo(r.ctx(), home, newer)
		r.must(err)
		r.clock.Advance(time.Second)
		_, _, err = r.id.AcceptInvite(r.ctx(), home, newer, goodPassword)
		r.want(err, fault.KindInvalid, "the link after its time")
	})
}

func TestAHeldInvitationIsHandedOver(t *testing.T) {
	each(t, func(r *rig) {
		r.closeGate()
		done, err := r.id.Invite(r.ctx(), r.grace, ada())
		r.must(err)
		if !done.Held || done.Link.IsZero() || done.HeldWhy == "" || done.LetterID == "" {
			r.t.Fatalf("held invitation: %+v", done)
		}
		row, ok, err := r.id.InvitationLetter(r.ctx(), r.grace, done.User.ID)
		r.must(err)
		if !ok || row.State != outbox.Held {
			r.t.Errorf("the letter is %q", row.State)
		}
		_, _, err = r.id.AcceptInvite(r.ctx(), home, done.Code, goodPassword)
		r.must(err)
		// The letter carries a dead link now; it does not leave later.
		r.openGate()
		claims, err := r.box.Claim(r.ctx(), outbox.Main, 10, time.Minute, "s")
		r.must(err)
		if len(claims) != 0 {
			r.t.Errorf("%d letters leave with a dead link", len(claims))
		}
	})
}

func TestWhatIsWrongWithANewUser(t *testing.T) {
	each(t, func(r *rig) {
		for _, c := range []struct {
			what, field string
			change      func(n *identity.NewUser)
		}{
			{"no name", "name", func(n *identity.NewUser) { n.Name = " " }},
			{"a long name", "name", func(n *identity.NewUser) { n.Name = strings.Repeat("a", 101) }},
			{"a name with a line break", "name", func(n *identity.NewUser) { n.Name = "Ada\r\nBcc: eve@example.org" }},
			{"a name that turns the text around", "name", func(n *identity.NewUser) { n.Name = "Ada\u202e" }},
			{"no login", "login", func(n *identity.NewUser) { n.Login = "" }},
			{"a login with a blank", "login", func(n *identity.NewUser) { n.Login = "ada lovelace" }},
			{"a login of another alphabet", "login", func(n *identity.NewUser) { n.Login = "аda" }},
			{"a long login", "login", func(n *identity.NewUser) { n.Login = strings.Repeat("a", 65) }},
			{"no e-mail", "email", func(n *identity.NewUser) { n.Email = "" }},
			{"two addresses", "email", func(n *identity.NewUser) { n.Email = "a@example.org, b@example.org" }},
			{"an address with a name", "email", func(n *identity.NewUser) { n.Email = "Ada <ada@example.org>" }},
			{"no role", "role", func(n *identity.NewUser) { n.Role = "emperor" }},
			{"a login that is taken", "login", func(n *identity.NewUser) { n.Login = "GRACE" }},
			{"an e-mail that is taken", "email", func(n *identity.NewUser) { n.Email = "Grace@Example.org" }},
		} {
			n := ada()
			c.change(&n)
			_, err := r.id.Invite(r.ctx(), r.grace, n)
			if f := fault.Fields(err); len(f) != 1 || f[0].Field != c.field {
				r.t.Errorf("%s: got %v, want a fault at %q", c.what, err, c.field)
			}
		}
		_, err := r.id.Invite(r.ctx(), r.grace, ada())
		r.must(err)
	})
}

// TestWhoManagesWhom is the table of roles: who may invite, edit, disable and
// delete whom.
func TestWhoManagesWhom(t *testing.T) {
	each(t, func(r *rig) {
		victims := map[actor.Role]actor.Actor{}
		callers := map[actor.Role]actor.Actor{}
		for i, role := range actor.Roles() {
			callers[role] = r.join("caller"+string(rune('a'+i)), role)
			victims[role] = r.join("victim"+string(rune('a'+i)), role)
		}
		for _, caller := range actor.Roles() {
			manages := caller == actor.PrivilegedAdministrator || caller == actor.Administrator
			for _, victim := range actor.Roles() {
				may := caller == actor.PrivilegedAdministrator || manages && victim != actor.PrivilegedAdministrator
				for what, err := range r.manage(r.fresh(callers[caller]), victims[victim]) {
					if (err == nil) != may {
						r.t.Errorf("%s: %s a %s: got %v, want allowed %v", caller, what, victim, err, may)
					}
				}
			}
			by, any := callers[caller], victims[actor.PasswordUser]
			_, _, letterErr := r.id.InvitationLetter(r.ctx(), by, any.UserID)
			for what, err := range map[string]error{
				"list users":            second(r.id.Users(r.ctx(), by, identity.Filter{})),
				"find by sign-in name":  second(r.id.UserByLogin(r.ctx(), by, any.Login)),
				"look at one":           second(r.id.User(r.ctx(), by, any.UserID)),
				"count what one owns":   second(r.id.Owned(r.ctx(), by, any.UserID)),
				"look at an invitation": letterErr,
			} {
				if (err == nil) != manages {
					r.t.Errorf("%s: %s: got %v, want allowed %v", caller, what, err, manages)
				}
			}
			_, err := r.id.People(r.ctx(), by, "victim", 5)
			if mayChoose := manages || caller == actor.PasswordAdministrator; (err == nil) != mayChoose {
				r.t.Errorf("%s: choose among people: got %v", caller, err)
			}
			if _, err := r.id.User(r.ctx(), by, by.UserID); err != nil {
				r.t.Errorf("%s: one's own page: %v", caller, err)
			}
		}
		_, err := r.id.User(r.ctx(), callers[actor.PasswordUser], r.grace.UserID)
		r.want(err, fault.KindNotFound, "somebody else's page")
	})
}

// manage does to of what administrators do to users, and tells what came of
// each act.
func (r *rig) manage(by, of actor.Actor) map[string]error {
	n := identity.NewUser{Name: of.Name, Login: of.Login, Email: of.Login + "@example.org", Role: of.Role}
	invitee := n
	invitee.Login, invitee.Email = "x"+string(by.Role), "x"+string(by.Role)+"@example.org"
	invited, inviteErr := r.id.Invite(r.ctx(), by, invitee)
	again, gone := of.UserID, of.UserID
	if inviteErr == nil {
		again, gone = invited.User.ID, invited.User.ID
	}
	return map[string]error{
		"invite":              inviteErr,
		"invite again":        second(r.id.ResendInvitation(r.ctx(), by, again)),
		"edit":                second(r.id.EditUser(r.ctx(), by, of.UserID, identity.UserChange{NewUser: n})),
		"disable":             r.id.Disable(r.ctx(), by, of.UserID),
		"enable":              r.id.Enable(r.ctx(), by, of.UserID),
		"sign out":            r.id.SignOutEverywhere(r.ctx(), by, of.UserID),
		"see the sessions of": second(r.id.Sessions(r.ctx(), by, of.UserID)),
		"delete":              r.id.Delete(r.ctx(), by, gone, ""),
	}
}

func second[T any](_ T, err error) error { return err }

func TestAnAdministratorMakesNoPrivilegedOne(t *testing.T) {
	each(t, func(r *rig) {
		admin := r.fresh(r.join("admin", actor.Administrator))
		user := r.join("user", actor.PasswordUser)
		change := identity.UserChange{NewUser: identity.NewUser{Name: "U", Login: "user", Email: "user@example.org", Role: actor.PrivilegedAdministrator}}
		_, err := r.id.EditUser(r.ctx(), admin, user.UserID, change)
		r.want(err, fault.KindDenied, "giving the role above one's own")
		_, err = r.id.EditUser(r.ctx(), r.old(r.grace), user.UserID, change)
		if fault.CodeOf(err) != fault.CodeReauthenticate {
			r.t.Fatalf("a new role without a fresh proof: %v", err)
		}
		_, err = r.id.EditUser(r.ctx(), r.fresh(r.grace), user.UserID, change)
		r.must(err)
		r.audited("user.edited user")
	})
}

func TestNobodyTurnsOnThemselves(t *testing.T) {
	each(t, func(r *rig) {
		r.join("other", actor.PrivilegedAdministrator)
		me := r.fresh(r.grace)
		r.want(r.id.Disable(r.ctx(), me, me.UserID), fault.KindDenied, "disabling oneself")
		r.want(r.id.Delete(r.ctx(), me, me.UserID, ""), fault.KindDenied, "deleting oneself")
		_, err := r.id.EditUser(r.ctx(), me, me.UserID, identity.UserChange{NewUser: identity.NewUser{
			Name: "Grace", Login: "grace", Email: "grace@example.org", Role: actor.PasswordUser,
		}})
		r.want(err, fault.KindDenied, "demoting oneself")
	})
}

func TestTheLastPrivilegedAdministratorStays(t *testing.T) {
	each(t, func(r *rig) {
		root := actor.Operator("root", "cli")
		id := r.grace.UserID
		r.want(r.id.Disable(r.ctx(), root, id), fault.KindConflict, "disabling the last")
		r.want(r.id.Delete(r.ctx(), root, id, ""), fault.KindConflict, "deleting the last")
		demote := identity.UserChange{NewUser: identity.NewUser{Name: "G", Login: "grace", Email: "grace@example.org", Role: actor.PasswordUser}}
		_, err := r.id.EditUser(r.ctx(), root, id, demote)
		r.want(err, fault.KindConflict, "demoting the last")

		// Two who demote each other at the same moment: one stays.
		other := r.fresh(r.join("other", actor.PrivilegedAdministrator))
		me := r.fresh(r.grace)
		var wg sync.WaitGroup
		errs := make([]error, 2)
		wg.Go(func() { errs[0] = r.id.Disable(r.ctx(), me, other.UserID) })
		wg.Go(func() { errs[1] = r.id.Disable(r.ctx(), other, me.UserID) })
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			r.t.Fatalf("both or neither were disabled: %v", errs)
		}
	})
}

// TestANewAddressOrNameIsProved: whoever finds an administrator's browser open
// must not get into accounts through "Forgot password".
func TestANewAddressOrNameIsProved(t *testing.T) {
	each(t, func(r *rig) {
		r.join("ben", actor.PasswordUser)
		for _, login := range []string{"grace", "ben"} {
			u, err := r.id.UserByLogin(r.ctx(), r.grace, login)
			r.must(err)
			for what, change := range map[string]func(n *identity.NewUser){
				"e-mail address": func(n *identity.NewUser) { n.Email = "eve@example.net" },
				"sign-in name":   func(n *identity.NewUser) { n.Login = "eve" },
			} {
				c := identity.UserChange{NewUser: identity.NewUser{Name: u.Name, Login: u.Login, Email: u.Email, Role: u.Role}}
				change(&c.NewUser)
				_, err = r.id.EditUser(r.ctx(), r.old(r.grace), u.ID, c)
				if fault.CodeOf(err) != fault.CodeReauthenticate {
					r.t.Errorf("%s: a new %s without a fresh proof: %v", login, what, err)
				}
			}
			_, err = r.id.EditUser(r.ctx(), r.old(r.grace), u.ID, identity.UserChange{NewUser: identity.NewUser{
				Name: "Another Name", Login: u.Login, Email: u.Email, Role: u.Role,
			}})
			r.must(err)
			_, err = r.id.EditUser(r.ctx(), r.fresh(r.grace), u.ID, identity.UserChange{NewUser: identity.NewUser{
				Name: u.Name, Login: login + "2", Email: login + "2@example.org", Role: u.Role,
			}})
			r.must(err)
		}
	})
}

// Who sits in an open session of somebody must not become what they become.
func TestANewRoleEndsSessionsAndForgetsBrowsers(t *testing.T) {
	each(t, func(r *rig) {
		ben := r.join("ben", actor.PasswordUser)
		change := identity.UserChange{NewUser: identity.NewUser{Name: "User ben", Login: "ben", Email: "ben@example.org", Role: actor.PasswordUser}}
		change.Name = "Ben"
		_, err := r.id.EditUser(r.ctx(), r.fresh(r.grace), ben.UserID, change)
		r.must(err)
		if got, err := r.id.Sessions(r.ctx(), r.grace, ben.UserID); err != nil || len(got) != 1 {
			r.t.Fatalf("after a new name: %d sessions, %v", len(got), err)
		}
		change.Role = actor.Administrator
		_, err = r.id.EditUser(r.ctx(), r.fresh(r.grace), ben.UserID, change)
		r.must(err)
		if got, err := r.id.Sessions(r.ctx(), r.grace, ben.UserID); err != nil || len(got) != 0 {
			r.t.Errorf("after a new role: %d sessions, %v", len(got), err)
		}
		if rows := r.rows("identity_device"); strings.Contains(rows, ben.UserID) {
			r.t.Error("a browser of theirs is still known")
		}
		// Who changes their own address goes on, elsewhere they are signed out.
		grace := r.fresh(r.grace)
		_, _, err = r.id.SignIn(r.ctx(), home, "grace", goodPassword, noDevice)
		r.must(err)
		_, err = r.id.EditProfile(r.ctx(), grace, identity.Profile{Name: "Grace Hopper", Email: "grace@example.net"})
		r.must(err)
		if got, err := r.id.Sessions(r.ctx(), grace, grace.UserID); err != nil || len(got) != 1 || got[0].ID != grace.SessionID {
			r.t.Errorf("after a new address of one's own: %d sessions, %v", len(got), err)
		}
	})
}

func TestMakingAnAdministratorIsProved(t *testing.T) {
	each(t, func(r *rig) {
		for _, role := range actor.Roles() {
			wants := role == actor.PrivilegedAdministrator || role == actor.Administrator
			n := identity.NewUser{Name: "Eve", Login: "eve-" + strings.ToLower(string(role)), Email: string(role) + "@example.org", Role: role}
			_, err := r.id.Invite(r.ctx(), r.old(r.grace), n)
			if got := fault.CodeOf(err) == fault.CodeReauthenticate; got != wants {
				r.t.Errorf("%s: asks for a proof: %v, want %v (%v)", role, got, wants, err)
			}
			if !wants {
				continue
			}
			done, err := r.id.Invite(r.ctx(), r.fresh(r.grace), n)
			r.must(err)
			if _, err := r.id.ResendInvitation(r.ctx(), r.old(r.grace), done.User.ID); fault.CodeOf(err) != fault.CodeReauthenticate {
				r.t.Errorf("%s again: %v", role, err)
			}
		}
	})
}

func TestWhoOwnsResourcesKeepsARoleThatMay(t *testing.T) {
	each(t, func(r *rig) {
		owner := r.join("owner", actor.PasswordAdministrator)
		r.holdings.owner["router"] = owner.UserID
		give := func(role actor.Role) error {
			_, err := r.id.EditUser(r.ctx(), r.fresh(r.grace), owner.UserID, identity.UserChange{NewUser: identity.NewUser{
				Name: owner.Name, Login: owner.Login, Email: "owner@example.org", Role: role,
			}})
			return err
		}
		for _, role := range []actor.Role{actor.PasswordAuditor, actor.PasswordUser} {
			err := give(role)
			if f := fault.Fields(err); fault.CodeOf(err) != fault.CodeInUse || len(f) != 1 || f[0].Field != "role" {
				r.t.Errorf("making an owner a %s: %v", role, err)
			}
		}
		r.must(give(actor.Administrator))
		r.holdings.owner["router"] = r.grace.UserID
		r.must(give(actor.PasswordUser))
	})
}

func TestEditingAnOldRevision(t *testing.T) {
	each(t, func(r *rig) {
		user := r.join("user", actor.PasswordUser)
		u, err := r.id.User(r.ctx(), r.grace, user.UserID)
		r.must(err)
		change := identity.UserChange{NewUser: identity.NewUser{Name: "New", Login: "user", Email: "user@example.org", Role: u.Role}, Revision: u.Revision}
		_, err = r.id.EditUser(r.ctx(), r.grace, u.ID, change)
		r.must(err)
		change.Name = "Newer"
		_, err = r.id.EditUser(r.ctx(), r.grace, u.ID, change)
		r.want(err, fault.KindConflict, "an edit of what somebody else changed")
	})
}

func TestADisabledUserIsOut(t *testing.T) {
	each(t, func(r *rig) {
		_, err := r.id.Invite(r.ctx(), r.grace, ada())
		r.must(err)
		session, u, err := r.id.AcceptInvite(r.ctx(), home, r.token(r.letter(letter.KindInvitation, "ada@example.org")), goodPassword)
		r.must(err)
		r.must(r.id.RequestReset(r.ctx(), home, "ada"))
		reset := r.token(r.letter(letter.KindPasswordReset, "ada@example.org"))
		r.must(r.id.Disable(r.ctx(), r.grace, u.ID))
		r.audited("user.disabled ada")
		_, _, err = r.id.Authenticate(r.ctx(), session.Token, home)
		if fault.CodeOf(err) != identity.CodeSignedOut {
			r.t.Fatalf("the session of a disabled user: %v", err)
		}
		_, _, err = r.id.SignIn(r.ctx(), home, "ada", goodPassword, secret.Value{})
		r.want(err, fault.KindDenied, "sign-in of a disabled user")
		_, err = r.id.ResetPassword(r.ctx(), home, reset, goodPassword)
		r.want(err, fault.KindInvalid, "a reset of a disabled user")
		r.must(r.id.Enable(r.ctx(), r.grace, u.ID))
		_, _, err = r.id.SignIn(r.ctx(), home, "ada", goodPassword, secret.Value{})
		r.must(err)

		invited, err := r.id.Invite(r.ctx(), r.grace, identity.NewUser{Name: "Bob", Login: "bob", Email: "bob@example.org", Role: actor.PasswordUser})
		r.must(err)
		r.must(r.id.Disable(r.ctx(), r.grace, invited.User.ID))
		_, err = r.id.ResendInvitation(r.ctx(), r.grace, invited.User.ID)
		if r.want(err, fault.KindConflict, "inviting a disabled user again"); !strings.Contains(err.Error(), "disabled") {
			r.t.Errorf("the answer for a disabled user: %v", err)
		}
		r.must(r.id.Enable(r.ctx(), r.grace, invited.User.ID))
		bob, err := r.id.User(r.ctx(), r.grace, invited.User.ID)
		r.must(err)
		if bob.State != identity.Invitee {
			r.t.Errorf("enabled without a password, the user is %q", bob.State)
		}
	})
}

func TestWhatAUserOwnsIsHandedOver(t *testing.T) {
	each(t, func(r *rig) {
		leaver := r.join("leaver", actor.PasswordAdministrator)
		heir := r.join("heir", actor.PasswordAdministrator)
		reader := r.join("reader", actor.PasswordUser)
		r.holdings.owner["router"] = leaver.UserID
		me := r.fresh(r.grace)
		err := r.id.Delete(r.ctx(), r.old(r.grace), leaver.UserID, heir.UserID)
		if fault.CodeOf(err) != fault.CodeReauthenticate {
			r.t.Fatalf("deleting without a fresh proof: %v", err)
		}
		err = r.id.Delete(r.ctx(), me, leaver.UserID, "")
		if fault.CodeOf(err) != fault.CodeInUse {
			r.t.Fatalf("deleting an owner: %v", err)
		}
		for what, to := range map[string]string{"a reader": reader.UserID, "nobody": "no-such-user", "themselves": leaver.UserID} {
			r.want(r.id.Delete(r.ctx(), me, leaver.UserID, to), fault.KindInvalid, "handing over to "+what)
		}
		r.must(r.id.Delete(r.ctx(), me, leaver.UserID, heir.UserID))
		if got := r.holdings.owner["router"]; got != heir.UserID {
			r.t.Errorf("the router belongs to %q", got)
		}
		_, err = r.id.User(r.ctx(), me, leaver.UserID)
		r.want(err, fault.KindNotFound, "the page of who is gone")
		r.audited("user.deleted leaver")
	})
}

func TestListingUsers(t *testing.T) {
	each(t, func(r *rig) {
		for _, login := range []string{"b.one", "b.two", "b.three"} {
			_, err := r.id.Invite(r.ctx(), r.grace, identity.NewUser{Name: "B_" + login, Login: login, Email: login + "@example.org", Role: actor.PasswordAuditor})
			r.must(err)
		}
		logins := func(f identity.Filter) (all []string) {
			for {
				page, err := r.id.Users(r.ctx(), r.grace, f)
				r.must(err)
				for _, u := range page.Users {
					all = append(all, u.Login)
				}
				if f.Cursor = page.Next; f.Cursor == "" {
					return all
				}
			}
		}
		for _, c := range []struct {
			f    identity.Filter
			want []string
		}{
			{identity.Filter{Limit: 2}, []string{"b.one", "b.three", "b.two", "grace"}},
			{identity.Filter{Text: "b_B.T", Limit: 1}, []string{"b.three", "b.two"}},
			{identity.Filter{Text: "%"}, nil},
			{identity.Filter{Text: "' OR 1=1 --"}, nil},
			{identity.Filter{Role: actor.PrivilegedAdministrator}, []string{"grace"}},
			{identity.Filter{State: identity.Invitee, Role: actor.PasswordAuditor, Limit: 1}, []string{"b.one", "b.three", "b.two"}},
		} {
			if got := logins(c.f); !slices.Equal(got, c.want) {
				r.t.Errorf("%+v: got %q, want %q", c.f, got, c.want)
			}
		}
		people, err := r.id.People(r.ctx(), r.grace, "gra", 10)
		r.must(err)
		if len(people) != 1 || people[0].Login != "grace" {
			r.t.Errorf("people: %+v", people)
		}
	})
}

func TestANewAddressEndsLinks(t *testing.T) {
	each(t, func(r *rig) {
		user := r.join("user", actor.PasswordUser)
		r.must(r.id.RequestReset(r.ctx(), home, "user"))
		token := r.token(r.letter(letter.KindPasswordReset, "user@example.org"))
		_, err := r.id.EditProfile(r.ctx(), r.old(user), identity.Profile{Name: "User", Email: "new@example.org"})
		if fault.CodeOf(err) != fault.CodeReauthenticate {
			r.t.Fatalf("a new address without a fresh proof: %v", err)
		}
		_, err = r.id.EditProfile(r.ctx(), r.old(user), identity.Profile{Name: "Only The Name", Email: "user@example.org"})
		r.must(err)
		_, err = r.id.ResetInfo(r.ctx(), home, token)
		r.must(err)
		_, err = r.id.EditProfile(r.ctx(), r.fresh(user), identity.Profile{Name: "User", Email: "new@example.org"})
		r.must(err)
		_, err = r.id.ResetPassword(r.ctx(), home, token, goodPassword)
		r.want(err, fault.KindInvalid, "a link sent to the old address")
	})
}

func TestTheOperatorGivesAWayIn(t *testing.T) {
	eachEmpty(t, func(r *rig) {
		root := actor.Operator("root", "cli")
		setup, err := r.id.SetupLink(r.ctx())
		r.must(err)
		n := identity.NewUser{Name: "Rescue", Login: "rescue", Email: "rescue@example.org"}
		_, err = r.id.OperatorCreateAdmin(r.ctx(), actor.Actor{Kind: actor.KindUser, UserID: "x", Role: actor.PrivilegedAdministrator}, n, goodPassword)
		r.want(err, fault.KindDenied, "the operator's command by a user")
		_, err = r.id.OperatorCreateAdmin(r.ctx(), root, n, secret.New("password1234"))
		r.want(err, fault.KindInvalid, "a weak password by the operator")
		made, err := r.id.OperatorCreateAdmin(r.ctx(), root, n, secret.Value{})
		r.must(err)
		r.audited("user.created rescue")
		r.want(r.id.CheckSetup(r.ctx(), home, setup), fault.KindConflict, "the set-up once there is a user")
		session, _, err := r.id.AcceptInvite(r.ctx(), home, made.Code, goodPassword)
		r.must(err)
		if r.actor(session).Role != actor.PrivilegedAdministrator {
			r.t.Fatal("not a Privileged Administrator")
		}

		_, err = r.id.OperatorResetPassword(r.ctx(), root, "nobody", goodPassword)
		r.want(err, fault.KindNotFound, "a reset of nobody")
		way, err := r.id.OperatorResetPassword(r.ctx(), root, "rescue", secret.Value{})
		r.must(err)
		_, _, err = r.id.Authenticate(r.ctx(), session.Token, home)
		r.want(err, fault.KindDenied, "a session after the operator's reset")
		_, err = r.id.ResetPassword(r.ctx(), home, way.Code, secret.New("violet-tugboat-harbour"))
		r.must(err)
		other := secret.New("quarry-lantern-mule-77")
		_, err = r.id.OperatorResetPassword(r.ctx(), root, "rescue", other)
		r.must(err)
		_, _, err = r.id.SignIn(r.ctx(), home, "rescue", other, secret.Value{})
		r.must(err)

		_, err = r.id.OperatorCreateAdmin(r.ctx(), root, identity.NewUser{Name: "Two", Login: "two", Email: "two@example.org"}, goodPassword)
		r.must(err)
		_, _, err = r.id.SignIn(r.ctx(), home, "two", goodPassword, secret.Value{})
		r.must(err)
	})
}

func TestGeneralSettings(t *testing.T) {
	each(t, func(r *rig) {
		site, err := r.id.Site(r.ctx())
		r.must(err)
		site.Organisation = "Example GmbH"
		r.must(r.id.SaveSite(r.ctx(), r.old(r.grace), site))
		r.audited("settings.edited General settings")
		site.AccessURL = "https://other.example.org"
		if err := r.id.SaveSite(r.ctx(), r.old(r.grace), site); fault.CodeOf(err) != fault.CodeReauthenticate {
			r.t.Fatalf("a new Access URL without a fresh proof: %v", err)
		}
		r.must(r.id.SaveSite(r.ctx(), r.fresh(r.grace), site))
		r.want(r.id.SaveSite(r.ctx(), r.join2("u", actor.PasswordAdministrator), site), fault.KindDenied, "settings by a Password Administrator")
	})
}

// join2 is join where the Access URL is no longer the rig's.
func (r *rig) join2(login string, role actor.Role) actor.Actor {
	return actor.Actor{Kind: actor.KindUser, UserID: login, Role: role}
}

func TestNothingInClear(t *testing.T) {
	each(t, func(r *rig) {
		canary := secret.New("canary-violet-tugboat-4711")
		r.closeGate()
		held, err := r.id.Invite(r.ctx(), r.grace, ada())
		r.must(err)
		session, _, err := r.id.AcceptInvite(r.ctx(), home, held.Code, canary)
		r.must(err)
		_, _, err = r.id.SignIn(r.ctx(), home, "canary-typed-as-name", canary, secret.Value{})
		r.want(err, fault.KindDenied, "sign-in with a password typed as the name")
		r.must(r.id.RequestReset(r.ctx(), home, "canary-typed-as-name"))
		r.must(r.id.RequestReset(r.ctx(), home, "ada"))
		bob, err := r.id.Invite(r.ctx(), r.grace, identity.NewUser{Name: "Bob", Login: "bob", Email: "bob@example.org", Role: actor.PasswordUser})
		r.must(err)
		_, token, _ := strings.Cut(bob.Link.Reveal(), "#")
		dump := r.dump()
		for what, planted := range map[string]string{
			"password": "canary", "argon2id hash": "$argon2id$", "session": session.Token.Reveal(), "device": session.Device.Reveal(),
			"link": token, "code": bob.Code.Reveal(),
		} {
			if strings.Contains(strings.ToLower(dump), strings.ToLower(planted)) {
				r.t.Errorf("the %s lies in the database in clear", what)
			}
		}
		// The sweep can see: what is known to be there is found.
		if !strings.Contains(dump, "ada@example.org") {
			r.t.Error("the dump misses the users")
		}
	})
}

func TestLookupInsideATransaction(t *testing.T) {
	each(t, func(r *rig) {
		r.must(r.db.Update(r.ctx(), func(tx *store.Tx) error {
			u, err := r.id.Lookup(tx, r.grace.UserID)
			if err == nil && u.Login != "grace" {
				r.t.Errorf("got %q", u.Login)
			}
			return err
		}))
	})
}
