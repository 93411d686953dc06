package audit

import (
	"errors"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

// stride is how many entries a follower looks at in one step: a log grows for
// years between two entries of a rare action.
const stride = 1000

// End returns the number of the newest entry, 0 in an empty log.
func (l *Log) End(tx *store.Tx) (int64, error) {
	h, err := readHead(tx)
	return h.seq, err
}

// Following returns the first entry after the one numbered after that is about
// one of the actions, for a part of the program that goes on with what was
// done; who may read it is that part's business. Where found is false, looked is
// the number up to which there is none: a follower goes on behind it, and the
// log has no more where it is the number that it gave.
func (l *Log) Following(tx *store.Tx, after int64, actions ...string) (e Entry, found bool, looked int64, err error) {
	if len(actions) == 0 {
		return Entry{}, false, after, fault.Internal(errors.New("nothing to follow"))
	}
	end, err := l.End(tx)
	if err != nil || end <= after {
		return Entry{}, false, after, err
	}
	looked = min(end, after+stride)
	e, found, err = firstOf(tx, after, looked, actions)
	return e, found, looked, err
}
