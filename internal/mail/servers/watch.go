package servers

import (
	"context"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
)

// WatchEvery is how often to call [Service.Watch].
const WatchEvery = time.Second

const (
	// trial is how long a server that let a probe in is watched before its pause
	// counts as over, where no letter shows that.
	trial = 10 * time.Minute
	// settleFor is for how long after a change of the routes letters are looked
	// at again: who added one at the same moment may not have known of it.
	settleFor = 5 * time.Minute
	// settleEvery is how often in that time.
	settleEvery = time.Minute
)

// Watch notices that a server begins to stand in for the other, and that it
// gives the letters back, and audits both, once over all nodes. Shortly after a
// change of the routes it sees to letters that were added meanwhile.
func (s *Service) Watch(ctx context.Context) error {
	var news, settle bool
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		st, told, err := s.look(tx)
		if err != nil {
			return err
		}
		news = len(changes(st, told, tx.Now())) > 0
		changed, err := selectChanged(tx)
		ago := tx.Now().Sub(store.FromMicros(changed))
		settle = changed > 0 && ago < settleFor && ago%settleEvery < 2*WatchEvery
		return err
	})
	if err != nil || !news && !settle {
		return err
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		if settle {
			if err := s.Outbox.Reroute(tx); err != nil {
				return err
			}
		}
		st, told, err := s.look(tx)
		if err != nil {
			return err
		}
		for _, c := range changes(st, told, tx.Now()) {
			if err := s.tell(tx, st, c, told[c.slot]); err != nil {
				return err
			}
		}
		return nil
	})
}

// look returns how the servers stand and what of it is told.
func (s *Service) look(tx *store.Tx) (State, map[mail.Slot]time.Time, error) {
	st, err := s.state(tx)
	if err != nil {
		return st, nil, err
	}
	told, err := selectStandIns(tx)
	return st, told, err
}

// change is that the other server begins, or ends, to stand in for one.
type change struct {
	slot   mail.Slot
	begins bool
}

func changes(st State, told map[mail.Slot]time.Time, now time.Time) []change {
	var all []change
	for _, slot := range mail.Slots() {
		side := st.Of(slot)
		_, known := told[slot]
		// A probe says little of whether letters are taken: until one is, the
		// next refusal goes on with the same pause, which would be told for each
		// probe otherwise.
		onTrial := side.Gate.Open && side.Profile.State == mail.Working && side.Profile.Probes > 0 && now.Sub(side.Profile.Since) < trial
		switch {
		case side.Covered && !known:
			all = append(all, change{slot, true})
		case !side.Covered && known && !onTrial:
			all = append(all, change{slot, false})
		}
	}
	return all
}

func (s *Service) tell(tx *store.Tx, st State, c change, began time.Time) error {
	side, other := st.Of(c.slot), st.Of(c.slot.Other())
	e := audit.Event{Kind: "mail_server", ID: side.Profile.ID, Name: side.Profile.Server()}
	note, mine := deleteStandIn, "mail.given_back"
	if c.begins {
		note, mine = insertStandIn, "mail.taken_over"
		e.Reason = side.Profile.Reason
		e.Detail = []audit.Detail{
			{Name: "letters leave through", Value: other.Profile.Server()},
			{Name: "paused since", Value: side.Gate.Since.UTC().Format(time.RFC3339)},
		}
	} else {
		e.Reason = why(c.slot, side, other)
		e.Detail = []audit.Detail{
			{Name: "letters left through", Value: other.Profile.Server()},
			{Name: "since", Value: began.UTC().Format(time.RFC3339)},
		}
	}
	e.Action = mine
	if first, err := note(tx, c.slot); err != nil || !first {
		return err
	}
	return s.Audit.Append(tx, actor.System("delivery"), e)
}

// why says what ends that the other server stands in.
func why(slot mail.Slot, side, other Side) string {
	switch {
	case side.Gate.Open:
		return "The " + slot.Ordinal() + " mail server works again."
	case side.Gate.Reason == outbox.ReasonOperator:
		return "Somebody stopped the " + slot.Ordinal() + " mail server."
	case !other.Set || !other.Gate.Open:
		return "The " + slot.Other().Ordinal() + " mail server cannot be used either."
	}
	return "The rule says so."
}
