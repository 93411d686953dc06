package web

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/server"
	"github.com/sealpost/sealpost/internal/web/page"
)

// visit is one request with what is known about who makes it.
type visit struct {
	s *Site
	w http.ResponseWriter
	r *http.Request
	// by acts; before sign-in it is nobody, with an address.
	by      actor.Actor
	session identity.Session
	site    letter.Site
	route   route
	// values are the fields of the form, or of the query for GET. Never both:
	// a link must not fill in a form.
	values url.Values
}

func (v *visit) ctx() context.Context { return v.r.Context() }

// id returns a part of the path.
func (v *visit) id(name string) string { return v.r.PathValue(name) }

// text returns a field without space around it.
func (v *visit) text(name string) string { return strings.TrimSpace(v.values.Get(name)) }

// secret returns a field as it was typed.
func (v *visit) secret(name string) secret.Value { return secret.New(v.values.Get(name)) }

// has reports whether the form has the field at all, as a ticked box does.
func (v *visit) has(name string) bool { return v.values.Has(name) }

// number returns a field as a number, 0 where it is none.
func (v *visit) number(name string) int64 {
	n, err := strconv.ParseInt(v.text(name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// here is the path of the request with its query, where coming back makes
// sense.
func (v *visit) here() string {
	if v.route.back != "" {
		return v.route.back
	}
	if v.r.Method == http.MethodGet || v.r.Method == http.MethodHead {
		return v.r.URL.RequestURI()
	}
	return v.s.nearestPage(v.r.URL.Path)
}

// isScript reports whether one of our scripts asks rather than the browser.
func (v *visit) isScript() bool {
	return strings.HasPrefix(v.r.Header.Get("Accept"), "application/json")
}

// render answers with a page.
func (v *visit) render(p page.Page) error { return v.renderAs(http.StatusOK, p) }

func (v *visit) renderAs(status int, p page.Page) error {
	if err := v.s.frame(v, p.Frame()); err != nil {
		return err
	}
	b, err := v.paint(p)
	if err != nil {
		return err
	}
	v.send(status, b)
	return nil
}

// paint returns the page's HTML.
func (v *visit) paint(p page.Page) ([]byte, error) {
	var b bytes.Buffer
	if err := v.s.engine.Render(&b, p); err != nil {
		return nil, fault.Internal(err)
	}
	return b.Bytes(), nil
}

func (v *visit) send(status int, html []byte) {
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	// A browser that went away is nobody's failure.
	_, _ = v.w.Write(html)
}

// again answers with the page of a form that was not taken: p holds what was
// typed. Failures that are not about the form are returned for the adapter.
func (v *visit) again(p page.Page, err error) error {
	if !shownInPlace(err) || v.isScript() {
		return err
	}
	base := p.Frame()
	if err := v.s.frame(v, base); err != nil {
		return err
	}
	base.Errors = page.NewErrors(fault.Fields(err))
	if len(fault.Fields(err)) != 1 {
		base.Alert = fault.Sentence(err)
	}
	b, paintErr := v.paint(p)
	if lost := base.Errors.Unseen(); paintErr == nil && lost != "" {
		// The page has no such field: what is wrong must not be lost.
		base.Alert = lost
		b, paintErr = v.paint(p)
	}
	if paintErr != nil {
		return paintErr
	}
	v.send(server.StatusOf(err), b)
	return nil
}

// shownInPlace reports whether err is one that the person can deal with on the
// page where it happened.
func shownInPlace(err error) bool {
	switch fault.CodeOf(err) {
	case fault.CodeReauthenticate, identity.CodeSignedOut:
		return false
	}
	switch fault.KindOf(err) {
	case fault.KindInvalid, fault.KindConflict, fault.KindUnavailable, fault.KindDenied:
		return true
	}
	return false
}

// redirect sends the browser to a page of ours, which shows the notice once.
func (v *visit) redirect(path, notice string) error {
	if notice != "" {
		v.setNotice(notice)
	}
	v.w.Header().Set("Location", path)
	v.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// json answers one of our scripts.
func (v *visit) json(status int, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return fault.Internal(err)
	}
	v.w.Header().Set("Content-Type", "application/json")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(b)
	return nil
}

// local returns a path of this site, or "/" where text is anything else: a
// link that somebody sends must not lead elsewhere after sign-in.
func local(text string) string {
	u, err := url.Parse(text)
	plain := strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") && len(text) <= 1000 &&
		!strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '\\' || r >= 0x7f })
	if err != nil || !plain || u.Scheme != "" || u.Host != "" || u.User != nil || strings.HasPrefix(u.Path, "//") || strings.Contains(u.Path, `\`) {
		return "/"
	}
	return text
}

// nearestPage returns the page that a form's path belongs to: the path itself
// or the nearest above it that can be looked at.
func (s *Site) nearestPage(path string) string {
	for path != "" && path != "/" {
		probe := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}}
		if _, pattern := s.mux.Handler(probe); pattern != "" && pattern != "/" {
			return local((&url.URL{Path: path}).EscapedPath())
		}
		path = path[:strings.LastIndex(path, "/")]
	}
	return "/"
}
