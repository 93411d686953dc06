package oauth

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sealpost/sealpost/internal/secret"
)

var fuzzNow = time.Date(2026, 11, 5, 9, 0, 0, 0, time.UTC)

// Whatever an authority answers: tokens can stand in a protocol's line, and live
// for a while; or there are none, and the error repeats nothing.
func FuzzTokens(f *testing.F) {
	for _, seed := range []string{
		`{"token_type":"Bearer","access_token":"abc.def","expires_in":3600,"refresh_token":"r","scope":"a b","id_token":"x"}`,
		`{"token_type":"Bearer","access_token":"a\r\nb","expires_in":"3600"}`, `{"expires_in":-1e99}`, `[]`, `<html>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, _, err := readTokens(body, fuzzNow)
		if err != nil {
			if !got.Access.IsZero() || !got.Refresh.IsZero() {
				t.Fatal("tokens and an error")
			}
			return
		}
		access, refresh := got.Access.Reveal(), got.Refresh.Reveal()
		if access == "" || strings.Trim(access, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=") != "" {
			t.Fatalf("%q is no token", access)
		}
		for _, r := range refresh + got.Scopes {
			if r < ' ' || r > '~' {
				t.Fatalf("%q or %q holds %q", refresh, got.Scopes, r)
			}
		}
		if life := got.Expires.Sub(fuzzNow); life < time.Second || life > maxLife {
			t.Fatalf("the token lives %s", life)
		}
	})
}

// Whatever an authority refuses with: the error is a few short lines of plain
// text, and holds nothing that was sent.
func FuzzRefusal(f *testing.F) {
	for _, seed := range []string{
		`{"error":"invalid_client","error_description":"AADSTS7000215: 'canary-secret' Trace ID: canary-secret","error_codes":[7000215],"suberror":"canary-secret","trace_id":"canary-secret"}`,
		`{"error":{"message":"canary-secret"}}`, `{"error":"canary-\u0000secret","timestamp":"canary-secret"}`, `<html>canary-secret`, `null`,
	} {
		f.Add([]byte(seed), "120")
	}
	sent := []secret.Value{secret.New("canary-secret")}
	f.Fuzz(func(t *testing.T, body []byte, after string) {
		e := failure("host", &http.Response{StatusCode: 400, Header: http.Header{"Retry-After": {after}}}, body, fuzzNow, sent)
		all := strings.Join([]string{e.Error(), e.Said(), e.Code, e.Suberror, e.Text, e.TraceID, e.CorrelationID}, " | ")
		if strings.Contains(all, "canary-secret") {
			t.Fatalf("%q tells what was sent", all)
		}
		if strings.ContainsFunc(all, func(r rune) bool { return unicode.IsControl(r) || r == '\u202e' }) || !utf8.ValidString(all) {
			t.Fatalf("%q is not a plain line", all)
		}
		if len(e.Numbers) > maxNumbers || utf8.RuneCountInString(e.Text) > maxText+60 || e.RetryAfter < 0 || e.RetryAfter > maxRetryAfter {
			t.Fatalf("%+v is out of bounds", e)
		}
		for _, n := range e.Numbers {
			if n <= 0 {
				t.Fatalf("the number %d", n)
			}
		}
	})
}

// Whatever stands in an id_token: a person is read from it only when it is for
// this sign-in, and has a name that can stand in a protocol's line.
func FuzzIdentity(f *testing.F) {
	const guid = "11111111-2222-3333-4444-555555555555"
	for _, seed := range []string{
		`{"iss":"https://login.microsoftonline.com/` + guid + `/v2.0","aud":"c","exp":9999999999,"nonce":"n","sub":"s","tid":"` + guid + `","preferred_username":"a@b.c"}`,
		`{"iss":"https://evil.example/","aud":["c"],"exp":1e400,"nonce":"n","email":"a\u0001b"}`, `{}`, `[]`, `{"aud":{}}`,
	} {
		f.Add([]byte(seed))
	}
	s := Settings{Provider: Microsoft, Grant: Consent, Tenant: guid, ClientID: "c"}.Complete(false)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := readIdentity(string(raw), s, secret.New("n"), fuzzNow); err == nil && !strings.Contains(string(raw), ".") {
			t.Fatal("a token without parts")
		}
		token := "e30." + base64.RawURLEncoding.EncodeToString(raw) + "."
		if _, err := readIdentity(token, s, secret.New("another"), fuzzNow); err == nil && !strings.Contains(string(raw), "another") {
			t.Fatalf("%q answers another sign-in", raw)
		}
		id, err := readIdentity(token, s, secret.New("n"), fuzzNow)
		if err != nil {
			return
		}
		if !isGUID(id.Tenant) || id.Subject == "" || !isPlain(id.Name) || !isPlain(id.Email) {
			t.Fatalf("%q gives %+v", raw, id)
		}
	})
}
