package web

import (
	"slices"
	"strings"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail"
)

// route is a row of the table.
type route struct {
	// pattern is one of http.ServeMux, with a method.
	pattern string
	access  access
	handle  func(*Site, *visit) error
	// carry names the fields of a form that may be shown again, hidden, on
	// the page that asks for a fresh proof. A form with any other field that
	// is not empty must be filled in anew: what nobody classified counts as
	// secret.
	carry []string
	// back is where the person goes on after signing in, where the address of
	// the request itself must not be shown or kept: it holds a secret.
	back string
	// slot is the mail server that the route is about, empty for others.
	slot mail.Slot
}

// access says who may come near a route. What they may do there is decided by
// the operation behind it.
type access struct {
	open bool
	// permission is what the role must hold; empty means any session.
	permission actor.Permission
}

var (
	open     = access{open: true}
	signedIn = access{}
)

func may(p actor.Permission) access { return access{permission: p} }

// String returns the access as the reviewed table writes it.
func (a access) String() string {
	switch {
	case a.open:
		return "open"
	case a.permission == "":
		return "signed in"
	}
	return string(a.permission)
}

func (rt route) method() string { m, _, _ := strings.Cut(rt.pattern, " "); return m }
func (rt route) path() string   { _, p, _ := strings.Cut(rt.pattern, " "); return p }

// table is every route there is, but for the embedded files.
func table() []route {
	return slices.Concat(doorRoutes(), ownRoutes(), vaultRoutes(), userRoutes(), auditRoutes(), adminRoutes(), mailRoutes(), bounceRoutes())
}

// doorRoutes are for people who are not signed in yet.
func doorRoutes() []route {
	return []route{
		{pattern: "GET /setup", access: open, handle: (*Site).setupPage},
		{pattern: "POST /setup", access: open, handle: (*Site).setup},
		{pattern: "GET /setup/mail", access: may(actor.ManageSettings), handle: (*Site).setupMailPage},
		{pattern: "POST /setup/mail", access: may(actor.ManageSettings), handle: (*Site).setupMail},
		{pattern: "GET /sign-in", access: open, handle: (*Site).signInPage},
		{pattern: "POST /sign-in", access: open, handle: (*Site).signIn},
		{pattern: "GET /forgot", access: open, handle: (*Site).forgotPage},
		{pattern: "POST /forgot", access: open, handle: (*Site).forgot},
		{pattern: "GET /reset", access: open, handle: (*Site).resetPage},
		{pattern: "POST /reset", access: open, handle: (*Site).reset},
		{pattern: "GET /invite", access: open, handle: (*Site).invitePage},
		{pattern: "POST /invite", access: open, handle: (*Site).invite},
		{pattern: "POST /password-strength", access: open, handle: (*Site).passwordStrength},
		{pattern: "POST /theme", access: open, handle: (*Site).theme},
		{pattern: "GET /logo", access: open, handle: (*Site).logo},
	}
}

// ownRoutes are about oneself.
func ownRoutes() []route {
	return []route{
		{pattern: "GET /{$}", access: signedIn, handle: (*Site).home},
		{pattern: "POST /sign-out", access: signedIn, handle: (*Site).signOut},
		{pattern: "POST /prove", access: signedIn, handle: (*Site).prove},
		{pattern: "GET /profile", access: signedIn, handle: (*Site).profilePage},
		{pattern: "POST /profile", access: signedIn, handle: (*Site).editProfile, carry: []string{"name", "email"}},
		{pattern: "GET /profile/password", access: signedIn, handle: (*Site).passwordPage},
		{pattern: "POST /profile/password", access: signedIn, handle: (*Site).changePassword},
		{pattern: "GET /profile/sessions", access: signedIn, handle: (*Site).sessionsPage},
		{pattern: "POST /profile/sessions/end-others", access: signedIn, handle: (*Site).endOtherSessions},
		{pattern: "POST /profile/sessions/{id}/end", access: signedIn, handle: (*Site).endSession},
	}
}

// vaultRoutes are about resources and accounts. Who may do what to which one
// is the vault's to decide.
func vaultRoutes() []route {
	manage := may(actor.ManageResources)
	return []route{
		{pattern: "GET /resources", access: signedIn, handle: (*Site).resources},
		{pattern: "GET /resources/add", access: manage, handle: (*Site).addResourcePage},
		{pattern: "POST /resources/add", access: manage, handle: (*Site).addResource},
		{pattern: "GET /resources/{id}", access: signedIn, handle: (*Site).resource},
		{pattern: "GET /resources/{id}/edit", access: manage, handle: (*Site).editResourcePage},
		{pattern: "POST /resources/{id}/edit", access: manage, handle: (*Site).editResource},
		{pattern: "GET /resources/{id}/delete", access: manage, handle: (*Site).deleteResourcePage},
		{pattern: "POST /resources/{id}/delete", access: manage, handle: (*Site).deleteResource, carry: []string{"typed_name"}},
		{pattern: "GET /resources/{id}/transfer", access: manage, handle: (*Site).transferPage},
		{pattern: "POST /resources/{id}/transfer", access: manage, handle: (*Site).transfer, carry: []string{"to"}},
		{pattern: "GET /resources/{id}/accounts/add", access: manage, handle: (*Site).addAccountPage},
		{pattern: "POST /resources/{id}/accounts/add", access: manage, handle: (*Site).addAccount},
		{pattern: "GET /accounts/{id}", access: signedIn, handle: (*Site).account},
		{pattern: "GET /accounts/{id}/edit", access: manage, handle: (*Site).editAccountPage},
		{pattern: "POST /accounts/{id}/edit", access: manage, handle: (*Site).editAccount},
		{pattern: "GET /accounts/{id}/delete", access: manage, handle: (*Site).deleteAccountPage},
		{pattern: "POST /accounts/{id}/delete", access: manage, handle: (*Site).deleteAccount, carry: []string{"confirm"}},
		{pattern: "GET /accounts/{id}/password", access: signedIn, handle: (*Site).setPasswordPage},
		{pattern: "POST /accounts/{id}/password", access: signedIn, handle: (*Site).setPassword},
		{pattern: "GET /accounts/{id}/reveal", access: signedIn, handle: (*Site).revealPage},
		{pattern: "POST /accounts/{id}/reveal", access: signedIn, handle: (*Site).reveal},
		{pattern: "GET /accounts/{id}/restore", access: manage, handle: (*Site).restorePage},
		{pattern: "POST /accounts/{id}/restore", access: manage, handle: (*Site).restore},
		{pattern: "POST /generator", access: signedIn, handle: (*Site).generate},
	}
}

func userRoutes() []route {
	manage := may(actor.ManageUsers)
	return []route{
		{pattern: "GET /users", access: manage, handle: (*Site).users},
		{pattern: "GET /users/add", access: manage, handle: (*Site).addUserPage},
		{pattern: "POST /users/add", access: manage, handle: (*Site).addUser, carry: []string{"id", "name", "login", "email", "role"}},
		{pattern: "GET /users/{id}", access: manage, handle: (*Site).userPage},
		{pattern: "GET /users/{id}/edit", access: manage, handle: (*Site).editUserPage},
		{pattern: "POST /users/{id}/edit", access: manage, handle: (*Site).editUser, carry: []string{"name", "login", "email", "role", "revision"}},
		{pattern: "POST /users/{id}/invite", access: manage, handle: (*Site).inviteAgain, carry: []string{}},
		{pattern: "POST /users/{id}/disable", access: manage, handle: (*Site).disableUser},
		{pattern: "POST /users/{id}/enable", access: manage, handle: (*Site).enableUser},
		{pattern: "POST /users/{id}/sign-out", access: manage, handle: (*Site).signOutUser},
		{pattern: "POST /users/{id}/delete", access: manage, handle: (*Site).deleteUser, carry: []string{"confirm", "hand_over_to"}},
	}
}

func auditRoutes() []route {
	return []route{
		{pattern: "GET /audit", access: signedIn, handle: (*Site).auditPage},
		{pattern: "GET /audit/export.csv", access: signedIn, handle: (*Site).exportAudit},
		{pattern: "GET /audit/{seq}", access: signedIn, handle: (*Site).auditEntry},
	}
}

func adminRoutes() []route {
	settings := may(actor.ManageSettings)
	return []route{
		{pattern: "GET /admin", access: settings, handle: (*Site).admin},
		{pattern: "GET /admin/settings/general", access: settings, handle: (*Site).generalPage},
		{pattern: "POST /admin/settings/general", access: settings, handle: (*Site).editGeneral, carry: []string{"organisation", "access_url"}},
		{pattern: "POST /admin/settings/logo", access: settings, handle: (*Site).uploadLogo},
		{pattern: "POST /admin/settings/logo/remove", access: settings, handle: (*Site).removeLogo},
	}
}
