package web

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/secret"
)

// The cookies. The prefix __Host- makes browsers refuse one that another host
// of the same domain set, or that came in clear.
const (
	cookieSession = "__Host-sealpost"
	cookieDevice  = "__Host-sealpost-device"
	cookieTheme   = "__Host-sealpost-theme"
	cookieNotice  = "__Host-sealpost-notice"
)

const (
	deviceAge = 180 * 24 * time.Hour
	themeAge  = 365 * 24 * time.Hour
	// maxNotice bounds a notice in bytes.
	maxNotice = 600
)

// setCookie sets a cookie for age; 0 means until the browser ends, less than
// that removes it.
func (v *visit) setCookie(name, value string, age time.Duration) {
	maxAge := int(age / time.Second)
	if age < 0 {
		maxAge = -1
	}
	http.SetCookie(v.w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func (v *visit) cookie(name string) string {
	c, err := v.r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// signedInAs gives the browser a session that just began.
func (v *visit) signedInAs(session identity.Session) {
	v.setCookie(cookieSession, session.Token.Reveal(), 0)
	v.setCookie(cookieDevice, session.Device.Reveal(), deviceAge)
}

func (v *visit) sessionToken() secret.Value { return secret.New(v.cookie(cookieSession)) }
func (v *visit) device() secret.Value       { return secret.New(v.cookie(cookieDevice)) }

// theme returns the chosen appearance, empty to follow the system.
func (v *visit) theme() string {
	if t := v.cookie(cookieTheme); t == "light" || t == "dark" {
		return t
	}
	return ""
}

func (v *visit) setNotice(text string) {
	v.setCookie(cookieNotice, base64.RawURLEncoding.EncodeToString([]byte(text)), time.Minute)
}

// signedInMark begins a notice after which the page tests what is stored. It
// comes from our own cookie alone, so that no link makes a page send mail.
const signedInMark = "\x01"

// takeSignedIn returns the notice, and whether a test is to follow it.
func (v *visit) takeSignedIn() (notice string, test bool) {
	return strings.CutPrefix(v.takeNotice(), signedInMark)
}

// takeNotice returns what the act before left to say, once.
func (v *visit) takeNotice() string {
	raw := v.cookie(cookieNotice)
	if raw == "" {
		return ""
	}
	v.setCookie(cookieNotice, "", -1)
	text, err := base64.RawURLEncoding.DecodeString(raw)
	if err != nil || len(text) > maxNotice {
		return ""
	}
	return string(text)
}
