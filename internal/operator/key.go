package operator

import (
	"context"
	"strconv"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/store"
)

func (c *commands) keyStatus(ctx context.Context, _ actor.Actor, _ none, _ Sink) (KeyStatus, error) {
	st, err := c.Keys.Status(ctx)
	if err != nil {
		return KeyStatus{}, err
	}
	out := KeyStatus{Keys: make([]Key, len(st.Keys)), RotatingSince: st.RotatingSince}
	for i, k := range st.Keys {
		out.Keys[i] = Key{Purpose: k.Purpose, Version: k.Version, Created: k.CreatedAt, Older: k.Older}
	}
	return out, nil
}

// keyRotate takes many transactions. Its beginning is audited before the
// first of them, so that no rotation goes unrecorded, and its end after the
// last, with what came of it.
func (c *commands) keyRotate(ctx context.Context, by actor.Actor, _ none, out Sink) (KeyRotated, error) {
	begun := audit.Event{Action: "key.rotation_begun", Kind: "keyring", Name: "All keys"}
	if err := c.append(ctx, by, begun); err != nil {
		return KeyRotated{}, err
	}
	r, err := c.Keys.Rotate(ctx, by, c.Columns, func(done, total int) {
		out.Progress("Values looked at", int64(done), int64(total))
	})
	ended := rotationEnded(r, err)
	// A command that was cancelled is recorded all the same.
	if aerr := c.append(context.WithoutCancel(ctx), by, ended); err == nil {
		err = aerr
	}
	return KeyRotated{Rewrapped: r.Rewrapped, Retired: r.Retired, Resumed: r.Resumed, Damaged: r.Damaged}, err
}

func rotationEnded(r keyring.Report, err error) audit.Event {
	e := audit.Event{
		Action: "key.rotated", Kind: "keyring", Name: "All keys",
		Detail: []audit.Detail{
			{Name: "values sealed with the new keys", Value: strconv.Itoa(r.Rewrapped)},
			{Name: "old keys destroyed", Value: strconv.Itoa(r.Retired)},
		},
	}
	switch {
	case err != nil:
		e.Outcome, e.Reason = audit.Failed, fault.Sentence(err)
	case len(r.Damaged) > 0:
		e.Outcome, e.Reason = audit.Failed, strconv.Itoa(len(r.Damaged))+" values do not open; the old keys are kept."
	}
	return e
}

func (c *commands) append(ctx context.Context, by actor.Actor, e audit.Event) error {
	return c.DB.Update(ctx, func(tx *store.Tx) error { return c.Audit.Append(tx, by, e) })
}
