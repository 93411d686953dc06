package token

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// longestLife is how long a token counts at most, whatever its authority says:
// a wrong number must not keep one for years.
const longestLife = 24 * time.Hour

// state is what is sealed in a row. All of it is empty where an application has
// asked for no token yet; that it opens says whose failures the row notes.
type state struct{ access, refresh, previous secret.Value }

type plainState struct {
	Access   string `json:"access"`
	Refresh  string `json:"refresh"`
	Previous string `json:"previous"`
}

// place is where a row's state is sealed. The version is part of it, so that an
// older value of the same row does not open either.
func (s Source) place(version int64) keyring.Place {
	return keyring.Place{Table: "mail_token", Row: s.ProfileID, Column: "sealed", Version: version, Bind: s.Bind}
}

// open returns the state of a row, and false where it is sealed for other
// settings, or cannot be read.
func (k *Keeper) open(tx *store.Tx, s Source, r row) (state, bool, error) {
	if len(r.sealed) == 0 {
		return state{}, false, nil
	}
	v, err := k.Keys.Open(tx, s.place(r.version), r.sealed)
	if errors.Is(err, keyring.ErrSealed) {
		return state{}, false, nil
	}
	if err != nil {
		return state{}, false, err
	}
	var p plainState
	if json.Unmarshal([]byte(v.Reveal()), &p) != nil {
		return state{}, false, nil
	}
	return state{secret.New(p.Access), secret.New(p.Refresh), secret.New(p.Previous)}, true, nil
}

// find returns a profile's row and its state, and false where there is none
// for these settings. words end the SELECT.
func (k *Keeper) find(tx *store.Tx, s Source, words string) (row, state, bool, error) {
	r, ok, err := selectRow(tx, s.ProfileID, words)
	if err != nil || !ok {
		return row{}, state{}, false, err
	}
	st, opens, err := k.open(tx, s, r)
	return r, st, opens, err
}

// seal puts a state into a row.
func (k *Keeper) seal(tx *store.Tx, s Source, r *row, st state) error {
	b, err := json.Marshal(plainState{st.access.Reveal(), st.refresh.Reveal(), st.previous.Reveal()})
	if err != nil {
		return fault.Internal(err)
	}
	r.sealed, err = k.Keys.Seal(tx, keyring.PurposeMail, s.place(r.version), secret.FromBytes(b))
	return err
}

// after returns a version greater than last. A row's first one is the time, so
// that a row which was dropped and made again does not count up to a version
// that somebody still holds.
func after(last int64, now time.Time) int64 { return max(last+1, store.Micros(now)) }

// date writes down when a token was got and ends. Both are known by this node's
// clock, and kept by the database's.
func (r *row) date(tx *store.Tx, here, got, expires time.Time) {
	now := tx.Now()
	r.got = now.Add(-max(0, here.Sub(got)))
	r.expires = now.Add(min(left(expires, here), longestLife))
	r.refreshed = r.got
}

// left is how long it is until then. The shorter of what the monotonic clock
// and the wall clock say counts: one stands still while a machine sleeps, the
// other can be put back.
func left(until, now time.Time) time.Duration {
	return min(until.Sub(now), until.Round(0).Sub(now.Round(0)))
}

// calm ends a row's lease and what was noted of failures.
func (r *row) calm() {
	r.lease, r.leaseUntil, r.retryAt, r.failures, r.failure = "", time.Time{}, time.Time{}, 0, ""
}

// leased reports whether somebody may be asking. A lease that ends later than
// any can was written before the clock was put back.
func (r row) leased(now time.Time) bool {
	return r.lease != "" && now.Before(r.leaseUntil) && r.leaseUntil.Sub(now) <= leaseTime
}

// waiting reports whether nobody should ask yet.
func (r row) waiting(now time.Time) bool {
	return now.Before(r.retryAt) && r.retryAt.Sub(now) <= longestWait
}

// Put stores the tokens of somebody who has just signed in, in place of all
// that the profile had. by is who did it in Sealpost.
func (k *Keeper) Put(tx *store.Tx, s Source, t oauth.Tokens, by string) error {
	if err := s.check(); err != nil {
		return err
	}
	if t.Access.IsZero() || t.Refresh.IsZero() {
		return fault.Invalid("scopes", "The provider gave no token that lasts, so that mail would stop within the hour. Ask for offline access, then sign in again.")
	}
	was, exists, err := selectRow(tx, s.ProfileID, tx.ForUpdate())
	if err != nil {
		return err
	}
	now := tx.Now()
	r := row{
		profileID: s.ProfileID, version: after(was.version, now), scopes: granted(t, s.Settings.Scopes),
		who: t.Identity.Name, tenant: t.Identity.Tenant, signedInAt: now, signedInBy: by,
	}
	here := k.Now()
	r.date(tx, here, here, t.Expires)
	if err := k.seal(tx, s, &r, state{access: t.Access, refresh: t.Refresh}); err != nil {
		return err
	}
	tx.OnCommit(func() { k.forget(s.ProfileID) })
	if exists {
		return updateRow(tx, r)
	}
	return insertRow(tx, r)
}

// granted are the scopes of tokens: an authority that grants what was asked may
// leave them out (RFC 6749 5.1).
func granted(t oauth.Tokens, asked string) string {
	if t.Scopes != "" {
		return t.Scopes
	}
	return asked
}

// Opens reports whether somebody has signed in for exactly these settings.
func (k *Keeper) Opens(tx *store.Tx, s Source) (bool, error) {
	_, st, opens, err := k.find(tx, s, "")
	return opens && !st.refresh.IsZero(), err
}

// Rebind binds a profile's tokens to other settings, for which the caller has
// decided that they may be used. Where the tokens are not those of from it
// changes nothing. It refuses while one of them is being replaced, since the
// answer would belong to settings that are gone.
func (k *Keeper) Rebind(tx *store.Tx, from, to Source) error {
	if from.ProfileID != to.ProfileID {
		return fault.Internal(errors.New("token: tokens do not move between profiles"))
	}
	if err := to.check(); err != nil {
		return err
	}
	r, st, opens, err := k.find(tx, from, tx.ForUpdate())
	if err != nil || !opens || from.Bind == to.Bind {
		return err
	}
	u, pending := k.pending(from.ProfileID, r.version)
	switch {
	case pending:
		st = u.state
		r.date(tx, k.Now(), u.got, u.expires)
	case r.leased(tx.Now()):
		return fault.Unavailable("The token of this mailbox is being renewed at this moment. Save again.")
	}
	r.version = after(r.version, tx.Now())
	r.calm()
	if err := k.seal(tx, to, &r, st); err != nil {
		return err
	}
	tx.OnCommit(func() { k.forget(from.ProfileID) })
	return updateRow(tx, r)
}

// Drop forgets a profile's tokens.
func (k *Keeper) Drop(tx *store.Tx, profileID string) error {
	tx.OnCommit(func() { k.forget(profileID) })
	return deleteRow(tx, profileID)
}

// Facts are what may be told about a profile's tokens.
type Facts struct {
	// Who signed in, in which tenant of the provider, by whom in Sealpost and
	// when; empty where nobody had to.
	Who, Tenant, SignedInBy string
	SignedInAt              time.Time
	// Scopes are those granted.
	Scopes string
	// GotAt is when the access token was got, Expires when it ends, RefreshAt
	// when the refresh token was last used. Zero where there was none yet.
	GotAt, Expires, RefreshAt time.Time
}

// Facts tells about a profile's tokens, whatever they are bound to; false where
// there are none.
func (k *Keeper) Facts(tx *store.Tx, profileID string) (Facts, bool, error) {
	r, ok, err := selectRow(tx, profileID, "")
	return Facts{
		Who: r.who, Tenant: r.tenant, Scopes: r.scopes, SignedInBy: r.signedInBy, SignedInAt: r.signedInAt,
		GotAt: r.got, RefreshAt: r.refreshed, Expires: r.expires,
	}, ok, err
}
