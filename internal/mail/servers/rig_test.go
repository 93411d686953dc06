package servers_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/delivery"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/servers"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

var admin = actor.Actor{Kind: actor.KindUser, UserID: "u-admin", Login: "grace", Role: actor.PrivilegedAdministrator}

// post is a mail server with what sends through it.
type post struct {
	sink   *smtptest.Sink
	mail   *mail.Service
	engine *delivery.Engine
	// down tells that it is out of reach, conns are the connections to it.
	down  bool
	conns []net.Conn
}

// rig is two mail servers with an engine each, over one database whose clock the
// test sets.
type rig struct {
	t       *testing.T
	db      *store.DB
	clock   *storetest.Clock
	audit   *audit.Log
	box     *outbox.Outbox
	servers *servers.Service
	// other is a second node's.
	other *servers.Service

	mu      sync.Mutex
	posts   map[mail.Slot]*post
	proved  bool
	letters int
}

func each(t *testing.T, f func(r *rig)) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) { f(newRig(t, db, clock)) })
}

func newRig(t *testing.T, db *store.DB, clock *storetest.Clock) *rig {
	r := &rig{t: t, db: db, clock: clock, posts: map[mail.Slot]*post{}, proved: true}
	lab := smtptest.NewLab(t, clock.Now())
	ca := lab.Make(smtptest.Order{Name: "Lab CA", CA: true})
	cert := lab.Make(smtptest.Order{IP: []net.IP{net.IPv4(127, 0, 0, 1)}, By: ca}).TLS()
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate)
	root, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
	r.must(err)
	keys, err := keyring.Open(t.Context(), keyring.Config{DB: db, Root: root})
	r.must(err)
	letters, err := letter.New()
	r.must(err)
	table, err := verdict.New()
	r.must(err)
	log := slog.New(slog.DiscardHandler)
	r.audit = audit.New(audit.Config{DB: db, Keys: keys, Log: log})
	r.box = outbox.New(outbox.Config{DB: db, Keys: keys, Letters: letters, Audit: r.audit, Route: servers.Route})
	paces := pace.New(pace.Config{DB: db})
	for _, slot := range mail.Slots() {
		p := &post{sink: smtptest.StartSink(t, smtptest.SinkConfig{
			Certificate: &cert, Mechanisms: []string{"PLAIN"}, Login: "robot", Password: "secret of " + string(slot),
		})}
		c := mail.Config{
			Slot: slot, DB: db, Keys: keys, Audit: r.audit, Letters: letters, Gate: r.box.GateOf(outbox.Slot(slot)), Roots: roots, Now: clock.Now, Log: log,
			Pace: paces, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				if r.isDown(slot) {
					return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
				}
				conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
				r.mu.Lock()
				defer r.mu.Unlock()
				r.posts[slot].conns = append(r.posts[slot].conns, conn)
				return conn, err
			},
		}
		if slot == mail.Second {
			c.Removed = func(tx *store.Tx, by actor.Actor) error { return r.servers.Removed(tx, by) }
		}
		p.mail = mail.New(c)
		p.engine, err = delivery.New(delivery.Config{
			Mail: p.mail, Slot: outbox.Slot(slot), Outbox: r.box, Table: table, Pace: paces, Now: clock.Now, Log: log, Poll: 5 * time.Millisecond,
		})
		r.must(err)
		t.Cleanup(func() {
			if err := p.engine.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		r.posts[slot] = p
	}
	c := servers.Config{DB: db, Audit: r.audit, Outbox: r.box, Main: r.posts[mail.Main].mail, Second: r.posts[mail.Second].mail, Prove: func(actor.Actor) error {
		if !r.proved {
			return errProof
		}
		return nil
	}}
	r.servers, r.other = servers.New(c), servers.New(c)
	r.update(func(tx *store.Tx) error {
		return letters.SetSite(tx, letter.Site{AccessURL: "https://vault.example.org"})
	})
	return r
}

// two sets both servers up.
func (r *rig) two() {
	r.t.Helper()
	r.save(mail.Main)
	r.save(mail.Second)
}

func (r *rig) save(slot mail.Slot) {
	r.t.Helper()
	r.must(r.trySave(slot))
}

func (r *rig) trySave(slot mail.Slot) error {
	p := r.posts[slot]
	_, err := p.mail.Save(r.t.Context(), admin, mail.Change{
		Kind: mail.KindSMTP, Host: "127.0.0.1", Port: p.sink.Port(), Security: smtp.STARTTLS, SenderAddress: "vault@example.org", SenderName: "Vault",
		Auth: mail.AuthTyped, Username: "robot", Password: mail.Password{Action: mail.Replace, Value: secret.New("secret of " + string(slot))}, Anyway: true,
	})
	return err
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) update(f func(tx *store.Tx) error) {
	r.t.Helper()
	r.must(r.db.Update(r.t.Context(), f))
}

func (r *rig) isDown(slot mail.Slot) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.posts[slot].down
}

func (r *rig) setDown(slot mail.Slot, down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.posts[slot]
	p.down = down
	for _, c := range p.conns {
		_ = c.Close() // it may be closed
	}
	p.conns = nil
}

// add puts a letter to an address into the outbox.
func (r *rig) add(address string) (id string) {
	r.t.Helper()
	r.letters++
	r.update(func(tx *store.Tx) (err error) {
		id, err = r.box.Add(tx, outbox.Recipient{UserID: fmt.Sprintf("u-%d", r.letters), Name: "Ada", Address: address}, letter.PasswordChanged{Name: "Ada"})
		return err
	})
	return id
}

// work lets both engines do what there is to do, and the watch look.
func (r *rig) work() {
	r.t.Helper()
	for _, slot := range mail.Slots() {
		for more := true; more; {
			var err error
			more, err = r.posts[slot].engine.Run(r.t.Context())
			r.must(err)
		}
	}
	r.watch()
}

// watch lets two nodes look.
func (r *rig) watch() {
	r.t.Helper()
	r.must(r.servers.Watch(r.t.Context()))
	r.must(r.other.Watch(r.t.Context()))
}

// wait lets time pass in steps, and everybody work at each.
func (r *rig) wait(d, step time.Duration) {
	r.t.Helper()
	for ; d > 0; d -= step {
		r.clock.Advance(min(d, step))
		r.work()
	}
}

// took returns to whom a server took letters, sorted: two connections may
// overtake each other.
func (r *rig) took(slot mail.Slot) []string {
	var all []string
	for _, m := range r.posts[slot].sink.Letters() {
		all = append(all, strings.Join(m.To, ","))
	}
	slices.Sort(all)
	return all
}

func (r *rig) state(slot mail.Slot) mail.State {
	r.t.Helper()
	p, _, err := r.posts[slot].mail.Active(r.t.Context())
	r.must(err)
	return p.State
}

// set makes the settings.
func (r *rig) set(after time.Duration, routes ...string) {
	r.t.Helper()
	_, err := r.servers.Save(r.t.Context(), admin, servers.Settings{After: after, Routes: routes})
	r.must(err)
}

func (r *rig) audited(action string) []audit.Entry {
	r.t.Helper()
	page, err := r.audit.Search(r.t.Context(), admin, audit.Filter{Action: action})
	r.must(err)
	return page.Entries
}
