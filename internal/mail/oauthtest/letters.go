package oauthtest

import (
	"bytes"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"
)

// arriveWait bounds the wait for letters.
const arriveWait = 20 * time.Second

// Letter is one that was taken for delivery.
type Letter struct {
	At time.Time
	// Via is "exchange", "gmail" or "graph"; Login is whose mailbox or which
	// app sent it, From the sender of the envelope or of the header in Graph.
	Via, Login, From string
	To               []string
	MessageID        string
	// Raw are its bytes.
	Raw []byte
}

// take keeps a letter. The lock is held.
func (s *Stand) take(l Letter) {
	l.At = s.now()
	if m, err := mail.ReadMessage(bytes.NewReader(l.Raw)); err == nil {
		l.MessageID = m.Header.Get("Message-Id")
	}
	s.letters = append(s.letters, l)
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// Letters returns what was taken so far, in the order of arrival.
func (s *Stand) Letters() []Letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.letters)
}

// Wait returns the letters as soon as there are n of them. One test waits at a
// time.
func (s *Stand) Wait(t testing.TB, n int) []Letter {
	t.Helper()
	patience := time.NewTimer(arriveWait)
	defer patience.Stop()
	for {
		if got := s.Letters(); len(got) >= n {
			return got
		}
		select {
		case <-s.arrived:
		case <-patience.C:
			t.Fatalf("oauthtest: %d letters arrived, want %d", len(s.Letters()), n)
		}
	}
}

// Throttled returns how often a mailbox was refused because of too many
// connections or letters at once.
func (s *Stand) Throttled(mailbox string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usage(mailbox).refused
}

// usage is what a mailbox did.
type usage struct {
	// connections are signed in now.
	connections, refused int
	// sent are the times of letters of the last minute; days count recipients.
	sent []time.Time
	days []sending
}

type sending struct {
	at         time.Time
	recipients int
}

// usage returns what a mailbox did. The lock is held.
func (s *Stand) usage(mailbox string) *usage {
	key := strings.ToLower(mailbox)
	if s.use[key] == nil {
		s.use[key] = &usage{}
	}
	return s.use[key]
}

// minute tells whether another letter fits into the minute that ends now.
func (u *usage) minute(now time.Time, limit int) bool {
	u.sent = slices.DeleteFunc(u.sent, func(at time.Time) bool { return now.Sub(at) >= time.Minute })
	return limit == 0 || len(u.sent) < limit
}

// day tells whether further recipients fit into the day that ends now.
func (u *usage) day(now time.Time, limit, recipients int) bool {
	u.days = slices.DeleteFunc(u.days, func(d sending) bool { return now.Sub(d.at) >= 24*time.Hour })
	sum := recipients
	for _, d := range u.days {
		sum += d.recipients
	}
	return limit == 0 || sum <= limit
}

func (u *usage) count(now time.Time, recipients int) {
	u.sent = append(u.sent, now)
	u.days = append(u.days, sending{now, recipients})
}
