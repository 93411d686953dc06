package oauth_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/mail/oauth"
)

func builtIn(t *testing.T, operator ...string) oauth.Authorities {
	t.Helper()
	a, err := oauth.NewAuthorities(operator)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestEveryCloudIsReadyToUse(t *testing.T) {
	allowed := builtIn(t)
	for _, c := range oauth.Clouds() {
		if c.Unsure != (c.Note != "") {
			t.Errorf("%s: unsure %v, and its note is %q", c.Key, c.Unsure, c.Note)
		}
		if c.Key == oauth.CloudCustom {
			continue
		}
		for _, g := range []oauth.Grant{oauth.Consent, oauth.Application} {
			s := oauth.Settings{Provider: oauth.Microsoft, Cloud: c.Key, Grant: g, Tenant: tenant, ClientID: client}
			for _, graph := range []bool{false, true} {
				full := s.Complete(graph)
				if wrong := fields(full, allowed); len(wrong) > 0 {
					t.Errorf("%s, %s, graph %v: %v", c.Key, g, graph, wrong)
				}
				if full != full.Complete(!graph) {
					t.Errorf("%s, %s, graph %v: complete settings changed", c.Key, g, graph)
				}
			}
		}
		root, err := url.Parse(c.GraphURL)
		if err != nil || !allowed.Allows(root) {
			t.Errorf("%s: Graph at %s is not allowed", c.Key, c.GraphURL)
		}
	}
}

func TestEmptyFieldsTakeWhatTheProviderHas(t *testing.T) {
	for _, tt := range []struct {
		name                     string
		s                        oauth.Settings
		graph                    bool
		authorize, token, scopes string
	}{
		{
			"Microsoft, a person",
			oauth.Settings{Provider: oauth.Microsoft, Grant: oauth.Consent, Tenant: strings.ToUpper(tenant)},
			false,
			"https://login.microsoftonline.com/" + tenant + "/oauth2/v2.0/authorize", "https://login.microsoftonline.com/" + tenant + "/oauth2/v2.0/token",
			"https://outlook.office.com/SMTP.Send offline_access openid profile email",
		},
		{
			"Microsoft in China, Graph, the application",
			oauth.Settings{Provider: oauth.Microsoft, Cloud: "china", Grant: oauth.Application, Tenant: "Contoso.CN"},
			true,
			"https://login.partner.microsoftonline.cn/contoso.cn/oauth2/v2.0/authorize", "https://login.partner.microsoftonline.cn/contoso.cn/oauth2/v2.0/token",
			"https://microsoftgraph.chinacloudapi.cn/.default",
		},
		{
			"a domain with other letters than ASCII",
			oauth.Settings{Provider: oauth.Microsoft, Grant: oauth.Application, Tenant: "Bücher.example"},
			false,
			"https://login.microsoftonline.com/xn--bcher-kva.example/oauth2/v2.0/authorize", "https://login.microsoftonline.com/xn--bcher-kva.example/oauth2/v2.0/token",
			"https://outlook.office365.com/.default",
		},
		{
			"what is typed stays",
			oauth.Settings{Provider: oauth.Microsoft, Grant: oauth.Consent, Tenant: tenant, Scopes: "a b", TokenURL: "https://one.example/{tenant}/t"},
			true,
			"https://login.microsoftonline.com/" + tenant + "/oauth2/v2.0/authorize", "https://one.example/" + tenant + "/t", "a b",
		},
		{
			"Google, a person",
			oauth.Settings{Provider: oauth.Google, Grant: oauth.Consent},
			false,
			"https://accounts.google.com/o/oauth2/v2/auth", "https://oauth2.googleapis.com/token", "https://mail.google.com/ openid email",
		},
		{
			"Google, a service account",
			oauth.Settings{Provider: oauth.Google, Grant: oauth.ServiceAccount},
			false,
			"https://accounts.google.com/o/oauth2/v2/auth", "https://oauth2.googleapis.com/token", "https://mail.google.com/",
		},
		{"another authority", oauth.Settings{Provider: oauth.Generic, Grant: oauth.Consent, Tenant: "x"}, false, "", "", ""},
	} {
		got := tt.s.Complete(tt.graph)
		if got.AuthorizeURL != tt.authorize || got.TokenURL != tt.token || got.Scopes != tt.scopes {
			t.Errorf("%s: got\n%s\n%s\n%s", tt.name, got.AuthorizeURL, got.TokenURL, got.Scopes)
		}
	}
}

// A tenant stands in the address of the authority: what could lead the address
// elsewhere is refused, and never put in.
func TestHostileTenantsAreRefused(t *testing.T) {
	good := []string{tenant, strings.ToUpper(tenant), "contoso.com", "contoso.onmicrosoft.com", "a-b.c1.example", "bücher.example"}
	bad := []string{
		"", "common", "Common", "organizations", "consumers", "../", "..", "contoso.com/..", "evil.com/", "x?y", "evil.com?", "evil.com#", "evil.com%2f",
		"%2e%2e.example", "%63ommon", "contoso .com", " contoso.com", "contoso.com ", "contoso.com\n", "contoso.com\x00", "contoso.com.", ".contoso.com",
		"contoso..com", "-contoso.com", "contoso", "user@contoso.com", "evil.com:443", "evil.com\\x", "10.0.0.1", "169.254.169.254", "[::1]",
		"evil.com／x", "{tenant}", "{tenant}.com", "contoso_x.com", tenant + "/", tenant[1:], tenant + "0", strings.Repeat("a.", 200) + "com",
		strings.ReplaceAll(tenant, "-", "_"), "contoso.com;x=1", "\u202econtoso.com",
	}
	allowed := builtIn(t)
	for _, grant := range []oauth.Grant{oauth.Consent, oauth.Application} {
		for _, typed := range good {
			s := oauth.Settings{Provider: oauth.Microsoft, Grant: grant, Tenant: typed, ClientID: client}
			if wrong := fields(s, allowed); len(wrong) > 0 {
				t.Errorf("%q: %v", typed, wrong)
			}
		}
		for _, typed := range bad {
			s := oauth.Settings{Provider: oauth.Microsoft, Grant: grant, Tenant: typed, ClientID: client}
			wrong := fields(s, allowed)
			if names(wrong) != "tenant" || !strings.Contains(wrong["tenant"], "Overview page") {
				t.Errorf("%q: %v, want the tenant to be refused, and told where it stands", typed, wrong)
			}
			if full := s.Complete(false); !strings.Contains(full.TokenURL, "/{tenant}/") || !strings.Contains(full.AuthorizeURL, "/{tenant}/") {
				t.Errorf("%q stands in an address: %s", typed, full.TokenURL)
			}
		}
	}
}

func TestAnotherHostIsNoAuthority(t *testing.T) {
	allowed := builtIn(t, "login.example.org", "localhost:8443", "127.0.0.1:9000", "[::1]:9001", "Upper.Example")
	for address, want := range map[string]bool{
		"https://login.microsoftonline.com/x":              true,
		"https://login.microsoftonline.com:443/x?a=b":      true,
		"https://graph.microsoft.com/v1.0":                 true,
		"https://login.example.org/":                       true,
		"https://localhost:8443/":                          true,
		"https://127.0.0.1:9000/":                          true,
		"https://[::1]:9001/":                              true,
		"https://upper.example/":                           true,
		"http://login.microsoftonline.com/x":               false,
		"//login.microsoftonline.com/x":                    false,
		"https:login.microsoftonline.com":                  false,
		"ftp://login.microsoftonline.com/x":                false,
		"https://login.microsoftonline.com:444/x":          false,
		"https://login.microsoftonline.com:0443/x":         false,
		"https://login.microsoftonline.com:/x":             false,
		"https://login.microsoftonline.com./x":             false,
		"https://LOGIN.microsoftonline.com/x":              false,
		"https://login.microsoftonline.com.evil.com/x":     false,
		"https://evil-login.microsoftonline.com/x":         false,
		"https://evil.com/login.microsoftonline.com":       false,
		"https://evil.com#login.microsoftonline.com":       false,
		"https://evil.com?login.microsoftonline.com":       false,
		"https://login.microsoftonline.com@evil.com/x":     false,
		"https://a:b@login.microsoftonline.com/x":          false,
		"https://login.microsoftonline.com/x#f":            false,
		"https://ⅼogin.microsoftonline.com/x":              false,
		"https://xn--ogin-1n0b.microsoftonline.com/x":      false,
		"https://login.microsoftonline。com/x":              false,
		"https://localhost/":                               false,
		"https://localhost:8444/":                          false,
		"https://127.0.0.1/":                               false,
		"https://127.1:9000/":                              false,
		"https://0x7f.0.0.1:9000/":                         false,
		"https://[::1%25lo]:9001/":                         false,
		"https://[::ffff:127.0.0.1]:9000/":                 false,
		"https://169.254.169.254/metadata/identity/oauth2": false,
		"https:///x": false,
		"":           false,
	} {
		u, err := url.Parse(address)
		if got := err == nil && allowed.Allows(u); got != want {
			t.Errorf("%s: got %v, want %v", address, got, want)
		}
		if want || err != nil {
			continue
		}
		s := oauth.Settings{Provider: oauth.Generic, Grant: oauth.Application, ClientID: "c", TokenURL: address, Scopes: "smtp"}
		if got := names(fields(s, allowed)); got != "token_url" {
			t.Errorf("%s as the token URL: refused are %q", address, got)
		}
		s = oauth.Settings{Provider: oauth.Generic, Grant: oauth.Consent, ClientID: "c", AuthorizeURL: address, TokenURL: "https://login.example.org/t"}
		if got := names(fields(s, allowed)); got != "authorize_url" {
			t.Errorf("%s as the authorize URL: refused are %q", address, got)
		}
	}
	var none oauth.Authorities
	if none.Allows(&url.URL{Scheme: "https", Host: "login.microsoftonline.com"}) || allowed.Allows(nil) {
		t.Error("the zero Authorities allow something, or nothing is allowed")
	}
}

func TestTheSentenceAboutAnotherHostSaysWhoAllowsIt(t *testing.T) {
	s := oauth.Settings{Provider: oauth.Generic, Grant: oauth.Application, ClientID: "c", TokenURL: "https://id.example.org:8443/token"}
	if got := fields(s, builtIn(t))["token_url"]; !strings.Contains(got, "id.example.org:8443") || !strings.Contains(got, "mail.oauth.authorities") {
		t.Errorf("got %q", got)
	}
}

func TestTheOperatorNamesHosts(t *testing.T) {
	for _, bad := range []string{"", "https://a.example", "a.example/", "a.example:", "a.example:0", "a.example:65536", "a b", "*.example.org", "a.example:44x", "user@a.example", "bücher.example", "a..b", "[::1%25lo]:1", "a_b.example"} {
		if _, err := oauth.NewAuthorities([]string{bad}); err == nil {
			t.Errorf("%q is taken for a host", bad)
		}
	}
}

func TestEachFieldIsChecked(t *testing.T) {
	person := oauth.Settings{Provider: oauth.Microsoft, Grant: oauth.Consent, Tenant: tenant, ClientID: client}
	app := oauth.Settings{Provider: oauth.Microsoft, Grant: oauth.Application, Tenant: tenant, ClientID: client}
	gmail := oauth.Settings{Provider: oauth.Google, Grant: oauth.Consent, ClientID: "7.apps.googleusercontent.com"}
	robot := oauth.Settings{Provider: oauth.Google, Grant: oauth.ServiceAccount, Mailbox: "a@example.org"}
	other := oauth.Settings{Provider: oauth.Generic, Grant: oauth.Consent, ClientID: "c", AuthorizeURL: "https://id.example.org/a", TokenURL: "https://id.example.org/t"}
	const outlook, graph = "https://outlook.office.com/SMTP.Send", "https://graph.microsoft.com/Mail.Send"
	for _, tt := range []struct {
		name   string
		s      oauth.Settings
		change func(*oauth.Settings)
		want   string
	}{
		{"nothing wrong", person, func(*oauth.Settings) {}, ""},
		{"a certificate", person, func(s *oauth.Settings) { s.ClientAuth = oauth.ByCertificate }, ""},
		{"a public client at Microsoft", person, func(s *oauth.Settings) { s.ClientAuth = oauth.ByNothing }, "client_auth"},
		{"no provider", person, func(s *oauth.Settings) { s.Provider = "" }, "authorize_url provider scopes token_url"},
		{"no grant", app, func(s *oauth.Settings) { s.Grant = "" }, "grant"},
		{"a service account at Microsoft", app, func(s *oauth.Settings) { s.Grant, s.Mailbox = oauth.ServiceAccount, "a@example.org" }, "client_auth grant"},
		{"an unknown cloud", person, func(s *oauth.Settings) { s.Cloud = "cloud9" }, "authorize_url cloud scopes token_url"},
		{"the custom cloud, empty", person, func(s *oauth.Settings) { s.Cloud = oauth.CloudCustom }, "authorize_url scopes token_url"},
		{"a client ID that is no GUID", person, func(s *oauth.Settings) { s.ClientID = "sealpost" }, "client_id"},
		{"no client ID", app, func(s *oauth.Settings) { s.ClientID = "" }, "client_id"},
		{"the address of all tenants", app, func(s *oauth.Settings) { s.TokenURL = "https://login.microsoftonline.com/Common/oauth2/v2.0/token" }, "token_url"},
		{"two resources", person, func(s *oauth.Settings) { s.Scopes = outlook + " " + graph + " offline_access openid" }, "scopes"},
		{"two resources, one without an address", person, func(s *oauth.Settings) { s.Scopes = outlook + " Mail.Send offline_access openid" }, "scopes"},
		{"one resource twice", person, func(s *oauth.Settings) {
			s.Scopes = graph + " https://GRAPH.microsoft.com/User.Read Mail.Send offline_access openid"
		}, ""},
		{"no resource", person, func(s *oauth.Settings) { s.Scopes = "offline_access openid profile email" }, "scopes"},
		{"a sign-in that does not last", person, func(s *oauth.Settings) { s.Scopes = outlook + " openid" }, "scopes"},
		{"a sign-in of nobody", person, func(s *oauth.Settings) { s.Scopes = outlook + " offline_access" }, "scopes"},
		{"an application with a person's scopes", app, func(s *oauth.Settings) { s.Scopes = outlook + " offline_access openid" }, "scopes"},
		{"an application with two scopes", app, func(s *oauth.Settings) { s.Scopes = "https://outlook.office365.com/.default openid" }, "scopes"},
		{"two spaces", person, func(s *oauth.Settings) { s.Scopes = outlook + "  offline_access openid" }, "scopes"},
		{"a quotation mark in a scope", other, func(s *oauth.Settings) { s.Scopes = `a"b` }, "scopes"},
		{"a line break in a scope", other, func(s *oauth.Settings) { s.Scopes = "a\r\nb" }, "scopes"},
		{"a scope in other letters", other, func(s *oauth.Settings) { s.Scopes = "søpe" }, "scopes"},
		{"endless scopes", other, func(s *oauth.Settings) { s.Scopes = strings.Repeat("a", 2001) }, "scopes"},
		{"no scopes where the authority has its own", other, func(*oauth.Settings) {}, ""},
		{"a public client elsewhere", other, func(s *oauth.Settings) { s.ClientAuth = oauth.ByNothing }, ""},
		{"a public client without a person", other, func(s *oauth.Settings) { s.Grant, s.ClientAuth = oauth.Application, oauth.ByNothing }, "client_auth"},
		{"a certificate elsewhere", other, func(s *oauth.Settings) { s.ClientAuth = oauth.ByCertificate }, "client_auth"},
		{"a service account elsewhere", other, func(s *oauth.Settings) { s.Grant, s.Mailbox = oauth.ServiceAccount, "a@example.org" }, "client_auth grant"},
		{"a tenant's mark elsewhere", other, func(s *oauth.Settings) { s.TokenURL = "https://id.example.org/{tenant}/t" }, "token_url"},
		{"spaces in a client ID", other, func(s *oauth.Settings) { s.ClientID = "a b" }, "client_id"},
		{"an endless address", other, func(s *oauth.Settings) { s.TokenURL = "https://id.example.org/" + strings.Repeat("a", 2000) }, "token_url"},
		{"a mailbox without @", other, func(s *oauth.Settings) { s.Mailbox = "alerts" }, "mailbox"},
		{"a mailbox that ends a field", other, func(s *oauth.Settings) { s.Mailbox = "a@b.example\x01auth=Bearer x" }, "mailbox"},
		{"Google", gmail, func(*oauth.Settings) {}, ""},
		{"Google without a secret", gmail, func(s *oauth.Settings) { s.ClientAuth = oauth.ByNothing }, "client_auth"},
		{"Google with an application", gmail, func(s *oauth.Settings) { s.Grant = oauth.Application }, "grant"},
		{"Google with the scope of its API", gmail, func(s *oauth.Settings) { s.Scopes = "https://www.googleapis.com/auth/gmail.send openid email" }, "scopes"},
		{"Google without a name", gmail, func(s *oauth.Settings) { s.Scopes = "https://mail.google.com/" }, "scopes"},
		{"a service account", robot, func(*oauth.Settings) {}, ""},
		{"a service account for nobody", robot, func(s *oauth.Settings) { s.Mailbox = "" }, "mailbox"},
	} {
		tt.change(&tt.s)
		wrong := fields(tt.s, builtIn(t, "id.example.org"))
		if got := names(wrong); got != tt.want {
			t.Errorf("%s: refused are %q, want %q", tt.name, got, tt.want)
		}
		if strings.HasPrefix(tt.name, "two resources") && !strings.Contains(wrong["scopes"], "more than one service") {
			t.Errorf("%s: %q", tt.name, wrong["scopes"])
		}
	}
}

// A path that a server may read in another way than we do could be that of all
// tenants.
func TestTheAddressOfATenantIsPlain(t *testing.T) {
	const host = "https://login.microsoftonline.com"
	for path, refused := range map[string]bool{
		"//common/oauth2/v2.0/token": true, "/./common/oauth2/v2.0/token": true, "/x/../common/oauth2/v2.0/token": true,
		"/common;x/oauth2/v2.0/token": true, "/common%20/oauth2/v2.0/token": true, "/%63ommon/oauth2/v2.0/token": true,
		"/x/%2e%2e/common/token": true, "/Organizations/oauth2/v2.0/token": true, "": true, "/": true,
		"/" + tenant + "/oauth2/v2.0/token/": true,
		"/" + tenant + "/oauth2/v2.0/token":  false, "/contoso.com/oauth2/v2.0/token": false,
	} {
		s := oauth.Settings{
			Provider: oauth.Microsoft, Cloud: oauth.CloudCustom, Grant: oauth.Consent, ClientAuth: oauth.BySecret, Tenant: "contoso.com", ClientID: tenant,
			TokenURL: host + path, AuthorizeURL: host + path, Scopes: "https://outlook.office.com/SMTP.Send offline_access openid",
		}
		wrong := fields(s, builtIn(t))
		if (wrong["token_url"] != "") != refused || (wrong["authorize_url"] != "") != refused {
			t.Errorf("%q: %v", path, wrong)
		}
	}
}
