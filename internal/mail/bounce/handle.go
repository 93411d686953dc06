package bounce

import (
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/dsn"
	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
)

// What messages are counted as, beside the kinds of package dsn.
const (
	// countForeign: a report that proves nothing about a letter of ours, or is
	// about an address that one was forwarded to.
	countForeign = "foreign"
	// countUnreadable: one that could not be read.
	countUnreadable = "unreadable"
	// countRefused: a recipient that the mail server refused at once.
	countRefused = "refused"
)

// Counts are the names of all counters, in the order in which they are shown.
func Counts() []string {
	return []string{
		string(dsn.Failed), string(dsn.Delayed), string(dsn.Delivered), countRefused, string(dsn.Reply), countForeign, string(dsn.Other), countUnreadable,
	}
}

// parse reads a message. One that makes the parser panic must not stop all
// others.
func (s *Service) parse(mail []byte) (r dsn.Report, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a message in the bounce mailbox cannot be read", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			r, ok = dsn.Report{}, false
		}
	}()
	return dsn.Parse(mail), true
}

// handle writes down what a message says. ours tells that it was about a letter
// of ours, as it proved.
func (s *Service) handle(tx *store.Tx, mail []byte) (ours bool, err error) {
	r, ok := s.parse(mail)
	if !ok {
		return false, addCount(tx, countUnreadable)
	}
	switch r.Kind {
	case dsn.Failed, dsn.Delayed, dsn.Delivered:
	default:
		return false, addCount(tx, string(r.Kind))
	}
	id, err := s.match(tx, r)
	if err != nil {
		return false, err
	}
	l, err := outbox.Left{}, error(nil)
	if id != "" {
		l, err = s.outbox.LeftLetter(tx, id)
	}
	if id == "" || fault.Is(err, fault.KindNotFound) {
		return false, addCount(tx, countForeign)
	}
	if err != nil {
		return false, err
	}
	if r.Kind == dsn.Delivered {
		return true, addCount(tx, string(r.Kind))
	}
	said, other := about(r, l.To.Address)
	final := r.Kind == dsn.Failed && other == ""
	news, err := s.outbox.Bounced(tx, id, outbox.Bounce{At: tx.Now(), Final: final, Status: said.Status, Text: said.Text, Other: other})
	if err != nil || !news {
		return true, err
	}
	kind := string(r.Kind)
	if other != "" {
		kind = countForeign
	}
	if err := addCount(tx, kind); err != nil || !final {
		return true, err
	}
	return true, s.came(tx, l, FromBounce, said.Status, said.Text)
}

// about returns what a report says of the letter's own address. Where it names
// others alone, other is the first of them: the mail was forwarded, and that it
// did not get there says nothing about the address that it was sent to.
func about(r dsn.Report, address string) (said dsn.Recipient, other string) {
	for _, x := range r.Recipients {
		if x.Kind != r.Kind {
			continue
		}
		named := x.Final
		if named == "" {
			named = x.Address
		}
		if named == "" || spelled(named) == spelled(address) {
			return x, ""
		}
		if other == "" {
			said, other = x, named
		}
	}
	return said, other
}

// spelled is an address in the one form that all spellings of it have.
func spelled(address string) string {
	if a, err := message.ParseAddress(address); err == nil {
		address = a.Spec()
	}
	return strings.ToLower(address)
}
