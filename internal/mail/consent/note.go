package consent

import (
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/profile"
	"github.com/sealpost/sealpost/internal/secret"
)

// personalTenant is the directory of all personal Microsoft accounts.
const personalTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

// Note is what a sign-in under way keeps sealed.
type Note struct {
	profile.Change
	// Password and Client shadow those of Change, which marshal as nothing.
	// Client is what proves the client, Typed tells that it is new.
	Password, Client string
	Typed            bool
	// Base is the revision that the change is of, BaseID the profile; zero where
	// there was none.
	Base                   int64
	BaseID                 string
	Full                   profile.OAuth
	State, Nonce, Verifier string
	RedirectURI            string
	// Access and the rest are what came of it.
	Access, Refresh string
	Expires         time.Time
	Granted         string
	Identity        oauth.Identity
	OtherTenant     bool
}

// Pending is what the authority is asked with.
func (n Note) Pending() oauth.Pending {
	return oauth.Pending{State: secret.New(n.State), Nonce: secret.New(n.Nonce), Verifier: secret.New(n.Verifier)}
}

// Tokens are what the authority gave.
func (n Note) Tokens() oauth.Tokens {
	return oauth.Tokens{Access: secret.New(n.Access), Refresh: secret.New(n.Refresh), Expires: n.Expires, Scopes: n.Granted, Identity: n.Identity}
}

// Who is the name that signs in to the server.
func (n Note) Who() string {
	if n.Identity.Name != "" {
		return n.Identity.Name
	}
	return n.Full.Mailbox
}

// OtherPerson tells that somebody else signed in than the settings name. An
// authority that tells nobody's name leaves it to the mail server, which lets
// nobody in whose token is another's.
func (n Note) OtherPerson() bool {
	return !strings.EqualFold(n.Who(), n.Full.Mailbox)
}

// OtherTenant tells that who signed in belongs to another directory. A tenant
// that is typed as a domain is compared by its authority: that of a tenant
// gives out tokens of this tenant alone, but for personal accounts.
func OtherTenant(o oauth.Settings, i oauth.Identity) bool {
	if o.Provider != oauth.Microsoft || i.Tenant == "" {
		return false
	}
	if strings.Contains(o.Tenant, ".") {
		return strings.EqualFold(i.Tenant, personalTenant)
	}
	return !strings.EqualFold(i.Tenant, o.Tenant)
}
