package dkim

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/domain"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	// newEvery is how often the records of a new set are looked for, activeEvery
	// how often those of one that signs are looked at.
	newEvery    = 5 * time.Minute
	activeEvery = 24 * time.Hour
)

// finding is what the DNS said of a key.
type finding struct {
	verdict    Verdict
	found, why string
}

// Check asks the DNS for the records of the new set and of the one that signs,
// and lets the new one sign if all of its are right.
func (s *Service) Check(ctx context.Context, by actor.Actor, slot Slot) (Status, error) {
	if err := manage(by); err != nil {
		return Status{}, err
	}
	st, err := s.Status(ctx, by, slot)
	if err != nil {
		return st, err
	}
	for _, set := range []*Set{st.New, st.Active} {
		if set != nil {
			if err := s.check(ctx, by, *set); err != nil {
				return st, err
			}
		}
	}
	return s.Status(ctx, by, slot)
}

// check asks for the records of one set and writes down what was found.
func (s *Service) check(ctx context.Context, by actor.Actor, set Set) error {
	findings := make([]finding, len(set.Keys))
	var all sync.WaitGroup
	for i, k := range set.Keys {
		all.Go(func() { findings[i] = s.ask(ctx, set, k) })
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		now, err := selectSetByID(tx, set.ID)
		if fault.Is(err, fault.KindNotFound) || err == nil && now.State == Retired {
			return nil // discarded, or replaced, meanwhile
		}
		if err != nil {
			return err
		}
		right, lost := true, ""
		for i, k := range set.Keys {
			f := findings[i]
			right = right && f.verdict == OK
			if (k.Verdict == OK || k.Verdict == Unsure && !k.SeenAt.IsZero()) && (f.verdict == Missing || f.verdict == Differs) {
				lost = f.why
			}
			if err := updateKey(tx, k.ID, f); err != nil {
				return err
			}
		}
		switch {
		case now.State == New && right:
			return s.activate(tx, by, now, false)
		case now.State == Active && lost != "":
			e := event("mail.dkim_lost", now)
			e.Outcome, e.Reason = audit.Failed, lost
			return s.Audit.Append(tx, by, e)
		}
		return nil
	})
}

// ask looks one key up.
func (s *Service) ask(ctx context.Context, set Set, k Key) finding {
	got, err := s.DNS.DKIMKey(ctx, k.Selector, set.Domain)
	var wrong *domain.Wrong
	switch {
	case errors.Is(err, domain.ErrNone):
		return finding{Missing, "", "There is no TXT record at this name yet. A new one can take up to an hour to be seen, as long as DNS servers remember that there was none."}
	case errors.As(err, &wrong):
		return finding{Differs, wrong.Record, wrong.Why}
	case err != nil:
		return finding{Unsure, "", "The DNS could not be asked, so that it is not known whether the record is there."}
	}
	return k.compare(got)
}

// compare holds the record that stands in the DNS against the key.
func (k Key) compare(got domain.Key) finding {
	f := finding{Differs, got.Record, "Another key stands there. Replace the record by the one shown here, as a whole."}
	switch text, err := published(got.Public); {
	case err != nil, text != k.public:
		return f
	case len(got.Hashes) > 0 && !slices.Contains(got.Hashes, "sha256"):
		f.why = "The record allows other hashes than SHA-256 only (h=), which signatures here use."
		return f
	}
	f.verdict, f.why = OK, ""
	if got.Testing {
		f.why = "The record is right, and says that you are testing (t=y): receivers are to make nothing of signatures. Take t=y out when you are done."
	}
	return f
}

// Tend does what is due: it looks for the records of new sets, now and then at
// those of sets that sign, and deletes sets that were retired long ago. Call it
// every minute or so.
func (s *Service) Tend(ctx context.Context) error {
	by := actor.System("dkim")
	var due []Set
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		due = nil
		sets, err := selectSets(tx)
		for _, set := range sets {
			age := tx.Now().Sub(set.CheckedAt())
			if set.State == New && age >= newEvery || set.State == Active && age >= activeEvery || set.State == Retired && tx.Now().Sub(set.RetiredAt) >= KeepRetired {
				due = append(due, set)
			}
		}
		return err
	})
	for _, set := range due {
		if err != nil {
			break
		}
		if set.State == Retired {
			err = s.bury(ctx, by, set)
		} else {
			err = s.check(ctx, by, set)
		}
	}
	return err
}

// bury deletes a retired set.
func (s *Service) bury(ctx context.Context, by actor.Actor, set Set) error {
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		n, err := deleteSet(tx, set.ID)
		if err != nil || n == 0 {
			return err
		}
		return s.Audit.Append(tx, by, event("mail.dkim_key_deleted", set))
	})
}
