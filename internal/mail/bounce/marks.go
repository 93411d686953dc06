package bounce

import (
	"context"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
)

// Origin is how it became known that mail does not reach an address.
type Origin string

// The origins.
const (
	// FromBounce: a report came back.
	FromBounce Origin = "bounce"
	// FromRefusal: the mail server refused the recipient.
	FromRefusal Origin = "refused"
)

// Mark is an address that mail came back from.
type Mark struct {
	// Address is in lower case.
	Address string
	// Since is when mail to it came back first, Last when it did last, Times how
	// often.
	Since, Last time.Time
	Times       int64
	Origin      Origin
	// Status is the status code of RFC 3463, or ""; Said is what the server that
	// gave up said.
	Status, Said string
	// LetterID is the last letter that came back, UserID who it was for; the
	// latter may be empty.
	LetterID, UserID string

	cleared   time.Time
	clearedBy string
}

// markKey is an address as marks are kept by.
func markKey(address string) string { return strings.ToLower(strings.TrimSpace(address)) }

func seesMarks(by actor.Actor) bool {
	return by.May(actor.ManageUsers) || by.May(actor.ManageSettings) || by.May(actor.ReadMailJournal)
}

// Marks returns the marks of those addresses that have one, by the address as it
// was given. Who may not see them gets none.
func (s *Service) Marks(ctx context.Context, by actor.Actor, addresses ...string) (map[string]Mark, error) {
	marks := map[string]Mark{}
	if !seesMarks(by) || len(addresses) == 0 {
		return marks, nil
	}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		clear(marks)
		n, err := countStanding(tx)
		if err != nil || n == 0 {
			return err
		}
		for _, a := range addresses {
			m, ok, err := selectMark(tx, markKey(a), "")
			if err != nil {
				return err
			}
			if ok && !m.Since.IsZero() {
				marks[a] = m
			}
		}
		return nil
	})
	return marks, err
}

// Standing returns up to n marks, the newest first, and how many there are.
func (s *Service) Standing(ctx context.Context, by actor.Actor, n int) (marks []Mark, total int, err error) {
	if !seesMarks(by) {
		return nil, 0, nil
	}
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		if total, err = countStanding(tx); err == nil && total > 0 {
			marks, err = standingMarks(tx, n)
		}
		return err
	})
	return marks, total, err
}

// Clear takes the mark off an address: mail to it is expected to arrive again.
// What comes back later about letters from before does not mark it.
func (s *Service) Clear(ctx context.Context, by actor.Actor, address string) error {
	if !by.May(actor.ManageUsers) && !by.May(actor.ManageSettings) {
		return fault.Denied("Your role may not do that.")
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		m, ok, err := selectMark(tx, markKey(address), tx.ForUpdate())
		if err != nil {
			return err
		}
		if !ok || m.Since.IsZero() {
			return nil // somebody was faster
		}
		m.Since, m.Times, m.cleared, m.clearedBy = time.Time{}, 0, tx.Now(), by.Login
		if err := upsertMark(tx, m); err != nil {
			return err
		}
		return s.audit.Append(tx, by, audit.Event{Action: "mail.bounce_cleared", Kind: "mail_address", Name: m.Address})
	})
}

// mark notes that a letter did not reach its address. Nothing is noted where
// somebody wanted the address tried again after the letter was made.
func (s *Service) mark(tx *store.Tx, l outbox.Left, origin Origin, status, said string) error {
	m, _, err := selectMark(tx, markKey(l.To.Address), tx.ForUpdate())
	if err != nil {
		return err
	}
	if !m.cleared.IsZero() && !l.Added.After(m.cleared) {
		return nil
	}
	now := tx.Now()
	if m.Since.IsZero() {
		m.Since = now
	}
	m.Address, m.Last, m.Origin, m.Status, m.Said, m.LetterID, m.UserID = markKey(l.To.Address), now, origin, status, said, l.ID, l.To.UserID
	m.Times++
	return upsertMark(tx, m)
}
