package capture

import (
	"fmt"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

const mailColumns = `id, at, sender, recipients, subject, size, has_html`

// Addresses hold no line break, see line.
func joinAddresses(all []string) string { return strings.Join(all, ", ") }

func scanMail(r store.Row) (Mail, error) {
	m, _, err := scanSealed(func(dest ...any) error { return r.Scan(dest[:7]...) })
	return m, err
}

func scanSealed(scan func(dest ...any) error) (Mail, []byte, error) {
	var m Mail
	var at int64
	var to string
	var sealed []byte
	err := scan(&m.ID, &at, &m.From, &to, &m.Subject, &m.Size, &m.HasHTML, &sealed)
	m.At, m.To = store.FromMicros(at), strings.Split(to, "\n")
	return m, sealed, err
}

// selectMails returns one letter more than the filter's limit, if there is.
func selectMails(tx *store.Tx, f Filter) ([]Mail, error) {
	var conds []string
	var args []any
	if f.Cursor != "" {
		args = append(args, f.Cursor)
		conds = append(conds, "id < $1")
	}
	if text := strings.TrimSpace(f.Text); text != "" {
		args = append(args, store.LikePattern(text))
		n := len(args)
		conds = append(conds, "("+tx.Like("sender", n)+" OR "+tx.Like("recipients", n)+" OR "+tx.Like("subject", n)+")")
	}
	where := ""
	if len(conds) > 0 {
		where = " WHERE " + strings.Join(conds, " AND ")
	}
	return store.All(tx, scanMail, fmt.Sprintf(`SELECT %s FROM capture_mail%s ORDER BY id DESC LIMIT %d`, mailColumns, where, f.Limit+1), args...)
}

func selectMail(tx *store.Tx, id string) (Mail, []byte, error) {
	type both struct {
		mail   Mail
		sealed []byte
	}
	b, err := store.One(tx, func(r store.Row) (b both, err error) {
		b.mail, b.sealed, err = scanSealed(r.Scan)
		return b, err
	}, `SELECT `+mailColumns+`, sealed FROM capture_mail WHERE id = $1`, id)
	if fault.Is(err, fault.KindNotFound) {
		err = fault.NotFound("This letter is not in the capture mailbox any more.")
	}
	return b.mail, b.sealed, err
}

func insertMail(tx *store.Tx, m Mail, sealed []byte) error {
	to := make([]string, len(m.To))
	for i, a := range m.To {
		to[i] = line(a)
	}
	_, err := tx.Exec(`INSERT INTO capture_mail (`+mailColumns+`, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		m.ID, store.Micros(m.At), m.From, strings.Join(to, "\n"), m.Subject, int64(m.Size), m.HasHTML, sealed)
	return err
}

type sized struct {
	id   string
	at   time.Time
	size int64
}

// selectSizes returns all letters, the newest first.
func selectSizes(tx *store.Tx) ([]sized, error) {
	return store.All(tx, func(r store.Row) (sized, error) {
		var s sized
		var at int64
		err := r.Scan(&s.id, &at, &s.size)
		s.at = store.FromMicros(at)
		return s, err
	}, `SELECT id, at, size FROM capture_mail ORDER BY id DESC`)
}

func deleteFrom(tx *store.Tx, all []sized) error {
	for _, s := range all {
		if err := deleteMail(tx, s.id); err != nil {
			return err
		}
	}
	return nil
}

func deleteMail(tx *store.Tx, id string) error {
	_, err := tx.Exec(`DELETE FROM capture_mail WHERE id = $1`, id)
	return err
}

func deleteAll(tx *store.Tx) (int64, error) { return tx.Exec(`DELETE FROM capture_mail`) }
