package keyring

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

// The purposes. Each has keys of its own, so that a value sealed for one can
// never serve as another.
const (
	PurposeVault    = "vault"
	PurposeMail     = "mail"
	PurposeOutbox   = "outbox"
	PurposeIdentity = "identity"
	PurposeAudit    = "audit"
)

// Purposes returns all purposes in alphabetical order.
func Purposes() []string {
	return []string{PurposeAudit, PurposeIdentity, PurposeMail, PurposeOutbox, PurposeVault}
}

// macSuffix makes the name under which a purpose's MAC keys are kept. They
// have rows of their own because they outlive the sealing keys.
const macSuffix = ".mac"

// Labels of derived keys and associated data. Changing one makes everything
// sealed unreadable.
const (
	labelRootCheck = "sealpost keyring 1 check"
	labelRootWrap  = "sealpost keyring 1 root wrap"
	labelKeyRow    = "sealpost keyring 1 key row"
	labelWrap      = "sealpost keyring 1 wrap"
	labelMAC       = "sealpost keyring 1 mac"
	labelDataKey   = "sealpost keyring 1 data key"
	labelValue     = "sealpost keyring 1 value"
)

// newestFor is how long the newest version of a MAC key is remembered before
// the database is asked again. An older key is as good for verifying; only
// the effect of a rotation on other nodes is delayed.
const newestFor = time.Minute

// Config is what a keyring needs.
type Config struct {
	// DB holds the keys.
	DB *store.DB
	// Root opens them.
	Root RootKey
	// Random is the source of keys and nonces. Nil means crypto/rand.
	Random io.Reader
	// Now is the clock for how long a looked-up version is remembered. Nil
	// means time.Now.
	Now func() time.Time
}

// Keyring seals and opens. It is safe for use by several goroutines.
type Keyring struct {
	db     *store.DB
	root   RootKey
	random io.Reader
	now    func() time.Time

	mu     sync.RWMutex
	keys   keySet
	newest map[string]seen
}

// keySet are the keys of one snapshot of the database. It is never changed in
// place.
type keySet struct {
	keys map[keyID]*key
	// changes counts what was ever made or retired. It grows with each change,
	// and so tells the older of two snapshots.
	changes int
}

type keyID struct {
	purpose string // with macSuffix for MAC keys
	version int64
}

// key is an opened key-encryption key, or a MAC key.
type key struct {
	wrap cipher.AEAD
	mac  []byte
}

type seen struct {
	version int64
	until   time.Time
}

// Open returns the keyring of a database and makes its first keys. It refuses
// a root key that is not the database's before it writes anything.
func Open(ctx context.Context, c Config) (*Keyring, error) {
	if c.DB == nil || c.Root.value.IsZero() {
		return nil, errors.New("keyring: a database and a root key are needed")
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	k := &Keyring{db: c.DB, root: c.Root, random: c.Random, now: c.Now, newest: make(map[string]seen)}
	complete := false
	err := c.DB.View(ctx, func(tx *store.Tx) (err error) {
		complete, err = k.check(tx)
		return err
	})
	if err == nil && !complete {
		err = c.DB.Update(ctx, k.complete)
	}
	if err == nil {
		err = k.refresh(ctx)
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// check compares the root key with the check value. complete tells whether
// every key is there.
func (k *Keyring) check(tx *store.Tx) (complete bool, err error) {
	stored, found, err := selectCheck(tx)
	if err != nil {
		return false, err
	}
	rows, err := selectKeys(tx)
	if err != nil {
		return false, err
	}
	if !found && len(rows) > 0 {
		return false, fault.Unavailable("The keyring of this database is damaged: its check value is gone. Restore a backup.")
	}
	if found && subtle.ConstantTimeCompare(stored, k.root.derive(labelRootCheck)) != 1 {
		return false, fault.Unavailable("The root key does not belong to this database. Put back the root key file that was made with it.")
	}
	have := make(map[string]bool)
	for _, r := range rows {
		have[r.id.purpose] = true
	}
	missing := slices.ContainsFunc(keyNames(), func(name string) bool { return !have[name] })
	return found && !missing, nil
}

// keyNames returns the purposes and their MAC names.
func keyNames() []string {
	var names []string
	for _, p := range Purposes() {
		names = append(names, p, p+macSuffix)
	}
	return names
}

// complete writes the check value and makes the keys that are missing. Nodes
// that start together each offer theirs, and the first one wins.
func (k *Keyring) complete(tx *store.Tx) error {
	if err := insertCheck(tx, k.root.derive(labelRootCheck)); err != nil {
		return err
	}
	if _, err := k.check(tx); err != nil {
		return err
	}
	for _, name := range keyNames() {
		version, err := newestVersion(tx, name)
		if err == nil && version == 0 {
			err = k.insertNew(tx, keyID{name, 1})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// insertNew makes a key, unless another node has made one of that name.
func (k *Keyring) insertNew(tx *store.Tx, id keyID) error {
	plain, err := k.randomBytes(keySize)
	if err != nil {
		return err
	}
	sealed, err := k.encrypt(newAEAD(k.root.derive(labelRootWrap)), plain, id.row())
	if err != nil {
		return err
	}
	return insertKey(tx, id, sealed)
}

// row is the associated data of a key's row.
func (id keyID) row() []byte {
	return packFields([]byte(labelKeyRow), []byte(id.purpose), packInt(id.version))
}

// load reads all keys that are not retired, as tx sees them.
func (k *Keyring) load(tx *store.Tx) (keySet, error) {
	rows, err := selectKeys(tx)
	if err != nil {
		return keySet{}, err
	}
	root := newAEAD(k.root.derive(labelRootWrap))
	set := keySet{make(map[keyID]*key, len(rows)), len(rows)}
	for _, r := range rows {
		if !r.retired.IsZero() {
			set.changes++
			continue
		}
		plain, err := decrypt(root, r.sealed, r.id.row())
		if err != nil {
			return keySet{}, &fault.Error{Kind: fault.KindInternal, Sentence: fmt.Sprintf(
				"The key %s version %d in the database is damaged. Restore a backup.", r.id.purpose, r.id.version)}
		}
		set.keys[r.id] = &key{wrap: newAEAD(derive(plain, labelWrap)), mac: derive(plain, labelMAC)}
	}
	return set, nil
}

// keep remembers keys that were read, unless newer ones are known: a
// transaction may have begun long ago.
func (k *Keyring) keep(set keySet) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if set.changes >= k.keys.changes {
		k.keys = set
	}
}

// refresh reads the keys anew.
func (k *Keyring) refresh(ctx context.Context) error {
	var set keySet
	err := k.db.View(ctx, func(tx *store.Tx) (err error) {
		set, err = k.load(tx)
		return err
	})
	if err == nil {
		k.keep(set)
	}
	return err
}

// find returns a key by its id. One that is not known may have been made by
// another node meanwhile, or be retired since tx began, which a look at the
// database as tx sees it tells.
func (k *Keyring) find(tx *store.Tx, id keyID) (*key, error) {
	if found := k.known(id); found != nil {
		return found, nil
	}
	set, err := k.load(tx)
	if err != nil {
		return nil, err
	}
	if tx.ReadOnly() {
		k.keep(set)
	} else {
		// What another member of the same commit has just made may never be.
		tx.OnCommit(func() { k.keep(set) })
	}
	if found := set.keys[id]; found != nil {
		return found, nil
	}
	return nil, errNoKey
}

// errNoKey says that a value names a key that does not exist or is retired.
var errNoKey = errors.New("keyring: no such key")

func (k *Keyring) known(id keyID) *key {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.keys.keys[id]
}

func (k *Keyring) randomBytes(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(k.random, b); err != nil {
		return nil, fmt.Errorf("keyring: no randomness: %w", err)
	}
	return b, nil
}

// encrypt returns nonce, ciphertext and tag.
func (k *Keyring) encrypt(a cipher.AEAD, plain, data []byte) ([]byte, error) {
	nonce, err := k.randomBytes(a.NonceSize())
	if err != nil {
		return nil, err
	}
	return a.Seal(nonce, nonce, plain, data), nil
}

func decrypt(a cipher.AEAD, sealed, data []byte) ([]byte, error) {
	if len(sealed) < a.NonceSize()+a.Overhead() {
		return nil, ErrSealed
	}
	plain, err := a.Open(nil, sealed[:a.NonceSize()], sealed[a.NonceSize():], data)
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// newAEAD returns AES-256-GCM. A random nonce of 96 bits is safe for 2^32
// values under one key (NIST SP 800-38D, 8.3); a data key seals one value,
// and no site wraps that many data keys under one version.
func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only a wrong size can fail
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // only a wrong block size can fail
	}
	return a
}
