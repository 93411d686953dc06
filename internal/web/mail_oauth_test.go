package web_test

import (
	"crypto/x509"
	"encoding/pem"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/store"
)

const signInPath = settingsPath + "/sign-in"

// exchange is a form for Exchange Online in which a mailbox signs in once.
func (r *rig) exchange() form {
	return form{
		"kind": "microsoft", "host": "localhost", "port": "587", "sender_address": sender, "sender_name": "Vault", "access_url": accessURL,
		"tenant": tenantID, "client_id": clientID, "client_secret_action": "replace", "client_secret": clientSecret, "secret_ends": "2027-11-30",
		"cloud": "global", "grant": "consent", "client_auth": "secret", "via": "smtp", "redirect_path": mail.RedirectOwn,
		"authorize_url": r.entra.URL + "/{tenant}/authorize", "token_url": r.entra.URL + "/{tenant}/token",
		"test_to": "grace@example.org", "do": "save", "origin": accessURL,
	}
}

// leadsAway follows a form to the page that goes on to the provider, and returns
// the address there.
func (a *answer) leadsAway() string {
	a.b.r.t.Helper()
	a.sees(http.StatusSeeOther)
	to := a.header.Get("Location")
	if !strings.HasPrefix(to, signInPath+"/") && !strings.HasPrefix(to, secondPath+"/sign-in/") {
		a.b.r.t.Fatalf("%s leads to %q", a.what, to)
	}
	going := a.b.get(to).sees(http.StatusOK, "Go on to Microsoft", "by itself")
	found := regexp.MustCompile(`<meta http-equiv="refresh" content="0; url=([^"]+)">`).FindStringSubmatch(going.body)
	link := regexp.MustCompile(`<a class="btn main" href="([^"]+)"`).FindStringSubmatch(going.body)
	if found == nil || link == nil || html.UnescapeString(found[1]) != html.UnescapeString(link[1]) {
		a.b.r.t.Fatalf("the page goes on to %q, its link to %q", found, link)
	}
	return html.UnescapeString(link[1])
}

// comesBack is a browser that comes back from the provider.
func (b *browser) comesBack(path string, q url.Values) *answer {
	b.r.t.Helper()
	return b.get(path + "?" + q.Encode())
}

// signedIn is a rig whose mail goes by a token that somebody signed in for.
func (r *rig) signedIn(grace *browser) {
	r.t.Helper()
	q := r.entra.signIn(r.t, grace.send(signInPath, r.exchange()).leadsAway())
	grace.comesBack(mail.RedirectOwn, q).leads(settingsPath)
}

// The mission's path, without scripts, on both engines.
func TestAMailboxSignsInOnce(t *testing.T) {
	eachReady(t, func(r *rig, grace *browser) {
		grace.get(settingsPath+"?kind=microsoft").sees(http.StatusOK, "Directory (tenant) ID", "Application (client) ID", "Client secret", "Redirect URI",
			"[host=smtp.office365.com]", "[port=587]", "Save and sign in", "Mailbox that signs in", "never the Secret ID", "Sealpost does, from 60 days before")
		away := grace.send(signInPath, r.exchange()).leadsAway()
		u, err := url.Parse(away)
		r.must(err)
		q := u.Query()
		if q.Get("redirect_uri") != accessURL+mail.RedirectOwn || q.Get("login_hint") != sender || q.Get("code_challenge_method") != "S256" || q.Get("client_id") != clientID {
			r.t.Errorf("Microsoft is asked with %v", q)
		}
		if _, set := r.profile(); set {
			r.t.Error("something is stored before anybody signed in")
		}
		back := grace.comesBack(mail.RedirectOwn, r.entra.signIn(r.t, away))
		settings := back.leads(settingsPath).sees(http.StatusOK, "vault@example.org is signed in.", "Delivering", "Signed in as", "by grace", "Token from", "[secret_ends=2027-11-30]",
			"Recipients in 24 hours0 of 10,000")
		settings.lacks(clientSecret, "access-token", "refresh-token", "code-0")
		if !strings.Contains(settings.body, "data-now") || !strings.Contains(settings.body, "data-signed-in") {
			r.t.Error("the page does not test what was stored, or does not know that it is signed in")
		}
		grace.get(settingsPath).lacks("data-now")
		p, _ := r.profile()
		if p.Kind != mail.KindMicrosoft || p.Host != "localhost" || p.OAuth.Tenant != tenantID || !p.OAuth.SecretEnds.Equal(time.Date(2027, 11, 30, 0, 0, 0, 0, time.UTC)) {
			r.t.Errorf("stored is %+v", p)
		}
		// A name is changed without another sign-in, another client is not.
		kept := r.exchange().with("client_secret_action", "keep", "client_secret", "", "revision", strconv.FormatInt(p.Revision, 10))
		grace.send(settingsPath, kept.with("sender_name", "Safe", "do", "anyway")).leads(settingsPath).sees(http.StatusOK, "The mail server settings are saved", "[sender_name=Safe]")
		p, _ = r.profile()
		other := kept.with("revision", strconv.FormatInt(p.Revision, 10), "port", "2525", "client_secret_action", "replace", "client_secret", clientSecret)
		refused := grace.send(settingsPath, other).sees(http.StatusUnprocessableEntity, "[port=2525]")
		if !strings.Contains(refused.body, `id="oauth"`) || strings.Contains(refused.body, "data-signed-in") {
			r.t.Errorf("the page does not ask for a sign-in: %s", refused.text())
		}
		grace.header.Set("Accept", "application/json")
		if a := grace.send(settingsPath, other).sees(http.StatusUnprocessableEntity); !strings.Contains(a.body, `"code":"sign_in_required"`) {
			r.t.Errorf("the script hears %s", a.body)
		}
	})
}

func TestAnAppThatWasRegisteredForPasswordManagerProKeepsWorking(t *testing.T) {
	r, grace := ready(t)
	away := grace.send(signInPath, r.exchange().with("redirect_path", mail.RedirectPMP)).leadsAway()
	q := r.entra.signIn(t, away)
	grace.comesBack(mail.RedirectPMP, q).leads(settingsPath).sees(http.StatusOK, "is signed in", "[=https://vault.example.org:7272/pmpredirect/AzureOAuth]")
}

func TestOurScriptIsToldWhereTheSignInIs(t *testing.T) {
	r, grace := ready(t)
	grace.header.Set("Accept", "application/json")
	a := grace.send(signInPath, r.exchange()).sees(http.StatusOK)
	if !regexp.MustCompile(`^{"to":"/admin/settings/mail/sign-in/[^"/]+"}$`).MatchString(a.body) {
		t.Errorf("got %s", a.body)
	}
	bad := grace.send(signInPath, r.exchange().with("tenant", "common", "client_id", "x")).sees(http.StatusUnprocessableEntity)
	for _, want := range []string{`"field":"tenant"`, `"field":"client_id"`} {
		if !strings.Contains(bad.body, want) {
			t.Errorf("the script is not told of %s: %s", want, bad.body)
		}
	}
}

func TestASignInThatCouldNotComeBackDoesNotStart(t *testing.T) {
	r, grace := ready(t)
	for name, f := range map[string]form{
		"another origin":  r.exchange().with("origin", "https://10.0.0.1:7272"),
		"no script":       r.exchange().with("origin", ""),
		"in clear":        r.exchange().with("origin", "http://vault.example.org", "access_url", "http://vault.example.org"),
		"another address": r.exchange().with("access_url", "https://new.example.org"),
	} {
		a := grace.send(signInPath, f).sees(http.StatusUnprocessableEntity, "[tenant="+tenantID+"]", "[client_id="+clientID+"]", "Paste the secret again")
		if !strings.Contains(a.body, `id="access_url-error"`) {
			t.Errorf("%s: the reason does not stand at the Access URL: %s", name, a.text())
		}
		a.lacks(clientSecret)
	}
	if site, err := r.users.Site(t.Context()); err != nil || site.AccessURL != accessURL {
		t.Errorf("a refused form left the Access URL at %s, %v", site.AccessURL, err)
	}
	if n := len(r.actions("mail.sign_in_begun")); n != 0 {
		t.Errorf("%d sign-ins began", n)
	}
}

func TestEveryMistakeStandsAtItsField(t *testing.T) {
	r, grace := ready(t)
	f := r.exchange().with("tenant", "../evil", "client_id", "mine", "authorize_url", "https://evil.example/authorize", "token_url", "http://x", "scopes", "a\"b",
		"mailbox", "nobody", "host", "192.0.2.1", "pace_connections", "x", "cloud", "moon")
	a := grace.send(signInPath, f).sees(http.StatusUnprocessableEntity, "[tenant=../evil]", "[client_id=mine]", "[authorize_url=https://evil.example/authorize]", "[mailbox=nobody]", "[pace_connections=x]")
	for _, id := range []string{"tenant-error", "client_id-error", "authorize_url-error", "token_url-error", "scopes-error", "mailbox-error", "host-error", "pace_connections-error", "cloud-error"} {
		if !strings.Contains(a.body, `id="`+id+`"`) {
			t.Errorf("no error stands at its field: %s", id)
		}
	}
	a.lacks(clientSecret)
	grace.send(signInPath, r.exchange().with("secret_ends", "soon")).sees(http.StatusUnprocessableEntity, "Type the day as year, month and day", "[secret_ends=soon]").lacks(clientSecret)
	grace.send(signInPath, r.exchange().with("client_secret", "")).sees(http.StatusUnprocessableEntity)
	grace.send(signInPath, r.exchange().with("client_secret", "••••••••")).sees(http.StatusUnprocessableEntity)
	grace.send(signInPath, r.exchange().with("grant", "application")).sees(http.StatusUnprocessableEntity, "Nobody needs to sign in for these settings.")
	grace.send(settingsPath, r.exchange()).sees(http.StatusUnprocessableEntity, "Paste the secret again").lacks(clientSecret)
}

// What a provider refuses is said with its ids, and the sign-in can be begun
// once more without typing anything again.
func TestARefusedSignInIsExplainedAndBegunOnceMore(t *testing.T) {
	r, grace := ready(t)
	r.entra.set(func(a *authority) { a.denial = "access_denied" })
	q := r.entra.signIn(t, grace.send(signInPath, r.exchange()).leadsAway())
	a := grace.comesBack(mail.RedirectOwn, q).sees(http.StatusUnprocessableEntity, "The sign-in did not work", "AADSTS65004", "Trace ID: 0f1e2d3c", "Nothing was changed.", "Try again", "Change the settings")
	a.lacks(q.Get("state"), clientSecret)
	id := regexp.MustCompile(`name="again" value="([^"]+)"`).FindStringSubmatch(a.body)
	if id == nil {
		t.Fatal("it cannot be begun once more")
	}
	// The form comes back as it was typed, but for the secret.
	grace.get(settingsPath+"?from="+id[1]).sees(http.StatusOK, "[tenant="+tenantID+"]", "[client_id="+clientID+"]", "[sender_address="+sender+"]", "Paste the secret again").lacks(clientSecret)
	stranger := r.join("ana", actor.PrivilegedAdministrator)
	stranger.get(settingsPath + "?from=" + id[1]).sees(http.StatusOK).lacks(tenantID)
	stranger.send(signInPath, form{"again": id[1], "origin": accessURL}).sees(http.StatusUnprocessableEntity, "kept no more").lacks(tenantID)

	r.entra.set(func(a *authority) { a.denial = "" })
	again := grace.send(signInPath, form{"again": id[1], "origin": accessURL}).leadsAway()
	grace.comesBack(mail.RedirectOwn, r.entra.signIn(t, again)).leads(settingsPath).sees(http.StatusOK, "is signed in", "Delivering")
}

func TestAWrongSecretIsToldWithWhatMicrosoftSays(t *testing.T) {
	r, grace := ready(t)
	q := r.entra.signIn(t, grace.send(signInPath, r.exchange().with("client_secret", "the-secret-id")).leadsAway())
	a := grace.comesBack(mail.RedirectOwn, q).sees(http.StatusUnprocessableEntity, "AADSTS7000215", "Correlation ID: 0f1e2d3c-0000-0000-0000-000000000002", "What Microsoft says about it")
	a.lacks("<b>Click", "the-secret-id")
	if !strings.Contains(a.body, "https://login.microsoftonline.com/error?code=7000215") {
		t.Error("no link leads to Microsoft's page")
	}
}

// Who typed a client secret for settings that changed meanwhile goes on with it.
func TestWhatWasTypedIsThereAfterAConflict(t *testing.T) {
	eachReady(t, func(r *rig, grace *browser) {
		grace.comesBack(mail.RedirectOwn, r.entra.signIn(r.t, grace.send(signInPath, r.exchange()).leadsAway())).leads(settingsPath)
		p, _ := r.profile()
		revision := strconv.FormatInt(p.Revision, 10)
		back := r.entra.signIn(r.t, grace.send(signInPath, r.exchange().with("revision", revision, "sender_name", "Safe")).leadsAway())
		grace.send(settingsPath, r.exchange().with("revision", revision, "client_secret_action", "keep", "client_secret", "", "do", "anyway", "reply_to", "help@example.org")).leads(settingsPath)
		page := grace.comesBack(mail.RedirectOwn, back).sees(http.StatusConflict, "The sign-in did not work", "changed by somebody else")
		if !strings.Contains(page.body, `name="again"`) || strings.Contains(page.body, clientSecret) {
			r.t.Errorf("the page does not offer to go on, or shows the secret: %s", page.text())
		}
	})
}

// O2: what comes back is taken once, from who began it, in the browser in which
// it was begun.
func TestOnlyWhoBeganASignInEndsIt(t *testing.T) {
	r, grace := ready(t)
	away := grace.send(signInPath, r.exchange()).leadsAway()
	good := r.entra.signIn(t, away)
	ana := r.join("ana", actor.PrivilegedAdministrator)
	elsewhere := r.signIn("grace")
	for name, try := range map[string]func() *answer{
		"no state": func() *answer { return grace.comesBack(mail.RedirectOwn, url.Values{"code": {"code-0"}}) },
		"another state": func() *answer {
			return grace.comesBack(mail.RedirectOwn, url.Values{"code": {"code-0"}, "state": {"x"}})
		},
		"another person":  func() *answer { return ana.comesBack(mail.RedirectOwn, good) },
		"another browser": func() *answer { return elsewhere.comesBack(mail.RedirectOwn, good) },
	} {
		a := try().sees(http.StatusUnprocessableEntity, "The sign-in did not work", "This sign-in is not known here.")
		if strings.Contains(a.body, good.Get("state")) || strings.Contains(a.body, `name="again"`) {
			t.Errorf("%s: the page shows the state, or offers to go on", name)
		}
	}
	if n, unknown := len(r.actions("mail.sign_in_refused")), len(r.actions("mail.sign_in_unknown")); n != 2 || unknown != 2 {
		t.Errorf("%d refusals and %d of no sign-in are audited, want two of each", n, unknown)
	}
	grace.comesBack(mail.RedirectOwn, good).leads(settingsPath)
	grace.comesBack(mail.RedirectOwn, good).sees(http.StatusConflict, "This sign-in was used already.")
	// An ended session says so, and keeps nothing of the address.
	stranger := r.browser().comesBack(mail.RedirectOwn, good)
	stranger.leads("/sign-in?to=%2Fadmin%2Fsettings%2Fmail").sees(http.StatusOK, "Your session in Sealpost ended while you were away. Sign in, and begin again.").lacks(good.Get("state"))
	for _, path := range []string{"/no-such-id", "/no-such-id/decide"} {
		grace.get(signInPath+path).sees(http.StatusUnprocessableEntity, "This sign-in is not known here.")
	}
	grace.post(signInPath+"/no-such-id/decide").sees(http.StatusUnprocessableEntity, "This sign-in is not known here.")
	if user := r.join("uma", actor.PasswordUser); user.comesBack(mail.RedirectOwn, good).status != http.StatusNotFound {
		t.Error("a user without the right sees that there is something")
	}
}

func TestSomebodyElseIsDecidedByTheAdministrator(t *testing.T) {
	r, grace := ready(t)
	r.entra.set(func(a *authority) { a.who = "licensed@example.org" })
	back := grace.comesBack(mail.RedirectOwn, r.entra.signIn(t, grace.send(signInPath, r.exchange()).leadsAway())).sees(http.StatusSeeOther)
	decide := back.header.Get("Location")
	grace.get(decide).sees(http.StatusOK, "Somebody else signed in", "licensed@example.org", sender, "shared mailbox",
		"licensed@example.org is the sign-in name of the mailbox vault@example.org itself. Then nothing has to be granted.", "Send as vault@example.org through licensed@example.org", "Sign in as vault@example.org",
		"Add-RecipientPermission -Identity 'vault@example.org' -Trustee 'licensed@example.org' -AccessRights SendAs")
	if _, set := r.profile(); set {
		t.Fatal("it is stored before anybody decided")
	}
	ana := r.join("ana", actor.PrivilegedAdministrator)
	ana.get(decide).sees(http.StatusUnprocessableEntity, "This sign-in is not known here.")
	ana.post(decide).sees(http.StatusUnprocessableEntity)
	// Whoever decides where letters come from proves who they are.
	r.clock.Advance(9 * time.Minute)
	if r.clock.Advance(2 * time.Minute); identity.ProofLife > 11*time.Minute {
		t.Fatal("the proof outlives this test")
	}
	grace.post(decide).sees(http.StatusUnprocessableEntity, "This sign-in is not known here.")
	back = grace.comesBack(mail.RedirectOwn, r.entra.signIn(t, grace.send(signInPath, r.exchange().with("own_password", goodPassword)).leadsAway())).sees(http.StatusSeeOther)
	decide = back.header.Get("Location")
	grace.post(decide).leads(settingsPath).sees(http.StatusOK, "licensed@example.org is signed in.", "[mailbox=licensed@example.org]", "[sender_address="+sender+"]")
	if p, _ := r.profile(); p.OAuth.Mailbox != "licensed@example.org" || p.SenderAddress != sender {
		t.Errorf("stored is %+v", p)
	}
}

func TestSomebodyOfAnotherDirectoryIsNotAccepted(t *testing.T) {
	r, grace := ready(t)
	r.entra.set(func(a *authority) { a.who, a.tenant = "vault@evil.example", otherTenant })
	back := grace.comesBack(mail.RedirectOwn, r.entra.signIn(t, grace.send(signInPath, r.exchange()).leadsAway()))
	if back.status != http.StatusSeeOther {
		back.sees(http.StatusUnprocessableEntity, "The sign-in did not work")
		return // the authority of a tenant vouches for that tenant alone
	}
	decide := back.header.Get("Location")
	a := grace.get(decide).sees(http.StatusOK, "Somebody of another directory signed in", otherTenant, tenantID, "Change the settings")
	a.lacks("Send as ")
	grace.post(decide).sees(http.StatusUnprocessableEntity, "Somebody of another directory cannot be accepted.")
	if _, set := r.profile(); set {
		t.Error("somebody of another directory is stored")
	}
}

// However broken the tokens are, one button mends it.
func TestSigningInAgainMendsAPausedServer(t *testing.T) {
	r, grace := ready(t)
	r.signedIn(grace)
	grace.get(settingsPath).sees(http.StatusOK).lacks("Sign in again")
	p, _ := r.profile()
	r.must(r.mail.Pause(t.Context(), mail.Problem{
		Revision: p.Revision, Row: "grant-revoked", Reason: "The sign-in was revoked.", Advice: "Sign in again.", Remedy: verdict.RemedySignIn,
		Reply: "invalid_grant AADSTS50173: revoked <i>" + strings.Repeat("x", 300) + " Trace ID: 1", Link: "https://login.microsoftonline.com/error?code=50173",
	}))
	a := grace.get(settingsPath).sees(http.StatusOK, "Paused", "The sign-in was revoked.", "Sign in again", "Try now", "AADSTS50173", "Trace ID: 1", "What Microsoft says about it")
	if !strings.Contains(a.body, `class="btn main" name="stored"`) {
		r.t.Error("the sign-in is not the main button")
	}
	a.lacks("<i>xxx")
	if !strings.Contains(a.body, `name="stored" value="yes"`) || !strings.Contains(a.body, `href="https://login.microsoftonline.com/error?code=50173"`) {
		t.Error("no button begins the sign-in, or no link leads to Microsoft")
	}
	grace.get("/").sees(http.StatusOK, "Mail is paused.", "The sign-in was revoked.", "Mend it", "Sign in again")
	grace.send(signInPath, form{"stored": "yes", "origin": "https://elsewhere.example"}).sees(http.StatusUnprocessableEntity, "Open Sealpost at "+accessURL)
	again := grace.send(signInPath, form{"stored": "yes", "origin": accessURL}).leadsAway()
	grace.comesBack(mail.RedirectOwn, r.entra.signIn(t, again)).leads(settingsPath).sees(http.StatusOK, "Delivering", "is signed in").lacks("Paused")
}

func TestAnApplicationNeedsNoPerson(t *testing.T) {
	r, grace := ready(t)
	f := r.exchange().with("grant", "application", "port", "1")
	grace.send(settingsPath, f.with("do", "anyway")).leads(settingsPath).sees(http.StatusOK, "saved, without a passed test").lacks(clientSecret)
	p, _ := r.profile()
	if p.OAuth.Grant != oauth.Application || p.OAuth.RedirectPath != "" {
		t.Errorf("stored is %+v", p.OAuth)
	}
	// A secret that does not work is refused at its field, and nothing changes.
	grace.send(settingsPath, f.with("do", "anyway", "client_secret", "wrong-secret")).sees(http.StatusUnprocessableEntity, "AADSTS7000215").lacks("wrong-secret")
	if now, _ := r.profile(); now.Revision != p.Revision {
		t.Error("a wrong secret changed the settings")
	}
}

func TestACertificateIsPastedOrChosen(t *testing.T) {
	r, grace := ready(t)
	cert := smtptest.NewLab(t, r.clock.Now()).Make(smtptest.Order{Name: "Sealpost mail", Key: smtptest.RSA2048})
	key, err := x509.MarshalPKCS8PrivateKey(cert.TLS().PrivateKey)
	r.must(err)
	both := string(cert.PEM()) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	f := r.exchange().with("grant", "application", "client_auth", "certificate", "client_secret_action", "", "client_secret", "", "client_key_action", "replace", "port", "1", "do", "anyway", "secret_ends", "")
	grace.send(settingsPath, f.with("client_key", string(cert.PEM()))).sees(http.StatusUnprocessableEntity, "Choose or paste it again").lacks("BEGIN")
	grace.send(settingsPath, f.with("client_key", both)).leads(settingsPath).sees(http.StatusOK, "saved").lacks("BEGIN")
	p, _ := r.profile()
	var pairs []string
	for name, value := range f {
		pairs = append(pairs, name, value)
	}
	grace.upload(settingsPath, "client_key_file", [][]byte{[]byte(both)}, pairs...).leads(settingsPath).sees(http.StatusOK, "saved").lacks("BEGIN")
	if now, _ := r.profile(); now.Revision == p.Revision || now.OAuth.ClientAuth != oauth.ByCertificate {
		t.Errorf("the file was not taken: %+v", now.OAuth)
	}
	grace.upload(settingsPath, "client_key_file", [][]byte{make([]byte, 70_000)}, pairs...).sees(http.StatusUnprocessableEntity, "Choose the one file with the key")
	grace.upload(settingsPath, "client_key_file", [][]byte{[]byte(both), []byte(both)}, pairs...).sees(http.StatusUnprocessableEntity, "Choose the one file with the key")
}

func TestOtherProvidersSignInToo(t *testing.T) {
	r, grace := ready(t)
	generic := r.exchange().with("kind", "smtp", "signin", "yes", "auth", "oauth", "provider", "generic", "security", "starttls", "client_auth", "none", "tenant", "", "client_secret", "",
		"authorize_url", r.entra.URL+"/x/authorize", "token_url", r.entra.URL+"/x/token", "scopes", "smtp openid", "client_id", clientID)
	a := grace.send(signInPath, generic).sees(http.StatusSeeOther)
	grace.get(a.header.Get("Location")).sees(http.StatusOK, "Go on to "+r.entra.host())
	google := generic.with("provider", "google", "authorize_url", "", "token_url", "", "scopes", "", "client_secret", clientSecret, "client_id", "1234.apps.googleusercontent.com")
	a = grace.send(signInPath, google).sees(http.StatusSeeOther)
	grace.get(a.header.Get("Location")).sees(http.StatusOK, "Go on to Google", "accounts.google.com")
	grace.send(settingsPath, google.with("provider", "google_service", "client_key_action", "replace", "client_key", `{"type":"x"}`, "do", "anyway")).
		sees(http.StatusUnprocessableEntity, "Choose or paste it again")
	grace.send(settingsPath, google.with("provider", "nobody")).sees(http.StatusUnprocessableEntity, "Choose who gives out the tokens.")
	grace.send(signInPath, google.with("security", "none")).sees(http.StatusUnprocessableEntity, "A token never travels in clear.")
}

func TestAPasswordAtMicrosoftIsMovedInOneStep(t *testing.T) {
	_, grace := ready(t)
	f := typed(587).with("host", "smtp.office365.com", "sender_address", "", "username", "vault@example.org")
	offered := grace.send(settingsPath+"/fill", f.with("preset", "x")).sees(http.StatusOK, "Move to OAuth 2.0")
	if regexp.MustCompile(`id="move"[^>]* hidden`).MatchString(offered.body) {
		t.Error("the offer is hidden")
	}
	moved := grace.send(settingsPath+"/fill", f.with("preset", "move")).sees(http.StatusOK, "[host=smtp.office365.com]", "[sender_address=vault@example.org]", "[port=587]")
	if !strings.Contains(moved.body, `name="kind" value="microsoft" checked`) {
		t.Error("the form is not that of Exchange Online")
	}
	for _, host := range []string{"mail.example.org", "smtp-hve.office365.com", "smtp-mail.outlook.com"} {
		if a := grace.send(settingsPath+"/fill", f.with("host", host, "preset", "x")); !regexp.MustCompile(`id="move"[^>]* hidden`).MatchString(a.body) {
			t.Errorf("%s is offered to move", host)
		}
	}
	gmail := grace.send(settingsPath+"/fill", typed(25).with("preset", "gmail-oauth")).sees(http.StatusOK, "[host=smtp.gmail.com]")
	for _, want := range []string{`name="auth" value="oauth" checked`, `name="provider" value="google" checked`} {
		if !strings.Contains(gmail.body, want) {
			t.Errorf("the preset lacks %s", want)
		}
	}
}

// What the guide gives to copy is filled with the form's values, and nothing
// that a shell would take for more than a word.
func TestTheGuideIsFilledIn(t *testing.T) {
	r, grace := ready(t)
	a := grace.send(settingsPath+"/fill", r.exchange().with("mailbox", "licensed@example.org")).sees(http.StatusOK,
		"az login --allow-no-subscriptions --tenant '"+tenantID+"'", "--web-redirect-uris 'https://vault.example.org:7272/oauth/mail/callback'",
		"Set-CASMailbox -Identity 'licensed@example.org' -SmtpClientAuthenticationDisabled $false",
		"Add-RecipientPermission -Identity 'vault@example.org' -Trustee 'licensed@example.org' -AccessRights SendAs",
		"$client = '"+clientID+"'", "$mailbox = 'licensed@example.org'", "Add-MailboxPermission -Identity 'licensed@example.org' -User $object", "258f6531-6087-4cc4-bb90-092c5fb3ed3f=Scope", "7427e0e9-2fba-42fe-b0c0-848c9e6a8182=Scope", "e383f46e-2787-4529-855e-0e479a3ffac0=Scope")
	a.lacks(clientSecret)
	hostile := grace.send(settingsPath+"/fill", r.exchange().with("tenant", "'; rm -rf ~; '", "sender_address", "a'b@example.org", "client_id", "$(id)")).
		sees(http.StatusOK, "--tenant 'TENANT'", "$client = 'CLIENT-ID'", "-Identity 'SENDER'", "[tenant='; rm -rf ~; ']")
	if strings.Count(hostile.text(), "rm -rf") != 1 {
		t.Error("what was typed stands in a script")
	}
}

func TestTheDayFillsUp(t *testing.T) {
	r, grace := ready(t)
	r.signedIn(grace)
	p, _ := r.profile()
	counts := pace.New(pace.Config{DB: r.db})
	r.must(r.db.Update(t.Context(), func(tx *store.Tx) error { return counts.Sent(tx, p.ID, 8123) }))
	a := grace.get(settingsPath).sees(http.StatusOK, "8,123 of 10,000 nearly full")
	if !strings.Contains(a.body, `<meter class="day warn"`) {
		t.Error("a day that is nearly full has no colour")
	}
	r.must(r.db.Update(t.Context(), func(tx *store.Tx) error { return counts.Sent(tx, p.ID, 1877) }))
	grace.get(settingsPath).sees(http.StatusOK, "10,000 of 10,000 full")
}
