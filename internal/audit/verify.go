package audit

import (
	"context"
	"crypto/hmac"
	"fmt"

	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/store"
)

// verifyBatch is how many entries are read in one transaction, so that
// verifying a long log holds nothing open for long.
const verifyBatch = 2000

// Verdict is what [Log.Verify] found.
type Verdict struct {
	// Entries counts the entries that were looked at.
	Entries int64
	// OK tells that all of them are as they were written and none is missing.
	OK bool
	// FirstBad is the number of the first entry that is not, and What says in
	// which way.
	FirstBad int64
	What     string
}

// Verify checks the whole chain up to the end that it had when the call began.
// progress, if not nil, is told after each batch. Only what it could not read
// is an error; a broken chain is a verdict.
func (l *Log) Verify(ctx context.Context, progress func(done, total int64)) (Verdict, error) {
	var end head
	var v Verdict
	err := l.db.View(ctx, func(tx *store.Tx) error {
		var err error
		end, err = readHead(tx)
		if err != nil || end.seq == 0 {
			return err
		}
		mac, _, err := l.keys.MAC(tx, keyring.PurposeAudit, end.keyVersion, headBytes(end.seq, end.entryMAC))
		if err == nil && !hmac.Equal(mac, end.mac) {
			v = Verdict{FirstBad: end.seq, What: "The recorded end of the log was changed."}
		}
		return err
	})
	if err != nil || v.What != "" {
		return v, err
	}
	previous := []byte{}
	for next := int64(1); next <= end.seq; {
		var bad string
		before := next
		err := l.db.View(ctx, func(tx *store.Tx) error {
			records, err := store.All(tx, scanRecord, fmt.Sprintf(
				`SELECT %s FROM audit_entry WHERE seq >= $1 AND seq <= $2 ORDER BY seq LIMIT %d`, entryColumns, verifyBatch),
				next, end.seq)
			if err != nil {
				return err
			}
			next, previous, bad, err = l.check(tx, records, next, previous)
			return err
		})
		if err != nil {
			return v, err
		}
		if bad == "" && next == before {
			bad = "The entry is missing."
		}
		if bad != "" {
			return Verdict{Entries: next - 1, FirstBad: next, What: bad}, nil
		}
		if progress != nil {
			progress(next-1, end.seq)
		}
	}
	return l.checkEnd(ctx, end, previous)
}

// check follows the chain through records and returns the number of the next
// entry, its predecessor's MAC, and what is wrong with it, if anything is.
func (l *Log) check(tx *store.Tx, records []record, next int64, previous []byte) (int64, []byte, string, error) {
	for _, r := range records {
		if r.Seq != next {
			return next, previous, "The entry is missing.", nil
		}
		mac, _, err := l.keys.MAC(tx, keyring.PurposeAudit, r.keyVersion, r.canonical(previous))
		if err != nil {
			return next, previous, "The entry names a key that does not exist.", nil
		}
		if !hmac.Equal(mac, r.mac) {
			return next, previous, "The entry was changed, or the one before it was.", nil
		}
		previous = r.mac
		next++
	}
	return next, previous, "", nil
}

// checkEnd compares the last entry with the recorded end and looks for entries
// behind it that were not there when the verification began and do not follow.
func (l *Log) checkEnd(ctx context.Context, end head, last []byte) (Verdict, error) {
	v := Verdict{Entries: end.seq, OK: true}
	if end.seq > 0 && !hmac.Equal(last, end.entryMAC) {
		return Verdict{Entries: end.seq, FirstBad: end.seq, What: "The last entry is not the one that was written last."}, nil
	}
	err := l.db.View(ctx, func(tx *store.Tx) error {
		now, err := readHead(tx)
		if err != nil {
			return err
		}
		beyond, err := store.All(tx, scanRecord, `SELECT `+entryColumns+` FROM audit_entry WHERE seq > $1 ORDER BY seq LIMIT 1`, now.seq)
		if err != nil {
			return err
		}
		if len(beyond) > 0 {
			v = Verdict{Entries: end.seq, FirstBad: beyond[0].Seq, What: "The entry was added behind the end of the log."}
		}
		return nil
	})
	return v, err
}
