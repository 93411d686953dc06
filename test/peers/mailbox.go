package peers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jhillyerd/enmime/v2"
)

// deliverWait is how long a mail that Postfix accepted may take to its mailbox.
const deliverWait = 20 * time.Second

// Mail is one mail as it lies in the mailbox, read by a parser that shares no
// code with what wrote it.
type Mail struct {
	*enmime.Envelope
	// Raw are its bytes, with the lines Postfix put before.
	Raw []byte
	// To is the address of the envelope.
	To string
}

// MessageID returns the mail's Message-ID with its angle brackets.
func (m Mail) MessageID() string { return m.GetHeader("Message-ID") }

// arrival is a file of the mailbox, which nobody changes once it is there.
type arrival struct {
	to  string
	at  time.Time
	raw []byte
}

// arrivals reads what came since it was last asked, and returns all there is
// for an address, in the order of arrival.
func (m *MailServer) arrivals(address string) ([]arrival, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	folder := filepath.Join(m.dir, "mail", "all", "new")
	entries, err := os.ReadDir(folder)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	for _, e := range entries {
		if m.seen[e.Name()] {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return nil, err
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		to := deliveredTo(raw)
		m.seen[e.Name()] = true
		m.box[to] = append(m.box[to], arrival{to, info.ModTime(), raw})
	}
	found := slices.Clone(m.box[address])
	slices.SortStableFunc(found, func(a, b arrival) int { return a.at.Compare(b.at) })
	return found, nil
}

// Received returns what lies in the mailbox for an address, in the order of
// arrival. Addresses are compared as they are.
func (m *MailServer) Received(t testing.TB, address string) []Mail {
	t.Helper()
	found, err := m.arrivals(address)
	if err != nil {
		t.Fatal(err)
	}
	var mails []Mail
	for _, f := range found {
		parsed, err := enmime.ReadEnvelope(bytes.NewReader(f.raw))
		if err != nil {
			t.Fatalf("a mail in the mailbox cannot be parsed: %v", err)
		}
		mails = append(mails, Mail{parsed, f.raw, f.to})
	}
	return mails
}

// deliveredTo reads the address that Postfix wrote on top.
func deliveredTo(raw []byte) string {
	for line := range bytes.Lines(raw) {
		if to, ok := strings.CutPrefix(string(line), "Delivered-To: "); ok {
			return strings.TrimSpace(to)
		}
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
	}
	return ""
}

// Wait returns the mails for an address once there are at least n.
func (m *MailServer) Wait(t testing.TB, address string, n int) []Mail {
	t.Helper()
	if !within(deliverWait, m.gone, func() bool {
		found, err := m.arrivals(address)
		return err == nil && len(found) >= n
	}) {
		t.Fatalf("fewer than %d mails for %s\n%s", n, address, lastLines(m.Log(), 40))
	}
	return m.Received(t, address)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return fmt.Sprint(strings.Join(lines[max(0, len(lines)-n):], "\n"))
}
