package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/server"
	"github.com/sealpost/sealpost/internal/web/page"
)

// maxFormMemory is how much of an upload is kept in memory; the size of the
// whole is bounded by package server.
const maxFormMemory = 1 << 20

// maxOpenForm bounds the forms that anybody may send, in bytes: none of them
// takes a file.
const maxOpenForm = 32 << 10

// fieldProof is the password that the page asking for a fresh proof adds to
// the form that it carries.
const fieldProof = "sealpost_proof"

// serve returns the handler of a route: it finds out who comes, lets them in
// or not, and shows what went wrong.
func (s *Site) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{s: s, w: w, r: r, route: rt}
		if err := s.enter(v); err != nil {
			s.fail(v, err)
			return
		}
		if err := rt.handle(s, v); err != nil {
			s.fail(v, err)
		}
	})
}

// enter fills v in and refuses who may not come near.
func (s *Site) enter(v *visit) error {
	v.by = actor.Actor{
		From: server.ClientAddr(v.r), Door: "web", Agent: agentOf(v.r), RequestID: server.RequestID(v.ctx()),
	}
	site, err := s.Users.Site(v.ctx())
	if err != nil {
		return err
	}
	v.site = site
	if err := s.recognise(v); err != nil {
		return err
	}
	if p := v.route.access.permission; p != "" && !v.by.May(p) {
		return errNothing
	}
	// What strangers send is not even read where they may not come near.
	if err := v.parse(); err != nil {
		return err
	}
	if v.r.Method == http.MethodPost && v.has(fieldProof) && !v.route.access.open {
		return s.takeProof(v)
	}
	return nil
}

var errNothing = fault.NotFound("There is nothing at this address, or nothing that you may see.")

// agentOf returns the browser's name as the audit log keeps it. The cut may
// fall inside a character: what is left of it goes too.
func agentOf(r *http.Request) string {
	agent := strings.ToValidUTF8(r.UserAgent(), "")
	return strings.ToValidUTF8(agent[:min(len(agent), 200)], "")
}

// parse reads the form.
func (v *visit) parse() error {
	if v.r.Method != http.MethodPost {
		v.values = v.r.URL.Query()
		return nil
	}
	if v.route.access.open {
		v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxOpenForm)
	}
	var err error
	if strings.HasPrefix(v.r.Header.Get("Content-Type"), "multipart/form-data") {
		err = v.r.ParseMultipartForm(maxFormMemory)
	} else {
		err = v.r.ParseForm()
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return err
	}
	if err != nil {
		return fault.Invalid("form", "The form could not be read. Go back and send it again.").Because(err)
	}
	v.values = v.r.PostForm
	return nil
}

// recognise finds the session. Where none is needed, none is no failure.
func (s *Site) recognise(v *visit) error {
	by, session, err := s.Users.Authenticate(v.ctx(), v.sessionToken(), v.by)
	if fault.CodeOf(err) == identity.CodeSignedOut && v.route.access.open {
		return nil
	}
	if err != nil {
		return err
	}
	v.by, v.session = by, session
	return nil
}

// takeProof checks the password that came with a carried form. The handler
// then runs as if it had been fresh all along.
func (s *Site) takeProof(v *visit) error {
	proof := v.secret(fieldProof)
	v.values.Del(fieldProof)
	if err := s.Users.Reauthenticate(v.ctx(), v.by, proof); err != nil {
		return &wrongProof{err}
	}
	v.by.Proved = s.Now()
	return nil
}

// wrongProof is a failed proof, which shows the page that asks for it again.
type wrongProof struct{ err error }

func (e *wrongProof) Error() string { return e.err.Error() }
func (e *wrongProof) Unwrap() error { return e.err }

// fail shows what went wrong.
func (s *Site) fail(v *visit, err error) {
	if err := s.showFailure(v, err); err != nil {
		// The page about a failure failed too: plain words are left.
		s.Log.ErrorContext(v.ctx(), "showing a failure", "request_id", v.by.RequestID, "err", err)
		http.Error(v.w, "Something went wrong in Sealpost. Reference: "+v.by.RequestID, http.StatusInternalServerError)
	}
}

func (s *Site) showFailure(v *visit, err error) error {
	wrong := (*wrongProof)(nil)
	switch {
	case v.ctx().Err() != nil:
		return nil // nobody waits for the answer
	case v.isScript():
		return s.failScript(v, err)
	case fault.CodeOf(err) == identity.CodeSignedOut:
		v.setCookie(cookieSession, "", -1)
		notice := ""
		if v.route.back != "" {
			notice = "Your session in Sealpost ended while you were away. Sign in, and begin again."
		}
		return v.redirect(signInPath(v.here()), notice)
	case errors.As(err, &wrong):
		return s.askProof(v, wrong.err)
	case fault.CodeOf(err) == fault.CodeReauthenticate:
		return s.askProof(v, nil)
	case fault.Is(err, fault.KindDenied) && fault.CodeOf(err) != fault.CodeLimited:
		err = errNothing
	}
	status := server.StatusOf(err)
	if status >= http.StatusInternalServerError {
		s.Log.ErrorContext(v.ctx(), "a page failed", "request_id", v.by.RequestID, "pattern", v.route.pattern, "err", err)
	}
	p := failurePage(status, err, v.by.RequestID)
	// The navigation asks the database, which may be what failed.
	p.Bare = status >= http.StatusInternalServerError
	return v.renderAs(status, p)
}

func failurePage(status int, err error, reference string) *page.Failure {
	p := &page.Failure{Text: fault.Sentence(err)}
	switch status {
	case http.StatusNotFound:
		p.Title = "Not found"
		p.Text = fault.Sentence(errNothing)
	case http.StatusTooManyRequests:
		p.Title = "Too many attempts"
	case http.StatusRequestEntityTooLarge:
		p.Title, p.Text = "Too large", "What was sent is larger than Sealpost takes."
	case http.StatusInternalServerError:
		p.Title, p.Reference = "Something went wrong", reference
	case http.StatusServiceUnavailable:
		p.Title, p.Reference = "Not available right now", reference
	default:
		p.Title, p.Reference = "This did not work", reference
	}
	return p
}

// failScript answers a script with the failure in its own form.
func (s *Site) failScript(v *visit, err error) error {
	type field struct {
		Field    string `json:"field"`
		Sentence string `json:"sentence"`
	}
	answer := struct {
		Error     string  `json:"error"`
		Code      string  `json:"code,omitempty"`
		Fields    []field `json:"fields,omitempty"`
		Reference string  `json:"reference"`
	}{Error: fault.Sentence(err), Code: fault.CodeOf(err), Reference: v.by.RequestID}
	for _, f := range fault.Fields(err) {
		answer.Fields = append(answer.Fields, field{f.Field, f.Sentence})
	}
	status := server.StatusOf(err)
	if answer.Code == identity.CodeSignedOut {
		status = http.StatusUnauthorized
	}
	if status >= http.StatusInternalServerError {
		s.Log.ErrorContext(v.ctx(), "a script's request failed", "request_id", v.by.RequestID, "pattern", v.route.pattern, "err", err)
	}
	return v.json(status, answer)
}

// askProof shows the page that asks for the password. The form that was sent
// is carried in hidden fields and sent again to the same path, when all that
// is in it may be shown; else the way leads back to the form.
func (s *Site) askProof(v *visit, why error) error {
	p := &page.Prove{Action: "/prove", Back: v.here(), Login: v.by.Login}
	p.Title = "Confirm that it is you"
	if v.r.Method == http.MethodPost {
		if carried, ok := v.carried(); ok {
			p.Action, p.Carried, p.FieldName = v.r.URL.EscapedPath(), carried, fieldProof
		}
	}
	if p.FieldName == "" {
		p.FieldName, p.Again = "password", v.r.Method == http.MethodPost && v.route.path() != "/prove"
	}
	status := http.StatusForbidden
	if why != nil {
		p.Wrong = fault.Sentence(why)
		status = server.StatusOf(why)
	}
	return v.renderAs(status, p)
}

// carried returns the fields of the form, unless one may not be shown.
func (v *visit) carried() ([]page.Carried, bool) {
	if v.route.carry == nil {
		return nil, false
	}
	var all []page.Carried
	for name, values := range v.values {
		for _, value := range values {
			if value != "" && !slices.Contains(v.route.carry, name) {
				return nil, false
			}
			all = append(all, page.Carried{Name: name, Value: value})
		}
	}
	slices.SortFunc(all, func(a, b page.Carried) int { return strings.Compare(a.Name, b.Name) })
	return all, true
}

// signInPath returns the way to the sign-in page and from there to path.
func signInPath(path string) string {
	if path == "/" {
		return "/sign-in"
	}
	return "/sign-in?to=" + url.QueryEscape(path)
}

// nothingHere answers every address that no route has.
func (s *Site) nothingHere(*visit) error { return errNothing }

// foreignForm answers a form that another site sent in the person's name.
func (s *Site) foreignForm(v *visit) error {
	p := &page.Failure{Text: "This form was sent from another site, so nothing was done. Open Sealpost's own page and repeat it there."}
	p.Title = "Not taken"
	return v.renderAs(http.StatusForbidden, p)
}
