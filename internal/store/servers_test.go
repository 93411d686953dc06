package store_test

import (
	"slices"
	"testing"

	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// TestTheMailServerSurvivesTheSecondOne: the table of profiles is made anew on
// SQLite, where dropping one deletes what refers to it.
func TestTheMailServerSurvivesTheSecondOne(t *testing.T) {
	t.Parallel()
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			c := store.Config{Path: t.TempDir() + "/sealpost.db"}
			if engine == store.Postgres {
				c = store.Config{URL: secret.New(storetest.EmptyPostgresURL(t))}
			}
			err := store.OldDatabase(t.Context(), c, 10,
				`INSERT INTO mail_profile (id, slot, kind, host, port, security, sender_address, sender_name, reply_to, auth, username, account_id,
				mechanism, local_name, connect_ms, greeting_ms, command_ms, final_ms, clear_confirmed, sealed, password_set_at, revision, changed_at, changed_by,
				tested_at, server_cert_ends, state, problem, reason, advice, command, reply, since, probes, next_probe_at, problem_secret, last_accepted_at,
				remedy, link, connections, per_minute, per_day)
				VALUES ('p', 'active', 'microsoft', 'h', 587, 'starttls', 'a@b', 'n', 'r', 'oauth', 'u', 'acc', 'm', 'l', 1, 2, 3, 4, true, 'sealed', 5, 6, 7, 'c',
				8, 9, 'paused', 'pr', 're', 'ad', 'co', 'rep', 10, 11, 12, 13, 14, 'sign_in', 'li', 15, 16, 17)`,
				`INSERT INTO mail_anchor (profile_id, fingerprint, mode, der, added_by, added_at) VALUES ('p', 'f', 'pin', 'der', 'x', 1)`,
				`INSERT INTO mail_oauth (profile_id, provider, cloud, grant_type, tenant, client_id, client_auth, authorize_url, token_url, scopes, mailbox,
				redirect_path, via, graph_url, sealed, secret_set_at, secret_ends)
				VALUES ('p', 'microsoft', 'global', 'consent', 't', 'ci', 'secret', 'au', 'tu', 's', 'mb', 'rp', 'graph', 'gu', 'client', 1, 2)`,
				`INSERT INTO mail_revision (slot, revision) VALUES ('active', 4)`,
				`INSERT INTO mail_consent (id, state_hash, session_id, user_id, sealed, stage, expires_at) VALUES ('c', 's', 's', 'u', 'x', 'begun', 9)`,
			)
			if err != nil {
				t.Fatal(err)
			}
			db, err := store.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			got := answers(t, db,
				`SELECT id || kind || host || port || security || sender_address || sender_name || reply_to || auth || username || account_id || mechanism || local_name
					|| connect_ms || greeting_ms || command_ms || final_ms || CASE WHEN clear_confirmed THEN 'yes' ELSE 'no' END FROM mail_profile`,
				`SELECT password_set_at || '.' || revision || changed_at || changed_by || tested_at || server_cert_ends || state || problem || reason || advice || command
					|| reply || since || probes || next_probe_at || problem_secret || last_accepted_at || remedy || link || connections || per_minute || per_day
					FROM mail_profile`,
				`SELECT profile_id || fingerprint || mode || added_by || added_at FROM mail_anchor`,
				`SELECT profile_id || provider || cloud || grant_type || tenant || client_id || client_auth || authorize_url || token_url || scopes || mailbox
					|| redirect_path || via || graph_url || secret_set_at || secret_ends FROM mail_oauth`,
				`SELECT CAST(length(p.sealed) AS TEXT) || length(o.sealed) || length(a.der) FROM mail_profile p, mail_oauth o, mail_anchor a`,
			)
			want := []string{
				"pmicrosofth587starttlsa@bnroauthuaccml1234yes", "5.67c89pausedprreadcorep1011121314sign_inli151617",
				"pfpinx1", "pmicrosoftglobalconsenttcisecretautusmbrpgraphgu12", "663",
			}
			if !slices.Equal(got, want) {
				t.Errorf("there is %q, want %q", got, want)
			}
			if got := answers(t, db, `SELECT slot FROM mail_profile`, `SELECT slot FROM mail_revision`); !slices.Equal(got, []string{"main", "main"}) {
				t.Errorf("the slots are %q", got)
			}
			if got := answers(t, db, `SELECT id FROM mail_consent`); len(got) > 0 {
				t.Errorf("sign-ins are left that nothing opens: %q", got)
			}
			// What refers to it still goes with it, and slots are what they may be.
			update(t, db, `DELETE FROM mail_profile`)
			if got := answers(t, db, `SELECT fingerprint FROM mail_anchor`, `SELECT tenant FROM mail_oauth`); len(got) > 0 {
				t.Errorf("children of a profile that is gone: %q", got)
			}
		})
	}
}

// answers returns the first column of what queries return.
func answers(t *testing.T, db *store.DB, queries ...string) []string {
	t.Helper()
	var all []string
	err := db.View(t.Context(), func(tx *store.Tx) error {
		for _, q := range queries {
			some, err := store.All(tx, scanText, q)
			if err != nil {
				return err
			}
			all = append(all, some...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
