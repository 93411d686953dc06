package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/failpoint"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

// batchSize is how many data keys are wrapped anew in one transaction: few
// enough that others hardly wait, enough that the commits do not count.
const batchSize = 100

// Report is what a rotation did.
type Report struct {
	// Rewrapped counts the values whose data key was wrapped anew, in this
	// call; those that a call before had finished are not among them.
	Rewrapped int
	// Retired counts the keys destroyed.
	Retired int
	// Resumed tells that the call finished a rotation begun before.
	Resumed bool
	// Damaged lists values that did not open, as "table column row". While
	// there are any, no key is retired.
	Damaged []string
}

// Rotate makes a new version of every key, wraps all data keys of the columns
// anew and destroys the old sealing keys once nothing uses them. Readers and
// writers go on meanwhile. A rotation that was cut off is finished by the
// next call, which then makes no further versions. progress, if not nil, is
// told after each batch how many of how many values were looked at.
//
// The columns must be all there are: a value in a column that is left out
// cannot be opened after its key is gone. It needs the permission to manage
// settings; the caller writes the audit entry.
func (k *Keyring) Rotate(ctx context.Context, by actor.Actor, columns []Column, progress func(done, total int)) (Report, error) {
	if !by.May(actor.ManageSettings) {
		return Report{}, fault.Denied("You may not rotate the keys.")
	}
	if progress == nil {
		progress = func(int, int) {}
	}
	for _, c := range columns {
		if err := c.check(); err != nil {
			return Report{}, err
		}
	}
	var report Report
	err := k.db.Update(ctx, func(tx *store.Tx) (err error) {
		report.Resumed, err = k.startRotation(tx)
		return err
	})
	if err != nil {
		return Report{}, err
	}
	k.forgetNewest()
	if err := k.refresh(ctx); err != nil {
		return report, err
	}
	if err := k.rewrapAll(ctx, columns, &report, progress); err != nil {
		return report, err
	}
	err = k.db.Update(ctx, func(tx *store.Tx) (err error) {
		report.Retired, err = k.finishRotation(tx, columns, len(report.Damaged) > 0)
		return err
	})
	return report, err
}

// startRotation makes the new versions, unless a rotation is under way.
func (k *Keyring) startRotation(tx *store.Tx) (resumed bool, err error) {
	rows, err := lockKeys(tx) // two nodes must not start together
	if err != nil {
		return false, err
	}
	started, err := selectRotation(tx)
	if err != nil || !started.IsZero() {
		return err == nil, err
	}
	for name, version := range newestOf(rows) {
		if err := k.insertNew(tx, keyID{name, version + 1}); err != nil {
			return false, err
		}
	}
	return false, insertRotation(tx)
}

func newestOf(rows []keyRow) map[string]int64 {
	newest := make(map[string]int64)
	for _, r := range rows {
		newest[r.id.purpose] = max(newest[r.id.purpose], r.id.version)
	}
	return newest
}

func (k *Keyring) forgetNewest() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.newest)
}

func (k *Keyring) rewrapAll(ctx context.Context, columns []Column, report *Report, progress func(done, total int)) error {
	total := 0
	err := k.db.View(ctx, func(tx *store.Tx) error {
		total = 0
		for _, c := range columns {
			n, err := c.count(tx)
			if err != nil {
				return err
			}
			total += n
		}
		return nil
	})
	if err != nil {
		return err
	}
	done := 0
	progress(done, total)
	for _, c := range columns {
		var at *position
		for {
			b, err := k.rewrapBatch(ctx, c, at)
			if err != nil {
				return err
			}
			if b.last == nil {
				break
			}
			at = b.last
			done += b.seen
			report.Rewrapped += b.rewrapped
			report.Damaged = append(report.Damaged, b.damaged...)
			progress(done, max(done, total)) // others may add values meanwhile
			failpoint.Hit("keyring.rotate.batch")
		}
	}
	return nil
}

// batch is what one transaction of a rotation did.
type batch struct {
	last            *position // nil: there was nothing left
	seen, rewrapped int
	damaged         []string
}

func (k *Keyring) rewrapBatch(ctx context.Context, c Column, at *position) (b batch, err error) {
	err = k.db.Update(ctx, func(tx *store.Tx) error {
		b = batch{}
		keys, err := selectKeys(tx)
		if err != nil {
			return err
		}
		newest := newestOf(keys)
		rows, err := c.after(tx, at, batchSize)
		if err != nil {
			return err
		}
		for _, row := range rows {
			b.seen++
			b.last = &row.position
			place := c.place(row.position)
			done, err := k.rewrapRow(tx, c, row, newest)
			switch {
			case errors.Is(err, ErrSealed), errors.Is(err, errNoKey):
				b.damaged = append(b.damaged, place.String())
			case err != nil:
				return fmt.Errorf("keyring: rotating %s: %w", place, err)
			case done:
				b.rewrapped++
			}
		}
		return nil
	})
	return b, err
}

// rewrapRow stores a value wrapped anew. One that does not open is read once
// more before that is believed: another node may have wrapped it anew, and
// retired the key that was read, meanwhile.
func (k *Keyring) rewrapRow(tx *store.Tx, c Column, row sealedRow, newest map[string]int64) (done bool, err error) {
	sealed, err := k.rewrap(tx, c.place(row.position), row.sealed, newest)
	if errors.Is(err, ErrSealed) || errors.Is(err, errNoKey) {
		now, readErr := c.now(tx, row.position)
		if readErr != nil || len(now) == 0 {
			return false, readErr
		}
		row.sealed = now
		sealed, err = k.rewrap(tx, c.place(row.position), row.sealed, newest)
	}
	if err != nil || sealed == nil {
		return false, err
	}
	return true, c.replace(tx, row, sealed)
}

// rewrap returns the value with its data key under the newest key, or nil
// where it is under that already.
func (k *Keyring) rewrap(tx *store.Tx, p Place, sealed []byte, newest map[string]int64) ([]byte, error) {
	e, err := parse(sealed)
	if err != nil {
		return nil, err
	}
	if e.id.version >= newest[e.id.purpose] {
		return nil, nil
	}
	old, err := k.find(tx, e.id)
	if err != nil {
		return nil, err
	}
	dataKey, err := e.unwrap(old, p)
	if err != nil {
		return nil, err
	}
	e.id.version = newest[e.id.purpose]
	wrapping, err := k.find(tx, e.id)
	if err != nil {
		return nil, err
	}
	if e.dataKey, err = k.encrypt(wrapping.wrap, dataKey, dataKeyContext(e.id, p)); err != nil {
		return nil, err
	}
	return e.bytes(), nil
}

// finishRotation destroys the old sealing keys that no value names. It locks
// them first, and with that waits for transactions that have sealed with one
// and not committed yet (see Seal).
func (k *Keyring) finishRotation(tx *store.Tx, columns []Column, keep bool) (retired int, err error) {
	rows, err := lockKeys(tx)
	if err != nil {
		return 0, err
	}
	inUse := make(map[keyID]bool)
	for _, c := range columns {
		damaged, err := c.used(tx, inUse)
		if err != nil {
			return 0, err
		}
		keep = keep || damaged > 0
	}
	newest := newestOf(rows)
	for _, r := range rows {
		old := r.id.version < newest[r.id.purpose] && r.retired.IsZero()
		if keep || !old || inUse[r.id] || isMAC(r.id.purpose) {
			continue
		}
		if err := retireKey(tx, r.id); err != nil {
			return 0, err
		}
		retired++
	}
	return retired, deleteRotation(tx)
}

func isMAC(name string) bool {
	for _, p := range Purposes() {
		if name == p+macSuffix {
			return true
		}
	}
	return false
}

// Status tells about the keys without telling anything of them.
type Status struct {
	// Keys has one entry for each purpose, in alphabetical order.
	Keys []KeyStatus
	// RotatingSince is when the rotation under way, or cut off, began; zero
	// when there is none.
	RotatingSince time.Time
}

// KeyStatus is the state of one purpose's sealing keys.
type KeyStatus struct {
	Purpose string
	// Version is the newest version, made at CreatedAt.
	Version   int64
	CreatedAt time.Time
	// Older counts earlier versions that are still needed.
	Older int
}

// Status returns the state of the keys.
func (k *Keyring) Status(ctx context.Context) (Status, error) {
	var s Status
	err := k.db.View(ctx, func(tx *store.Tx) error {
		s = Status{}
		rows, err := selectKeys(tx)
		if err != nil {
			return err
		}
		for _, purpose := range Purposes() {
			one := KeyStatus{Purpose: purpose}
			for _, r := range rows {
				if r.id.purpose != purpose || !r.retired.IsZero() {
					continue
				}
				if one.Version != 0 {
					one.Older++
				}
				one.Version, one.CreatedAt = r.id.version, r.created // in order of version
			}
			s.Keys = append(s.Keys, one)
		}
		s.RotatingSince, err = selectRotation(tx)
		return err
	})
	return s, err
}
