// Package keyring owns the keys under which Sealpost keeps secrets, and the
// form in which a secret lies in the database.
//
// Three layers of keys stand between the disk and a secret. The root key lies
// in a file outside the database. It opens the key-encryption keys, which lie
// in the database by purpose and version. A key-encryption key wraps a data
// key that is made for one value alone and lies beside it. All layers are
// AES-256-GCM with random nonces; keys for different uses are derived with
// HKDF-SHA-256 (RFC 5869).
//
// A sealed value is bound to its [Place]: table, row, column, version, and
// whatever else the caller names in Bind, such as the server that a password
// is meant for. Moved elsewhere, or with one bit changed, it does not open,
// and the error wraps [ErrSealed]. Which of the two happened cannot be known:
// to the cipher they are the same.
//
// The key of a value is found by the name and number that the value carries,
// never by trying. A root key that does not belong to the database is told by
// a check value before anything is written.
//
// [Keyring.Rotate] makes new key-encryption keys and wraps every data key
// anew while work goes on; the secrets themselves are not touched. It can be
// killed and called again. A key is destroyed when nothing needs it any more,
// except those of MACs, which must be verified for as long as the data stands.
//
// The package refuses to seal for a purpose it does not know, to open a value
// anywhere but where it was sealed, and to run with a root key that others
// can read. It does not defend against whoever can read both the root key's
// file and the database.
package keyring
