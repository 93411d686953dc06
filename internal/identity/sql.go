package identity

import (
	"fmt"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

const userColumns = `u.id, u.login, u.name, u.email, u.role, u.state, u.created_at, u.last_sign_in, u.password_at, u.revision,
	COALESCE((SELECT l.expires_at FROM identity_link l WHERE l.user_id = u.id AND l.purpose = 'invite'), 0)`

func scanUser(r store.Row) (User, error) {
	var u User
	var created, last, password, invite int64
	err := r.Scan(&u.ID, &u.Login, &u.Name, &u.Email, &u.Role, &u.State, &created, &last, &password, &u.Revision, &invite)
	u.CreatedAt, u.LastSignIn = store.FromMicros(created), store.FromMicros(last)
	u.PasswordAt, u.InviteExpires = store.FromMicros(password), store.FromMicros(invite)
	return u, err
}

func errNoUser() error { return fault.NotFound("There is no such user.") }

// userBy returns the user with one value in one column, which the program
// names; words end the statement.
func userBy(tx *store.Tx, column, value, words string) (User, error) {
	u, err := store.One(tx, scanUser, `SELECT `+userColumns+` FROM identity_user u WHERE u.`+column+` = $1`+words, value)
	if fault.Is(err, fault.KindNotFound) {
		return User{}, errNoUser()
	}
	return u, err
}

// userToReset returns, locked, who asks for a new password under a sign-in
// name or an e-mail address. A sign-in name may look like the address of
// somebody else: it comes first.
func userToReset(tx *store.Tx, who string) (User, error) {
	return store.One(tx, scanUser, `SELECT `+userColumns+` FROM identity_user u WHERE u.login = $1 OR u.email_key = $1
		ORDER BY CASE WHEN u.login = $1 THEN 0 ELSE 1 END LIMIT 1`+tx.ForUpdate(), who)
}

func countUsers(tx *store.Tx) (int, error) {
	return store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) }, `SELECT COUNT(*) FROM identity_user`)
}

func insertUser(tx *store.Tx, u User, sealed []byte) error {
	_, err := tx.Exec(`INSERT INTO identity_user
		(id, login, name, email, email_key, role, state, sealed_password, password_at, created_at, last_sign_in, revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 1)`,
		u.ID, u.Login, u.Name, u.Email, emailKey(u.Email), string(u.Role), string(u.State), sealed,
		store.Micros(u.PasswordAt), store.Micros(u.CreatedAt))
	return err
}

// updateUser writes what an edit may change, and counts the revision up.
func updateUser(tx *store.Tx, u User) error {
	_, err := tx.Exec(`UPDATE identity_user SET login = $2, name = $3, email = $4, email_key = $5, role = $6, state = $7,
		revision = revision + 1 WHERE id = $1`,
		u.ID, u.Login, u.Name, u.Email, emailKey(u.Email), string(u.Role), string(u.State))
	return err
}

func deleteUser(tx *store.Tx, id string) error {
	_, err := tx.Exec(`DELETE FROM identity_user WHERE id = $1`, id)
	return err
}

func sealedPassword(tx *store.Tx, id string) ([]byte, error) {
	return store.One(tx, func(r store.Row) (b []byte, err error) { return b, r.Scan(&b) },
		`SELECT sealed_password FROM identity_user WHERE id = $1`, id)
}

func setPassword(tx *store.Tx, id string, sealed []byte, at time.Time) error {
	_, err := tx.Exec(`UPDATE identity_user SET sealed_password = $2, password_at = $3 WHERE id = $1`, id, sealed, store.Micros(at))
	return err
}

func touchSignIn(tx *store.Tx, id string) error {
	_, err := tx.Exec(`UPDATE identity_user SET last_sign_in = $2 WHERE id = $1`, id, store.Micros(tx.Now()))
	return err
}

// otherPrivileged locks and counts the active Privileged Administrators other
// than the one named. All are locked, in one order, so that two of them cannot
// take each other's role at the same time.
func otherPrivileged(tx *store.Tx, id string) (int, error) {
	ids, err := store.All(tx, func(r store.Row) (s string, err error) { return s, r.Scan(&s) },
		`SELECT id FROM identity_user WHERE role = $1 AND state = 'active' ORDER BY id`+tx.ForUpdate(),
		string(actor.PrivilegedAdministrator))
	n := 0
	for _, one := range ids {
		if one != id {
			n++
		}
	}
	return n, err
}

// conditions collects the parts of a WHERE clause with their parameters.
type conditions struct {
	parts []string
	args  []any
}

func (c *conditions) add(format string, arg any) {
	c.args = append(c.args, arg)
	c.parts = append(c.parts, strings.ReplaceAll(format, "$?", fmt.Sprintf("$%d", len(c.args))))
}

func (c *conditions) text(tx *store.Tx, text string) {
	if text == "" {
		return
	}
	c.args = append(c.args, store.LikePattern(text))
	n := len(c.args)
	c.parts = append(c.parts, "("+tx.Like("u.login", n)+" OR "+tx.Like("u.name", n)+" OR "+tx.Like("u.email", n)+")")
}

func (c *conditions) where() string {
	if len(c.parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.parts, " AND ")
}

func listUsers(tx *store.Tx, f Filter) ([]User, error) {
	var c conditions
	c.text(tx, f.Text)
	if f.Role != "" {
		c.add("u.role = $?", string(f.Role))
	}
	if f.State != "" {
		c.add("u.state = $?", string(f.State))
	}
	if f.Cursor != "" {
		c.add("u.login > $?", f.Cursor)
	}
	return store.All(tx, scanUser, fmt.Sprintf(`SELECT %s FROM identity_user u%s ORDER BY u.login LIMIT %d`,
		userColumns, c.where(), f.Limit+1), c.args...)
}

// putLink makes hash the user's one link of a purpose. For a user that is not
// there it does nothing.
func putLink(tx *store.Tx, userID, purpose string, hash []byte, expires time.Time) error {
	_, err := tx.Exec(`INSERT INTO identity_link (user_id, purpose, hash, created_at, expires_at)
		SELECT id, $2, $3, $4, $5 FROM identity_user WHERE id = $1
		ON CONFLICT (user_id, purpose) DO UPDATE SET hash = excluded.hash, created_at = excluded.created_at, expires_at = excluded.expires_at`,
		userID, purpose, hash, store.Micros(tx.Now()), store.Micros(expires))
	return err
}

// linkUser returns whom a live link belongs to, or a fault of kind not found.
func linkUser(tx *store.Tx, purpose string, hash []byte, words string) (string, error) {
	return store.One(tx, func(r store.Row) (id string, err error) { return id, r.Scan(&id) },
		`SELECT user_id FROM identity_link WHERE hash = $1 AND purpose = $2 AND expires_at > $3`+words,
		hash, purpose, store.Micros(tx.Now()))
}

func deleteLinks(tx *store.Tx, userID string) error {
	_, err := tx.Exec(`DELETE FROM identity_link WHERE user_id = $1`, userID)
	return err
}

func putSetupLink(tx *store.Tx, hash []byte) error {
	_, err := tx.Exec(`INSERT INTO identity_setup_link (hash, created_at, expires_at) VALUES ($1, $2, $3)`,
		hash, store.Micros(tx.Now()), store.Micros(tx.Now().Add(SetupLife)))
	return err
}

// liveSetupLinks returns the hashes of live links to the set-up.
func liveSetupLinks(tx *store.Tx, words string) ([][]byte, error) {
	return store.All(tx, func(r store.Row) (b []byte, err error) { return b, r.Scan(&b) },
		`SELECT hash FROM identity_setup_link WHERE expires_at > $1 ORDER BY hash`+words, store.Micros(tx.Now()))
}

func deleteSetupLinks(tx *store.Tx) error {
	_, err := tx.Exec(`DELETE FROM identity_setup_link`)
	return err
}

type sessionRow struct {
	Session
	user User
}

const sessionColumns = `s.id, s.user_id, s.created_at, s.seen_at, s.expires_at, s.proved_at, s.from_addr, s.agent`

func scanSession(r store.Row, more ...any) (Session, error) {
	var s Session
	var created, seen, expires, proved int64
	dest := append([]any{&s.ID, &s.UserID, &created, &seen, &expires, &proved, &s.From, &s.agent}, more...)
	err := r.Scan(dest...)
	s.CreatedAt, s.SeenAt = store.FromMicros(created), store.FromMicros(seen)
	s.Expires, s.Proved = store.FromMicros(expires), store.FromMicros(proved)
	s.Name = DeviceName(s.agent)
	return s, err
}

func insertSession(tx *store.Tx, s Session, hash []byte) error {
	_, err := tx.Exec(`INSERT INTO identity_session (id, user_id, hash, created_at, seen_at, expires_at, proved_at, from_addr, agent)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		s.ID, s.UserID, hash, store.Micros(s.CreatedAt), store.Micros(s.SeenAt), store.Micros(s.Expires),
		store.Micros(s.Proved), s.From, s.agent)
	return err
}

// liveSession returns the session with this hash and its user, whatever the
// user's state.
func liveSession(tx *store.Tx, hash []byte, idle time.Duration) (sessionRow, error) {
	return store.One(tx, func(r store.Row) (row sessionRow, err error) {
		u := &row.user
		row.Session, err = scanSession(r, &u.ID, &u.Login, &u.Name, &u.Email, &u.Role, &u.State)
		return row, err
	}, `SELECT `+sessionColumns+`, u.id, u.login, u.name, u.email, u.role, u.state
		FROM identity_session s JOIN identity_user u ON u.id = s.user_id
		WHERE s.hash = $1 AND s.expires_at > $2 AND s.seen_at > $3`,
		hash, store.Micros(tx.Now()), store.Micros(tx.Now().Add(-idle)))
}

func listSessions(tx *store.Tx, userID string, idle time.Duration) ([]Session, error) {
	return store.All(tx, func(r store.Row) (Session, error) { return scanSession(r) },
		`SELECT `+sessionColumns+` FROM identity_session s
		WHERE s.user_id = $1 AND s.expires_at > $2 AND s.seen_at > $3 ORDER BY s.seen_at DESC, s.id`,
		userID, store.Micros(tx.Now()), store.Micros(tx.Now().Add(-idle)))
}

func touchSession(tx *store.Tx, id, from, agent string) error {
	_, err := tx.Exec(`UPDATE identity_session SET seen_at = $2, from_addr = $3, agent = $4 WHERE id = $1`,
		id, store.Micros(tx.Now()), from, agent)
	return err
}

func proveSession(tx *store.Tx, id string) (bool, error) {
	n, err := tx.Exec(`UPDATE identity_session SET proved_at = $2 WHERE id = $1`, id, store.Micros(tx.Now()))
	return n == 1, err
}

func deleteSession(tx *store.Tx, userID, id string) (bool, error) {
	n, err := tx.Exec(`DELETE FROM identity_session WHERE id = $1 AND user_id = $2`, id, userID)
	return n == 1, err
}

// deleteSessions ends the sessions of a user, all but one if keep names it.
func deleteSessions(tx *store.Tx, userID, keep string) (int64, error) {
	return tx.Exec(`DELETE FROM identity_session WHERE user_id = $1 AND id <> $2`, userID, keep)
}

func knowsDevice(tx *store.Tx, userID string, hash []byte) (bool, error) {
	n, err := store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) },
		`SELECT COUNT(*) FROM identity_device WHERE user_id = $1 AND hash = $2 AND seen_at > $3`,
		userID, hash, store.Micros(tx.Now().Add(-deviceLife)))
	return n > 0, err
}

func putDevice(tx *store.Tx, userID string, hash []byte) error {
	_, err := tx.Exec(`INSERT INTO identity_device (user_id, hash, seen_at) VALUES ($1, $2, $3)
		ON CONFLICT (user_id, hash) DO UPDATE SET seen_at = excluded.seen_at`, userID, hash, store.Micros(tx.Now()))
	return err
}

func deleteDevices(tx *store.Tx, userID string) error {
	_, err := tx.Exec(`DELETE FROM identity_device WHERE user_id = $1`, userID)
	return err
}

// attempt is a count of the limiter.
type attempt struct {
	key         []byte
	failures    int64
	lastAt      time.Time
	lockedUntil time.Time
}

// lockAttempt returns the count under key, locked for the rest of the
// transaction. The row is made if it is not there, so that there is one to
// lock.
func lockAttempt(tx *store.Tx, key []byte) (attempt, error) {
	a := attempt{key: key}
	if _, err := tx.Exec(`INSERT INTO identity_attempt (key, failures, last_at, locked_until) VALUES ($1, 0, $2, 0)
		ON CONFLICT (key) DO NOTHING`, key, store.Micros(tx.Now())); err != nil {
		return a, err
	}
	return store.One(tx, func(r store.Row) (attempt, error) {
		var last, locked int64
		err := r.Scan(&a.failures, &last, &locked)
		a.lastAt, a.lockedUntil = store.FromMicros(last), store.FromMicros(locked)
		return a, err
	}, `SELECT failures, last_at, locked_until FROM identity_attempt WHERE key = $1`+tx.ForUpdate(), key)
}

func saveAttempt(tx *store.Tx, a attempt) error {
	_, err := tx.Exec(`UPDATE identity_attempt SET failures = $2, last_at = $3, locked_until = $4 WHERE key = $1`,
		a.key, a.failures, store.Micros(a.lastAt), store.Micros(a.lockedUntil))
	return err
}

// sweep removes what has no effect any more.
func sweep(tx *store.Tx, idle time.Duration) error {
	now := tx.Now()
	if _, err := tx.Exec(`DELETE FROM identity_session WHERE expires_at <= $1 OR seen_at <= $2`,
		store.Micros(now), store.Micros(now.Add(-idle))); err != nil {
		return err
	}
	// An invitation that ran out stays for a while: the page shows that it
	// did.
	if _, err := tx.Exec(`DELETE FROM identity_link WHERE expires_at <= $1 AND purpose = 'reset'`, store.Micros(now)); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM identity_setup_link WHERE expires_at <= $1`, store.Micros(now)); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM identity_device WHERE seen_at <= $1`, store.Micros(now.Add(-deviceLife))); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM identity_attempt WHERE last_at <= $1 AND locked_until <= $2`,
		store.Micros(now.Add(-forgetAfter)), store.Micros(now))
	return err
}
