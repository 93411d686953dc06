package vault_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
	"github.com/sealpost/sealpost/internal/vault"
)

// eachBench runs f on both engines with real time.
func eachBench(b *testing.B, f func(b *testing.B, r *rig)) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		b.Run(string(engine), func(b *testing.B) { f(b, newRig(b, storetest.Open(b, engine), time.Now)) })
	}
}

// crowd gives ada resources with accounts each, without a password, many rows
// to a statement.
func (r *rig) crowd(resources, accounts int) {
	r.t.Helper()
	r.must(r.db.Update(r.ctx(), func(tx *store.Tx) error {
		rs := rows{into: `vault_resource (id, owner_id, name, name_key, type, type_key, address, department, location, url,
			ask_reason, created_at, changed_at, revision, search, account_names, notes)`}
		as := rows{into: `vault_account (id, resource_id, name, name_key, notes, version, created_at, changed_at, revision)`}
		ids := make([]string, resources)
		for at := range resources {
			ids[at] = store.NewID()
			if err := r.bystander(tx, &rs, ids[at], at, accounts); err != nil {
				return err
			}
		}
		if err := rs.insert(tx); err != nil {
			return err
		}
		for n := range resources * accounts {
			name := accountName(n/accounts, n%accounts)
			if err := as.add(tx, store.NewID(), ids[n/accounts], name, name, "", 0, 1, 1, 1); err != nil {
				return err
			}
		}
		return as.insert(tx)
	}))
	if r.db.Engine() == store.Postgres {
		// PostgreSQL does this by itself some time after so many rows.
		r.exec(`ANALYZE`)
	}
}

func accountName(resource, n int) string { return fmt.Sprintf("svc-%d-%d", resource, n) }

// bystander adds the row of one resource. Names come in no order, as people
// add them.
func (r *rig) bystander(tx *store.Tx, rs *rows, id string, at, accounts int) error {
	kinds := vault.Types()
	name := fmt.Sprintf("%s-%05d", []string{"db", "web", "mail", "fw", "app"}[at%5], at*7919%100_003)
	f := vault.Fields{
		Name: name, Type: kinds[at%len(kinds)], Address: fmt.Sprintf("10.%d.%d.%d", at>>16, at>>8&255, at&255),
		Department: "Operations", Location: "Data centre 2, rack 17", URL: "https://" + name + ".example.org/",
		Notes: strings.Repeat("Restart in the order that the handbook says. ", 3),
	}
	var names []string
	for n := range accounts {
		names = append(names, accountName(at, n))
	}
	search := strings.ToLower(strings.Join([]string{f.Name, f.Address, f.Type, f.Department, f.Location, f.URL, f.Notes}, "\n"))
	return rs.add(tx, id, r.ada.UserID, f.Name, f.Name, f.Type, strings.ToLower(f.Type), f.Address, f.Department, f.Location, f.URL,
		false, 1, at+1, 1, search, strings.Join(names, "\n"), f.Notes)
}

// rows are inserted some hundred to a statement.
type rows struct {
	into string
	b    strings.Builder
	args []any
}

func (r *rows) add(tx *store.Tx, values ...any) error {
	sign := ",("
	for _, v := range values {
		r.args = append(r.args, v)
		fmt.Fprintf(&r.b, "%s$%d", sign, len(r.args))
		sign = ","
	}
	r.b.WriteByte(')')
	if len(r.args) < 5_000 {
		return nil
	}
	return r.insert(tx)
}

func (r *rows) insert(tx *store.Tx) error {
	if len(r.args) == 0 {
		return nil
	}
	_, err := tx.Exec("INSERT INTO "+r.into+" VALUES "+r.b.String()[1:], r.args...)
	*r = rows{into: r.into}
	return err
}

func BenchmarkReveal(b *testing.B) {
	eachBench(b, func(b *testing.B, r *rig) {
		a := r.account(r.ada, r.add(r.ada, "db1"), "root", "correct horse battery staple")
		loop(b, func() error { return second(r.vault.Reveal(r.ctx(), r.ada, a.ID, 0, vault.ShowIt, "")) })
	})
}

func BenchmarkSetPassword(b *testing.B) {
	eachBench(b, func(b *testing.B, r *rig) {
		a := r.account(r.ada, r.add(r.ada, "db1"), "root", "")
		pw := secret.New("correct horse battery staple")
		loop(b, func() error { return second(r.vault.SetPassword(r.ctx(), r.ada, a.ID, pw, "", 0)) })
	})
}

// BenchmarkFind finds among 100,000 accounts that one person owns.
func BenchmarkFind(b *testing.B) {
	for _, shape := range []struct{ resources, accounts int }{{20_000, 5}, {100_000, 1}} {
		b.Run(fmt.Sprintf("%dx%d", shape.resources, shape.accounts), func(b *testing.B) {
			eachBench(b, func(b *testing.B, r *rig) {
				r.crowd(shape.resources, shape.accounts)
				for _, find := range []struct {
					name string
					f    vault.Filter
				}{
					{"first page", vault.Filter{}},
					{"newest", vault.Filter{Sort: "-changed"}},
					{"type", vault.Filter{Type: "Oracle"}},
					{"common", vault.Filter{Text: "db"}},
					{"every", vault.Filter{Text: "operations"}},
					{"rare", vault.Filter{Text: "svc-19999-0"}},
					{"none", vault.Filter{Text: "nothing has this"}},
				} {
					b.Run(find.name, func(b *testing.B) { r.benchFind(b, find.f) })
				}
				b.Run("deep page", func(b *testing.B) {
					page, err := r.vault.Resources(r.ctx(), r.ada, vault.Filter{Text: "web-9", Limit: 500})
					r.must(err)
					r.benchFind(b, vault.Filter{Cursor: page.Next})
				})
				for _, text := range []string{"svc-19999-0", "svc", "nothing-has-this"} {
					b.Run("pick "+text, func(b *testing.B) {
						loop(b, func() error { return second(r.vault.SearchAccounts(r.ctx(), r.ada, text, 20)) })
					})
				}
			})
		})
	}
}

func (r *rig) benchFind(b *testing.B, f vault.Filter) {
	loop(b, func() error { return second(r.vault.Resources(r.ctx(), r.ada, f)) })
}

// loop measures f by the clock and by the work of this process, which others
// on the machine do not slow down. PostgreSQL's own work is not in it.
func loop(b *testing.B, f func() error) {
	b.Helper()
	began := worked(b)
	for b.Loop() {
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(worked(b)-began)/float64(b.N), "cpu-ns/op")
}

func worked(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkAddAccount adds to a resource that has very many already.
func BenchmarkAddAccount(b *testing.B) {
	eachBench(b, func(b *testing.B, r *rig) {
		r.crowd(1, 5_000)
		page, err := r.vault.Resources(r.ctx(), r.ada, vault.Filter{})
		r.must(err)
		n := 0
		loop(b, func() error {
			n++
			return second(r.vault.AddAccount(r.ctx(), r.ada, page.Resources[0].ID, vault.NewAccount{Name: fmt.Sprint("more", n)}))
		})
	})
}
