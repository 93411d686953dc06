// Package web owns the web interface: the route table, and for each route a
// handler that reads a form, calls one operation and renders a page of package
// page. It decides nothing that the domains decide: who may do what to which
// object is theirs, and a route says only who may come near at all.
//
// # How a page is added
//
//  1. A row in routes.go: pattern, who may come near, handler. A form that asks
//     for a fresh proof names the fields that may be carried over it.
//  2. A handler in the file of its noun, a method of Site:
//     func (s *Site) users(v *visit) error. It returns what went wrong; the
//     adapter in serve.go shows it.
//  3. A struct in page/ with its template beside it; page's comment tells how.
//  4. A sample in page/samples_test.go, and the row in the reviewed table of
//     routes_test.go.
//
// A form posts to its own path. When it was taken, the answer is
// v.redirect(path, notice); when not, v.again(page, err) shows the same page
// with what was typed and what is wrong with it. Navigation (nav.go) and the
// Admin page (admin.go) list places that have a route, for who may go there.
//
// # What every handler can rely on
//
// A request that changes something was made by our own page (Sec-Fetch-Site
// and Origin), for a session that is alive, by a role that the route admits.
// An operation that asks for a fresh proof of who one is (the code
// fault.CodeReauthenticate) is answered by a page that asks for the password,
// carries the form's named fields, and posts them again to the same path.
// Denied and not found look the same. Links and redirects are never built from
// what the request says about hosts.
package web
