package delivery_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/store"
)

// buildNode builds a process that delivers, with failpoints.
func buildNode(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "node")
	if out, err := exec.Command("go", "build", "-tags", "failpoints", "-o", program, "./testdata/node").CombinedOutput(); err != nil {
		t.Fatalf("building the node: %v\n%s", err, out)
	}
	return program
}

// nodes are processes that deliver from one PostgreSQL.
type nodes struct {
	crash
	db  *store.DB
	box *outbox.Outbox
}

// shortLease is long enough for a letter on a busy machine, and short enough to
// wait for.
const shortLease = 4 * time.Second

func newNodes(t *testing.T, program string) *nodes {
	n := &nodes{crash: crash{t: t, program: program}}
	whole := newCrash(t, store.Postgres, program)
	n.cfg, n.sink = whole.cfg, smtptest.StartSink(t, smtptest.SinkConfig{Announce: []string{"PIPELINING", "CHUNKING"}})
	db, box, service, _ := n.open()
	n.db, n.box = db, box
	t.Cleanup(func() { _ = db.Close() })
	_, err := service.Save(t.Context(), admin, mail.Change{
		Kind: mail.KindSMTP, Host: "127.0.0.1", Port: n.sink.Port(), Security: smtp.None, SenderAddress: "vault@example.org",
		Auth: mail.AuthNone, Anyway: true,
		// A node that is stopped keeps its places for a while.
		Pace: pace.Limits{Connections: 8},
	})
	n.must(err)
	return n
}

// add puts letters into the outbox.
func (n *nodes) add(count int) {
	n.t.Helper()
	for range count {
		who := fmt.Sprintf("user%d@example.org", len(n.who))
		n.must(n.db.Update(n.t.Context(), func(tx *store.Tx) error {
			id, err := n.box.Add(tx, outbox.Recipient{Name: "Ada", Address: who}, news())
			if err == nil {
				n.who, n.ids = append(n.who, who), append(n.ids, id)
			}
			return err
		}))
	}
}

// node is one process.
type node struct {
	t    *testing.T
	cmd  *exec.Cmd
	said bytes.Buffer
	done chan error
}

func (n *nodes) start(address, failpoint string, connections int) *node {
	n.t.Helper()
	p := &node{t: n.t, done: make(chan error, 1)}
	p.cmd = exec.Command(n.program, "", address, strconv.Itoa(connections), shortLease.String())
	p.cmd.Env = append(os.Environ(), "SEALPOST_FAILPOINT="+failpoint)
	p.cmd.Stderr = &p.said
	n.must(p.cmd.Start())
	go func() { p.done <- p.cmd.Wait() }()
	n.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
	})
	return p
}

// waitStopped waits until the process stopped itself.
func (p *node) waitStopped() {
	p.t.Helper()
	until(p.t, "the node stops", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		if err != nil {
			p.t.Fatalf("the node is gone: %v\n%s", err, &p.said)
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		return strings.HasPrefix(rest, "T")
	})
}

// end tells the process to end and waits.
func (p *node) end() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case err := <-p.done:
		if err != nil {
			p.t.Errorf("the node ended with %v\n%s", err, &p.said)
		}
	case <-time.After(time.Minute):
		p.t.Fatal("the node does not end")
	}
}

// until polls what no signal tells: other processes.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	late := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// result is what the journal says of a letter in the end.
type ended struct {
	state    outbox.State
	attempts int64
	changed  time.Time
	reply    string
}

func (n *nodes) results() map[string]ended {
	n.t.Helper()
	all := map[string]ended{}
	for _, id := range n.ids {
		row, _, err := n.box.Get(n.t.Context(), admin, id)
		n.must(err)
		all[id] = ended{row.State, row.Attempts, row.Changed, row.Reply}
	}
	return all
}

func (n *nodes) allAccepted() bool {
	for _, r := range n.results() {
		if r.state != outbox.Accepted {
			return false
		}
	}
	return true
}

// times returns how often a matter of chance is tried.
func times(few, many int) int {
	if torture() {
		return many
	}
	return few
}

// A node that is stopped for longer than its leases, and goes on as if nothing
// had been, neither sends what others sent meanwhile nor writes down what is no
// longer true.
func TestAStoppedNodeWritesNothingStale(t *testing.T) {
	t.Parallel()
	program := buildNode(t)
	for _, point := range []string{"delivery.claimed", "delivery.after-content"} {
		for i := range times(1, 50) {
			t.Run(fmt.Sprintf("%s/%d", point, i), func(t *testing.T) {
				n := newNodes(t, program)
				n.add(20)
				address := n.cfg.URL.Reveal()
				// With one connection alone nothing else is on its way when the
				// claim is made.
				which, connections := 1, 1
				if point == "delivery.after-content" {
					which, connections = 1+rand.IntN(8), 2
				}
				first := n.start(address, fmt.Sprintf("%s:%d:stop", point, which), connections)
				first.waitStopped()
				held := n.sending()
				second := n.start(address, "", 2)
				n.add(20) // under load
				until(t, "the second node delivers all", n.allAccepted)
				before := n.results()
				if err := first.cmd.Process.Signal(syscall.SIGCONT); err != nil {
					t.Fatal(err)
				}
				// It has time for a turn of its own, with new letters.
				n.add(5)
				until(t, "what came later is delivered", n.allAccepted)
				first.end()
				second.end()
				after := n.results()
				for id, was := range before {
					if after[id] != was {
						t.Errorf("the node that was stopped changed %+v to %+v", was, after[id])
					}
				}
				n.check(n.db)
				if point == "delivery.claimed" {
					n.once(held)
				}
			})
		}
	}
}

// sending returns who the letters in work are for.
func (n *nodes) sending() map[string]bool {
	n.t.Helper()
	held := map[string]bool{}
	for i, id := range n.ids {
		row, _, err := n.box.Get(n.t.Context(), admin, id)
		n.must(err)
		if row.State == outbox.Sending {
			held[n.who[i]] = true
		}
	}
	return held
}

// once makes sure that letters came once: the node that had them in work has not
// sent them after others had.
func (n *nodes) once(who map[string]bool) {
	n.t.Helper()
	if len(who) == 0 {
		n.t.Error("the node that was stopped had nothing in work")
	}
	copies := map[string]int{}
	for _, l := range n.sink.Letters() {
		copies[l.To[0]]++
	}
	for to := range who {
		if copies[to] != 1 {
			n.t.Errorf("the letter to %s came %d times", to, copies[to])
		}
	}
}

// cutter stands between a node and PostgreSQL and cuts the connection.
type cutter struct {
	t        *testing.T
	listener net.Listener
	target   string

	mu sync.Mutex
	// commits counts the COMMITs that passed; at is the one after which the
	// connection is cut before its answer, every cuts at each so many.
	commits, at int
	open        map[net.Conn]bool
	down        bool
	wait        sync.WaitGroup
}

const pgSocket = ".s.PGSQL.5432"

func newCutter(t *testing.T, address string) (*cutter, string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	// A socket's address has 107 bytes at most, which a test's folder may exceed.
	dir, err := os.MkdirTemp("/tmp", "cut-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &cutter{t: t, target: filepath.Join(q.Get("host"), pgSocket), open: map[net.Conn]bool{}}
	if c.listener, err = net.Listen("unix", filepath.Join(dir, pgSocket)); err != nil {
		t.Fatal(err)
	}
	c.wait.Go(c.accept)
	t.Cleanup(func() {
		_ = c.listener.Close()
		c.cut()
		c.wait.Wait()
	})
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	return c, u.String()
}

func (c *cutter) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		behind, err := net.Dial("unix", c.target)
		c.mu.Lock()
		if err != nil || c.down {
			_ = conn.Close()
			if err == nil {
				_ = behind.Close()
			}
			c.mu.Unlock()
			continue
		}
		c.open[conn], c.open[behind] = true, true
		c.mu.Unlock()
		c.wait.Go(func() { c.forward(conn, behind) })
		c.wait.Go(func() {
			_, _ = io.Copy(conn, behind)
			c.close(conn, behind)
		})
	}
}

// forward hands on what a node says, message by message (PostgreSQL's protocol
// 3.0), and looks for COMMIT.
func (c *cutter) forward(conn, behind net.Conn) {
	defer c.close(conn, behind)
	r := bufio.NewReader(conn)
	first := true
	for {
		head := make([]byte, 5)
		if first {
			head = head[1:] // the first message has no type
		}
		if _, err := io.ReadFull(r, head); err != nil {
			return
		}
		size := binary.BigEndian.Uint32(head[len(head)-4:])
		body := make([]byte, size-4)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		cuts := !first && c.isLast(head[0], body)
		first = false
		if _, err := behind.Write(append(head, body...)); err != nil {
			return
		}
		if cuts {
			// The server has it; its answer does not come back.
			c.cut()
			return
		}
	}
}

// isLast counts COMMITs and tells the one to cut after.
func (c *cutter) isLast(kind byte, body []byte) bool {
	if kind != 'Q' && kind != 'P' || !strings.Contains(strings.ToUpper(string(body)), "COMMIT") {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commits++
	return c.at > 0 && c.commits == c.at
}

func (c *cutter) close(all ...net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range all {
		_ = conn.Close()
		delete(c.open, conn)
	}
}

// cut ends all connections.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		_ = conn.Close()
	}
}

// out keeps the network down.
func (c *cutter) out(down bool) {
	c.mu.Lock()
	c.down = down
	c.mu.Unlock()
	if down {
		c.cut()
	}
}

// arm lets the nth COMMIT from now on be the last, and fired tells that it came.
func (c *cutter) arm(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.commits + n
}

func (c *cutter) fired() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.commits >= c.at
}

// A node whose way to the database is cut, also after it said COMMIT and before
// it hears of it, loses no letter and repeats only what it could not write down.
func TestANodeIsCutOffItsDatabase(t *testing.T) {
	t.Parallel()
	program := buildNode(t)
	for i := range times(2, 60) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			n := newNodes(t, program)
			n.add(30)
			c, address := newCutter(t, n.cfg.URL.Reveal())
			p := n.start(address, "", 2)
			until(t, "something is delivered", func() bool { return len(n.sink.Letters()) > 0 })
			c.arm(1 + 3*i%7)
			n.add(10)
			until(t, "a COMMIT is cut", c.fired)
			// A while without a database, in the middle of it.
			c.out(true)
			n.add(5)
			c.out(false)
			until(t, "all is delivered", n.allAccepted)
			p.end()
			n.check(n.db)
		})
	}
}
