package operator

import (
	"context"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
)

// CmdMailBounces shows where reports go, how reading them goes, and which
// addresses mail came back from.
const CmdMailBounces = "mail.bounces"

// BounceStatus is the result of [CmdMailBounces].
type BounceStatus struct {
	// Envelope is "token", "plain" or "sender"; Address is where reports go.
	Envelope string `json:"envelope"`
	Address  string `json:"address,omitempty"`
	Asks     bool   `json:"asks"`
	// Mailbox is "host:port" where it is read, else "". State is "new", "working"
	// or "failing".
	Mailbox string    `json:"mailbox,omitempty"`
	State   string    `json:"state,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	Reason  string    `json:"reason,omitempty"`
	Advice  string    `json:"advice,omitempty"`
	Said    string    `json:"said,omitempty"`
	ReadAt  time.Time `json:"read_at,omitzero"`
	Next    time.Time `json:"next,omitzero"`
	// Counts are messages by what they said, ever.
	Counts map[string]int64 `json:"counts"`
	// Marked counts the addresses that mail came back from; Addresses are the
	// last ones.
	Marked    int       `json:"marked"`
	Addresses []Bounced `json:"addresses"`
}

// Bounced is an address that mail came back from.
type Bounced struct {
	Address string    `json:"address"`
	Since   time.Time `json:"since"`
	Last    time.Time `json:"last"`
	Times   int64     `json:"times"`
	// Origin is "bounce" or "refused".
	Origin   string `json:"origin"`
	Status   string `json:"status,omitempty"`
	Said     string `json:"said,omitempty"`
	LetterID string `json:"letter_id,omitempty"`
}

// lastMarks is how many addresses the command shows.
const lastMarks = 50

func (c *commands) mailBounces(ctx context.Context, by actor.Actor, _ none, _ Sink) (BounceStatus, error) {
	o, err := c.Bounces.Overview(ctx, by)
	if err != nil {
		return BounceStatus{}, err
	}
	set := o.Settings
	st := BounceStatus{Envelope: string(set.Envelope), Address: set.Address, Asks: o.Set && set.Ask, Counts: o.Counts, Addresses: []Bounced{}}
	if set.Reads {
		s := o.Status
		st.Mailbox, st.State, st.Since, st.Reason, st.Advice, st.Said = set.Server(), string(s.State), s.Since, s.Reason, s.Advice, s.Said
		st.ReadAt, st.Next = s.ReadAt, s.Next
	}
	marks, total, err := c.Bounces.Standing(ctx, by, lastMarks)
	st.Marked = total
	for _, m := range marks {
		st.Addresses = append(st.Addresses, Bounced{
			Address: m.Address, Since: m.Since, Last: m.Last, Times: m.Times, Origin: string(m.Origin), Status: m.Status, Said: m.Said, LetterID: m.LetterID,
		})
	}
	return st, err
}
