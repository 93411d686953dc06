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

// Received returns what lies in the mailbox for an address, or for everybody
// where it is empty, in the order of arrival. Addresses are compared as they
// are.
func (m *MailServer) Received(t testing.TB, address string) []Mail {
	t.Helper()
	folder := filepath.Join(m.dir, "mail", "all", "new")
	entries, err := os.ReadDir(folder)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	type arrival struct {
		mail Mail
		at   time.Time
	}
	var found []arrival
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		to := deliveredTo(raw)
		if address != "" && to != address {
			continue
		}
		parsed, err := enmime.ReadEnvelope(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("a mail in the mailbox cannot be parsed: %v", err)
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, arrival{Mail{parsed, raw, to}, info.ModTime()})
	}
	slices.SortStableFunc(found, func(a, b arrival) int { return a.at.Compare(b.at) })
	mails := make([]Mail, len(found))
	for i, f := range found {
		mails[i] = f.mail
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
	var got []Mail
	if !within(deliverWait, m.gone, func() bool {
		got = m.Received(t, address)
		return len(got) >= n
	}) {
		t.Fatalf("%d mails for %s, want %d\n%s", len(got), address, n, lastLines(m.Log(), 40))
	}
	return got
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return fmt.Sprint(strings.Join(lines[max(0, len(lines)-n):], "\n"))
}
