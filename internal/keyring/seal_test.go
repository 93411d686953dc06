package keyring_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

func TestAValueOpensWhereItWasSealed(t *testing.T) {
	each(t, func(r *rig) {
		for i, text := range []string{"", "x", "pässwörd \x00\xff", strings.Repeat("long ", 200_000)} {
			for _, purpose := range keyring.Purposes() {
				var sealed, again []byte
				var got secret.Value
				r.update(func(tx *store.Tx) (err error) {
					if sealed, err = r.keys.Seal(tx, purpose, place("a", 1), secret.New(text)); err != nil {
						return err
					}
					if again, err = r.keys.Seal(tx, purpose, place("a", 1), secret.New(text)); err != nil {
						return err
					}
					got, err = r.keys.Open(tx, place("a", 1), sealed)
					return err
				})
				if got.Reveal() != text || bytes.Equal(sealed, again) {
					r.t.Errorf("%s, text %d: opened %d bytes; sealed twice alike: %v", purpose, i, len(got.Reveal()), bytes.Equal(sealed, again))
				}
				if len(text) > 3 && bytes.Contains(sealed, []byte(text)[:4]) {
					r.t.Errorf("%s, text %d lies there in clear", purpose, i)
				}
			}
		}
	})
}

// TestNoValueServesElsewhere seals a value at each of many places that differ
// in one thing, and tries each at all others.
func TestNoValueServesElsewhere(t *testing.T) {
	each(t, func(r *rig) {
		one := keyring.Place{Table: "safe", Row: "row", Column: "sealed", Version: 1, Bind: "bind"}
		places := []keyring.Place{one}
		for _, change := range []func(p *keyring.Place){
			func(p *keyring.Place) { p.Table = "other" },
			func(p *keyring.Place) { p.Row = "row2" },
			func(p *keyring.Place) { p.Column = "other" },
			func(p *keyring.Place) { p.Version = 2 },
			func(p *keyring.Place) { p.Version = 0 },
			func(p *keyring.Place) { p.Bind = "" },
			func(p *keyring.Place) { p.Bind = "bind2" },
			// The same letters, cut elsewhere.
			func(p *keyring.Place) { p.Table, p.Row = "safer", "ow" },
			func(p *keyring.Place) { p.Row, p.Column = "rows", "ealed" },
			func(p *keyring.Place) { p.Column, p.Bind = "sealedb", "ind" },
		} {
			p := one
			change(&p)
			places = append(places, p)
		}
		r.update(func(tx *store.Tx) error {
			sealed := make([][]byte, len(places))
			for i, p := range places {
				var err error
				if sealed[i], err = r.keys.Seal(tx, keyring.PurposeVault, p, secret.New("canary")); err != nil {
					return err
				}
			}
			for i := range places {
				for j, p := range places {
					v, err := r.keys.Open(tx, p, sealed[i])
					if opened := err == nil; opened != (i == j) || i != j && (!errors.Is(err, keyring.ErrSealed) || !v.IsZero()) {
						r.t.Errorf("a value of %+v opens at %+v: %v", places[i], p, err)
					}
					if err != nil && (strings.Contains(err.Error(), "bind2") || !fault.Is(err, fault.KindInternal)) {
						r.t.Errorf("the error tells too much: %v", err)
					}
				}
			}
			return nil
		})
	})
}

func TestNoBitCanBeTurned(t *testing.T) {
	each(t, func(r *rig) {
		r.update(func(tx *store.Tx) error {
			sealed, err := r.keys.Seal(tx, keyring.PurposeMail, place("a", 1), secret.New("canary"))
			if err != nil {
				return err
			}
			refuse := func(what string, b []byte) {
				if v, err := r.keys.Open(tx, place("a", 1), b); !errors.Is(err, keyring.ErrSealed) || !v.IsZero() {
					r.t.Errorf("%s: got %v", what, err)
				}
			}
			for i := range sealed {
				for bit := range 8 {
					b := slices.Clone(sealed)
					b[i] ^= 1 << bit
					refuse(fmt.Sprintf("bit %d of byte %d", bit, i), b)
				}
				refuse(fmt.Sprintf("cut to %d bytes", i), sealed[:i])
			}
			refuse("with a byte behind it", append(slices.Clone(sealed), 0))
			return nil
		})
	})
}

func TestTheWrongRootKeyWritesNothing(t *testing.T) {
	each(t, func(r *rig) {
		before := r.keyRows()
		_, err := keyring.Open(r.ctx(), keyring.Config{DB: r.db, Root: root(r.t, 8)})
		if !fault.Is(err, fault.KindUnavailable) || !strings.Contains(fault.Sentence(err), "does not belong to this database") {
			r.t.Errorf("got %v", err)
		}
		// A new purpose would have a key made for it, but not under this root.
		r.update(func(tx *store.Tx) error {
			_, err := tx.Exec(`DELETE FROM keyring_key WHERE purpose = 'vault'`)
			return err
		})
		before2 := r.keyRows()
		if _, err := keyring.Open(r.ctx(), keyring.Config{DB: r.db, Root: root(r.t, 8)}); err == nil || r.keyRows() != before2 {
			r.t.Errorf("keys were made under another root key: %v, %s", err, r.keyRows())
		}
		// The control: the right one makes it.
		r.open(r.db)
		if r.keyRows() != before {
			r.t.Errorf("got %s, want %s", r.keyRows(), before)
		}
		r.update(func(tx *store.Tx) error {
			_, err := tx.Exec(`DELETE FROM keyring_root`)
			return err
		})
		if _, err := keyring.Open(r.ctx(), keyring.Config{DB: r.db, Root: r.root}); !fault.Is(err, fault.KindUnavailable) {
			r.t.Errorf("without the check value: %v", err)
		}
	})
}

// TestNodesThatStartTogether make one set of keys.
func TestNodesThatStartTogether(t *testing.T) {
	each(t, func(r *rig) {
		want := r.keyRows()
		r.update(func(tx *store.Tx) error {
			_, err := tx.Exec(`DELETE FROM keyring_key`)
			if err == nil {
				_, err = tx.Exec(`DELETE FROM keyring_root`)
			}
			return err
		})
		dbs := []*store.DB{r.db, r.db}
		if r.db.Engine() == store.Postgres {
			dbs[1], _ = r.node()
			r.update(func(tx *store.Tx) error {
				_, err := tx.Exec(`DELETE FROM keyring_key`)
				if err == nil {
					_, err = tx.Exec(`DELETE FROM keyring_root`)
				}
				return err
			})
		}
		keys := make([]*keyring.Keyring, 6)
		var wg sync.WaitGroup
		for i := range keys {
			wg.Go(func() {
				var err error
				if keys[i], err = keyring.Open(r.ctx(), keyring.Config{DB: dbs[i%2], Root: r.root}); err != nil {
					r.t.Error(err)
				}
			})
		}
		wg.Wait()
		if r.keyRows() != want || r.t.Failed() {
			r.t.Fatalf("keys: %s, want %s", r.keyRows(), want)
		}
		r.must(put(r.ctx(), dbs[0], keys[0], keyring.PurposeVault, "a", 1, "shared"))
		for i, k := range keys {
			if text, err := get(r.ctx(), dbs[i%2], k, "a", 1); text != "shared" {
				r.t.Errorf("node %d: %q, %v", i, text, err)
			}
		}
	})
}

func TestMACs(t *testing.T) {
	each(t, func(r *rig) {
		mac := func(k *keyring.Keyring, purpose string, version int64, data string) (out []byte, used int64) {
			r.t.Helper()
			r.must(r.db.View(r.ctx(), func(tx *store.Tx) (err error) {
				out, used, err = k.MAC(tx, purpose, version, []byte(data))
				return err
			}))
			return out, used
		}
		first, version := mac(r.keys, keyring.PurposeAudit, 0, "data")
		other, _ := mac(r.keys, keyring.PurposeMail, 0, "data")
		more, _ := mac(r.keys, keyring.PurposeAudit, 0, "data2")
		if len(first) != 32 || version != 1 || bytes.Equal(first, other) || bytes.Equal(first, more) {
			r.t.Errorf("version %d: %x %x %x", version, first, other, more)
		}
		_, err := r.keys.Rotate(r.ctx(), operator, []keyring.Column{column}, nil)
		r.must(err)
		second, version := mac(r.keys, keyring.PurposeAudit, 0, "data")
		old, _ := mac(r.open(r.db), keyring.PurposeAudit, 1, "data")
		if version != 2 || bytes.Equal(first, second) || !bytes.Equal(first, old) {
			r.t.Errorf("after a rotation: version %d, old one kept %v", version, bytes.Equal(first, old))
		}
		for _, tt := range []struct {
			purpose string
			version int64
		}{{"made up", 0}, {keyring.PurposeAudit, 3}, {keyring.PurposeAudit, -1}} {
			err := r.db.View(r.ctx(), func(tx *store.Tx) error {
				_, _, err := r.keys.MAC(tx, tt.purpose, tt.version, nil)
				return err
			})
			if err == nil {
				r.t.Errorf("%+v made a MAC", tt)
			}
		}
	})
}

func TestWhatIsNotSealed(t *testing.T) {
	each(t, func(r *rig) {
		for what, purpose := range map[string]string{"an unknown purpose": "made up", "a MAC's": "audit.mac"} {
			if err := put(r.ctx(), r.db, r.keys, purpose, "a", 1, "x"); err == nil {
				r.t.Errorf("%s was sealed for", what)
			}
		}
		broken, err := keyring.Open(r.ctx(), keyring.Config{DB: r.db, Root: r.root, Random: io.LimitReader(strings.NewReader("short"), 5)})
		r.must(err)
		if err := put(r.ctx(), r.db, broken, keyring.PurposeVault, "a", 1, "x"); err == nil {
			r.t.Error("a value was sealed without randomness")
		}
		if err := put(r.ctx(), r.db, r.keys, keyring.PurposeVault, "big", 1, strings.Repeat("x", keyring.LongestValue+1)); !fault.Is(err, fault.KindInvalid) {
			r.t.Errorf("a value that is too long: %v", err)
		}
	})
}

// TestOpenApart opens values without their transaction, also one whose key was
// made since by another node, and none that does not belong.
func TestOpenApart(t *testing.T) {
	each(t, func(r *rig) {
		_, other := r.node()
		r.must(put(r.ctx(), r.db, r.keys, keyring.PurposeVault, "a", 1, "first"))
		if _, err := r.keys.Rotate(r.ctx(), operator, []keyring.Column{column}, nil); err != nil {
			t.Fatal(err)
		}
		r.must(put(r.ctx(), r.db, r.keys, keyring.PurposeVault, "b", 1, "second"))
		for row, want := range map[string]string{"a": "first", "b": "second"} {
			var sealed []byte
			r.must(r.db.View(r.ctx(), func(tx *store.Tx) (err error) {
				sealed, err = store.One(tx, func(row store.Row) (b []byte, err error) { return b, row.Scan(&b) },
					`SELECT sealed FROM safe WHERE id = $1`, row)
				return err
			}))
			for name, k := range map[string]*keyring.Keyring{"same": r.keys, "other": other} {
				if v, err := k.OpenApart(r.ctx(), place(row, 1), sealed); err != nil || v.Reveal() != want {
					t.Errorf("%s by the %s node: %q, %v", row, name, v.Reveal(), err)
				}
				if _, err := k.OpenApart(r.ctx(), place(row, 2), sealed); !errors.Is(err, keyring.ErrSealed) {
					t.Errorf("%s opens elsewhere: %v", row, err)
				}
			}
		}
		if _, err := r.keys.OpenApart(r.ctx(), place("a", 1), []byte("x")); !errors.Is(err, keyring.ErrSealed) {
			t.Errorf("what is no sealed value opens: %v", err)
		}
	})
}
