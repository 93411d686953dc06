package journey

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/test/peers"
)

// canaries does what could spill secrets, then looks for them in everything
// that Sealpost wrote: the log, what it printed, its files or database, and
// every answer that it gave to anybody but where a person asked to see one.
func canaries(t *testing.T, e *estate) {
	e.spill(t)
	for name, d := range e.people {
		for _, a := range d.seen {
			if shown(a) {
				continue
			}
			where := fmt.Sprintf("the answer to %s's %s %s", name, a.method, a.path)
			e.sweep(t, where, []byte(a.body))
			e.sweep(t, where+" (Location)", []byte(a.location()))
		}
	}
	e.sweep(t, "the log", []byte(e.log.String()))
	e.sweep(t, "the exported audit log", []byte(e.people["grace"].get("/audit/export.csv").body))
	e.sweepStored(t)
	e.provesItself(t)
}

// shown reports whether an answer is one in which a secret belongs: a password
// that was asked for, or a captured letter with its link.
func shown(a answer) bool {
	return a.method == http.MethodPost && strings.HasSuffix(a.path, "/reveal") ||
		a.method == http.MethodGet && strings.HasPrefix(a.path, "/admin/mail/capture/")
}

// spill brings secrets to places where they could be kept by mistake: wrong
// passwords, forms that are refused, tests of a mail server, a forgotten
// password, secrets in addresses.
func (e *estate) spill(t *testing.T) {
	t.Helper()
	grace, owner := e.people["grace"], e.people["owner"]
	if got := owner.send(e.paths["account"], e.paths["account"]+"/reveal", map[string]string{"how": "reveal"}); got.status != http.StatusOK {
		t.Errorf("revealing: status %d\n%s", got.status, words(got.body))
	}
	e.secrets["a mistyped password"] = "canary-mistyped-Kite8"
	newDesk(t, e.URL()).send("/sign-in", "/sign-in", map[string]string{"login": "user", "password": e.secrets["a mistyped password"]})
	e.secrets["a refused password"] = "canary-short"
	owner.send("/profile/password", "/profile/password", map[string]string{"old": "no", "password": e.secrets["a refused password"]})
	e.secrets["a code in an address"] = "canarycodeinanaddress"
	newDesk(t, e.URL()).get("/invite?code=" + e.secrets["a code in an address"])

	e.secrets["a reset link"] = e.reset(t, "user")
	e.secrets["a mail password"] = "canary-mail-Quill4!moat"
	e.testsPostfix(t, grace)
	e.sendsWithTokens(t, grace)

	for name, d := range e.people {
		u, err := url.Parse(e.URL())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range d.client.Jar.Cookies(u) {
			if len(c.Value) > 20 {
				e.secrets[name+"'s cookie "+c.Name] = c.Value
			}
		}
	}
}

// reset lets somebody forget their password, and returns the code in the
// letter.
func (e *estate) reset(t *testing.T, login string) string {
	t.Helper()
	newDesk(t, e.URL()).send("/forgot", "/forgot", map[string]string{"login": login})
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		text, _ := e.captured(t, login+"@example.org")
		if strings.Contains(text, "/reset#") {
			return codeIn.FindStringSubmatch(text)[1]
		}
	}
	t.Fatal("no letter about a new password came")
	return ""
}

// testsPostfix types a password into the mail settings and tests it against a
// real server, to the end, without saving.
func (e *estate) testsPostfix(t *testing.T, grace *desk) {
	t.Helper()
	post := peers.Postfix(t)
	login := "canary-" + string(e.engine)
	post.AddUser(t, login, e.secrets["a mail password"])
	const settings = "/admin/settings/mail"
	form := grace.fill(settings, settings, map[string]string{
		"kind": "smtp", "host": peers.Host, "port": fmt.Sprint(post.Submission), "security": "starttls",
		"sender_address": "vault@example.org", "signin": "yes", "auth": "typed", "username": login,
		"password_action": "replace", "password": e.secrets["a mail password"], "test_to": graceEmail,
	})
	for _, mechanism := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
		form.Set("mechanism", mechanism)
		test := grace.post(settings+"/test", form)
		if form.Get("trust") == "" {
			form.Set("trust", lastTrust(grace, test.body))
			test = grace.post(settings+"/test", form)
		}
		if !strings.Contains(test.body, "accepted the mail") || !strings.Contains(test.body, "AUTH "+mechanism) {
			t.Errorf("the test with %s did not pass, or shows no transcript\n%s", mechanism, words(test.body))
		}
	}
}

// sendsWithTokens sends letters with every kind of token, tests them to the end,
// and begins a sign-in that is refused.
func (e *estate) sendsWithTokens(t *testing.T, grace *desk) {
	t.Helper()
	e.stand.Register(e.URL() + mail.RedirectOwn)
	form := exchangeAt(e.stand, e.URL())
	refused := with(form, "client_secret", "canary~refused.client-secret_3Wd")
	grace.returns(e.stand.SignIn(t, grace.leaves(refused), oauthtest.Person{Name: oauthtest.Alerts}))
	e.secrets["a refused client secret"] = refused["client_secret"]

	grace.signsIn(e.stand, form, oauthtest.Alerts)
	waitLetter(t, e.stand, grace.invitesOne("by-token"))
	// Grace has made all the tests of a minute.
	admin := e.people["admin"]
	if a := admin.post(settings+"/test", admin.fill(settings, settings, map[string]string{"test_to": graceEmail})); !strings.Contains(a.body, "AUTH XOAUTH2") {
		t.Errorf("the test shows no transcript of a sign-in with a token\n%s", words(a.body))
	}
	saves := func(over map[string]string) {
		grace.done(settings, settings, with(over, "do", "anyway"))
	}
	saves(with(form, "grant", "application", "scopes", e.stand.GraphURL()+"/.default", "via", "graph", "graph_url", e.stand.GraphURL()))
	waitLetter(t, e.stand, grace.invitesOne("by-graph"))

	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text, cert := certify(t, key, time.Now())
	app := e.stand.App(oauthtest.ClientID)
	app.Certificates = append(app.Certificates, cert)
	e.stand.PutApp(app)
	saves(with(form, "grant", "application", "client_auth", "certificate", "scopes", application,
		"client_secret", "", "client_key_action", "replace", "client_key", text))
	waitLetter(t, e.stand, grace.invitesOne("by-certificate"))

	file := string(e.stand.Delegate(t))
	saves(with(form, "kind", "smtp", "signin", "yes", "auth", "oauth", "provider", "google_service", "security", "starttls",
		"port", fmt.Sprint(e.stand.Gmail().Port()), "sender_address", oauthtest.Robot, "mailbox", oauthtest.Robot, "client_secret", "",
		"client_key_action", "replace", "client_key", file, "scopes", "https://mail.google.com/", "token_url", e.stand.GoogleTokenURL()))
	waitLetter(t, e.stand, grace.invitesOne("by-service"))

	e.secrets["the client secret of Microsoft's"] = oauthtest.ClientSecret
	e.secrets["the client's key"] = string(key.Primes[0].Bytes()[8:56])
	_, rest, _ := strings.Cut(file, `PRIVATE KEY-----\n`)
	e.secrets["the service account's key"] = rest[200:240]
	given := e.stand.Secrets()
	// Two codes, a verifier, a refresh token, four access tokens and two
	// assertions at the least.
	if len(given) < 10 {
		t.Errorf("only %d codes, tokens, verifiers and assertions", len(given))
	}
	for i, v := range given {
		e.secrets[fmt.Sprintf("the code, token, verifier or assertion %d", i)] = v
	}
}

// sweepStored looks through the data folder, and through every row of
// PostgreSQL.
func (e *estate) sweepStored(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(e.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		e.sweep(t, "the file "+d.Name(), b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range e.rows(t) {
		e.sweep(t, "a row of the database", b)
	}
}

// rows returns every row of every table of PostgreSQL, as text.
func (e *estate) rows(t *testing.T) [][]byte {
	t.Helper()
	if e.database == "" {
		return nil
	}
	db, err := sql.Open("pgx", e.database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	strs := func(query string) [][]byte {
		found, err := db.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer found.Close()
		var all [][]byte
		for found.Next() {
			var b []byte
			if err := found.Scan(&b); err != nil {
				t.Fatal(err)
			}
			all = append(all, b)
		}
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		return all
	}
	var all [][]byte
	for _, name := range strs(`SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`) {
		all = append(all, strs(`SELECT CAST(r AS text) FROM "`+string(name)+`" r`)...)
	}
	return all
}

// sweep looks for each secret in each of the forms in which it could stand.
func (e *estate) sweep(t *testing.T, where string, b []byte) {
	t.Helper()
	for name, secret := range e.secrets {
		for _, form := range forms(secret) {
			if bytes.Contains(b, []byte(form)) {
				t.Errorf("%s holds %s", where, name)
				break
			}
		}
	}
}

// forms are the ways in which a secret could be written.
func forms(secret string) []string {
	all := []string{
		secret, html.EscapeString(secret), url.QueryEscape(secret), url.PathEscape(secret),
		hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))),
	}
	// In base64 a text looks one of three ways, by where it begins; its first
	// and last letters mix with what stands beside it.
	for before := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", before) + secret))
		all = append(all, encoded[4:len(encoded)-4])
	}
	return all
}

// provesItself checks that the sweep would find something.
func (e *estate) provesItself(t *testing.T) {
	t.Helper()
	secret := e.secrets["the vault password"]
	encoded := base64.StdEncoding.EncodeToString([]byte("\x00login\x00" + secret))
	for _, text := range []string{"x" + secret + "y", "AUTH PLAIN " + encoded, hex.EncodeToString([]byte("ab" + secret))} {
		found := false
		for _, form := range forms(secret) {
			found = found || strings.Contains(text, form)
		}
		if !found {
			t.Errorf("the sweep overlooks %q", text)
		}
	}
	seen := false
	for _, a := range e.people["owner"].seen {
		seen = seen || shown(a) && strings.Contains(a.body, secret)
	}
	if !seen {
		t.Error("nobody looked at the vault password: the sweep had nothing to tell apart")
	}
	if !strings.Contains(e.log.String(), "password.revealed") {
		t.Error("the log tells of no reveal: it is not the log")
	}
	if rows := e.rows(t); e.database != "" && len(rows) < 20 {
		t.Errorf("only %d rows were looked at", len(rows))
	}
}
