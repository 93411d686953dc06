package identity

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/store"
)

// policy says how many failed proofs are free and what those beyond them cost.
type policy struct {
	free int64
	// first is how long the failure numbered free locks; each later one locks
	// twice as long, up to most.
	first, most time.Duration
	// drain, where it is set, takes the place of locks: the count is a bucket
	// that loses one failure each drain and refuses while it is full.
	drain time.Duration
}

var (
	// accountPolicy counts by user name: the fifth failure locks for a
	// minute, each later one twice as long, up to an hour.
	accountPolicy = policy{free: 5, first: time.Minute, most: time.Hour}
	// networkPolicy counts by address, behind which a whole office may sit.
	// Their typing errors must not add up over days, and one guesser must not
	// shut all of them out for long: so it is a bucket. Whoever fills it gets
	// 30 guesses an hour from then on, at all accounts together.
	networkPolicy = policy{free: 30, drain: 2 * time.Minute}
	// requestPolicy counts requests for reset links by user name. They are
	// no guesses, but each may cause a letter.
	requestPolicy = policy{free: 4, first: 15 * time.Minute, most: time.Hour}
)

// forgetAfter is how long after the last failure a count starts again.
const forgetAfter = 24 * time.Hour

// forgive returns the count without what time has taken from it until now.
func (p policy) forgive(a attempt, now time.Time) attempt {
	if p.drain == 0 {
		if now.Sub(a.lastAt) > forgetAfter {
			a.failures = 0
		}
		return a
	}
	gone := max(int64(now.Sub(a.lastAt)/p.drain), 0)
	if gone >= a.failures {
		a.failures, a.lastAt = 0, now
		return a
	}
	a.failures -= gone
	a.lastAt = a.lastAt.Add(time.Duration(gone) * p.drain)
	return a
}

// wait returns how long a forgiven count still refuses; 0 or less is not at
// all.
func (p policy) wait(a attempt, now time.Time) time.Duration {
	if p.drain == 0 {
		return a.lockedUntil.Sub(now)
	}
	if a.failures < p.free {
		return 0
	}
	return a.lastAt.Add(p.drain).Sub(now)
}

// add counts one failure more.
func (p policy) add(a attempt, now time.Time) attempt {
	a.failures++
	if p.drain == 0 {
		a.lastAt, a.lockedUntil = now, now.Add(p.lock(a.failures))
	}
	return a
}

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
// is locked or full, and counts nothing then.
func (s *Service) reserve(tx *store.Tx, guards ...guard) error {
	rows := make([]attempt, len(guards))
	for i, g := range guards {
		row, err := s.count(tx, g)
		if err != nil {
			return err
		}
		if wait := g.policy.wait(row, tx.Now()); wait > 0 {
			return limited(wait)
		}
		rows[i] = row
	}
	for i, g := range guards {
		if err := saveAttempt(tx, g.policy.add(rows[i], tx.Now())); err != nil {
			return err
		}
	}
	return nil
}

// settle takes back what reserve counted, and never makes anybody wait longer:
// a right proof clears the count of an account or device. A network only gets
// its one back, else whoever holds one account there could guess at others
// without end.
func (s *Service) settle(tx *store.Tx, guards ...guard) error {
	for _, g := range guards {
		row, err := s.count(tx, g)
		if err != nil {
			return err
		}
		if g.policy.drain == 0 {
			row.failures, row.lockedUntil = 0, time.Time{}
		} else {
			row.failures = max(row.failures-1, 0)
		}
		if err := saveAttempt(tx, row); err != nil {
			return err
		}
	}
	return nil
}

// giveBack takes one failure back where a proof was never looked at, because
// too many people were signing in or the caller went away. It clears nothing: a
// flood must not make guesses free.
func (s *Service) giveBack(ctx context.Context, guards []guard) {
	err := s.DB.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		for _, g := range guards {
			row, err := s.count(tx, g)
			if err != nil {
				return err
			}
			row.failures, row.lockedUntil = max(row.failures-1, 0), time.Time{}
			if err := saveAttempt(tx, row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.Log.WarnContext(ctx, "an attempt that was not looked at stays counted", "err", err)
	}
}

// count returns where a guard stands now, locked for the rest of the
// transaction.
func (s *Service) count(tx *store.Tx, g guard) (attempt, error) {
	key, err := s.guardKey(tx, g)
	if err != nil {
		return attempt{}, err
	}
	row, err := lockAttempt(tx, key)
	return g.policy.forgive(row, tx.Now()), err
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
