package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/pace"
)

// keeper renews the leases of all letters that are in work, however long the
// server takes, and those of the places of connections.
type keeper struct {
	mu sync.Mutex
	// held are the claims in work by their letter.
	held map[string]hold
	// places are those of lanes at work.
	places map[*lane]pace.Slot
}

// hold is a claim and when its lease was last sure to begin, by the clock of
// this machine: the database's says when it is over, and a process that was
// stopped meanwhile must know by itself.
type hold struct {
	lane  *lane
	claim outbox.Claim
	since time.Time
}

func newKeeper() *keeper { return &keeper{held: map[string]hold{}, places: map[*lane]pace.Slot{}} }

// keep renews until ctx ends.
func (e *Engine) keep(ctx context.Context) {
	tick := time.NewTicker(min(e.lease, placeLease) / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		e.alive()
		e.safely(func() { e.renew(ctx) })
	}
}

func (e *Engine) renew(ctx context.Context) {
	began := time.Now()
	claims, places := e.keeper.all()
	// Those that are done with are not touched by this.
	if held, err := e.outbox.Renew(ctx, claims, e.lease); err == nil {
		e.keeper.renewed(claims, held, began)
	} else if ctx.Err() == nil {
		e.log.Warn("the leases of letters could not be renewed", "err", err)
	}
	for l, slot := range places {
		held, err := e.pace.Renew(ctx, slot, placeLease)
		if err != nil && ctx.Err() == nil {
			e.log.Warn("the place of a connection could not be renewed", "err", err)
		}
		if err == nil && !held {
			l.lostPlace.Store(true)
		}
	}
}

// hold takes claims in that were made no earlier than since.
func (k *keeper) hold(l *lane, claims []outbox.Claim, since time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range claims {
		k.held[c.ID] = hold{l, c, since}
	}
}

// let forgets a claim that is done with.
func (k *keeper) let(c outbox.Claim) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held[c.ID].claim.Attempt == c.Attempt {
		delete(k.held, c.ID)
	}
}

// forget lets go of all that a lane had in work when it broke off.
func (k *keeper) forget(l *lane) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, h := range k.held {
		if h.lane == l {
			delete(k.held, id)
		}
	}
}

// sure tells that the lease of a letter cannot be over by the time a letter is
// begun now. A process that slept must not send what is somebody else's.
func (k *keeper) sure(id string, lease time.Duration) bool {
	k.mu.Lock()
	since := k.held[id].since
	k.mu.Unlock()
	return within(since, lease*9/10)
}

// within tells that less than d went by since a time. The second clock goes on
// while the machine sleeps.
func within(since time.Time, d time.Duration) bool {
	now := time.Now()
	return now.Sub(since) < d && now.Round(0).Sub(since.Round(0)) < d
}

func (k *keeper) all() ([]outbox.Claim, map[*lane]pace.Slot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	claims := make([]outbox.Claim, 0, len(k.held))
	for _, h := range k.held {
		claims = append(claims, h.claim)
	}
	places := make(map[*lane]pace.Slot, len(k.places))
	for l, slot := range k.places {
		places[l] = slot
	}
	return claims, places
}

// renewed notes whose leases were renewed at a time. Of the other claims nothing
// further may begin.
func (k *keeper) renewed(claims []outbox.Claim, ids []string, since time.Time) {
	still := make(map[string]bool, len(ids))
	for _, id := range ids {
		still[id] = true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range claims {
		h, ok := k.held[c.ID]
		if !ok || h.claim.Attempt != c.Attempt {
			continue
		}
		if h.since = since; !still[c.ID] {
			h.since = time.Time{}
		}
		k.held[c.ID] = h
	}
}

// watch keeps the place of a lane until the function that it returns is called.
func (k *keeper) watch(l *lane) (stop func()) {
	l.lostPlace.Store(false)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.places[l] = l.place.slot
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.places, l)
	}
}
