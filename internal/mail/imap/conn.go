package imap

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// usualTimeout is how long a command and its whole answer may take.
	usualTimeout = 60 * time.Second
	// byeTimeout is how long taking leave may take.
	byeTimeout = 5 * time.Second
)

// Config says where to connect and how.
type Config struct {
	Host string
	Port int
	// StartTLS begins in clear and goes on with TLS before anything is said;
	// else TLS comes first. There is no third way.
	StartTLS bool
	// TLS decides about the server. It is required.
	TLS *tls.Config
	// Dial connects; nil means a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout is for connecting and for each command with its whole answer; 60
	// seconds where it is 0.
	Timeout time.Duration
}

// Conn is a connection. It is not safe for use by several goroutines.
type Conn struct {
	c       Config
	net     net.Conn
	r       *bufio.Reader
	stop    func() bool
	tag     int
	caps    []string
	secured bool
	broken  bool
	leaf    *x509.Certificate
}

// Dial connects, secures the connection and asks what the server offers. The
// connection ends with ctx.
func Dial(ctx context.Context, c Config) (*Conn, error) {
	if c.TLS == nil {
		return nil, &Error{Stage: StageConnect, Kind: KindInput, Text: "no TLS configuration"}
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	if c.Timeout <= 0 {
		c.Timeout = usualTimeout
	}
	dial, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	conn, err := c.Dial(dial, "tcp", net.JoinHostPort(c.Host, strconv.Itoa(c.Port)))
	if err != nil {
		return nil, &Error{Stage: StageConnect, Kind: KindNetwork, Err: err}
	}
	k := &Conn{c: c, net: conn, r: bufio.NewReader(conn)}
	k.stop = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	if err := k.begin(ctx); err != nil {
		k.drop()
		return nil, err
	}
	return k, nil
}

// begin takes the connection to where one can sign in.
func (k *Conn) begin(ctx context.Context) error {
	if !k.c.StartTLS {
		if err := k.secure(ctx); err != nil {
			return err
		}
	}
	if err := k.greeting(ctx); err != nil {
		return err
	}
	if k.c.StartTLS {
		if err := k.startTLS(ctx); err != nil {
			return err
		}
	}
	return k.capability(ctx, StageGreeting)
}

func (k *Conn) deadline(ctx context.Context, limit time.Duration) {
	at := time.Now().Add(limit)
	if d, ok := ctx.Deadline(); ok && d.Before(at) {
		at = d
	}
	_ = k.net.SetDeadline(at)
	if ctx.Err() != nil {
		_ = k.net.SetDeadline(time.Unix(1, 0)) // the hook may have run before
	}
}

// secure does the handshake.
func (k *Conn) secure(ctx context.Context) error {
	k.deadline(ctx, k.c.Timeout)
	conn := tls.Client(k.net, k.c.TLS)
	if err := conn.HandshakeContext(ctx); err != nil {
		return &Error{Stage: StageTLS, Kind: KindTLS, Err: err}
	}
	if certs := conn.ConnectionState().PeerCertificates; len(certs) > 0 {
		k.leaf = certs[0]
	}
	k.net, k.r, k.secured = conn, bufio.NewReader(conn), true
	return nil
}

func (k *Conn) greeting(ctx context.Context) error {
	k.deadline(ctx, k.c.Timeout)
	line, err := k.line(StageGreeting)
	if err != nil {
		return err
	}
	rest, ok := strings.CutPrefix(line, "* ")
	word, text, _ := strings.Cut(rest, " ")
	switch word = strings.ToUpper(word); {
	case !ok:
		return k.fault(StageGreeting, "the greeting is none of IMAP: "+line)
	case word == "OK":
		return nil
	case word == "PREAUTH":
		return k.fault(StageGreeting, "the server says that somebody has signed in already")
	case word == "BYE":
		code, said := respText(text)
		return &Error{Stage: StageGreeting, Kind: KindRefused, Code: code, Text: clean(said)}
	}
	return k.fault(StageGreeting, "the greeting is none of IMAP: "+line)
}

// startTLS goes on with TLS. All that the server said before is forgotten.
func (k *Conn) startTLS(ctx context.Context) error {
	if err := k.capability(ctx, StageTLS); err != nil {
		return err
	}
	if !k.offers("STARTTLS") {
		return &Error{Stage: StageTLS, Kind: KindMissing, Text: "the server does not offer STARTTLS"}
	}
	if _, err := k.command(ctx, StageTLS, "STARTTLS"); err != nil {
		return err
	}
	if k.r.Buffered() > 0 {
		return k.fault(StageTLS, "the server sent something between its consent to STARTTLS and the handshake")
	}
	k.caps = nil
	return k.secure(ctx)
}

func (k *Conn) capability(ctx context.Context, stage Stage) error {
	answers, err := k.command(ctx, stage, "CAPABILITY")
	if err != nil {
		return err
	}
	k.caps = nil
	for _, a := range answers {
		if len(a.tokens) > 0 && strings.EqualFold(a.tokens[0].text, "CAPABILITY") {
			for _, t := range a.tokens[1:] {
				k.caps = append(k.caps, strings.ToUpper(t.text))
			}
		}
	}
	return nil
}

func (k *Conn) offers(name string) bool { return slices.Contains(k.caps, name) }

// Certificate returns the server's own certificate.
func (k *Conn) Certificate() *x509.Certificate { return k.leaf }

// Close takes leave and ends the connection.
func (k *Conn) Close(ctx context.Context) {
	if !k.broken {
		k.c.Timeout = min(k.c.Timeout, byeTimeout)
		_, _ = k.command(ctx, StageConnect, "LOGOUT")
	}
	k.drop()
}

func (k *Conn) drop() {
	k.stop()
	k.broken = true
	_ = k.net.Close()
}

// fault is a breach of the protocol. Nothing more is said on the connection.
func (k *Conn) fault(stage Stage, text string) *Error {
	k.broken = true
	return &Error{Stage: stage, Kind: KindProtocol, Text: clean(text)}
}

func (k *Conn) lost(stage Stage, err error) *Error {
	k.broken = true
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &Error{Stage: stage, Kind: KindNetwork, Text: "the server ended the connection", Err: err}
	}
	return &Error{Stage: stage, Kind: KindNetwork, Err: err}
}

func (k *Conn) write(stage Stage, text string) error {
	if _, err := io.WriteString(k.net, text); err != nil {
		return k.lost(stage, err)
	}
	return nil
}

// command sends a command of one line and reads its answer.
func (k *Conn) command(ctx context.Context, stage Stage, text string) ([]answer, error) {
	tag, err := k.send(ctx, stage, text)
	if err != nil {
		return nil, err
	}
	return k.answers(stage, tag, 0)
}

func (k *Conn) send(ctx context.Context, stage Stage, text string) (tag string, err error) {
	switch {
	case k.broken:
		return "", &Error{Stage: stage, Kind: KindNetwork, Text: "the connection has ended"}
	case strings.ContainsAny(text, "\r\n\x00"):
		return "", &Error{Stage: stage, Kind: KindInput, Text: "a line break cannot be sent"}
	}
	k.tag++
	tag = fmt.Sprintf("s%d", k.tag)
	k.deadline(ctx, k.c.Timeout)
	return tag, k.write(stage, tag+" "+text+"\r\n")
}
