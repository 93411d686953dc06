package web

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/capture"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/dkim"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/servers"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/vault"
	"github.com/sealpost/sealpost/internal/web/page"
	"github.com/sealpost/sealpost/internal/web/static"
)

// Config is what the web interface needs. All but Capture, Log, Now
// and Version is required.
type Config struct {
	Users  *identity.Service
	Vault  *vault.Service
	Mail   *mail.Service
	Doctor *diagnose.Doctor
	// Second is the mail server beside the first, SecondDoctor tests it, and
	// Servers knows which of both letters leave through.
	Second       *mail.Service
	SecondDoctor *diagnose.Doctor
	Servers      *servers.Service
	Outbox       *outbox.Outbox
	// Bounces knows what came back.
	Bounces *bounce.Service
	// DKIM keeps the keys that letters are signed with.
	DKIM *dkim.Service
	// Capture is the capture mailbox; nil where there is none.
	Capture *capture.Mailbox
	Audit   *audit.Log
	DB      *store.DB
	Letters *letter.Catalogue
	// Log receives what went wrong. Nil means slog.Default.
	Log *slog.Logger
	// Now is the clock by which pages say how long ago something was. Nil
	// means time.Now.
	Now func() time.Time
	// Version is shown on the Admin page.
	Version string
}

// Site answers the requests of browsers. It is safe for use by several
// goroutines.
type Site struct {
	Config
	engine *page.Engine
	assets *static.Assets
	mux    *http.ServeMux
	routes []route
	// follower watches the journal for pages that are open.
	follower *follower
}

// New parses the templates and builds the routes.
func New(c Config) (*Site, error) {
	if c.Users == nil || c.Vault == nil || c.Mail == nil || c.Doctor == nil || c.Second == nil || c.SecondDoctor == nil || c.Servers == nil || c.Outbox == nil || c.Bounces == nil || c.DKIM == nil || c.Audit == nil || c.DB == nil || c.Letters == nil {
		return nil, errors.New("web: a part of the configuration is missing")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	assets, err := static.New()
	if err != nil {
		return nil, err
	}
	engine, err := page.NewEngine(assets.Path, c.Now)
	if err != nil {
		return nil, err
	}
	s := &Site{Config: c, engine: engine, assets: assets, mux: http.NewServeMux(), routes: table()}
	s.follower = newFollower(s)
	for _, rt := range s.routes {
		s.mux.Handle(rt.pattern, s.serve(rt))
	}
	s.mux.Handle("/", s.serve(route{access: open, handle: (*Site).nothingHere}))
	s.mux.Handle("GET "+static.Prefix, assets.Handler())
	return s, nil
}

// Handler returns the whole web interface. Package server puts request id,
// log and security headers around it.
func (s *Site) Handler() http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(s.serve(route{access: open, handle: (*Site).foreignForm}))
	return guard.Handler(s.mux)
}

// RouteInfo is a row of the route table, for the test that compares it with
// what was reviewed.
type RouteInfo struct {
	Method, Path string
	// Access is "open", "signed in", or the permission that the route wants.
	Access string
}

// Routes returns the route table.
func (s *Site) Routes() []RouteInfo {
	var all []RouteInfo
	for _, rt := range s.routes {
		all = append(all, RouteInfo{Method: rt.method(), Path: rt.path(), Access: rt.access.String()})
	}
	return all
}
