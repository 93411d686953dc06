package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/net/netutil"

	"github.com/sealpost/sealpost/internal/fault"
)

const (
	// maxConnections, maxRecipients and maxLine bound what a client may ask
	// for; a line must hold an access token (RFC 4954 4).
	maxConnections = 50
	maxRecipients  = 100
	maxLine        = 12288
	timeout        = 5 * time.Minute
)

// Listen opens the server's port. The address must be on loopback.
func (m *Mailbox) Listen(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || !loopback(host) {
		return fault.Invalid("capture", "The capture mailbox listens on this machine alone. Write for example 127.0.0.1:7225.").Because(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fault.Unavailable("The capture mailbox cannot listen on " + addr + ". Another program may use the port; choose another one.").Because(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listener = netutil.LimitListener(l, maxConnections)
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// Addr returns "host:port" of the server, or "" while it does not listen.
func (m *Mailbox) Addr() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listener == nil {
		return ""
	}
	return m.listener.Addr().String()
}

// Serve takes letters until ctx ends. Call Listen before.
func (m *Mailbox) Serve(ctx context.Context) error {
	m.mu.Lock()
	if m.listener == nil {
		m.mu.Unlock()
		return errors.New("capture: Serve before Listen")
	}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{mailbox: m, ctx: ctx}, nil
	}))
	s.Domain = "capture.sealpost.invalid"
	s.MaxLineLength, s.MaxRecipients, s.MaxMessageBytes = maxLine, maxRecipients, maxMail
	s.ReadTimeout, s.WriteTimeout = timeout, timeout
	s.EnableSMTPUTF8 = true
	s.ErrorLog = logger{m}
	l := m.listener
	m.server = s
	m.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = m.Close() })
	defer stop()
	if err := s.Serve(l); err != nil && ctx.Err() == nil {
		return fmt.Errorf("capture: %w", err)
	}
	return nil
}

// Close ends the server. The letters stay.
func (m *Mailbox) Close() error {
	m.mu.Lock()
	s, l := m.server, m.listener
	m.server, m.listener = nil, nil
	m.mu.Unlock()
	switch {
	case s != nil:
		return s.Close()
	case l != nil:
		return l.Close()
	}
	return nil
}

// session is one client's dialogue. The contract of go-smtp has no context, so
// that it carries the server's.
type session struct {
	mailbox *Mailbox
	ctx     context.Context
	from    string
	to      []string
}

func (s *session) Reset()        { s.from, s.to = "", nil }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	source, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	id, err := s.mailbox.keepMail(s.ctx, s.from, s.to, source)
	if err != nil {
		s.mailbox.log.Error("the capture mailbox could not store a letter", "err", err)
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "The letter could not be stored"}
	}
	// An answer with another text travels as an error in go-smtp.
	return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Ok: queued as " + id}
}

// logger hands what go-smtp logs to the mailbox's log.
type logger struct{ m *Mailbox }

func (l logger) Printf(format string, v ...any) {
	l.m.log.Warn("capture mailbox", "err", fmt.Sprintf(format, v...))
}

func (l logger) Println(v ...any) {
	l.m.log.Warn("capture mailbox", "err", strings.TrimSpace(fmt.Sprintln(v...)))
}
