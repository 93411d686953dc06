package oauthtest

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxRequest is how much of a request is read, in bytes.
const maxRequest = 8 << 20

// Request is one that reached the authorities or Graph.
type Request struct {
	At time.Time
	// Endpoint is "authorize", "token", "graph", or "other".
	Endpoint string
	// Grant is the grant_type, or "".
	Grant string
	// Tenant is the one in the path.
	Tenant, ClientID string
	// Status is what was answered; 0 when the connection was cut.
	Status int
	// Number is the AADSTS number of a refusal.
	Number int
}

// journal is what a Stand remembers and what it was told to do wrong.
type journal struct {
	requests []Request
	seen     []sighting
	// failures wait for requests, by endpoint; replies for commands, by verb.
	failures map[string][]Failure
	replies  map[string][]string
}

// sighting is a text that may hold a credential, and under which name it came.
type sighting struct{ origin, text string }

// Requests returns what reached the authorities and Graph so far.
func (s *Stand) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log.requests)
}

// Count returns how many requests for tokens there were with a grant_type,
// refused ones too.
func (s *Stand) Count(grant string) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Endpoint == "token" && r.Grant == grant {
			n++
		}
	}
	return n
}

// WhoSaw returns the origins that a credential reached, each once: "host:port"
// of a request, or "smtp" with the server's port. Authorization headers,
// addresses, forms, and what was said in sign-ins to SMTP are looked at.
func (s *Stand) WhoSaw(credential string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var origins []string
	for _, v := range s.log.seen {
		if strings.Contains(v.text, credential) && !slices.Contains(origins, v.origin) {
			origins = append(origins, v.origin)
		}
	}
	return origins
}

func (s *Stand) sees(origin string, texts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range texts {
		s.log.seen = append(s.log.seen, sighting{origin, t})
	}
}

// witness notes what a request carries and leaves its body to be read again.
func (s *Stand) witness(r *http.Request) {
	texts := []string{r.URL.String(), strings.Join(r.Header["Authorization"], " ")}
	for _, vs := range r.URL.Query() {
		texts = append(texts, vs...)
	}
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	r.Body = io.NopCloser(bytes.NewReader(body))
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		form, _ := url.ParseQuery(string(body))
		for _, vs := range form {
			texts = append(texts, vs...)
		}
	}
	s.sees(r.Host, texts...)
}

// Failure is what goes wrong with one request.
type Failure struct {
	// Number refuses with Microsoft's error of this number.
	Number int
	// Status, Header and Body answer with anything.
	Status int
	Header http.Header
	Body   string
	// Late does what was asked for before it fails: a code is used up then, a
	// letter taken.
	Late bool
	// Cut breaks the connection off in place of an answer.
	Cut bool
	// hold is closed by whoever lets the request go on; held when it waits.
	hold, held chan struct{}
}

// FailNext lets the next request for a token fail. Several are used up in their
// order.
func (s *Stand) FailNext(f ...Failure) { s.fail("token", f...) }

// FailGraph is FailNext for letters through Graph.
func (s *Stand) FailGraph(f ...Failure) { s.fail("graph", f...) }

func (s *Stand) fail(endpoint string, f ...Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.failures[endpoint] = append(s.log.failures[endpoint], f...)
}

// DropReply lets the next request for a token be done, and its answer be lost.
func (s *Stand) DropReply() { s.FailNext(Failure{Late: true, Cut: true}) }

// Redirect307 answers the next request for a token with a redirect that wants
// the body to be sent again.
func (s *Stand) Redirect307(to string) {
	s.FailNext(Failure{Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {to}}})
}

// Slow holds the next request for a token until release is called. The channel
// is closed once it waits.
func (s *Stand) Slow() (waits <-chan struct{}, release func()) {
	f := Failure{hold: make(chan struct{}), held: make(chan struct{})}
	s.FailNext(f)
	return f.held, sync.OnceFunc(func() { close(f.hold) })
}

// SayNext answers the next command of any connection to a mail server with a
// reply of the test: one line or several. The verb is in upper case; "CONNECT"
// is the greeting, "CONTENT" the end of a letter, which is taken when the reply
// is a success. smtptest.Hangup closes the connection, after CONTENT with the
// letter taken.
func (s *Stand) SayNext(verb, reply string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.replies[verb] = append(s.log.replies[verb], reply)
}

// said takes the reply that a test wants for a command, or "".
func (s *Stand) said(verb string) string { return next(s, s.log.replies, verb) }

// next takes the first of what waits for an endpoint or a command.
func next[V any](s *Stand, waiting map[string][]V, key string) (first V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if list := waiting[key]; len(list) > 0 {
		first, waiting[key] = list[0], list[1:]
	}
	return first
}

// noted serves an endpoint: it notes the request and its answer before that
// leaves, and lets fail what is to fail.
func (s *Stand) noted(endpoint string, serve func(*answer, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		at := s.now()
		s.witness(r)
		a := newAnswer()
		f := next(s, s.log.failures, endpoint)
		if f.hold != nil {
			close(f.held)
			select {
			case <-f.hold:
			case <-s.stopped.Done():
			}
		}
		if f.Late {
			serve(newAnswer(), r)
		}
		switch {
		case f.Cut:
			a.status = 0
		case f.Number != 0:
			a.refuse(s.sts(r, f.Number))
		case f.Status != 0:
			a.fail(f)
		default:
			serve(a, r)
		}
		s.note(Request{
			At: at, Endpoint: endpoint, Grant: r.PostFormValue("grant_type"), Tenant: r.PathValue("tenant"),
			ClientID: r.FormValue("client_id"), Status: a.status, Number: a.number,
		})
		if f.Cut {
			panic(http.ErrAbortHandler)
		}
		a.send(w)
	}
}

func (s *Stand) note(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.requests = append(s.log.requests, r)
}

// answer is what is going to be answered.
type answer struct {
	status, number int
	header         http.Header
	body           bytes.Buffer
}

func newAnswer() *answer { return &answer{status: http.StatusOK, header: http.Header{}} }

func (a *answer) json(status int, v any) {
	a.status = status
	a.header.Set("Content-Type", "application/json; charset=utf-8")
	a.header.Set("Cache-Control", "no-store, no-cache")
	_ = json.NewEncoder(&a.body).Encode(v) // a buffer takes everything
}

func (a *answer) fail(f Failure) {
	a.status = f.Status
	for name, values := range f.Header {
		a.header[http.CanonicalHeaderKey(name)] = values
	}
	if a.header.Get("Content-Type") == "" && f.Body != "" {
		a.header.Set("Content-Type", "application/json; charset=utf-8")
	}
	a.body.WriteString(f.Body)
}

func (a *answer) redirect(to string) {
	a.status = http.StatusFound
	a.header.Set("Location", to)
}

func (a *answer) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes())
}

// trap takes whatever it is given, and gives tokens for it.
func (s *Stand) trap(w http.ResponseWriter, r *http.Request) {
	s.witness(r)
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = io.WriteString(w, `{"token_type":"Bearer","expires_in":3600,"access_token":"trapped","refresh_token":"trapped"}`)
}
