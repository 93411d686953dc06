package keyring_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// rotate rotates the keys as another node.
func (r *rig) rotate(k *keyring.Keyring) {
	r.t.Helper()
	report, err := k.Rotate(r.ctx(), operator, []keyring.Column{column}, nil)
	r.must(err)
	if len(report.Damaged) > 0 {
		r.t.Fatalf("damaged: %q", report.Damaged)
	}
}

// sealed returns what stands in a row.
func (r *rig) sealed(row string) (b []byte) {
	r.t.Helper()
	r.must(r.db.View(r.ctx(), func(tx *store.Tx) (err error) {
		b, err = store.One(tx, func(r store.Row) (b []byte, err error) { return b, r.Scan(&b) }, `SELECT sealed FROM safe WHERE id = $1`, row)
		return err
	}))
	return b
}

// TestAnOlderSnapshotTakesNoKeyAway reads the keys in a transaction that began
// before another node's rotation and ends after it.
func TestAnOlderSnapshotTakesNoKeyAway(t *testing.T) {
	each(t, func(r *rig) {
		_, other := r.node()
		r.must(put(r.ctx(), r.db, r.keys, keyring.PurposeOutbox, "one", 1, "words"))
		before := r.sealed("one")
		r.must(r.db.View(r.ctx(), func(old *store.Tx) error {
			keep, err := r.keys.Snapshot(old)
			r.must(err)
			r.rotate(other)
			if text, err := get(r.ctx(), r.db, r.keys, "one", 1); text != "words" {
				r.t.Errorf("behind the rotation: %v", err)
			}
			keep()
			if !r.keys.Knows(keyring.PurposeOutbox, 2) {
				r.t.Error("the older snapshot took the newer key away")
			}
			// It has what it needs itself, though that is retired.
			v, err := r.keys.Open(old, place("one", 1), before)
			if err != nil || v.Reveal() != "words" {
				r.t.Errorf("in the older snapshot: %v", err)
			}
			if r.keys.Knows(keyring.PurposeOutbox, 1) || !r.keys.Knows(keyring.PurposeOutbox, 2) {
				r.t.Error("the older snapshot brought the retired key back")
			}
			return nil
		}))
	})
}

// TestAFailedCommitLeavesNoKey looks for a key that was made by a transaction
// that failed: others make another one of that version.
func TestAFailedCommitLeavesNoKey(t *testing.T) {
	each(t, func(r *rig) {
		err := r.db.Update(r.ctx(), func(tx *store.Tx) error {
			r.must(r.keys.RotateNow(tx, column))
			_, err := r.keys.Seal(tx, keyring.PurposeVault, place("one", 1), secret.New("words"))
			return errors.Join(err, errWanted)
		})
		if !errors.Is(err, errWanted) || r.keys.Knows(keyring.PurposeVault, 2) {
			r.t.Errorf("got %v, known %v", err, r.keys.Knows(keyring.PurposeVault, 2))
		}
	})
}

// TestNothingIsSealedUnderARetiredKey seals while a rotation holds the keys,
// which retires the one that was the newest when the statement began.
func TestNothingIsSealedUnderARetiredKey(t *testing.T) {
	each(t, func(r *rig) {
		db2, keys2 := r.node()
		if r.db.Engine() == store.SQLite {
			return // those who write stand in one queue
		}
		done := make(chan error, 1)
		r.update(func(tx *store.Tx) error {
			r.must(r.keys.RotateNow(tx, column))
			go func() { done <- put(r.ctx(), db2, keys2, keyring.PurposeVault, "late", 1, "words") }()
			return r.untilSomebodyWaits(tx)
		})
		r.must(<-done)
		if text, err := get(r.ctx(), r.db, r.open(r.db), "late", 1); text != "words" {
			r.t.Errorf("a node that starts now reads %q: %v", text, err)
		}
	})
}

// untilSomebodyWaits returns once another transaction waits for a lock of tx.
func (r *rig) untilSomebodyWaits(tx *store.Tx) error {
	for {
		n, err := store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) },
			`SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))`)
		if err != nil || n > 0 {
			return err
		}
		if _, err := tx.Exec(`SELECT pg_stat_clear_snapshot()`); err != nil {
			return err
		}
	}
}

// TestAValueThatAnotherNodeWrappedIsWhole rewraps what was read before another
// node's rotation, which has retired the key that it is under.
func TestAValueThatAnotherNodeWrappedIsWhole(t *testing.T) {
	each(t, func(r *rig) {
		_, other := r.node()
		r.must(put(r.ctx(), r.db, r.keys, keyring.PurposeMail, "one", 1, "words"))
		read := r.sealed("one")
		r.rotate(other)
		fresh := r.open(r.db)
		rewrap := func() (done bool, err error) {
			err = r.db.Update(r.ctx(), func(tx *store.Tx) error {
				done, err = fresh.RewrapAsRead(tx, column, "one", 1, read)
				return err
			})
			return done, err
		}
		if done, err := rewrap(); done || err != nil {
			r.t.Errorf("done %v, %v", done, err)
		}
		_, err := get(context.WithoutCancel(r.ctx()), r.db, fresh, "one", 1)
		r.must(err)
		r.update(func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE safe SET sealed = $1 WHERE id = 'one'`, read)
			return err
		})
		if _, err := rewrap(); err == nil {
			r.t.Error("a value under a retired key is no damage")
		}
	})
}
