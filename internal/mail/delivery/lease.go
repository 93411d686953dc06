package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/pace"
)

// keeper renews the leases of the letters that a lane works on, however long
// the server takes.
type keeper struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	held   []outbox.Claim
	// gone tells that the place of the connection is somebody else's.
	gone bool
}

// keepLeases starts a keeper for letters and for the place of the connection,
// which the caller stops.
func (e *Engine) keepLeases(ctx context.Context, slot pace.Slot) *keeper {
	ctx, cancel := context.WithCancel(ctx)
	k := &keeper{cancel: cancel}
	k.done.Go(func() {
		tick := time.NewTicker(min(e.lease, placeLease) / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			e.alive()
			// Those that are done with are not touched by this.
			if err := e.outbox.Renew(ctx, k.all(), e.lease); err != nil && ctx.Err() == nil {
				e.log.Warn("the leases of letters could not be renewed", "err", err)
			}
			held, err := e.pace.Renew(ctx, slot, placeLease)
			if err != nil && ctx.Err() == nil {
				e.log.Warn("the place of a connection could not be renewed", "err", err)
			}
			k.lose(err == nil && !held)
		}
	})
	return k
}

func (k *keeper) hold(claims []outbox.Claim) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held = append(k.held, claims...)
}

func (k *keeper) all() []outbox.Claim {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]outbox.Claim(nil), k.held...)
}

// lose notes that the place of the connection is gone.
func (k *keeper) lose(gone bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gone = k.gone || gone
}

func (k *keeper) lost() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.gone
}

func (k *keeper) stop() {
	k.cancel()
	k.done.Wait()
}
