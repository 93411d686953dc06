package pace

import (
	"context"
	"time"

	"github.com/sealpost/sealpost/internal/store"
)

// Slot is leave to have one connection. The zero Slot needs no renewing.
type Slot struct {
	profileID string
	number    int64
	holder    string
}

// Hold takes a free slot for the time of d; holder names who has it, and has no
// other one. ok is false where all are held. Without a limit there is always
// one.
func (k *Keeper) Hold(ctx context.Context, profileID string, l Limits, holder string, d time.Duration) (s Slot, ok bool, err error) {
	if l.Connections <= 0 {
		return Slot{}, true, nil
	}
	err = k.db.Update(ctx, func(tx *store.Tx) error {
		s, ok = Slot{profileID: profileID, holder: holder}, false
		for ; s.number < int64(l.Connections); s.number++ {
			if ok, err = takeSlot(tx, s, d); ok || err != nil {
				return err
			}
		}
		return nil
	})
	return s, ok && err == nil, err
}

// Held returns how many slots of a profile are held over all nodes. Without a
// limit none are.
func (k *Keeper) Held(tx *store.Tx, profileID string) (int, error) { return countSlots(tx, profileID) }

// Renew keeps a slot for another d. It reports false where the lease had ended
// and somebody else has the slot: the connection must not be used any more.
func (k *Keeper) Renew(ctx context.Context, s Slot, d time.Duration) (bool, error) {
	if s.holder == "" {
		return true, nil
	}
	var held bool
	err := k.db.Update(ctx, func(tx *store.Tx) (err error) {
		held, err = renewSlot(tx, s, d)
		return err
	})
	return held, err
}

// Release gives a slot up.
func (k *Keeper) Release(ctx context.Context, s Slot) error {
	if s.holder == "" {
		return nil
	}
	return k.db.Update(ctx, func(tx *store.Tx) error { return deleteSlot(tx, s) })
}

// Recover frees all slots. Call it only where no other process can be sending:
// on SQLite, at start.
func (k *Keeper) Recover(ctx context.Context) error {
	return k.db.Update(ctx, deleteSlots)
}
