package bounce

import (
	"context"
	"errors"
	"strings"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/store"
)

// letterFailed is the audit entry about a letter that will not arrive.
const letterFailed = "letter.failed"

// FollowRefused marks the addresses that the mail server refused as recipients
// since it was asked last. It follows the audit log: that says of each letter
// once that it failed, whoever sent it. more tells that there is more to follow.
func (s *Service) FollowRefused(ctx context.Context) (more bool, err error) {
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		more = false
		seq, begun, err := follow(tx)
		if err != nil {
			return err
		}
		if !begun {
			end, err := s.audit.End(tx)
			if err != nil {
				return err
			}
			return setFollow(tx, end)
		}
		e, found, looked, err := s.audit.Following(tx, seq, letterFailed)
		if err != nil || looked == seq && !found {
			return err
		}
		more = true
		if !found {
			return setFollow(tx, looked)
		}
		if err := s.refused(tx, e.ID); err != nil {
			return err
		}
		return setFollow(tx, e.Seq)
	})
	return more, err
}

func (s *Service) refused(tx *store.Tx, letterID string) error {
	l, err := s.outbox.LeftLetter(tx, letterID)
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil || l.State != outbox.Failed || !refusesRecipient(l) {
		return err
	}
	return errors.Join(addCount(tx, countRefused), s.mark(tx, l, FromRefusal, l.Enhanced, l.Reply), s.auditBounce(tx, l, l.Enhanced, l.Reply))
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

// auditBounce says in the audit log that an address was marked.
func (s *Service) auditBounce(tx *store.Tx, l outbox.Left, status, said string) error {
	detail := []audit.Detail{{Name: "kind", Value: l.Kind}}
	if status != "" {
		detail = append(detail, audit.Detail{Name: "status", Value: status})
	}
	if said != "" {
		detail = append(detail, audit.Detail{Name: "server said", Value: said})
	}
	return s.audit.Append(tx, actor.System("bounces"), audit.Event{
		Action: "mail.bounced", Kind: "letter", ID: l.ID, Name: l.To.Address, Outcome: audit.Failed, Reason: "The letter did not reach its address.", Detail: detail,
	})
}
