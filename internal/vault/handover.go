package vault

import (
	"fmt"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/store"
)

// Owned counts the resources that a user owns.
func (s *Service) Owned(tx *store.Tx, userID string) (int, error) { return countOwned(tx, userID) }

// Handover makes to the owner of all that from owns, before from goes. The
// caller has checked both. A resource whose name to has already gets the name
// of its former owner behind it.
func (s *Service) Handover(tx *store.Tx, by actor.Actor, from, to string) (int, error) {
	taken, err := ownedNames(tx, to)
	if err != nil {
		return 0, err
	}
	giver, err := s.Users.Lookup(tx, from)
	if err != nil {
		return 0, err
	}
	receiver, err := s.Users.Lookup(tx, to)
	if err != nil {
		return 0, err
	}
	resources, err := lockOwned(tx, from)
	if err != nil {
		return 0, err
	}
	var events []audit.Event
	for _, r := range resources {
		detail := []audit.Detail{{Name: "owner", Before: giver.Login, After: receiver.Login}}
		if name := freeName(taken, r.Name, giver.Login); name != r.Name {
			detail = append(detail, audit.Detail{Name: "name", Before: r.Name, After: name})
			r.Name = name
		}
		taken[nameKey(r.Name)] = true
		if err := giveResource(tx, r, to); err != nil {
			return 0, err
		}
		events = append(events, r.about("resource.transferred", detail...))
	}
	// The audit log's lock comes last.
	for _, e := range events {
		if err := s.Audit.Append(tx, by, e); err != nil {
			return 0, err
		}
	}
	return len(resources), nil
}

// freeName returns name, or where that is taken one that tells whose it was.
func freeName(taken map[string]bool, name, login string) string {
	free := name
	for n := 1; taken[nameKey(free)]; n++ {
		tail := fmt.Sprintf(" (%s)", login)
		if n > 1 {
			tail = fmt.Sprintf(" (%s %d)", login, n)
		}
		runes := []rune(name)
		free = string(runes[:min(len(runes), maxName-len([]rune(tail)))]) + tail
	}
	return free
}
