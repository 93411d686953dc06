package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sealpost/sealpost/internal/failpoint"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	// leaseTime is how long one process may ask: longer than two requests, which
	// take ten seconds each.
	leaseTime = 30 * time.Second
	// askTime bounds the requests of one lease together.
	askTime = 22 * time.Second
	// EndTime is how long [Keeper.Close] should be given: requests under way are
	// answered by then, with what may be the only refresh token that works, and
	// the answers are stored by a database that works.
	EndTime = askTime + 8*time.Second
	// storeTime bounds one try to store what came.
	storeTime = 30 * time.Second
	// firstPoll and lastPoll are the waits between looks at a lease that somebody
	// else holds.
	firstPoll, lastPoll = 50 * time.Millisecond, time.Second
)

// flight is an asking under way, and what it came to.
type flight struct {
	source Source
	done   chan struct{}
	err    error
}

// anyVersion stands for whatever version the row has.
const anyVersion = -1

// errand is why a token is asked for.
type errand struct {
	Source
	// seen is the version that must be replaced, 0 where there was no row; where
	// the row has another one there is nothing left to do.
	seen int64
	// forced asks although somebody was refused a moment ago, and tells nobody
	// of a failure.
	forced bool
}

// join asks for a new token, or waits for the process's own asking. nil tells
// that the row has changed, or that another look at it is worthwhile.
func (k *Keeper) join(ctx context.Context, s Source, seen int64) error {
	k.mu.Lock()
	f, under := k.flights[s.ProfileID]
	if !under {
		if k.closed {
			k.mu.Unlock()
			return errStopping
		}
		f = &flight{source: s, done: make(chan struct{})}
		k.flights[s.ProfileID] = f
		k.under.Go(func() { k.land(f, k.ask(context.WithoutCancel(ctx), errand{Source: s, seen: seen})) })
	}
	k.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if under && !f.source.same(s) {
		// What became of other settings says nothing of these.
		return nil
	}
	return f.err
}

func (k *Keeper) land(f *flight, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.flights, f.source.ProfileID)
	f.err = err
	close(f.done)
}

var errStopping = fault.Unavailable("Sealpost is stopping. Try again when it has started.")

// force asks in any case, apart from what others ask.
func (k *Keeper) force(ctx context.Context, s Source, seen int64) error {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return errStopping
	}
	done := make(chan error, 1)
	k.under.Go(func() { done <- k.ask(context.WithoutCancel(ctx), errand{Source: s, seen: seen, forced: true}) })
	k.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hold is a lease and what was read with it.
type hold struct {
	lease   string
	version int64
	state   state
}

// ask takes the lease, asks and stores. ctx has no end: once a request has
// left, its answer may carry the only refresh token that works.
func (k *Keeper) ask(ctx context.Context, e errand) error {
	h, err := k.acquire(ctx, e)
	if err != nil || h.lease == "" {
		return err
	}
	u, spent, err := k.inquire(ctx, e.Source, h)
	if err != nil {
		return k.note(ctx, e, h, spent, err)
	}
	failpoint.Hit("token.asked")
	k.keep(u)
	if _, err := k.settle(ctx, e.ProfileID); err != nil {
		return err
	}
	failpoint.Hit("token.stored")
	return nil
}

// acquire returns the lease, waiting while another process has it. Without an
// error and without a lease there is nothing left to do.
func (k *Keeper) acquire(ctx context.Context, e errand) (hold, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTime+storeTime)
	defer cancel()
	poll := firstPoll
	for {
		settled, err := k.settle(ctx, e.ProfileID)
		if err != nil || settled && !e.forced {
			return hold{}, err
		}
		var h hold
		var taken bool
		err = k.DB.Update(ctx, func(tx *store.Tx) (err error) {
			h, taken, err = k.lease(tx, e)
			return err
		})
		if err != nil || !taken {
			return h, err
		}
		timer := time.NewTimer(poll)
		select {
		case <-timer.C:
		case <-k.stopping:
			timer.Stop()
			return hold{}, errStopping
		case <-ctx.Done():
			timer.Stop()
			return hold{}, fault.Unavailable("Another node has been renewing the token of this mailbox for too long. Try again.").Because(ctx.Err())
		}
		poll = min(2*poll, lastPoll)
	}
}

// lease takes the lease in the row. taken tells that somebody else has it.
func (k *Keeper) lease(tx *store.Tx, e errand) (h hold, taken bool, err error) {
	r, st, opens, err := k.find(tx, e.Source, tx.ForUpdate())
	if err != nil {
		return hold{}, false, err
	}
	now := tx.Now()
	switch {
	case e.person() && (!opens || st.refresh.IsZero()):
		return hold{}, false, ErrSignIn
	case !opens:
		if r, taken, err = k.begin(tx, e.Source, r); err != nil || taken {
			return hold{}, taken, err
		}
	case e.seen != anyVersion && r.version != e.seen, !e.forced && r.waiting(now):
		return hold{}, false, nil
	case r.leased(now):
		return hold{}, true, nil
	}
	r.lease, r.leaseUntil = store.NewID(), now.Add(leaseTime)
	return hold{r.lease, r.version, st}, false, updateRow(tx, r)
}

// begin makes an application's row for settings that have none yet, in place
// of one for other settings; the caller stores it with its lease. lost tells
// that another node made one at the same moment.
func (k *Keeper) begin(tx *store.Tx, s Source, was row) (r row, lost bool, err error) {
	r = row{profileID: s.ProfileID, version: after(was.version, tx.Now())}
	if err := k.seal(tx, s, &r, state{}); err != nil || was.version != 0 {
		return r, false, err
	}
	r.lease = store.NewID()
	if err := insertRow(tx, r); err != nil {
		return row{}, false, err
	}
	there, _, err := selectRow(tx, s.ProfileID, tx.ForUpdate())
	return r, there.lease != r.lease, err
}

// inquire asks the authority. spent tells that the refresh token before this
// one was tried, and is dead.
func (k *Keeper) inquire(ctx context.Context, s Source, h hold) (u unstored, spent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	sent := h.state.refresh
	t, got, err := k.request(ctx, s, sent)
	if refused(err) && !h.state.previous.IsZero() && k.stands(ctx, s.ProfileID, h.version) {
		first := err
		sent = h.state.previous
		t, got, err = k.request(ctx, s, sent)
		if spent = refused(err); spent {
			err = first
		}
	}
	if err != nil {
		return unstored{}, spent, err
	}
	next := state{access: t.Access, refresh: sent}
	if !t.Refresh.IsZero() && !t.Refresh.Equal(sent) {
		next.refresh = t.Refresh
		next.previous = sent
	}
	return unstored{source: s, version: h.version, state: next, scopes: t.Scopes, got: got, expires: t.Expires}, false, nil
}

// refused reports whether the refresh token itself was refused.
func refused(err error) bool {
	var e *oauth.Error
	return errors.As(err, &e) && e.Code == "invalid_grant"
}

// stands reports whether the row is still the one that was read. Where that
// cannot be known it counts as changed.
func (k *Keeper) stands(ctx context.Context, profileID string, version int64) bool {
	stands := false
	err := k.DB.View(ctx, func(tx *store.Tx) error {
		r, ok, err := selectRow(tx, profileID, "")
		stands = ok && r.version == version
		return err
	})
	return err == nil && stands
}

// request asks the authority once, with a refresh token where a person signed
// in. got is when the answer came.
func (k *Keeper) request(ctx context.Context, s Source, refresh secret.Value) (t oauth.Tokens, got time.Time, err error) {
	began := k.Now()
	if s.person() {
		t, err = k.Client.Refresh(ctx, s.Settings, s.Credential, refresh)
	} else {
		t, err = k.Client.Obtain(ctx, s.Settings, s.Credential)
	}
	got = k.Now()
	event := Event{ProfileID: s.ProfileID, Provider: s.Settings.Provider, Grant: s.Settings.Grant, Outcome: Got, Took: max(0, got.Sub(began))}
	if err == nil && t.Access.IsZero() {
		err = &oauth.Error{Stage: oauth.StageToken, Text: "the answer holds no token"}
	}
	var e *oauth.Error
	switch {
	case errors.As(err, &e) && passes(e):
		event.Outcome = Failed
	case err != nil:
		event.Outcome = Refused
	}
	k.Observe(event)
	return t, got, err
}

// note writes down what the authority said, for all nodes, and ends the lease.
// It returns nil where the row is not the one that was asked for any more.
func (k *Keeper) note(ctx context.Context, e errand, h hold, spent bool, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	var said *oauth.Error
	heard := errors.As(cause, &said) && said.Stage != oauth.StageSettings
	moved := false
	err := k.DB.Update(ctx, func(tx *store.Tx) error {
		r, st, opens, err := k.find(tx, e.Source, tx.ForUpdate())
		if err != nil {
			return err
		}
		if moved = !opens || r.version != h.version; moved {
			return nil
		}
		if r.lease != h.lease {
			return nil // somebody else asks by now, and will know better
		}
		if spent && !st.previous.IsZero() {
			st.previous = secret.Value{}
			if err := k.seal(tx, e.Source, &r, st); err != nil {
				return err
			}
		}
		r.lease, r.leaseUntil = "", time.Time{}
		if heard && !e.forced {
			r.failures++
			r.retryAt = tx.Now().Add(wait(said, r.failures))
			r.failure = writeFailure(said)
		}
		return updateRow(tx, r)
	})
	if err != nil {
		// The lease ends by itself, and the next one asks again.
		k.Log.ErrorContext(ctx, "token: a failure could not be noted", "profile", e.ProfileID, "error", err)
	}
	if moved && !e.forced {
		return nil
	}
	k.Log.WarnContext(ctx, "token: no new token", "profile", e.ProfileID, "error", cause)
	return cause
}

// unstored is an answer that is not in the row yet. Its times are by this
// node's clock.
type unstored struct {
	source       Source
	version      int64 // of the row that the refresh token was read from
	state        state
	scopes       string
	got, expires time.Time
}

func (k *Keeper) keep(u unstored) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unstored[u.source.ProfileID] = u
}

// pending returns the answer that waits to be stored in the row of a version.
// One for an earlier version is in the row already, or too late for it.
func (k *Keeper) pending(profileID string, version int64) (unstored, bool) {
	u, ok := k.waiting(profileID)
	return u, ok && u.version == version
}

// waiting returns the answer that waits to be stored, whatever the row is.
func (k *Keeper) waiting(profileID string) (unstored, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	u, ok := k.unstored[profileID]
	return u, ok
}

// settle stores the answer that waits, if there is one. Where the row has
// moved on the answer is older than what is there, and dropped.
func (k *Keeper) settle(ctx context.Context, profileID string) (settled bool, err error) {
	u, ok := k.waiting(profileID)
	if !ok {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	stored := false
	err = k.DB.Update(ctx, func(tx *store.Tx) (err error) {
		stored, err = k.store(tx, u)
		return err
	})
	if err != nil {
		k.Observe(Event{ProfileID: profileID, Provider: u.source.Settings.Provider, Grant: u.source.Settings.Grant, Outcome: Unstored})
		k.Log.ErrorContext(ctx, "token: a new token could not be stored; it is kept in memory and tried again", "profile", profileID, "error", err)
		return false, fmt.Errorf("token: a new token could not be stored yet: %w", err)
	}
	if stored {
		k.Log.InfoContext(ctx, "token: renewed", "profile", profileID, "ends", u.expires)
	} else {
		k.Log.WarnContext(ctx, "token: a new token came too late and was dropped", "profile", profileID)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.unstored[profileID].version == u.version {
		delete(k.unstored, profileID)
	}
	return true, nil
}

// store puts an answer into the row that it was asked for.
func (k *Keeper) store(tx *store.Tx, u unstored) (stored bool, err error) {
	r, ok, err := selectRow(tx, u.source.ProfileID, tx.ForUpdate())
	if err != nil || !ok || r.version != u.version {
		return false, err
	}
	r.version = after(r.version, tx.Now())
	if u.scopes != "" {
		r.scopes = u.scopes
	} else if r.scopes == "" {
		r.scopes = u.source.Settings.Scopes
	}
	r.date(tx, k.Now(), u.got, u.expires)
	r.calm()
	if err := k.seal(tx, u.source, &r, u.state); err != nil {
		return false, err
	}
	return true, updateRow(tx, r)
}
