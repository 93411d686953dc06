package sasl

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/sealpost/sealpost/internal/secret"
)

func token(user, token string) Credential {
	return Credential{Username: user, Token: secret.New(token), Host: "server.example.com", Port: 587}
}

// The examples of Microsoft's and Google's pages on XOAUTH2, and of RFC 7628
// section 4.1 with its "=" and "," written as RFC 5801 has it.
func TestBearersAsTheirPagesShowThem(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    Credential
		want string
	}{
		{
			XOAuth2, token("test@contoso.onmicrosoft.com", "EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA"),
			"dXNlcj10ZXN0QGNvbnRvc28ub25taWNyb3NvZnQuY29tAWF1dGg9QmVhcmVyIEV3QkFBbDNCQUFVRkZwVUFvN0ozVmUwYmpMQldaV0NjbFJDM0VvQUEBAQ==",
		},
		{
			XOAuth2, token("someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"),
			"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==",
		},
		{
			OAuthBearer, token("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="),
			base64.StdEncoding.EncodeToString([]byte("n,a=user@example.com,\x01host=server.example.com\x01port=587\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01")),
		},
		{
			OAuthBearer,
			Credential{Username: "a=b,c", Token: secret.New("T")},
			base64.StdEncoding.EncodeToString([]byte("n,a=a=3Db=2Cc,\x01auth=Bearer T\x01\x01")),
		},
	} {
		m, err := New(tt.name, tt.c)
		if err != nil {
			t.Fatal(err)
		}
		ir, has, err := m.Start()
		if got := base64.StdEncoding.EncodeToString([]byte(ir.Reveal())); !has || err != nil || got != tt.want {
			t.Errorf("%s: got %s, %v; want %s", tt.name, got, err, tt.want)
		}
		if m.Name() != tt.name || m.Done() != nil {
			t.Errorf("%s: name %s, done %v", tt.name, m.Name(), m.Done())
		}
	}
}

// A refusal comes as a challenge. It is answered once, as the mechanism has it,
// told in words, and nothing after it is a success.
func TestARefusalIsReadAndAnswered(t *testing.T) {
	for name, answer := range map[string]string{XOAuth2: "", OAuthBearer: "\x01"} {
		for challenge, want := range map[string]string{
			`{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`:                                                           "status 400, schemes Bearer, scope https://mail.google.com/",
			`{"status":"invalid_token","scope":"example_scope","openid-configuration":"https://example.com/.well-known/openid-configuration"}`: "status invalid_token, scope example_scope",
			`{"status":401,"schemes":"bearer mac"}`:                "status 401, schemes bearer mac",
			`{"status":"` + strings.Repeat("x", 500) + `"}`:        "status " + strings.Repeat("x", maxWord) + "…",
			"{\"status\":\"40\u202e0\\u0007\\n\",\"scope\":\"a\"}": "status 400, scope a",
			`{"status":{"a":1}}`:                                   `status {"a":1}`,
			`{"scope":7}`:                                          "scope 7",
			`[1]`:                                                  "",
			`no JSON`:                                              "",
			``:                                                     "",
		} {
			m, err := New(name, token("user", "T"))
			if err != nil {
				t.Fatal(err)
			}
			_, _, _ = m.Start()
			r := m.(Refuser)
			if r.Refusal() != "" {
				t.Errorf("%s: refused before a word was said", name)
			}
			got, err := m.Next([]byte(challenge))
			if err != nil || got.Reveal() != answer {
				t.Errorf("%s %s: answered %q, %v; want %q", name, challenge, got.Reveal(), err, answer)
			}
			if r.Refusal() != want {
				t.Errorf("%s %s: got %q, want %q", name, challenge, r.Refusal(), want)
			}
			if !errors.Is(m.Done(), ErrChallenge) {
				t.Errorf("%s: success after a refusal was believed", name)
			}
			if _, err := m.Next([]byte(challenge)); !errors.Is(err, ErrChallenge) {
				t.Errorf("%s: a second challenge was answered: %v", name, err)
			}
		}
	}
}

// What is no token, or could add a part to the message, is refused.
func TestTokensThatCannotBeSentAreRefused(t *testing.T) {
	for _, name := range Bearer() {
		for _, bad := range []string{
			"", "=", "==", "a\r\nb", "a\nb", "a\x01b", "a\x00b", "a b", " a", "a ", "a=b", "é", "a\u2028b", "a\"b", "a,b", "Bearer\ta", "a\x7f", string([]byte{'a', 0xff}),
		} {
			if _, err := New(name, token("user", bad)); err == nil {
				t.Errorf("%s: the token %q was taken", name, bad)
			} else if bad = strings.Trim(bad, "= "); len(bad) > 2 && strings.Contains(err.Error(), bad) {
				t.Errorf("%s: the error tells the token: %v", name, err)
			}
		}
		for _, good := range []string{"a", "A-z0.9_~+/", "a=", "a==", "eyJ0.eyJh.c2ln-_", strings.Repeat("x", 20_000)} {
			if _, err := New(name, token("user", good)); err != nil {
				t.Errorf("%s: the token %.20q: %v", name, good, err)
			}
		}
		for _, c := range []Credential{
			token("", "T"),
			token("a\x01auth=Bearer x", "T"),
			token("a\r\nb", "T"),
			token("a\x00", "T"),
			{Username: "a", Token: secret.New("T"), Host: "h\x01port=1"},
			cred("user", "pencil"),
		} {
			if _, err := New(name, c); err == nil {
				t.Errorf("%s: %q at %q was taken", name, c.Username, c.Host)
			}
		}
	}
}

// A token goes with no mechanism for passwords, whatever is offered or fixed,
// and a password with none for tokens.
func TestTokensAndPasswordsAreKeptApart(t *testing.T) {
	everything := append(Strength(), Bearer()...)
	for _, tt := range []struct {
		c              Credential
		offered, fixed string
		want           string
	}{
		{token("u", "T"), "LOGIN XOAUTH2", "", XOAuth2},
		{token("u", "T"), "LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH", "", XOAuth2},
		{token("u", "T"), "oauthbearer", "", OAuthBearer},
		{token("u", "T"), "XOAUTH2 OAUTHBEARER", OAuthBearer, OAuthBearer},
		{token("u", "T"), "PLAIN LOGIN", "", ""},
		{token("u", "T"), "PLAIN LOGIN", Plain, ""},
		{token("u", "T"), "PLAIN LOGIN", XOAuth2, ""},
		{token("u", "T"), "PLAIN OAUTHBEARER", XOAuth2, ""},
		{token("u", "T"), strings.Join(Strength(), " "), "", ""},
		{token("u", "T"), "XOAUTH", "", ""},
		{token("u", "T"), "", "", ""},
		{cred("u", "p"), "XOAUTH2 OAUTHBEARER", "", ""},
		{cred("u", "p"), "XOAUTH2 LOGIN", XOAuth2, ""},
		{cred("u", "p"), strings.Join(everything, " "), "", SCRAMSHA256},
	} {
		got, err := tt.c.Choose(strings.Fields(tt.offered), tt.fixed, true)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q fixed %q: got %q, %v; want %q", tt.offered, tt.fixed, got, err, tt.want)
		}
	}
	both := token("u", "T")
	both.Password = secret.New("pencil")
	for _, name := range everything {
		for what, c := range map[string]Credential{"a token": token("u", "T"), "a password": cred("u", "p"), "both": both} {
			want := slices.Contains(Bearer(), name) == (what != "a password")
			if _, err := New(name, c); (err == nil) != want {
				t.Errorf("%s with %s: %v", name, what, err)
			}
		}
	}
}

// Whatever a server says in its refusal, what is told of it is short and shows.
func FuzzRefusal(f *testing.F) {
	for _, seed := range []string{
		`{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`, `{"status":401}`, `{"status":null,"scope":"\u202e\u0000"}`,
		`{"scope":"\ud800"}`, `{}`, `[]`, ``, `{"status":"` + "\xff" + `"}`, `{"status":{"status":{}}}`,
	} {
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, challenge []byte, standard bool) {
		name := XOAuth2
		if standard {
			name = OAuthBearer
		}
		m, err := New(name, token("user", "crayon"))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := m.Next(challenge)
		if err != nil || len(answer.Reveal()) > 1 || m.Done() == nil {
			t.Fatalf("%q: answered %q, %v, done %v", challenge, answer.Reveal(), err, m.Done())
		}
		told := m.(Refuser).Refusal()
		if len([]rune(told)) > 3*(maxWord+20) || strings.ContainsFunc(told, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q is told as %q", challenge, told)
		}
	})
}
