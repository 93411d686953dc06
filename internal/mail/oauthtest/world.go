package oauthtest

import (
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The world as it begins.
const (
	// Contoso is a tenant with the domains contoso.example and
	// contoso.onmicrosoft.com, Fabrikam another with fabrikam.example.
	Contoso  = "6c1f0b52-2f0e-4f0a-9a3c-0f5d1f2a7b10"
	Fabrikam = "f2a9d7c4-8a51-4b0d-b6d0-3e1c5a9e8f21"
	// Workspace is a domain at Google.
	Workspace = "workspace.example"

	// Alerts is a licensed mailbox in Contoso that may also send as Shared.
	// Grace is a person there with a mailbox, Visitor one of Fabrikam, and
	// Personal has an account with Microsoft that belongs to no tenant.
	Alerts   = "alerts@contoso.example"
	Grace    = "grace@contoso.example"
	Shared   = "noreply@contoso.example"
	Visitor  = "adele@fabrikam.example"
	Personal = "somebody@outlook.example"
	// Robot is a mailbox at Google.
	Robot = "robot@workspace.example"
	// Password is everybody's.
	Password = "canary-person-Tulip5&harbour"

	// ClientID is an app registered in Contoso: by a person's sign-in it gets
	// what that person agrees to, and without a person it may send from Alerts.
	ClientID     = "0d9f6a3e-5b1c-4c7e-8f42-7e2f1f0c9d33"
	ClientSecret = "canary~Q8x.client-secret_Zr4~entra"
	// GoogleClientID is an app at Google.
	GoogleClientID     = "407408718192-canary.apps.googleusercontent.com"
	GoogleClientSecret = "GOCSPX-canary-Hq3_google"
)

// Tenant is a directory at Microsoft, or a domain at Google.
type Tenant struct {
	// ID is a GUID at Microsoft, the domain at Google.
	ID, Name string
	Domains  []string
	Google   bool
	// Cloud is "" for the worldwide one, else "us" or "cn": its tenants are
	// known at the authority of that cloud alone, when that is asked for by its
	// name.
	Cloud string
	// SMTPOff is SmtpClientAuthenticationDisabled of the organisation.
	SMTPOff bool
	// Passwords still lets mailboxes sign in to SMTP with one.
	Passwords bool
	// SecurityDefaults block passwords in other words.
	SecurityDefaults bool
	// AdminConsent keeps people from agreeing to anything themselves.
	AdminConsent bool
}

// Gate is a mailbox's own setting of SmtpClientAuthenticationDisabled.
type Gate int

// The settings of a mailbox: what the tenant has, or its own.
const (
	Inherit Gate = iota
	Open
	Closed
)

// User is an account.
type User struct {
	// Name is the sign-in name and main address.
	Name, Display, Password string
	// Tenant is the ID of the user's, empty for a personal account.
	Tenant string
	// Mailbox says that there is one, and Shared that nobody signs in to it.
	Mailbox, Shared bool
	// SendAs are further addresses that the mailbox may send as.
	SendAs []string
	SMTP   Gate
	// Full is a mailbox that takes no copy of a letter any more.
	Full bool
	// Block is the AADSTS number with which every sign-in and every refresh is
	// refused: 50057 for a disabled account, for example. Numbers that want
	// something of a person, like 50076 for a second factor, are satisfied by
	// signing in.
	Block int
}

// Secret is a client secret.
type Secret struct {
	Value string
	// Ends is when it expires; zero is never.
	Ends time.Time
}

// App is a client.
type App struct {
	ID, Name string
	// Tenant is the ID of where it is registered; MultiTenant lets others use
	// it too.
	Tenant      string
	MultiTenant bool
	Disabled    bool
	// Public has no secret.
	Public bool
	// Redirects are the URIs of the platform Web, SPA those of single-page
	// applications, whose refresh tokens end after a day.
	Redirects, SPA []string
	Secrets        []Secret
	Certificates   []*x509.Certificate
	// Roles are permissions of the application itself with an administrator's
	// consent: "SMTP.SendAsApp" or "Mail.Send".
	Roles []string
	// FullAccess are mailboxes that the app was given the permission for,
	// which the role SMTP.SendAsApp needs besides. Scoped are mailboxes of an
	// RBAC role, which needs nothing else.
	FullAccess, Scoped []string
	// Assigned, if not nil, are the only users who may sign in.
	Assigned []string
}

// account is a service account of Google's, which signs for the mailboxes of a
// domain.
type account struct {
	email, keyID string
	key          *rsa.PrivateKey
	// domain delegated the scopes to it.
	domain string
	scopes []string
}

func world(now time.Time) (tenants []Tenant, users []User, apps []App) {
	tenants = []Tenant{
		{ID: Contoso, Name: "Contoso", Domains: []string{"contoso.example", "contoso.onmicrosoft.com"}},
		{ID: Fabrikam, Name: "Fabrikam", Domains: []string{"fabrikam.example"}},
		{ID: Workspace, Name: "Workspace", Domains: []string{Workspace}, Google: true},
	}
	users = []User{
		{Name: Alerts, Display: "Alerts", Password: Password, Tenant: Contoso, Mailbox: true, SendAs: []string{Shared}},
		{Name: Grace, Display: "Grace", Password: Password, Tenant: Contoso, Mailbox: true},
		{Name: Shared, Display: "No reply", Tenant: Contoso, Mailbox: true, Shared: true},
		{Name: Visitor, Display: "Adele", Password: Password, Tenant: Fabrikam, Mailbox: true},
		{Name: Personal, Display: "Somebody", Password: Password, Mailbox: true},
		{Name: Robot, Display: "Robot", Password: Password, Tenant: Workspace, Mailbox: true},
	}
	ends := now.AddDate(1, 0, 0)
	apps = []App{
		{
			ID: ClientID, Name: "Sealpost", Tenant: Contoso, Secrets: []Secret{{ClientSecret, ends}},
			Roles: []string{"SMTP.SendAsApp", "Mail.Send"}, FullAccess: []string{Alerts},
		},
		{ID: GoogleClientID, Name: "Sealpost", Tenant: Workspace, MultiTenant: true, Secrets: []Secret{{GoogleClientSecret, time.Time{}}}},
	}
	return tenants, users, apps
}

func put[V any](s *Stand, m map[string]V, key string, v V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m[strings.ToLower(key)] = v
}

func get[V any](s *Stand, m map[string]V, key string) V {
	s.mu.Lock()
	defer s.mu.Unlock()
	return m[strings.ToLower(key)]
}

// PutTenant adds a tenant, or replaces the one with its ID.
func (s *Stand) PutTenant(t Tenant) { put(s, s.tenants, t.ID, t) }

// Tenant returns a tenant by its ID.
func (s *Stand) Tenant(id string) Tenant { return get(s, s.tenants, id) }

// PutUser adds a user, or replaces the one with its name.
func (s *Stand) PutUser(u User) { put(s, s.users, u.Name, u) }

// User returns a user by name.
func (s *Stand) User(name string) User { return get(s, s.users, name) }

// PutApp adds an app, or replaces the one with its ID.
func (s *Stand) PutApp(a App) { put(s, s.apps, a.ID, a) }

// App returns an app by its ID.
func (s *Stand) App(id string) App { return get(s, s.apps, id) }

// Register adds a redirect URI of the platform Web to the apps of the world.
func (s *Stand) Register(redirectURI string) {
	for _, id := range []string{ClientID, GoogleClientID} {
		a := s.App(id)
		a.Redirects = append(slices.Clone(a.Redirects), redirectURI)
		s.PutApp(a)
	}
}

// AddSecret gives an app a further client secret.
func (s *Stand) AddSecret(clientID, value string, ends time.Time) {
	a := s.App(clientID)
	a.Secrets = append(slices.Clone(a.Secrets), Secret{value, ends})
	s.PutApp(a)
}

// ExpireSecret lets a client secret of an app have ended.
func (s *Stand) ExpireSecret(clientID, value string) {
	a := s.App(clientID)
	a.Secrets = slices.Clone(a.Secrets)
	for i := range a.Secrets {
		if a.Secrets[i].Value == value {
			a.Secrets[i].Ends = s.now().Add(-time.Second)
		}
	}
	s.PutApp(a)
}

// id returns the id of the user's object, which never changes.
func (u User) id() string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("user:"+strings.ToLower(u.Name))).String()
}

// has tells whether a list of addresses holds one.
func has(list []string, address string) bool {
	return slices.ContainsFunc(list, func(a string) bool { return strings.EqualFold(a, address) })
}
