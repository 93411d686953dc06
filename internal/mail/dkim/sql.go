package dkim

import (
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/store"
)

// purpose is whose keys seal the private ones.
const purpose = keyring.PurposeMail

const setColumns = `id, slot, domain, state, anyway, created_at, created_by, active_at, retired_at`

func scanSet(r store.Row) (Set, error) {
	var s Set
	var created, active, retired int64
	err := r.Scan(&s.ID, &s.Slot, &s.Domain, &s.State, &s.Anyway, &created, &s.CreatedBy, &active, &retired)
	s.CreatedAt, s.ActiveAt, s.RetiredAt = store.FromMicros(created), store.FromMicros(active), store.FromMicros(retired)
	return s, err
}

// withKeys adds the keys of a set, RSA first.
func withKeys(tx *store.Tx, s Set) (Set, error) {
	var err error
	s.Keys, err = store.All(tx, func(r store.Row) (Key, error) {
		var k Key
		var checked, seen int64
		err := r.Scan(&k.ID, &k.Algorithm, &k.Selector, &k.public, &k.sealed, &k.Verdict, &k.Found, &k.Why, &checked, &seen)
		k.CheckedAt, k.SeenAt = store.FromMicros(checked), store.FromMicros(seen)
		k.Record = recordOf(k.Algorithm, k.Selector, s.Domain, k.public)
		return k, err
	}, `SELECT id, algorithm, selector, public, sealed, verdict, found, why, checked_at, seen_at
		FROM mail_dkim_key WHERE set_id = $1 ORDER BY algorithm DESC`, s.ID)
	return s, err
}

// selectSets returns all sets, the newest first.
func selectSets(tx *store.Tx) ([]Set, error) {
	sets, err := store.All(tx, scanSet, `SELECT `+setColumns+` FROM mail_dkim ORDER BY id DESC`)
	for i := range sets {
		if err == nil {
			sets[i], err = withKeys(tx, sets[i])
		}
	}
	return sets, err
}

func selectSet(tx *store.Tx, slot Slot, state State) (Set, bool, error) {
	s, err := store.One(tx, scanSet, `SELECT `+setColumns+` FROM mail_dkim WHERE slot = $1 AND state = $2`, string(slot), string(state))
	if fault.Is(err, fault.KindNotFound) {
		return s, false, nil
	}
	if err == nil {
		s, err = withKeys(tx, s)
	}
	return s, err == nil, err
}

func selectSetByID(tx *store.Tx, id string) (Set, error) {
	s, err := store.One(tx, scanSet, `SELECT `+setColumns+` FROM mail_dkim WHERE id = $1`, id)
	if err != nil {
		return s, err
	}
	return withKeys(tx, s)
}

func insertSet(tx *store.Tx, s Set) error {
	_, err := tx.Exec(`INSERT INTO mail_dkim (`+setColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0)`,
		s.ID, string(s.Slot), s.Domain, string(s.State), s.Anyway, store.Micros(s.CreatedAt), s.CreatedBy)
	return err
}

func insertKey(tx *store.Tx, setID string, k Key) error {
	_, err := tx.Exec(`INSERT INTO mail_dkim_key (id, set_id, algorithm, selector, public, sealed, verdict, found, why, checked_at, seen_at)
		VALUES ($1, $2, $3, $4, $5, $6, '', '', '', 0, 0)`, k.ID, setID, string(k.Algorithm), k.Selector, k.public, k.sealed)
	return err
}

// updateKey writes down what the DNS said.
func updateKey(tx *store.Tx, id string, f finding) error {
	now := store.Micros(tx.Now())
	if f.verdict == OK {
		_, err := tx.Exec(`UPDATE mail_dkim_key SET seen_at = $2 WHERE id = $1`, id, now)
		if err != nil {
			return err
		}
	}
	_, err := tx.Exec(`UPDATE mail_dkim_key SET verdict = $2, found = $3, why = $4, checked_at = $5 WHERE id = $1`, id, string(f.verdict), f.found, f.why, now)
	return err
}

// retire retires the set of a slot that signs, if there is one.
func retire(tx *store.Tx, slot Slot) error {
	_, err := tx.Exec(`UPDATE mail_dkim SET state = 'retired', retired_at = $2 WHERE slot = $1 AND state = 'active'`, string(slot), store.Micros(tx.Now()))
	return err
}

// activate lets a new set sign; 0 means that it is new no more.
func activate(tx *store.Tx, id string, anyway bool) (int64, error) {
	return tx.Exec(`UPDATE mail_dkim SET state = 'active', anyway = $2, active_at = $3 WHERE id = $1 AND state = 'new'`, id, anyway, store.Micros(tx.Now()))
}

func deleteSets(tx *store.Tx, slot Slot, state State) error {
	_, err := tx.Exec(`DELETE FROM mail_dkim WHERE slot = $1 AND state = $2`, string(slot), string(state))
	return err
}

func deleteSet(tx *store.Tx, id string) (int64, error) {
	return tx.Exec(`DELETE FROM mail_dkim WHERE id = $1 AND state = 'retired'`, id)
}

// exchange lets the sets of the two slots change places.
func exchange(tx *store.Tx) error {
	for _, step := range [][2]string{{"main", "between"}, {"second", "main"}, {"between", "second"}} {
		if _, err := tx.Exec(`UPDATE mail_dkim SET slot = $2 WHERE slot = $1`, step[0], step[1]); err != nil {
			return err
		}
	}
	return nil
}
