package web_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"mime/multipart"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/vault"
)

const (
	settingsPath = "/admin/settings/mail"
	mailPassword = "quill-harbour-42"
)

// relay is a mail server with a certificate that nobody knows.
func relay(t *testing.T, r *rig, more ...func(*smtptest.SinkConfig)) (*smtptest.Sink, *smtptest.Cert) {
	t.Helper()
	lab := smtptest.NewLab(t, r.clock.Now())
	cert := lab.Make(smtptest.Order{Name: "localhost", DNS: []string{"localhost"}})
	shown := cert.TLS()
	cfg := smtptest.SinkConfig{Certificate: &shown, Mechanisms: []string{"PLAIN", "LOGIN"}, Login: "vault", Password: mailPassword}
	for _, m := range more {
		m(&cfg)
	}
	return smtptest.StartSink(t, cfg), cert
}

// form is what somebody types into the mail settings.
type form map[string]string

// typed is a form for a server that wants a sign-in and is encrypted.
func typed(port int) form {
	return form{
		"kind": "smtp", "host": "localhost", "port": strconv.Itoa(port), "sender_address": "vault@example.org", "sender_name": "Vault",
		"access_url": accessURL, "signin": "yes", "auth": "typed", "username": "vault", "password_action": "replace", "password": mailPassword,
		"security": "starttls", "test_to": "grace@example.org", "do": "save",
	}
}

// with returns f with other values; an empty one takes the field out.
func (f form) with(pairs ...string) form {
	g := maps.Clone(f)
	for i := 0; i+1 < len(pairs); i += 2 {
		g[pairs[i]] = pairs[i+1]
		if pairs[i+1] == "" {
			delete(g, pairs[i])
		}
	}
	return g
}

func (b *browser) send(path string, f form) *answer {
	b.r.t.Helper()
	var pairs []string
	for name, value := range f {
		pairs = append(pairs, name, value)
	}
	return b.post(path, pairs...)
}

func candidate(mode string, cert *smtptest.Cert) string {
	return mode + ":" + base64.StdEncoding.EncodeToString(cert.Raw)
}

// profile is what is stored.
func (r *rig) profile() (mail.Profile, bool) {
	r.t.Helper()
	p, set, err := r.mail.Active(r.t.Context())
	r.must(err)
	return p, set
}

// actions are the audit entries of an action, the newest first.
func (r *rig) actions(action string) []audit.Entry {
	r.t.Helper()
	found, err := r.audit.Search(r.t.Context(), r.system(), audit.Filter{Action: action})
	r.must(err)
	return found.Entries
}

func TestChangedSettingsAreTestedBeforeTheyAreSaved(t *testing.T) {
	eachReady(t, func(r *rig, grace *browser) {
		sink, cert := relay(r.t, r)
		good := typed(sink.Port()).with("candidate", candidate("anchor", cert))
		grace.get(settingsPath).sees(http.StatusOK, "No mail server is set up", "Microsoft Exchange Online", "Requires authentication", "[test_to=grace@example.org]").
			lacks(`value="capture"`)

		grace.send(settingsPath, good.with("password", "wrong-one")).
			sees(http.StatusUnprocessableEntity, "The test failed, so nothing was saved.", "The server said", "535", "Save anyway", "Type the password again").
			lacks("wrong-one")
		if _, set := r.profile(); set {
			r.t.Fatal("a failed test saved the settings")
		}

		grace.send(settingsPath, good).leads(settingsPath).
			sees(http.StatusOK, "The mail server settings are saved. The test mail to grace@example.org was accepted.", "Delivering", "Set ", "[username=vault]").
			lacks(mailPassword)
		p, _ := r.profile()
		if p.TestedAt.IsZero() || len(sink.Letters()) != 1 {
			r.t.Errorf("tested at %v, %d letters arrived, want a test and one letter", p.TestedAt, len(sink.Letters()))
		}

		// A name is not what a test is about.
		grace.send(settingsPath, good.with("candidate", "", "sender_name", "Safe", "password_action", "keep", "password", "", "revision", strconv.FormatInt(p.Revision, 10))).
			leads(settingsPath).sees(http.StatusOK, "The mail server settings are saved.", "[sender_name=Safe]")
		if n := len(sink.Letters()); n != 1 {
			r.t.Errorf("%d letters arrived after a new sender name, want still one", n)
		}
	})
}

func TestSavingAnywayIsSaidAndAudited(t *testing.T) {
	r, grace := ready(t)
	f := typed(1)
	grace.send(settingsPath, f.with("do", "anyway")).leads(settingsPath).
		sees(http.StatusOK, "saved, without a passed test", "Delivering, with settings that passed no test", "These settings were saved without a passed test.")
	if n := len(r.actions("mail.saved_untested")); n != 1 {
		t.Errorf("%d audit entries tell of it, want 1", n)
	}
}

// Nobody saves again what is saved: a passed test of it is enough.
func TestAmberGoesByAPassedTest(t *testing.T) {
	r, grace := ready(t)
	sink, cert := relay(t, r)
	f := typed(sink.Port()).with("candidate", candidate("anchor", cert))
	const untested = "The stored settings were saved without a passed test."
	grace.send(settingsPath, f.with("do", "anyway")).leads(settingsPath).sees(http.StatusOK, untested)
	stored := f.with("candidate", "", "password_action", "keep", "password", "")
	grace.send(settingsPath+"/test", f.with("port", "1")).sees(http.StatusOK, "Failed", untested)
	grace.send(settingsPath+"/test", stored).sees(http.StatusOK, "Passed", "The stored settings passed a test.").lacks("settings that passed no test")
	grace.get(settingsPath).sees(http.StatusOK, "Delivering").lacks(untested)
	if n := len(r.actions("mail.tested")); n != 3 {
		t.Errorf("%d audit entries tell of two tests and what came of one", n)
	}
	// Our script is told too.
	grace.send(settingsPath, f.with("do", "anyway")).leads(settingsPath).sees(http.StatusOK, untested)
	told := ""
	for _, line := range grace.stream(settingsPath+"/test", stored) {
		if line["into"] == "stored-test" {
			told, _ = line["html"].(string)
		}
	}
	if told != "The stored settings passed a test." {
		t.Errorf("our script is told %q", told)
	}
}

func TestATestedFormIsSavedByItsToken(t *testing.T) {
	r, grace := ready(t)
	sink, cert := relay(t, r)
	good := typed(sink.Port()).with("candidate", candidate("anchor", cert))
	tested := grace.send(settingsPath+"/test", good).sees(http.StatusOK, "Passed", "accepted the mail to grace@example.org", "queued as", "Type the password again")
	tested.lacks(mailPassword)
	token := tested.value("test_token")
	if token == "" {
		t.Fatal("a passed test gave no token")
	}
	grace.send(settingsPath, good.with("test_token", token)).leads(settingsPath).sees(http.StatusOK, "The mail server settings are saved.")
	if n := len(sink.Letters()); n != 1 {
		t.Errorf("%d letters arrived, want the one of the test", n)
	}
	// The token is for those values alone.
	grace.send(settingsPath, good.with("test_token", token, "username", "other", "candidate", "")).
		sees(http.StatusUnprocessableEntity, "The test failed")
}

func TestAnUnknownCertificateIsShownWholeAndTrustedFromTheTest(t *testing.T) {
	r, grace := ready(t)
	sink, cert := relay(t, r)
	f := typed(sink.Port())
	shown := grace.send(settingsPath+"/test", f).
		sees(http.StatusOK, "Failed at “Encrypt”", "localhost", "ECDSA P-256", "Issued by", "itself", "Trust this certificate for this server", "Pin this key")
	trust := candidate("anchor", cert)
	if !strings.Contains(shown.body, `value="`+htmlAttr(trust)+`"`) {
		t.Fatal("no button carries the certificate that the server showed")
	}
	if got := sink.Leak(mailPassword); got != "" {
		t.Errorf("%q went over the wire before anybody trusted the server", got)
	}
	again := grace.send(settingsPath+"/test", f.with("trust", trust)).
		sees(http.StatusOK, "Passed", "Will be trusted for this server once saved", "Leave out")
	if got := again.value("candidate"); got != trust {
		t.Errorf("the form carries %.20q…, want the certificate", got)
	}
	// Nothing is trusted before it is saved.
	if list, err := r.mail.TrustList(t.Context(), r.system()); err != nil || len(list) != 0 {
		t.Errorf("%d certificates are trusted by a test, %v", len(list), err)
	}
	left := grace.send(settingsPath+"/fill", f.with("candidate", trust, "leave", trust)).sees(http.StatusOK)
	left.lacks("Will be trusted for this server")
	grace.send(settingsPath, f.with("candidate", candidate("pin", cert))).leads(settingsPath).sees(http.StatusOK, "Key pinned")
}

// htmlAttr is text as html/template writes it into an attribute.
func htmlAttr(text string) string { return strings.ReplaceAll(text, "+", "&#43;") }

// A stored password is for its server alone: every door asks for it again when
// anything changes that it is bound to, and nothing of it leaves before.
func TestTheStoredPasswordIsAskedForAgainWhereverItWouldGoElsewhere(t *testing.T) {
	r, grace := ready(t)
	sink, cert := relay(t, r)
	elsewhere, other := relay(t, r)
	good := typed(sink.Port()).with("candidate", candidate("anchor", cert))
	grace.send(settingsPath, good).sees(http.StatusSeeOther)
	kept := good.with("candidate", "", "password", "", "password_action", "keep")
	grace.send(settingsPath, kept).sees(http.StatusSeeOther)

	changes := map[string]form{
		"host":        kept.with("host", "127.0.0.1"),
		"port":        kept.with("port", strconv.Itoa(elsewhere.Port())),
		"security":    kept.with("security", "implicit"),
		"mechanism":   kept.with("mechanism", "LOGIN"),
		"user":        kept.with("username", "somebody"),
		"certificate": kept.with("candidate", candidate("anchor", other)),
		"a pin":       kept.with("candidate", candidate("pin", other), "port", strconv.Itoa(elsewhere.Port())),
	}
	for name, f := range changes {
		r.clock.Advance(time.Minute)
		for door, path := range map[string]string{"save": settingsPath, "save anyway": settingsPath, "test": settingsPath + "/test"} {
			sent := f
			if door == "save anyway" {
				sent = f.with("do", "anyway")
			}
			a := grace.send(path, sent).sees(http.StatusUnprocessableEntity, "The stored password is kept for the server")
			if !regexp.MustCompile(`name="password_action" value="replace" checked`).MatchString(a.body) {
				t.Errorf("%s, %s: the form does not turn to a new password", door, name)
			}
		}
		grace.header.Set("Accept", "application/json")
		answer := grace.send(settingsPath+"/test", f).sees(http.StatusUnprocessableEntity)
		grace.header.Del("Accept")
		if !strings.Contains(answer.body, `"code":"secret_required"`) || !strings.Contains(answer.body, `"field":"password"`) {
			t.Errorf("%s: the script hears %s", name, answer.body)
		}
	}
	if n := elsewhere.Connections(); n != 0 {
		t.Errorf("another server was connected to %d times with a kept password", n)
	}
	if p, _ := r.profile(); p.Port != sink.Port() || p.Host != "localhost" {
		t.Errorf("the settings went to %s", p.Server())
	}
}

func TestAMaskIsNoPassword(t *testing.T) {
	r, grace := ready(t)
	for _, mask := range []string{"**********", "••••••••••", "[redacted]"} {
		grace.send(settingsPath, typed(1).with("password", mask, "do", "anyway")).
			sees(http.StatusUnprocessableEntity, "These are the marks that are shown in place of a password.")
	}
	grace.send(settingsPath, typed(1).with("password_action", "sentinel", "do", "anyway")).
		sees(http.StatusUnprocessableEntity, "Say whether to keep, replace or clear the password.")
	if _, set := r.profile(); set {
		t.Error("a mask was saved")
	}
}

func TestWhatWasTypedSurvivesEveryError(t *testing.T) {
	_, grace := ready(t)
	f := typed(25).with("host", "no host name", "port", "x", "sender_address", "nobody", "reply_to", "also nobody", "local_name", "-", "timeout_final", "soon",
		"mechanism", "PLAIN", "security", "none")
	a := grace.send(settingsPath, f).sees(http.StatusUnprocessableEntity,
		"[host=no host name]", "[port=x]", "[sender_address=nobody]", "[reply_to=also nobody]", "[local_name=-]", "[timeout_final=soon]", "[username=vault]",
		"This is not a host name.", "The port is a number from 1 to 65535", "A timeout is between 1 second", "would travel in clear")
	a.lacks(mailPassword)
	for _, id := range []string{"host-error", "port-error", "sender_address-error", "reply_to-error", "local_name-error", "timeout_final-error", "confirm_clear-error"} {
		if !strings.Contains(a.body, `id="`+id+`"`) {
			t.Errorf("no error stands at its field: %s", id)
		}
	}
	if !strings.Contains(a.body, `value="PLAIN" selected`) {
		t.Error("the mechanism is lost")
	}
}

func TestPresetsFillAndDoNotLock(t *testing.T) {
	_, grace := ready(t)
	a := grace.send(settingsPath+"/fill", typed(25).with("preset", "zoho", "host", "x")).
		sees(http.StatusOK, "[host=smtp.zoho.com]", "[port=465]", "[sender_address=vault@example.org]", "Outside the United States")
	if !strings.Contains(a.body, `value="implicit" checked`) || regexp.MustCompile(`name="(host|port)"[^>]*readonly`).MatchString(a.body) {
		t.Error("the preset did not choose SSL, or locks a field")
	}
	a.lacks(mailPassword)
}

func TestAPasswordInClearWantsTheServersName(t *testing.T) {
	r, grace := ready(t)
	sink, _ := relay(t, r, func(c *smtptest.SinkConfig) { c.Certificate = nil })
	f := typed(sink.Port()).with("security", "none")
	grace.send(settingsPath, f).sees(http.StatusUnprocessableEntity, "The password would travel in clear")
	if n := sink.Connections(); n != 0 {
		t.Errorf("connected %d times before it was accepted", n)
	}
	grace.send(settingsPath, f.with("confirm_clear", "localhost")).leads(settingsPath).
		sees(http.StatusOK, "Delivering, with the password in clear", "The password travels in clear: everybody on the way to the mail server can read it.",
			"That was accepted for this server.")
}

func TestANewAccessURLWantsAProofBeforeAnythingIsSaved(t *testing.T) {
	r, grace := ready(t)
	r.clock.Advance(identity.ProofLife + time.Minute)
	f := typed(1).with("do", "anyway", "access_url", "https://new.example.org")
	grace.send(settingsPath, f).sees(http.StatusUnprocessableEntity, "Type your own password: a new Access URL changes every link in a mail.", "[access_url=https://new.example.org]")
	grace.send(settingsPath, f.with("own_password", "wrong")).sees(http.StatusUnprocessableEntity, "The password is not right.")
	if _, set := r.profile(); set {
		t.Fatal("the settings were saved without the proof")
	}
	grace.send(settingsPath, f.with("own_password", goodPassword)).leads(settingsPath).sees(http.StatusOK, "[access_url=https://new.example.org]")
	site, err := r.users.Site(t.Context())
	r.must(err)
	if site.AccessURL != "https://new.example.org" || site.Organisation != "Example Ltd" {
		t.Errorf("got %q of %q", site.AccessURL, site.Organisation)
	}
	grace.get(settingsPath).sees(http.StatusOK, "You opened this page through "+r.srv.URL)
	grace.send(settingsPath, f.with("access_url", "ftp://x")).sees(http.StatusUnprocessableEntity, "The address begins with https://.")
}

// An open session alone must not send the links of others elsewhere.
func TestMailGoesAnotherWayAfterAProofOnly(t *testing.T) {
	r, grace := ready(t)
	f := typed(1).with("do", "anyway")
	grace.send(settingsPath, f).leads(settingsPath)
	r.clock.Advance(identity.ProofLife + time.Minute)
	grace.send(settingsPath, f.with("port", "2", "password", mailPassword)).
		sees(http.StatusUnprocessableEntity, "Type your own password: with these settings mail goes another way.", "[port=2]")
	grace.post(settingsPath+"/remove").sees(http.StatusForbidden, "Confirm that it is you")
	if p, set := r.profile(); !set || p.Port != 1 {
		t.Fatalf("without a proof mail goes to port %d", p.Port)
	}
	grace.send(settingsPath, f.with("sender_name", "Another")).leads(settingsPath)
	grace.send(settingsPath, f.with("port", "2", "password", mailPassword, "own_password", goodPassword)).leads(settingsPath)
	if p, _ := r.profile(); p.Port != 2 {
		t.Errorf("with a proof mail goes to port %d", p.Port)
	}
	r.clock.Advance(identity.ProofLife + time.Minute)
	grace.post(settingsPath+"/remove", "sealpost_proof", goodPassword).sees(http.StatusSeeOther)
	if _, set := r.profile(); set {
		t.Error("the mail server is still there")
	}
}

// stream sends a form as our script does and returns the lines of the answer.
func (b *browser) stream(path string, f form) []map[string]any {
	b.r.t.Helper()
	b.header.Set("Accept", "application/json, application/x-ndjson")
	defer b.header.Del("Accept")
	a := b.send(path, f).sees(http.StatusOK)
	if got := a.header.Get("Content-Type"); got != "application/x-ndjson" {
		b.r.t.Fatalf("Content-Type %q", got)
	}
	var lines []map[string]any
	scan := bufio.NewScanner(strings.NewReader(a.body))
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		var line map[string]any
		b.r.must(json.Unmarshal(scan.Bytes(), &line))
		lines = append(lines, line)
	}
	return lines
}

func TestTheScriptHearsOfEachStep(t *testing.T) {
	r, grace := ready(t)
	sink, cert := relay(t, r)
	f := typed(sink.Port()).with("trust", candidate("anchor", cert))
	lines := grace.stream(settingsPath+"/test", f)
	if lines[0]["into"] != "candidates" || !strings.Contains(lines[0]["html"].(string), "Will be trusted") {
		t.Errorf("the first line is %v", lines[0])
	}
	var ended []string
	for _, line := range lines {
		// What was looked at beside the steps comes in lines that name none.
		step, _ := line["step"].(string)
		if html, _ := line["html"].(string); step != "" && strings.Contains(html, `data-is="ok"`) {
			ended = append(ended, step)
		}
	}
	if got, want := strings.Join(ended, " "), "resolve connect greeting tls hello signin sender recipient mail"; got != want {
		t.Errorf("steps %q, want %q", got, want)
	}
	last := lines[len(lines)-1]
	token, _ := last["token"].(string)
	if last["passed"] != true || token == "" || !strings.Contains(last["transcript"].(string), "C: EHLO") {
		t.Errorf("the last line is %v", last)
	}
	grace.header.Set("Accept", "application/json")
	a := grace.send(settingsPath, f.with("trust", "", "candidate", candidate("anchor", cert), "test_token", token)).sees(http.StatusOK)
	grace.header.Del("Accept")
	if a.body != `{"to":"/admin/settings/mail"}` {
		t.Errorf("got %s", a.body)
	}
	if strings.Contains(lines[len(lines)-1]["transcript"].(string), mailPassword) {
		t.Error("the transcript holds the password")
	}
}

func TestTheScriptIsToldToTestFirst(t *testing.T) {
	_, grace := ready(t)
	grace.header.Set("Accept", "application/json")
	a := grace.send(settingsPath, typed(1)).sees(http.StatusUnprocessableEntity)
	if !strings.Contains(a.body, `"field":"anyway"`) {
		t.Errorf("got %s", a.body)
	}
}

// U1: what a server says is text, in one line, short, and marked as its words.
func TestAServerCannotPaintOnThePage(t *testing.T) {
	r, grace := ready(t)
	evil := "535 5.7.8 <b>click here</b><script>alert(1)</script> \x1b[31m\u202eevil " + strings.Repeat("long ", 200)
	sink, cert := relay(t, r, func(c *smtptest.SinkConfig) {
		c.Answer = func(a smtptest.Asked) string {
			if a.Verb == "AUTH" {
				return evil
			}
			return ""
		}
	})
	f := typed(sink.Port()).with("candidate", candidate("anchor", cert))
	a := grace.send(settingsPath+"/test", f).sees(http.StatusOK, "The server said", "<b>click here</b>")
	a.lacks("<b>click", "<script>alert", "\x1b", "\u202e")
	if raw := regexp.MustCompile(`(?s)id="raw-signin">(.*?)</code>`).FindStringSubmatch(a.body); raw == nil || strings.Contains(raw[1], "\n") || len(raw[1]) > 700 {
		t.Errorf("the server's words stand there as %q", raw)
	}
	for _, line := range grace.stream(settingsPath+"/test", f) {
		if html, _ := line["html"].(string); strings.Contains(html, "<script") || strings.Contains(html, "\u202e") {
			t.Errorf("the script is handed %q", html)
		}
	}
}

func TestAStoredAccountSignsIn(t *testing.T) {
	eachReady(t, func(r *rig, grace *browser) {
		by := r.actorOf("grace")
		res, err := r.vault.AddResource(r.t.Context(), by, vault.NewResource{Fields: vault.Fields{Name: "mail.example.org", Type: "Mail server"}})
		r.must(err)
		acc, err := r.vault.AddAccount(r.t.Context(), by, res.ID, vault.NewAccount{Name: "vault", Password: secret.New(mailPassword)})
		r.must(err)
		_, err = r.vault.AddAccount(r.t.Context(), by, res.ID, vault.NewAccount{Name: "other"})
		r.must(err)
		f := typed(1).with("auth", "account", "password", "", "do", "anyway")
		grace.send(settingsPath, f).sees(http.StatusUnprocessableEntity, "Choose the account to sign in with.", "mail.example.org / vault", "Password changed", "by grace", "Has no password yet")
		grace.send(settingsPath+"/fill", f.with("account_text", "oth", "find", "yes", "account", acc.ID)).sees(http.StatusOK, "mail.example.org / vault", "mail.example.org / other")
		part := grace.get(settingsPath+"/accounts?q=vau").sees(http.StatusOK, "mail.example.org / vault")
		part.lacks("<html", "other", mailPassword)
		saved := grace.send(settingsPath, f.with("account", acc.ID)).leads(settingsPath).sees(http.StatusOK, "mail.example.org / vault")
		if !strings.Contains(saved.body, `value="`+acc.ID+`" checked`) {
			r.t.Error("the stored account is not chosen")
		}
		// Somebody else keeps it without seeing it, and cannot take it elsewhere.
		ana := r.join("ana", actor.PrivilegedAdministrator)
		ana.get(settingsPath).sees(http.StatusOK, "An account of somebody else").lacks("mail.example.org / vault")
		ana.send(settingsPath, f.with("account", acc.ID, "host", "evil.example.org")).sees(http.StatusUnprocessableEntity, "You may not use this account")
	})
}

// actorOf is a signed-in user as an actor.
func (r *rig) actorOf(login string) actor.Actor {
	u := r.user(login)
	return actor.Actor{Kind: actor.KindUser, UserID: u.ID, Login: u.Login, Name: u.Name, Role: u.Role, Proved: r.clock.Now()}
}

// upload sends files of one field with further ones.
func (b *browser) upload(path, field string, files [][]byte, pairs ...string) *answer {
	b.r.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for i := 0; i+1 < len(pairs); i += 2 {
		b.r.must(w.WriteField(pairs[i], pairs[i+1]))
	}
	for _, f := range files {
		part, err := w.CreateFormFile(field, "ca.pem")
		b.r.must(err)
		_, err = part.Write(f)
		b.r.must(err)
	}
	b.r.must(w.Close())
	return b.do(http.MethodPost, path, &body, w.FormDataContentType())
}

func TestCertificatesAreAddedAndRemoved(t *testing.T) {
	r, grace := ready(t)
	sink, cert := relay(t, r)
	lab := smtptest.NewLab(t, r.clock.Now())
	soon := lab.Make(smtptest.Order{Name: "Old CA", CA: true, Until: 6 * 24 * time.Hour})
	path := settingsPath + "/certificates"

	grace.upload(path, "certificate", [][]byte{cert.PEM()}, "mode", "anchor").sees(http.StatusNotFound)
	grace.send(settingsPath, typed(sink.Port()).with("do", "anyway")).sees(http.StatusSeeOther)
	grace.upload(path, "certificate", nil, "mode", "anchor").sees(http.StatusUnprocessableEntity, "Choose a file with a certificate.")
	grace.upload(path, "certificate", [][]byte{[]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")}, "mode", "anchor").
		sees(http.StatusUnprocessableEntity, "The file holds a private key")
	grace.upload(path, "certificate", [][]byte{cert.PEM()}, "mode", "both").sees(http.StatusUnprocessableEntity, "Choose whether to trust")

	grace.upload(path, "certificate", [][]byte{cert.PEM(), soon.Raw}, "mode", "anchor", "password", mailPassword).leads(settingsPath+"#certificates").
		sees(http.StatusOK, "2 certificates are added.", "Old CA", "ends in 6 days", "by grace", "Delivering")
	if _, err := r.mail.Open(t.Context()); err != nil {
		t.Errorf("with the password typed again the settings can be used: %v", err)
	}
	fingerprint := regexp.MustCompile(`name="fingerprint" value="([0-9a-f]{64})"`).FindStringSubmatch(grace.get(settingsPath).body)[1]
	grace.post(path+"/remove", "fingerprint", fingerprint).leads(settingsPath+"#certificates").
		sees(http.StatusOK, "is removed. Mail is paused. The stored password is for other settings", "Paused", "Type the password again")
}

// Whoever is trusted can read the links that let people in.
func TestCertificatesAreTrustedAfterAProofOnly(t *testing.T) {
	r, grace := ready(t)
	sink, cert := relay(t, r)
	path := settingsPath + "/certificates"
	grace.send(settingsPath, typed(sink.Port()).with("do", "anyway")).sees(http.StatusSeeOther)
	grace.get(settingsPath).sees(http.StatusOK).lacks("before it trusts another certificate")
	r.clock.Advance(identity.ProofLife + time.Minute)
	grace.get(settingsPath).sees(http.StatusOK, "before it trusts another certificate")
	add := func(pairs ...string) *answer {
		return grace.upload(path, "certificate", [][]byte{cert.PEM()}, append([]string{"mode", "anchor", "password", mailPassword}, pairs...)...)
	}
	add().sees(http.StatusUnprocessableEntity, "Type your own password and choose the files again")
	add("own_password", "wrong").sees(http.StatusUnprocessableEntity, "The password is not right.")
	trusted := func() int {
		list, err := r.mail.TrustList(t.Context(), actor.Operator("root", "cli"))
		r.must(err)
		return len(list)
	}
	if trusted() != 0 {
		t.Fatal("a certificate is trusted without a proof")
	}
	add("own_password", goodPassword).leads(settingsPath+"#certificates").sees(http.StatusOK, "is added.")
	r.clock.Advance(identity.ProofLife + time.Minute)
	fingerprint := regexp.MustCompile(`name="fingerprint" value="([0-9a-f]{64})"`).FindStringSubmatch(grace.get(settingsPath).body)[1]
	grace.post(path+"/remove", "fingerprint", fingerprint, "password", mailPassword).sees(http.StatusUnprocessableEntity, "Type your own password too")
	if trusted() != 1 {
		t.Fatal("a certificate is removed without a proof")
	}
	grace.post(path+"/remove", "fingerprint", fingerprint, "password", mailPassword, "own_password", goodPassword).leads(settingsPath+"#certificates").
		sees(http.StatusOK, "is removed.")
	// So is one that the form of the settings trusts.
	r.clock.Advance(identity.ProofLife + time.Minute)
	f := typed(sink.Port()).with("do", "anyway", "candidate", "anchor:"+base64.StdEncoding.EncodeToString(cert.Raw))
	grace.send(settingsPath, f).sees(http.StatusUnprocessableEntity, "Type your own password")
}

func TestMailIsStoppedResumedAndRemoved(t *testing.T) {
	r, grace := ready(t)
	grace.post(settingsPath + "/stop").sees(http.StatusNotFound)
	ben := r.join("ben", actor.PasswordUser)
	grace.send(settingsPath, typed(1).with("do", "anyway")).sees(http.StatusSeeOther)
	grace.get(settingsPath+"?ask=stop").sees(http.StatusOK, "Keep all letters back?")
	grace.post(settingsPath+"/stop", "reason", strings.Repeat("x", 201)).sees(http.StatusUnprocessableEntity, "longer than 200 characters")
	grace.post(settingsPath+"/stop", "reason", "Moving the server").leads(settingsPath).
		sees(http.StatusOK, "Stopped", "Stopped by grace: Moving the server", "Resume")
	grace.get("/").sees(http.StatusOK, "Mail is stopped.")
	grace.post(settingsPath+"/resume").leads(settingsPath).sees(http.StatusOK, "Letters leave now.", "Delivering")
	grace.get(settingsPath+"/state").sees(http.StatusOK, "Delivering").lacks("<html")

	p, _ := r.profile()
	r.must(r.mail.Troubled(t.Context(), mail.Problem{Revision: p.Revision, Row: mail.RowDailyLimit, Reason: "Letters to 10000 recipients left within a day."}))
	grace.get("/").sees(http.StatusOK, "Mail has reached its limit for today.", "Letters to 10000 recipients left")
	ben.get("/").sees(http.StatusOK, "Mail has reached its limit for today.").lacks("10000")
	r.must(r.mail.Pause(t.Context(), mail.Problem{
		Revision: p.Revision, Row: "auth-refused", Reason: "The server refuses user name or password.", Advice: "Check them.", Reply: "535 <i>no</i>",
	}))
	paused := grace.get(settingsPath).sees(http.StatusOK, "Paused", "The server refuses user name or password.", "The server said", "Try now", "Sealpost tries by itself")
	paused.lacks("<i>no")
	ben.get("/").sees(http.StatusOK, "Mail is paused.").lacks("refuses user name")
	grace.post(settingsPath+"/resume").leads(settingsPath).sees(http.StatusOK, "Delivering")

	grace.post(settingsPath+"/remove").leads(settingsPath).sees(http.StatusOK, "No mail server is set up")
	if _, set := r.profile(); set {
		t.Error("the mail server is still there")
	}
}

func TestOnlyAdministratorsComeNearMail(t *testing.T) {
	r, _ := ready(t)
	id := r.firstLetter()
	for role, journal := range map[actor.Role]int{
		actor.PrivilegedAdministrator: http.StatusOK, actor.Administrator: http.StatusOK, actor.PasswordAdministrator: http.StatusNotFound,
		actor.PasswordAuditor: http.StatusNotFound, actor.PasswordUser: http.StatusNotFound,
	} {
		b := r.join(strings.ReplaceAll(string(role), "_", "-"), role)
		for _, path := range []string{settingsPath, "/admin/mail/journal", "/admin/mail/journal/" + id, "/admin/mail/capture", settingsPath + "/state"} {
			b.get(path).sees(journal)
		}
		if journal == http.StatusOK {
			continue
		}
		for _, path := range []string{"", "/test", "/fill", "/stop", "/resume", "/remove", "/certificates", "/certificates/remove"} {
			b.send(settingsPath+path, typed(1)).sees(http.StatusNotFound)
		}
		b.post("/admin/mail/journal/" + id + "/cancel").sees(http.StatusNotFound)
		b.post("/admin/mail/capture/empty").sees(http.StatusNotFound)
	}
}

// firstLetter adds an invitation and returns the letter's id.
func (r *rig) firstLetter() string {
	r.t.Helper()
	done, err := r.users.Invite(r.t.Context(), r.system(), identity.NewUser{Name: "Zoë <Z>", Login: "zoe", Email: "zoe@example.org", Role: actor.PasswordUser})
	r.must(err)
	return done.LetterID
}
