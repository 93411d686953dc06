package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/mail/outbox"
)

// keeper renews the leases of the letters that a lane works on, however long
// the server takes.
type keeper struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	held   []outbox.Claim
}

// keepLeases starts a keeper, which the caller stops.
func (e *Engine) keepLeases(ctx context.Context) *keeper {
	ctx, cancel := context.WithCancel(ctx)
	k := &keeper{cancel: cancel}
	k.done.Go(func() {
		tick := time.NewTicker(e.lease / 3)
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

func (k *keeper) stop() {
	k.cancel()
	k.done.Wait()
}
