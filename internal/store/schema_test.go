package store_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// schema lists what the migrations make, a line for each column, key and
// index, in words that mean the same on both engines.
func schema(t *testing.T, db *store.DB) []string {
	t.Helper()
	queries := []string{
		`SELECT 'column ' || m.name || '.' || c.name || ' ' || c.type || CASE WHEN c."notnull" = 1 THEN ' not null' ELSE '' END
			FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT IN ('schema_version', 'sqlite_sequence')`,
		`SELECT 'key ' || name || '(' || group_concat(c, ', ') || ')' FROM
			(SELECT m.name AS name, c.name AS c FROM sqlite_master m JOIN pragma_table_info(m.name) c
			WHERE m.type = 'table' AND c.pk > 0 AND m.name NOT IN ('schema_version', 'sqlite_sequence') ORDER BY m.name, c.pk) GROUP BY name`,
		`SELECT CASE WHEN u = 1 THEN 'unique ' ELSE 'index ' END || name || '(' || group_concat(c, ', ') || ')' FROM
			(SELECT m.name AS name, i.name AS i, i."unique" AS u, COALESCE(c.name, 'expression') AS c FROM sqlite_master m JOIN pragma_index_list(m.name) i JOIN pragma_index_info(i.name) c
			WHERE m.type = 'table' AND i.origin <> 'pk' AND m.name <> 'schema_version' ORDER BY i.name, c.seqno) GROUP BY i`,
		`SELECT 'reference ' || m.name || '.' || f."from" || ' ' || f."table" || ' ' || f.on_delete
			FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'`,
	}
	if db.Engine() == store.Postgres {
		queries = []string{
			`SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || CASE WHEN is_nullable = 'NO' THEN ' not null' ELSE '' END
				FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'schema_version'`,
			postgresIndexes(`'key '`, `i.indisprimary`),
			postgresIndexes(`CASE WHEN i.indisunique THEN 'unique ' ELSE 'index ' END`, `NOT i.indisprimary`),
			`SELECT 'reference ' || f.relname || '.' || a.attname || ' ' || p.relname || ' ' ||
				CASE c.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'r' THEN 'RESTRICT' WHEN 'n' THEN 'SET NULL' ELSE 'NO ACTION' END
				FROM pg_constraint c JOIN pg_class f ON f.oid = c.conrelid JOIN pg_class p ON p.oid = c.confrelid
				JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey) WHERE c.contype = 'f'`,
		}
	}
	var all []string
	err := db.View(t.Context(), func(tx *store.Tx) error {
		for _, q := range queries {
			lines, err := store.All(tx, scanText, q)
			if err != nil {
				return fmt.Errorf("%w: %s", err, q)
			}
			all = append(all, lines...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	words := strings.NewReplacer(" BLOB", " bytes", " bytea", " bytes", " TEXT", " text", " BIGINT", " bigint", " BOOLEAN", " boolean")
	for i, line := range all {
		all[i] = words.Replace(line)
	}
	slices.Sort(all)
	return all
}

func postgresIndexes(word, which string) string {
	return `SELECT ` + word + ` || t.relname || '(' ||
		(SELECT string_agg(COALESCE(a.attname, 'expression'), ', ' ORDER BY k.n) FROM unnest(i.indkey) WITH ORDINALITY AS k(col, n)
			LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.col AND k.col > 0) || ')'
		FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace s ON s.oid = t.relnamespace
		WHERE s.nspname = 'public' AND t.relname <> 'schema_version' AND ` + which
}

// apart are lines that an engine has for itself, with the reason.
var apart = map[string]string{
	"index vault_resource(owner_id, name_key, id, search, account_names)": "SQLite searches in the index; PostgreSQL's entries are too small for that",
	"index vault_resource(owner_id, name_key, id)":                        "the same index without the text",
}

// TestBothEnginesHaveTheSameSchema compares the migrations by what they make.
func TestBothEnginesHaveTheSameSchema(t *testing.T) {
	lite := schema(t, storetest.Open(t, store.SQLite))
	pg := schema(t, storetest.Open(t, store.Postgres))
	for _, line := range lite {
		if !slices.Contains(pg, line) && apart[line] == "" {
			t.Errorf("on SQLite alone: %s", line)
		}
	}
	for _, line := range pg {
		if !slices.Contains(lite, line) && apart[line] == "" {
			t.Errorf("on PostgreSQL alone: %s", line)
		}
	}
	// The comparison sees something: what is known to be there.
	for _, line := range []string{
		"column identity_user.login text not null", "key outbox_attempt(letter_id, attempt)", "unique identity_user(login)",
		"index audit_entry(at, seq)", "reference identity_link.user_id identity_user CASCADE", "column audit_entry.mac bytes not null",
	} {
		if !slices.Contains(lite, line) {
			t.Errorf("the comparison misses %q", line)
		}
	}
	files, err := store.Migrations(store.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	others, err := store.Migrations(store.Postgres)
	if err != nil || !slices.Equal(files, others) {
		t.Errorf("SQLite has the files %q, PostgreSQL %q, %v", files, others, err)
	}
}

// TestNodesMigrateTogether opens an empty database from several nodes.
func TestNodesMigrateTogether(t *testing.T) {
	t.Parallel()
	url := secret.New(storetest.EmptyPostgresURL(t))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			db, err := store.Open(t.Context(), store.Config{URL: url})
			if err != nil {
				t.Error(err)
				return
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestANewerDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		c := storetest.Config(t, engine, nil)
		db, err := store.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		update(t, db, `INSERT INTO schema_version (version_id, is_applied) VALUES (9999, true)`)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err = store.Open(t.Context(), c); !fault.Is(err, fault.KindConflict) || !strings.Contains(fault.Sentence(err), "newer Sealpost") {
			t.Errorf("%s: %v", engine, err)
		}
	}
}

// TestBrokenRules: what an engine says of a broken rule becomes the same
// words.
func TestBrokenRules(t *testing.T) {
	withTable(t, func(t *testing.T, db *store.DB) {
		update(t, db,
			`CREATE TABLE part (id BIGINT NOT NULL PRIMARY KEY, thing_id BIGINT NOT NULL REFERENCES thing (id), first TEXT, second TEXT, third TEXT,
				size BIGINT NOT NULL CONSTRAINT part_size CHECK (size > 0), UNIQUE (first, second))`,
			`CREATE UNIQUE INDEX part_by_lower ON part (lower(third))`,
			`INSERT INTO thing (id) VALUES (1)`, `INSERT INTO part VALUES (1, 1, 'a', 'b', 'c', 1)`)
		for _, tt := range []struct {
			what, statement string
			rule            store.Rule
			kind            fault.Kind
			on              []string
		}{
			{"a key", `INSERT INTO thing (id) VALUES (1)`, store.RuleUnique, fault.KindConflict, []string{"thing", "id"}},
			{"two columns", `INSERT INTO part VALUES (2, 1, 'a', 'b', 'x', 1)`, store.RuleUnique, fault.KindConflict, []string{"part", "second"}},
			{"an expression", `INSERT INTO part VALUES (2, 1, 'x', 'y', 'C', 1)`, store.RuleUnique, fault.KindConflict, []string{"part", "part_by_lower"}},
			{"a reference to nothing", `INSERT INTO part VALUES (2, 9, 'x', 'y', 'z', 1)`, store.RuleForeignKey, fault.KindConflict, nil},
			{"what is referred to", `DELETE FROM thing WHERE id = 1`, store.RuleForeignKey, fault.KindConflict, nil},
			{"nothing", `INSERT INTO part (id, thing_id, size) VALUES (2, NULL, 1)`, store.RuleNotNull, fault.KindInternal, []string{"part", "thing_id"}},
			{"a check", `INSERT INTO part VALUES (2, 1, 'x', 'y', 'z', -7777)`, store.RuleCheck, fault.KindInternal, []string{"part", "part_size"}},
		} {
			err := db.Update(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(tt.statement)
				return err
			})
			broken := constraint(err)
			if broken == nil || broken.Rule != tt.rule || !fault.Is(err, tt.kind) {
				t.Errorf("%s: got %v, want rule %q", tt.what, err, tt.rule)
				continue
			}
			if tt.on != nil && !broken.On(tt.on[0], tt.on[1]) {
				t.Errorf("%s: %v is not on %s", tt.what, broken, tt.on)
			}
			if broken.On("part", "size") || broken.On("other", "id") {
				t.Errorf("%s: %v is on what it is not", tt.what, broken)
			}
			if strings.Contains(fmt.Sprint(err), "7777") {
				t.Errorf("%s: the error holds a value: %v", tt.what, err)
			}
			if want := tt.rule == store.RuleForeignKey; (fault.CodeOf(err) == fault.CodeInUse) != want {
				t.Errorf("%s: code %q", tt.what, fault.CodeOf(err))
			}
		}
	})
}

func TestAddressesThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]store.Config{
		"nothing":        {},
		"what is no URL": {URL: secret.New("postgres://user:canary@host:port/x")},
		"nobody there":   {URL: secret.New("postgres://user:canary@127.0.0.1:1/x?connect_timeout=2")},
		"a folder":       {Path: t.TempDir()},
		"no database":    {Path: filepath.Join(t.TempDir(), "text")},
	} {
		if what == "no database" {
			write(t, c.Path, "this is a text of some length, and no database at all, whatever its name says")
		}
		_, err := store.Open(t.Context(), c)
		if err == nil || strings.Contains(fmt.Sprint(err, fault.Sentence(err)), "canary") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
