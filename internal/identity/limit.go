package identity

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/store"
)

// policy says how many failed proofs are free and how long each one beyond
// them locks.
type policy struct {
	free        int64
	first, most time.Duration
}

var (
	// accountPolicy counts by user name: the fifth failure locks for a
	// minute, each later one twice as long, up to an hour.
	accountPolicy = policy{free: 5, first: time.Minute, most: time.Hour}
	// networkPolicy counts by address, behind which a whole office may sit.
	networkPolicy = policy{free: 30, first: time.Minute, most: time.Hour}
	// requestPolicy counts requests for reset links by user name. They are
	// no guesses, but each may cause a letter.
	requestPolicy = policy{free: 4, first: 15 * time.Minute, most: time.Hour}
)

// forgetAfter is how long after the last failure a count starts again.
const forgetAfter = 24 * time.Hour

// lock returns how long the n-th failure in a row locks.
func (p policy) lock(n int64) time.Duration {
	if n < p.free {
		return 0
	}
	shift := n - p.free
	if shift > 16 {
		return p.most
	}
	return min(p.first<<shift, p.most)
}

// guard is one count of the limiter.
type guard struct {
	kind, of string
	policy   policy
}

func byAccount(login string) guard { return guard{"account", login, accountPolicy} }

// byDevice counts the failures of one user in a browser known to be theirs
// apart, so that nobody who guesses elsewhere can lock them out of it.
func byDevice(userID string, device []byte) guard {
	return guard{"device", fmt.Sprintf("%s %x", userID, device), accountPolicy}
}

func byRequest(login string) guard { return guard{"reset", login, requestPolicy} }

// byNetwork counts by IPv4 address or IPv6 /64, the least that one customer
// holds.
func byNetwork(from actor.Actor) guard {
	addr := from.From.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		prefix = netip.Prefix{}
	}
	return guard{"network", prefix.String(), networkPolicy}
}

// reserve counts a failure against every guard before the proof is looked at.
// settle takes it back when the proof was right. It refuses while one of them
// is locked, and counts nothing then.
func (s *Service) reserve(tx *store.Tx, guards ...guard) error {
	rows := make([]attempt, len(guards))
	for i, g := range guards {
		key, err := s.guardKey(tx, g)
		if err != nil {
			return err
		}
		if rows[i], err = lockAttempt(tx, key); err != nil {
			return err
		}
		if wait := rows[i].lockedUntil.Sub(tx.Now()); wait > 0 {
			return limited(wait)
		}
	}
	for i, g := range guards {
		r := rows[i]
		if tx.Now().Sub(r.lastAt) > forgetAfter {
			r.failures = 0
		}
		r.failures++
		r.lastAt = tx.Now()
		r.lockedUntil = tx.Now().Add(g.policy.lock(r.failures))
		if err := saveAttempt(tx, r); err != nil {
			return err
		}
	}
	return nil
}

// settle takes back what reserve counted: a right proof clears the count of
// an account or device. A network only gets its one back, else whoever holds
// one account there could guess at others without end.
func (s *Service) settle(tx *store.Tx, guards ...guard) error {
	for _, g := range guards {
		key, err := s.guardKey(tx, g)
		if err != nil {
			return err
		}
		r, err := lockAttempt(tx, key)
		if err != nil {
			return err
		}
		if g.kind == "network" {
			r.failures = max(r.failures-1, 0)
		} else {
			r.failures = 0
		}
		r.lockedUntil = time.Time{}
		if g.policy.lock(r.failures) > 0 {
			r.lockedUntil = r.lastAt.Add(g.policy.lock(r.failures))
		}
		if err := saveAttempt(tx, r); err != nil {
			return err
		}
	}
	return nil
}

// guardKey hides what was typed as a user name, which may be a password typed
// into the wrong field.
func (s *Service) guardKey(tx *store.Tx, g guard) ([]byte, error) {
	key, _, err := s.Keys.MAC(tx, keyring.PurposeIdentity, 0, []byte("attempt "+g.kind+" "+g.of))
	return key, err
}

func limited(wait time.Duration) error {
	wait = wait.Round(time.Second)
	text := fmt.Sprintf("%d seconds", max(int(wait.Seconds()), 1))
	if wait > 90*time.Second {
		text = fmt.Sprintf("%d minutes", int((wait+time.Minute-1)/time.Minute))
	}
	return fault.Denied("Too many failed attempts. Try again in " + text + ".").WithCode(fault.CodeLimited)
}
