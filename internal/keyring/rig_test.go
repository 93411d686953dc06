package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

var operator = actor.Operator("root", "cli")

// column is the table of sealed values that the tests make.
var column = keyring.Column{Table: "safe", ID: "id", Column: "sealed", Version: "version"}

// rig is a keyring over an empty database with a table of sealed values.
type rig struct {
	t      *testing.T
	config store.Config
	db     *store.DB
	root   keyring.RootKey
	keys   *keyring.Keyring
}

func each(t *testing.T, f func(r *rig)) {
	t.Helper()
	t.Parallel()
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			r := &rig{t: t, config: storetest.Config(t, engine, nil), root: root(t, 7)}
			r.db = storetest.OpenConfig(t, r.config)
			r.keys = r.open(r.db)
			blob := "BLOB"
			if engine == store.Postgres {
				blob = "BYTEA"
			}
			r.update(func(tx *store.Tx) error {
				_, err := tx.Exec(`CREATE TABLE safe (id TEXT NOT NULL, version BIGINT NOT NULL, sealed ` + blob + `, PRIMARY KEY (id, version))`)
				return err
			})
			f(r)
		})
	}
}

func root(t *testing.T, fill byte) keyring.RootKey {
	t.Helper()
	k, err := keyring.NewRootKey(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) ctx() context.Context { return r.t.Context() }

// open returns the keyring of a process that starts now.
func (r *rig) open(db *store.DB) *keyring.Keyring {
	r.t.Helper()
	k, err := keyring.Open(r.ctx(), keyring.Config{DB: db, Root: r.root})
	r.must(err)
	return k
}

// node returns a second node with its own keyring, where the engine serves
// several.
func (r *rig) node() (*store.DB, *keyring.Keyring) {
	r.t.Helper()
	if r.db.Engine() == store.SQLite {
		return r.db, r.open(r.db)
	}
	db := storetest.OpenConfig(r.t, r.config)
	return db, r.open(db)
}

func (r *rig) update(f func(tx *store.Tx) error) {
	r.t.Helper()
	r.must(r.db.Update(r.ctx(), f))
}

func place(row string, version int64) keyring.Place {
	return keyring.Place{Table: "safe", Row: row, Column: "sealed", Version: version}
}

// put seals and stores a value.
func put(ctx context.Context, db *store.DB, k *keyring.Keyring, purpose, row string, version int64, text string) error {
	return db.Update(ctx, func(tx *store.Tx) error {
		sealed, err := k.Seal(tx, purpose, place(row, version), secret.New(text))
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO safe (id, version, sealed) VALUES ($1, $2, $3)`, row, version, sealed)
		return err
	})
}

// get opens a stored value.
func get(ctx context.Context, db *store.DB, k *keyring.Keyring, row string, version int64) (string, error) {
	var text string
	err := db.View(ctx, func(tx *store.Tx) error {
		sealed, err := store.One(tx, func(r store.Row) (b []byte, err error) { return b, r.Scan(&b) },
			`SELECT sealed FROM safe WHERE id = $1 AND version = $2`, row, version)
		if err != nil {
			return err
		}
		v, err := k.Open(tx, place(row, version), sealed)
		text = v.Reveal()
		return err
	})
	return text, err
}

// fill stores n values, spread over purposes, rows and versions.
func (r *rig) fill(n int) {
	r.t.Helper()
	r.update(func(tx *store.Tx) error {
		for i := range n {
			row, version := fmt.Sprintf("row-%03d", i/3), int64(i%3)
			sealed, err := r.keys.Seal(tx, keyring.Purposes()[i%5], place(row, version), secret.New(fmt.Sprint("value ", i)))
			if err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO safe (id, version, sealed) VALUES ($1, $2, $3)`, row, version, sealed); err != nil {
				return err
			}
		}
		return nil
	})
}

// whole checks that all that fill stored opens with the keyring.
func (r *rig) whole(db *store.DB, k *keyring.Keyring, n int) {
	r.t.Helper()
	for i := range n {
		text, err := get(r.ctx(), db, k, fmt.Sprintf("row-%03d", i/3), int64(i%3))
		if err != nil || text != fmt.Sprint("value ", i) {
			r.t.Errorf("value %d: got %q, %v", i, text, err)
		}
	}
}

// keyRows lists the keys as "purpose version", those retired in brackets.
func (r *rig) keyRows() string {
	r.t.Helper()
	var out []string
	r.must(r.db.View(r.ctx(), func(tx *store.Tx) error {
		out = nil
		return tx.Each(func(row store.Row) error {
			var purpose string
			var version, retired int64
			var sealed []byte
			if err := row.Scan(&purpose, &version, &sealed, &retired); err != nil {
				return err
			}
			name := fmt.Sprintf("%s %d", purpose, version)
			if (retired != 0) != (len(sealed) == 0) {
				r.t.Errorf("%s is retired at %d and has %d bytes", name, retired, len(sealed))
			}
			if retired != 0 {
				name = "(" + name + ")"
			}
			out = append(out, name)
			return nil
		}, `SELECT purpose, version, sealed, retired_at FROM keyring_key ORDER BY purpose, version`)
	}))
	return strings.Join(out, ", ")
}

var errWanted = errors.New("wanted")
