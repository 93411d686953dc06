package mail

import (
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/store"
)

// stored is a profile with what it keeps sealed: in mail_oauth for AuthOAuth,
// else in mail_profile.
type stored struct {
	Profile
	sealed []byte
	// problemSecret is the version of the secret that met the problem.
	problemSecret int64
}

const profileColumns = `id, kind, host, port, security, sender_address, sender_name, reply_to, auth, username, account_id, mechanism,
	local_name, connect_ms, greeting_ms, command_ms, final_ms, clear_confirmed, sealed, password_set_at, revision, changed_at, changed_by,
	tested_at, server_cert_ends, state, problem, reason, advice, command, reply, since, probes, next_probe_at, problem_secret, last_accepted_at,
	link, remedy, connections, per_minute, per_day`

func scanProfile(r store.Row) (stored, error) {
	var s stored
	var connect, greeting, command, final, passwordSet, changed, tested, certEnds, since, probe, accepted int64
	err := r.Scan(&s.ID, &s.Kind, &s.Host, &s.Port, &s.Security, &s.SenderAddress, &s.SenderName, &s.ReplyTo, &s.Auth, &s.Username,
		&s.AccountID, &s.Mechanism, &s.LocalName, &connect, &greeting, &command, &final, &s.ClearConfirmed, &s.sealed, &passwordSet,
		&s.Revision, &changed, &s.ChangedBy, &tested, &certEnds, &s.State, &s.Problem, &s.Reason, &s.Advice, &s.Command, &s.Reply,
		&since, &s.Probes, &probe, &s.problemSecret, &accepted, &s.Link, &s.Remedy, &s.Pace.Connections, &s.Pace.PerMinute, &s.Pace.PerDay)
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	s.Timeouts = smtp.Timeouts{Connect: ms(connect), Greeting: ms(greeting), Command: ms(command), Final: ms(final)}
	s.PasswordSetAt, s.ChangedAt, s.TestedAt = store.FromMicros(passwordSet), store.FromMicros(changed), store.FromMicros(tested)
	s.ServerCertificateEnds, s.Since, s.NextProbe = store.FromMicros(certEnds), store.FromMicros(since), store.FromMicros(probe)
	s.LastAccepted = store.FromMicros(accepted)
	return s, err
}

func selectProfile(tx *store.Tx, forUpdate bool) (stored, bool, error) {
	words := ""
	if forUpdate {
		words = tx.ForUpdate()
	}
	return profileWith(tx, words)
}

// holdProfile keeps the profile from changing before tx ends.
func holdProfile(tx *store.Tx) (stored, bool, error) { return profileWith(tx, tx.ForShare()) }

func profileWith(tx *store.Tx, words string) (stored, bool, error) {
	s, err := store.One(tx, scanProfile, `SELECT `+profileColumns+` FROM mail_profile WHERE slot = 'active'`+words)
	if fault.Is(err, fault.KindNotFound) {
		return stored{}, false, nil
	}
	if err == nil && s.Auth == AuthOAuth {
		s.OAuth, s.sealed, err = selectOAuth(tx, s.ID)
	}
	return s, err == nil, err
}

func selectOAuth(tx *store.Tx, profileID string) (OAuth, []byte, error) {
	var sealed []byte
	o, err := store.One(tx, func(r store.Row) (OAuth, error) {
		var o OAuth
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
		return OAuth{}, nil, nil
	}
	return o, sealed, err
}

func replaceOAuth(tx *store.Tx, s stored) error {
	if _, err := tx.Exec(`DELETE FROM mail_oauth WHERE profile_id = $1`, s.ID); err != nil || s.Auth != AuthOAuth {
		return err
	}
	o := s.OAuth
	_, err := tx.Exec(`INSERT INTO mail_oauth (profile_id, provider, cloud, grant_type, tenant, client_id, client_auth, authorize_url, token_url,
			scopes, mailbox, redirect_path, via, graph_url, sealed, secret_set_at, secret_ends)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		s.ID, string(o.Provider), o.Cloud, string(o.Grant), o.Tenant, o.ClientID, string(o.ClientAuth), o.AuthorizeURL, o.TokenURL,
		o.Scopes, o.Mailbox, o.RedirectPath, string(o.Via), o.GraphURL, append([]byte{}, s.sealed...), store.Micros(o.SecretSetAt), store.Micros(o.SecretEnds))
	return err
}

func upsertProfile(tx *store.Tx, s stored) error {
	sealed := s.sealed
	if s.Auth == AuthOAuth {
		sealed = nil
	}
	_, err := tx.Exec(`INSERT INTO mail_profile (slot, `+profileColumns+`)
		VALUES ('active', $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25,
			$26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41)
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
			per_day = excluded.per_day`,
		s.ID, string(s.Kind), s.Host, s.Port, string(s.Security), s.SenderAddress, s.SenderName, s.ReplyTo, string(s.Auth), s.Username,
		s.AccountID, s.Mechanism, s.LocalName, s.Timeouts.Connect.Milliseconds(), s.Timeouts.Greeting.Milliseconds(),
		s.Timeouts.Command.Milliseconds(), s.Timeouts.Final.Milliseconds(), s.ClearConfirmed, sealed, store.Micros(s.PasswordSetAt),
		s.Revision, store.Micros(s.ChangedAt), s.ChangedBy, store.Micros(s.TestedAt), store.Micros(s.ServerCertificateEnds),
		string(s.State), s.Problem, s.Reason, s.Advice, s.Command, s.Reply, store.Micros(s.Since), s.Probes, store.Micros(s.NextProbe),
		s.problemSecret, store.Micros(s.LastAccepted), s.Link, string(s.Remedy), s.Pace.Connections, s.Pace.PerMinute, s.Pace.PerDay)
	return err
}

func deleteProfile(tx *store.Tx, id string) error {
	for _, statement := range []string{`DELETE FROM mail_anchor WHERE profile_id = $1`, `DELETE FROM mail_oauth WHERE profile_id = $1`} {
		if _, err := tx.Exec(statement, id); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`DELETE FROM mail_profile WHERE id = $1`, id)
	return err
}

// lastRevision returns the revision that the profile which was removed last had,
// and 0 where none was. The next one goes on from there, so that no form and no
// sign-in that was about one profile fits another.
func lastRevision(tx *store.Tx) (int64, error) {
	return store.One(tx, func(r store.Row) (n int64, err error) { return n, r.Scan(&n) }, `SELECT COALESCE(MAX(revision), 0) FROM mail_revision`)
}

func noteRevision(tx *store.Tx, revision int64) error {
	_, err := tx.Exec(`INSERT INTO mail_revision (slot, revision) VALUES ('active', $1)
		ON CONFLICT (slot) DO UPDATE SET revision = excluded.revision`, revision)
	return err
}

func selectAnchors(tx *store.Tx, profileID string) ([]trust.Anchor, error) {
	return store.All(tx, func(r store.Row) (trust.Anchor, error) {
		var a trust.Anchor
		var at int64
		err := r.Scan(&a.DER, &a.Mode, &a.AddedBy, &at)
		a.AddedAt = store.FromMicros(at)
		return a, err
	}, `SELECT der, mode, added_by, added_at FROM mail_anchor WHERE profile_id = $1 ORDER BY added_at, fingerprint`, profileID)
}

// replaceAnchors makes the stored set the given one.
func replaceAnchors(tx *store.Tx, profileID string, anchors []trust.Anchor) error {
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

// countTests returns how many tests an actor began since a time, and when the
// first of them was.
func countTests(tx *store.Tx, actorID string, since time.Time) (n int64, err error) {
	return store.One(tx, func(r store.Row) (n int64, err error) { return n, r.Scan(&n) },
		`SELECT COUNT(*) FROM mail_test WHERE actor_id = $1 AND at > $2`, actorID, store.Micros(since))
}

func insertTest(tx *store.Tx, actorID string, forget time.Time) error {
	if _, err := tx.Exec(`DELETE FROM mail_test WHERE at <= $1`, store.Micros(forget)); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO mail_test (id, actor_id, at) VALUES ($1, $2, $3)`, store.NewID(), actorID, store.Micros(tx.Now()))
	return err
}
