package oauth

import (
	"net/url"
	"slices"
	"strings"

	"github.com/sealpost/sealpost/internal/fault"
)

const (
	// maxClientID, maxScopes, maxURL and maxMailbox bound what is typed.
	maxClientID = 300
	maxScopes   = 2000
	maxURL      = 2000
	maxMailbox  = 320
)

// Check notes against its field everything by which s cannot be used. What is
// empty counts as completed.
func (s Settings) Check(check *fault.Check, allowed Authorities) {
	s = s.Complete(false)
	s.checkGrant(check)
	if s.Provider == Microsoft {
		_, known := CloudOf(s.Cloud)
		check.That(known, "cloud", "Choose one of the clouds in the list.")
		s.checkTenant(check)
	}
	s.checkClient(check)
	if s.Grant == Consent {
		s.checkURL(check, "authorize_url", s.AuthorizeURL, allowed)
	}
	s.checkURL(check, "token_url", s.TokenURL, allowed)
	s.checkScopes(check)
	check.That(s.Mailbox == "" || isMailbox(s.Mailbox), "mailbox", "Type the mailbox as an e-mail address, for example alerts@example.org.")
	check.That(s.Mailbox != "" || s.Grant != ServiceAccount, "mailbox", "Type the mailbox that the service account sends for.")
}

func (s Settings) checkGrant(check *fault.Check) {
	switch s.Provider {
	case Microsoft:
		check.That(s.Grant == Consent || s.Grant == Application, "grant", "Choose whether a person signs in once, or the application alone gets the tokens.")
		check.That(s.ClientAuth == BySecret || s.ClientAuth == ByCertificate, "client_auth", "Microsoft wants a client secret or a certificate. Choose one of them.")
	case Google:
		check.That(s.Grant == Consent || s.Grant == ServiceAccount, "grant", "Choose whether a person signs in once, or a service account gets the tokens. Google has no other way for mail.")
		check.That(s.ClientAuth == BySecret || s.Grant == ServiceAccount, "client_auth", "Google wants the client secret.")
	case Generic:
		check.That(s.Grant == Consent || s.Grant == Application, "grant", "Choose whether a person signs in once, or the client alone gets the tokens.")
		check.That(s.ClientAuth == BySecret || s.ClientAuth == ByNothing && s.Grant == Consent, "client_auth",
			"Choose a client secret. None is for a client that a person signs in with, whom PKCE protects.")
	default:
		check.That(false, "provider", "Choose who gives out the tokens.")
	}
}

func (s Settings) checkTenant(check *fault.Check) {
	const where = "It stands on the app's Overview page in the Entra admin center as Directory (tenant) ID: a GUID like 00000000-0000-0000-0000-000000000000. A domain of the tenant, like contoso.onmicrosoft.com, works too."
	switch {
	case s.Tenant == "":
		check.That(false, "tenant", "Type the tenant ID. "+where)
	case allTenants(s.Tenant):
		check.That(false, "tenant", "Type the ID of your own tenant: this word stands for all of them, and nobody could tell whose mailbox signs in. "+where)
	default:
		_, ok := tenantOf(s.Tenant)
		check.That(ok, "tenant", "This is no tenant ID. "+where)
	}
}

// allTenants tells Microsoft's words for the tenants of everybody.
func allTenants(tenant string) bool {
	switch strings.ToLower(tenant) {
	case "common", "organizations", "consumers":
		return true
	}
	return false
}

func (s Settings) checkClient(check *fault.Check) {
	switch {
	case s.Grant == ServiceAccount:
		// The key file names its client.
	case s.Provider == Microsoft:
		check.That(isGUID(s.ClientID), "client_id",
			"Type the client ID. It stands on the app's Overview page in the Entra admin center as Application (client) ID: a GUID like 00000000-0000-0000-0000-000000000000.")
	default:
		check.That(s.ClientID != "" && len(s.ClientID) <= maxClientID && isVisible(s.ClientID), "client_id",
			"Type the client ID as the provider shows it, without spaces.")
	}
}

// checkURL sees to it that tokens are asked of an allowed host.
func (s Settings) checkURL(check *fault.Check, field, text string, allowed Authorities) {
	if text == "" {
		check.That(false, field, "Type the address. It begins with https://.")
		return
	}
	if strings.Contains(text, tenantMark) {
		// Without a tenant there is nothing to put in its place, which the
		// tenant's field tells.
		check.That(s.Provider == Microsoft, field, "Type the whole address: {tenant} stands for a tenant of Microsoft alone.")
		return
	}
	u, err := url.Parse(text)
	if !check.That(err == nil && len(text) <= maxURL && u.Scheme == "https" && u.User == nil && u.Fragment == "" && isHost(u.Hostname()), field,
		"Type an address that begins with https:// and the name of a host in small letters, without a user name and without #.") {
		return
	}
	if s.Provider == Microsoft && !s.checkTenantPath(check, field, u) {
		return
	}
	check.That(allowed.Allows(u), field, "Secrets go to the authorities of Microsoft and Google alone. "+
		"Correct the address; or who runs Sealpost allows "+u.Host+" by adding it to mail.oauth.authorities in the configuration.")
}

// checkTenantPath sees to it that an address is one tenant's, read as plainly as
// it is written: a path that a server may read in another way than we do could
// be that of all tenants.
func (s Settings) checkTenantPath(check *fault.Check, field string, u *url.URL) bool {
	segments := strings.Split(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	plain := !slices.ContainsFunc(segments, func(v string) bool {
		return v == "" || strings.Trim(v, ".") == "" || strings.Trim(v, pathLetters) != ""
	})
	return check.That(plain, field, "The path of the address may hold letters, digits, dots, hyphens and underscores between single slashes alone. Put {tenant} in it, or leave the address empty.") &&
		check.That(!allTenants(segments[0]), field, "The address is that of all tenants. Put {tenant} in it, or leave it empty.")
}

// pathLetters are what stands between the slashes of Microsoft's addresses.
const pathLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_"

func (s Settings) checkScopes(check *fault.Check) {
	scopes := strings.Split(s.Scopes, " ")
	if s.Scopes == "" && s.Provider == Generic {
		return // the authority has its own then (RFC 6749 3.3)
	}
	if !check.That(len(s.Scopes) <= maxScopes && !slices.ContainsFunc(scopes, func(v string) bool { return !isScope(v) }), "scopes",
		"Type the scopes with one space between them, without quotation marks and backslashes.") {
		return
	}
	switch s.Provider {
	case Microsoft:
		s.checkResources(check, scopes)
	case Google:
		check.That(slices.Contains(scopes, googleMail), "scopes", "Google takes mail over SMTP with the scope https://mail.google.com/ alone. Add it.")
		check.That(s.Grant != Consent || slices.Contains(scopes, "openid") && slices.Contains(scopes, "email"), "scopes",
			"Add openid and email: by them Google tells who signed in.")
	}
}

// checkResources sees to it that the scopes are those of one resource, since
// Microsoft gives no token for two (AADSTS700022) and none for no one (700023).
func (s Settings) checkResources(check *fault.Check, scopes []string) {
	var resources []string
	for _, v := range scopes {
		if r := resource(v); r != "" && !slices.Contains(resources, r) {
			resources = append(resources, r)
		}
	}
	if !check.That(len(resources) < 2, "scopes", "These scopes belong to more than one service, and Microsoft gives a token for one. Take those of Outlook for mail over SMTP, or those of Graph for mail through Graph.") {
		return
	}
	if s.Grant == Application {
		check.That(len(scopes) == 1 && strings.HasSuffix(s.Scopes, "/.default") && resource(s.Scopes) != "", "scopes",
			"An application without a person takes one scope that ends in /.default, for example https://outlook.office365.com/.default.")
		return
	}
	check.That(len(resources) == 1, "scopes", "Add the scope that lets letters be sent, for example https://outlook.office.com/SMTP.Send.")
	check.That(slices.Contains(scopes, "offline_access"), "scopes", "Add offline_access: without it the sign-in ends after an hour.")
	check.That(slices.Contains(scopes, "openid"), "scopes", "Add openid: by it Microsoft tells who signed in.")
}

// resource returns the service that a scope of Microsoft's belongs to, "" for
// those about the sign-in itself. A scope without an address is Graph's.
func resource(scope string) string {
	switch scope {
	case "offline_access", "openid", "profile", "email":
		return ""
	}
	i := strings.LastIndexByte(scope, '/')
	if i < 0 {
		return "graph"
	}
	r := strings.ToLower(strings.TrimRight(scope[:i], "/"))
	if u, err := url.Parse(r); err == nil && slices.Contains(builtIn(), u.Host) {
		return "graph"
	}
	return r
}

// isScope tells a scope-token (RFC 6749 3.3).
func isScope(s string) bool {
	return s != "" && isVisible(s) && !strings.ContainsAny(s, `"\`)
}

// isVisible tells that s is of visible ASCII alone.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// isMailbox tells what can be the name of a mailbox at a sign-in: it has one @
// and nothing that ends or divides a field of a protocol.
func isMailbox(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.ContainsAny(domain, "@ ") && !strings.Contains(local, " ") && isPlain(s)
}

// isPlain tells a name of bounded length without characters that hide or turn
// text, or end a field of a protocol.
func isPlain(s string) bool { return len(s) <= maxMailbox && !strings.ContainsFunc(s, hides) }
