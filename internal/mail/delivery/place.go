package delivery

import (
	"context"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/pace"
)

// placeLease is how long the place of a connection is kept for a process that
// does not renew it any more.
const placeLease = 30 * time.Second

// place is a connection's among those that all nodes may have.
type place struct {
	held bool
	slot pace.Slot
	// renewed is when the lease began.
	renewed time.Time
}

// hold takes a place for a connection. Where none is free, that is no trouble:
// who has them sends the letters.
func (l *lane) hold(ctx context.Context, t mail.Transport) (bool, error) {
	if l.place.held {
		return true, nil
	}
	e := l.engine
	slot, ok, err := e.pace.Hold(ctx, t.Profile.ID, t.Profile.Limits(), l.name, placeLease)
	if err != nil || !ok {
		return false, err
	}
	l.place = place{held: true, slot: slot, renewed: e.now()}
	return true, nil
}

// keep renews the place before its lease ends. It reports false where somebody
// else has it by now, or nobody can tell: the connection would be one too many.
func (l *lane) keep(ctx context.Context) bool {
	e := l.engine
	now := e.now()
	if !l.place.held || now.Sub(l.place.renewed) < placeLease/3 {
		return true
	}
	held, err := e.pace.Renew(ctx, l.place.slot, placeLease)
	switch {
	case err == nil && held:
		l.place.renewed = now
		return true
	case err != nil && now.Sub(l.place.renewed) < placeLease:
		e.log.Warn("the place of a connection could not be renewed", "err", err)
		return true
	}
	return false
}

// release gives the place up.
func (l *lane) release(ctx context.Context) {
	if !l.place.held {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.engine.lastWords)
	defer cancel()
	if err := l.engine.pace.Release(ctx, l.place.slot); err != nil {
		l.engine.log.Warn("the place of a connection could not be given up, and is free when its lease ends", "err", err)
	}
	l.place = place{}
}
