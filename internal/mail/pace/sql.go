package pace

import (
	"time"

	"github.com/sealpost/sealpost/internal/store"
)

// row is where a profile's pace stands, in microseconds, and when somebody was
// told last that a day is used up.
type row struct{ next, rest, told int64 }

// lockRow returns where the pace stands, and locks that, so that those who take
// stand in a row.
func lockRow(tx *store.Tx, profileID string) (row, error) {
	_, err := tx.Exec(`INSERT INTO mail_pace (profile_id, next_at, rest_until, told_at) VALUES ($1, 0, 0, 0) ON CONFLICT DO NOTHING`, profileID)
	if err != nil {
		return row{}, err
	}
	return store.One(tx, func(s store.Row) (r row, err error) { return r, s.Scan(&r.next, &r.rest, &r.told) },
		`SELECT next_at, rest_until, told_at FROM mail_pace WHERE profile_id = $1`+tx.ForUpdate(), profileID)
}

func updateNext(tx *store.Tx, profileID string, next int64) error {
	_, err := tx.Exec(`UPDATE mail_pace SET next_at = $1 WHERE profile_id = $2`, next, profileID)
	return err
}

func updateRest(tx *store.Tx, profileID string, until int64) error {
	_, err := tx.Exec(`UPDATE mail_pace SET rest_until = $1 WHERE profile_id = $2`, until, profileID)
	return err
}

func updateTold(tx *store.Tx, profileID string, at int64) error {
	_, err := tx.Exec(`UPDATE mail_pace SET told_at = $1 WHERE profile_id = $2`, at, profileID)
	return err
}

// swapNext puts to in the place of from, if that still stands there.
func swapNext(tx *store.Tx, profileID string, from, to int64) error {
	_, err := tx.Exec(`UPDATE mail_pace SET next_at = $1 WHERE profile_id = $2 AND next_at = $3`, to, profileID, from)
	return err
}

// addSent counts n recipients in an hour. The first of an hour throws out what
// no day needs any more.
func addSent(tx *store.Tx, profileID string, hour, n int64) error {
	rows, err := tx.Exec(`UPDATE mail_sent SET recipients = recipients + $1 WHERE profile_id = $2 AND hour = $3`, n, profileID, hour)
	if err != nil || rows > 0 {
		return err
	}
	_, err = tx.Exec(`INSERT INTO mail_sent (profile_id, hour, recipients) VALUES ($1, $2, $3)
		ON CONFLICT (profile_id, hour) DO UPDATE SET recipients = mail_sent.recipients + excluded.recipients`, profileID, hour, n)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`DELETE FROM mail_sent WHERE hour < $1 OR hour > $2`, hour-2*day, hour+day)
	return err
}

// takeSent takes n recipients out of the count of an hour.
func takeSent(tx *store.Tx, profileID string, hour, n int64) error {
	_, err := tx.Exec(`UPDATE mail_sent SET recipients = recipients - $1 WHERE profile_id = $2 AND hour = $3`, n, profileID, hour)
	return err
}

// selectSent returns what was sent in the day that ends with an hour, the oldest
// first. What a clock that was wrong wrote into the future is no part of it.
func selectSent(tx *store.Tx, profileID string, hour int64) ([]hourly, error) {
	return store.All(tx, func(r store.Row) (h hourly, err error) { return h, r.Scan(&h.hour, &h.recipients) },
		`SELECT hour, recipients FROM mail_sent WHERE profile_id = $1 AND hour BETWEEN $2 AND $3 ORDER BY hour`, profileID, hour-day, hour)
}

// takeSlot takes a slot that nobody holds. Two who try at the same time meet at
// the row. A lease that ends later than any can was written before the clock was
// put back.
func takeSlot(tx *store.Tx, s Slot, d time.Duration) (bool, error) {
	now := tx.Now()
	until := store.Micros(now.Add(d))
	rows, err := tx.Exec(`UPDATE mail_slot SET holder = $1, until = $2 WHERE profile_id = $3 AND slot = $4 AND (until <= $5 OR until > $6)`,
		s.holder, until, s.profileID, s.number, store.Micros(now), store.Micros(now.Add(2*d)))
	if err != nil || rows > 0 {
		return rows > 0, err
	}
	rows, err = tx.Exec(`INSERT INTO mail_slot (profile_id, slot, holder, until) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		s.profileID, s.number, s.holder, until)
	return rows > 0, err
}

func renewSlot(tx *store.Tx, s Slot, d time.Duration) (bool, error) {
	rows, err := tx.Exec(`UPDATE mail_slot SET until = $1 WHERE profile_id = $2 AND slot = $3 AND holder = $4`,
		store.Micros(tx.Now().Add(d)), s.profileID, s.number, s.holder)
	return rows > 0, err
}

func countSlots(tx *store.Tx, profileID string) (int, error) {
	return store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) },
		`SELECT COUNT(*) FROM mail_slot WHERE profile_id = $1 AND until > $2`, profileID, store.Micros(tx.Now()))
}

func deleteSlot(tx *store.Tx, s Slot) error {
	_, err := tx.Exec(`DELETE FROM mail_slot WHERE profile_id = $1 AND slot = $2 AND holder = $3`, s.profileID, s.number, s.holder)
	return err
}

func deleteSlots(tx *store.Tx) error {
	_, err := tx.Exec(`DELETE FROM mail_slot`)
	return err
}

func deleteAll(tx *store.Tx, profileID string) error {
	for _, statement := range []string{
		`DELETE FROM mail_pace WHERE profile_id = $1`, `DELETE FROM mail_sent WHERE profile_id = $1`, `DELETE FROM mail_slot WHERE profile_id = $1`,
	} {
		if _, err := tx.Exec(statement, profileID); err != nil {
			return err
		}
	}
	return nil
}
