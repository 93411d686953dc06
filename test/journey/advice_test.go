package journey

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/app"
	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/test/peers"
)

// What becomes of a letter.
const (
	// retries: it is tried again later, and mail goes on.
	retries = "retry"
	// pauses: mail is paused, and all letters are kept. signs is the same where
	// the page offers to sign in again.
	pauses, signs = "pause", "sign in"
	// fails: this letter failed, and others leave.
	fails = "fail"
)

// fact is something that authorities or mail servers are known to say, or a way
// in which they cannot be reached, and what an administrator is to read then.
type fact struct {
	// at is where it happens: "token", a command of SMTP, "CONNECT", "CONTENT",
	// or "network".
	at string
	// numbers are Microsoft's at the token endpoint; one of them is enough for
	// a short run. Else reply is the reply, or the body of the answer, with
	// this status.
	numbers []int
	status  int
	reply   string
	// network changes how the server is reached.
	network func(*street)
	become  string
	// longer is for how much longer than usual the server is left alone.
	longer time.Duration
	// want are words of the page: what it means, and what to do.
	want []string
}

// street is an office in a town in which names lead where the test wants, with
// a mail server of every name besides those of Microsoft and Google.
type street struct {
	*office
	grace *desk
	// entered is when grace signed in last; read tells that the page was read
	// whole once for the server of now.
	entered time.Time
	read    bool
	relay   *smtptest.Sink
	// sinks are all that take letters, relay one of them.
	sinks []*smtptest.Sink
	lab   *smtptest.Lab
	// cases are bad certificates; leaf is the relay's good one.
	cases []smtptest.Case
	leaf  *smtptest.Cert
	// name is the profile that is tried, for addresses of letters; n counts
	// them.
	name string
	n    int
	// waiting are addresses of letters that are kept, longer is for how much
	// longer than usual.
	waiting []string
	longer  time.Duration

	// connected counts connections to mail servers.
	connected atomic.Int64

	mu sync.Mutex
	// routes are where "host:port" leads in place of the usual; diverted are
	// those that lead elsewhere for a fact.
	routes, diverted map[string]route
	// replies of the relay wait for commands.
	replies map[string][]string
}

// route connects with whatever is at its end.
type route func(context.Context) (net.Conn, error)

const (
	relayLogin    = "alerts"
	relayPassword = "canary-relay-Wq7!heron"
)

func openStreet(t *testing.T, engine store.Engine) *street {
	w := &street{
		office: &office{clock: &hands{}}, routes: map[string]route{}, diverted: map[string]route{}, replies: map[string][]string{},
	}
	w.stand = oauthtest.Start(t, oauthtest.Options{Now: w.clock.Now, TokenLife: tokenLife, Limits: &oauthtest.Limits{}})
	w.lab = smtptest.NewLab(t, w.clock.Now())
	w.leaf = w.lab.Make(smtptest.Order{
		Name: smtptest.Host, DNS: []string{smtptest.Host, "smtp.office365.com", "smtp.gmail.com", "smtp.zoho.eu"},
		By: w.stand.CA(), Until: 9000 * time.Hour,
	})
	shown := w.leaf.TLS(w.stand.CA())
	w.relay = smtptest.StartSink(t, smtptest.SinkConfig{
		Certificate: &shown, Mechanisms: []string{"PLAIN", "LOGIN"}, Login: relayLogin, Password: relayPassword, Answer: w.answer,
	})
	w.sinks = []*smtptest.Sink{w.relay}
	roots := w.stand.Roots()
	for _, c := range w.lab.Cases() {
		if badCertificates()[c.ID] == nil {
			continue
		}
		w.cases = append(w.cases, c)
		for _, root := range c.Import {
			roots.AddCert(root)
		}
	}
	w.house = open(t, engine, func(c *config.Config, o *app.Outside) {
		o.Now, o.MailRoots, o.Dial = w.clock.Now, roots, w.dial
		o.Resolve = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	})
	w.stand.Register(w.URL() + mail.RedirectOwn)
	tenant := w.stand.Tenant(oauthtest.Contoso)
	tenant.Passwords = true
	w.stand.PutTenant(tenant)
	w.grace, w.entered = w.settle(t), w.clock.Now()
	return w
}

// dial leads names to where they lead in this street.
func (w *street) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	to, ok := w.diverted[address]
	if !ok {
		to, ok = w.routes[address]
	}
	w.mu.Unlock()
	if !ok {
		to = func(ctx context.Context) (net.Conn, error) { return w.stand.Dial(ctx, network, address) }
	}
	conn, err := to(ctx)
	if err != nil || strings.HasSuffix(address, ":443") {
		return conn, err
	}
	w.connected.Add(1)
	return &counted{Conn: conn, gone: sync.OnceFunc(func() { w.connected.Add(-1) })}, nil
}

// counted is a connection to a mail server.
type counted struct {
	net.Conn
	gone func()
}

// Close ends the connection.
func (c *counted) Close() error {
	defer c.gone()
	return c.Conn.Close()
}

// divert lets "host:port" lead elsewhere for a fact, restore leads it back.
func (w *street) divert(address string, to route) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.diverted[address] = to
}

func (w *street) restore() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.diverted)
}

// leads lets "host:port" lead to a server of the test.
func (w *street) leads(address string, s *smtptest.Server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.routes[address] = func(ctx context.Context) (net.Conn, error) { return s.Dial(ctx, "tcp", "") }
}

// answer is what the relay says next.
func (w *street) answer(a smtptest.Asked) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting := w.replies[a.Verb]
	if len(waiting) == 0 {
		return ""
	}
	w.replies[a.Verb] = waiting[1:]
	return waiting[0]
}

// copies counts the letters for an address, wherever they came out.
func (w *street) copies(address string) int {
	n := len(w.to(address))
	for _, s := range w.sinks {
		for _, l := range s.Letters() {
			if slices.Contains(l.To, address) {
				n++
			}
		}
	}
	return n
}

// microsoft is a form for the real names of Microsoft's.
func (w *street) microsoft() map[string]string {
	return with(w.exchange(), "host", "smtp.office365.com", "port", "587", "cloud", "global", "authorize_url", "", "token_url", "", "scopes", "",
		"pace_per_minute", "6000", "pace_connections", "1")
}

// password is one for a server that takes a password, behind a name.
func (w *street) password(host string) map[string]string {
	w.leads(host+":587", w.relay.Server)
	return map[string]string{
		"kind": "smtp", "host": host, "port": "587", "security": "starttls", "sender_address": "vault@example.org", "access_url": w.URL(),
		"signin": "yes", "auth": "typed", "username": relayLogin, "password_action": "replace", "password": relayPassword,
		"pace_per_minute": "6000", "pace_connections": "1", "timeout_greeting": "1", "test_to": graceEmail, "own_password": gracePassword,
	}
}

// enter signs grace in again before the session is too old: days go by in this
// street.
func (w *street) enter() {
	w.grace.t.Helper()
	if now := w.clock.Now(); now.Sub(w.entered) > 8*time.Hour {
		w.grace.post("/sign-out", nil)
		w.grace.signIn("grace", gracePassword)
		w.entered = now
	}
}

// adds adds a user and returns the address.
func (w *street) adds() string {
	w.grace.t.Helper()
	w.n++
	login := fmt.Sprintf("%s-%d", w.name, w.n)
	form := url.Values{"name": {"Somebody"}, "login": {login}, "email": {login + "@example.org"}, "role": {"password_user"}}
	a := w.grace.post("/users/add", form)
	// While mail is paused the answer is the page with the link.
	if a.status != http.StatusSeeOther && a.status != http.StatusOK || strings.HasPrefix(a.location(), "/sign-in") {
		w.grace.t.Fatalf("adding %s: status %d, to %s\n%s", login, a.status, a.location(), words(a.body))
	}
	return login + "@example.org"
}

const (
	// aWhile ends a connection, a token, and what speaks for a server.
	aWhile = 11 * time.Minute
	// longWhile ends what a server or a letter is left alone for. A session
	// outlives it.
	longWhile = 25 * time.Minute
)

// maxWaiting is how many letters may wait: they must not end meanwhile.
const maxWaiting = 50

// settles lets all letters leave that wait, and checks that each came once.
func (w *street) settles(t *testing.T) {
	t.Helper()
	if len(w.waiting) == 0 {
		return
	}
	w.clock.Advance(longWhile + w.longer)
	if w.longer > 0 {
		w.longer, w.entered = 0, time.Time{} // no session outlives that
	}
	w.enter()
	w.opens("/resume")
	for _, address := range w.waiting {
		for deadline := time.Now().Add(patience); w.copies(address) == 0; <-time.After(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no letter for %s\n%s", address, words(w.grace.get(settings).body))
			}
		}
	}
	// What is said next must not be held against a letter because another one
	// was taken just before.
	w.until(t, settings, "", []string{"WaitingNo letters"}).says(t, "WaitingNo letters")
	for _, address := range w.waiting {
		if n := w.copies(address); n != 1 {
			t.Errorf("%s got %d letters", address, n)
		}
	}
	w.waiting = nil
}

// opens stops or resumes mail.
func (w *street) opens(act string) {
	w.grace.t.Helper()
	if a := w.grace.post(settings+act, nil); a.status != http.StatusSeeOther || a.location() != settings {
		w.grace.t.Fatalf("%s: status %d, to %s", act, a.status, a.location())
	}
}

// rests waits until nobody is connected to a mail server: the delivery has seen
// that mail is stopped, and nothing of before is in its hands.
func (w *street) rests(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); w.connected.Load() > 0; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a connection stays while mail is stopped")
		}
	}
}

// meets lets a letter meet what a fact says, and reads what the pages say then.
func (w *street) meets(t *testing.T, f fact, number int) {
	t.Helper()
	w.enter()
	ofLetter := f.at == "MAIL" || f.at == "RCPT" || f.at == "CONTENT"
	if ofLetter || f.become == retries || len(w.waiting) >= maxWaiting {
		// Else it were another letter that meets it, or mail were paused because
		// it has gone on for so long.
		w.settles(t)
		if number != 0 {
			// Else the refresh token before this one would be tried too.
			w.signsIn(w.grace, w.microsoft(), oauthtest.Alerts)
		}
	}
	w.opens("/stop")
	w.clock.Advance(aWhile)
	address := w.adds()
	w.rests(t)
	if f.network != nil {
		f.network(w)
	}
	w.arm(f, number)
	w.opens("/resume")
	want := f.want
	switch {
	case number != 0:
		want = append([]string{fmt.Sprintf("AADSTS%d", number), "Trace ID: ", "Correlation ID: "}, want...)
	case f.at != "token" && f.reply != "":
		code, text, _ := strings.Cut(f.reply, " ")
		enhanced, _, _ := strings.Cut(text, " ")
		want = append([]string{code, enhanced}, want...)
	}
	page, tone := settings, `data-state="bad"`
	switch {
	case f.become == retries && ofLetter:
		page, tone = w.letter(t, address), ""
	case f.become == fails:
		page, tone = w.letter(t, address), "Failed"
	case f.become == retries:
		tone = `data-state="warn"`
	}
	a := w.until(t, page, tone, want)
	a.says(t, want...)
	if number != 0 && !strings.Contains(a.body, fmt.Sprintf(`href="https://login.microsoftonline.com/error?code=%d"`, number)) {
		t.Error("the page does not lead to what Microsoft says")
	}
	if button := strings.Contains(a.body, `class="btn main" name="stored"`); f.at == "token" && button != (f.become == signs) {
		t.Errorf("the page says to sign in again: %v", button)
	}
	if f.become != fails {
		w.waiting, w.longer = append(w.waiting, address), f.longer
	}
	if n := w.copies(address); n != 0 {
		t.Errorf("%d letters came all the same", n)
	}
	w.restore()
}

// arm prepares what is said next.
func (w *street) arm(f fact, number int) {
	switch {
	case number != 0:
		w.stand.FailNext(oauthtest.Failure{Number: number})
	case f.reply == "":
	case f.at == "token":
		w.stand.FailNext(oauthtest.Failure{Status: f.status, Body: f.reply})
	case w.name == "microsoft", w.name == "google":
		w.stand.SayNext(f.at, f.reply)
	default:
		w.mu.Lock()
		defer w.mu.Unlock()
		w.replies[f.at] = append(w.replies[f.at], f.reply)
	}
}

var journaled = regexp.MustCompile(`href="(/admin/mail/journal/[0-9a-f-]{36})"`)

// letter returns the page of the letter for an address.
func (w *street) letter(t *testing.T, address string) string {
	t.Helper()
	a := w.grace.get("/admin/mail/journal?q=" + url.QueryEscape(address))
	found := journaled.FindStringSubmatch(a.body)
	if found == nil {
		t.Fatalf("no letter for %s in the journal: status %d, to %s", address, a.status, a.location())
	}
	return found[1]
}

// until asks for a page until it says all that is wanted, and returns what it
// says then or in the end. Of the settings it reads the state alone, but for the
// first fact of each server.
func (w *street) until(t *testing.T, page, tone string, want []string) answer {
	t.Helper()
	part := page
	if page == settings {
		part += "/state"
	}
	for deadline := time.Now().Add(patience / 4); ; <-time.After(15 * time.Millisecond) {
		a := w.grace.get(part)
		said := words(a.body)
		missing := func(word string) bool { return !strings.Contains(said, word) }
		met := strings.Contains(a.body, tone) && !slices.ContainsFunc(want, missing)
		if !met && time.Now().Before(deadline) {
			continue
		}
		if part != page && !w.read {
			a, w.read = w.grace.get(page), true
		}
		if !strings.Contains(a.body, tone) {
			t.Errorf("the page has no %s", tone)
		}
		return a
	}
}

// Whatever is known of what authorities and mail servers say, and of how they
// cannot be reached: the page of the settings, or that of the letter, says what
// it means and what to do, with codes and ids, and the letter is kept.
func TestEveryKnownFailureIsExplained(t *testing.T) {
	tried := []store.Engine{store.SQLite}
	if peers.Torture() {
		tried = append(tried, store.Postgres)
	}
	for _, engine := range tried {
		t.Run(string(engine), func(t *testing.T) {
			w := openStreet(t, engine)
			for _, p := range []struct {
				name  string
				begin func(*testing.T)
				facts []fact
			}{
				{"microsoft", func(t *testing.T) { w.signsIn(w.grace, w.microsoft(), oauthtest.Alerts) }, slices.Concat(entraFacts(), exchangeFacts(), authorityFacts())},
				{"microsoft", func(t *testing.T) {
					w.grace.saves(with(w.microsoft(), "grant", "application"))
				}, applicationFacts()},
				{"google", func(t *testing.T) {
					form := with(w.google(), "host", "smtp.gmail.com", "port", "587", "authorize_url", "", "token_url", "", "scopes", "", "pace_per_minute", "6000", "pace_connections", "1")
					w.signsIn(w.grace, form, oauthtest.Robot)
				}, googleFacts()},
				{"exchange-password", func(t *testing.T) { w.grace.saves(w.password("smtp.office365.com")) }, exchangePasswordFacts()},
				{"gmail-password", func(t *testing.T) { w.grace.saves(w.password("smtp.gmail.com")) }, gmailPasswordFacts()},
				{"zoho", func(t *testing.T) { w.grace.saves(w.password("smtp.zoho.eu")) }, zohoFacts()},
				{"own", func(t *testing.T) { w.grace.saves(w.password(smtptest.Host)) }, slices.Concat(ownFacts(), networkFacts(t, w))},
				{"implicit", func(t *testing.T) { w.grace.saves(w.implicit(t)) }, implicitFacts(t, w)},
				{"pinned", func(t *testing.T) { w.grace.saves(w.pinned()) }, pinnedFacts(t, w)},
			} {
				w.grace.t = t
				w.enter()
				w.name, w.read = p.name, false
				p.begin(t)
				for _, f := range p.facts {
					numbers := f.numbers
					switch {
					case len(numbers) == 0:
						numbers = []int{0}
					case !peers.Torture():
						numbers = numbers[:1]
					}
					for _, n := range numbers {
						t.Run(p.name+" "+f.title(n), func(t *testing.T) {
							w.grace.t = t
							w.meets(t, f, n)
						})
						w.grace.t = t
					}
				}
				w.settles(t)
			}
		})
	}
}

// title names a fact.
func (f fact) title(number int) string {
	switch {
	case number != 0:
		return fmt.Sprintf("AADSTS%d", number)
	case f.reply == "":
		return f.at + " " + f.want[0]
	}
	return f.at + " " + f.reply[:min(len(f.reply), 60)]
}

// breaks is a route on which nobody is met.
func breaks(err error) route {
	return func(context.Context) (net.Conn, error) { return nil, err }
}

// shows is a route to a server that greets, offers STARTTLS, and shows what cfg
// has.
func shows(t testing.TB, cfg *tls.Config) route {
	const offer = "STARTTLS"
	server := smtptest.Start(t, smtptest.Script{smtptest.Greet(offer), smtptest.Expect(offer), smtptest.Say("220 go ahead"), smtptest.Handshake(cfg)})
	return func(ctx context.Context) (net.Conn, error) { return server.Dial(ctx, "tcp", "") }
}

// implicit is a form for a server that begins with TLS.
func (w *street) implicit(t testing.TB) map[string]string {
	shown := w.leaf.TLS(w.stand.CA())
	sink := smtptest.StartSink(t, smtptest.SinkConfig{
		Certificate: &shown, Implicit: true, Mechanisms: []string{"PLAIN"}, Login: relayLogin, Password: relayPassword,
	})
	w.leads(smtptest.Host+":465", sink.Server)
	w.sinks = append(w.sinks, sink)
	return with(w.password(smtptest.Host), "port", "465", "security", "implicit")
}

// pinned is one for a server whose key is pinned.
func (w *street) pinned() map[string]string {
	return with(w.password(smtptest.Host), "candidate", "pin:"+base64.StdEncoding.EncodeToString(w.leaf.Raw))
}
