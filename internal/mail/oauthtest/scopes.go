package oauthtest

import (
	"net/http"
	"slices"
	"strings"
)

// place is a service that tokens are for, and the cloud it is in.
type place struct{ kind, cloud string }

var places = map[string]place{
	"outlook.office.com":              {"outlook", ""},
	"outlook.office365.com":           {"outlook", ""},
	"outlook.office365.us":            {"outlook", "us"},
	"partner.outlook.cn":              {"outlook", "cn"},
	"graph.microsoft.com":             {"graph", ""},
	"graph.microsoft.us":              {"graph", "us"},
	"dod-graph.microsoft.us":          {"graph", "us"},
	"microsoftgraph.chinacloudapi.cn": {"graph", "cn"},
}

// permissions are those that people can agree to, by kind of service.
var permissions = map[string][]string{
	"outlook": {"SMTP.Send", "IMAP.AccessAsUser.All", "POP.AccessAsUser.All", "Mail.Send", ".default"},
	"graph":   {"Mail.Send", "Mail.Send.Shared", "Mail.ReadWrite", "User.Read", "SMTP.Send", ".default"},
}

// scopes are what a client asks for.
type scopes struct {
	// resources are the services, "https://outlook.office.com" for example.
	resources []string
	// permissions are whole: resource, slash, permission.
	permissions []string
	// about are the others: who signs in, and for how long.
	about []string
}

func (g scopes) has(name string) bool { return slices.Contains(g.about, name) }

// readScopes reads scopes as Entra does.
func (s *Stand) readScopes(r *http.Request, tenant Tenant, text string) (scopes, *sts) {
	var got scopes
	if strings.TrimSpace(text) == "" {
		return got, s.sts(r, 900144, "parameter", "scope")
	}
	for _, v := range strings.Fields(text) {
		if slices.Contains([]string{"offline_access", "openid", "profile", "email"}, v) {
			got.about = append(got.about, v)
		} else if e := s.addPermission(r, tenant, &got, v); e != nil {
			return got, e
		}
	}
	return got, nil
}

func (s *Stand) addPermission(r *http.Request, tenant Tenant, got *scopes, scope string) *sts {
	if !strings.Contains(scope, "/") && slices.Contains(permissions["graph"], scope) {
		scope = "https://graph.microsoft.com/" + scope // Graph is what is meant where nothing is named
	}
	i := strings.LastIndexByte(scope, '/')
	if i < 0 || !strings.HasPrefix(scope, "https://") {
		return s.sts(r, 70011, "scope", scope)
	}
	resource, permission := scope[:i], scope[i+1:]
	p, ok := s.place(resource)
	switch {
	case !ok || p.cloud != tenant.Cloud:
		return s.sts(r, 500011, "resource", resource, "in", tenant.Name)
	case !slices.Contains(permissions[p.kind], permission):
		return s.sts(r, 650053, "permission", permission, "resource", resource)
	}
	if !slices.Contains(got.resources, resource) {
		got.resources = append(got.resources, resource)
	}
	got.permissions = append(got.permissions, scope)
	return nil
}

// place returns the service at a resource. The stand-in's own address is Graph
// in every cloud that a tenant can be in.
func (s *Stand) place(resource string) (place, bool) {
	host := strings.TrimSuffix(strings.TrimPrefix(resource, "https://"), "/")
	if host == s.Host() {
		host = "graph.microsoft.com"
	}
	p, ok := places[host]
	return p, ok
}

// of returns the permissions of one resource, without its name.
func (g scopes) of(resource string) []string {
	var names []string
	for _, p := range g.permissions {
		if name, ok := strings.CutPrefix(p, resource+"/"); ok {
			names = append(names, name)
		}
	}
	return names
}

// one returns the only resource of scopes that a token is asked for with.
func (s *Stand) one(r *http.Request, g scopes) (string, *sts) {
	switch {
	case len(g.resources) > 1:
		return "", s.sts(r, 700022)
	case len(g.resources) == 0:
		return "", s.sts(r, 70011)
	}
	return g.resources[0], nil
}
