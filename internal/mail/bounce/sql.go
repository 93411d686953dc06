package bounce

import (
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/store"
)

// stored are the settings with what is kept beside them.
type stored struct {
	Settings
	id     string
	sealed []byte
	status Status
	// validity and cursor are how far the folder was read.
	validity, cursor uint32
	lease            string
	leaseUntil       time.Time
}

const settingColumns = `id, envelope, address, ask, reads, host, port, security, auth, username, account_id, folder, handled, move_to, sealed,
	password_set_at, revision, changed_at, changed_by, state, reason, advice, reply, since, failures, next_at, read_at, validity, cursor_uid,
	lease, lease_until`

func scanSettings(r store.Row) (stored, error) {
	var s stored
	var password, changed, since, next, read, validity, cursor, until int64
	err := r.Scan(&s.id, &s.Envelope, &s.Address, &s.Ask, &s.Reads, &s.Host, &s.Port, &s.Security, &s.Auth, &s.Username, &s.AccountID, &s.Folder,
		&s.Handled, &s.MoveTo, &s.sealed, &password, &s.Revision, &changed, &s.ChangedBy, &s.status.State, &s.status.Reason, &s.status.Advice,
		&s.status.Said, &since, &s.status.Failures, &next, &read, &validity, &cursor, &s.lease, &until)
	s.PasswordSetAt, s.ChangedAt = store.FromMicros(password), store.FromMicros(changed)
	s.status.Since, s.status.Next, s.status.ReadAt = store.FromMicros(since), store.FromMicros(next), store.FromMicros(read)
	s.validity, s.cursor, s.leaseUntil = uint32(validity), uint32(cursor), store.FromMicros(until)
	return s, err
}

// selectSettings returns what is stored; without anything, the usual and false.
func selectSettings(tx *store.Tx, words string) (stored, bool, error) {
	s, err := store.One(tx, scanSettings, `SELECT `+settingColumns+` FROM bounce_setting WHERE slot = 'active'`+words)
	if fault.Is(err, fault.KindNotFound) {
		return stored{Settings: Usual()}, false, nil
	}
	return s, err == nil, err
}

func upsertSettings(tx *store.Tx, s stored) error {
	_, err := tx.Exec(`INSERT INTO bounce_setting (slot, `+settingColumns+`)
		VALUES ('active', $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25,
			$26, $27, $28, $29, $30, $31)
		ON CONFLICT (slot) DO UPDATE SET envelope = excluded.envelope, address = excluded.address, ask = excluded.ask, reads = excluded.reads,
			host = excluded.host, port = excluded.port, security = excluded.security, auth = excluded.auth, username = excluded.username,
			account_id = excluded.account_id, folder = excluded.folder, handled = excluded.handled, move_to = excluded.move_to,
			sealed = excluded.sealed, password_set_at = excluded.password_set_at, revision = excluded.revision,
			changed_at = excluded.changed_at, changed_by = excluded.changed_by, state = excluded.state, reason = excluded.reason,
			advice = excluded.advice, reply = excluded.reply, since = excluded.since, failures = excluded.failures, next_at = excluded.next_at,
			read_at = excluded.read_at, validity = excluded.validity, cursor_uid = excluded.cursor_uid, lease = excluded.lease,
			lease_until = excluded.lease_until`,
		s.id, string(s.Envelope), s.Address, s.Ask, s.Reads, s.Host, s.Port, string(s.Security), string(s.Auth), s.Username, s.AccountID, s.Folder,
		string(s.Handled), s.MoveTo, append([]byte{}, s.sealed...), store.Micros(s.PasswordSetAt), s.Revision, store.Micros(s.ChangedAt), s.ChangedBy,
		string(s.status.State), s.status.Reason, s.status.Advice, s.status.Said, store.Micros(s.status.Since), s.status.Failures,
		store.Micros(s.status.Next), store.Micros(s.status.ReadAt), int64(s.validity), int64(s.cursor), s.lease, store.Micros(s.leaseUntil))
	return err
}

// takeLease takes or keeps the right to read, where reading is due, and reports
// whether it could.
func takeLease(tx *store.Tx, holder string, until time.Time) (bool, error) {
	n, err := tx.Exec(`UPDATE bounce_setting SET lease = $1, lease_until = $2 WHERE slot = 'active' AND (lease_until <= $3 OR lease = $1) AND reads AND next_at <= $3`,
		holder, store.Micros(until), store.Micros(tx.Now()))
	return n > 0, err
}

// advance writes how far the folder was read, as long as the lease and the
// settings are those that the reader began with.
func advance(tx *store.Tx, s stored, until time.Time) (bool, error) {
	n, err := tx.Exec(`UPDATE bounce_setting SET validity = $1, cursor_uid = $2, lease_until = $3 WHERE slot = 'active' AND lease = $4 AND revision = $5`,
		int64(s.validity), int64(s.cursor), store.Micros(until), s.lease, s.Revision)
	return n > 0, err
}

// writeStatus writes how reading went and gives the lease back.
func writeStatus(tx *store.Tx, s stored) (bool, error) {
	n, err := tx.Exec(`UPDATE bounce_setting SET state = $1, reason = $2, advice = $3, reply = $4, since = $5, failures = $6, next_at = $7,
			read_at = $8, lease = '', lease_until = 0
		WHERE slot = 'active' AND lease = $9 AND revision = $10`,
		string(s.status.State), s.status.Reason, s.status.Advice, s.status.Said, store.Micros(s.status.Since), s.status.Failures,
		store.Micros(s.status.Next), store.Micros(s.status.ReadAt), s.lease, s.Revision)
	return n > 0, err
}

// dueNow lets the mailbox be read at once.
func dueNow(tx *store.Tx) (bool, error) {
	n, err := tx.Exec(`UPDATE bounce_setting SET next_at = 0 WHERE slot = 'active' AND reads`)
	return n > 0, err
}

func selectAnchors(tx *store.Tx) ([]trust.Anchor, error) {
	return store.All(tx, func(r store.Row) (trust.Anchor, error) {
		var a trust.Anchor
		var at int64
		err := r.Scan(&a.DER, &a.Mode, &a.AddedBy, &at)
		a.AddedAt = store.FromMicros(at)
		return a, err
	}, `SELECT der, mode, added_by, added_at FROM bounce_anchor ORDER BY added_at, fingerprint`)
}

func replaceAnchors(tx *store.Tx, anchors []trust.Anchor) error {
	if _, err := tx.Exec(`DELETE FROM bounce_anchor`); err != nil {
		return err
	}
	for _, a := range anchors {
		_, err := tx.Exec(`INSERT INTO bounce_anchor (fingerprint, mode, der, added_by, added_at) VALUES ($1, $2, $3, $4, $5)`,
			trust.Fingerprint(a.DER), string(a.Mode), a.DER, a.AddedBy, store.Micros(a.AddedAt))
		if err != nil {
			return err
		}
	}
	return nil
}

// noteHandled notes a message that is to be moved or deleted.
func noteHandled(tx *store.Tx, validity, uid uint32) error {
	_, err := tx.Exec(`INSERT INTO bounce_handled (validity, uid) VALUES ($1, $2) ON CONFLICT DO NOTHING`, int64(validity), int64(uid))
	return err
}

// handledUIDs returns up to n messages that are to be moved or deleted.
func handledUIDs(tx *store.Tx, validity uint32, n int) ([]uint32, error) {
	return store.All(tx, func(r store.Row) (uint32, error) {
		var uid int64
		err := r.Scan(&uid)
		return uint32(uid), err
	}, `SELECT uid FROM bounce_handled WHERE validity = $1 ORDER BY uid LIMIT $2`, int64(validity), n)
}

func dropHandled(tx *store.Tx, validity, uid uint32) error {
	_, err := tx.Exec(`DELETE FROM bounce_handled WHERE validity = $1 AND uid = $2`, int64(validity), int64(uid))
	return err
}

func forgetHandled(tx *store.Tx) error {
	_, err := tx.Exec(`DELETE FROM bounce_handled`)
	return err
}

func addCount(tx *store.Tx, kind string) error {
	_, err := tx.Exec(`INSERT INTO bounce_count (kind, n) VALUES ($1, 1) ON CONFLICT (kind) DO UPDATE SET n = bounce_count.n + 1`, kind)
	return err
}

func selectCounts(tx *store.Tx) (map[string]int64, error) {
	counts := map[string]int64{}
	err := tx.Each(func(r store.Row) error {
		var kind string
		var n int64
		if err := r.Scan(&kind, &n); err != nil {
			return err
		}
		counts[kind] = n
		return nil
	}, `SELECT kind, n FROM bounce_count`)
	return counts, err
}

const markColumns = `address, since, last_at, times, origin, status, reply, letter_id, user_id, cleared_at, cleared_by`

func scanMark(r store.Row) (Mark, error) {
	var m Mark
	var since, last, cleared int64
	err := r.Scan(&m.Address, &since, &last, &m.Times, &m.Origin, &m.Status, &m.Said, &m.LetterID, &m.UserID, &cleared, &m.clearedBy)
	m.Since, m.Last, m.cleared = store.FromMicros(since), store.FromMicros(last), store.FromMicros(cleared)
	return m, err
}

func selectMark(tx *store.Tx, address, words string) (Mark, bool, error) {
	m, err := store.One(tx, scanMark, `SELECT `+markColumns+` FROM bounce_mark WHERE address = $1`+words, address)
	if fault.Is(err, fault.KindNotFound) {
		return Mark{}, false, nil
	}
	return m, err == nil, err
}

func upsertMark(tx *store.Tx, m Mark) error {
	_, err := tx.Exec(`INSERT INTO bounce_mark (`+markColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (address) DO UPDATE SET since = excluded.since, last_at = excluded.last_at, times = excluded.times, origin = excluded.origin,
			status = excluded.status, reply = excluded.reply, letter_id = excluded.letter_id, user_id = excluded.user_id,
			cleared_at = excluded.cleared_at, cleared_by = excluded.cleared_by`,
		m.Address, store.Micros(m.Since), store.Micros(m.Last), m.Times, string(m.Origin), m.Status, m.Said, m.LetterID, m.UserID,
		store.Micros(m.cleared), m.clearedBy)
	return err
}

func standingMarks(tx *store.Tx, n int) ([]Mark, error) {
	return store.All(tx, scanMark, `SELECT `+markColumns+` FROM bounce_mark WHERE since > 0 ORDER BY last_at DESC, address LIMIT $1`, n)
}

func countStanding(tx *store.Tx) (int, error) {
	return store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) }, `SELECT COUNT(*) FROM bounce_mark WHERE since > 0`)
}

func countTests(tx *store.Tx, actorID string, since time.Time) (n int64, err error) {
	return store.One(tx, func(r store.Row) (n int64, err error) { return n, r.Scan(&n) },
		`SELECT COUNT(*) FROM bounce_test WHERE actor_id = $1 AND at > $2`, actorID, store.Micros(since))
}

func insertTest(tx *store.Tx, actorID string, forget time.Time) error {
	if _, err := tx.Exec(`DELETE FROM bounce_test WHERE at <= $1`, store.Micros(forget)); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO bounce_test (id, actor_id, at) VALUES ($1, $2, $3)`, store.NewID(), actorID, store.Micros(tx.Now()))
	return err
}
