package outbox

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	day = 24 * time.Hour
	// UsualKeep is how long the journal tells of a letter that is done with,
	// where nobody chose; LeastKeep and MostKeep bound the choice.
	UsualKeep = 365 * day
	LeastKeep = 7 * day
	MostKeep  = 5 * 365 * day
)

// Settings say how letters are tried and remembered.
type Settings struct {
	// Keep is how long the journal tells of a letter that is done with, in
	// whole days.
	Keep time.Duration
	// Lifetimes are how long letters of each kind are tried, in whole minutes.
	Lifetimes map[string]time.Duration
	// Revision counts the changes, so that two people do not overwrite each
	// other's.
	Revision int64
}

// UsualSettings are those of an installation where nobody chose anything.
func UsualSettings() Settings {
	s := Settings{Keep: UsualKeep, Lifetimes: map[string]time.Duration{}}
	for _, k := range letter.Kinds() {
		s.Lifetimes[k.Key] = k.Lifetime
	}
	return s
}

// LifetimeField is the name of a field that holds a kind's lifetime, in faults
// of Save.
func LifetimeField(kind string) string { return "lifetime_" + kind }

// check refuses what is out of bounds, at its field.
func (s Settings) check() error {
	var c fault.Check
	c.That(s.Keep >= LeastKeep && s.Keep <= MostKeep && s.Keep%day == 0, "keep", "The journal keeps letters for 7 days to 5 years (1825 days).")
	for _, k := range letter.Kinds() {
		life, there := s.Lifetimes[k.Key]
		if !there {
			continue
		}
		sentence := fmt.Sprintf("This letter is tried for %s to %s.", Span(k.Shortest), Span(k.Longest))
		if k.OneTime {
			sentence = fmt.Sprintf("This letter is tried for %s to %s: its link lives no longer.", Span(k.Shortest), Span(k.Longest))
		}
		c.That(life >= k.Shortest && life <= k.Longest && life%time.Minute == 0, LifetimeField(k.Key), sentence)
	}
	return c.Err()
}

// Span is a time of whole minutes in words, in its largest whole unit: "3 days",
// "36 hours", "30 minutes".
func Span(d time.Duration) string {
	for _, u := range []struct {
		size time.Duration
		name string
	}{{day, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if d >= u.size && d%u.size == 0 {
			n := int64(d / u.size)
			if n == 1 {
				return "1 " + u.name
			}
			return strconv.FormatInt(n, 10) + " " + u.name + "s"
		}
	}
	return d.String()
}

// Settings returns what was chosen, and what is usual for the rest. It needs
// the permission to manage settings.
func (o *Outbox) Settings(ctx context.Context, by actor.Actor) (Settings, error) {
	if !by.May(actor.ManageSettings) {
		return Settings{}, fault.Denied("Your role may not see how mail is delivered.")
	}
	var s Settings
	err := o.db.View(ctx, func(tx *store.Tx) (err error) {
		s, err = settings(tx)
		return err
	})
	return s, err
}

// Differences returns what Save would change, in words.
func (o *Outbox) Differences(ctx context.Context, by actor.Actor, s Settings) ([]audit.Detail, error) {
	have, err := o.Settings(ctx, by)
	if err != nil {
		return nil, err
	}
	return have.differences(s), s.check()
}

// Save replaces the settings. Kinds without a lifetime keep theirs. Letters that
// are added from now on have the new lifetimes; the journal forgets by the new
// time within a few minutes. Faults stand against "keep" and LifetimeField.
func (o *Outbox) Save(ctx context.Context, by actor.Actor, s Settings) error {
	if !by.May(actor.ManageSettings) {
		return fault.Denied("Your role may not change how mail is delivered.")
	}
	if err := s.check(); err != nil {
		return err
	}
	return o.db.Update(ctx, func(tx *store.Tx) error {
		if err := lockSettings(tx); err != nil {
			return err
		}
		have, err := settings(tx)
		if err != nil {
			return err
		}
		if have.Revision != s.Revision {
			return fault.Conflict("Somebody else changed these settings meanwhile. Look at them, and change them again.")
		}
		details := have.differences(s)
		if len(details) == 0 {
			return nil
		}
		if err := saveSettings(tx, s); err != nil {
			return err
		}
		return o.audit.Append(tx, by, audit.Event{Action: "mail.delivery_changed", Kind: "settings", ID: "delivery", Name: "Mail delivery", Detail: details})
	})
}

// differences tells what s changes of have.
func (have Settings) differences(s Settings) []audit.Detail {
	var details []audit.Detail
	differ := func(name string, before, after time.Duration) {
		if before != after {
			details = append(details, audit.Detail{Name: name, Before: Span(before), After: Span(after)})
		}
	}
	differ("journal keeps letters for", have.Keep, s.Keep)
	for _, k := range letter.Kinds() {
		if life, there := s.Lifetimes[k.Key]; there {
			differ(k.Title+" is tried for", have.Lifetimes[k.Key], life)
		}
	}
	return details
}

// settings reads what was chosen. What a newer version would not take any more
// counts as not chosen.
func settings(tx *store.Tx) (Settings, error) {
	s := UsualSettings()
	err := tx.Each(func(r store.Row) error {
		var keep int64
		if err := r.Scan(&keep, &s.Revision); err != nil {
			return err
		}
		s.Keep = min(max(micros(keep), LeastKeep), MostKeep)
		return nil
	}, `SELECT keep, revision FROM outbox_setting WHERE id = 'delivery'`)
	if err != nil {
		return s, err
	}
	return s, tx.Each(func(r store.Row) error {
		var kind string
		var life int64
		if err := r.Scan(&kind, &life); err != nil {
			return err
		}
		if k, ok := letter.Info(kind); ok && inBounds(k, micros(life)) {
			s.Lifetimes[kind] = micros(life)
		}
		return nil
	}, `SELECT kind, life FROM outbox_lifetime`)
}

func inBounds(k letter.KindInfo, life time.Duration) bool {
	return life >= k.Shortest && life <= k.Longest
}

// micros is a duration of the database.
func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// lockSettings makes the row and keeps other writers from it until tx ends.
func lockSettings(tx *store.Tx) error {
	_, err := tx.Exec(`INSERT INTO outbox_setting (id, keep, revision) VALUES ('delivery', $1, 0)
		ON CONFLICT (id) DO UPDATE SET keep = outbox_setting.keep`, UsualKeep.Microseconds())
	return err
}

func saveSettings(tx *store.Tx, s Settings) error {
	_, err := tx.Exec(`UPDATE outbox_setting SET keep = $1, revision = revision + 1 WHERE id = 'delivery'`, s.Keep.Microseconds())
	if err != nil {
		return err
	}
	for _, k := range letter.Kinds() {
		life, there := s.Lifetimes[k.Key]
		switch {
		case !there:
			continue
		case life == k.Lifetime:
			// What is usual stays so in a version that finds another time usual.
			_, err = tx.Exec(`DELETE FROM outbox_lifetime WHERE kind = $1`, k.Key)
		default:
			_, err = tx.Exec(`INSERT INTO outbox_lifetime (kind, life) VALUES ($1, $2)
				ON CONFLICT (kind) DO UPDATE SET life = excluded.life`, k.Key, life.Microseconds())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lifetime returns how long a letter of the kind is tried.
func lifetime(tx *store.Tx, k letter.KindInfo) (time.Duration, error) {
	life := k.Lifetime
	err := tx.Each(func(r store.Row) error {
		var chosen int64
		if err := r.Scan(&chosen); err != nil {
			return err
		}
		if inBounds(k, micros(chosen)) {
			life = micros(chosen)
		}
		return nil
	}, `SELECT life FROM outbox_lifetime WHERE kind = $1`, k.Key)
	return life, err
}
