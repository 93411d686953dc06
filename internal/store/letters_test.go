package store_test

import (
	"slices"
	"testing"

	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// TestLettersSurviveTheSlots: the table of letters is made anew on SQLite, where
// dropping one deletes what refers to it.
func TestLettersSurviveTheSlots(t *testing.T) {
	t.Parallel()
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			c := store.Config{Path: t.TempDir() + "/sealpost.db"}
			if engine == store.Postgres {
				c = store.Config{URL: secret.New(storetest.EmptyPostgresURL(t))}
			}
			letter := func(id, state, attempt string) string {
				return `INSERT INTO outbox_letter (id, message_id, kind, class, user_id, to_address, to_name, subject, sealed, sender, state, maybe_sent,
					merged, attempt, added_at, not_before, expires_at, lease_until, changed_at, stage, code, enhanced, reply, advice, queue_id, server)
					VALUES ('` + id + `', 'm` + id + `', 'k', 1, 'u', 'a', 'n', 's', 'sealed', 'f', '` + state + `', true, 2, ` + attempt + `, 3, 4, 5, 6, 7,
					'st', 8, 'en', 're', 'ad', 'q', 'srv')`
			}
			attempt := func(id, n, began, ended, state string) string {
				return `INSERT INTO outbox_attempt (letter_id, attempt, began_at, ended_at, state, stage, code, enhanced, reply, advice, server)
					VALUES ('` + id + `', ` + n + `, ` + began + `, ` + ended + `, '` + state + `', 'st', 1, 'en', 're', 'ad', 'srv')`
			}
			err := store.OldDatabase(t.Context(), c, 9,
				letter("a", "queued", "0"), letter("b", "sending", "3"), letter("c", "accepted", "1"),
				attempt("b", "1", "10", "11", "queued"), attempt("b", "2", "12", "13", "deferred"), attempt("b", "3", "14", "0", "sending"),
				attempt("c", "1", "15", "16", "accepted"),
				`INSERT INTO outbox_gate (id, open, reason, detail, since) VALUES ('gate', false, 'paused', 'why', 17)`,
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
				`SELECT id || message_id || kind || class || user_id || to_address || to_name || subject || length(sealed) || sender || state
					|| CASE WHEN maybe_sent THEN 'yes' ELSE 'no' END || merged || attempt || added_at || not_before || expires_at || lease_until || changed_at
					|| stage || code || enhanced || reply || advice || queue_id || server || '.' || route || trace || began_at || '.' || ended_at || '.' || tries
					|| '.' || unbegun || bounced_at || bounce FROM outbox_letter ORDER BY id`,
				`SELECT letter_id || attempt || '.' || began_at || '.' || ended_at || state || stage || code || enhanced || reply || advice || server
					FROM outbox_attempt ORDER BY letter_id, attempt`,
				`SELECT id || reason || detail || since || cover_after FROM outbox_gate`,
			)
			want := []string{
				"amak1uans6fqueuedyes2034567st8enreadqsrv.main0.0.0.00", "bmbk1uans6fsendingyes2334567st8enreadqsrv.main14.0.1.00",
				"cmck1uans6facceptedyes2134567st8enreadqsrv.main15.7.1.00",
				"b1.10.11queuedst1enreadsrv", "b2.12.13deferredst1enreadsrv", "c1.15.16acceptedst1enreadsrv", "mainpausedwhy17-1",
			}
			if !slices.Equal(got, want) {
				t.Errorf("there is %q, want %q", got, want)
			}
			if err := change(t, db, `UPDATE outbox_letter SET state = 'lost' WHERE id = 'a'`); err == nil {
				t.Error("a letter may have any state")
			}
			if err := change(t, db, `DELETE FROM outbox_letter WHERE id = 'b'`); err != nil {
				t.Error(err)
			}
			if got := answers(t, db, `SELECT letter_id FROM outbox_attempt`); !slices.Equal(got, []string{"c"}) {
				t.Errorf("without its letter there is the attempt of %q", got)
			}
		})
	}
}

func change(t *testing.T, db *store.DB, statement string) error {
	t.Helper()
	return db.Update(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(statement); return err })
}
