package verdict

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/oauth"
)

// refusal is what an authority answered.
func refusal(code string, numbers ...int) *oauth.Error {
	status := 400
	switch code {
	case "invalid_client", "unauthorized_client":
		status = 401
	case "temporarily_unavailable":
		status = 503
	}
	return &oauth.Error{Stage: oauth.StageToken, Code: code, Numbers: numbers, Status: status, Text: "AADSTS: words", Host: "login.microsoftonline.com"}
}

// aadsts are the numbers that Microsoft is known to answer with, the OAuth error
// that comes with them, what must follow, and a word of the advice.
var aadsts = []struct {
	code    string
	numbers []int
	act     Act
	remedy  Remedy
	mend    string
}{
	{"invalid_request", []int{90002}, Pause, RemedySettings, "tenant ID and the cloud"},
	{"invalid_request", []int{90038}, Pause, RemedySettings, "own cloud"},
	{"invalid_client", []int{900382, 900432}, Pause, RemedySettings, "in the cloud of the mailbox"},
	{"unauthorized_client", []int{700016, 700011, 70001}, Pause, RemedySettings, "client ID"},
	{"unauthorized_client", []int{7000112}, Pause, RemedySettings, "Enterprise applications"},
	{"invalid_request", []int{50194}, Pause, RemedySettings, "common"},
	{"invalid_request", []int{9001023}, Pause, RemedySettings, "tenant ID"},
	{"invalid_client", []int{7000215, 70002}, Pause, RemedySettings, "Value, not its Secret ID"},
	{"invalid_client", []int{7000222}, Pause, RemedySettings, "new client secret"},
	{"invalid_client", []int{7000218}, Pause, RemedySettings, "Enter the client secret"},
	{"invalid_client", []int{700025}, Pause, RemedySettings, "platform Web"},
	{"invalid_client", []int{700027, 700030, 50012}, Pause, RemedySettings, "thumbprints"},
	{"invalid_client", []int{700024}, Pause, RemedySettings, "clock"},
	{"invalid_client", []int{50011}, Pause, RemedySettings, "redirect URI"},
	{"invalid_client", []int{500113, 900971}, Pause, RemedySettings, "platform Web"},
	{"invalid_grant", []int{700005}, Pause, RemedySettings, "same tenant"},
	{"invalid_grant", []int{54005}, Pause, RemedySignIn, "Sign in again"},
	{"invalid_grant", []int{70008}, Pause, RemedySignIn, "Sign in again"},
	{"invalid_grant", []int{501481, 50147}, Pause, RemedySignIn, "other tabs"},
	{"invalid_grant", []int{65001}, Pause, RemedySignIn, "accept what Microsoft asks"},
	{"access_denied", []int{65004}, Pause, RemedySignIn, "accept"},
	{"access_denied", []int{90094, 90095}, Pause, RemedySignIn, "administrator"},
	{"invalid_resource", []int{65005, 650056, 650057}, Pause, RemedySettings, "SMTP.Send"},
	{"invalid_client", []int{650052}, Pause, RemedySettings, "licence"},
	{"invalid_resource", []int{50001, 500011}, Pause, RemedySettings, "right cloud"},
	{"invalid_scope", []int{70011, 28002, 28003}, Pause, RemedySettings, "Clear the scopes"},
	{"invalid_scope", []int{700022, 700023}, Pause, RemedySettings, "do not go together"},
	{"invalid_grant", []int{50020, 50034, 51004, 90072, 16000, 500208}, Pause, RemedySignIn, "mailbox of this tenant"},
	{"invalid_grant", []int{50105}, Pause, RemedySettings, "Assign it"},
	{"invalid_grant", []int{50057}, Pause, RemedyNone, "Enable the account"},
	{"invalid_grant", []int{50053}, Pause, RemedyNone, "unlock it"},
	{"invalid_grant", []int{50055, 50144}, Pause, RemedySignIn, "new password"},
	{"invalid_grant", []int{50126}, Pause, RemedySignIn, "right password"},
	{"interaction_required", []int{50072, 50074, 50076, 50079, 50158}, Pause, RemedySignIn, "without a person"},
	{"invalid_grant", []int{50078}, Pause, RemedySignIn, "sign-in frequency"},
	{"invalid_grant", []int{70043}, Pause, RemedySignIn, "without a person"},
	{"invalid_grant", []int{53000, 53001, 53002, 53003, 53004, 53011, 50131, 530032, 50005, 50097}, Pause, RemedyNone, "named location"},
	{"invalid_grant", []int{530035}, Pause, RemedySettings, "OAuth 2.0"},
	{"invalid_grant", []int{50173}, Pause, RemedySignIn, "Sign in again"},
	{"invalid_grant", []int{700082}, Pause, RemedySignIn, "every day"},
	{"invalid_grant", []int{700084}, Pause, RemedySettings, "platform Web"},
	{"invalid_grant", []int{70000, 50132, 50133, 50089}, Pause, RemedySignIn, "Sign in again"},
	{"invalid_grant", []int{50196}, Retry, RemedyNone, "waits"},
	{"temporarily_unavailable", []int{90033, 90006, 90012, 90024, 50033, 50087, 90090}, Retry, RemedyNone, "tried again"},
	{"server_error", []int{50000}, Retry, RemedyNone, "correlation ID"},
}

// Each number that Microsoft is known to use has its advice and the address of
// Microsoft's own words, alone and before others.
func TestNumbersOfMicrosoft(t *testing.T) {
	tab := table(t)
	for _, fact := range aadsts {
		for _, n := range fact.numbers {
			for _, numbers := range [][]int{{n}, {n, 12345}, {12345, n}} {
				e := refusal(fact.code, numbers...)
				got := tab.DecideGrant(e, oauth.Microsoft)
				if got.Act != fact.act || got.Remedy != fact.remedy || !got.Server || !strings.Contains(got.Meaning+" "+got.Mend, fact.mend) || !strings.HasPrefix(got.Row, "entra-") {
					t.Errorf("%s %d: got %+v, want %s %q with %q", fact.code, numbers, got, fact.act, fact.remedy, fact.mend)
				}
				if want := fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", n); got.Link != want {
					t.Errorf("%d: the link is %s, want %s", numbers, got.Link, want)
				}
			}
		}
	}
	if got := tab.DecideGrant(refusal("invalid_grant", 50196), oauth.Microsoft); got.After < 5*time.Minute {
		t.Errorf("a loop is left alone for %s", got.After)
	}
}

// The list above and the table have the same numbers, each once.
func TestTheTableHasEveryNumberOnce(t *testing.T) {
	var want, got []int
	for _, fact := range aadsts {
		want = append(want, fact.numbers...)
	}
	for _, g := range table(t).grants {
		got = append(got, g.numbers...)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the table has\n%d, the list\n%d", got, want)
	}
	if n := len(slices.Compact(got)); n != len(want) {
		t.Errorf("%d of %d numbers are different", n, len(want))
	}
}

// Numbers and descriptions change at the vendor's. They choose words, and never
// make of a failure that goes by one that does not; nor do they on their own
// make a letter fail.
func TestNumbersNeverMakeAFailureHarder(t *testing.T) {
	tab := table(t)
	passing := []*oauth.Error{
		refusal("temporarily_unavailable"), refusal("server_error"),
		{Stage: oauth.StageToken, Status: 429},
		{Stage: oauth.StageToken, Status: 500, Code: "invalid_grant"},
		{Stage: oauth.StageToken, Status: 503, Code: "invalid_client"},
		{Stage: oauth.StageReach},
		{Stage: oauth.StageToken, Status: 200},
	}
	for _, g := range tab.grants {
		for _, n := range append([]int{0}, g.numbers...) {
			for _, e := range passing {
				e := *e
				e.Numbers, e.Suberror, e.Text = []int{n}, g.code, g.text
				if got := tab.DecideGrant(&e, oauth.Provider(g.provider)); got.Act != Retry || got.Remedy != RemedyNone {
					t.Errorf("%s, %d: %s %d becomes %+v", g.id, n, e.Code, e.Status, got)
				}
			}
			if g.act != Retry && g.act != Pause {
				t.Errorf("%s: %s", g.id, g.act)
			}
		}
	}
	// The other way, a number may tell that a failure goes by.
	if got := tab.DecideGrant(refusal("invalid_grant", 90033), oauth.Microsoft); got.Act != Retry {
		t.Errorf("a passing number leads to %+v", got)
	}
	// A description alone does nothing.
	for _, text := range []string{"AADSTS90033: A transient error has occurred", "please try again", "temporarily_unavailable"} {
		e := refusal("invalid_grant")
		e.Text = text
		if got := tab.DecideGrant(e, oauth.Microsoft); got.Act != Pause || got.Remedy != RemedySignIn {
			t.Errorf("%q: %+v", text, got)
		}
	}
	for _, a := range tab.grants {
		for _, b := range tab.grants {
			if a.code != "" && a.code == b.code && a.act != b.act {
				t.Errorf("%s and %s differ in text or provider alone and act differently", a.id, b.id)
			}
		}
	}
}

// A number that nobody knows falls to its class, with the address where the
// vendor tells more.
func TestUnknownNumbersFallToTheirClass(t *testing.T) {
	tab := table(t)
	for _, tt := range []struct {
		code     string
		provider oauth.Provider
		act      Act
		remedy   Remedy
		link     bool
	}{
		{"invalid_grant", oauth.Microsoft, Pause, RemedySignIn, true},
		{"invalid_client", oauth.Microsoft, Pause, RemedySettings, true},
		{"brand_new_error", oauth.Microsoft, Pause, RemedySettings, true},
		{"server_error", oauth.Microsoft, Retry, RemedyNone, true},
		{"invalid_grant", oauth.Generic, Pause, RemedySignIn, false},
		{"invalid_grant", oauth.Google, Pause, RemedySignIn, false},
	} {
		got := tab.DecideGrant(refusal(tt.code, 98765432, 7), tt.provider)
		link := ""
		if tt.link {
			link = "https://login.microsoftonline.com/error?code=98765432"
		}
		if got.Act != tt.act || got.Remedy != tt.remedy || got.Link != link || strings.HasPrefix(got.Row, "entra-") || got.Meaning == "" || got.Mend == "" {
			t.Errorf("%s at %s: %+v", tt.code, tt.provider, got)
		}
	}
	if got := tab.DecideGrant(refusal("invalid_grant"), oauth.Microsoft); got.Link != "" {
		t.Errorf("without a number the link is %s", got.Link)
	}
	// Microsoft's numbers mean nothing at another authority.
	if got := tab.DecideGrant(refusal("invalid_grant", 7000222), oauth.Generic); got.Row != "grant-ended" {
		t.Errorf("a number of Microsoft's elsewhere: %+v", got)
	}
}

// What is done follows from OAuth's error, the status and the stage.
func TestClassesOfGrants(t *testing.T) {
	tab := table(t)
	for _, tt := range []struct {
		code   string
		status int
		act    Act
		remedy Remedy
	}{
		{"invalid_grant", 400, Pause, RemedySignIn},
		{"interaction_required", 400, Pause, RemedySignIn},
		{"login_required", 400, Pause, RemedySignIn},
		{"consent_required", 400, Pause, RemedySignIn},
		{"account_selection_required", 0, Pause, RemedySignIn},
		{"access_denied", 0, Pause, RemedySignIn},
		{"invalid_client", 401, Pause, RemedySettings},
		{"unauthorized_client", 400, Pause, RemedySettings},
		{"invalid_request", 400, Pause, RemedySettings},
		{"invalid_scope", 400, Pause, RemedySettings},
		{"unsupported_grant_type", 400, Pause, RemedySettings},
		{"unsupported_response_type", 0, Pause, RemedySettings},
		{"invalid_resource", 400, Pause, RemedySettings},
		{"redirect_uri_mismatch", 400, Pause, RemedySettings},
		{"no_refresh_token", 200, Pause, RemedySignIn},
		{"something_else", 400, Pause, RemedySettings},
		{"temporarily_unavailable", 400, Retry, RemedyNone},
		{"server_error", 0, Retry, RemedyNone},
		{"slow_down", 400, Retry, RemedyNone},
		{"rate_limit_exceeded", 403, Retry, RemedyNone},
		{"internal_failure", 400, Retry, RemedyNone},
		{"invalid_grant", 500, Retry, RemedyNone},
		{"invalid_client", 429, Retry, RemedyNone},
		{"", 200, Retry, RemedyNone},
		{"", 0, Retry, RemedyNone},
		{"", 408, Retry, RemedyNone},
		{"", 429, Retry, RemedyNone},
		{"", 502, Retry, RemedyNone},
		{"", 302, Pause, RemedySettings},
		{"", 307, Pause, RemedySettings},
		{"", 403, Pause, RemedySettings},
		{"", 404, Pause, RemedySettings},
	} {
		for _, p := range []oauth.Provider{oauth.Microsoft, oauth.Google, oauth.Generic} {
			e := &oauth.Error{Stage: oauth.StageToken, Code: tt.code, Status: tt.status, Host: "login.example.org", RetryAfter: 7 * time.Minute}
			got := tab.DecideGrant(e, p)
			if got.Act != tt.act || got.Remedy != tt.remedy && got.Row[:6] != "google" || !got.Server || got.Row == "" {
				t.Errorf("%s %q %d: got %+v, want %s %q", p, tt.code, tt.status, got, tt.act, tt.remedy)
			}
			if got.After != 7*time.Minute {
				t.Errorf("%s %q %d: left alone for %s", p, tt.code, tt.status, got.After)
			}
			isSentence(t, got)
		}
	}
	if got := tab.DecideGrant(&oauth.Error{Stage: oauth.StageSettings, Text: "the client secret is empty"}, oauth.Microsoft); got.Act != Pause || got.Remedy != RemedySettings || !strings.Contains(got.Meaning, "secret is empty.") {
		t.Errorf("settings: %+v", got)
	}
	if got := tab.DecideGrant(&oauth.Error{Stage: oauth.StageToken, Status: 429, RetryAfter: 1 << 60}, oauth.Microsoft); got.After != longestWait {
		t.Errorf("an authority that wants to be left alone for ever is for %s", got.After)
	}
	if got := tab.DecideGrant(&oauth.Error{Stage: oauth.StageToken, Status: 429, RetryAfter: -1}, oauth.Microsoft); got.After != 0 {
		t.Errorf("a negative wait becomes %s", got.After)
	}
}

// What Google and others say, on the way back from the sign-in too.
func TestGrantsOfOthers(t *testing.T) {
	tab := table(t)
	for _, tt := range []struct {
		provider   oauth.Provider
		stage      oauth.Stage
		code, text string
		remedy     Remedy
		mend       string
	}{
		{oauth.Google, oauth.StageToken, "invalid_grant", "Token has been expired or revoked.", RemedySignIn, "Internal or In production"},
		{oauth.Google, oauth.StageToken, "invalid_grant", "Bad Request", RemedySignIn, "clock"},
		{oauth.Google, oauth.StageToken, "invalid_grant", "Invalid JWT Signature.", RemedySettings, "key still exists"},
		{oauth.Google, oauth.StageToken, "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.", RemedySettings, "clock"},
		{oauth.Google, oauth.StageToken, "invalid_grant", "Invalid email or User ID", RemedySettings, "must belong to the domain"},
		{oauth.Google, oauth.StageToken, "redirect_uri_mismatch", "Bad Request", RemedySettings, "to the letter"},
		{oauth.Google, oauth.StageAuthorize, "admin_policy_enforced", "", RemedySettings, "Admin console"},
		{oauth.Google, oauth.StageAuthorize, "access_denied", "", RemedySignIn, "Admin console"},
		{oauth.Google, oauth.StageToken, "unauthorized_client", "Client is unauthorized to retrieve access tokens using this method", RemedySettings, "https://mail.google.com/"},
		{oauth.Google, oauth.StageToken, "no_refresh_token", "", RemedySignIn, "connected apps"},
		{oauth.Google, oauth.StageToken, "invalid_client", "The OAuth client was not found.", RemedySettings, "client secret"},
		{oauth.Google, oauth.StageToken, "deleted_client", "The OAuth client was deleted.", RemedySettings, "new client"},
		{oauth.Microsoft, oauth.StageToken, "no_refresh_token", "", RemedySignIn, "offline_access"},
		{oauth.Generic, oauth.StageToken, "no_refresh_token", "", RemedySignIn, "offline_access"},
		{oauth.Microsoft, oauth.StageAuthorize, "access_denied", "The user declined", RemedySignIn, "cancelled"},
		{oauth.Microsoft, oauth.StageAuthorize, "consent_required", "", RemedySignIn, "accept"},
		{oauth.Generic, oauth.StageAuthorize, "access_denied", "", RemedySignIn, "cancelled"},
	} {
		got := tab.DecideGrant(&oauth.Error{Stage: tt.stage, Code: tt.code, Text: tt.text, Status: 400}, tt.provider)
		if got.Act != Pause || got.Remedy != tt.remedy || !strings.Contains(got.Meaning+" "+got.Mend, tt.mend) {
			t.Errorf("%s %s %q: got %+v, want %q with %q", tt.provider, tt.code, tt.text, got, tt.remedy, tt.mend)
		}
	}
	// Microsoft's further word finds the words where the error is a general one.
	e := refusal("invalid_grant")
	e.Suberror = "consent_required"
	if got := tab.DecideGrant(e, oauth.Microsoft); got.Row != "grant-consent" || got.Act != Pause {
		t.Errorf("a further word: %+v", got)
	}
}

// An authority that is not reached is tried again, with a hint at what stands
// in the way, and never with words about the settings of the app.
func TestAuthoritiesOutOfReach(t *testing.T) {
	tab := table(t)
	dial := func(err error) error {
		return &url.Error{Op: "Post", URL: "https://login.example.org/", Err: &net.OpError{Op: "dial", Err: err}}
	}
	wrap := func(err error) error { return fmt.Errorf("tls: %w", err) }
	for _, tt := range []struct {
		row string
		err error
	}{
		{"grant-reach-dns", dial(&net.DNSError{IsNotFound: true})},
		{"grant-reach-dns", &net.DNSError{IsTimeout: true}},
		{"grant-reach-refused", dial(os.NewSyscallError("connect", syscall.ECONNREFUSED))},
		{"grant-reach-timeout", dial(os.ErrDeadlineExceeded)},
		{"grant-reach-clock", wrap(x509.CertificateInvalidError{Reason: x509.Expired})},
		{"grant-reach-tls", wrap(x509.UnknownAuthorityError{})},
		{"grant-reach-tls", wrap(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "x"})},
		{"grant-reach-tls", wrap(x509.CertificateInvalidError{Reason: x509.IncompatibleUsage})},
		{"grant-reach", errors.New("EOF")},
		{"grant-reach", nil},
	} {
		got := tab.DecideGrant(&oauth.Error{Stage: oauth.StageReach, Host: "login.example.org", Err: tt.err}, oauth.Microsoft)
		if got.Act != Retry || got.Row != tt.row || !got.Server || !strings.Contains(got.Meaning, "login.example.org") {
			t.Errorf("%v: got %+v, want %s", tt.err, got, tt.row)
		}
		isSentence(t, got)
	}
}

// Every row of grants.tsv is reached, and reads as it should.
func TestEveryGrantIsReached(t *testing.T) {
	tab := table(t)
	seen := map[string]bool{}
	for _, r := range tab.rows {
		seen[r.id] = true
	}
	for _, g := range tab.grants {
		if seen[g.id] {
			t.Errorf("two rows are called %s", g.id)
		}
		seen[g.id] = true
		provider := oauth.Provider(g.provider)
		if provider == "*" {
			provider = oauth.Generic
		}
		got := tab.DecideGrant(&oauth.Error{Stage: oauth.StageToken, Numbers: g.numbers, Code: g.code, Text: "it says: " + strings.ToUpper(g.text), Status: 400}, provider)
		if len(g.numbers) > 0 {
			got = tab.DecideGrant(&oauth.Error{Stage: oauth.StageToken, Numbers: g.numbers, Code: "invalid_grant", Status: 400}, provider)
		}
		if got.Row != g.id || got.Act != g.act || got.Remedy != g.remedy || got.Command != g.command {
			t.Errorf("%s: got %+v", g.id, got)
		}
		isSentence(t, got)
	}
}

// isSentence wants the words to be whole sentences for a person.
func isSentence(t *testing.T, v Verdict) {
	t.Helper()
	for _, s := range []string{v.Meaning, v.Mend} {
		if !strings.HasSuffix(s, ".") || strings.HasSuffix(s, "..") || s == "." || strings.Contains(s, "AADSTS") || strings.Contains(s, "  ") {
			t.Errorf("%s: %q is no sentence", v.Row, s)
		}
	}
}

// Whatever an authority says, the verdict can be acted on and shown.
func FuzzDecideGrant(f *testing.F) {
	f.Add("token", "invalid_grant", "", "expired", 70008, 400, int64(0), "microsoft")
	f.Add("token", "invalid_grant", "bad_token", "Invalid JWT", 0, 400, int64(time.Minute), "google")
	f.Add("reach", "", "", "", 0, 0, int64(-1), "generic")
	f.Add("authorize", "access_denied", "", "", 65004, 0, int64(1<<62), "microsoft")
	f.Add("settings", "", "", "", -1, 999, int64(0), "")
	tab, err := New()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, stage, code, sub, text string, number, status int, after int64, provider string) {
		e := &oauth.Error{Stage: oauth.Stage(stage), Code: code, Suberror: sub, Text: text, Numbers: []int{number}, Status: status, RetryAfter: time.Duration(after), Host: "login.example.org"}
		v := tab.DecideGrant(e, oauth.Provider(provider))
		if v.Act != Retry && v.Act != Pause || v.Act == Retry && v.Remedy != RemedyNone || !v.Server || v.Meaning == "" || v.Mend == "" || v.Row == "" || v.After < 0 || v.After > longestWait {
			t.Fatalf("%+v leads to %+v", e, v)
		}
		if v.Link != "" && (provider != "microsoft" || !strings.HasPrefix(v.Link, "https://login.microsoftonline.com/error?code=")) {
			t.Fatalf("%+v leads to %s", e, v.Link)
		}
		// Without number and words the class decides; with them it is no harder.
		class := tab.DecideGrant(&oauth.Error{Stage: e.Stage, Code: code, Status: status, Host: e.Host}, oauth.Provider(provider))
		if class.Act == Retry && v.Act != Retry {
			t.Fatalf("%+v is harder than its class: %+v", e, v)
		}
	})
}
