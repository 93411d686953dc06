package outbox

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/store"
)

// Sent is a letter that somebody else has sent already, such as a test mail.
type Sent struct {
	Kind      string
	MessageID string
	To        Recipient
	Subject   string
	Took      time.Duration
	// Route is the slot whose server it went to; "" is Main.
	Route Slot
	// MaybeSent is as in Row.
	MaybeSent bool
	// Outcome is Accepted or Failed; its ID, Attempt and RetryAt do not count.
	Outcome Outcome
}

// Note writes a letter into the journal that needs nothing more: it has one
// attempt, no content, and is neither sent nor sent again. A failure is not
// audited, since whoever sent it was there to see it.
func (o *Outbox) Note(ctx context.Context, s Sent) error {
	addr, err := message.ParseAddress(s.To.Address)
	if err != nil {
		return err
	}
	info, ok := letter.Info(s.Kind)
	if !ok || s.Outcome.State != Accepted && s.Outcome.State != Failed {
		return fault.Internal(fmt.Errorf("a letter of kind %q cannot be noted as %q", s.Kind, s.Outcome.State))
	}
	return o.db.Update(ctx, func(tx *store.Tx) error {
		began := tx.Now().Add(-s.Took)
		row := stored{
			id: store.NewID(), messageID: s.MessageID, to: s.To, address: addr.Spec(),
			subject: s.Subject, sealed: []byte{}, notBefore: began, route: cmp.Or(s.Route, Main), trace: actor.Trace(tx.Context()),
		}
		if err := insertLetter(tx, info, row); err != nil {
			return err
		}
		if err := beginNoted(tx, row.id, began, s.MaybeSent); err != nil {
			return err
		}
		out := s.Outcome
		out.ID, out.Attempt, out.RetryAt = row.id, 1, began
		out.Slot = row.route
		return o.record(tx, []Outcome{out})
	})
}

// beginNoted makes a new letter one that is being sent.
func beginNoted(tx *store.Tx, id string, began time.Time, maybe bool) error {
	_, err := tx.Exec(`UPDATE outbox_letter SET state = 'sending', attempt = 1, maybe_sent = $1, began_at = $2 WHERE id = $3`, maybe, store.Micros(began), id)
	return err
}
