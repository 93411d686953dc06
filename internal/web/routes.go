package web

import (
	"strings"

	"github.com/sealpost/sealpost/internal/actor"
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
	return []route{
		{pattern: "GET /{$}", access: signedIn, handle: (*Site).home},

		{pattern: "GET /sign-in", access: open, handle: (*Site).signInPage},
		{pattern: "POST /sign-in", access: open, handle: (*Site).signIn},
		{pattern: "POST /sign-out", access: signedIn, handle: (*Site).signOut},
		{pattern: "POST /prove", access: signedIn, handle: (*Site).prove},
		{pattern: "POST /theme", access: open, handle: (*Site).theme},
	}
}
