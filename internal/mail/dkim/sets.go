package dkim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/domain"
	"github.com/sealpost/sealpost/internal/store"
)

// Status is how signing stands for a slot.
type Status struct {
	// Sender is the domain that letters come from, "" while there is no server.
	Sender string
	// New waits for its records, Active signs; nil where there is none.
	New, Active *Set
	Retired     []Set
	// Domains are those that may be signed for, the sender's own first.
	Domains []string
	// Selector is one that is free.
	Selector string
}

// Misfit tells that what signs does not fit the sender any more, so that letters
// leave without a signature.
func (s Status) Misfit() bool {
	return s.Active != nil && s.Sender != "" && !within(s.Sender, s.Active.Domain)
}

// Status returns how signing stands.
func (s *Service) Status(ctx context.Context, by actor.Actor, slot Slot) (Status, error) {
	if err := manage(by); err != nil {
		return Status{}, err
	}
	sender, err := s.Sender(ctx, slot)
	if err != nil {
		return Status{}, err
	}
	var st Status
	err = s.DB.View(ctx, func(tx *store.Tx) (err error) {
		st, err = s.status(tx, slot, sender)
		return err
	})
	return st, err
}

func (s *Service) status(tx *store.Tx, slot Slot, sender string) (Status, error) {
	st := Status{Sender: sender, Domains: domainsOf(sender)}
	sets, err := selectSets(tx)
	if err != nil {
		return st, err
	}
	for _, set := range sets {
		switch {
		case set.Slot != slot:
		case set.State == New:
			st.New = &set
		case set.State == Active:
			st.Active = &set
		default:
			st.Retired = append(st.Retired, set)
		}
	}
	st.Selector = freeSelector(sets, tx.Now())
	return st, nil
}

// domainsOf lists the sender's domain and those above it in its organisation.
func domainsOf(sender string) []string {
	if sender == "" {
		return nil
	}
	out := []string{sender}
	top := domain.Organization(sender)
	for at := sender; at != top; {
		_, up, ok := strings.Cut(at, ".")
		if !ok || !within(up, top) {
			break
		}
		out, at = append(out, up), up
	}
	return out
}

// within reports whether a domain is another one or below it.
func within(name, top string) bool {
	return name == top || strings.HasSuffix(name, "."+top)
}

// edSuffix tells the selector of the second key of a set from the first's: a
// name can have one key only.
const edSuffix = "-ed"

// maxSelector leaves room for the suffix in a label (RFC 1035, section 2.3.4).
const maxSelector = 63 - len(edSuffix)

// freeSelector returns sealpost and the month, with a letter where that is taken.
func freeSelector(sets []Set, now time.Time) string {
	base := "sealpost" + now.UTC().Format("200601")
	for _, letter := range append([]string{""}, strings.Split("bcdefghijklmnopqrstuvwxyz", "")...) {
		if !taken(sets, base+letter) {
			return base + letter
		}
	}
	return base + "-" + fmt.Sprint(now.Unix())
}

func taken(sets []Set, selector string) bool {
	return slices.ContainsFunc(sets, func(s Set) bool {
		return slices.ContainsFunc(s.Keys, func(k Key) bool { return k.Selector == selector || k.Selector == selector+edSuffix })
	})
}

// Wish is what a new set should be.
type Wish struct {
	// Domain is the sender's or one above it; empty means the sender's.
	Domain string
	// Selector names the record; empty takes a free one.
	Selector string
	// Algorithms are RSA, Ed25519 or both; empty means RSA, which all receivers
	// can check.
	Algorithms []Algorithm
}

func (w Wish) check(sender string, free string, sets []Set) (Wish, error) {
	var check fault.Check
	w.Domain = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(w.Domain), "."))
	if w.Domain == "" {
		w.Domain = sender
	}
	check.That(slices.Contains(domainsOf(sender), w.Domain), "domain", "Choose the domain of the sender's address, or one above it in the same organisation.")
	w.Selector = strings.ToLower(strings.TrimSpace(w.Selector))
	if w.Selector == "" {
		w.Selector = free
	}
	check.That(label(w.Selector), "selector", fmt.Sprintf("A selector is letters, digits and hyphens, at most %d, with no hyphen at an end.", maxSelector))
	check.That(!taken(sets, w.Selector), "selector", "Another key has or had this selector. Each key needs one of its own, since receivers and DNS servers remember records.")
	if len(w.Algorithms) == 0 {
		w.Algorithms = []Algorithm{RSA}
	}
	slices.SortFunc(w.Algorithms, func(a, b Algorithm) int { return -strings.Compare(string(a), string(b)) }) // RSA first
	w.Algorithms = slices.Compact(w.Algorithms)
	for _, a := range w.Algorithms {
		check.That(a == RSA || a == Ed25519, "algorithms", "Choose RSA, Ed25519 or both.")
	}
	return w, check.Err()
}

// label reports whether s can be a label of a host name (RFC 1123, section 2.1).
func label(s string) bool {
	return s != "" && len(s) <= maxSelector && s[0] != '-' && s[len(s)-1] != '-' &&
		!strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' })
}

// Make makes a new set, beside the one that signs if there is one, and in the
// place of a new one that never signed.
func (s *Service) Make(ctx context.Context, by actor.Actor, slot Slot, w Wish) (Set, error) {
	if err := s.may(by); err != nil {
		return Set{}, err
	}
	sender, err := s.Sender(ctx, slot)
	if err != nil {
		return Set{}, err
	}
	if sender == "" {
		return Set{}, fault.Conflict("Set up the mail server first: keys are for the domain of its sender.")
	}
	var set Set
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		sets, err := selectSets(tx)
		if err != nil {
			return err
		}
		// The set that is replaced never signed: its selector is free again.
		sets = slices.DeleteFunc(sets, func(old Set) bool { return old.Slot == slot && old.State == New })
		wish, err := w.check(sender, freeSelector(sets, tx.Now()), sets)
		if err != nil {
			return err
		}
		if err := deleteSets(tx, slot, New); err != nil {
			return err
		}
		set = Set{ID: store.NewID(), Slot: slot, Domain: wish.Domain, State: New, CreatedAt: tx.Now(), CreatedBy: by.Login}
		if err := insertSet(tx, set); err != nil {
			return err
		}
		for _, a := range wish.Algorithms {
			selector := wish.Selector
			if a == Ed25519 && len(wish.Algorithms) > 1 {
				selector += edSuffix
			}
			k, err := s.makeKey(tx, set, a, selector)
			if err != nil {
				return err
			}
			set.Keys = append(set.Keys, k)
		}
		return s.Audit.Append(tx, by, event("mail.dkim_key_made", set))
	})
	return set, err
}

func (s *Service) makeKey(tx *store.Tx, set Set, a Algorithm, selector string) (Key, error) {
	private, err := generate(a)
	if err != nil {
		return Key{}, err
	}
	k := Key{ID: store.NewID(), Algorithm: a, Selector: selector}
	if k.public, err = published(private.Public()); err != nil {
		return k, err
	}
	k.Record = recordOf(a, selector, set.Domain, k.public)
	der, err := lock(private)
	if err != nil {
		return k, err
	}
	if k.sealed, err = s.Keys.Seal(tx, purpose, place(set, k), der); err != nil {
		return k, err
	}
	return k, insertKey(tx, set.ID, k)
}

// Anyway lets the new set sign although its records were not seen.
func (s *Service) Anyway(ctx context.Context, by actor.Actor, slot Slot) error {
	if err := s.may(by); err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		set, ok, err := selectSet(tx, slot, New)
		if err != nil {
			return err
		}
		if !ok {
			return fault.Conflict("There is no new key that waits for its record.")
		}
		return s.activate(tx, by, set, true)
	})
}

// activate lets a set sign in the place of the one before it.
func (s *Service) activate(tx *store.Tx, by actor.Actor, set Set, anyway bool) error {
	if err := retire(tx, set.Slot); err != nil {
		return err
	}
	n, err := activate(tx, set.ID, anyway)
	if err != nil || n == 0 { // another node was first
		return err
	}
	tx.OnCommit(s.forget)
	e := event("mail.dkim_switched_on", set)
	if anyway {
		e.Reason = "Without its record in the DNS having been seen."
	}
	return s.Audit.Append(tx, by, e)
}

// Discard deletes the new set, which never signed.
func (s *Service) Discard(ctx context.Context, by actor.Actor, slot Slot) error {
	if err := manage(by); err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		set, ok, err := selectSet(tx, slot, New)
		if err != nil || !ok {
			return err
		}
		if err := deleteSets(tx, slot, New); err != nil {
			return err
		}
		return s.Audit.Append(tx, by, event("mail.dkim_key_deleted", set))
	})
}

// Off ends signing. What was signed once is signed again on its next attempt.
func (s *Service) Off(ctx context.Context, by actor.Actor, slot Slot) error {
	if err := s.may(by); err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		set, ok, err := selectSet(tx, slot, Active)
		if err != nil {
			return err
		}
		if err := deleteSets(tx, slot, New); err != nil || !ok {
			return err
		}
		if err := retire(tx, slot); err != nil {
			return err
		}
		tx.OnCommit(s.forget)
		return s.Audit.Append(tx, by, event("mail.dkim_switched_off", set))
	})
}

// Exchange lets the sets of the two slots change places, as their servers do.
func (s *Service) Exchange(tx *store.Tx) error {
	tx.OnCommit(s.forget)
	return exchange(tx)
}

// may reports whether by may change what letters are signed with.
func (s *Service) may(by actor.Actor) error {
	if err := manage(by); err != nil {
		return err
	}
	return s.Prove(by)
}

func event(action string, set Set) audit.Event {
	e := audit.Event{Action: action, Kind: "dkim_key", ID: set.ID, Name: set.Domain}
	for _, k := range set.Keys {
		e.Detail = append(e.Detail, audit.Detail{Name: "record", Value: k.Record.Name}, audit.Detail{Name: "algorithm", Value: string(k.Algorithm)})
	}
	e.Detail = append(e.Detail, audit.Detail{Name: "mail server", Value: string(set.Slot)})
	return e
}
