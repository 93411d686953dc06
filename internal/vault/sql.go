package vault

import (
	"fmt"
	"strings"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

// one is store.One with the sentence for what is not there.
func one[T any](tx *store.Tx, missing error, scan func(store.Row) (T, error), query string, args ...any) (T, error) {
	v, err := store.One(tx, scan, query, args...)
	if fault.Is(err, fault.KindNotFound) {
		err = missing
	}
	return v, err
}

func scanInt(r store.Row) (n int, err error) { return n, r.Scan(&n) }

// conditions collects the parts of a WHERE clause with their parameters. The
// parts are the program's own text; what people typed goes as parameters.
type conditions struct {
	parts []string
	args  []any
}

// add takes one ? in part for each parameter.
func (c *conditions) add(part string, args ...any) {
	var b strings.Builder
	for _, arg := range args {
		before, after, _ := strings.Cut(part, "?")
		c.args = append(c.args, arg)
		fmt.Fprintf(&b, "%s$%d", before, len(c.args))
		part = after
	}
	c.parts = append(c.parts, b.String()+part)
}

func (c *conditions) where() string {
	if len(c.parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.parts, " AND ")
}

const resourceColumns = `r.id, r.owner_id, u.login, u.name, r.name, r.type, r.address, r.department, r.location, r.url, r.notes,
	r.ask_reason, r.created_at, r.changed_at, r.revision, (SELECT COUNT(*) FROM vault_account a WHERE a.resource_id = r.id)`

const resourceTables = ` FROM vault_resource r JOIN identity_user u ON u.id = r.owner_id`

func scanResource(row store.Row) (Resource, error) {
	var r Resource
	var created, changed int64
	err := row.Scan(&r.ID, &r.OwnerID, &r.OwnerLogin, &r.OwnerName, &r.Name, &r.Type, &r.Address, &r.Department, &r.Location, &r.URL,
		&r.Notes, &r.AskReason, &created, &changed, &r.Revision, &r.Accounts)
	r.CreatedAt, r.ChangedAt = store.FromMicros(created), store.FromMicros(changed)
	return r, err
}

func resourceBy(tx *store.Tx, id string) (Resource, error) {
	return one(tx, errNoResource, scanResource, `SELECT `+resourceColumns+resourceTables+` WHERE r.id = $1`, id)
}

func resourceNamed(tx *store.Tx, login, key string) (Resource, error) {
	return one(tx, errNoResource, scanResource,
		`SELECT `+resourceColumns+resourceTables+` WHERE u.login = $1 AND r.name_key = $2`, login, key)
}

// within adds that r is among the first limit rows that fit inner. Only those
// are read whole: a search walks through an index that has all it looks at.
func (c *conditions) within(inner conditions, o order, limit int) {
	c.args = inner.args
	c.parts = append(c.parts, fmt.Sprintf(`r.id IN (SELECT r.id FROM vault_resource r%s ORDER BY %s LIMIT %d)`,
		inner.where(), o.by(), limit))
}

func listResources(tx *store.Tx, inner conditions, o order, limit int) ([]Resource, error) {
	query, args := pageQuery(inner, o, limit)
	return store.All(tx, scanResource, query, args...)
}

func pageQuery(inner conditions, o order, limit int) (query string, args []any) {
	var c conditions
	c.within(inner, o, limit)
	return fmt.Sprintf(`SELECT %s%s%s ORDER BY %s`, resourceColumns, resourceTables, c.where(), o.by()), c.args
}

func countResources(tx *store.Tx, c conditions) (int, error) {
	return store.One(tx, scanInt, `SELECT COUNT(*) FROM vault_resource r`+c.where(), c.args...)
}

func countOwned(tx *store.Tx, userID string) (int, error) {
	return store.One(tx, scanInt, `SELECT COUNT(*) FROM vault_resource WHERE owner_id = $1`, userID)
}

// ownedNames returns the keys of the names of what a user owns.
func ownedNames(tx *store.Tx, userID string) (map[string]bool, error) {
	names := make(map[string]bool)
	err := tx.Each(func(r store.Row) error {
		var key string
		err := r.Scan(&key)
		names[key] = true
		return err
	}, `SELECT name_key FROM vault_resource WHERE owner_id = $1`, userID)
	return names, err
}

// lockOwned returns what a user owns and keeps it from changing.
func lockOwned(tx *store.Tx, userID string) ([]Resource, error) {
	if _, err := store.All(tx, func(r store.Row) (s string, err error) { return s, r.Scan(&s) },
		`SELECT id FROM vault_resource WHERE owner_id = $1 ORDER BY id`+tx.ForUpdate(), userID); err != nil {
		return nil, err
	}
	return store.All(tx, scanResource, `SELECT `+resourceColumns+resourceTables+` WHERE r.owner_id = $1 ORDER BY r.id`, userID)
}

// lockResource keeps a resource, and which accounts it has, from changing
// before tx ends.
func lockResource(tx *store.Tx, id string) error {
	_, err := one(tx, errNoResource, func(r store.Row) (s string, err error) { return s, r.Scan(&s) },
		`SELECT id FROM vault_resource WHERE id = $1`+tx.ForUpdate(), id)
	return err
}

// maxSearchNotes bounds how much of the notes the search looks at, in
// characters: it walks through all of it at every key that is pressed.
const maxSearchNotes = 500

// searchText is what the search box looks in, beside the accounts' names.
func searchText(f Fields) string {
	notes := []rune(f.Notes)
	notes = notes[:min(len(notes), maxSearchNotes)]
	return store.Fold(strings.Join([]string{f.Name, f.Address, f.Type, f.Department, f.Location, f.URL, string(notes)}, "\n"))
}

func insertResource(tx *store.Tx, id, ownerID string, f Fields) error {
	_, err := tx.Exec(`INSERT INTO vault_resource (id, owner_id, name, name_key, type, type_key, address, department, location, url,
			ask_reason, created_at, changed_at, revision, search, account_names, notes)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, 1, $13, '', $14)`,
		id, ownerID, f.Name, nameKey(f.Name), f.Type, nameKey(f.Type), f.Address, f.Department, f.Location, f.URL,
		f.AskReason, store.Micros(tx.Now()), searchText(f), f.Notes)
	return err
}

func updateResource(tx *store.Tx, id string, f Fields) error {
	_, err := tx.Exec(`UPDATE vault_resource SET name = $2, name_key = $3, type = $4, type_key = $5, address = $6, department = $7,
			location = $8, url = $9, ask_reason = $10, changed_at = $11, revision = revision + 1, search = $12, notes = $13 WHERE id = $1`,
		id, f.Name, nameKey(f.Name), f.Type, nameKey(f.Type), f.Address, f.Department, f.Location, f.URL, f.AskReason,
		store.Micros(tx.Now()), searchText(f), f.Notes)
	return err
}

// giveResource makes another user the owner of r, under the name that r has.
func giveResource(tx *store.Tx, r Resource, ownerID string) error {
	_, err := tx.Exec(`UPDATE vault_resource SET owner_id = $2, name = $3, name_key = $4, search = $5, changed_at = $6,
			revision = revision + 1 WHERE id = $1`,
		r.ID, ownerID, r.Name, nameKey(r.Name), searchText(r.Fields), store.Micros(tx.Now()))
	return err
}

func deleteResource(tx *store.Tx, id string) error {
	_, err := tx.Exec(`DELETE FROM vault_resource WHERE id = $1`, id)
	return err
}

// renewNames brings what the search knows of a resource's accounts up to date.
// The caller holds the resource.
func renewNames(tx *store.Tx, resourceID string) error {
	names, err := store.All(tx, func(r store.Row) (s string, err error) { return s, r.Scan(&s) },
		`SELECT name_key FROM vault_account WHERE resource_id = $1 ORDER BY name_key`, resourceID)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE vault_resource SET account_names = $2, changed_at = $3 WHERE id = $1`,
		resourceID, strings.Join(names, "\n"), store.Micros(tx.Now()))
	return err
}

const accountColumns = `a.id, a.resource_id, r.name, r.owner_id, a.name, a.notes, a.version, COALESCE(v.set_at, 0),
	COALESCE(v.set_by, ''), a.created_at, a.changed_at, a.revision, r.ask_reason`

const accountTables = ` FROM vault_resource r JOIN vault_account a ON a.resource_id = r.id
	LEFT JOIN vault_version v ON v.account_id = a.id AND v.version = a.version`

func scanAccount(row store.Row) (Account, error) {
	var a Account
	var set, created, changed int64
	err := row.Scan(&a.ID, &a.ResourceID, &a.ResourceName, &a.OwnerID, &a.Name, &a.Notes, &a.Version, &set, &a.PasswordBy,
		&created, &changed, &a.Revision, &a.AskReason)
	a.PasswordAt, a.CreatedAt, a.ChangedAt = store.FromMicros(set), store.FromMicros(created), store.FromMicros(changed)
	return a, err
}

func accountBy(tx *store.Tx, id string) (Account, error) {
	return one(tx, errNoAccount, scanAccount, `SELECT `+accountColumns+accountTables+` WHERE a.id = $1`, id)
}

func accountNamed(tx *store.Tx, resourceID, key string) (Account, error) {
	return one(tx, errNoAccount, scanAccount,
		`SELECT `+accountColumns+accountTables+` WHERE a.resource_id = $1 AND a.name_key = $2`, resourceID, key)
}

func accountsOf(tx *store.Tx, resourceID string) ([]Account, error) {
	return store.All(tx, scanAccount,
		`SELECT `+accountColumns+accountTables+` WHERE a.resource_id = $1 ORDER BY a.name_key`, resourceID)
}

func listAccounts(tx *store.Tx, c conditions, limit int) ([]Account, error) {
	return store.All(tx, scanAccount, fmt.Sprintf(`SELECT %s%s%s ORDER BY r.name_key, r.id, a.name_key LIMIT %d`,
		accountColumns, accountTables, c.where(), limit), c.args...)
}

// lockAccount keeps an account's password from changing before tx ends.
func lockAccount(tx *store.Tx, id string) error {
	_, err := one(tx, errNoAccount, func(r store.Row) (s string, err error) { return s, r.Scan(&s) },
		`SELECT id FROM vault_account WHERE id = $1`+tx.ForUpdate(), id)
	return err
}

// holdAccount keeps an account and its resource from being deleted before tx
// ends, and returns the names of both.
func holdAccount(tx *store.Tx, id string) (string, error) {
	return one(tx, errNoAccount, func(r store.Row) (s string, err error) { return s, r.Scan(&s) },
		`SELECT r.name || ' / ' || a.name FROM vault_resource r JOIN vault_account a ON a.resource_id = r.id WHERE a.id = $1`+tx.ForShare(), id)
}

func insertAccount(tx *store.Tx, id, resourceID, name, notes string) error {
	_, err := tx.Exec(`INSERT INTO vault_account (id, resource_id, name, name_key, notes, version, created_at, changed_at, revision)
		VALUES ($1, $2, $3, $4, $5, 0, $6, $6, 1)`, id, resourceID, name, nameKey(name), notes, store.Micros(tx.Now()))
	return err
}

func updateAccount(tx *store.Tx, id, name, notes string) error {
	_, err := tx.Exec(`UPDATE vault_account SET name = $2, name_key = $3, notes = $4, changed_at = $5, revision = revision + 1
		WHERE id = $1`, id, name, nameKey(name), notes, store.Micros(tx.Now()))
	return err
}

func deleteAccount(tx *store.Tx, id string) error {
	_, err := tx.Exec(`DELETE FROM vault_account WHERE id = $1`, id)
	return err
}

// storedVersion is a row of vault_version.
type storedVersion struct {
	Version
	byID   string
	sealed []byte
}

// insertVersion adds a password and makes it the account's current one.
func insertVersion(tx *store.Tx, accountID string, v storedVersion) error {
	if _, err := tx.Exec(`INSERT INTO vault_version (account_id, version, sealed, set_at, set_by_id, set_by, reason, how)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		accountID, v.Version.Version, v.sealed, store.Micros(tx.Now()), v.byID, v.By, v.Reason, v.How); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE vault_account SET version = $2 WHERE id = $1`, accountID, v.Version.Version)
	return err
}

func versionOf(tx *store.Tx, accountID string, version int64) (storedVersion, error) {
	return one(tx, errNoVersion, func(r store.Row) (storedVersion, error) {
		v := storedVersion{Version: Version{Version: version}}
		err := r.Scan(&v.sealed, &v.byID, &v.By, &v.How)
		return v, err
	}, `SELECT sealed, set_by_id, set_by, how FROM vault_version WHERE account_id = $1 AND version = $2`, accountID, version)
}

func listVersions(tx *store.Tx, accountID string, limit int) ([]Version, error) {
	return store.All(tx, func(r store.Row) (Version, error) {
		var v Version
		var at int64
		err := r.Scan(&v.Version, &at, &v.By, &v.Reason, &v.How)
		v.At = store.FromMicros(at)
		return v, err
	}, fmt.Sprintf(`SELECT version, set_at, set_by, reason, how FROM vault_version WHERE account_id = $1
		ORDER BY version DESC LIMIT %d`, limit), accountID)
}
