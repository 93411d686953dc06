package smtp_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
)

// A step is where on a connection a server misbehaves, a manner how. They meet
// in a table in which every cell has its outcome.
type (
	step   string
	manner string
	mode   string
)

const (
	atConnect   step = "connect"
	atBanner    step = "banner"
	atEHLO      step = "EHLO"
	atStartTLS  step = "STARTTLS"
	atHandshake step = "handshake"
	atEHLOAgain step = "EHLO in TLS"
	atAuth      step = "AUTH"
	atMail      step = "MAIL"
	atRcpt      step = "RCPT"
	atData      step = "DATA"
	atFinal     step = "final reply"
	atReset     step = "RSET"
	atQuit      step = "QUIT"

	silent   manner = "silence"
	drops    manner = "drop"
	garbles  manner = "garbage"
	drips    manner = "one byte now and then"
	endless  manner = "endless lines"
	wrong    manner = "wrong code"
	soft     manner = "4xx"
	hard     manner = "5xx"
	leaving  manner = "early 421"
	late     manner = "late reply"
	plainly  mode   = "command by command"
	pipeline mode   = "pipelining"
	chunks   mode   = "chunking"
)

// faultWait is the deadline of the client in the table.
const faultWait = 1500 * time.Millisecond

// outcome is what a client must say of a server's fault.
type outcome struct {
	kind smtp.Kind
	// stage is where; "" does not ask.
	stage smtp.Stage
	// goes tells that the connection goes on.
	goes bool
}

// letterSteps come with each letter, the others once for a connection.
func letterSteps() []step { return []step{atMail, atRcpt, atData, atFinal} }

// outcomeOf is the table: what becomes of the letter, or of the connection,
// that meets a fault.
func outcomeOf(s step, m manner) outcome {
	stages := map[step]smtp.Stage{
		atConnect: smtp.StageConnect, atBanner: smtp.StageGreeting, atEHLO: smtp.StageEHLO, atStartTLS: smtp.StageTLS, atHandshake: smtp.StageTLS,
		atEHLOAgain: smtp.StageEHLO, atAuth: smtp.StageAuth, atMail: smtp.StageMail, atRcpt: smtp.StageRcpt, atData: smtp.StageData, atFinal: smtp.StageContent,
	}
	o := outcome{stage: stages[s]}
	switch m {
	case silent, drips, late:
		o.kind = smtp.KindTimeout
	case drops:
		o.kind = smtp.KindNetwork
	case garbles, endless:
		o.kind = smtp.KindProtocol
	case wrong:
		o.kind = smtp.KindReply
		if slices.Contains(letterSteps(), s) {
			// A code that says neither yes nor no: the two do not understand each
			// other, and at the end of a letter that leaves open what became of it.
			o.kind = smtp.KindProtocol
		}
	case soft, hard:
		o.kind, o.goes = smtp.KindReply, slices.Contains(letterSteps(), s)
	case leaving:
		o.kind = smtp.KindReply
	}
	if s == atHandshake && m != silent && m != drips && m != late && m != drops {
		o.kind = smtp.KindTLS
	}
	return o
}

// faulty is a server that behaves well but for one step, which it takes in one
// manner: for a letter's step, with the second letter of a connection.
type faulty struct {
	rig  rig
	at   step
	how  manner
	mode mode

	mu sync.Mutex
	// clear is what came outside TLS; taken are letters whose last octet came,
	// agreed those that it said 250 to, refused those that it said no to.
	clear                  bytes.Buffer
	taken, agreed, refused map[string]bool
	met                    bool
}

// caller is one connection to it.
type caller struct {
	f      *faulty
	conn   net.Conn
	r      *bufio.Reader
	secure bool
	letter int
	// name is the subject of the letter under way.
	from       string
	recipients int
	over       chan struct{}
}

var errEnough = errors.New("the server stops here")

func (f *faulty) serve(conn net.Conn, over chan struct{}) {
	defer func() { _ = conn.Close() }()
	c := &caller{f: f, conn: conn, over: over}
	c.r = bufio.NewReader(io.TeeReader(conn, f))
	if err := c.answer(atBanner, "220 mail.example.org"); err != nil {
		return
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return
		}
		if err := c.command(strings.TrimRight(line, "\r\n")); err != nil {
			return
		}
	}
}

// Write notes what comes in clear.
func (f *faulty) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clear.Write(b)
}

func (f *faulty) note(set map[string]bool, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	set[name] = true
}

func (c *caller) say(line string) error {
	_, err := io.WriteString(c.conn, line+"\r\n")
	return err
}

func (c *caller) command(line string) error {
	verb, _, _ := strings.Cut(line, " ")
	switch verb {
	case "EHLO":
		if !c.secure {
			return c.answer(atEHLO, "250-mail.example.org\r\n250 STARTTLS")
		}
		announce := map[mode]string{plainly: "", pipeline: "250-PIPELINING\r\n", chunks: "250-PIPELINING\r\n250-CHUNKING\r\n"}[c.f.mode]
		return c.answer(atEHLOAgain, "250-mail.example.org\r\n"+announce+"250 AUTH PLAIN")
	case "STARTTLS":
		return c.encrypt()
	case "AUTH":
		return c.answer(atAuth, "235 2.7.0 welcome")
	case "MAIL":
		c.letter++
		c.from, c.recipients = fmt.Sprintf("letter %d", c.letter), 0
		if err := c.answer(atMail, "250 2.1.0 ok"); errors.Is(err, errRefused) {
			c.from = ""
			return nil
		} else if err != nil {
			return err
		}
		return nil
	case "RCPT":
		return c.recipient()
	case "DATA":
		return c.data()
	case "BDAT":
		return c.chunk(line)
	case "RSET":
		c.from = ""
		return ignoreRefusal(c.answer(atReset, "250 2.0.0 ok"))
	case "QUIT":
		_ = c.answer(atQuit, "221 2.0.0 bye")
		return errEnough
	}
	return c.say("500 5.5.1 what?")
}

func ignoreRefusal(err error) error {
	if errors.Is(err, errRefused) {
		return nil
	}
	return err
}

func (c *caller) encrypt() error {
	if err := c.answer(atStartTLS, "220 2.0.0 go ahead"); err != nil {
		return err
	}
	if c.f.at == atHandshake {
		// The client has begun: what is said earlier would be an injection.
		if _, err := c.r.Peek(1); err != nil {
			return err
		}
		return errors.Join(c.answer(atHandshake, ""), errEnough)
	}
	inside := tls.Server(c.conn, c.f.rig.tls())
	if err := inside.Handshake(); err != nil {
		return err
	}
	c.conn, c.r, c.secure = inside, bufio.NewReader(inside), true
	return nil
}

func (c *caller) recipient() error {
	if c.from == "" {
		return c.say("503 5.5.1 MAIL first")
	}
	// The second letter's recipient is refused where RSET is what goes wrong.
	if c.f.at == atReset && c.letter == 2 {
		c.f.note(c.f.refused, c.from)
		return c.say("550 5.1.1 nobody here")
	}
	err := c.answer(atRcpt, "250 2.1.5 ok")
	if err == nil {
		c.recipients++
	}
	return ignoreRefusal(err)
}

func (c *caller) data() error {
	if c.from == "" || c.recipients == 0 {
		return c.say("503 5.5.1 no recipient")
	}
	if err := c.answer(atData, "354 go ahead"); err != nil {
		c.from = ""
		return ignoreRefusal(err)
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return err
		}
		if line == ".\r\n" {
			return c.whole()
		}
	}
}

func (c *caller) chunk(line string) error {
	words := strings.Fields(line)
	n, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, c.r, int64(n)); err != nil {
		return err
	}
	if c.from == "" || c.recipients == 0 {
		return c.say("503 5.5.1 no recipient")
	}
	return c.whole()
}

// whole answers a letter whose last octet came.
func (c *caller) whole() error {
	c.f.note(c.f.taken, c.from)
	err := c.answer(atFinal, "250 2.0.0 ok: queued as 1")
	if err == nil {
		c.f.note(c.f.agreed, c.from)
	}
	c.from = ""
	return ignoreRefusal(err)
}

// errRefused tells that a refusal was said in place of the good answer.
var errRefused = errors.New("refused")

// answer says what is good, or does what is wrong at this step.
func (c *caller) answer(at step, good string) error {
	// RSET goes wrong behind the second letter.
	if c.f.at != at || (slices.Contains(letterSteps(), at) || at == atReset) && c.letter != 2 {
		return c.say(good)
	}
	c.f.mu.Lock()
	c.f.met = true
	c.f.mu.Unlock()
	switch c.f.how {
	case silent:
		_, _ = io.Copy(io.Discard, c.r)
	case garbles:
		_, _ = c.conn.Write(bytes.Repeat([]byte{0, 0xff, 'x', '\n'}, 1000))
		_, _ = io.Copy(io.Discard, c.r)
	case drips:
		for i := range good + "\r\n" {
			if _, err := io.WriteString(c.conn, (good + "\r\n")[i:i+1]); err != nil || c.pause(faultWait/4) {
				break
			}
		}
		_, _ = io.Copy(io.Discard, c.r)
	case endless:
		for {
			if err := c.say(strings.Repeat("250-more of the same\r\n", 50) + "250-and more"); err != nil {
				break
			}
		}
	case wrong:
		code := "354"
		if at == atData {
			code = "250"
		}
		_ = c.say(code + " 2.0.0 is that right?")
		_, _ = io.Copy(io.Discard, c.r)
	case late:
		c.pause(faultWait + 200*time.Millisecond)
		_ = c.say(good)
	case leaving:
		c.f.note(c.f.refused, c.from)
		_ = c.say("421 4.3.2 going away")
	case soft, hard:
		text := map[manner]string{soft: "450 4.3.0 not now", hard: "550 5.3.0 never"}[c.f.how]
		c.f.note(c.f.refused, c.from)
		return errors.Join(errRefused, c.say(text))
	}
	return errEnough
}

func (c *caller) pause(d time.Duration) (over bool) {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-wait.C:
		return false
	case <-c.over:
		return true
	}
}

// listen starts the server and returns how to connect to it.
func (f *faulty) listen(t *testing.T) func(ctx context.Context, network, address string) (net.Conn, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(t.Context(), func() { _ = conn.Close() })
			all.Go(func() { defer stop(); f.serve(conn, over) })
		}
	})
	t.Cleanup(func() {
		close(over)
		_ = listener.Close()
		all.Wait()
	})
	switch {
	case f.at == atConnect && f.how == drops:
		_ = listener.Close()
	case f.at == atConnect:
		// Nobody answers, not even with a refusal.
		return func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr().String())
	}
}

// heard is what the client said of a letter.
type heard struct {
	result smtp.Result
	begun  bool
}

// meet lets a client send three letters.
func (f *faulty) meet(t *testing.T) (letters []heard, err error) {
	cfg := smtp.Config{
		Host: "mail.example.org", Port: 587, Security: smtp.STARTTLS, LocalName: "vault.example.net", Dial: f.listen(t), Transcript: &smtp.Transcript{},
		Timeouts: smtp.Timeouts{Connect: faultWait, Greeting: faultWait, Command: faultWait, Final: faultWait},
	}
	cfg.TLS = trust.Policy{
		Host: smtptest.Host, Roots: newRoots(), Now: f.rig.lab.Now, Anchors: []trust.Anchor{{DER: f.rig.root.Raw, Mode: trust.ModeAnchor}},
	}.TLSConfig()
	cfg.Auth = &smtp.Auth{Credential: sasl.Credential{Username: login, Password: secret.New(password)}}
	conn, err := smtp.Dial(t.Context(), cfg)
	if err != nil {
		return nil, err
	}
	letters = make([]heard, 0, 3)
	var begun [3]bool
	subs := make([]smtp.Submission, 3)
	for i := range subs {
		subs[i] = letter()
		subs[i].BeforeContent = func() bool { begun[i] = true; return true }
	}
	err = conn.Send(t.Context(), smtp.Each(subs...), func(i int, r smtp.Result) {
		if i != len(letters) {
			t.Errorf("letter %d is told after %d others", i+1, len(letters))
		}
		letters = append(letters, heard{result: r})
	})
	for i := range letters {
		letters[i].begun = begun[i]
	}
	return letters, errors.Join(err, conn.Close())
}

// Whatever a server does wrong, and wherever, the client says what happened and
// is free again in time, no letter is called sent that is not, and one that the
// server may have is called uncertain.
func TestEveryFaultAtEveryStep(t *testing.T) {
	r := newRig(t)
	steps := []step{atConnect, atBanner, atEHLO, atStartTLS, atHandshake, atEHLOAgain, atAuth, atMail, atRcpt, atData, atFinal, atReset, atQuit}
	manners := []manner{silent, drops, garbles, drips, endless, wrong, soft, hard, leaving, late}
	// Most of the time goes by with waiting.
	places := make(chan struct{}, 40)
	t.Run("all", func(t *testing.T) {
		var all sync.WaitGroup
		defer all.Wait()
		for _, s := range steps {
			for _, m := range manners {
				for _, how := range []mode{plainly, pipeline, chunks} {
					if skips(s, m, how) {
						continue
					}
					places <- struct{}{}
					all.Go(func() {
						defer func() { <-places }()
						t.Run(fmt.Sprintf("%s/%s/%s", how, s, m), func(t *testing.T) {
							f := &faulty{rig: r, at: s, how: m, mode: how, taken: map[string]bool{}, agreed: map[string]bool{}, refused: map[string]bool{}}
							letters, err := f.meet(t)
							f.judge(t, letters, err)
						})
					})
				}
			}
		}
	})
}

// skips tells cells that do not exist: before a letter all modes are alike, a
// server that is not there says nothing wrong, and BDAT knows no DATA.
func skips(s step, m manner, how mode) bool {
	before := !slices.Contains([]step{atMail, atRcpt, atData, atFinal, atReset, atQuit}, s)
	return before && how != plainly || s == atConnect && m != silent && m != drops || s == atData && how == chunks
}

func (f *faulty) judge(t *testing.T, letters []heard, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if clear := f.clear.String(); strings.Contains(clear, "AUTH") || strings.Contains(clear, base64.StdEncoding.EncodeToString([]byte(password))) {
		t.Errorf("a sign-in outside TLS: %q", clear)
	}
	for i, l := range letters {
		name := fmt.Sprintf("letter %d", i+1)
		e := l.result.Err
		switch {
		case e == nil && !f.agreed[name]:
			t.Errorf("%s is called sent, and the server never said so", name)
		case e != nil && f.agreed[name] && !e.Uncertain:
			t.Errorf("%s was taken and is called %v", name, e)
		case e != nil && f.taken[name] && !f.refused[name] && !e.Uncertain:
			t.Errorf("the server has %s, and it is not called uncertain: %v", name, e)
		case e != nil && e.Uncertain && (!l.begun || f.refused[name]):
			t.Errorf("%s is called uncertain, and the server cannot have it: %v", name, e)
		}
	}
	want := outcomeOf(f.at, f.how)
	switch {
	case f.at == atQuit:
		f.all(t, letters, nil)
	case f.at == atReset:
		f.reset(t, letters)
	case slices.Contains(letterSteps(), f.at):
		f.second(t, letters, want)
	default:
		if letters != nil {
			t.Fatalf("letters were sent on a connection that cannot stand: %+v", letters)
		}
		f.same(t, asError(err), want)
	}
}

// same compares an error with the table.
func (f *faulty) same(t *testing.T, e *smtp.Error, want outcome) {
	t.Helper()
	if e.Kind != want.kind || want.stage != "" && e.Stage != want.stage {
		t.Errorf("the client says %s at %s (%v), want %s at %s", e.Kind, e.Stage, e, want.kind, want.stage)
	}
}

// second: the second letter meets the fault.
func (f *faulty) second(t *testing.T, letters []heard, want outcome) {
	if !f.met || len(letters) < 2 {
		t.Fatalf("the fault was not met: %+v", letters)
	}
	if e := letters[0].result.Err; e != nil {
		t.Errorf("the first letter failed: %v", e)
	}
	e := letters[1].result.Err
	if e == nil {
		t.Fatal("the second letter is called sent")
	}
	if e.Uncertain {
		// Its content was on the way before the first answer was due.
		want.stage = smtp.StageContent
	}
	f.same(t, e, want)
	if want.goes && (len(letters) < 3 || letters[2].result.Err != nil) {
		t.Errorf("the third letter did not leave: %+v", letters)
	}
}

// reset: the second letter is refused, and RSET may go wrong where it is said.
func (f *faulty) reset(t *testing.T, letters []heard) {
	if len(letters) < 2 || letters[0].result.Err != nil {
		t.Fatalf("the letters before went wrong: %+v", letters)
	}
	f.same(t, letters[1].result.Err, outcome{kind: smtp.KindReply, stage: smtp.StageRcpt})
	if !f.met && (len(letters) < 3 || letters[2].result.Err != nil) {
		t.Errorf("without a word of RSET the third letter did not leave: %+v", letters)
	}
}

// all letters were taken, whatever comes afterwards.
func (f *faulty) all(t *testing.T, letters []heard, err error) {
	if len(letters) != 3 || err != nil {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	for i, l := range letters {
		if l.result.Err != nil {
			t.Errorf("letter %d: %v", i+1, l.result.Err)
		}
	}
}
