package consent

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/sealpost/sealpost/internal/mail/profile"
	"github.com/sealpost/sealpost/internal/store"
)

// hashed is how a state lies in the database.
func hashed(state string) string {
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:])
}

const columns = `id, slot, session_id, user_id, stage, sealed, expires_at`

func scan(r store.Row) (Waiting, error) {
	var w Waiting
	var expires int64
	err := r.Scan(&w.ID, &w.Slot, &w.Session, &w.User, &w.Stage, &w.Sealed, &expires)
	w.Expires = store.FromMicros(expires)
	return w, err
}

// Find returns the sign-in with an id.
func Find(tx *store.Tx, id string) (Waiting, error) {
	return store.One(tx, scan, `SELECT `+columns+` FROM mail_consent WHERE id = $1`, id)
}

// Lock returns the sign-in of a state and keeps others from it until tx
// ends.
func Lock(tx *store.Tx, state string) (Waiting, error) {
	return store.One(tx, scan, `SELECT `+columns+` FROM mail_consent WHERE state_hash = $1`+tx.ForUpdate(), hashed(state))
}

// Insert keeps a new sign-in, to be found by its state.
func Insert(tx *store.Tx, w Waiting, state string) error {
	_, err := tx.Exec(`INSERT INTO mail_consent (id, slot, state_hash, session_id, user_id, sealed, stage, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		w.ID, string(w.Slot), hashed(state), w.Session, w.User, w.Sealed, string(w.Stage), store.Micros(w.Expires))
	return err
}

// Update moves a sign-in on. What it kept sealed is replaced.
func Update(tx *store.Tx, w Waiting) error {
	_, err := tx.Exec(`UPDATE mail_consent SET stage = $2, sealed = $3, expires_at = $4 WHERE id = $1`, w.ID, string(w.Stage), append([]byte{}, w.Sealed...), store.Micros(w.Expires))
	return err
}

// Sweep deletes what is over.
func Sweep(tx *store.Tx) error {
	_, err := tx.Exec(`DELETE FROM mail_consent WHERE expires_at <= $1`, store.Micros(tx.Now()))
	return err
}

// Trim deletes what is over, and of a user's all but the newest: ids sort by when
// they were made.
func Trim(tx *store.Tx, userID string) error {
	if err := Sweep(tx); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM mail_consent WHERE user_id = $1 AND id NOT IN
		(SELECT id FROM mail_consent WHERE user_id = $1 ORDER BY id DESC LIMIT $2)`, userID, limit)
	return err
}

// SlotOf returns the server that the sign-in of a state is for.
func SlotOf(tx *store.Tx, state string) (profile.Slot, error) {
	return store.One(tx, func(r store.Row) (s profile.Slot, err error) { return s, r.Scan(&s) },
		`SELECT slot FROM mail_consent WHERE state_hash = $1`, hashed(state))
}

// Forget deletes all sign-ins for a server: the settings that they are for are
// gone.
func Forget(tx *store.Tx, slot profile.Slot) error {
	_, err := tx.Exec(`DELETE FROM mail_consent WHERE slot = $1`, string(slot))
	return err
}
