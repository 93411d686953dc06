package mail

import (
	"github.com/sealpost/sealpost/internal/mail/consent"
	"github.com/sealpost/sealpost/internal/mail/profile"
)

// What a profile is, stands in package profile, and how people come back from an
// authority in package consent. These are their words for
// everybody who deals with the service.
type (
	Profile      = profile.Profile
	Slot         = profile.Slot
	Kind         = profile.Kind
	AuthKind     = profile.AuthKind
	State        = profile.State
	OAuth        = profile.OAuth
	Via          = profile.Via
	Change       = profile.Change
	Password     = profile.Password
	SecretAction = profile.SecretAction
	Candidate    = profile.Candidate
	End          = profile.End
	Preset       = profile.Preset
	Browser      = consent.Browser
)

// The slots, the kinds of mail servers, the ways to sign in, the states, the ways of
// letters, what to do with a stored secret, and the paths that people come back
// to.
const (
	Main   = profile.Main
	Second = profile.Second

	KindSMTP      = profile.KindSMTP
	KindMicrosoft = profile.KindMicrosoft
	KindCapture   = profile.KindCapture

	AuthNone    = profile.AuthNone
	AuthTyped   = profile.AuthTyped
	AuthAccount = profile.AuthAccount
	AuthOAuth   = profile.AuthOAuth

	Working = profile.Working
	Paused  = profile.Paused
	Stopped = profile.Stopped

	ViaSMTP  = profile.ViaSMTP
	ViaGraph = profile.ViaGraph

	Keep    = profile.Keep
	Replace = profile.Replace
	Clear   = profile.Clear

	RedirectOwn = profile.RedirectOwn
	RedirectPMP = profile.RedirectPMP

	EndServerCertificate = profile.EndServerCertificate
)

// Slots returns all slots, the first server's first.
func Slots() []Slot { return profile.Slots() }

// EndKinds returns all things that end.
func EndKinds() []profile.EndKind { return profile.EndKinds() }

// RedirectURI is the address that an authority sends people back to, as it
// must be registered there.
func RedirectURI(accessURL, path string) string { return consent.RedirectURI(accessURL, path) }

// Presets returns the providers in the order in which a form offers them.
func Presets() []Preset { return profile.Presets() }
