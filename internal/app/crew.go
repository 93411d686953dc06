package app

import (
	"context"
	"errors"
	"sync"
)

// crew is goroutines that serve until they are told to stop, together. The
// zero crew has none.
type crew struct {
	cancel context.CancelFunc
	wait   sync.WaitGroup
	mu     sync.Mutex
	errs   []error
}

// start lets each of serve run. One that ends by itself is told to broken.
func (c *crew) start(ctx context.Context, broken chan<- error, serve ...func(context.Context) error) {
	ctx, c.cancel = context.WithCancel(ctx)
	for _, f := range serve {
		c.wait.Go(func() {
			err := f(ctx)
			if ctx.Err() == nil {
				broken <- err
				return
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.errs = append(c.errs, err)
		})
	}
}

// stop tells all to stop and waits for them, at most until ctx ends.
func (c *crew) stop(ctx context.Context) error {
	if c.cancel == nil {
		return nil
	}
	c.cancel()
	ended := make(chan struct{})
	go func() {
		c.wait.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		return errors.New("a part of the server did not stop in time")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.errs...)
}
