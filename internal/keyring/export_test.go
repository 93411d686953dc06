package keyring

import "bytes"

// SameRoot tells whether two root keys are the same.
func SameRoot(a, b RootKey) bool {
	return bytes.Equal(a.derive(labelRootCheck), b.derive(labelRootCheck))
}
