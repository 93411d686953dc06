package token

import (
	"context"
	"io"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	// longestMargin is how long before its end a token is replaced at most; one
	// that lives for less than 20 minutes is, in its last quarter.
	longestMargin = 5 * time.Minute
	// spread is the part of the margin, in percent, by which nodes differ.
	spread = 20
	// young is the age below which a token that a server refuses is not
	// replaced; one that lives for less than ten minutes is young for half of it.
	young = 5 * time.Minute
	// idle is how long a refresh token lies unused before KeepAlive uses it.
	idle = 20 * time.Hour
	// patience is how long a database may take to answer while there is a token
	// in memory.
	patience = 3 * time.Second
	// rounds bounds how often Access looks again after somebody asked.
	rounds = 6
)

// held is a token in memory.
type held struct {
	bind    string
	version int64
	token   secret.Value
	scopes  string
	who     string
	// until is when it ends by this node's clock; life is how long it lasted
	// when it was new, margin how long before its end it is replaced.
	until        time.Time
	life, margin time.Duration
}

// alive reports whether the token can be used. One with more time left than it
// ever had is not believed: the clock was put back.
func (h held) alive(now time.Time) bool {
	rest := left(h.until, now)
	return !h.token.IsZero() && rest > 0 && rest <= h.life
}

func (h held) due(now time.Time) bool { return left(h.until, now) <= h.margin }

func (h held) access() Access {
	return Access{Token: h.token, Version: h.version, Expires: h.until, Scopes: h.scopes, Who: h.who}
}

// margin is how long before its end a token of that life is replaced.
func (k *Keeper) margin(life time.Duration) time.Duration {
	m := min(longestMargin, life/4)
	var b [1]byte
	if _, err := io.ReadFull(k.Random, b[:]); err != nil {
		return m
	}
	return m - m*spread/100*time.Duration(b[0])/256
}

func (k *Keeper) remembered(s Source) held {
	k.mu.Lock()
	defer k.mu.Unlock()
	if h := k.held[s.ProfileID]; h.bind == s.Bind {
		return h
	}
	return held{}
}

func (k *Keeper) remember(profileID string, h held) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held[profileID] = h
}

// forget drops all that is in memory of a profile.
func (k *Keeper) forget(profileID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, profileID)
	delete(k.unstored, profileID)
}

// Access returns a token that lives, new where the one before ends soon. The
// error is an *[oauth.Error] where the authority gave none, [ErrSignIn] where
// somebody has to sign in first, and another one where it is our own.
func (k *Keeper) Access(ctx context.Context, s Source) (Access, error) {
	if err := s.check(); err != nil {
		return Access{}, err
	}
	for range rounds {
		now, err := k.look(ctx, s)
		if err != nil {
			return Access{}, err
		}
		if !now.ask {
			return now.held.access(), nil
		}
		if err := k.join(ctx, s, now.held.version); err != nil {
			return k.fallback(ctx, now.held, err)
		}
	}
	return Access{}, fault.Unavailable("The provider's tokens end before they can be used. Check this machine's clock.")
}

// fallback is what a caller gets when there is no new token: the old one while
// it lives.
func (k *Keeper) fallback(ctx context.Context, h held, err error) (Access, error) {
	if ctx.Err() != nil {
		return Access{}, ctx.Err() // whoever gave up is not told that all is well
	}
	if h.alive(k.Now()) {
		return h.access(), nil
	}
	return Access{}, err
}

// sight is what a look at the row found: a token to use, or that one should be
// asked for. held.version is the row's in any case; 0 where there is none.
type sight struct {
	held held
	ask  bool
}

// look reads the row. Where the database does not answer, a token in memory
// that lives is believed: mail goes on.
func (k *Keeper) look(ctx context.Context, s Source) (sight, error) {
	memory := k.remembered(s)
	bounded := ctx
	if memory.alive(k.Now()) {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	var found sight
	var verdict error // what the row says, other than that it cannot be read
	err := k.DB.View(bounded, func(tx *store.Tx) (err error) {
		found, verdict, err = k.see(tx, s, memory)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return sight{}, ctx.Err()
	case err != nil && memory.alive(k.Now()):
		k.Log.WarnContext(ctx, "token: the database does not answer; mail goes on with the token in memory",
			"profile", s.ProfileID, "ends", memory.until, "error", err)
		return sight{held: memory}, nil
	case err != nil:
		return sight{}, err
	case verdict == ErrSignIn:
		k.forgetToken(s.ProfileID, memory.version)
	}
	return found, verdict
}

// forgetToken drops the token of a version from memory.
func (k *Keeper) forgetToken(profileID string, version int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held[profileID].version == version {
		delete(k.held, profileID)
	}
}

// see judges a profile's row. verdict is ErrSignIn, or the failure for which
// nobody asks yet.
func (k *Keeper) see(tx *store.Tx, s Source, memory held) (found sight, verdict, err error) {
	r, ok, err := selectRow(tx, s.ProfileID, "")
	if err != nil {
		return sight{}, nil, err
	}
	h := memory
	if ok && h.version != r.version {
		var st state
		if st, ok, err = k.open(tx, s, r); err != nil {
			return sight{}, nil, err
		}
		h = held{bind: s.Bind, version: r.version, token: st.access, scopes: r.scopes, who: r.who, life: r.expires.Sub(r.got)}
		h.margin = k.margin(h.life)
	}
	if !ok && s.person() {
		return sight{}, ErrSignIn, nil
	}
	if !ok {
		return sight{held: held{version: r.version}, ask: true}, nil, nil
	}
	here, now := k.Now(), tx.Now()
	h.until = here.Add(r.expires.Sub(now))
	k.remember(s.ProfileID, h)
	_, pending := k.pending(s.ProfileID, r.version)
	lives := h.alive(here)
	switch {
	case pending:
		return sight{h, true}, nil, nil
	case lives && (!h.due(here) || r.waiting(now) || r.leased(now)):
		return sight{h, false}, nil, nil
	case r.waiting(now):
		return sight{h, true}, r.failed(now), nil
	}
	return sight{h, true}, nil, nil
}

// Refused tells that a server did not take the token of that version. again
// tells that Access gives another one now. A young token is not replaced:
// another one would be refused as well, and the answer says what is wrong.
func (k *Keeper) Refused(ctx context.Context, s Source, version int64) (again bool, err error) {
	err = k.DB.Update(ctx, func(tx *store.Tx) error {
		again = false
		r, _, opens, err := k.find(tx, s, tx.ForUpdate())
		if err != nil {
			return err
		}
		if !opens || r.version != version {
			again = true
			return nil
		}
		now := tx.Now()
		if age := now.Sub(r.got); age >= 0 && age < min(young, r.expires.Sub(r.got)/2) {
			return nil
		}
		again = true
		if r.expires.After(now) {
			r.expires = now
		}
		return updateRow(tx, r)
	})
	if again {
		k.forgetToken(s.ProfileID, version)
	}
	return again, err
}

// Try returns a token for a test of settings that may not be saved yet, with
// the credential as it is typed. An application's is got anew and not stored.
// Where a person must sign in, the stored token is used, if it is for these
// settings; when it has to be replaced and cannot be, nobody else hears of it.
func (k *Keeper) Try(ctx context.Context, s Source) (Access, error) {
	if !s.person() {
		t, _, err := k.request(ctx, s, secret.Value{})
		if err != nil {
			return Access{}, err
		}
		return Access{Token: t.Access, Expires: t.Expires, Scopes: granted(t, s.Settings.Scopes)}, nil
	}
	if s.ProfileID == "" {
		return Access{}, ErrSignIn // a profile that was never saved
	}
	if err := s.check(); err != nil {
		return Access{}, err
	}
	for range rounds {
		now, err := k.look(ctx, s)
		if _, noted := err.(*oauth.Error); err != nil && !noted {
			return Access{}, err
		}
		if err == nil && !now.ask {
			return now.held.access(), nil
		}
		if err := k.force(ctx, s, now.held.version); err != nil {
			return k.fallback(ctx, now.held, err)
		}
	}
	return Access{}, fault.Unavailable("The provider's tokens end before they can be used. Check this machine's clock.")
}

// Prove asks for a token with a credential that is not stored yet, whatever
// there is already, and keeps what comes if the row is for these settings. An
// error says that the credential must not be stored.
func (k *Keeper) Prove(ctx context.Context, s Source) error {
	if s.person() {
		return k.force(ctx, s, anyVersion)
	}
	t, got, err := k.request(ctx, s, secret.Value{})
	if err != nil {
		return err
	}
	return k.DB.Update(ctx, func(tx *store.Tx) error {
		r, _, opens, err := k.find(tx, s, tx.ForUpdate())
		if err != nil || !opens {
			return err
		}
		_, err = k.store(tx, unstored{source: s, version: r.version, state: state{access: t.Access}, scopes: t.Scopes, got: got, expires: t.Expires})
		return err
	})
}

// KeepAlive uses a refresh token that has lain unused for 20 hours, because
// authorities end those that nobody uses. An application has none.
func (k *Keeper) KeepAlive(ctx context.Context, s Source) error {
	if !s.person() {
		return nil
	}
	if err := s.check(); err != nil {
		return err
	}
	version, asleep := int64(0), false
	err := k.DB.View(ctx, func(tx *store.Tx) error {
		r, _, opens, err := k.find(tx, s, "")
		if err == nil && !opens {
			err = ErrSignIn
		}
		// One that was used in the future was, by a clock that was wrong.
		unused := tx.Now().Sub(r.refreshed)
		version, asleep = r.version, unused >= idle || unused < 0
		return err
	})
	if err != nil {
		return err
	}
	if _, pending := k.pending(s.ProfileID, version); !pending && !asleep {
		return nil
	}
	return k.join(ctx, s, version)
}
