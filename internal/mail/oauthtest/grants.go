package oauthtest

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// codeLife is how long a code waits for its use.
	codeLife = 10 * time.Minute
	// idleLife is how long a refresh token lives without use at Microsoft, spaLife
	// that of a single-page application, googleIdle at Google.
	idleLife   = 90 * 24 * time.Hour
	spaLife    = 24 * time.Hour
	googleIdle = 182 * 24 * time.Hour
)

// grants are what the authorities gave and to whom.
type grants struct {
	codes   map[string]*code
	refresh map[string]*refresh
	access  map[string]*access
	// consents are "user app permission".
	consents map[string]bool
	// sessions are the users that are signed in in a browser, by cookie;
	// flows are sign-ins that wait for a consent.
	sessions map[string][]string
	flows    map[string]string
}

func newGrants() grants {
	return grants{
		codes: map[string]*code{}, refresh: map[string]*refresh{}, access: map[string]*access{},
		consents: map[string]bool{}, sessions: map[string][]string{}, flows: map[string]string{},
	}
}

// code is an authorization code.
type code struct {
	app, user, tenant                    string
	redirect, challenge, nonce, verifier string
	scopes                               scopes
	spa, offline, used                   bool
	at                                   time.Time
}

// proves tells whether the verifier fits the challenge (RFC 7636 4.6).
func (c *code) proves(verifier string) bool {
	c.verifier = verifier
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:]) == c.challenge
}

// refresh is a refresh token.
type refresh struct {
	app, user, tenant string
	scopes            scopes
	issued, used      time.Time
	spa               bool
	// number is the AADSTS number of why it is dead.
	number int
}

// access is an access token.
type access struct {
	app, tenant string
	// user is empty for a token of the application itself.
	user string
	// kind is "outlook", "graph" or "google".
	kind string
	// permissions are those of the person or of the application.
	permissions []string
	expires     time.Time
	dead        bool
}

func (a *access) may(permission string) bool { return slices.Contains(a.permissions, permission) }

// Revoke ends all sign-ins of a user, as a password reset does: refresh tokens
// given so far are dead, access tokens live until they expire.
func (s *Stand) Revoke(user string) { s.end(user, 50173) }

// RevokeConsent takes back what a user agreed to.
func (s *Stand) RevokeConsent(user string) { s.end(user, 65001) }

func (s *Stand) end(user string, number int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.grants.refresh {
		if strings.EqualFold(r.user, user) {
			r.number = number
		}
	}
	maps.DeleteFunc(s.grants.consents, func(k string, _ bool) bool {
		return number == 65001 && strings.HasPrefix(k, strings.ToLower(user)+" ")
	})
	clear(s.grants.sessions)
}

// Invalidate lets mail servers and Graph refuse all access tokens given so far,
// which nobody but they can tell.
func (s *Stand) Invalidate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.grants.access {
		a.dead = true
	}
}

// Secrets returns every code and token that was given, and every verifier and
// signed assertion that came.
func (s *Stand) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Concat(slices.Collect(maps.Keys(s.grants.codes)), slices.Collect(maps.Keys(s.grants.refresh)), slices.Collect(maps.Keys(s.grants.access)))
	for _, c := range s.grants.codes {
		all = append(all, c.verifier)
	}
	for _, v := range s.log.seen {
		if strings.HasPrefix(v.text, "eyJ") {
			all = append(all, v.text)
		}
	}
	return slices.DeleteFunc(all, func(v string) bool { return v == "" })
}

// live returns the access token if it lives.
func (s *Stand) live(token string) (*access, bool) {
	a, ok := s.grants.access[token]
	if !ok || a.dead || !s.now().Before(a.expires) {
		return nil, false
	}
	return a, true
}

func consentKey(user, app, permission string) string {
	return strings.ToLower(user) + " " + app + " " + permission
}

func (s *Stand) consented(user, app string, permissions []string) bool {
	return !slices.ContainsFunc(permissions, func(p string) bool { return !s.grants.consents[consentKey(user, app, p)] })
}

// life returns how long a token given now lives, in whole seconds.
func (s *Stand) life() time.Duration { return s.opts.TokenLife.Truncate(time.Second) }

// mint gives an access token of Microsoft's for one resource.
func (s *Stand) mint(a access, resource string) string {
	now := s.now()
	a.expires = now.Add(s.life())
	claims := map[string]any{
		"aud": resource, "iss": "https://sts.windows.net/" + a.tenant + "/", "tid": a.tenant, "appid": a.app, "appidacr": "1",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": a.expires.Unix(), "ver": "1.0", "uti": chance(16),
		// Tokens of Microsoft are about two thousand characters long.
		"xms_pad": strings.Repeat("c", max(900, s.opts.TokenSize*3/4)),
	}
	if a.user != "" {
		u := s.users[strings.ToLower(a.user)]
		claims["upn"], claims["oid"], claims["scp"] = u.Name, u.id(), strings.Join(a.permissions, " ")
	} else if len(a.permissions) > 0 {
		claims["roles"] = a.permissions
	}
	token := s.sign(claims)
	s.grants.access[token] = &a
	return token
}

// keep gives a refresh token.
func (s *Stand) keep(r refresh) string {
	r.issued, r.used = s.now(), s.now()
	token := "1.AXoA" + chance(900)
	if s.tenants[r.tenant].Google {
		token = "1//0" + chance(75)
	}
	s.grants.refresh[token] = &r
	return token
}

// identify gives an id_token with what every one holds and some claims more.
func (s *Stand) identify(c *code, more map[string]any) string {
	u, now := s.users[strings.ToLower(c.user)], s.now()
	claims := map[string]any{"aud": c.app, "sub": u.id(), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(claims, more)
	if c.nonce != "" {
		claims["nonce"] = c.nonce
	}
	if c.scopes.has("email") {
		claims["email"], claims["email_verified"] = u.Name, true
	}
	if c.scopes.has("profile") {
		claims["name"], claims["preferred_username"] = u.Display, u.Name
	}
	return s.sign(claims)
}
