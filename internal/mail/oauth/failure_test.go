package oauth_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/secret"
)

const (
	trace       = "3f2e1d0c-1111-2222-3333-444455556666"
	correlation = "b0a09080-7777-8888-9999-aaaabbbbcccc"
	expired     = "AADSTS7000222: The provided client secret keys for app '" + client + "' are expired. Visit the Azure portal to create new keys for your app."
	ids         = " Trace ID: " + trace + " Correlation ID: " + correlation + " Timestamp: 2026-11-05 09:00:00Z"
)

func TestARefusalIsRead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   any
		want   oauth.Error
	}{
		{
			"as Microsoft writes it", 401,
			map[string]any{
				"error": "invalid_client", "error_description": expired + "\r\nTrace ID: " + trace + "\r\nCorrelation ID: " + correlation + "\r\nTimestamp: 2026-11-05 09:00:00Z",
				"error_codes": []int{7000222}, "timestamp": "2026-11-05 09:00:00Z", "trace_id": trace, "correlation_id": correlation,
				"error_uri": "https://login.microsoftonline.com/error?code=7000222",
			},
			oauth.Error{Code: "invalid_client", Numbers: []int{7000222}, TraceID: trace, CorrelationID: correlation, Text: expired + ids},
		},
		{
			"with a further word", 400,
			map[string]any{"error": "invalid_grant", "error_description": "AADSTS65001: Consent.", "error_codes": []int{65001}, "suberror": "consent_required", "trace_id": trace, "timestamp": "2026-11-05 09:00:00Z"},
			oauth.Error{Code: "invalid_grant", Suberror: "consent_required", Numbers: []int{65001}, TraceID: trace, Text: "AADSTS65001: Consent. Timestamp: 2026-11-05 09:00:00Z"},
		},
		{
			"numbers in the words alone", 400,
			map[string]any{"error": "invalid_grant", "error_description": "AADSTS70043: The refresh token has expired (see AADSTS50173, AADSTS70043)." + ids},
			oauth.Error{Code: "invalid_grant", Numbers: []int{70043, 50173}, TraceID: trace, CorrelationID: correlation, Text: "AADSTS70043: The refresh token has expired (see AADSTS50173, AADSTS70043)." + ids},
		},
		{
			"the main number is the one that is said", 400,
			map[string]any{"error": "invalid_grant", "error_description": "AADSTS50173: Revoked.", "error_codes": []any{70008, "50173", "x", -1, 70008}},
			oauth.Error{Code: "invalid_grant", Numbers: []int{50173, 70008}, Text: "AADSTS50173: Revoked."},
		},
		{
			"as Google writes it", 400,
			map[string]any{"error": "invalid_grant", "error_description": "Token has been expired or revoked."},
			oauth.Error{Code: "invalid_grant", Text: "Token has been expired or revoked."},
		},
		{
			"in the form of Google's other interfaces", 503,
			map[string]any{"error": map[string]any{"code": 503, "message": "The service is\u202e currently unavailable.", "status": "UNAVAILABLE"}},
			oauth.Error{Text: "The service is currently unavailable."},
		},
		{"without words", 429, map[string]any{"error": "slow_down"}, oauth.Error{Code: "slow_down"}},
		{"a code that is a sentence", 400, map[string]any{"error": "Something <b>is</b> wrong"}, oauth.Error{Text: "Something <b>is</b> wrong"}},
		{
			"members of odd types", 400,
			map[string]any{"error": "invalid_grant", "error_description": 7, "error_codes": "x", "suberror": []int{}, "trace_id": map[string]int{}, "timestamp": true},
			oauth.Error{Code: "invalid_grant"},
		},
		{"ids that are none", 400, map[string]any{"error": "invalid_grant", "trace_id": "a b\n", "correlation_id": strings.Repeat("x", 65), "suberror": "\x1b[31m"}, oauth.Error{Code: "invalid_grant"}},
		{"a page", 502, "<html>Bad gateway</html>", oauth.Error{Text: "the answer is not one of an authority"}},
		{"nothing", 500, "", oauth.Error{Text: "the answer is not one of an authority"}},
		{"null", 400, "null", oauth.Error{Text: "the answer is not one of an authority"}},
		{"a success that is none", 201, tokens(nil), oauth.Error{Text: "the answer is not one of an authority"}},
	} {
		body, plain := tt.body.(string)
		if !plain {
			b, err := json.Marshal(tt.body)
			if err != nil {
				t.Fatal(err)
			}
			body = string(b)
		}
		a := serve(t, say(tt.status, body))
		_, err := refresh(t, a.config(t), a.microsoft(oauth.Consent))
		e, want := refused(t, err), tt.want
		if e.Stage != oauth.StageToken || e.Status != tt.status || e.Host != a.host() || e.Code != want.Code || e.Suberror != want.Suberror ||
			!slices.Equal(e.Numbers, want.Numbers) || e.TraceID != want.TraceID || e.CorrelationID != want.CorrelationID || e.Text != want.Text {
			t.Errorf("%s: got\n%+v, want\n%+v", tt.name, *e, want)
		}
	}
}

func TestAnAuthoritySaysHowLongToWait(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"":                              0,
		"120":                           2 * time.Minute,
		"0":                             0,
		"-5":                            0,
		"soon":                          0,
		"1.5":                           0,
		"99999999":                      24 * time.Hour,
		"99999999999999999999":          0,
		"Thu, 05 Nov 2026 09:03:00 GMT": 3 * time.Minute,
		"Thu, 05 Nov 2026 08:00:00 GMT": 0,
		"Thu, 05 Nov 2099 08:00:00 GMT": 24 * time.Hour,
	} {
		a := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", value)
			say(429, `{"error":"temporarily_unavailable"}`)(w, r)
		})
		_, err := refresh(t, a.config(t), a.microsoft(oauth.Consent))
		if e := refused(t, err); e.RetryAfter != want {
			t.Errorf("%q: got %s, want %s", value, e.RetryAfter, want)
		}
	}
}

// An authority that repeats what it was sent, wherever and however.
func TestNoErrorTellsACredential(t *testing.T) {
	signed := oauth.Credential{Key: secret.New(clientPEM(t))}
	for _, field := range []string{"error", "error_description", "suberror", "trace_id", "correlation_id", "timestamp", "message"} {
		for name, form := range map[string]func(string) string{
			"as it is":         func(s string) string { return s },
			"with words":       func(s string) string { return "AADSTS7000215: Invalid client secret '" + s + "' for Trace ID: " + s },
			"as a form":        url.QueryEscape,
			"in a path":        url.PathEscape,
			"in a page":        html.EscapeString,
			"in base64":        func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
			"after many words": func(s string) string { return strings.Repeat("x", 395) + s },
			"between marks":    func(s string) string { return "\x1b[31m" + s + "\u202e" },
		} {
			a := serve(t, nil)
			a.answer = func(w http.ResponseWriter, r *http.Request) {
				seen := a.forms[len(a.forms)-1]
				var said []string
				for _, k := range []string{"client_secret", "refresh_token", "code", "code_verifier", "client_assertion"} {
					if v := seen.Get(k); v != "" {
						said = append(said, form(v))
					}
				}
				answer := map[string]any{"error": "invalid_client", field: strings.Join(said, " ")}
				if field == "message" {
					answer = map[string]any{"error": map[string]any{"message": strings.Join(said, " ")}}
				}
				b, _ := json.Marshal(answer)
				say(401, string(b))(w, r)
			}
			c := oauth.NewClient(a.config(t))
			withKey := a.microsoft(oauth.Application)
			withKey.ClientAuth = oauth.ByCertificate
			for _, ask := range []func() error{
				func() error {
					_, err := c.Refresh(t.Context(), a.microsoft(oauth.Consent), bySecret(), secret.New(oldRefresh))
					return err
				},
				func() error {
					_, err := c.Exchange(t.Context(), a.microsoft(oauth.Consent), bySecret(), pending(), back, secret.New(authCode))
					return err
				},
				func() error { _, err := c.Obtain(t.Context(), withKey, signed); return err },
			} {
				e := refused(t, ask())
				all := fmt.Sprintf("%+v %s %s", *e, e.Said(), e)
				last := a.forms[len(a.forms)-1]
				for _, k := range []string{"client_secret", "refresh_token", "code", "code_verifier", "client_assertion"} {
					v := last.Get(k)
					if v != "" && (strings.Contains(all, v) || strings.Contains(all, form(v)) && form(v) != "") {
						t.Errorf("%s %s: %s stands in %s", field, name, k, all)
					}
					if len(v) > 100 && strings.Contains(all, v[:60]) {
						t.Errorf("%s %s: the beginning of %s stands in %s", field, name, k, all)
					}
				}
				if n := utf8.RuneCountInString(e.Text); n > 850 {
					t.Errorf("%s %s: the text has %d characters", field, name, n)
				}
			}
		}
	}
}

func TestTextIsOneShortLine(t *testing.T) {
	a := serve(t, nil)
	for said, want := range map[string]string{
		"two\r\nlines\x00\x1b[31mred\u0085\u2028end": "two lines [31mred end",
		"turned \u202eback\u2066 and \u200bhidden":   "turned back and hidden",
		" much    space ":        "much space",
		"<script>alert(1)":       "<script>alert(1)",
		"broken \xff bytes":      "broken bytes",
		strings.Repeat("é", 900): strings.Repeat("é", 800) + "…",
	} {
		b, err := json.Marshal(map[string]string{"error": "invalid_grant", "error_description": said})
		if err != nil {
			t.Fatal(err)
		}
		a.answer = say(400, string(b))
		_, err = refresh(t, a.config(t), a.microsoft(oauth.Consent))
		if e := refused(t, err); e.Text != want {
			t.Errorf("%q: got %q", said, e.Text)
		}
	}
}

func TestAPersonComesBackRefused(t *testing.T) {
	const said = "AADSTS65004: User declined to consent to access the app."
	for name, tt := range map[string]struct {
		q    url.Values
		want *oauth.Error
	}{
		"with a code":  {url.Values{"code": {"x"}, "state": {"y"}}, nil},
		"with nothing": {url.Values{}, nil},
		"declined": {
			url.Values{"error": {"access_denied"}, "error_subcode": {"cancel"}, "error_description": {said + "\r\nTrace ID: " + trace + "\r\nCorrelation ID: " + correlation}, "state": {"y"}},
			&oauth.Error{Code: "access_denied", Suberror: "cancel", Numbers: []int{65004}, TraceID: trace, CorrelationID: correlation, Text: said + " Trace ID: " + trace + " Correlation ID: " + correlation},
		},
		"without a reason":     {url.Values{"error": {""}}, &oauth.Error{Text: "the authority gave no reason"}},
		"with a page":          {url.Values{"error": {"<b>x</b>"}}, &oauth.Error{Text: "<b>x</b>"}},
		"with its state again": {url.Values{"error": {"x"}, "error_description": {"state canary-state"}, "state": {"canary-state"}}, &oauth.Error{Code: "x", Text: "state [redacted]"}},
	} {
		got := oauth.Refused(tt.q, "login.example.org")
		if tt.want == nil || got == nil {
			if tt.want != nil || got != nil {
				t.Errorf("%s: got %v", name, got)
			}
			continue
		}
		tt.want.Stage, tt.want.Host = oauth.StageAuthorize, "login.example.org"
		if fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", *tt.want) {
			t.Errorf("%s: got\n%+v, want\n%+v", name, *got, *tt.want)
		}
	}
}

func TestWhatWasSaidIsOneLineWithItsIds(t *testing.T) {
	e := &oauth.Error{Stage: oauth.StageToken, Status: 400, Code: "invalid_grant", Text: "Gone.", TraceID: trace, CorrelationID: correlation, Err: fmt.Errorf("why")}
	want := "400 invalid_grant Gone. Trace ID: " + trace + " Correlation ID: " + correlation
	if got := e.Said(); got != want {
		t.Errorf("got %q", got)
	}
	if got := e.Error(); got != "oauth: token: "+want+": why" {
		t.Errorf("got %q", got)
	}
}
