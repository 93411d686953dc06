package delivery_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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

// offer is a server, and how many letters it is given.
type offer struct {
	name     string
	announce []string
	letters  int
}

// offers are a server that takes one command after the other, one that takes
// groups of them, and one that takes letters before the ones before them are
// answered.
func offers() []offer {
	return []offer{{"plain", nil, 12}, {"groups", []string{"PIPELINING"}, 12}, {"window", []string{"PIPELINING", "CHUNKING"}, 40}}
}

// inFlight is how many letters a lane may have with the server, or not written
// down yet, around the nth of them: it claims one, then two, then four and so on,
// and claims no more before all of those before are written down. No window is as
// large.
func inFlight(n int) int {
	size := 1
	for first := 1; first+size <= n; size *= 2 {
		first += size
	}
	return size
}

// plight is a way to be killed: at the nth hit of a point, with so many
// connections to a server.
type plight struct {
	engine store.Engine
	point
	n, connections int
	offer
	// again lets the process that goes on be killed as well.
	again bool
}

func (p plight) String() string {
	return fmt.Sprintf("%s/%s:%d/%s/%d", p.engine, p.point.name, p.n, p.offer.name, p.connections)
}

// bound is how many letters a process that is killed may leave for another one
// to repeat.
func (p plight) bound() int {
	switch {
	case p.point.name == "delivery.recorded-group", !p.begun && p.connections > 1:
		// A group is one of several letters, and the other lanes' claims are not
		// counted.
		return p.connections * inFlight(p.letters)
	case !p.begun:
		return 0
	}
	return p.connections * inFlight(p.n)
}

// plights are those to go through: by default each point once on each engine,
// with each kind of server in turn.
func plights() (all []plight) {
	engines := []store.Engine{store.SQLite, store.Postgres}
	for i, point := range points() {
		for j, engine := range engines {
			p := plight{engine: engine, point: point, n: 2, connections: 1 + (i+j)%2, offer: offers()[(2*i+j)%3], again: i == 3}
			if point.most == 12 && p.letters > 12 {
				p.n = 20 // many are in flight by then
			}
			all = append(all, p)
		}
	}
	return all
}

// tortures are runs of each point on each engine, drawn by chance.
func tortures(t *testing.T, runs int) (all []plight) {
	seed := rand.Uint64()
	if s := os.Getenv("SEALPOST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SEALPOST_SEED=%d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	for range runs {
		for _, point := range points() {
			for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
				p := plight{engine: engine, point: point, connections: 1 + chance.IntN(3), offer: offers()[chance.IntN(3)], again: chance.IntN(4) == 0}
				most := p.most
				if most == 12 {
					most = p.letters
				}
				p.n = 1 + chance.IntN(most)
				all = append(all, p)
			}
		}
	}
	return all
}

// tortureRuns is how often each point is tried on each engine under torture.
func tortureRuns(t *testing.T) int {
	if s := os.Getenv("SEALPOST_RUNS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return 200
}

// A process that is killed while it delivers loses no letter, and repeats one
// only where the server had it and the process could not say so any more.
func TestKilledWhileDelivering(t *testing.T) {
	t.Parallel()
	program := buildNode(t)
	all := plights()
	if torture() {
		all = tortures(t, tortureRuns(t))
	}
	for _, p := range all {
		t.Run(p.String(), func(t *testing.T) { newCrash(t, p.engine, program, p.announce...).run(p) })
	}
}

// Each point that the packages have is in the matrix.
func TestEachPointIsInTheMatrix(t *testing.T) {
	var known, found []string
	for _, p := range points() {
		known = append(known, p.name)
	}
	hit := regexp.MustCompile(`failpoint\.Hit\("(delivery\.[^"]+)"\)`)
	for _, pattern := range []string{"*.go", "../outbox/*.go", "../smtp/*.go", "../*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range hit.FindAllStringSubmatch(string(text), -1) {
				found = append(found, m[1])
			}
		}
	}
	slices.Sort(known)
	slices.Sort(found)
	if found = slices.Compact(found); !slices.Equal(known, found) {
		t.Errorf("the matrix has\n%q, and the packages\n%q", known, found)
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

func newCrash(t *testing.T, engine store.Engine, program string, announce ...string) *crash {
	return &crash{t: t, cfg: storetest.Config(t, engine, nil), sink: smtptest.StartSink(t, smtptest.SinkConfig{Announce: announce}), program: program}
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

func (c *crash) run(p plight) {
	c.prepare(p.connections, p.letters)
	if !c.kill(p) {
		c.t.Fatalf("the process was not killed")
	}
	kills := 1
	if p.again {
		// There may be too few letters left for it.
		db, _ := c.recover()
		c.must(db.Close())
		if c.kill(p) {
			kills++
		}
	}
	db, engine := c.recover()
	for more := true; more; {
		var err error
		more, err = engine.Run(c.t.Context())
		c.must(err)
	}
	c.must(engine.Close(c.t.Context()))
	defer func() { c.must(db.Close()) }()
	c.check(db)
	repeated := repeats(c.sink.Letters())
	c.t.Logf("killed %d times, %d letters repeated", kills, repeated)
	if repeated > kills*p.bound() || p.point.name == "delivery.before-record" && repeated == 0 {
		c.t.Errorf("%d letters were repeated, at most %d are to be", repeated, kills*p.bound())
	}
}

// prepare puts letters into the outbox and sets the mail server up for so many
// connections: the process that is killed has all of them.
func (c *crash) prepare(connections, letters int) {
	c.t.Helper()
	db, box, service, _ := c.open()
	_, err := service.Save(c.t.Context(), admin, mail.Change{
		Kind: mail.KindSMTP, Host: "127.0.0.1", Port: c.sink.Port(), Security: smtp.None, SenderAddress: "vault@example.org",
		Auth: mail.AuthNone, Anyway: true, Pace: pace.Limits{Connections: connections},
	})
	c.must(err)
	for i := range letters {
		who := fmt.Sprintf("user%d@example.org", i)
		c.must(db.Update(c.t.Context(), func(tx *store.Tx) error {
			id, err := box.Add(tx, outbox.Recipient{Name: "Ada", Address: who}, news())
			c.who, c.ids = append(c.who, who), append(c.ids, id)
			return err
		}))
	}
	c.must(db.Close())
}

// kill lets a process deliver until it is killed, and reports false where it came
// to its end before.
func (c *crash) kill(p plight) bool {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), c.program, c.cfg.Path, c.cfg.URL.Reveal(), fmt.Sprint(p.connections))
	cmd.Env = append(os.Environ(), fmt.Sprintf("SEALPOST_FAILPOINT=%s:%d", p.point.name, p.n))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false
	case !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL:
		c.t.Fatalf("the process was not killed at %s: %v\n%s", p.point.name, err, out)
	}
	return true
}

// recover does what a start does. SQLite's process is gone, and so is the only
// one on PostgreSQL: what it had claimed is nobody's.
func (c *crash) recover() (*store.DB, *delivery.Engine) {
	c.t.Helper()
	db, box, _, engine := c.open()
	c.must(box.Recover(c.t.Context()))
	c.must(pace.New(pace.Config{DB: db}).Recover(c.t.Context()))
	return db, engine
}

// check makes sure that every letter arrived, and that the books are right.
func (c *crash) check(db *store.DB) {
	c.t.Helper()
	books, err := readBooks(c.t.Context(), db)
	c.must(err)
	acknowledged := map[string]string{}
	for i, who := range c.who {
		acknowledged[who] = c.ids[i]
		if b := books[c.ids[i]]; b != nil && b.state != outbox.Accepted {
			c.t.Errorf("the letter to %s is %s", who, b.state)
		}
	}
	for _, wrong := range wrongs(acknowledged, books, c.sink.Letters()) {
		c.t.Error(wrong)
	}
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
