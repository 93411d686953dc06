package record

import (
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/profile"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/store"
)

// Row is a profile with what it keeps sealed: in mail_oauth for
// profile.AuthOAuth, else in mail_profile.
type Row struct {
	profile.Profile
	Sealed []byte
	// ProblemSecret is the version of the secret that met the problem.
	ProblemSecret int64
}

const profileColumns = `slot, id, kind, host, port, security, sender_address, sender_name, reply_to, auth, username, account_id, mechanism,
	local_name, connect_ms, greeting_ms, command_ms, final_ms, clear_confirmed, sealed, password_set_at, revision, changed_at, changed_by,
	tested_at, server_cert_ends, state, problem, reason, advice, command, reply, since, probes, next_probe_at, problem_secret, last_accepted_at,
	link, remedy, connections, per_minute, per_day, require_tls`

func scan(r store.Row) (Row, error) {
	var s Row
	var connect, greeting, command, final, passwordSet, changed, tested, certEnds, since, probe, accepted int64
	err := r.Scan(&s.Slot, &s.ID, &s.Kind, &s.Host, &s.Port, &s.Security, &s.SenderAddress, &s.SenderName, &s.ReplyTo, &s.Auth, &s.Username,
		&s.AccountID, &s.Mechanism, &s.LocalName, &connect, &greeting, &command, &final, &s.ClearConfirmed, &s.Sealed, &passwordSet,
		&s.Revision, &changed, &s.ChangedBy, &tested, &certEnds, &s.State, &s.Problem, &s.Reason, &s.Advice, &s.Command, &s.Reply,
		&since, &s.Probes, &probe, &s.ProblemSecret, &accepted, &s.Link, &s.Remedy, &s.Pace.Connections, &s.Pace.PerMinute, &s.Pace.PerDay, &s.RequireTLS)
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	s.Timeouts = smtp.Timeouts{Connect: ms(connect), Greeting: ms(greeting), Command: ms(command), Final: ms(final)}
	s.PasswordSetAt, s.ChangedAt, s.TestedAt = store.FromMicros(passwordSet), store.FromMicros(changed), store.FromMicros(tested)
	s.ServerCertificateEnds, s.Since, s.NextProbe = store.FromMicros(certEnds), store.FromMicros(since), store.FromMicros(probe)
	s.LastAccepted = store.FromMicros(accepted)
	return s, err
}

// Find returns the profile of a slot, and false where there is none. Words end
// the statement: those of tx for a lock, or none.
func Find(tx *store.Tx, slot profile.Slot, words string) (Row, bool, error) {
	s, err := store.One(tx, scan, `SELECT `+profileColumns+` FROM mail_profile WHERE slot = $1`+words, string(slot))
	if fault.Is(err, fault.KindNotFound) {
		return Row{}, false, nil
	}
	if err == nil && s.Auth == profile.AuthOAuth {
		s.OAuth, s.Sealed, err = selectOAuth(tx, s.ID)
	}
	return s, err == nil, err
}

func selectOAuth(tx *store.Tx, profileID string) (profile.OAuth, []byte, error) {
	var sealed []byte
	o, err := store.One(tx, func(r store.Row) (profile.OAuth, error) {
		var o profile.OAuth
		var set, ends int64
		err := r.Scan(&o.Provider, &o.Cloud, &o.Grant, &o.Tenant, &o.ClientID, &o.ClientAuth, &o.AuthorizeURL, &o.TokenURL, &o.Scopes, &o.Mailbox,
			&o.RedirectPath, &o.Via, &o.GraphURL, &sealed, &set, &ends)
		o.SecretSetAt, o.SecretEnds = store.FromMicros(set), store.FromMicros(ends)
		return o, err
	}, `SELECT provider, cloud, grant_type, tenant, client_id, client_auth, authorize_url, token_url, scopes, mailbox, redirect_path, via,
			graph_url, sealed, secret_set_at, secret_ends
		FROM mail_oauth WHERE profile_id = $1`, profileID)
	if fault.Is(err, fault.KindNotFound) {
		// Half a profile opens nothing, and can be mended in the form.
		return profile.OAuth{}, nil, nil
	}
	return o, sealed, err
}

// WriteOAuth makes what is stored of tokens what s says, which is nothing where
// it signs in otherwise.
func WriteOAuth(tx *store.Tx, s Row) error {
	if _, err := tx.Exec(`DELETE FROM mail_oauth WHERE profile_id = $1`, s.ID); err != nil || s.Auth != profile.AuthOAuth {
		return err
	}
	o := s.OAuth
	_, err := tx.Exec(`INSERT INTO mail_oauth (profile_id, provider, cloud, grant_type, tenant, client_id, client_auth, authorize_url, token_url,
			scopes, mailbox, redirect_path, via, graph_url, sealed, secret_set_at, secret_ends)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		s.ID, string(o.Provider), o.Cloud, string(o.Grant), o.Tenant, o.ClientID, string(o.ClientAuth), o.AuthorizeURL, o.TokenURL,
		o.Scopes, o.Mailbox, o.RedirectPath, string(o.Via), o.GraphURL, append([]byte{}, s.Sealed...), store.Micros(o.SecretSetAt), store.Micros(o.SecretEnds))
	return err
}

// Write stores a profile, a new one or another state of it. A profile stays in
// its slot: see [Exchange].
func Write(tx *store.Tx, s Row) error {
	sealed := s.Sealed
	if s.Auth == profile.AuthOAuth {
		sealed = nil
	}
	_, err := tx.Exec(`INSERT INTO mail_profile (`+profileColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25,
			$26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43)
		ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, host = excluded.host, port = excluded.port, security = excluded.security,
			sender_address = excluded.sender_address, sender_name = excluded.sender_name, reply_to = excluded.reply_to,
			auth = excluded.auth, username = excluded.username, account_id = excluded.account_id, mechanism = excluded.mechanism,
			local_name = excluded.local_name, connect_ms = excluded.connect_ms, greeting_ms = excluded.greeting_ms,
			command_ms = excluded.command_ms, final_ms = excluded.final_ms, clear_confirmed = excluded.clear_confirmed,
			sealed = excluded.sealed, password_set_at = excluded.password_set_at, revision = excluded.revision,
			changed_at = excluded.changed_at, changed_by = excluded.changed_by, tested_at = excluded.tested_at,
			server_cert_ends = excluded.server_cert_ends, state = excluded.state, problem = excluded.problem, reason = excluded.reason,
			advice = excluded.advice, command = excluded.command, reply = excluded.reply, since = excluded.since, probes = excluded.probes,
			next_probe_at = excluded.next_probe_at, problem_secret = excluded.problem_secret, last_accepted_at = excluded.last_accepted_at,
			link = excluded.link, remedy = excluded.remedy, connections = excluded.connections, per_minute = excluded.per_minute,
			per_day = excluded.per_day, require_tls = excluded.require_tls`,
		string(s.Slot), s.ID, string(s.Kind), s.Host, s.Port, string(s.Security), s.SenderAddress, s.SenderName, s.ReplyTo, string(s.Auth), s.Username,
		s.AccountID, s.Mechanism, s.LocalName, s.Timeouts.Connect.Milliseconds(), s.Timeouts.Greeting.Milliseconds(),
		s.Timeouts.Command.Milliseconds(), s.Timeouts.Final.Milliseconds(), s.ClearConfirmed, sealed, store.Micros(s.PasswordSetAt),
		s.Revision, store.Micros(s.ChangedAt), s.ChangedBy, store.Micros(s.TestedAt), store.Micros(s.ServerCertificateEnds),
		string(s.State), s.Problem, s.Reason, s.Advice, s.Command, s.Reply, store.Micros(s.Since), s.Probes, store.Micros(s.NextProbe),
		s.ProblemSecret, store.Micros(s.LastAccepted), s.Link, string(s.Remedy), s.Pace.Connections, s.Pace.PerMinute, s.Pace.PerDay, s.RequireTLS)
	return err
}

// Delete deletes a profile with its certificates and its secret.
func Delete(tx *store.Tx, id string) error {
	for _, statement := range []string{`DELETE FROM mail_anchor WHERE profile_id = $1`, `DELETE FROM mail_oauth WHERE profile_id = $1`} {
		if _, err := tx.Exec(statement, id); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`DELETE FROM mail_profile WHERE id = $1`, id)
	return err
}

// LastRevision returns the revision that the profile which was removed last had,
// and 0 where none was. The next one goes on from there, so that no form and no
// sign-in that was about one profile fits another.
func LastRevision(tx *store.Tx) (int64, error) {
	return store.One(tx, func(r store.Row) (n int64, err error) { return n, r.Scan(&n) }, `SELECT COALESCE(MAX(revision), 0) FROM mail_revision`)
}

// NoteRevision keeps the revision of a profile of a slot that is removed.
func NoteRevision(tx *store.Tx, slot profile.Slot, revision int64) error {
	_, err := tx.Exec(`INSERT INTO mail_revision (slot, revision) VALUES ($1, $2)
		ON CONFLICT (slot) DO UPDATE SET revision = excluded.revision`, string(slot), revision)
	return err
}

// Exchange lets the two profiles change their slots, and gives both revisions
// that neither had: no form and no connection that was about one fits the other.
func Exchange(tx *store.Tx) error {
	for _, statement := range []string{
		`UPDATE mail_profile SET slot = 'between' WHERE slot = 'main'`,
		`UPDATE mail_profile SET slot = 'main' WHERE slot = 'second'`,
		`UPDATE mail_profile SET slot = 'second' WHERE slot = 'between'`,
		`UPDATE mail_profile SET revision = (SELECT MAX(revision) FROM mail_profile) + CASE slot WHEN 'main' THEN 1 ELSE 2 END`,
	} {
		if _, err := tx.Exec(statement); err != nil {
			return err
		}
	}
	return nil
}

// Anchors returns the certificates that are trusted for a profile.
func Anchors(tx *store.Tx, profileID string) ([]trust.Anchor, error) {
	return store.All(tx, func(r store.Row) (trust.Anchor, error) {
		var a trust.Anchor
		var at int64
		err := r.Scan(&a.DER, &a.Mode, &a.AddedBy, &at)
		a.AddedAt = store.FromMicros(at)
		return a, err
	}, `SELECT der, mode, added_by, added_at FROM mail_anchor WHERE profile_id = $1 ORDER BY added_at, fingerprint`, profileID)
}

// WriteAnchors makes the stored set the given one.
func WriteAnchors(tx *store.Tx, profileID string, anchors []trust.Anchor) error {
	if _, err := tx.Exec(`DELETE FROM mail_anchor WHERE profile_id = $1`, profileID); err != nil {
		return err
	}
	for _, a := range anchors {
		_, err := tx.Exec(`INSERT INTO mail_anchor (profile_id, fingerprint, mode, der, added_by, added_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			profileID, trust.Fingerprint(a.DER), string(a.Mode), a.DER, a.AddedBy, store.Micros(a.AddedAt))
		if err != nil {
			return err
		}
	}
	return nil
}

// CountTests returns how many tests an actor began since a time, and when the
// first of them was.
func CountTests(tx *store.Tx, actorID string, since time.Time) (n int64, err error) {
	return store.One(tx, func(r store.Row) (n int64, err error) { return n, r.Scan(&n) },
		`SELECT COUNT(*) FROM mail_test WHERE actor_id = $1 AND at > $2`, actorID, store.Micros(since))
}

// AddTest notes a test, and forgets those from before a time.
func AddTest(tx *store.Tx, actorID string, forget time.Time) error {
	if _, err := tx.Exec(`DELETE FROM mail_test WHERE at <= $1`, store.Micros(forget)); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO mail_test (id, actor_id, at) VALUES ($1, $2, $3)`, store.NewID(), actorID, store.Micros(tx.Now()))
	return err
}
