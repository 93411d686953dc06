package token

import (
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

// row is a row of mail_token. Its times are by the clock of the database.
type row struct {
	profileID               string
	sealed                  []byte
	version                 int64
	expires, got, refreshed time.Time
	scopes, who, tenant     string
	signedInAt              time.Time
	signedInBy              string
	lease                   string
	leaseUntil, retryAt     time.Time
	failures                int64
	failure                 string
}

const columns = `profile_id, sealed, version, expires_at, got_at, refresh_at, scopes, who, tenant, signed_in_at, signed_in_by,
	lease, lease_until, retry_at, failures, failure`

func scanRow(s store.Row) (r row, err error) {
	var expires, got, refreshed, signedIn, leaseUntil, retry int64
	err = s.Scan(&r.profileID, &r.sealed, &r.version, &expires, &got, &refreshed, &r.scopes, &r.who, &r.tenant, &signedIn, &r.signedInBy,
		&r.lease, &leaseUntil, &retry, &r.failures, &r.failure)
	r.expires, r.got, r.refreshed = store.FromMicros(expires), store.FromMicros(got), store.FromMicros(refreshed)
	r.signedInAt, r.leaseUntil, r.retryAt = store.FromMicros(signedIn), store.FromMicros(leaseUntil), store.FromMicros(retry)
	return r, err
}

// selectRow returns a profile's row; words end the statement.
func selectRow(tx *store.Tx, profileID, words string) (row, bool, error) {
	r, err := store.One(tx, scanRow, `SELECT `+columns+` FROM mail_token WHERE profile_id = $1`+words, profileID)
	if fault.Is(err, fault.KindNotFound) {
		return row{}, false, nil
	}
	return r, err == nil, err
}

// insertRow stores a row unless another node has stored one meanwhile.
func insertRow(tx *store.Tx, r row) error {
	_, err := tx.Exec(`INSERT INTO mail_token (`+columns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT (profile_id) DO NOTHING`, r.values()...)
	return err
}

func updateRow(tx *store.Tx, r row) error {
	_, err := tx.Exec(`UPDATE mail_token SET sealed = $2, version = $3, expires_at = $4, got_at = $5, refresh_at = $6, scopes = $7, who = $8,
		tenant = $9, signed_in_at = $10, signed_in_by = $11, lease = $12, lease_until = $13, retry_at = $14, failures = $15, failure = $16
		WHERE profile_id = $1`, r.values()...)
	return err
}

func (r row) values() []any {
	return []any{
		r.profileID, r.sealed, r.version, store.Micros(r.expires), store.Micros(r.got), store.Micros(r.refreshed), r.scopes, r.who, r.tenant,
		store.Micros(r.signedInAt), r.signedInBy, r.lease, store.Micros(r.leaseUntil), store.Micros(r.retryAt), r.failures, r.failure,
	}
}

func deleteRow(tx *store.Tx, profileID string) error {
	_, err := tx.Exec(`DELETE FROM mail_token WHERE profile_id = $1`, profileID)
	return err
}
