package mail_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

const (
	tenant       = "11111111-2222-3333-4444-555555555555"
	foreign      = "99999999-2222-3333-4444-555555555555"
	clientID     = "aaaaaaaa-2222-3333-4444-555555555555"
	clientSecret = "the+client+secret+that+is+typed"
	nextSecret   = "the+client+secret+that+comes+next"
	sender       = "vault@example.org"
	outlook      = "outlook.example.org"
	accessURL    = "https://vault.example.org"
)

// authority gives out tokens as Microsoft does, as far as mail sees it.
type authority struct {
	*httptest.Server
	clock *storetest.Clock

	mu sync.Mutex
	// who signs in, of which directory.
	who, tid string
	secrets  []string
	// refusal, if not empty, is the body of every answer; status its status.
	refusal string
	// without is a member that answers lack.
	without string
	codes   map[string]url.Values
	// meanwhile happens once, while the next request is under way.
	meanwhile func()
	given     int
	// requests are the forms that arrived, by grant.
	requests []url.Values
	// letters are the tokens of letters handed over, by the path they took.
	letters []string
}

func startAuthority(t *testing.T, clock *storetest.Clock) *authority {
	a := &authority{clock: clock, who: sender, tid: tenant, secrets: []string{clientSecret}, codes: map[string]url.Values{}}
	a.Server = httptest.NewTLSServer(http.HandlerFunc(a.token))
	t.Cleanup(a.Close)
	return a
}

func (a *authority) host() string { return strings.TrimPrefix(a.URL, "https://") }

func (a *authority) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate())
	return pool
}

func (a *authority) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// grants counts the requests of a kind.
func (a *authority) grants(kind string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, r := range a.requests {
		if r.Get("grant_type") == kind {
			n++
		}
	}
	return n
}

// saw tells whether any request carried a value.
func (a *authority) saw(value string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.requests {
		for _, v := range r {
			if strings.Contains(strings.Join(v, " "), value) {
				return true
			}
		}
	}
	return false
}

// signIn is what a person does at the address where the browser was led: the
// query with which the browser comes back.
func (a *authority) signIn(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	q := u.Query()
	code := fmt.Sprintf("code-%d", len(a.codes))
	a.codes[code] = q
	return url.Values{"code": {code}, "state": {q.Get("state")}}
}

func (a *authority) token(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/v1.0/") {
		if token := r.Header.Get("Authorization"); token != "" {
			a.letters = append(a.letters, r.URL.Path+" "+token)
		}
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if err := r.ParseForm(); err != nil {
		http.Error(w, "no form", http.StatusBadRequest)
		return
	}
	a.requests = append(a.requests, r.PostForm)
	if f := a.meanwhile; f != nil {
		a.meanwhile = nil
		f()
	}
	w.Header().Set("Content-Type", "application/json")
	refuse := func(body string) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(body))
	}
	if a.refusal != "" {
		refuse(a.refusal)
		return
	}
	known := false
	for _, s := range a.secrets {
		known = known || r.PostForm.Get("client_secret") == s
	}
	if !known {
		refuse(`{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Trace ID: 0f1e2d3c-0000-0000-0000-000000000001 Correlation ID: 0f1e2d3c-0000-0000-0000-000000000002","error_codes":[7000215]}`)
		return
	}
	a.given++
	answer := map[string]any{"token_type": "Bearer", "access_token": fmt.Sprintf("access-token-%d", a.given), "expires_in": 3600, "scope": r.PostForm.Get("scope")}
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		q, ok := a.codes[r.PostForm.Get("code")]
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != q.Get("code_challenge") || r.PostForm.Get("redirect_uri") != q.Get("redirect_uri") {
			refuse(`{"error":"invalid_grant","error_description":"AADSTS54005: OAuth2 Authorization code was already redeemed.","error_codes":[54005]}`)
			return
		}
		delete(a.codes, r.PostForm.Get("code"))
		answer["id_token"] = a.identity(q.Get("nonce"))
		answer["refresh_token"] = fmt.Sprintf("refresh-token-%d", a.given)
	case "refresh_token":
		answer["refresh_token"] = fmt.Sprintf("refresh-token-%d", a.given)
	}
	delete(answer, a.without)
	_ = json.NewEncoder(w).Encode(answer)
}

func (a *authority) identity(nonce string) string {
	claims, _ := json.Marshal(map[string]any{
		"iss": a.URL + "/" + a.tid + "/v2.0", "aud": clientID, "nonce": nonce, "tid": a.tid, "preferred_username": a.who, "sub": "subject",
		"iat": a.clock.Now().Unix(), "exp": a.clock.Now().Add(time.Hour).Unix(),
	})
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256"}`)) + "." + part(claims) + "." + part([]byte("signature"))
}

// office is a rig with two authorities, of which one belongs to somebody else,
// and servers that take tokens.
type office struct {
	*rig
	ours, evil *authority
	// exchange takes tokens; thief would as well, under every other name.
	exchange, thief *smtptest.Server
	keeper          *token.Keeper
	browser         mail.Browser
}

func eachOffice(t *testing.T, f func(o *office)) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		o := &office{rig: newRig(t, db, clock), ours: startAuthority(t, clock), evil: startAuthority(t, clock)}
		o.browser = mail.Browser{SessionID: "session", Origin: accessURL}
		roots := o.ours.roots()
		roots.AddCert(o.evil.Certificate())
		allowed, err := oauth.NewAuthorities([]string{o.ours.host(), o.evil.host()})
		o.must(err)
		client := oauth.NewClient(oauth.Config{Authorities: allowed, Roots: roots, Now: clock.Now})
		o.keeper = token.New(token.Config{DB: db, Keys: o.cfg.Keys, Client: client, Now: clock.Now, Log: o.cfg.Log})
		t.Cleanup(func() { o.must(o.keeper.Close(context.WithoutCancel(t.Context()))) })
		table, err := verdict.New()
		o.must(err)
		cert := o.lab.Make(smtptest.Order{DNS: []string{outlook, newHost, oldHost}, IP: []net.IP{net.IPv4(127, 0, 0, 1)}, By: o.ca}).TLS()
		trap := smtptest.Script{smtptest.Greet("STARTTLS"), smtptest.StartTLS(cert), smtptest.Trap("AUTH LOGIN XOAUTH2 OAUTHBEARER")}
		o.exchange, o.thief = smtptest.Start(t, trap), smtptest.Start(t, trap)
		o.cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			switch address {
			case outlook + ":587":
				return o.exchange.Dial(ctx, network, address)
			case oldHost + ":587":
				return o.mine.Dial(ctx, network, address)
			}
			return o.thief.Dial(ctx, network, address)
		}
		o.cfg.OAuth, o.cfg.Authorities, o.cfg.Tokens, o.cfg.Table = client, allowed, o.keeper, table
		o.mail = mail.New(o.cfg)
		o.update(func(tx *store.Tx) error { return o.cfg.Letters.SetSite(tx, letter.Site{AccessURL: accessURL}) })
		f(o)
	})
}

// microsoft is a profile for which a person signs in; app one for which nobody
// does.
func (o *office) microsoft() mail.Change {
	return mail.Change{
		Kind: mail.KindMicrosoft, Host: outlook, Port: 587, SenderAddress: sender, SenderName: "Vault", Anyway: true,
		OAuth: mail.OAuth{Settings: oauth.Settings{
			Cloud: "custom", Grant: oauth.Consent, Tenant: tenant, ClientID: clientID, ClientAuth: oauth.BySecret,
			AuthorizeURL: o.ours.URL + "/{tenant}/oauth2/v2.0/authorize", TokenURL: o.ours.URL + "/{tenant}/oauth2/v2.0/token",
			Scopes: "https://outlook.office.com/SMTP.Send offline_access openid profile email",
		}},
		Client: mail.Password{Action: mail.Replace, Value: secret.New(clientSecret)},
	}
}

func (o *office) app() mail.Change {
	c := o.microsoft()
	c.OAuth.Grant, c.OAuth.Scopes = oauth.Application, "https://outlook.office365.com/.default"
	return c
}

// keeping is c without the client's secret, as a form sends it back.
func keeping(c mail.Change) mail.Change {
	c.Client = mail.Password{}
	return c
}

// begin begins a sign-in and returns its id.
func (o *office) begin(c mail.Change) string {
	o.t.Helper()
	id, err := o.mail.BeginConsent(o.t.Context(), admin, c, o.browser)
	o.must(err)
	return id
}

// away goes to the authority, signs in there and returns what the browser comes
// back with.
func (o *office) away(id string) mail.Callback {
	o.t.Helper()
	going, err := o.mail.Going(o.t.Context(), admin, id, o.browser)
	o.must(err)
	return mail.Callback{Path: mail.RedirectOwn, Query: o.ours.signIn(o.t, going.URL)}
}

func (o *office) finish(cb mail.Callback) (mail.Finished, error) {
	return o.mail.FinishConsent(o.t.Context(), admin, cb, o.browser)
}

// set up is the whole way, and wants it to be live at its end.
func (o *office) setUp(c mail.Change) mail.Profile {
	o.t.Helper()
	done, err := o.finish(o.away(o.begin(c)))
	o.must(err)
	if !done.Live {
		o.t.Fatalf("the sign-in is not live: %+v", done)
	}
	return o.active()
}

// problem wants err to be a problem.
func (o *office) wantProblem(err error) *mail.Problem {
	o.t.Helper()
	p, ok := err.(*mail.Problem)
	if !ok {
		o.t.Fatalf("got %v, want a problem", err)
	}
	return p
}

func (o *office) refused(err error, kind fault.Kind) {
	o.t.Helper()
	if !fault.Is(err, kind) {
		o.t.Errorf("got %v, want a fault of kind %v", err, kind)
	}
}

// waiting counts the sign-ins under way, and those that still keep something.
func (o *office) waiting() (rows, sealed int) {
	o.t.Helper()
	o.update(func(tx *store.Tx) error {
		return tx.Each(func(r store.Row) error {
			var n int
			err := r.Scan(&n)
			rows++
			if n > 0 {
				sealed++
			}
			return err
		}, `SELECT length(sealed) FROM mail_consent`)
	})
	return rows, sealed
}
