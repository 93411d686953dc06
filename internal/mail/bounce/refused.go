package bounce

import (
	"errors"
	"strings"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/store"
)

// Refused marks the address of a letter that failed, where the mail server
// refused it as a recipient. The outbox calls it in the transaction that records
// what came of the letter.
func (s *Service) Refused(tx *store.Tx, letterID string) error {
	l, err := s.outbox.LeftLetter(tx, letterID)
	if err != nil || !refusesRecipient(l) {
		return err
	}
	return errors.Join(s.came(tx, l, FromRefusal, l.Enhanced, l.Reply), addCount(tx, countRefused))
}

// refusesRecipient tells a reply that is about the recipient's address: 550, 551
// or 553 to RCPT with an enhanced code about the address (RFC 3463 3.2) or the
// mailbox (3.3), or none. Codes about the sender's address, the route or the
// policy say nothing about it.
func refusesRecipient(l outbox.Left) bool {
	if l.Stage != string(smtp.StageRcpt) || l.Code != 550 && l.Code != 551 && l.Code != 553 {
		return false
	}
	switch l.Enhanced {
	case "":
		return true
	case "5.1.7", "5.1.8", "5.1.90":
		return false
	}
	return strings.HasPrefix(l.Enhanced, "5.1.") || l.Enhanced == "5.2.1"
}

// came marks the address of a letter that did not reach it, and says so in the
// audit log, under the letter's trace.
func (s *Service) came(tx *store.Tx, l outbox.Left, origin Origin, status, said string) error {
	detail := []audit.Detail{{Name: "kind", Value: l.Kind}}
	if status != "" {
		detail = append(detail, audit.Detail{Name: "status", Value: status})
	}
	if said != "" {
		who := "server said"
		if origin == FromBounce {
			who = "report says"
		}
		detail = append(detail, audit.Detail{Name: who, Value: said})
	}
	by := actor.System("bounces")
	by.RequestID = l.Trace
	// The audit log comes first, as where the outbox records a failure.
	return errors.Join(s.audit.Append(tx, by, audit.Event{
		Action: "mail.bounced", Kind: "letter", ID: l.ID, Name: l.To.Address, Outcome: audit.Failed, Reason: "The letter did not reach its address.", Detail: detail,
	}), s.mark(tx, l, origin, status, said))
}
