package blueprint_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/blueprint"
	"github.com/sealpost/sealpost/internal/fault"
)

func TestWhatCannotBeReadNamesTheLine(t *testing.T) {
	for _, tt := range []struct{ what, file, want string }{
		{"nothing", "", "is empty"},
		{"another version", "version: 2\n", "line 1: "},
		{"no version", "organisation: x\n", `Start the file with "version: 1"`},
		{"an unknown key", "version: 1\norganization: x\n", "line 2"},
		{"a value of another sort", "version: 1\nusers: canary\n", "line 2: a value of another type"},
		{"two documents", "version: 1\n---\nversion: 1\n", "more than one"},
		{"what is no YAML", "version: 1\n\tx: 1\n", "line 2"},
		{"a password in the file", "version: 1\nresources:\n  - name: R\n    owner: a\n    accounts:\n      - name: x\n        password: canary\n", "line 7"},
		{"a reference to nothing", "version: 1\nmail:\n  authentication:\n    password: 'env:'\n", "line 4"},
		{"a login twice", "version: 1\nusers:\n  - login: ada\n  - login: Ada\n", "line 4: "},
		{"a user without login", "version: 1\nusers:\n  - name: Ada\n", "line 3: "},
		{"a resource twice", "version: 1\nresources:\n  - {name: R, owner: a}\n  - {name: r, owner: A}\n", "line 4: "},
		{"a resource without owner", "version: 1\nresources:\n  - name: R\n", "line 3: "},
		{"an account twice", "version: 1\nresources:\n  - name: R\n    owner: a\n    accounts:\n      - name: x\n      - name: X\n", "line 7: "},
		{"an unknown kind of server", "version: 1\nmail:\n  server: exchange\n", "line 3: "},
		{"no mail server", "version: 1\nmail:\n  sender: {address: a@example.org}\n", "line 2: "},
		{"an unknown security", "version: 1\nmail:\n  host: h\n  sender: {address: a@example.org}\n  security: maybe\n", "line 5: "},
		{"user and account", "version: 1\nmail:\n  host: h\n  sender: {address: a@example.org}\n  authentication:\n    user: u\n    password: env:P\n    account: {resource: r, account: a}\n", "line 5: "},
		{"a user without password", "version: 1\nmail:\n  host: h\n  sender: {address: a@example.org}\n  authentication:\n    user: u\n", "line 5: "},
		{"Exchange Online without a token", "version: 1\nmail:\n  server: microsoft\n  sender: {address: a@example.org}\n", "line 2: "},
		{"Exchange Online by ssl", "version: 1\nmail:\n  server: microsoft\n  sender: {address: a@example.org}\n  security: ssl\n  authentication: {oauth: {tenant: t}}\n", "line 5: "},
		{"another provider for Exchange Online", oauthFile("microsoft", "provider: google"), "line 8: "},
		{"nobody who gives tokens", oauthFile("other", "tenant_id: x"), "line 8"},
		{"a token from nowhere", oauthFile("other", "client_id: x"), `"google" or "generic"`},
		{"a tenant of Google", oauthFile("other", "provider: google\n      tenant: x"), "Exchange Online alone"},
		{"an unknown way to sign in", oauthFile("microsoft", "sign_in: service_account"), "line 8: "},
		{"an unknown way for letters", oauthFile("microsoft", "via: pigeon"), "line 8: "},
		{"an unknown redirect", oauthFile("microsoft", "redirect: /x"), "line 8: "},
		{"two proofs", oauthFile("microsoft", "client_secret: env:S\n      certificate: file:c.pem"), "Give one of"},
		{"a service account without key", oauthFile("other", "provider: google\n      sign_in: service_account"), "key file"},
		{"a day that is none", oauthFile("microsoft", "client_secret: env:S\n      secret_ends: soon"), "line 9: "},
		{"an end of nothing", oauthFile("microsoft", "secret_ends: 2028-11-30"), "line 8: "},
		{"a client secret in the file", oauthFile("microsoft", "client_secret: canary"), "line 8"},
		{"account and token", oauthFile("other", "provider: google\n    account: {resource: r, account: a}"), "either user and password"},
		{"too much", "version: 1\n#" + strings.Repeat("x", blueprint.MaxFile), "larger than 1 MiB"},
	} {
		_, err := blueprint.Parse([]byte(tt.file))
		text := fault.Sentence(err)
		for _, f := range fault.Fields(err) {
			text += " " + f.Sentence
		}
		if !fault.Is(err, fault.KindInvalid) || !strings.Contains(text, tt.want) {
			t.Errorf("%s: got %v, want %q", tt.what, err, tt.want)
		}
		if strings.Contains(fmt.Sprint(err, text), "canary") {
			t.Errorf("%s: the fault repeats what may be a password: %v", tt.what, err)
		}
	}
}

func TestReferencesAreListedOnce(t *testing.T) {
	s, err := blueprint.Parse([]byte(`
version: 1
mail:
  host: h
  sender: {address: a@example.org}
  authentication: {user: u, password: env:P}
  trusted_certificates: [file:a.pem, file:b.pem]
  pinned_certificates: [file:a.pem]
resources:
  - {name: R, owner: o, accounts: [{name: a, password: env:P}, {name: b, password: "file:/run/x:y"}, {name: c}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, proof := range []string{"client_secret: env:S", "certificate: env:S", "sign_in: service_account\n      key: env:S"} {
		s, err := blueprint.Parse([]byte(oauthFile("other", "provider: google\n      "+proof)))
		if got := s.References(); err != nil || !slices.Equal(got, []blueprint.Ref{"env:S"}) {
			t.Errorf("%s: got %q, %v", proof, got, err)
		}
	}
	want := []blueprint.Ref{"file:a.pem", "file:b.pem", "env:P", "file:/run/x:y"}
	if got := s.References(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if kind, name := want[3].Split(); kind != "file" || name != "/run/x:y" {
		t.Errorf("split into %q and %q", kind, name)
	}
}

// FuzzParse: whatever the file holds, it is read or refused in words, and a
// refusal is a fault that a person may read.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{whole, typed, "version: 1\nusers: [{login: &a x}, {login: *a}]", "{", "a: &a [*a]", "version: 1\nmail: {host: !!binary aGk=}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		s, err := blueprint.Parse(file)
		if err != nil && !fault.Is(err, fault.KindInvalid) {
			t.Errorf("not a fault of the file: %v", err)
		}
		for _, r := range s.References() {
			if kind, name := r.Split(); err == nil && (kind != "env" && kind != "file" || name == "") {
				t.Errorf("%q was taken as a reference", r)
			}
		}
	})
}

// oauthFile is a file with a mail server that is signed in to with a token.
func oauthFile(server, words string) string {
	return "version: 1\nmail:\n  server: " + server + "\n  host: mail.example.org\n  sender: {address: a@example.org}\n  authentication:\n    oauth:\n      " + words + "\n"
}
