package keyring

import (
	"errors"
	"fmt"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

type keyRow struct {
	id               keyID
	sealed           []byte
	created, retired time.Time
}

func selectCheck(tx *store.Tx) (value []byte, found bool, err error) {
	value, err = store.One(tx, func(r store.Row) (b []byte, err error) { return b, r.Scan(&b) },
		`SELECT check_value FROM keyring_root WHERE id = 'root'`)
	if fault.Is(err, fault.KindNotFound) {
		return nil, false, nil
	}
	return value, err == nil, err
}

func insertCheck(tx *store.Tx, value []byte) error {
	_, err := tx.Exec(`INSERT INTO keyring_root (id, check_value, created_at) VALUES ('root', $1, $2)
		ON CONFLICT (id) DO NOTHING`, value, store.Micros(tx.Now()))
	return err
}

func selectKeys(tx *store.Tx) ([]keyRow, error) {
	return store.All(tx, func(r store.Row) (k keyRow, err error) {
		var created, retired int64
		err = r.Scan(&k.id.purpose, &k.id.version, &k.sealed, &created, &retired)
		k.created, k.retired = store.FromMicros(created), store.FromMicros(retired)
		return k, err
	}, `SELECT purpose, version, sealed, created_at, retired_at FROM keyring_key ORDER BY purpose, version`)
}

// newestKept and a purpose name the newest version of its sealing key among what
// a transaction keeps.
const newestKept = "keyring newest "

func insertKey(tx *store.Tx, id keyID, sealed []byte) error {
	tx.Forget(newestKept + id.purpose)
	_, err := tx.Exec(`INSERT INTO keyring_key (purpose, version, sealed, created_at, retired_at)
		VALUES ($1, $2, $3, $4, 0) ON CONFLICT (purpose, version) DO NOTHING`,
		id.purpose, id.version, sealed, store.Micros(tx.Now()))
	return err
}

// newestVersion returns the newest version of a key, 0 where there is none.
func newestVersion(tx *store.Tx, name string) (int64, error) {
	return oneVersion(tx, `SELECT version FROM keyring_key WHERE purpose = $1 ORDER BY version DESC LIMIT 1`, name)
}

// heldVersion returns the newest version of a key and keeps it from being
// retired before the transaction ends.
//
// PostgreSQL picks the row as the statement's snapshot has it and then waits
// for its lock. A rotation that it waited for may have retired that very key
// and made another one, which the snapshot does not have: the condition is
// looked at again with the lock, nothing is left, and the statement is said
// anew.
func heldVersion(tx *store.Tx, name string) (int64, error) {
	const tries = 5
	for range tries {
		version, err := oneVersion(tx, `SELECT version FROM keyring_key WHERE purpose = $1 AND retired_at = 0 ORDER BY version DESC LIMIT 1`+tx.ForShare(), name)
		if err != nil || version > 0 {
			return version, err
		}
	}
	return 0, fault.Unavailable("The keys are being rotated. Try again.")
}

func oneVersion(tx *store.Tx, query, name string) (int64, error) {
	version, err := store.One(tx, func(r store.Row) (n int64, err error) { return n, r.Scan(&n) }, query, name)
	if fault.Is(err, fault.KindNotFound) {
		return 0, nil
	}
	return version, err
}

func lockKeys(tx *store.Tx) ([]keyRow, error) {
	if _, err := store.All(tx, func(r store.Row) (s string, err error) { return s, r.Scan(&s) },
		`SELECT purpose FROM keyring_key ORDER BY purpose, version`+tx.ForUpdate()); err != nil {
		return nil, err
	}
	return selectKeys(tx)
}

func retireKey(tx *store.Tx, id keyID) error {
	tx.Forget(newestKept + id.purpose)
	_, err := tx.Exec(`UPDATE keyring_key SET sealed = $3, retired_at = $4 WHERE purpose = $1 AND version = $2`,
		id.purpose, id.version, []byte{}, store.Micros(tx.Now()))
	return err
}

func selectRotation(tx *store.Tx) (started time.Time, err error) {
	micros, err := store.One(tx, func(r store.Row) (n int64, err error) { return n, r.Scan(&n) },
		`SELECT started_at FROM keyring_rotation WHERE id = 'rotation'`)
	if fault.Is(err, fault.KindNotFound) {
		return time.Time{}, nil
	}
	return store.FromMicros(micros), err
}

func insertRotation(tx *store.Tx) error {
	_, err := tx.Exec(`INSERT INTO keyring_rotation (id, started_at) VALUES ('rotation', $1)`, store.Micros(tx.Now()))
	return err
}

func deleteRotation(tx *store.Tx) error {
	_, err := tx.Exec(`DELETE FROM keyring_rotation WHERE id = 'rotation'`)
	return err
}

// Column is a column of sealed values, as its owner describes it to
// [Keyring.Rotate]. The fields are names from the program's own text and
// become part of statements.
type Column struct {
	// Table is the table; it is also the values' Place.Table.
	Table string
	// ID is the column, or an expression, that gives Place.Row.
	ID string
	// Column is the column of the values; it is also their Place.Column. NULL
	// and empty bytes mean that there is no value.
	Column string
	// Version is the column that gives Place.Version; empty where it is 0.
	Version string
}

func (c Column) version() string {
	if c.Version == "" {
		return "CAST(0 AS BIGINT)"
	}
	return c.Version
}

func (c Column) check() error {
	if c.Table == "" || c.ID == "" || c.Column == "" {
		return errors.New("keyring: a column needs table, id and column")
	}
	return nil
}

// position is where in a column a rotation stands.
type position struct {
	row     string
	version int64
}

type sealedRow struct {
	position
	sealed []byte
}

// place is where a value of the column stands.
func (c Column) place(at position) Place {
	return Place{Table: c.Table, Row: at.row, Column: c.Column, Version: at.version}
}

func (c Column) count(tx *store.Tx) (int, error) {
	return store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) },
		fmt.Sprintf(`SELECT count(*) FROM %s WHERE length(%s) > 0`, c.Table, c.Column))
}

// after returns the next rows behind at, in order. at nil is the start.
func (c Column) after(tx *store.Tx, at *position, limit int) ([]sealedRow, error) {
	scan := func(r store.Row) (s sealedRow, err error) { return s, r.Scan(&s.row, &s.version, &s.sealed) }
	query := `SELECT %[1]s, %[2]s, %[3]s FROM %[4]s WHERE length(%[3]s) > 0%[5]s ORDER BY %[1]s, 2 LIMIT %[6]d`
	if at == nil {
		return store.All(tx, scan, fmt.Sprintf(query, c.ID, c.version(), c.Column, c.Table, "", limit))
	}
	beyond := fmt.Sprintf(` AND (%s, %s) > ($1, $2)`, c.ID, c.version())
	return store.All(tx, scan, fmt.Sprintf(query, c.ID, c.version(), c.Column, c.Table, beyond, limit), at.row, at.version)
}

// now returns a value as it is at this moment, nothing where it is gone.
func (c Column) now(tx *store.Tx, at position) ([]byte, error) {
	sealed, err := store.One(tx, func(r store.Row) (b []byte, err error) { return b, r.Scan(&b) },
		fmt.Sprintf(`SELECT %[1]s FROM %[2]s WHERE %[3]s = $1 AND %[4]s = $2`, c.Column, c.Table, c.ID, c.version()), at.row, at.version)
	if fault.Is(err, fault.KindNotFound) {
		return nil, nil
	}
	return sealed, err
}

// replace stores the value wrapped anew unless it has changed meanwhile.
func (c Column) replace(tx *store.Tx, old sealedRow, sealed []byte) error {
	_, err := tx.Exec(fmt.Sprintf(`UPDATE %[1]s SET %[2]s = $1 WHERE %[3]s = $2 AND %[4]s = $3 AND %[2]s = $4`,
		c.Table, c.Column, c.ID, c.version()), sealed, old.row, old.version, old.sealed)
	return err
}

// used adds the keys that the column's values name. damaged counts values
// that name none.
func (c Column) used(tx *store.Tx, keys map[keyID]bool) (damaged int, err error) {
	err = tx.Each(func(r store.Row) error {
		var header []byte
		if err := r.Scan(&header); err != nil {
			return err
		}
		id, _, err := parseHeader(header)
		if err != nil {
			damaged++
			return nil
		}
		keys[id] = true
		return nil
	}, fmt.Sprintf(`SELECT DISTINCT substr(%[1]s, 1, %[2]d) FROM %[3]s WHERE length(%[1]s) > 0`,
		c.Column, longestHeaderOf(Purposes()), c.Table))
	return damaged, err
}

// longestHeaderOf returns how many bytes tell the key of a value, whatever
// its purpose.
func longestHeaderOf(purposes []string) int {
	longest := 0
	for _, p := range purposes {
		longest = max(longest, len(p))
	}
	return 1 + 1 + longest + 8
}
