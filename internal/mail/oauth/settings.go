package oauth

import (
	"time"

	"github.com/sealpost/sealpost/internal/secret"
)

// Provider is who gives out the tokens.
type Provider string

// The providers.
const (
	Microsoft Provider = "microsoft"
	Google    Provider = "google"
	// Generic is any authority whose addresses are typed.
	Generic Provider = "generic"
)

// Grant is how a token is got.
type Grant string

// The grants.
const (
	// Consent: a person signs in once, and a refresh token lasts from then on
	// (authorization code with PKCE, RFC 6749 4.1 and RFC 7636).
	Consent Grant = "consent"
	// Application: the client alone, no person (client credentials, RFC 6749
	// 4.4).
	Application Grant = "application"
	// ServiceAccount: a key of Google's signs for a mailbox of the domain
	// (JWT bearer, RFC 7523 2.1).
	ServiceAccount Grant = "service_account"
)

// ClientAuth is how the client proves itself to the authority.
type ClientAuth string

// The ways to prove the client.
const (
	// BySecret sends a client secret in the body.
	BySecret ClientAuth = "secret"
	// ByCertificate signs an assertion with the key of a certificate
	// (private_key_jwt, RFC 7523 2.2).
	ByCertificate ClientAuth = "certificate"
	// ByNothing is a public client, which PKCE alone protects.
	ByNothing ClientAuth = "none"
)

// Settings say where and for what tokens are asked. They hold no secret.
type Settings struct {
	Provider Provider
	// Cloud is Microsoft's: see Clouds. Empty for other providers.
	Cloud string
	Grant Grant
	// Tenant is Microsoft's directory: a GUID or a domain of it.
	Tenant     string
	ClientID   string
	ClientAuth ClientAuth
	// AuthorizeURL and TokenURL are whole addresses; they may hold {tenant}.
	// Empty ones take the provider's.
	AuthorizeURL, TokenURL string
	// Scopes are separated by one space; empty takes the provider's for the
	// grant.
	Scopes string
	// Mailbox is who signs in: the login_hint of Consent, the subject of
	// ServiceAccount. Not used by Application.
	Mailbox string
}

// Credential is what proves the client.
type Credential struct {
	// Secret is the client secret for BySecret.
	Secret secret.Value
	// Key is for ByCertificate a PEM with certificate and private key, for
	// ServiceAccount the key file in JSON.
	Key secret.Value
}

// IsZero tells that there is nothing to prove the client with.
func (c Credential) IsZero() bool { return c.Secret.IsZero() && c.Key.IsZero() }

// Tokens are what an authority gave.
type Tokens struct {
	Access secret.Value
	// Refresh is empty where the authority gave none; the one before stays
	// then.
	Refresh secret.Value
	// Expires is when Access ends, by the clock of the client.
	Expires time.Time
	// Scopes are those granted, as the authority names them; it may leave them
	// out.
	Scopes string
	// Identity is who signed in; zero where no id_token came.
	Identity Identity
}

// Identity is who signed in, read from an id_token that came over the
// connection to the authority itself (OpenID Connect Core 3.1.3.7).
type Identity struct {
	// Name is the sign-in name: preferred_username, else email.
	Name string
	// Email is the e-mail address, where the token has one.
	Email string
	// Tenant is Microsoft's tid, Subject the authority's id of the person.
	Tenant, Subject string
}
