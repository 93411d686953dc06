package journey

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/mail"
	"sync"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

// mailbox is a mail server that takes every letter and keeps it. It outlives
// the servers that a test kills.
type mailbox struct {
	port int

	mu    sync.Mutex
	mails []taken
	more  chan struct{}
}

// taken is one letter for one recipient, as it was accepted.
type taken struct {
	to, messageID string
	body          []byte
}

func newMailbox(t testing.TB) *mailbox {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	box := &mailbox{port: listener.Addr().(*net.TCPAddr).Port, more: make(chan struct{}, 1)}
	server := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) { return &taking{box: box}, nil }))
	server.Domain = "mailbox.example.org"
	server.ErrorLog = log.New(io.Discard, "", 0) // clients that are killed are the point
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return box
}

// taking is a connection to the mailbox.
type taking struct {
	box *mailbox
	to  []string
}

func (s *taking) Reset()                                 { s.to = nil }
func (s *taking) Logout() error                          { return nil }
func (s *taking) Mail(string, *gosmtp.MailOptions) error { return nil }

func (s *taking) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *taking) Data(r io.Reader) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := mail.ReadMessage(bytes.NewReader(body))
	if err != nil {
		return err
	}
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	for _, to := range s.to {
		s.box.mails = append(s.box.mails, taken{to, m.Header.Get("Message-ID"), body})
	}
	select {
	case s.box.more <- struct{}{}:
	default:
	}
	return nil
}

// of returns the letters for an address.
func (b *mailbox) of(address string) []taken {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []taken
	for _, m := range b.mails {
		if m.to == address {
			found = append(found, m)
		}
	}
	return found
}

// wait waits until there are n letters for an address, and returns them.
func (b *mailbox) wait(t testing.TB, address string, n int) []taken {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for len(b.of(address)) < n {
		select {
		case <-b.more:
		case <-deadline.C:
			t.Fatalf("%d letters for %s, want %d", len(b.of(address)), address, n)
		}
	}
	return b.of(address)
}
