package web_test

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/capture"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/dkim"
	"github.com/sealpost/sealpost/internal/mail/domain"
	"github.com/sealpost/sealpost/internal/mail/domain/domaintest"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/servers"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/server"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
	"github.com/sealpost/sealpost/internal/vault"
	"github.com/sealpost/sealpost/internal/web"
)

const goodPassword = "gherkin-anvil-sextant-9"

const accessURL = "https://vault.example.org:7272"

// rig is an installation behind a real HTTPS listener.
type rig struct {
	t       *testing.T
	db      *store.DB
	clock   *storetest.Clock
	users   *identity.Service
	vault   *vault.Service
	mail    *mail.Service
	second  *mail.Service
	servers *servers.Service
	bounces *bounce.Service
	capture *capture.Mailbox
	box     *outbox.Outbox
	audit   *audit.Log
	dkim    *dkim.Service
	// dns is asked through resolver.
	dns      *domaintest.Server
	resolver *domain.Resolver
	site     *web.Site
	srv      *httptest.Server
	log      *bytes.Buffer
	// entra is where tokens come from.
	entra *authority
}

// empty is an installation that nobody set up.
func empty(t *testing.T, db *store.DB, clock *storetest.Clock) *rig {
	t.Helper()
	r := &rig{t: t, db: db, clock: clock, log: &bytes.Buffer{}}
	root, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
	r.must(err)
	keys, err := keyring.Open(t.Context(), keyring.Config{DB: db, Root: root})
	r.must(err)
	letters, err := letter.New()
	r.must(err)
	quiet := slog.New(slog.DiscardHandler)
	r.audit = audit.New(audit.Config{DB: db, Keys: keys, Log: quiet})
	r.box = outbox.New(outbox.Config{
		DB: db, Keys: keys, Letters: letters, Audit: r.audit, Route: servers.Route,
		Failed: func(tx *store.Tx, id string) error { return r.bounces.Refused(tx, id) },
	})
	r.entra = startAuthority(t, clock)
	allowed, err := oauth.NewAuthorities([]string{r.entra.host()})
	r.must(err)
	client := oauth.NewClient(oauth.Config{Authorities: allowed, Roots: r.entra.roots(), Now: clock.Now})
	keeper := token.New(token.Config{DB: db, Keys: keys, Client: client, Now: clock.Now, Log: quiet})
	t.Cleanup(func() { r.must(keeper.Close(context.WithoutCancel(t.Context()))) })
	table, err := verdict.New()
	r.must(err)
	c := mail.Config{
		OAuth: client, Authorities: allowed, Tokens: keeper, Table: table,
		DB: db, Keys: keys, Audit: r.audit, Letters: letters, Gate: r.box.GateOf(outbox.Main), Now: clock.Now, Log: quiet,
		CaptureAddr: func() string { return cmp.Or(r.capture.Addr(), "127.0.0.1:7225") }, Secrets: stored{r},
		Prove: func(by actor.Actor) error { return identity.RequireProof(by, clock.Now()) },
	}
	r.mail = mail.New(c)
	c.Slot, c.Gate, c.Removed = mail.Second, r.box.GateOf(outbox.Second), func(tx *store.Tx, by actor.Actor) error { return r.servers.Removed(tx, by) }
	r.second = mail.New(c)
	r.servers = servers.New(servers.Config{DB: db, Audit: r.audit, Outbox: r.box, Main: r.mail, Second: r.second, Prove: c.Prove})
	r.users, err = identity.New(identity.Config{
		DB: db, Keys: keys, Audit: r.audit, Outbox: r.box, Letters: letters, Now: clock.Now, Log: quiet,
	})
	r.must(err)
	r.vault, err = vault.New(vault.Config{DB: db, Keys: keys, Audit: r.audit, Users: r.users, Now: clock.Now, Log: quiet})
	r.must(err)
	r.users.Holdings = r.vault
	r.capture = capture.New(capture.Config{DB: db, Keys: keys, Audit: r.audit, Log: quiet})
	r.buildDKIM(keys, c.Prove)
	doctor, err := diagnose.New(diagnose.Config{Mail: r.mail, Letters: letters, DB: db, Now: clock.Now, Note: r.noteTest, DNS: r.resolver})
	r.must(err)
	doctor2, err := diagnose.New(diagnose.Config{Mail: r.second, Letters: letters, DB: db, Now: clock.Now, Note: r.noteTest})
	r.must(err)
	r.bounces, err = bounce.New(bounce.Config{DB: db, Keys: keys, Audit: r.audit, Outbox: r.box, Secrets: c.Secrets, Prove: c.Prove, Log: quiet})
	r.must(err)
	r.site, err = web.New(web.Config{
		Users: r.users, Vault: r.vault, Capture: r.capture, Mail: r.mail, Doctor: doctor, Second: r.second, SecondDoctor: doctor2, Servers: r.servers, Bounces: r.bounces, DKIM: r.dkim, Outbox: r.box, Audit: r.audit, DB: db, Letters: letters,
		Log: slog.New(slog.NewTextHandler(r.log, nil)), Now: clock.Now, Version: "test",
	})
	r.must(err)
	r.srv = httptest.NewTLSServer(server.Chain(r.site.Handler(), server.ChainConfig{Log: quiet}))
	t.Cleanup(r.srv.Close)
	return r
}

// noteTest writes a test mail into the journal of letters.
func (r *rig) noteTest(ctx context.Context, s diagnose.Sent) error {
	state := outbox.Failed
	if s.Accepted {
		state = outbox.Accepted
	}
	return r.box.Note(ctx, outbox.Sent{
		Kind: letter.KindTest, MessageID: s.MessageID, To: outbox.Recipient{Address: s.To.Spec()}, Subject: s.Subject, Took: s.Took,
		MaybeSent: s.MaybeSent, Outcome: outbox.Outcome{
			State: state, Stage: s.Stage, Code: s.Code, Enhanced: s.Enhanced, Reply: s.Reply, Advice: s.Advice, QueueID: s.QueueID, Server: s.Server,
		},
	})
}

// stored are the accounts of a rig as mail uses them.
type stored struct{ r *rig }

func (s stored) Current(ctx context.Context, accountID string) (mail.Credential, error) {
	login, password, version, err := s.r.vault.CurrentCredential(ctx, accountID)
	return mail.Credential{Login: login, Password: password, Version: version}, err
}

func (s stored) HoldAccount(tx *store.Tx, accountID string) (string, error) {
	return s.r.vault.HoldAccount(tx, accountID)
}

func (s stored) MayUse(ctx context.Context, by actor.Actor, accountID string) error {
	return s.r.vault.MayUse(ctx, by, accountID)
}

// onSQLite returns an empty installation on SQLite.
func onSQLite(t *testing.T) *rig {
	t.Helper()
	clock := storetest.NewClock()
	return empty(t, storetest.OpenConfig(t, storetest.Config(t, store.SQLite, clock)), clock)
}

// ready returns an installation on SQLite that grace set up, and her browser.
func ready(t *testing.T) (*rig, *browser) {
	t.Helper()
	clock := storetest.NewClock()
	c := storetest.Config(t, store.SQLite, clock)
	made := prepared.get(t)
	if err := os.WriteFile(c.Path, made.image, 0o600); err != nil {
		t.Fatal(err)
	}
	r := empty(t, storetest.OpenConfig(t, c), clock)
	b := r.browser()
	b.client.Jar.SetCookies(r.address(), made.cookies)
	return r, b
}

// installation is a database that grace set up, with her cookies: checking
// her password anew for each test would take most of their time.
type installation struct {
	once    sync.Once
	image   []byte
	cookies []*http.Cookie
}

var prepared installation

func (i *installation) get(t *testing.T) *installation {
	t.Helper()
	i.once.Do(func() {
		clock := storetest.NewClock()
		c := storetest.Config(t, store.SQLite, clock)
		r := empty(t, storetest.OpenConfig(t, c), clock)
		b := r.setUp()
		for _, got := range b.client.Jar.Cookies(r.address()) {
			i.cookies = append(i.cookies, &http.Cookie{Name: got.Name, Value: got.Value, Path: "/", Secure: true})
		}
		r.srv.Close()
		r.must(r.db.Close())
		var err error
		i.image, err = os.ReadFile(c.Path)
		r.must(err)
	})
	if i.image == nil {
		t.Fatal("the installation could not be prepared")
	}
	return i
}

// address is where the installation listens.
func (r *rig) address() *url.URL {
	r.t.Helper()
	u, err := url.Parse(r.srv.URL)
	r.must(err)
	return u
}

// eachReady is ready on both engines.
func eachReady(t *testing.T, f func(r *rig, grace *browser)) {
	t.Helper()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := empty(t, db, clock)
		f(r, r.setUp())
	})
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// setUp makes grace the first user, opens the gate, and signs her in.
func (r *rig) setUp() *browser {
	r.t.Helper()
	r.must(r.db.Update(r.t.Context(), func(tx *store.Tx) error { return r.box.GateOf(outbox.Main).OpenGate(tx) }))
	token, err := r.users.SetupLink(r.t.Context())
	r.must(err)
	_, _, err = r.users.Setup(r.t.Context(), actor.Actor{Door: "setup"}, token, identity.SetupRequest{
		Name: "Grace Hopper", Login: "grace", Email: "grace@example.org", Password: secret.New(goodPassword),
		AccessURL: accessURL, Organisation: "Example Ltd",
	})
	r.must(err)
	return r.signIn("grace")
}

// closeGate keeps letters back.
func (r *rig) closeGate() {
	r.t.Helper()
	r.must(r.db.Update(r.t.Context(), func(tx *store.Tx) error {
		return r.box.GateOf(outbox.Main).CloseGate(tx, outbox.ReasonNoServer, "No mail server is set up.")
	}))
}

// system is an actor that may do everything.
func (r *rig) system() actor.Actor { return actor.System("test") }

// join adds a user with a role and signs them in.
func (r *rig) join(login string, role actor.Role) *browser {
	r.t.Helper()
	_, err := r.users.Invite(r.t.Context(), r.system(), identity.NewUser{
		Name: "User " + login, Login: login, Email: login + "@example.org", Role: role,
	})
	r.must(err)
	_, _, err = r.users.AcceptInvite(r.t.Context(), actor.Actor{}, r.code(letter.KindInvitation, login+"@example.org"), secret.New(goodPassword))
	r.must(err)
	return r.signIn(login)
}

// code reads the code out of the newest letter of a kind to an address, as
// delivery gets it; it takes all waiting ones.
func (r *rig) code(kind, address string) secret.Value {
	r.t.Helper()
	claims, err := r.box.Claim(r.t.Context(), outbox.Main, 100, time.Minute, "sender")
	r.must(err)
	var found string
	for _, c := range claims {
		r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: c.ID, Attempt: c.Attempt, State: outbox.Accepted}))
		if c.Kind != kind || c.To.Address != address {
			continue
		}
		for word := range strings.FieldsSeq(c.Content.Text.Reveal()) {
			if link, token, ok := strings.Cut(word, "#"); ok && strings.HasPrefix(link, accessURL+"/") {
				found = token
			}
		}
	}
	if found == "" {
		r.t.Fatalf("no letter %q with a link to %s among %d", kind, address, len(claims))
	}
	return secret.New(found)
}

// user returns a user as stored.
func (r *rig) user(login string) identity.User {
	r.t.Helper()
	u, err := r.users.UserByLogin(r.t.Context(), r.system(), login)
	r.must(err)
	return u
}

// browser is a person's browser: it keeps cookies and does not follow
// redirects by itself.
type browser struct {
	r      *rig
	client *http.Client
	// header is sent with every request.
	header http.Header
}

func (r *rig) browser() *browser {
	jar, err := cookiejar.New(nil)
	r.must(err)
	client := r.srv.Client()
	return &browser{r: r, header: http.Header{}, client: &http.Client{
		Transport: client.Transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (r *rig) signIn(login string) *browser {
	r.t.Helper()
	b := r.browser()
	b.post("/sign-in", "login", login, "password", goodPassword).sees(http.StatusSeeOther)
	return b
}

// answer is what came back.
type answer struct {
	b      *browser
	what   string
	status int
	header http.Header
	body   string
}

func (b *browser) do(method, path string, body io.Reader, kind string) *answer {
	b.r.t.Helper()
	req, err := http.NewRequestWithContext(b.r.t.Context(), method, b.r.srv.URL+path, body)
	b.r.must(err)
	for name, values := range b.header {
		req.Header[name] = values
		if name == "Host" {
			req.Host = values[0]
		}
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := b.client.Do(req)
	b.r.must(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	b.r.must(err)
	return &answer{b: b, what: method + " " + path, status: res.StatusCode, header: res.Header, body: string(text)}
}

func (b *browser) get(path string) *answer {
	b.r.t.Helper()
	return b.do(http.MethodGet, path, nil, "")
}

// post sends a form of names and values.
func (b *browser) post(path string, pairs ...string) *answer {
	b.r.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return b.do(http.MethodPost, path, strings.NewReader(form.Encode()), "application/x-www-form-urlencoded")
}

// sees checks the status and that each text shows.
func (a *answer) sees(status int, texts ...string) *answer {
	a.b.r.t.Helper()
	if a.status != status {
		a.b.r.t.Fatalf("%s: status %d, want %d\n%s\n%s", a.what, a.status, status, a.text(), a.b.r.log)
	}
	for _, text := range texts {
		if !strings.Contains(a.text(), text) {
			a.b.r.t.Errorf("%s does not show %q:\n%s", a.what, text, a.text())
		}
	}
	return a
}

// lacks checks that no text shows, anywhere in the source.
func (a *answer) lacks(texts ...string) *answer {
	a.b.r.t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			a.b.r.t.Errorf("%s shows %q", a.what, text)
		}
	}
	return a
}

// leads checks where a redirect leads and follows it.
func (a *answer) leads(to string) *answer {
	a.b.r.t.Helper()
	a.sees(http.StatusSeeOther)
	if got := a.header.Get("Location"); got != to {
		a.b.r.t.Fatalf("%s leads to %q, want %q", a.what, got, to)
	}
	return a.b.get(to)
}

var spaces = regexp.MustCompile(`\s+`)

// text returns what a person reads, and the values of fields in brackets.
func (a *answer) text() string {
	doc, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		return a.body
	}
	var b strings.Builder
	for n := range doc.Descendants() {
		switch {
		case n.Type == html.TextNode:
			b.WriteString(n.Data)
		case n.Type == html.ElementNode && n.Data == "input" && attribute(n, "type") != "hidden" && attribute(n, "type") != "radio":
			b.WriteString(" [" + attribute(n, "name") + "=" + attribute(n, "value") + "] ")
		}
	}
	return spaces.ReplaceAllString(b.String(), " ")
}

// value returns the value of the field with a name.
func (a *answer) value(name string) string {
	a.b.r.t.Helper()
	doc, err := html.Parse(strings.NewReader(a.body))
	a.b.r.must(err)
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == "input" && attribute(n, "name") == name {
			return attribute(n, "value")
		}
	}
	a.b.r.t.Fatalf("%s has no field %q", a.what, name)
	return ""
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
