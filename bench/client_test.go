package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	nsmtp "net/smtp"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/secret"
)

const (
	benchFrom = "vault@example.org"
	benchTo   = "ada@example.org"
	// benchLetterSize is what a letter of ours has with its HTML part.
	benchLetterSize = 5000
)

// benchBody is a letter as it leaves.
func benchBody() []byte {
	var b bytes.Buffer
	b.WriteString("From: Sealpost <vault@example.org>\r\nTo: Ada Lovelace <ada@example.org>\r\nSubject: You are invited\r\n" +
		"Date: Sun, 01 Mar 2026 09:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	line := strings.Repeat("0123456789", 7) + "\r\n"
	for b.Len() < benchLetterSize-len(line) {
		b.WriteString(line)
	}
	b.WriteString("..\r\n")
	return b.Bytes()
}

// place is a mail server as a client of the benchmark reaches it.
type place struct {
	sink *fastSink
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	port int
}

// share lets so many connections send n letters between them. The connections
// are made before the clock runs.
func share(
	b *testing.B, p place, connections int,
	connect func(b *testing.B, p place) (send func(take func() bool) error, closing func()),
) {
	sends := make([]func(func() bool) error, connections)
	for i := range sends {
		send, closing := connect(b, p)
		sends[i] = send
		b.Cleanup(closing)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	take := func() bool { return left.Add(-1) >= 0 }
	b.ReportAllocs()
	before := used(b)
	b.ResetTimer()
	var all sync.WaitGroup
	for _, send := range sends {
		all.Go(func() {
			if err := send(take); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	b.StopTimer()
	perSecond(b, b.N)
	reportUse(b, before, b.N)
	if got := p.sink.taken.Load(); got < int64(b.N) {
		b.Errorf("the server took %d letters of %d", got, b.N)
	}
}

// ourClient connects as Sealpost does.
func ourClient(b *testing.B, p place) (func(func() bool) error, func()) {
	c, err := smtp.Dial(b.Context(), smtp.Config{
		Host: sinkHost, Port: p.port, Security: smtp.STARTTLS, TLS: p.sink.clientTLS(), LocalName: "vault.example.net", Dial: p.dial,
		Auth: &smtp.Auth{Credential: sasl.Credential{Username: sinkLogin, Password: secret.New(sinkPassword)}},
	})
	must(b, err)
	body, to := benchBody(), []string{benchTo}
	return func(take func() bool) error {
		var failed error
		next := func() (smtp.Submission, bool) {
			return smtp.Submission{From: benchFrom, To: to, Body: body}, take()
		}
		if err := c.Send(b.Context(), next, func(_ int, r smtp.Result) {
			if r.Err != nil {
				failed = r.Err
			}
		}); err != nil {
			return err
		}
		return failed
	}, func() { _ = c.Close() }
}

// standardClient is net/smtp.
func standardClient(b *testing.B, p place) (func(func() bool) error, func()) {
	conn, err := p.dial(b.Context(), "tcp", "")
	must(b, err)
	c, err := nsmtp.NewClient(conn, sinkHost)
	must(b, err)
	must(b, c.StartTLS(p.sink.clientTLS()))
	must(b, c.Auth(nsmtp.PlainAuth("", sinkLogin, sinkPassword, sinkHost)))
	body := benchBody()
	one := func() error {
		if err := c.Mail(benchFrom); err != nil {
			return err
		}
		if err := c.Rcpt(benchTo); err != nil {
			return err
		}
		w, err := c.Data()
		if err != nil {
			return err
		}
		if _, err := w.Write(body); err != nil {
			return err
		}
		return w.Close()
	}
	return func(take func() bool) error {
		for take() {
			if err := one(); err != nil {
				return err
			}
		}
		return nil
	}, func() { _ = c.Close() }
}

// goMailClient is github.com/wneessen/go-mail, with a message built once.
func goMailClient(b *testing.B, p place) (func(func() bool) error, func()) {
	c, err := gomail.NewClient(sinkHost, gomail.WithPort(p.port), gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithTLSConfig(p.sink.clientTLS()),
		gomail.WithSMTPAuth(gomail.SMTPAuthPlain), gomail.WithUsername(sinkLogin), gomail.WithPassword(sinkPassword), gomail.WithHELO("vault.example.net"),
		gomail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			return p.dial(ctx, network, address)
		}))
	must(b, err)
	must(b, c.DialWithContext(b.Context()))
	m := gomail.NewMsg()
	must(b, m.From(benchFrom))
	must(b, m.To(benchTo))
	m.Subject("You are invited")
	m.SetBodyString(gomail.TypeTextPlain, string(benchBody()[300:]))
	return func(take func() bool) error {
		for take() {
			if err := c.Send(m); err != nil {
				return err
			}
		}
		return nil
	}, func() { _ = c.Close() }
}

// rawClient writes letters without looking at them and counts replies, with as
// many in flight as our client has. It is what the wire gives at best.
func rawClient(b *testing.B, p place) (func(func() bool) error, func()) {
	conn, err := p.dial(b.Context(), "tcp", "")
	must(b, err)
	r := textproto.NewReader(bufio.NewReader(conn))
	say := func(line string, want int) {
		_, err := io.WriteString(conn, line+"\r\n")
		must(b, err)
		_, _, err = r.ReadResponse(want)
		must(b, err)
	}
	_, _, err = r.ReadResponse(220)
	must(b, err)
	say("EHLO raw.example.net", 250)
	say("STARTTLS", 220)
	conn = tls.Client(conn, p.sink.clientTLS())
	r = textproto.NewReader(bufio.NewReader(conn))
	say("EHLO raw.example.net", 250)
	say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+sinkLogin+"\x00"+sinkPassword)), 235)
	body := benchBody()
	letter := fmt.Appendf(nil, "MAIL FROM:<%s> SIZE=%d\r\nRCPT TO:<%s>\r\nBDAT %d LAST\r\n%s", benchFrom, len(body), benchTo, len(body), body)
	return func(take func() bool) error {
		room := make(chan struct{}, 64)
		failed := make(chan error, 1)
		go func() {
			defer close(failed)
			for range room {
				for range 3 {
					line, err := r.ReadLineBytes()
					if err != nil || line[0] != '2' {
						failed <- fmt.Errorf("%q: %w", line, err)
						return
					}
				}
			}
		}()
		for take() {
			room <- struct{}{}
			if _, err := conn.Write(letter); err != nil {
				return err
			}
		}
		close(room)
		return <-failed
	}, func() { _ = conn.Close() }
}

// Clients side by side: letters of 5 kB from memory, over STARTTLS and a
// sign-in, to a server near and far.
func BenchmarkClient(b *testing.B) {
	type client struct {
		name    string
		sink    sinkConfig
		connect func(b *testing.B, p place) (func(func() bool) error, func())
	}
	all := sinkConfig{Pipelining: true, Chunking: true}
	clients := []client{
		{"ours", all, ourClient},
		{"ours-without-CHUNKING", sinkConfig{Pipelining: true}, ourClient},
		{"ours-without-PIPELINING", sinkConfig{}, ourClient},
		{"net-smtp", all, standardClient},
		{"go-mail", all, goMailClient},
		{"raw-writer", all, rawClient},
	}
	for _, roundTrip := range []time.Duration{0, 5 * time.Millisecond, 30 * time.Millisecond} {
		for _, connections := range []int{1, 4} {
			for _, c := range clients {
				b.Run(fmt.Sprintf("rtt-%s/connections-%d/%s", roundTrip, connections, c.name), func(b *testing.B) {
					sink := startSink(b, c.sink)
					p := place{sink, sink.dial, sink.port()}
					if roundTrip > 0 {
						d := far(b, sink.listener.Addr().String(), roundTrip)
						p.dial, p.port = d.dial, d.port()
					}
					share(b, p, connections, c.connect)
				})
			}
		}
	}
}
