package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// Conn is a connection on which letters can be sent: encrypted and signed in
// as its Config says. It belongs to one goroutine at a time.
type Conn struct {
	cfg     Config
	timeout Timeouts
	// socket is the connection itself, raw what is spoken over: the same, or
	// TLS on it.
	socket, raw net.Conn
	r           *bufio.Reader
	in          *incoming
	out         *outgoing
	caps        Caps
	tls         bool
	// letterEnds is when the letter that is waited for has taken too long; zero
	// outside letters.
	letterEnds time.Time
	// clean tells that no transaction is open on the server, as far as is known.
	clean bool
	// inStep is set once commands must not be said in groups, plainContent once
	// content must not be said with BDAT; inChunks once the server has shown that
	// it takes BDAT in any state.
	inStep, plainContent, inChunks bool
	// grouped tells that a group was answered well.
	grouped bool
	// mails counts MAIL.
	mails int
	// server is the certificate that the server proved itself with.
	server *x509.Certificate
	// broken is set once nothing may be said on the connection any more.
	broken bool
	// secrets are what was said in the sign-in, as it was said and in plain;
	// pairs are the pairs of octets in them.
	secrets []string
	pairs   pairs
	last    time.Time
}

// Dial connects, greets, encrypts and signs in. The error is an *Error.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	if err := cfg.check(); err != nil {
		return nil, cfg.mark(err)
	}
	c := &Conn{cfg: cfg, timeout: cfg.Timeouts.withDefaults(), clean: true}
	c.in, c.out = &incoming{c: c}, &outgoing{c: c}
	if cfg.Auth != nil {
		// A server may know them from the connection before.
		c.keepForms(cfg.Auth.Password.Reveal())
		c.keepForms(cfg.Auth.Token.Reveal())
	}
	if err := c.connect(ctx); err != nil {
		return nil, cfg.mark(err)
	}
	err := c.whileAlive(ctx, StageGreeting, c.open)
	if err != nil {
		c.drop()
		return nil, cfg.mark(err)
	}
	return c, nil
}

// mark notes in err, if it is an *Error, how the connection signs in.
func (cfg Config) mark(err error) error {
	var e *Error
	if errors.As(err, &e) {
		e.Bearer = cfg.bears()
	}
	return err
}

// bears tells that the connection signs in with a token.
func (cfg Config) bears() bool { return cfg.Auth != nil && !cfg.Auth.Token.IsZero() }

func (cfg Config) check() error {
	switch {
	case cfg.Host == "" || cfg.Port < 1 || cfg.Port > 65535:
		return input(StageConnect, "no server name or no port")
	case cfg.Security != None && cfg.Security != STARTTLS && cfg.Security != Implicit:
		return input(StageConnect, "unknown way to connect")
	case cfg.Security != None && cfg.TLS == nil:
		return input(StageTLS, "no way to verify the server")
	case cfg.LocalName == "" || strings.ContainsFunc(cfg.LocalName, func(r rune) bool { return r <= ' ' || r > '~' }):
		return input(StageEHLO, "the EHLO name is no host name")
	case cfg.bears() && cfg.Security == None:
		return policy(StageAuth, "a token would travel in clear")
	case cfg.Auth != nil && cfg.Security == None && !cfg.AllowClearAuth:
		return policy(StageAuth, "a password would travel in clear")
	}
	return nil
}

// connect resolves and dials.
func (c *Conn) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout.Connect)
	defer cancel()
	began := time.Now()
	if _, err := netip.ParseAddr(c.cfg.Host); err != nil && c.cfg.Observe != nil && c.cfg.Dial == nil {
		addrs, err := net.DefaultResolver.LookupHost(ctx, c.cfg.Host)
		if err != nil {
			return c.ioError(ctx, StageResolve, err)
		}
		c.observe(Event{Stage: StageResolve, Detail: addrs, Took: time.Since(began)})
		began = time.Now()
	}
	dial := c.cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	raw, err := dial(ctx, "tcp", net.JoinHostPort(c.cfg.Host, strconv.Itoa(c.cfg.Port)))
	if err != nil {
		stage := StageConnect
		if dns := (*net.DNSError)(nil); errors.As(err, &dns) {
			stage = StageResolve
		}
		return c.ioError(ctx, stage, err)
	}
	c.socket = raw
	c.attach(raw)
	c.observe(Event{Stage: StageConnect, Detail: []string{raw.RemoteAddr().String()}, Took: time.Since(began)})
	return nil
}

// attach makes raw the connection and forgets what was read before.
func (c *Conn) attach(raw net.Conn) {
	c.raw = raw
	c.r = bufio.NewReaderSize(c.in, incomingSize)
	c.caps = Caps{}
}

// open runs the dialogue up to a usable connection.
func (c *Conn) open(ctx context.Context) error {
	if c.cfg.Security == Implicit {
		if err := c.handshake(ctx); err != nil {
			return err
		}
	}
	if err := c.greeting(ctx); err != nil {
		return err
	}
	if err := c.hello(ctx); err != nil {
		return err
	}
	if c.cfg.Security == STARTTLS {
		if err := c.startTLS(ctx); err != nil {
			return err
		}
		if err := c.hello(ctx); err != nil {
			return err
		}
	}
	if c.cfg.Auth == nil {
		return nil
	}
	return c.auth(ctx)
}

func (c *Conn) greeting(ctx context.Context) error {
	began := time.Now()
	reply, err := c.read(ctx, StageGreeting, c.timeout.Greeting)
	if err != nil {
		return err
	}
	if reply.Code != 220 {
		return replyError(StageGreeting, reply)
	}
	c.observe(Event{Stage: StageGreeting, Detail: []string{reply.String()}, Took: time.Since(began)})
	return nil
}

// hello says EHLO. HELO is said instead only where nothing is needed that EHLO
// announces.
func (c *Conn) hello(ctx context.Context) error {
	began := time.Now()
	reply, err := c.command(ctx, StageEHLO, "EHLO "+c.cfg.LocalName)
	if err != nil {
		return err
	}
	if reply.Code != 250 {
		needed := c.cfg.Auth != nil || c.cfg.Security == STARTTLS
		if reply.Code/100 != 5 || needed {
			return replyError(StageEHLO, reply)
		}
		reply, err = c.command(ctx, StageEHLO, "HELO "+c.cfg.LocalName)
		if err != nil {
			return err
		}
		if reply.Code != 250 {
			return replyError(StageEHLO, reply)
		}
		reply.Lines = reply.Lines[:1]
	}
	c.caps = parseCaps(reply.Lines)
	for i, l := range c.caps.Lines {
		c.caps.Lines[i] = c.hide(l)
	}
	c.observe(Event{Stage: StageEHLO, Detail: c.caps.Lines, Took: time.Since(began)})
	return nil
}

func (c *Conn) startTLS(ctx context.Context) error {
	if !c.caps.StartTLS {
		return policy(StageTLS, "the server does not offer STARTTLS")
	}
	reply, err := c.command(ctx, StageTLS, "STARTTLS")
	if err != nil {
		return err
	}
	if reply.Code != 220 {
		return replyError(StageTLS, reply)
	}
	// RFC 3207 6: whatever came with the reply, in clear, was not said by the
	// server that the handshake will prove.
	if c.r.Buffered() > 0 {
		return &Error{Stage: StageTLS, Kind: KindInjection, Text: "words were slipped in before the encryption began"}
	}
	return c.handshake(ctx)
}

func (c *Conn) handshake(ctx context.Context) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.timeout.Command)
	defer cancel()
	// Small records at the beginning are for browsers: a letter leaves in as few
	// pieces as possible.
	cfg := c.cfg.TLS.Clone()
	cfg.DynamicRecordSizingDisabled = true
	// What was set for the words before is no bound for the handshake, which has
	// its own.
	if err := c.raw.SetDeadline(time.Time{}); err != nil {
		return c.ioError(ctx, StageTLS, err)
	}
	conn := tls.Client(c.raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return c.handshakeError(ctx, err)
	}
	c.attach(conn)
	c.tls = true
	state := conn.ConnectionState()
	if len(state.PeerCertificates) > 0 {
		c.server = state.PeerCertificates[0]
	}
	c.cfg.Transcript.add("--", "TLS "+tls.VersionName(state.Version)+" "+tls.CipherSuiteName(state.CipherSuite))
	c.observe(Event{Stage: StageTLS, TLS: &state, Took: time.Since(began)})
	return nil
}

func (c *Conn) handshakeError(ctx context.Context, err error) error {
	e := c.ioError(ctx, StageTLS, err)
	if e.Kind == KindNetwork && !errors.Is(err, io.EOF) {
		if op := (*net.OpError)(nil); !errors.As(err, &op) || op.Op == "remote error" {
			e.Kind = KindTLS
		}
	}
	return e
}

// Caps returns what the server announced, after TLS where TLS is on.
func (c *Conn) Caps() Caps { return c.caps }

// Encrypted reports whether the connection is inside TLS.
func (c *Conn) Encrypted() bool { return c.tls }

// Certificate returns what the server proved itself with; nil without TLS.
func (c *Conn) Certificate() *x509.Certificate { return c.server }

// Idle returns how long nothing was said on the connection.
func (c *Conn) Idle() time.Duration { return time.Since(c.last) }

// Usable reports whether another letter may be tried on the connection: it
// stands, and the server takes more on it (RFC 9422).
func (c *Conn) Usable() bool { return !c.broken && !c.full() }

// full tells that the server takes no more letters on the connection.
func (c *Conn) full() bool { return c.caps.MailMax > 0 && c.mails >= c.caps.MailMax }

// server is the name under which the server is remembered.
func (cfg Config) server() string { return net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)) }

// Alive asks the server with RSET whether the connection still stands.
func (c *Conn) Alive(ctx context.Context) bool {
	if c.broken {
		return false
	}
	err := c.whileAlive(ctx, StageMail, func(ctx context.Context) error {
		reply, err := c.command(ctx, StageMail, "RSET")
		if err == nil && reply.Code != 250 {
			err = replyError(StageMail, reply)
		}
		c.clean = err == nil
		return err
	})
	if err != nil {
		c.drop()
	}
	return err == nil
}

// Close says QUIT where that may be said, waits a moment for the answer, and
// closes the connection.
func (c *Conn) Close() error {
	if c.broken {
		return nil
	}
	const patience = 2 * time.Second
	if c.raw.SetDeadline(time.Now().Add(patience)) == nil {
		c.cfg.Transcript.add("C:", "QUIT")
		if _, err := io.WriteString(c.raw, "QUIT\r\n"); err == nil {
			c.in.set = true // the deadline is set
			if _, err := readReply(c.r); err == nil {
				c.broken = true
				return c.raw.Close()
			}
		}
	}
	c.drop()
	return nil
}

// drop closes the connection without a word. The farewell of TLS is left out
// too: it could wait for a server that does not read.
func (c *Conn) drop() {
	if !c.broken {
		c.broken = true
		_ = c.socket.Close()
	}
}

// whileAlive runs f and breaks off when ctx ends, whatever f waits for.
func (c *Conn) whileAlive(ctx context.Context, stage Stage, f func(context.Context) error) error {
	// The socket stays the same while TLS is laid over it.
	stop := context.AfterFunc(ctx, func() { _ = c.socket.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if ctx.Err() != nil {
		return c.ioError(ctx, stage, ctx.Err())
	}
	return f(ctx)
}

// command says a line that holds no secret and returns the reply.
func (c *Conn) command(ctx context.Context, stage Stage, line string) (Reply, error) {
	return c.say(ctx, stage, line, line)
}

// say writes a line, with shown in the transcript, and returns the reply.
func (c *Conn) say(ctx context.Context, stage Stage, line, shown string) (Reply, error) {
	if strings.ContainsAny(line, "\r\n") {
		return Reply{}, input(stage, "a line break inside a command")
	}
	if c.r.Buffered() > 0 {
		return Reply{}, early(stage)
	}
	c.cfg.Transcript.add("C:", shown)
	c.out.text(line, "\r\n")
	if err := c.out.flush(ctx); err != nil {
		return Reply{}, c.ioError(ctx, stage, err)
	}
	return c.read(ctx, stage, c.timeout.Command)
}

// early is the error for words that nobody asked for.
func early(stage Stage) *Error {
	return &Error{Stage: stage, Kind: KindProtocol, Text: "the server answered before it was asked"}
}

// read waits at most d for a whole reply.
func (c *Conn) read(ctx context.Context, stage Stage, d time.Duration) (Reply, error) {
	c.in.ctx, c.in.limit, c.in.set = ctx, d, false
	line, err := readLine(c.r)
	if err != nil {
		return Reply{}, c.ioError(ctx, stage, err)
	}
	return c.readRest(ctx, stage, line)
}

// answer is read for one whose words are of no interest as long as it says yes.
func (c *Conn) answer(ctx context.Context, stage Stage) (Reply, error) {
	c.in.ctx, c.in.limit, c.in.set = ctx, c.timeout.Command, false
	line, err := readLine(c.r)
	if err != nil {
		return Reply{}, c.ioError(ctx, stage, err)
	}
	if c.cfg.Transcript == nil && (line[0] == '2' || line[0] == '3') {
		if code, more, _, err := parseReplyLine(line); err == nil && !more {
			return Reply{Code: code}, nil
		}
	}
	return c.readRest(ctx, stage, line)
}

// readRest reads a reply whose first line is known.
func (c *Conn) readRest(ctx context.Context, stage Stage, line []byte) (Reply, error) {
	reply, err := readReplyFrom(c.r, line)
	if err != nil {
		return reply, c.ioError(ctx, stage, err)
	}
	for i, l := range reply.Lines {
		told := c.hide(l)
		if c.cfg.Transcript != nil {
			c.cfg.Transcript.add("S:", Reply{Code: reply.Code, Enhanced: reply.Enhanced, Lines: []string{told}}.String())
		}
		// A challenge is for the mechanism, which needs it as it is; announcements
		// are read first.
		if (stage != StageAuth || reply.Code != challenge) && (stage != StageEHLO || reply.Code != 250) {
			reply.Lines[i] = told
		}
	}
	c.last = time.Now()
	if reply.Code == 421 {
		// RFC 5321 3.8: the server closes the connection with it.
		return reply, replyError(stage, reply)
	}
	return reply, nil
}

func (c *Conn) observe(e Event) {
	if c.cfg.Observe != nil {
		c.cfg.Observe(e)
	}
}

func replyError(stage Stage, r Reply) *Error {
	return &Error{Stage: stage, Kind: KindReply, Code: r.Code, Enhanced: r.Enhanced, Text: r.Text()}
}

// ioError sorts what reading, writing or waiting failed with.
func (c *Conn) ioError(ctx context.Context, stage Stage, err error) *Error {
	var already *Error
	if errors.As(err, &already) {
		return already
	}
	e := &Error{Stage: stage, Kind: KindNetwork, Err: err}
	var timeout net.Error
	switch {
	case errors.Is(err, errReply):
		e.Kind = KindProtocol
	case errors.Is(ctx.Err(), context.Canceled):
		e.Kind = KindCancelled
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Kind = KindTimeout
	}
	return e
}
