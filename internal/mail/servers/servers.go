package servers

import (
	"context"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
)

// Config is what a Service needs.
type Config struct {
	DB     *store.DB
	Audit  *audit.Log
	Outbox *outbox.Outbox
	// Main and Second are the services of the two servers.
	Main, Second *mail.Service
	// Prove returns nil when by proved a moment ago who they are. It is asked
	// before letters go another way. Nil asks nobody.
	Prove func(by actor.Actor) error
	// Moved is told in the transaction in which the two servers change places, so
	// that what belongs to them goes along. Nil tells nobody.
	Moved func(tx *store.Tx) error
}

// Service is safe for use by several goroutines.
type Service struct {
	Config
}

// New returns the service of a database.
func New(c Config) *Service {
	if c.Prove == nil {
		c.Prove = func(actor.Actor) error { return nil }
	}
	if c.Moved == nil {
		c.Moved = func(*store.Tx) error { return nil }
	}
	return &Service{c}
}

// Of returns the service of a slot.
func (s *Service) Of(slot mail.Slot) *mail.Service {
	if slot == mail.Second {
		return s.Second
	}
	return s.Main
}

func manage(by actor.Actor) error {
	if !by.May(actor.ManageSettings) {
		return fault.Denied("Your role may not manage the mail server.")
	}
	return nil
}

// Side is how one server stands.
type Side struct {
	Profile mail.Profile
	Set     bool
	Gate    outbox.Gate
	// Covered tells that the letters of this server leave through the other one
	// now; CoveredFrom is when they will, zero where they never do as things are.
	Covered     bool
	CoveredFrom time.Time
}

// State is how both servers stand.
type State struct {
	Main, Second Side
	// Routes is how many domains have one.
	Routes int
	// After is when one server stands in for the other: see [Settings].
	After time.Duration
}

// Of returns one side.
func (s State) Of(slot mail.Slot) Side {
	if slot == mail.Second {
		return s.Second
	}
	return s.Main
}

// Covered returns the server that the other one stands in for, and false while
// each sends its own letters.
func (s State) Covered() (mail.Slot, bool) {
	switch {
	case s.Main.Covered:
		return mail.Main, true
	case s.Second.Covered:
		return mail.Second, true
	}
	return "", false
}

// State returns how the servers stand. Everybody who is signed in may learn
// whether mail leaves; what a page shows of it is the page's business.
func (s *Service) State(ctx context.Context) (State, error) {
	var st State
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		st, err = s.state(tx)
		return err
	})
	return st, err
}

func (s *Service) state(tx *store.Tx) (State, error) {
	var st State
	for _, slot := range mail.Slots() {
		side := Side{}
		var err error
		if side.Profile, side.Set, err = s.Of(slot).ActiveIn(tx); err != nil {
			return st, err
		}
		if side.Gate, err = s.Outbox.Gate(tx, outbox.Slot(slot)); err != nil {
			return st, err
		}
		if slot == mail.Main {
			st.Main = side
		} else {
			st.Second = side
		}
	}
	st.After = st.Main.Gate.CoverAfter
	st.Main.covered(mail.Main, st.Second, tx.Now())
	st.Second.covered(mail.Second, st.Main, tx.Now())
	var err error
	st.Routes, err = countRoutes(tx)
	return st, err
}

func (s *Side) covered(slot mail.Slot, other Side, now time.Time) {
	g := s.Gate
	if !s.Set || !other.Set || !other.Gate.Open {
		return
	}
	s.Covered = g.Covered(outbox.Slot(slot), now)
	if !g.Open && g.Reason == outbox.ReasonPaused && g.CoverAfter >= 0 {
		s.CoveredFrom = g.Since.Add(g.CoverAfter)
	}
}

// Exchange makes the second server the first, and the first the second, for who
// proved a moment ago who they are. All routes end with that: what left through
// the second server because of them leaves through it all the same.
func (s *Service) Exchange(ctx context.Context, by actor.Actor) error {
	if err := manage(by); err != nil {
		return err
	}
	if err := s.Prove(by); err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		first, second, err := s.Main.Exchange(tx)
		if err != nil {
			return err
		}
		if err := s.Outbox.ExchangeGates(tx); err != nil {
			return err
		}
		n, err := s.clearRoutes(tx)
		if err != nil {
			return err
		}
		if err := deleteStandIns(tx); err != nil {
			return err
		}
		if err := s.Moved(tx); err != nil {
			return err
		}
		return s.Audit.Append(tx, by, audit.Event{
			Action: "mail.exchanged", Kind: "mail_server", ID: second.ID, Name: second.Server(), Detail: append([]audit.Detail{
				{Name: "first mail server", Before: first.Server(), After: second.Server()},
			}, ended(n)...),
		})
	})
}

// ended tells that n routes ended.
func ended(n int) []audit.Detail {
	if n == 0 {
		return nil
	}
	return []audit.Detail{{Name: "domains with a route", Before: count(n), After: count(0)}}
}

// Removed moves the letters of the second server to the first, as a part of the
// transaction that removes it.
func (s *Service) Removed(tx *store.Tx, by actor.Actor) error {
	n, err := s.clearRoutes(tx)
	if err != nil {
		return err
	}
	if err := deleteStandIns(tx); err != nil || n == 0 {
		return err
	}
	return s.Audit.Append(tx, by, audit.Event{Action: actionRoutes, Kind: "mail_server", Name: "domains with a route", Detail: ended(n)})
}

// clearRoutes ends all routes and gives the letters that wait to the first
// server.
func (s *Service) clearRoutes(tx *store.Tx) (int, error) {
	n, err := deleteRoutes(tx)
	if err != nil {
		return 0, err
	}
	if err := touch(tx); err != nil {
		return 0, err
	}
	return n, s.Outbox.Reroute(tx)
}
