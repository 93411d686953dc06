package web_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// declined is a sign-in that came to nothing.
func (r *rig) declined(grace *browser) string {
	r.t.Helper()
	r.entra.set(func(a *authority) { a.denial = "access_denied" })
	q := r.entra.signIn(r.t, grace.send(signInPath, r.exchange()).leadsAway())
	r.entra.set(func(a *authority) { a.denial = "" })
	return grace.comesBack(mail.RedirectOwn, q).sees(http.StatusUnprocessableEntity, "Microsoft said").again()
}

// again is the sign-in that a page offers to begin once more.
func (a *answer) again() string {
	a.b.r.t.Helper()
	found := regexp.MustCompile(`name="again" value="([^"]+)"`).FindStringSubmatch(a.body)
	if found == nil {
		a.b.r.t.Fatalf("%s offers no other try", a.what)
	}
	return found[1]
}

// proves sends the form once more that a page carries which asks for a proof.
func (a *answer) proves(path string) *answer {
	a.b.r.t.Helper()
	a.sees(http.StatusForbidden, "Confirm that it is you")
	return a.b.post(path, "again", a.value("again"), "origin", a.value("origin"), "sealpost_proof", goodPassword)
}

// Granting a consent takes longer than a proof of who one is lasts.
func TestTryAgainAsksForAStaleProof(t *testing.T) {
	r, grace := ready(t)
	id := r.declined(grace)
	r.clock.Advance(11 * time.Minute)
	away := grace.send(signInPath, form{"again": id, "origin": accessURL}).proves(signInPath).leadsAway()
	// So may the way to the page that decides.
	r.clock.Advance(5 * time.Minute)
	r.entra.set(func(a *authority) { a.who = "licensed@example.org" })
	decide := grace.comesBack(mail.RedirectOwn, r.entra.signIn(t, away)).header.Get("Location")
	id = grace.get(decide).sees(http.StatusOK, "Somebody else signed in").again()
	r.clock.Advance(6 * time.Minute)
	r.entra.set(func(a *authority) { a.who = sender })
	away = grace.send(signInPath, form{"again": id, "origin": accessURL}).proves(signInPath).leadsAway()
	grace.comesBack(mail.RedirectOwn, r.entra.signIn(t, away)).leads(settingsPath).sees(http.StatusOK, "is signed in")
}

func TestWhatWasTypedForASignInIsKeptForAnHour(t *testing.T) {
	r, grace := ready(t)
	id := r.declined(grace)
	r.clock.Advance(25 * time.Minute)
	grace.get(settingsPath+"?from="+id).sees(http.StatusOK, "[tenant="+tenantID+"]").lacks("kept no more")
	r.clock.Advance(25 * time.Minute)
	// What keeps it from beginning is said beside what was typed.
	grace.send(signInPath, form{"again": id, "origin": "https://elsewhere.example"}).proves(signInPath).
		sees(http.StatusUnprocessableEntity, "[tenant="+tenantID+"]", "Open Sealpost at "+accessURL).lacks(clientSecret)
	r.clock.Advance(11 * time.Minute)
	grace.get(settingsPath+"?from="+id).sees(http.StatusOK, "What was typed for that sign-in is kept no more.", "[tenant=]")
	grace.send(signInPath, form{"again": id, "origin": accessURL}).sees(http.StatusUnprocessableEntity, "The sign-in did not work", "kept no more", "Back to the settings")
}

func TestANewAccessURLIsStoredOnceTheSignInBegins(t *testing.T) {
	r, grace := ready(t)
	const next = "https://new.example.org"
	f := r.exchange().with("access_url", next, "origin", next)
	stored := func() string {
		site, err := r.users.Site(t.Context())
		r.must(err)
		return site.AccessURL
	}
	grace.send(signInPath, f.with("tenant", "common")).sees(http.StatusUnprocessableEntity, "[access_url="+next+"]")
	if got := stored(); got != accessURL {
		t.Errorf("a refused form stores %s", got)
	}
	if away := grace.send(signInPath, f).leadsAway(); !strings.Contains(away, "new.example.org") || stored() != next {
		t.Errorf("with %s stored it leads to %s", stored(), away)
	}
}

func TestWhoSignsInWhileMailIsStoppedHearsThatItStaysSo(t *testing.T) {
	r, grace := ready(t)
	r.signedIn(grace)
	grace.post(settingsPath + "/stop").leads(settingsPath)
	a := grace.get(settingsPath).sees(http.StatusOK, "Stopped", "Sign in again", "Resume")
	if strings.Contains(a.body, `class="btn main" name="stored"`) {
		t.Error("signing in is the main button of what a person stopped")
	}
	again := grace.send(signInPath, form{"stored": "yes", "origin": accessURL}).leadsAway()
	grace.comesBack(mail.RedirectOwn, r.entra.signIn(t, again)).leads(settingsPath).
		sees(http.StatusOK, "Stopped", "is signed in. The settings are saved. Mail stays stopped until somebody resumes it.").lacks("mail leaves with them")
	// And so does who decides.
	r.entra.set(func(a *authority) { a.who = "licensed@example.org" })
	back := grace.comesBack(mail.RedirectOwn, r.entra.signIn(t, grace.send(signInPath, form{"stored": "yes", "origin": accessURL}).leadsAway()))
	grace.post(back.header.Get("Location")).leads(settingsPath).sees(http.StatusOK, "licensed@example.org is signed in.", "Mail stays stopped")
}

// pauses pauses mail for a problem with a remedy.
func (r *rig) pauses(row string, remedy verdict.Remedy) {
	r.t.Helper()
	p, _ := r.profile()
	r.must(r.mail.Pause(r.t.Context(), mail.Problem{Revision: p.Revision, Row: row, Reason: "It does not work.", Reply: "no", Remedy: remedy}))
}

// Whatever keeps mail back, who signs in at the provider may do it anew; where
// nobody signs in, nobody is asked to.
func TestSigningInIsOfferedWhereItCanBeDone(t *testing.T) {
	r, grace := ready(t)
	r.signedIn(grace)
	r.pauses("entra-spa", verdict.RemedySettings)
	a := grace.get(settingsPath).sees(http.StatusOK, "Paused", "Sign in again", "Try now")
	if !strings.Contains(a.body, `class="btn main">Try now`) || strings.Contains(a.body, `class="btn main" name="stored"`) {
		t.Error("signing in is the main button where it mends nothing by itself")
	}
	f := r.exchange().with("grant", "application", "port", "1", "do", "anyway")
	grace.send(settingsPath, f).leads(settingsPath).sees(http.StatusOK, "saved").lacks("Sign in again", `name="stored"`)
	r.pauses("ms-auth-token", verdict.RemedySignIn)
	grace.get(settingsPath).sees(http.StatusOK, "Paused", "Try now").lacks("Sign in again", `name="stored"`)
	grace.get("/").sees(http.StatusOK, "Mail is paused.").lacks("Sign in again")
	grace.post(settingsPath+"/stop").leads(settingsPath).sees(http.StatusOK, "Stopped").lacks(`name="stored"`)
}

// settings are those of exchange, as a set-up file gives them.
func (r *rig) settings() mail.Change {
	return mail.Change{
		Kind: mail.KindMicrosoft, Host: "localhost", Port: 587, SenderAddress: sender, Anyway: true, SignInLater: true,
		OAuth: mail.OAuth{Settings: oauth.Settings{
			Cloud: "global", Grant: oauth.Consent, Tenant: tenantID, ClientID: clientID, ClientAuth: oauth.BySecret,
			AuthorizeURL: r.entra.URL + "/{tenant}/authorize", TokenURL: r.entra.URL + "/{tenant}/token",
		}},
		Client: mail.Password{Action: mail.Replace, Value: secret.New(clientSecret)},
	}
}

func TestTheFirstSignInIsNotOneAgain(t *testing.T) {
	r, grace := ready(t)
	_, err := r.mail.Save(t.Context(), r.system(), r.settings())
	r.must(err)
	grace.get(settingsPath).sees(http.StatusOK, "Paused", "Nobody has signed in").lacks("Sign in again")
	home := grace.get("/").sees(http.StatusOK, "Mail is paused.").lacks("Sign in again")
	if !strings.Contains(home.body, `href="/admin/settings/mail">Sign in</a>`) {
		t.Error("Home does not offer the first sign-in")
	}
	away := grace.send(signInPath, form{"stored": "yes", "origin": accessURL}).leadsAway()
	grace.comesBack(mail.RedirectOwn, r.entra.signIn(t, away)).leads(settingsPath).sees(http.StatusOK, "Delivering")
}

func TestAClientSecretThatCannotBeReadIsAskedFor(t *testing.T) {
	r, grace := ready(t)
	r.signedIn(grace)
	r.must(r.db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE mail_oauth SET sealed = (SELECT sealed FROM mail_token)`)
		return err
	}))
	a := grace.send(signInPath, form{"stored": "yes", "origin": accessURL}).sees(http.StatusUnprocessableEntity, "Type it again for the changed ones.")
	if !strings.Contains(a.body, `name="client_secret_action" value="replace" checked`) {
		t.Error("the field for it is not open")
	}
}

func TestWhoseWordsAreShown(t *testing.T) {
	r, grace := ready(t)
	r.signedIn(grace)
	r.pauses("entra-revoked", verdict.RemedySignIn)
	grace.get(settingsPath).sees(http.StatusOK, "Microsoft said").lacks("The server said")
	r.must(r.mail.Resume(t.Context(), r.actorOf("grace")))
	r.pauses("ms-auth-token", verdict.RemedySignIn)
	grace.get(settingsPath).sees(http.StatusOK, "The server said").lacks("Microsoft said")
	// In a test too.
	f := r.exchange().with("grant", "application", "client_secret", "wrong-secret")
	grace.send(settingsPath+"/test", f).sees(http.StatusOK, "Failed", "AADSTS7000215", "Microsoft said").lacks("wrong-secret")
	generic := f.with("kind", "smtp", "signin", "yes", "auth", "oauth", "provider", "generic", "security", "starttls", "tenant", "",
		"authorize_url", r.entra.URL+"/x/authorize", "token_url", r.entra.URL+"/x/token", "scopes", "smtp")
	grace.send(settingsPath+"/test", generic).sees(http.StatusOK, "Failed", "The provider said").lacks("Microsoft said")
}

// A new secret does not end when the old one does, unless somebody says so
// twice.
func TestTheDayOfANewClientSecretIsAskedFor(t *testing.T) {
	r, grace := ready(t)
	f := r.exchange().with("grant", "application", "port", "1", "do", "anyway")
	stored := grace.send(settingsPath, f).leads(settingsPath).value("secret_ends_before")
	if stored != "2027-11-30" {
		t.Fatalf("the form holds %q", stored)
	}
	a := grace.send(settingsPath, f.with("secret_ends_before", stored)).
		sees(http.StatusUnprocessableEntity, "The old secret ends on this day.", "[secret_ends=2027-11-30]", "Paste the secret again")
	if strings.Contains(a.body, `value="keep" checked`) || a.value("secret_ends_before") != "" {
		t.Error("it would be asked for ever, or the old secret be kept")
	}
	grace.send(settingsPath, f.with("secret_ends_before", a.value("secret_ends_before"))).leads(settingsPath).sees(http.StatusOK, "saved")
	grace.send(settingsPath, f.with("secret_ends_before", stored, "secret_ends", "2029-11-30")).leads(settingsPath).sees(http.StatusOK, "[secret_ends=2029-11-30]")
	p, _ := r.profile()
	grace.send(settingsPath, f.with("secret_ends", "2029-11-30", "secret_ends_before", "2029-11-30", "client_secret_action", "keep", "client_secret", "", "revision", strconv.FormatInt(p.Revision, 10))).
		leads(settingsPath).sees(http.StatusOK, "saved")
}

// Whoever knows the client secret takes it along to other certificates.
func TestCertificatesForAServerThatTakesTokens(t *testing.T) {
	r, grace := ready(t)
	c := r.settings()
	c.Kind, c.Auth, c.Security, c.SignInLater = mail.KindSMTP, mail.AuthOAuth, smtp.STARTTLS, false
	c.OAuth.Provider, c.OAuth.Grant, c.OAuth.Cloud, c.OAuth.Tenant, c.OAuth.Scopes = oauth.Generic, oauth.Application, "", "", "smtp"
	c.OAuth.AuthorizeURL, c.OAuth.TokenURL = r.entra.URL+"/x/authorize", r.entra.URL+"/x/token"
	_, err := r.mail.Save(t.Context(), r.system(), c)
	r.must(err)
	grace.get(settingsPath).sees(http.StatusOK, "Client secret [password=] It is bound to the trusted certificates.")
	lab := smtptest.NewLab(t, r.clock.Now())
	first, second := lab.Make(smtptest.Order{Name: "First Root", CA: true}), lab.Make(smtptest.Order{Name: "Second Root", CA: true})
	grace.upload(settingsPath+"/certificates", "certificate", [][]byte{first.PEM()}, "mode", "anchor", "password", clientSecret).leads(settingsPath+"#certificates").
		sees(http.StatusOK, "The certificate of First Root is added.", "RemoveClient secret [password=]").lacks("Mail is paused.", clientSecret)
	grace.upload(settingsPath+"/certificates", "certificate", [][]byte{second.PEM()}, "mode", "anchor").leads(settingsPath+"#certificates").
		sees(http.StatusOK, "is added. Mail is paused. The stored client secret is for other settings", "Paused")
}

// A key has several lines, whose ends a form sends otherwise than a file has
// them.
func TestAKeyIsPastedForOtherCertificates(t *testing.T) {
	r, grace := ready(t)
	lab := smtptest.NewLab(t, r.clock.Now())
	cert := lab.Make(smtptest.Order{Name: "Sealpost mail", Key: smtptest.RSA2048})
	key, err := x509.MarshalPKCS8PrivateKey(cert.TLS().PrivateKey)
	r.must(err)
	both := string(cert.PEM()) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	pasted := strings.ReplaceAll(both, "\n", "\r\n")
	c := r.settings()
	c.OAuth.Grant, c.OAuth.ClientAuth, c.Client.Value = oauth.Application, oauth.ByCertificate, secret.New(both)
	_, err = r.mail.Save(t.Context(), r.system(), c)
	r.must(err)
	if a := grace.get(settingsPath).sees(http.StatusOK, "Client certificate"); !strings.Contains(a.body, `<textarea id="certificate-password" name="key"`) {
		t.Error("there is no room for several lines")
	}
	root := lab.Make(smtptest.Order{Name: "Private Root", CA: true})
	grace.upload(settingsPath+"/certificates", "certificate", [][]byte{root.PEM()}, "mode", "anchor", "key", pasted).leads(settingsPath+"#certificates").
		sees(http.StatusOK, "The certificate of Private Root is added.").lacks("Mail is paused.", "PRIVATE KEY")
	// So it is where the settings are typed.
	f := r.exchange().with("grant", "application", "client_auth", "certificate", "client_secret_action", "", "client_secret", "", "secret_ends", "",
		"client_key_action", "replace", "client_key", pasted, "do", "anyway")
	grace.send(settingsPath, f).leads(settingsPath)
	fingerprint := regexp.MustCompile(`name="fingerprint" value="([0-9a-f]{64})"`).FindStringSubmatch(grace.get(settingsPath).body)[1]
	grace.post(settingsPath+"/certificates/remove", "fingerprint", fingerprint, "key", both).leads(settingsPath+"#certificates").
		sees(http.StatusOK, "is removed.").lacks("Mail is paused.")
}

func TestWhatIsSaidOfCertificatesFitsTheServer(t *testing.T) {
	r, grace := ready(t)
	grace.get(settingsPath).sees(http.StatusOK, "For another SMTP server you can also choose files above, under Secure connection.")
	c := r.settings()
	_, err := r.mail.Save(t.Context(), r.system(), c)
	r.must(err)
	grace.get(settingsPath).sees(http.StatusOK, "Add certificates", "Client secret [password=]", "What it signs in with and its trusted certificates go with it.").lacks("stored password and")
	c.OAuth.Via = mail.ViaGraph
	_, err = r.mail.Save(t.Context(), r.system(), c)
	r.must(err)
	grace.get(settingsPath).sees(http.StatusOK, "letters travel over Microsoft Graph, for which this machine's own authorities vouch").lacks("Add certificates")
	// What nobody typed cannot be typed again.
	c = r.settings()
	c.Kind, c.Auth, c.Security = mail.KindSMTP, mail.AuthOAuth, smtp.STARTTLS
	c.OAuth.Provider, c.OAuth.Cloud, c.OAuth.Tenant, c.OAuth.Scopes, c.OAuth.ClientAuth, c.Client = oauth.Generic, "", "", "smtp", oauth.ByNothing, mail.Password{}
	c.OAuth.AuthorizeURL, c.OAuth.TokenURL = r.entra.URL+"/x/authorize", r.entra.URL+"/x/token"
	_, err = r.mail.Save(t.Context(), r.system(), c)
	r.must(err)
	grace.get(settingsPath).sees(http.StatusOK, "Mail is paused afterwards until somebody signs in again.").lacks(`id="certificate-password"`)
}
