package diagnose

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/mail/smtp"
)

// mailPorts are those of mail servers (RFC 5321, RFC 6409, RFC 8314). No other
// port is ever tried, and on no other host than the one under test.
var mailPorts = []int{25, 465, 587}

const (
	// portWait bounds the wait for a connection, wordWait the one for what a
	// server says first.
	portWait = 3 * time.Second
	wordWait = 2 * time.Second
)

// lookAtPorts tries the ports of mail servers, all at once. Nothing is said on
// them but QUIT, and what is no mail server's word is not repeated: the test is
// not there to look around in a network.
func (t *test) lookAtPorts(ctx context.Context) (string, []Step) {
	select {
	case <-t.aside.opened:
	case <-ctx.Done():
	}
	t.aside.mu.Lock()
	dial := t.dial
	t.aside.mu.Unlock()
	if dial == nil {
		return "The test did not come that far.", nil
	}
	steps := make([]Step, len(mailPorts))
	var all sync.WaitGroup
	for i, port := range mailPorts {
		if port == t.draft.Profile.Port {
			steps[i] = Step{Key: portKey(port), Title: portTitle(port), State: OK, Detail: "This is the port under test; the steps show it."}
			continue
		}
		all.Go(func() { steps[i] = t.port(ctx, dial, port) })
	}
	all.Wait()
	return t.portSummary(steps), steps
}

func portKey(port int) string { return "port_" + strconv.Itoa(port) }

func portTitle(port int) string {
	use := map[int]string{25: "between mail servers", 465: "TLS from the start", 587: "STARTTLS"}[port]
	return fmt.Sprintf("Port %d (%s)", port, use)
}

// portSummary names the ports that are open.
func (t *test) portSummary(all []Step) string {
	var open []string
	for i, s := range all {
		if s.State == OK {
			open = append(open, strconv.Itoa(mailPorts[i]))
		}
	}
	switch len(open) {
	case 0:
		return fmt.Sprintf("Port %d is under test; none of the usual ones can be reached.", t.draft.Profile.Port)
	case 1:
		return "Of the usual ports of mail servers, " + open[0] + " can be reached."
	}
	return "Ports " + list(open) + " can be reached."
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// port tries one port. That one is closed is nothing to mend: another is in use.
func (t *test) port(ctx context.Context, dial dialer, port int) Step {
	s := Step{Key: portKey(port), Title: portTitle(port), State: Skipped}
	began := time.Now()
	within, cancel := context.WithTimeout(ctx, portWait)
	defer cancel()
	conn, err := dial(within, "tcp", net.JoinHostPort(t.host, strconv.Itoa(port)))
	s.Took = time.Since(began)
	var refused *smtp.Error
	switch {
	case errors.As(err, &refused) && refused.Kind == smtp.KindInput:
		s.Detail = "This address may not be connected to from here."
		return s
	case err != nil && within.Err() != nil:
		s.Detail = "Nobody answered: a firewall may be in between."
		return s
	case err != nil:
		s.Detail = "Closed, or out of reach."
		return s
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	s.State = OK
	if port == 465 && t.speaksTLS(conn) {
		s.Detail = "Open, and begins with TLS at once."
		return s
	}
	if port == 465 {
		s.Detail = "Open, and does not begin with TLS."
		return s
	}
	s.Detail = firstWord(conn)
	return s
}

// speaksTLS reports whether a server answers to the beginning of TLS. What it
// proves itself with is looked at by the steps, not here: nothing is said over
// this connection.
func (t *test) speaksTLS(conn net.Conn) bool {
	_ = conn.SetDeadline(time.Now().Add(wordWait))
	err := tls.Client(conn, &tls.Config{ServerName: t.host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}).Handshake()
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		return false
	}
	var alert tls.AlertError
	return err == nil || errors.As(err, &alert)
}

// firstWord tells what a server says first, without repeating it.
func firstWord(conn net.Conn) string {
	_ = conn.SetDeadline(time.Now().Add(wordWait))
	line, err := bufio.NewReaderSize(io.LimitReader(conn, 1<<10), 1<<10).ReadString('\n')
	switch {
	case err == nil && strings.HasPrefix(line, "220"):
		_, _ = io.WriteString(conn, "QUIT\r\n")
		return "Open, and greets like a mail server."
	case err == nil && (strings.HasPrefix(line, "4") || strings.HasPrefix(line, "5")):
		return "Open; the mail server there does not take connections from here."
	case err == nil || line != "":
		return "Open; what answers there is no mail server."
	}
	return "Open, and says nothing at first. Some mail servers wait, others expect TLS at once."
}
