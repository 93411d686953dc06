package notify

import (
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

// noteReminder notes that a reminder is sent, and returns false where one was
// before.
func noteReminder(tx *store.Tx, what string, end time.Time, days int) (bool, error) {
	n, err := tx.Exec(`INSERT INTO notify_reminder (what, ends_at, days, sent_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (what, ends_at, days) DO NOTHING`, what, store.Micros(end), days, store.Micros(tx.Now()))
	return n > 0, err
}

// cursor is how far a follower of the audit log is.
type cursor struct {
	seq, failures int64
	// next is when it may go on: after a failure, or when the lease of who is
	// at it ends.
	next time.Time
}

// selectCursor returns the cursor, and false where there is none yet.
func selectCursor(tx *store.Tx, name string, forUpdate bool) (cursor, bool, error) {
	words := ""
	if forUpdate {
		words = tx.ForUpdate()
	}
	c, err := store.One(tx, func(r store.Row) (cursor, error) {
		var c cursor
		var next int64
		err := r.Scan(&c.seq, &c.failures, &next)
		c.next = store.FromMicros(next)
		return c, err
	}, `SELECT seq, failures, next_try FROM notify_cursor WHERE name = $1`+words, name)
	if fault.Is(err, fault.KindNotFound) {
		return cursor{}, false, nil
	}
	return c, err == nil, err
}

// beginCursor makes the cursor, unless another node did.
func beginCursor(tx *store.Tx, name string, seq int64) error {
	_, err := tx.Exec(`INSERT INTO notify_cursor (name, seq, failures, next_try) VALUES ($1, $2, 0, 0) ON CONFLICT (name) DO NOTHING`, name, seq)
	return err
}

func updateCursor(tx *store.Tx, name string, c cursor) error {
	_, err := tx.Exec(`UPDATE notify_cursor SET seq = $2, failures = $3, next_try = $4 WHERE name = $1`, name, c.seq, c.failures, store.Micros(c.next))
	return err
}
