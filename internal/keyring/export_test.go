package keyring

import (
	"bytes"

	"github.com/sealpost/sealpost/internal/store"
)

// SameRoot tells whether two root keys are the same.
func SameRoot(a, b RootKey) bool {
	return bytes.Equal(a.derive(labelRootCheck), b.derive(labelRootCheck))
}

// RotateNow makes new keys and retires those that no value names, in one
// transaction that others wait for.
func (k *Keyring) RotateNow(tx *store.Tx, columns ...Column) error {
	if _, err := k.startRotation(tx); err != nil {
		return err
	}
	_, err := k.finishRotation(tx, columns, false)
	return err
}

// Snapshot reads the keys as tx sees them, for keep to be called later.
func (k *Keyring) Snapshot(tx *store.Tx) (keep func(), err error) {
	set, err := k.load(tx)
	return func() { k.keep(set) }, err
}

// Knows tells whether a key is known without the database.
func (k *Keyring) Knows(purpose string, version int64) bool {
	return k.known(keyID{purpose, version}) != nil
}

// RewrapAsRead wraps a value anew that was read as sealed some time ago.
func (k *Keyring) RewrapAsRead(tx *store.Tx, c Column, row string, version int64, sealed []byte) (bool, error) {
	keys, err := selectKeys(tx)
	if err != nil {
		return false, err
	}
	return k.rewrapRow(tx, c, sealedRow{position{row, version}, sealed}, newestOf(keys))
}
