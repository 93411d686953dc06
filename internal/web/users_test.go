package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/vault"
)

func TestAnAdministratorAddsAUser(t *testing.T) {
	eachReady(t, func(r *rig, grace *browser) {
		grace.get("/users").sees(http.StatusOK, "You are the only one here.")
		grace.get("/users/add").sees(http.StatusOK, "Add and invite")
		a := grace.post("/users/add", "name", "Ben Okafor", "login", "ben", "email", "ben@example.org", "role", string(actor.PasswordUser))
		ben := r.user("ben")
		a.leads("/users/"+ben.ID).sees(http.StatusOK, "The invitation is on its way to ben@example.org.", "Invited", "On its way").lacks("/invite#")
		r.code(letter.KindInvitation, "ben@example.org")
		grace.get("/users/"+ben.ID).sees(http.StatusOK, "Accepted")
		grace.get("/users").sees(http.StatusOK, "Ben Okafor", "Password User", "never")
	})
}

// An answer was lost and the form is sent again: the user is there once, and a
// one-time link is not shown twice.
func TestTheUserFormIsSentTwice(t *testing.T) {
	r, grace := ready(t)
	r.closeGate()
	id := grace.get("/users/add").value("id")
	form := []string{"id", id, "name", "Ben Okafor", "login", "ben", "email", "ben@example.org", "role", string(actor.PasswordUser)}
	if kept := grace.post("/users/add", "id", id, "name", "Ben").sees(http.StatusUnprocessableEntity, "[name=Ben]").value("id"); kept != id {
		t.Errorf("the refused form has the id %q, before %q", kept, id)
	}
	grace.post("/users/add", form...).sees(http.StatusOK, "/invite#")
	grace.post("/users/add", form...).leads("/users/"+id).sees(http.StatusOK, "Ben Okafor was added when this form was sent first.").lacks("/invite#")
	if next := grace.get("/users/add").value("id"); next == id || next == "" {
		t.Errorf("the next form has the id %q", next)
	}
}

func TestTheUserFormKeepsWhatWasTyped(t *testing.T) {
	r, grace := ready(t)
	a := grace.post("/users/add", "name", "Ben Okafor", "login", "Ben Okafor", "email", "ben@", "role", "auditor").
		sees(http.StatusUnprocessableEntity, "3 fields need your attention.", "[name=Ben Okafor]", "[email=ben@]", "Choose a sign-in name", "Choose one of the roles")
	if n := strings.Count(a.body, `aria-invalid="true"`); n != 2 {
		t.Errorf("%d fields are marked, want 2", n)
	}
	grace.post("/users/add", "name", "Other Grace", "login", "grace", "email", "other@example.org", "role", string(actor.PasswordUser)).
		sees(http.StatusConflict, "Another user has this sign-in name.", "[email=other@example.org]")
	admin := r.join("adam", actor.Administrator)
	admin.get("/users/add").sees(http.StatusOK).lacks(`value="privileged_administrator"`)
	admin.post("/users/add", "name", "X", "login", "x", "email", "x@example.org", "role", string(actor.PrivilegedAdministrator)).
		sees(http.StatusForbidden, "Only a Privileged Administrator manages Privileged Administrators.", "[name=X]")
}

// Without mail the link shows once, and never again.
func TestAHeldInvitationShowsItsLinkOnce(t *testing.T) {
	r, grace := ready(t)
	r.closeGate()
	a := grace.post("/users/add", "name", "Ben Okafor", "login", "ben", "email", "ben@example.org", "role", string(actor.PasswordUser)).
		sees(http.StatusOK, "The invitation to ben@example.org waits.", "No mail server is set up.", "[=https://vault.example.org:7272/invite#")
	_, code, _ := strings.Cut(a.body, "/invite#")
	code, _, _ = strings.Cut(code, `"`)
	ben := r.user("ben")
	grace.get("/users/"+ben.ID).sees(http.StatusOK, "Waits for mail").lacks(code)
	b := r.browser()
	b.post("/invite", "code", code, "password", goodPassword).leads("/").sees(http.StatusOK, "Ben Okafor")

	again := grace.post("/users/"+ben.ID+"/invite").sees(http.StatusConflict, "This user has a password already.")
	again.lacks("/invite#")
}

func TestAnInvitationIsSentAgain(t *testing.T) {
	r, grace := ready(t)
	grace.post("/users/add", "name", "Ben", "login", "ben", "email", "ben@example.org", "role", string(actor.PasswordUser)).sees(http.StatusSeeOther)
	first := r.code(letter.KindInvitation, "ben@example.org").Reveal()
	ben := r.user("ben")
	r.clock.Advance(73 * time.Hour)
	grace = r.signIn("grace")
	grace.get("/users").sees(http.StatusOK, "Invitation ended")
	grace.get("/").sees(http.StatusOK, "1 invitation ended unused")
	grace.post("/users/"+ben.ID+"/invite").leads("/users/"+ben.ID).sees(http.StatusOK, "A new invitation is on its way", "Invited")
	second := r.code(letter.KindInvitation, "ben@example.org").Reveal()
	b := r.browser()
	b.post("/invite", "code", first).sees(http.StatusUnprocessableEntity, "This code does not work")
	b.post("/invite", "code", second).sees(http.StatusOK, "Welcome, Ben")
}

func TestTheListSearchesFiltersAndPages(t *testing.T) {
	r, grace := ready(t)
	for _, login := range strings.Fields("ada bea cleo dora emma finn gus hugo ines jona kaya lena mara nils omar pia quin rosa sami tara uwe vera wim xena yann zoe") {
		for _, n := range []string{"1", "2"} {
			_, err := r.users.Invite(t.Context(), r.system(), identity.NewUser{Name: "P " + login + n, Login: login + n, Email: login + n + "@example.org", Role: actor.PasswordUser})
			r.must(err)
		}
	}
	first := grace.get("/users").sees(http.StatusOK, "ada1", "Next page").lacks(">zoe2<")
	_, rest, _ := strings.Cut(first.body, `<nav class="pager"`)
	_, link, _ := strings.Cut(rest, `href="`)
	link, _, _ = strings.Cut(link, `"`)
	grace.get(link).sees(http.StatusOK, "zoe2", "First page").lacks(">ada1<")
	grace.get("/users?q=KAYA").sees(http.StatusOK, "kaya1", "kaya2", "[q=KAYA]").lacks(">ada1<")
	grace.get("/users?role=privileged_administrator").sees(http.StatusOK, "Grace Hopper").lacks(">ada1<")
	grace.get("/users?state=disabled").sees(http.StatusOK, "No user fits")
	for _, evil := range []string{"%27%20OR%201=1--", "%25", "%22%3E%3Cscript%3E", "%00", "%ff"} {
		a := grace.get("/users?q=" + evil + "&role=" + evil + "&state=" + evil + "&after=" + evil).lacks(`"><script>`)
		if a.status != http.StatusOK && a.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", a.what, a.status)
		}
	}
}

func TestEditingAUser(t *testing.T) {
	r, grace := ready(t)
	r.join("ben", actor.PasswordUser)
	ben := r.user("ben")
	path := "/users/" + ben.ID + "/edit"
	page := grace.get(path).sees(http.StatusOK, "[name=User ben]", "[email=ben@example.org]")
	revision := page.value("revision")
	grace.post(path, "name", "Ben O.", "login", "ben", "email", "ben@example.org", "role", string(ben.Role), "revision", revision).
		leads("/users/"+ben.ID).sees(http.StatusOK, "Ben O. is saved.")
	grace.post(path, "name", "Ben P.", "login", "ben", "email", "ben@example.org", "role", string(ben.Role), "revision", revision).
		sees(http.StatusConflict, "Somebody else changed this user meanwhile.", "[name=Ben P.]")
	me := r.user("grace")
	grace.get("/users/"+me.ID+"/edit").sees(http.StatusOK, "nobody changes their own").lacks(`name="role"`)
}

// A dangerous act asks for the password and then goes on by itself, with what
// was typed.
func TestAFreshProofCarriesTheForm(t *testing.T) {
	r, grace := ready(t)
	r.join("ben", actor.PasswordUser)
	ben := r.user("ben")
	path := "/users/" + ben.ID + "/edit"
	r.clock.Advance(11 * time.Minute)
	form := []string{"name", "Ben Okafor", "login", "ben", "email", "ben@example.org", "role", string(actor.Administrator), "revision", "0"}
	a := grace.post(path, form...).sees(http.StatusForbidden, "Confirm that it is you")
	for i := 0; i < len(form); i += 2 {
		if got := a.value(form[i]); got != form[i+1] {
			t.Errorf("%s is carried as %q, want %q", form[i], got, form[i+1])
		}
	}
	if !strings.Contains(a.body, `action="`+path+`"`) {
		t.Error("the proof does not go where the form went")
	}
	grace.post(path, append(form, "sealpost_proof", "mistyped-proof")...).
		sees(http.StatusUnprocessableEntity, "Confirm that it is you", "The password is not right.").lacks("mistyped-proof")
	if r.user("ben").Role != actor.PasswordUser {
		t.Fatal("a wrong proof changed the role")
	}
	grace.post(path, append(form, "sealpost_proof", goodPassword)...).leads("/users/"+ben.ID).sees(http.StatusOK, "Administrator")
	if u := r.user("ben"); u.Role != actor.Administrator || u.Name != "Ben Okafor" {
		t.Errorf("got %+v", u)
	}
}

// One's own new address asks too, and goes on with it.
func TestAFreshProofCarriesANewAddress(t *testing.T) {
	r, grace := ready(t)
	me := r.user("grace")
	path := "/users/" + me.ID + "/edit"
	r.clock.Advance(11 * time.Minute)
	form := []string{"name", me.Name, "login", me.Login, "email", "grace@example.net", "revision", "0"}
	a := grace.post(path, form...).sees(http.StatusForbidden, "Confirm that it is you")
	if got := a.value("email"); got != "grace@example.net" {
		t.Errorf("the address is carried as %q", got)
	}
	if got := r.user("grace").Email; got != "grace@example.org" {
		t.Fatalf("without a proof the address is %q", got)
	}
	grace.post(path, append(form, "sealpost_proof", goodPassword)...).leads("/users/" + me.ID)
	if got := r.user("grace").Email; got != "grace@example.net" {
		t.Errorf("with a proof the address is %q", got)
	}
}

func TestAnOwnersRoleIsNotTakenDown(t *testing.T) {
	r, grace := ready(t)
	r.join("olga", actor.PasswordAdministrator)
	olga := r.user("olga")
	_, err := r.vault.AddResource(t.Context(), r.system(), vault.NewResource{OwnerID: olga.ID, Fields: vault.Fields{Name: "db-prod-1"}})
	r.must(err)
	grace.post("/users/"+olga.ID+"/edit", "name", olga.Name, "login", "olga", "email", olga.Email, "role", string(actor.PasswordUser), "revision", "0").
		sees(http.StatusConflict, "owns one resource, which this role may not. Let them transfer that first, under Resources.", "[name=User olga]")
	if got := r.user("olga").Role; got != actor.PasswordAdministrator {
		t.Errorf("olga is now a %s", got)
	}
}

// A field that nobody said may be shown is not carried.
func TestAFormWithOtherFieldsIsNotCarried(t *testing.T) {
	r, grace := ready(t)
	r.join("ben", actor.PasswordUser)
	path := "/users/" + r.user("ben").ID + "/edit"
	r.clock.Advance(11 * time.Minute)
	a := grace.post(path, "name", "Ben", "login", "ben", "email", "ben@example.org", "role", string(actor.Administrator), "password", "typed-by-mistake").
		sees(http.StatusForbidden, "fill in the form once more").lacks("typed-by-mistake")
	if got := a.value("to"); got != path {
		t.Errorf("leads back to %q", got)
	}
	grace.post("/prove", "password", "wrong", "to", path).sees(http.StatusUnprocessableEntity, "The password is not right.").lacks("typed-by-mistake")
	grace.post("/prove", "password", goodPassword, "to", path).leads(path).sees(http.StatusOK, "You can do it now.")
	r.clock.Advance(time.Second)
	if got := grace.post("/prove", "password", goodPassword, "to", "https://evil.example/").header.Get("Location"); got != "/" {
		t.Errorf("a proof leads to %q", got)
	}
}

func TestKeepingAUserOut(t *testing.T) {
	r, grace := ready(t)
	b := r.join("ben", actor.PasswordUser)
	ben := r.user("ben")
	path := "/users/" + ben.ID
	grace.get(path+"?ask=disable").sees(http.StatusOK, "Disable User ben?")
	grace.post(path+"/disable").leads(path).sees(http.StatusOK, "The user is disabled", "Disabled")
	b.get("/").leads("/sign-in")
	b.post("/sign-in", "login", "ben", "password", goodPassword).sees(http.StatusForbidden)
	grace.post(path+"/enable").leads(path).sees(http.StatusOK, "The user is enabled.", "Active")
	b = r.signIn("ben")
	grace.post(path+"/sign-out").leads(path).sees(http.StatusOK, "signed out everywhere")
	b.get("/").leads("/sign-in")
	me := r.user("grace")
	grace.post("/users/"+me.ID+"/disable").sees(http.StatusForbidden, "Nobody disables themselves.")
	grace.get("/users/"+me.ID).sees(http.StatusOK).lacks("Disable…", "Delete…")
}

func TestDeletingAUserHandsOverWhatTheyOwn(t *testing.T) {
	r, grace := ready(t)
	r.join("olga", actor.PasswordAdministrator)
	r.join("uma", actor.PasswordUser)
	olga, me := r.user("olga"), r.user("grace")
	_, err := r.vault.AddResource(t.Context(), r.system(), vault.NewResource{OwnerID: olga.ID, Fields: vault.Fields{Name: "db-prod-1"}})
	r.must(err)
	path := "/users/" + olga.ID
	grace.get(path+"?ask=delete").sees(http.StatusOK, "Delete User olga?", "They own 1 resource", "Grace Hopper (grace)").lacks("User uma (uma)", "User olga (olga)")
	grace.post(path+"/delete", "confirm", "olg").sees(http.StatusUnprocessableEntity, "Type the sign-in name olga", "[confirm=olg]")
	grace.post(path+"/delete", "confirm", "olga").sees(http.StatusConflict, "Choose who takes over.", "[confirm=olga]")
	r.clock.Advance(11 * time.Minute)
	a := grace.post(path+"/delete", "confirm", "olga", "hand_over_to", me.ID).sees(http.StatusForbidden, "Confirm that it is you")
	grace.post(path+"/delete", "confirm", a.value("confirm"), "hand_over_to", a.value("hand_over_to"), "sealpost_proof", goodPassword).
		leads("/users").sees(http.StatusOK, "User olga is deleted.").lacks("olga@example.org")
	if n, err := r.users.Owned(t.Context(), r.system(), me.ID); err != nil || n != 1 {
		t.Errorf("grace owns %d resources, %v", n, err)
	}
}

func TestAdministratorsSeeButDoNotTouchPrivilegedOnes(t *testing.T) {
	r, _ := ready(t)
	adam := r.join("adam", actor.Administrator)
	me := r.user("grace")
	adam.get("/users/"+me.ID).sees(http.StatusOK, "Only a Privileged Administrator manages Privileged Administrators.").lacks("/edit", "/delete", "/disable")
	adam.get("/users/" + me.ID + "/edit").sees(http.StatusNotFound)
	adam.post("/users/"+me.ID+"/disable").sees(http.StatusForbidden, "Only a Privileged Administrator")
	adam.post("/users/"+me.ID+"/delete", "confirm", "grace").sees(http.StatusForbidden, "Only a Privileged Administrator")
	if r.user("grace").State != identity.Active {
		t.Error("an Administrator disabled a Privileged Administrator")
	}
}
