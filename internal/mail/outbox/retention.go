package outbox

import (
	"context"
	"time"

	"github.com/sealpost/sealpost/internal/store"
)

const (
	// keepFailedContent is how long a letter that failed can be sent again.
	keepFailedContent = 7 * day
	// batch is how many letters one transaction forgets: others wait no longer
	// for the database than that takes, however many there are to forget.
	batch = 1000
)

// outdated and wipeable are letters that were done with before $1, and those of
// them whose content is still there.
const (
	outdated = `SELECT id FROM outbox_letter WHERE ended_at > 0 AND ended_at < $1 ORDER BY ended_at LIMIT $2`
	wipeable = `SELECT id FROM outbox_letter WHERE state IN ('failed', 'expired') AND length(sealed) > 0 AND ended_at < $1 ORDER BY ended_at LIMIT $2`
)

// Retention removes up to a thousand letters that were done with longer ago
// than the settings keep them, and the content of as many that failed more than
// a week ago. more asks for another call: each is a transaction of its own.
func (o *Outbox) Retention(ctx context.Context) (more bool, err error) {
	var old, contents time.Time
	idle := true
	err = o.db.View(ctx, func(tx *store.Tx) error {
		s, err := settings(tx)
		if err != nil {
			return err
		}
		old, contents = tx.Now().Add(-s.Keep), tx.Now().Add(-keepFailedContent)
		idle = true
		for query, at := range map[string]time.Time{outdated: old, wipeable: contents} {
			if err := tx.Each(func(r store.Row) error {
				var id string
				idle = false
				return r.Scan(&id)
			}, query, store.Micros(at), int64(1)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || idle {
		return false, err
	}
	err = o.db.Update(ctx, func(tx *store.Tx) error {
		wiped, err := tx.Exec(`UPDATE outbox_letter SET sealed = $3 WHERE id IN (`+wipeable+tx.SkipLocked()+`)`, store.Micros(contents), int64(batch), []byte{})
		if err != nil {
			return err
		}
		gone, err := tx.Exec(`DELETE FROM outbox_letter WHERE id IN (`+outdated+tx.SkipLocked()+`)`, store.Micros(old), int64(batch))
		more = wiped == batch || gone == batch
		return err
	})
	return more, err
}
