package delivery_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/delivery"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

func torture() bool { return os.Getenv("SEALPOST_TORTURE") != "" }

// point is where the process is killed.
type point struct {
	name string
	// begun tells that the server may have letters in work by then.
	begun bool
	// most is how often it is passed for twelve letters, at least.
	most int
}

func points() []point {
	return []point{
		{"delivery.claimed", false, 3},
		{"delivery.opened", false, 3},
		{"delivery.before-content", true, 12},
		{"delivery.after-content", true, 12},
		{"delivery.before-record", true, 12},
		{"delivery.after-record", true, 12},
		{"delivery.recorded-group", true, 3},
	}
}

// inFlight is how many letters a lane may have with the server, or not written
// down yet, around the nth of them: it sends one, then two, then four and so on,
// and begins no letter before all of those before are written down.
func inFlight(n int) int {
	size := 1
	for first := 1; first+size <= n; size *= 2 {
		first += size
	}
	return size
}

// A process that is killed while it delivers loses no letter, and repeats one
// only where the server had it and the process could not say so any more.
func TestKilledWhileDelivering(t *testing.T) {
	t.Parallel()
	times, lanes := []int{2}, []int{1}
	if torture() {
		times, lanes = []int{1, 2, 3, 5, 8}, []int{1, 2}
	}
	program := filepath.Join(t.TempDir(), "crash")
	if out, err := exec.Command("go", "build", "-tags", "failpoints", "-o", program, "./testdata/crash").CombinedOutput(); err != nil {
		t.Fatalf("building the program that is killed: %v\n%s", err, out)
	}
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		for _, p := range points() {
			for _, n := range times {
				if n > p.most {
					continue
				}
				for _, connections := range lanes {
					t.Run(fmt.Sprintf("%s/%s:%d/%d", engine, p.name, n, connections), func(t *testing.T) {
						newCrash(t, engine, program).run(p, n, connections)
					})
				}
			}
		}
	}
}

type crash struct {
	t       *testing.T
	cfg     store.Config
	sink    *smtptest.Sink
	who     []string
	ids     []string
	program string
}

func newCrash(t *testing.T, engine store.Engine, program string) *crash {
	return &crash{t: t, cfg: storetest.Config(t, engine, nil), sink: smtptest.StartSink(t, smtptest.SinkConfig{}), program: program}
}

func (c *crash) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// open opens the database and builds what delivers from it.
func (c *crash) open() (*store.DB, *outbox.Outbox, *mail.Service, *delivery.Engine) {
	c.t.Helper()
	db, err := store.Open(c.t.Context(), c.cfg)
	c.must(err)
	root, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
	c.must(err)
	keys, err := keyring.Open(c.t.Context(), keyring.Config{DB: db, Root: root})
	c.must(err)
	letters, err := letter.New()
	c.must(err)
	table, err := verdict.New()
	c.must(err)
	log := audit.New(audit.Config{DB: db, Keys: keys, Log: slog.New(slog.DiscardHandler)})
	box := outbox.New(outbox.Config{DB: db, Keys: keys, Audit: log, Letters: letters})
	service := mail.New(mail.Config{DB: db, Keys: keys, Audit: log, Letters: letters, Gate: box.GateOf(outbox.Main)})
	engine, err := delivery.New(delivery.Config{Mail: service, Outbox: box, Table: table, Pace: pace.New(pace.Config{DB: db})})
	c.must(err)
	return db, box, service, engine
}

func (c *crash) run(p point, n, connections int) {
	c.prepare(connections)
	c.kill(p.name, n, connections)
	// SQLite's process is gone, and so is the only one on PostgreSQL: what it
	// had claimed is nobody's.
	db, box, _, engine := c.open()
	defer func() { c.must(db.Close()) }()
	c.must(box.Recover(c.t.Context()))
	c.must(pace.New(pace.Config{DB: db}).Recover(c.t.Context()))
	for more := true; more; {
		var err error
		more, err = engine.Run(c.t.Context())
		c.must(err)
	}
	c.must(engine.Close(c.t.Context()))
	repeated := c.check(box)
	most := 0
	if p.begun || connections > 1 {
		most = connections * inFlight(n)
		if p.name == "delivery.recorded-group" || !p.begun {
			// A group is one of several letters.
			most = connections * inFlight(12)
		}
	}
	if repeated > most || p.name == "delivery.before-record" && repeated == 0 {
		c.t.Errorf("%d letters were repeated, at most %d are to be", repeated, most)
	}
}

// prepare puts letters into the outbox and sets the mail server up for so many
// connections: the process that is killed has all of them.
func (c *crash) prepare(connections int) {
	c.t.Helper()
	db, box, service, _ := c.open()
	_, err := service.Save(c.t.Context(), admin, mail.Change{
		Kind: mail.KindSMTP, Host: "127.0.0.1", Port: c.sink.Port(), Security: smtp.None, SenderAddress: "vault@example.org",
		Auth: mail.AuthNone, Anyway: true, Pace: pace.Limits{Connections: connections},
	})
	c.must(err)
	for i := range 12 {
		who := fmt.Sprintf("user%d@example.org", i)
		c.must(db.Update(c.t.Context(), func(tx *store.Tx) error {
			id, err := box.Add(tx, outbox.Recipient{Name: "Ada", Address: who}, news())
			c.who, c.ids = append(c.who, who), append(c.ids, id)
			return err
		}))
	}
	c.must(db.Close())
}

// kill lets a process deliver until it is killed at the nth hit of a point.
func (c *crash) kill(name string, n, connections int) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), c.program, c.cfg.Path, c.cfg.URL.Reveal(), fmt.Sprint(connections))
	cmd.Env = append(os.Environ(), fmt.Sprintf("SEALPOST_FAILPOINT=%s:%d", name, n))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		c.t.Fatalf("the process was not killed at %s: %v\n%s", name, err, out)
	}
}

// check makes sure that every letter arrived and that repeated ones are the
// same, and returns how many were.
func (c *crash) check(box *outbox.Outbox) (repeated int) {
	c.t.Helper()
	got := map[string][][]byte{}
	for _, l := range c.sink.Letters() {
		got[l.To[0]] = append(got[l.To[0]], l.Data)
	}
	for i, id := range c.ids {
		row, _, err := box.Get(c.t.Context(), admin, id)
		c.must(err)
		if row.State != outbox.Accepted {
			c.t.Errorf("the letter to %s is %s", c.who[i], row.State)
		}
		all := got[c.who[i]]
		switch {
		case len(all) == 0:
			c.t.Errorf("the letter to %s is lost", c.who[i])
		case len(all) > 1:
			repeated++
			if len(all) > 2 || !bytes.Equal(all[0], all[1]) || !strings.Contains(string(all[0]), row.MessageID) {
				c.t.Errorf("the letter to %s came %d times and differs", c.who[i], len(all))
			}
			if !row.MaybeSent {
				c.t.Errorf("the journal does not tell that the letter to %s may have come twice", c.who[i])
			}
		}
	}
	return repeated
}

// A lease that nobody renews runs out by itself: another node goes on without
// being told.
func TestTheLeaseOfADeadProcessRunsOut(t *testing.T) {
	each(t, func(r *rig) {
		claims, err := r.box.Claim(r.t.Context(), outbox.Main, 1, r.cfg.Lease, "")
		r.must(err)
		if len(claims) != 0 {
			r.t.Fatal("there was a letter")
		}
		id := r.add("ada", news())
		claims, err = r.box.Claim(r.t.Context(), outbox.Main, 1, 2*60e9, `{"address":"vault@example.org"}`)
		r.must(err)
		if !slices.ContainsFunc(claims, func(c outbox.Claim) bool { return c.ID == id }) {
			r.t.Fatal("the letter was not claimed")
		}
		r.run()
		r.want(id, outbox.Sending)
		r.clock.Advance(3 * 60e9)
		r.run()
		if row := r.want(id, outbox.Accepted); !row.MaybeSent || row.Attempts != 2 {
			r.t.Errorf("the journal says %+v", row)
		}
	})
}
