package consent

import (
	"net/url"
	"strings"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/profile"
)

// Browser is where a person is.
type Browser struct {
	// SessionID is the session's. Who began a sign-in in one session cannot end
	// it in another.
	SessionID string
	// Origin is what the browser shows in its address bar, for example
	// "https://vault.example.org".
	Origin string
	// AccessURL is what the Access URL is about to become, where the form that
	// begins a sign-in changes it; empty takes the one that is stored.
	AccessURL string
}

// RedirectURI is the address that an authority sends people back to, as it
// must be registered there.
func RedirectURI(accessURL, path string) string { return strings.TrimSuffix(accessURL, "/") + path }

// CheckOrigin makes sure that the person comes back to the page that they left,
// with the session that is theirs.
func CheckOrigin(access, origin string, p oauth.Provider) error {
	refuse := func(sentence string) error { return fault.Invalid("access_url", sentence) }
	u, err := url.Parse(access)
	if err != nil || u.Host == "" {
		return refuse("Set the Access URL first: the provider sends you back there.")
	}
	if want := u.Scheme + "://" + u.Host; !strings.EqualFold(want, origin) {
		return refuse("The provider sends you back to " + want + ", and you are at " + shown(origin) + ". Open Sealpost at " + want + " and sign in from there, or correct the Access URL.")
	}
	if u.Scheme != "https" && p != oauth.Generic && !profile.OnThisMachine(u.Hostname()) {
		return refuse("The provider sends people back to addresses with https alone. Give Sealpost a certificate and an Access URL with https.")
	}
	return nil
}

func shown(origin string) string {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return "another address"
	}
	return u.Scheme + "://" + u.Host
}
