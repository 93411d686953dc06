package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
)

// DefaultMaxBody is the size of a request's body where nothing else is set: a
// form with certificates.
const DefaultMaxBody = 2 << 20

// ChainConfig is what the way to a handler needs.
type ChainConfig struct {
	// Log receives a line for each request. Nil means slog.Default.
	Log *slog.Logger
	// TrustedProxies are believed about the client's address.
	TrustedProxies []netip.Prefix
	// HSTS tells browsers to come by https only. It must be off for a
	// self-signed certificate: browsers would let nobody past the warning.
	HSTS bool
	// MaxBody is the size of a request's body in bytes; 0 means
	// DefaultMaxBody.
	MaxBody int64
	// Quiet tells patterns whose requests are logged at the level debug, such
	// as those that a monitor asks for. Nil means none.
	Quiet func(pattern string) bool
	// Observe is told of each request that ended, for metrics. Nil means
	// nobody.
	Observe func(Answered)
}

// Answered is what is known of a request that ended. It holds nothing that
// the client chose freely.
type Answered struct {
	// Method is one of HTTP's methods, or "other".
	Method string
	// Pattern is the one that matched, without its method; empty for none.
	Pattern string
	Status  int
	Bytes   int64
	Took    time.Duration
}

// passage is what the chain knows of a request. It travels in the context.
type passage struct{ client netip.Addr }

type passageKey struct{}

func passageOf(ctx context.Context) passage {
	p, _ := ctx.Value(passageKey{}).(passage)
	return p
}

// RequestID returns the id of the request that ctx belongs to, and "" outside
// of one: the trace of what the request causes. The log's lines and the page
// about a failure carry it.
func RequestID(ctx context.Context) string { return actor.Trace(ctx) }

// ClientAddr returns the address of the client, beyond trusted proxies.
func ClientAddr(r *http.Request) netip.Addr { return passageOf(r.Context()).client }

// Chain returns h behind everything that each request passes.
func Chain(h http.Handler, c ChainConfig) http.Handler {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.Quiet == nil {
		c.Quiet = func(string) bool { return false }
	}
	if c.Observe == nil {
		c.Observe = func(Answered) {}
	}
	return &chain{ChainConfig: c, next: h}
}

type chain struct {
	ChainConfig
	next http.Handler
}

// ServeHTTP takes the request through.
func (c *chain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	p := passage{client: clientOf(r, c.TrustedProxies)}
	id := actor.NewTrace(began)
	r = r.WithContext(context.WithValue(actor.WithTrace(r.Context(), id), passageKey{}, p))
	rec := &recorder{ResponseWriter: w}
	c.head(rec.Header(), id)
	defer func() { c.note(r, rec, time.Since(began)) }()
	defer c.recover(rec, r)
	if r.ContentLength > c.MaxBody {
		// The rest of the body is not worth reading.
		rec.Header().Set("Connection", "close")
		http.Error(rec, fmt.Sprintf("The request is larger than %d bytes.", c.MaxBody), http.StatusRequestEntityTooLarge)
		return
	}
	r.Body = http.MaxBytesReader(rec, r.Body, c.MaxBody)
	c.next.ServeHTTP(rec, r)
}

// contentPolicy lets a page load what this server ships and nothing else.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// head sets the headers of every answer. A handler that needs another value,
// such as caching for a file that never changes, sets its own.
func (c *chain) head(h http.Header, id string) {
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Request-Id", id)
	if c.HSTS {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// recover answers a panic of the handler. What was begun cannot be taken back:
// then the connection is cut, so that nobody takes half an answer for a whole.
func (c *chain) recover(rec *recorder, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		rec.cut = true
		panic(http.ErrAbortHandler)
	}
	id := RequestID(r.Context())
	c.Log.ErrorContext(r.Context(), "panic while answering a request", "request_id", id, "pattern", patternOf(r),
		"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if rec.status != 0 {
		rec.cut = true
		panic(http.ErrAbortHandler)
	}
	rec.Header().Set("Content-Type", "text/html; charset=utf-8")
	rec.WriteHeader(http.StatusInternalServerError)
	_, _ = fmt.Fprintf(rec, "<!doctype html><html lang=\"en\"><title>Something went wrong</title>"+
		"<h1>Something went wrong in Sealpost</h1><p>The log has the details, under the reference <code>%s</code>.</p></html>\n", id)
}

// note logs the request and tells the observer.
func (c *chain) note(r *http.Request, rec *recorder, took time.Duration) {
	a := Answered{Method: methodOf(r), Pattern: patternOf(r), Status: rec.status, Bytes: rec.bytes, Took: took}
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	level := slog.LevelInfo
	switch {
	case a.Status >= http.StatusInternalServerError || rec.cut:
		level = slog.LevelError
	case c.Quiet(a.Pattern):
		level = slog.LevelDebug
	}
	c.Log.LogAttrs(r.Context(), level, "request",
		slog.String("request_id", RequestID(r.Context())), slog.String("client", ClientAddr(r).String()),
		slog.String("method", a.Method), slog.String("pattern", a.Pattern), slog.Int("status", a.Status),
		slog.Int64("bytes", a.Bytes), slog.Duration("took", took.Round(time.Microsecond)), slog.Bool("cut", rec.cut))
	c.Observe(a)
}

// patternOf returns the pattern that matched without its method.
func patternOf(r *http.Request) string {
	if _, path, ok := strings.Cut(r.Pattern, " "); ok {
		return path
	}
	return r.Pattern
}

// methodOf returns the method, unless a client made one up.
func methodOf(r *http.Request) string {
	known := []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
		http.MethodPatch, http.MethodDelete, http.MethodOptions,
	}
	if slices.Contains(known, r.Method) {
		return r.Method
	}
	return "other"
}

// recorder notes what is answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	cut    bool
}

// Unwrap lets http.ResponseController find the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader notes the status. Informational ones are not the answer.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}
