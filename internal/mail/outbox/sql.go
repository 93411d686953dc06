package outbox

import (
	"errors"
	"time"

	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// stored is a row of outbox_letter as delivery needs it.
type stored struct {
	id, messageID, kind string
	class               letter.Class
	to                  Recipient
	address             string
	subject             string
	sealed              []byte
	sender              string
	state               State
	maybeSent           bool
	attempt             int64
	merged              int64
	added, notBefore    time.Time
	expires             time.Time
	route               Slot
	trace               string
	tries, unbegun      int64
}

const storedColumns = `id, message_id, kind, class, user_id, to_address, to_name, subject, sealed, sender, state, maybe_sent,
	attempt, added_at, not_before, expires_at, merged, route, trace, tries, unbegun`

func scanStored(r store.Row) (stored, error) {
	var s stored
	var state, route string
	var class, added, notBefore, expires int64
	err := r.Scan(&s.id, &s.messageID, &s.kind, &class, &s.to.UserID, &s.to.Address, &s.to.Name, &s.subject, &s.sealed, &s.sender,
		&state, &s.maybeSent, &s.attempt, &added, &notBefore, &expires, &s.merged, &route, &s.trace, &s.tries, &s.unbegun)
	s.route = Slot(route)
	s.state, s.class = State(state), letter.Class(class)
	s.added, s.notBefore, s.expires = store.FromMicros(added), store.FromMicros(notBefore), store.FromMicros(expires)
	return s, err
}

// insertLetter adds a letter of a kind, to be tried for as long as was chosen for
// the kind, else for as long as is usual.
func insertLetter(tx *store.Tx, k letter.KindInfo, s stored) error {
	now := store.Micros(tx.Now())
	_, err := tx.Exec(`INSERT INTO outbox_letter (`+storedColumns+`, lease_until, changed_at, stage, code, enhanced, reply, advice, queue_id, server)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', 'queued', false, 0, $10, $11,
			CAST($11 AS BIGINT) + COALESCE((SELECT life FROM outbox_lifetime WHERE kind = $3 AND life BETWEEN $12 AND $13), CAST($14 AS BIGINT)), 0, $15, $16, 0, 0, 0, $10, '', 0, '', '', '', '', '')`,
		s.id, s.messageID, k.Key, int64(k.Class), s.to.UserID, s.address, s.to.Name, s.subject, s.sealed, now, store.Micros(s.notBefore),
		k.Shortest.Microseconds(), k.Longest.Microseconds(), k.Lifetime.Microseconds(), string(s.route), s.trace)
	return err
}

type recentLetter struct {
	id      string
	state   State
	attempt int64
	added   time.Time
}

func recentLetters(tx *store.Tx, address, kind string, since time.Time) ([]recentLetter, error) {
	return store.All(tx, func(r store.Row) (recentLetter, error) {
		var l recentLetter
		var state string
		var added int64
		err := r.Scan(&l.id, &state, &l.attempt, &added)
		l.state, l.added = State(state), store.FromMicros(added)
		return l, err
	}, `SELECT id, state, attempt, added_at FROM outbox_letter WHERE to_address = $1 AND kind = $2 AND added_at > $3 ORDER BY added_at`,
		address, kind, store.Micros(since))
}

// countMerged counts one more letter that another stands for, unless that has
// left meanwhile: its content is the same on all attempts.
func countMerged(tx *store.Tx, id string) (bool, error) {
	n, err := tx.Exec(`UPDATE outbox_letter SET merged = merged + 1, changed_at = $1 WHERE id = $2 AND state = 'queued' AND attempt = 0`,
		store.Micros(tx.Now()), id)
	return n > 0, err
}

func isSealed(err error) bool { return errors.Is(err, keyring.ErrSealed) }

func secretOf(s string) secret.Value { return secret.New(s) }
