package oauth

import (
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// The addresses and scopes of Google (Google, "OAuth 2.0 for web server
// applications" and "XOAUTH2 mechanism"): one scope for mail over SMTP, and two
// that tell who signed in.
const (
	googleAuthorize = "https://accounts.google.com/o/oauth2/v2/auth"
	googleToken     = "https://oauth2.googleapis.com/token"
	googleMail      = "https://mail.google.com/"
	googleScopes    = googleMail + " openid email"
)

// tenantMark stands for the tenant in the addresses of Microsoft.
const tenantMark = "{tenant}"

// Complete returns s with what is empty filled in from its provider and cloud,
// for letters through Microsoft Graph or over SMTP, and with the tenant in the
// addresses. A tenant that cannot be one is left out of them; [Settings.Check]
// tells. Complete settings come back as they are.
func (s Settings) Complete(graph bool) Settings {
	if s.ClientAuth == "" && s.Grant != ServiceAccount {
		s.ClientAuth = BySecret
	}
	switch s.Provider {
	case Microsoft:
		s = s.completeMicrosoft(graph)
	case Google:
		fill(&s.AuthorizeURL, googleAuthorize)
		fill(&s.TokenURL, googleToken)
		if s.Grant == ServiceAccount {
			fill(&s.Scopes, googleMail)
		}
		fill(&s.Scopes, googleScopes)
	}
	return s
}

func (s Settings) completeMicrosoft(graph bool) Settings {
	fill(&s.Cloud, "global")
	cloud, _ := CloudOf(s.Cloud)
	fill(&s.AuthorizeURL, cloud.AuthorizeURL)
	fill(&s.TokenURL, cloud.TokenURL)
	switch app := s.Grant == Application; {
	case graph && app:
		fill(&s.Scopes, cloud.GraphAppScopes)
	case graph:
		fill(&s.Scopes, cloud.GraphScopes)
	case app:
		fill(&s.Scopes, cloud.AppScopes)
	default:
		fill(&s.Scopes, cloud.Scopes)
	}
	if tenant, ok := tenantOf(s.Tenant); ok {
		s.Tenant = tenant
		s.AuthorizeURL = strings.ReplaceAll(s.AuthorizeURL, tenantMark, tenant)
		s.TokenURL = strings.ReplaceAll(s.TokenURL, tenantMark, tenant)
	}
	return s
}

func fill(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// tenantOf returns a tenant as it stands in an address: a GUID, or a domain in
// A-labels. Nothing else is a tenant, so that none can change where an address
// leads.
func tenantOf(typed string) (string, bool) {
	if isGUID(typed) {
		return strings.ToLower(typed), true
	}
	if len(typed) > 253 || !strings.Contains(typed, ".") {
		return "", false
	}
	name, err := idna.Lookup.ToASCII(strings.ToLower(typed))
	if err != nil || !isDomain(name) || !strings.Contains(name, ".") {
		return "", false
	}
	// The last label of an IP address is a number, that of a domain is not.
	_, err = strconv.Atoi(name[strings.LastIndexByte(name, '.')+1:])
	return name, err != nil
}

// isGUID tells the form 8-4-4-4-12 in hexadecimal.
func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F'):
			return false
		}
	}
	return true
}
