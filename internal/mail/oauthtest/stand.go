package oauthtest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/smtptest"
)

// Limits are what a mailbox may do. 0 is no limit.
type Limits struct {
	// Connections at once, letters in a minute, recipients in a day.
	Connections, PerMinute, PerDay int
}

// Options say how a Stand behaves. The zero value is Microsoft's and Google's
// way.
type Options struct {
	// Now is the clock; nil takes the system's.
	Now func() time.Time
	// TokenLife is how long access tokens live; 0 means 75 minutes.
	TokenLife time.Duration
	// TokenSize makes access tokens at least so long, in bytes.
	TokenSize int
	// Limits hold for each mailbox; nil means Microsoft's: 3 connections, 30
	// letters in a minute, 10,000 recipients in a day.
	Limits *Limits
	// StrictRotation ends a refresh token with its use, as some authorities do;
	// Microsoft lets it live.
	StrictRotation bool
}

// Stand is the running stand-in. Its methods are safe for concurrent use.
type Stand struct {
	t         testing.TB
	opts      Options
	limits    Limits
	ca        *smtptest.Cert
	leaf      tls.Certificate
	key       *rsa.PrivateKey
	web       *httptest.Server
	elsewhere *httptest.Server
	exchange  *smtptest.Server
	gmail     *smtptest.Server
	stopped   context.Context

	mu       sync.Mutex
	tenants  map[string]Tenant
	users    map[string]User
	apps     map[string]App
	accounts map[string]account
	grants   grants
	log      journal
	use      map[string]*usage
	letters  []Letter
	arrived  chan struct{}
}

// signingKey signs the tokens of every Stand: making it takes long.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// names are the hosts that the certificate vouches for besides localhost, and
// that Dial leads to the stand-in.
var names = []string{
	"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn", "login.chinacloudapi.cn",
	"graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn",
	"accounts.google.com", "oauth2.googleapis.com",
	"smtp.office365.com", "smtp.office365.us", "outlook-dod.office365.us", "smtp.partner.outlook.cn", "partner.outlook.cn", "smtp.gmail.com",
}

// Start returns a running Stand. It stops when the test ends.
func Start(t testing.TB, o Options) *Stand {
	t.Helper()
	key, err := signingKey()
	if err != nil {
		t.Fatalf("oauthtest: %v", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.TokenLife == 0 {
		o.TokenLife = 75 * time.Minute
	}
	limits := Limits{Connections: 3, PerMinute: 30, PerDay: 10_000}
	if o.Limits != nil {
		limits = *o.Limits
	}
	stopped, stop := context.WithCancel(context.Background())
	s := &Stand{
		t: t, opts: o, limits: limits, key: key, stopped: stopped,
		tenants: map[string]Tenant{}, users: map[string]User{}, apps: map[string]App{}, accounts: map[string]account{},
		grants: newGrants(), log: journal{failures: map[string][]Failure{}, replies: map[string][]string{}}, use: map[string]*usage{}, arrived: make(chan struct{}, 1),
	}
	tenants, users, apps := world(o.Now())
	for _, v := range tenants {
		s.PutTenant(v)
	}
	for _, v := range users {
		s.PutUser(v)
	}
	for _, v := range apps {
		s.PutApp(v)
	}
	s.certify()
	s.web = s.serve(s.routes())
	s.elsewhere = s.serve(http.HandlerFunc(s.trap))
	// Registered last, so that what waits is let go before the servers close.
	s.exchange = smtptest.Start(t, smtptest.Script{s.speak(exchangeVoice)})
	s.gmail = smtptest.Start(t, smtptest.Script{s.speak(gmailVoice)})
	t.Cleanup(stop)
	return s
}

// certify makes the authority of the test and a certificate for every name. It
// is good for decades, since the test's clock is another than TLS's.
func (s *Stand) certify() {
	const years = 365 * 24 * time.Hour
	lab := smtptest.NewLab(s.t, time.Now())
	s.ca = lab.Make(smtptest.Order{Name: "Stand-in CA", CA: true, From: -20 * years, Until: 50 * years})
	leaf := lab.Make(smtptest.Order{
		Name: "localhost", DNS: append([]string{"localhost"}, names...), IP: []net.IP{net.IPv4(127, 0, 0, 1)},
		By: s.ca, From: -20 * years, Until: 50 * years,
	})
	s.leaf = leaf.TLS(s.ca)
}

func (s *Stand) serve(h http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{s.leaf}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that mistrust the certificate are a test's matter
	server.StartTLS()
	s.t.Cleanup(server.Close)
	return server
}

func (s *Stand) now() time.Time { return s.opts.Now() }

// Host returns "localhost:port" of the authorities and of Graph.
func (s *Stand) Host() string {
	return strings.Replace(s.web.Listener.Addr().String(), "127.0.0.1", "localhost", 1)
}

// URL returns the root of the authorities and of Graph.
func (s *Stand) URL() string { return "https://" + s.Host() }

// AuthorizeURL returns where people sign in to a tenant at Microsoft. The
// tenant may be "{tenant}".
func (s *Stand) AuthorizeURL(tenant string) string {
	return s.URL() + "/" + tenant + "/oauth2/v2.0/authorize"
}

// TokenURL returns where a tenant's tokens are got at Microsoft.
func (s *Stand) TokenURL(tenant string) string { return s.URL() + "/" + tenant + "/oauth2/v2.0/token" }

// GoogleAuthorizeURL returns where people sign in at Google.
func (s *Stand) GoogleAuthorizeURL() string { return s.URL() + "/o/oauth2/v2/auth" }

// GoogleTokenURL returns where Google's tokens are got.
func (s *Stand) GoogleTokenURL() string { return s.URL() + "/token" }

// GraphURL returns the root of Graph.
func (s *Stand) GraphURL() string { return s.URL() }

// Elsewhere returns the root of a server with a certificate as good as the
// others', which takes every credential and answers with tokens: where a client
// must not go.
func (s *Stand) Elsewhere() string {
	return strings.Replace(s.elsewhere.URL, "127.0.0.1", "localhost", 1)
}

// Exchange returns the mail server of Exchange Online. Its reply to EHLO and
// its certificate fit localhost too.
func (s *Stand) Exchange() *smtptest.Server { return s.exchange }

// Gmail returns the mail server of Google, with STARTTLS.
func (s *Stand) Gmail() *smtptest.Server { return s.gmail }

// CA returns the certificate of the authority that vouches for all servers.
func (s *Stand) CA() *smtptest.Cert { return s.ca }

// Roots returns a pool with that authority alone.
func (s *Stand) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.ca.Certificate)
	return pool
}

// Dial leads the names of Microsoft and Google to the stand-in, and connects to
// every other address as it is. It fits where a client takes a dialer.
func (s *Stand) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		switch {
		case host != name:
		case host == "smtp.gmail.com":
			address = s.gmail.Addr()
		case port == "443":
			address = s.web.Listener.Addr().String()
		default:
			address = s.exchange.Addr()
		}
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// HTTP returns a client that reaches and trusts the stand-in and follows no
// redirect.
func (s *Stand) HTTP() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: s.Dial, TLSClientConfig: &tls.Config{RootCAs: s.Roots()}, DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (s *Stand) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{tenant}/oauth2/v2.0/authorize", s.noted("authorize", s.authorize(s.entraAsking)))
	mux.HandleFunc("/{tenant}/oauth2/v2.0/token", s.noted("token", s.tokens(s.entraGive)))
	mux.HandleFunc("/o/oauth2/v2/auth", s.noted("authorize", s.authorize(s.googleAsking)))
	mux.HandleFunc("/token", s.noted("token", s.tokens(s.googleGive)))
	mux.HandleFunc("/v1.0/me/sendMail", s.noted("graph", s.graphMe))
	mux.HandleFunc("/v1.0/users/{mailbox}/sendMail", s.noted("graph", s.graphUser))
	mux.HandleFunc("/", s.noted("other", func(a *answer, _ *http.Request) { a.status = http.StatusNotFound }))
	return mux
}
