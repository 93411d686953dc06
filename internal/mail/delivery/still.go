package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/pace"
)

// dailyCheck is how long the day's limit is believed at most: other nodes count
// too.
const dailyCheck = time.Minute

// standstill is until when the pace lets no letter leave. Letters stay due, and
// nothing is wrong.
type standstill struct {
	// revision is that of the profile that has the pace.
	revision int64
	until    time.Time
}

// leave asks the pace for leave to send up to n letters, if there are any: what
// is granted to one lane in vain is missing to the others.
func (e *Engine) leave(ctx context.Context, t mail.Transport, n int) (pace.Grant, error) {
	limits := t.Profile.Limits()
	if limits.PerMinute > 0 || limits.PerDay > 0 {
		due, open, err := e.outbox.Due(ctx, e.slot)
		if err != nil || !open {
			return pace.Grant{}, err
		}
		if n = min(n, due); n == 0 {
			return pace.Grant{}, nil
		}
	}
	g, err := e.pace.Take(ctx, t.Profile.ID, limits, n)
	if err != nil || g.N > 0 {
		return g, err
	}
	return g, e.standStill(ctx, t, g)
}

// standStill notes that a grant was empty. The end of a day's recipients is
// shown, since it lasts, if there is a letter left that it keeps: it may have
// been granted to the last of them.
func (e *Engine) standStill(ctx context.Context, t mail.Transport, g pace.Grant) error {
	if g.Daily {
		if due, _, err := e.outbox.Due(ctx, e.slot); err != nil || due == 0 {
			return err
		}
	}
	wait := g.Wait
	if g.Daily {
		wait = min(wait, dailyCheck)
	}
	e.mu.Lock()
	e.paced = standstill{t.Profile.Revision, e.now().Add(wait)}
	e.mu.Unlock()
	if !g.Daily {
		return nil
	}
	return e.mail.Troubled(ctx, mail.Problem{
		Revision: t.Profile.Revision, SecretVersion: t.SecretVersion, Row: mail.RowDailyLimit, Passing: true,
		Reason: fmt.Sprintf("Letters to %d recipients left within a day, and the settings allow no more.", t.Profile.Limits().PerDay),
		Advice: fmt.Sprintf("Nothing: all letters wait, and leave again from %s UTC on. Raise the number in the mail server settings only where the provider allows more.",
			g.Clears.UTC().Format("2 January 15:04")),
	})
}

// waits tells that the pace lets no letter leave now. Changed settings have
// another pace.
func (e *Engine) waits(revision int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.paced.revision == revision && e.now().Before(e.paced.until) {
		return true
	}
	e.paced = standstill{}
	return false
}

// still tells that the pace lets no letter leave now, as far as is known.
func (e *Engine) still() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now().Before(e.paced.until)
}

// relieve takes back that the day's recipients are used up where no letter waits
// any more: none is left that would show that it is over.
func (e *Engine) relieve(ctx context.Context, p mail.Profile, due int) error {
	if due > 0 || p.State != mail.Working || p.Problem != mail.RowDailyLimit {
		return nil
	}
	return e.mail.Troubled(ctx, mail.Problem{Revision: p.Revision})
}
