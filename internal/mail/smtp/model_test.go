package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/mail/smtp"
)

// trait is something that a model does not do as it should.
type trait string

const (
	honest trait = ""
	// leavesChunks does not take the octets of a chunk that it refuses before a
	// recipient was accepted: it reads them as commands, as public servers do.
	leavesChunks trait = "leaves chunks"
	// noChunks announces CHUNKING and does not know BDAT.
	noChunks trait = "no chunks"
	// badOrder takes the octets of a chunk and always says that the order is
	// wrong.
	badOrder trait = "chunks in wrong order"
	// forgetsGroups throws away what came behind a command.
	forgetsGroups trait = "forgets groups"
	// refusesGroups wants to be waited for.
	refusesGroups trait = "refuses groups"
	// dropsGroups hangs up on whoever does not wait.
	dropsGroups trait = "drops groups"
	// keepsOpen leaves a transaction open after content was refused.
	keepsOpen trait = "keeps transactions open"
	// refusesDATA refuses spam when DATA or BDAT comes, and leaves the transaction
	// open.
	refusesDATA trait = "refuses DATA"
	// takesDATA says 354 also where there is nobody to get the letter.
	takesDATA trait = "takes DATA for nobody"
)

// reporter is what a test of either kind reports to.
type reporter interface {
	Helper()
	Fatal(...any)
	Errorf(string, ...any)
}

// model is a mail server that takes letters from anybody, and does to each what
// its addresses say: a local part that begins with "refused" or "later" is
// refused with 550 or 450, as sender or recipient, and content of a sender that
// begins with "spam" or "busy" likewise.
type model struct {
	listener net.Listener
	announce []string
	trait    trait
	// cut is after how many replies behind EHLO a connection ends, all together;
	// 0 means never. With last, the last of them is a 421.
	cut  int
	last bool
	// hold is called before the first reply to a letter.
	hold func(c *modelConn)
	// long makes each reply so many lines of a kilobyte, narrow lets little be on
	// its way.
	long   int
	narrow bool

	once    sync.Once
	running sync.WaitGroup
	mu      sync.Mutex
	conns   map[net.Conn]bool
	replies int
	// taken are the letters that came whole, by their text; told are those whose
	// last reply left.
	taken map[string]arrival
	told  map[string]bool
	seen  []string
}

// arrival is a letter as it came.
type arrival struct {
	from string
	to   []string
	// verb is DATA or BDAT.
	verb  string
	times int
}

func startModel(t reporter, trait trait, announce ...string) *model {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &model{listener: listener, announce: announce, trait: trait, conns: map[net.Conn]bool{}, taken: map[string]arrival{}, told: map[string]bool{}}
}

func (m *model) accept() {
	for {
		conn, err := m.listener.Accept()
		if err != nil {
			return
		}
		m.mu.Lock()
		m.conns[conn] = true
		m.mu.Unlock()
		m.running.Go(func() {
			if m.narrow {
				narrow(conn)
			}
			c := &modelConn{m: m, conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
			_ = c.serve()
			_ = conn.Close()
		})
	}
}

func (m *model) stop() {
	_ = m.listener.Close()
	m.mu.Lock()
	for conn := range m.conns {
		_ = conn.Close()
	}
	m.mu.Unlock()
	m.running.Wait()
}

// config is how a client connects to it. It listens from then on.
func (m *model) config() smtp.Config {
	m.once.Do(func() { m.running.Go(m.accept) })
	patience := 10 * time.Second
	return smtp.Config{
		Host: "mail.example.org", Port: 25, Security: smtp.None, LocalName: "vault.example.net",
		Timeouts: smtp.Timeouts{Connect: patience, Greeting: patience, Command: patience, Final: patience},
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, m.listener.Addr().String())
		},
	}
}

// narrow lets little be on its way.
func narrow(conn net.Conn) {
	c := conn.(*net.TCPConn)
	_ = c.SetReadBuffer(64 << 10)
	_ = c.SetWriteBuffer(64 << 10)
}

// verbs returns the commands that came, with how often each came.
func (m *model) verbs() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := map[string]int{}
	for _, v := range m.seen {
		n[v]++
	}
	return n
}

// modelConn is a connection of a model.
type modelConn struct {
	m    *model
	conn net.Conn
	r    *bufio.Reader
	// open tells that MAIL was accepted, refused that content was refused since:
	// what comes then is looked at no more.
	open    bool
	refused bool
	from    string
	to      []string
	greeted bool
}

func (c *modelConn) serve() error {
	if err := c.say("220 model"); err != nil {
		return err
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimSuffix(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		c.m.mu.Lock()
		c.m.seen = append(c.m.seen, verb)
		c.m.mu.Unlock()
		if c.greeted && verb != "BDAT" && c.r.Buffered() > 0 {
			switch c.m.trait {
			case forgetsGroups:
				_, _ = c.r.Discard(c.r.Buffered())
			case dropsGroups:
				return io.EOF
			case refusesGroups:
				if err := c.say("503 5.5.0 wait for the answer"); err != nil {
					return err
				}
				continue
			}
		}
		if err := c.obey(verb, rest); err != nil {
			return err
		}
	}
}

// say says a reply, unless the connection ends here.
func (c *modelConn) say(reply string) error {
	m := c.m
	if c.greeted {
		m.mu.Lock()
		m.replies++
		over, last := m.cut > 0 && m.replies > m.cut, m.cut > 0 && m.replies == m.cut && m.last
		m.mu.Unlock()
		if last {
			_, _ = io.WriteString(c.conn, "421 4.3.2 going down\r\n")
		}
		if last {
			return errLeaving
		}
		if over {
			return io.EOF
		}
	}
	if c.greeted && m.long > 0 {
		reply = strings.Repeat(reply[:3]+"-"+strings.Repeat("x", 1000)+"\r\n", m.long) + reply
	}
	_, err := io.WriteString(c.conn, reply+"\r\n")
	return err
}

// errLeaving is for a connection that ended with a 421.
var errLeaving = errors.New("going down")

// fate is what becomes of an address or a text.
func fate(address, refused, later string) string {
	switch {
	case strings.HasPrefix(address, refused):
		return "550 5.1.1 never"
	case strings.HasPrefix(address, later):
		return "450 4.2.1 not now"
	}
	return ""
}

func (c *modelConn) obey(verb, rest string) error {
	_, path, _ := strings.Cut(rest, "<")
	path, _, _ = strings.Cut(path, ">")
	switch verb {
	case "EHLO":
		lines := "250-model\r\n"
		for _, a := range c.m.announce {
			lines += "250-" + a + "\r\n"
		}
		_, err := io.WriteString(c.conn, lines+"250 HELP\r\n")
		c.greeted = true
		return err
	case "MAIL":
		if c.m.hold != nil {
			c.m.hold(c)
		}
		if c.open {
			return c.say("503 5.5.1 one at a time")
		}
		if no := fate(path, "refused", "later"); no != "" {
			return c.say(no)
		}
		c.open, c.refused, c.from, c.to = true, false, path, nil
		return c.say("250 2.1.0 ok")
	case "RCPT":
		if !c.open {
			return c.say("503 5.5.1 MAIL first")
		}
		if no := fate(path, "refused", "later"); no != "" {
			return c.say(no)
		}
		c.to = append(c.to, path)
		return c.say("250 2.1.5 ok")
	case "DATA":
		return c.data()
	case "BDAT":
		return c.chunk(rest)
	case "RSET":
		c.open = false
		return c.say("250 2.0.0 ok")
	case "QUIT":
		_ = c.say("221 2.0.0 bye")
		return io.EOF
	}
	return c.say("500 5.5.1 what?")
}

func (c *modelConn) data() error {
	nobody := !c.open || len(c.to) == 0
	if nobody && c.m.trait != takesDATA {
		return c.say("503 5.5.1 nobody to get it")
	}
	if c.m.trait == refusesDATA {
		if no := c.spam(); no != "" {
			return c.say(no)
		}
	}
	if err := c.say("354 go ahead"); err != nil {
		return err
	}
	var text strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return err
		}
		if line == ".\r\n" {
			break
		}
		text.WriteString(strings.TrimPrefix(line, "."))
	}
	if nobody {
		c.open = false
		return c.say("554 5.5.1 nobody got it")
	}
	return c.whole("DATA", text.String())
}

func (c *modelConn) chunk(rest string) error {
	size, last, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(size)
	if err != nil || last != "LAST" {
		return c.say("501 5.5.4 what?")
	}
	nobody := !c.open || len(c.to) == 0
	switch {
	case c.m.trait == noChunks:
		return c.say("502 5.5.1 no such command")
	case c.m.trait == leavesChunks && nobody:
		return c.say("502 5.5.1 nobody to get it")
	}
	chunk := make([]byte, n)
	if _, err := io.ReadFull(c.r, chunk); err != nil {
		return err
	}
	if nobody || c.m.trait == badOrder {
		return c.say("503 5.5.1 nobody to get it")
	}
	return c.whole("BDAT", string(chunk))
}

// spam is what is said against the content of the letter that is open, or "".
func (c *modelConn) spam() string {
	if !c.open || c.refused {
		return ""
	}
	no := strings.Replace(fate(c.from, "spam", "busy"), ".1.1", ".7.1", 1)
	c.refused = no != ""
	return no
}

// whole answers a letter that came to its end.
func (c *modelConn) whole(verb, text string) error {
	if no := c.spam(); no != "" {
		c.open = c.m.trait == keepsOpen || c.m.trait == refusesDATA
		return c.say(no)
	}
	c.open = false
	c.m.mu.Lock()
	a := c.m.taken[text]
	c.m.taken[text] = arrival{c.from, c.to, verb, a.times + 1}
	c.m.told[text] = true
	c.m.mu.Unlock()
	err := c.say("250 2.0.0 ok: queued as " + strconv.Itoa(len(text)))
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.m.told[text] = err == nil
	if errors.Is(err, errLeaving) {
		delete(c.m.taken, text) // it said so
	}
	return err
}

// evil is a text that does harm where it is read as commands.
const evil = "RSET\r\nMAIL FROM:<evil@example.net>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nSubject: evil\r\n\r\nevil\r\n.\r\nRSET\r\n"

// numbered is letter i: sender and recipients are named after it.
func numbered(i int, sender string, to ...string) smtp.Submission {
	s := smtp.Submission{From: fmt.Sprintf("%s-%d@example.org", sender, i), Body: []byte(fmt.Sprintf("Subject: %d\r\n\r\n%s", i, evil))}
	for n, who := range to {
		s.To = append(s.To, fmt.Sprintf("%s-%d-%d@example.org", who, i, n))
	}
	return s
}

// outcomes lets a client send letters and returns a result for each that was
// pulled.
func outcomes(t reporter, c *smtp.Conn, letters ...smtp.Submission) ([]smtp.Result, error) {
	t.Helper()
	var results []smtp.Result
	pulled := 0
	each := smtp.Each(letters...)
	err := c.Send(context.Background(), func() (smtp.Submission, bool) {
		s, ok := each()
		if ok {
			pulled++
		}
		return s, ok
	}, func(i int, r smtp.Result) {
		if i != len(results) {
			t.Errorf("letter %d is told after %d others", i, len(results))
		}
		results = append(results, r)
	})
	if len(results) != pulled {
		t.Errorf("%d results for %d letters, %v", len(results), pulled, err)
	}
	return results, err
}

// check compares results with what the server knows. It returns why they do not
// fit, or "".
func (m *model) check(letters []smtp.Submission, results []smtp.Result, ended error) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for text, a := range m.taken {
		if a.from == "evil@example.net" || a.times > 1 || !strings.HasPrefix(text, "Subject: ") {
			return fmt.Sprintf("%q came from %s, %d times", text, a.from, a.times)
		}
	}
	for i, r := range results {
		l := letters[i]
		a, taken := m.taken[string(l.Body)]
		var want []string
		for _, to := range l.To {
			if fate(to, "refused", "later") == "" {
				want = append(want, to)
			}
		}
		if taken && (a.from != l.From || !slices.Equal(a.to, want)) {
			return fmt.Sprintf("letter %d came from %s to %v, want %s to %v", i, a.from, a.to, l.From, want)
		}
		refused := fate(l.From, "refused", "later")
		if refused == "" && len(want) == 0 {
			refused = fate(l.To[len(l.To)-1], "refused", "later")
		}
		if refused == "" {
			refused = fate(l.From, "spam", "busy")
		}
		e := r.Err
		switch {
		case e == nil && !(taken && m.told[string(l.Body)]):
			return fmt.Sprintf("letter %d is called sent", i)
		case e == nil && len(r.Refused) != len(l.To)-len(want):
			return fmt.Sprintf("letter %d: refused are %v", i, r.Refused)
		case e != nil && taken && !e.Uncertain:
			return fmt.Sprintf("letter %d was taken and is called %v", i, e)
		case e != nil && e.Uncertain && m.told[string(l.Body)] && ended == nil:
			return fmt.Sprintf("letter %d is called %v", i, e)
		case e != nil && e.Uncertain && e.Stage != smtp.StageContent:
			return fmt.Sprintf("letter %d is uncertain at %s", i, e.Stage)
		case ended == nil && refused == "" && e != nil:
			return fmt.Sprintf("letter %d failed: %v", i, e)
		case ended == nil && refused != "" && (e == nil || e.Kind != smtp.KindReply || strconv.Itoa(e.Code) != refused[:3]):
			return fmt.Sprintf("letter %d: %v, want %s", i, e, refused)
		}
	}
	return ""
}
