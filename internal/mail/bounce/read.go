package bounce

import (
	"context"
	"errors"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/imap"
	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	// ReadEvery is how often the mailbox is read while that works.
	ReadEvery = time.Minute
	// roundLimit bounds the messages of one round, and roundTime how long it may
	// take. The lease is renewed with each message, and outlives the longest wait
	// between two.
	roundLimit = 500
	roundTime  = 10 * time.Minute
	leaseTime  = 5 * time.Minute
	answerTime = 30 * time.Second
	// maxMessage is how much of a message is read, in bytes. What a report says
	// comes before the mail that it returns.
	maxMessage = 1 << 20
	// window is how many UIDs are asked for at once; maxWindows bounds that in a
	// round, for folders with large gaps.
	window     = 5000
	maxWindows = 200
)

// backOff is how long after the first, second, ... failure in a row the mailbox
// is tried again.
func backOff(failures int64) time.Duration {
	delays := []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour}
	return delays[min(max(failures, 1), int64(len(delays)))-1]
}

// Read takes one turn: where the mailbox is to be read, is due, and no other node
// reads it, what is new in it is read. more tells that there is more at once. A
// mailbox that cannot be read is no error: the settings show why, and when it is
// tried again.
func (s *Service) Read(ctx context.Context) (more bool, err error) {
	st, d, ok, err := s.begin(ctx)
	if err != nil || !ok {
		return false, err
	}
	round, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	before := st.cursor
	more, err = s.round(round, &st, d)
	switch {
	case errors.Is(err, errSuperseded):
		return false, nil
	case ctx.Err() != nil:
		// The program stops: that says nothing about the mailbox.
		return false, s.release(context.WithoutCancel(ctx), st, false, false)
	case err != nil && round.Err() != nil && st.cursor != before:
		more, err = true, nil // it is slow, and goes on
	}
	now := st
	s.went(&now, err)
	if err := s.release(ctx, now, true, more && err == nil); err != nil {
		return false, err
	}
	if known(err) {
		return more && err == nil, nil
	}
	return false, err
}

// errSuperseded ends a round whose lease or settings are somebody else's.
var errSuperseded = errors.New("bounce: the settings changed while the mailbox was read")

// begin takes the lease and opens the secret.
func (s *Service) begin(ctx context.Context) (st stored, d draft, ok bool, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		st, ok, err = selectSettings(tx, "")
		ok = ok && st.Reads && !tx.Now().Before(st.status.Next)
		return err
	})
	if err != nil || !ok {
		return st, d, false, err
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if ok, err = takeLease(tx, s.holder, tx.Now().Add(leaseTime)); err != nil || !ok {
			return err
		}
		if st, _, err = selectSettings(tx, ""); err != nil {
			return err
		}
		d = draft{Settings: st.Settings, id: st.id}
		if d.anchors, err = selectAnchors(tx); err != nil {
			return err
		}
		d.bound, err = s.opens(tx, d, st.sealed)
		return err
	})
	return st, d, ok && err == nil, err
}

// went puts down how a round went. Times are left to release.
func (s *Service) went(st *stored, failure error) {
	was := st.status
	if failure == nil {
		st.status = Status{State: StateWorking, Since: was.Since}
	} else {
		w := explain(failure, st.Settings)
		st.status = Status{
			State: StateFailing, Since: was.Since, Failures: was.Failures + 1, Reason: w.Reason, Advice: w.Advice, Said: w.Said, ReadAt: was.ReadAt,
		}
	}
	if was.State != st.status.State {
		st.status.Since = time.Time{}
	}
}

// release writes how the round went, if it went at all, and gives the lease back.
func (s *Service) release(ctx context.Context, st stored, went, more bool) error {
	st.lease = s.holder
	return s.db.Update(ctx, func(tx *store.Tx) error {
		next, now := st, tx.Now()
		begins := next.status.Since.IsZero()
		if begins {
			next.status.Since = now
		}
		switch {
		case !went:
		case next.status.State == StateFailing:
			next.status.Next = now.Add(backOff(next.status.Failures))
		default:
			next.status.ReadAt, next.status.Next = now, now.Add(ReadEvery)
			if more {
				next.status.Next = now
			}
		}
		ok, err := writeStatus(tx, next)
		if err == nil && ok && begins && next.status.State == StateFailing {
			err = s.auditFailing(tx, next)
		}
		return err
	})
}

// connect connects, signs in and opens the folder.
func (s *Service) connect(ctx context.Context, d draft, readOnly bool, step func(Step)) (*imap.Conn, imap.Folder, error) {
	var none imap.Folder
	if d.bound.IsZero() {
		return nil, none, errUnbound
	}
	policy := trust.Policy{Host: d.Host, Anchors: d.anchors, Roots: s.roots, Now: s.now}
	conn, err := imap.Dial(ctx, imap.Config{
		Host: d.Host, Port: d.Port, StartTLS: d.Security == smtp.STARTTLS, TLS: policy.TLSConfig(), Dial: s.dialAllowed,
		Timeout: answerTime,
	})
	if err != nil {
		return nil, none, err
	}
	step(Step{Title: "Connect to " + d.Server(), Detail: "The connection is encrypted and the certificate is trusted."})
	c, err := s.credential(ctx, d.Settings, d.bound)
	if err == nil {
		err = conn.SignIn(ctx, sasl.Credential{Username: c.Login, Password: c.Password})
	}
	if err != nil {
		conn.Close(ctx)
		return nil, none, err
	}
	step(Step{Title: "Sign in", Detail: "The server takes the sign-in of " + c.Login + "."})
	folder, err := conn.Open(ctx, d.Folder, readOnly)
	if err != nil {
		conn.Close(ctx)
		return nil, none, err
	}
	return conn, folder, nil
}

// errUnbound tells of a secret that is bound to something else.
var errUnbound = errors.New("bounce: the stored secret is for other settings")

// round reads what is new, up to a limit, and then puts away what was handled.
func (s *Service) round(ctx context.Context, st *stored, d draft) (more bool, err error) {
	conn, folder, err := s.connect(ctx, d, false, func(Step) {})
	if err != nil {
		return false, err
	}
	defer func() { conn.Close(context.WithoutCancel(ctx)) }()
	if folder.Validity != st.validity {
		// Other UIDs than before: all is looked at again, which changes nothing
		// about what is known.
		st.validity, st.cursor = folder.Validity, 0
	}
	if folder.Messages == 0 {
		return false, s.tidy(ctx, conn, *st)
	}
	if more, err = s.news(ctx, conn, st); err != nil {
		return more, err
	}
	return more, s.tidy(ctx, conn, *st)
}

// news reads what lies behind the cursor.
func (s *Service) news(ctx context.Context, conn *imap.Conn, st *stored) (more bool, err error) {
	low, high, err := conn.Ends(ctx)
	if err != nil || high <= st.cursor {
		return false, err
	}
	st.cursor = max(st.cursor, low-min(low, 1))
	read := 0
	for n := 0; st.cursor < high; n++ {
		if n == maxWindows {
			return true, s.progress(ctx, *st, nil)
		}
		end := high
		if high-st.cursor > window {
			end = st.cursor + window
		}
		uids, err := conn.UIDs(ctx, st.cursor+1, end)
		if err != nil {
			return false, err
		}
		for _, uid := range uids {
			if read == roundLimit {
				return true, nil
			}
			read++
			if err := s.message(ctx, conn, st, uid); err != nil {
				return false, err
			}
		}
		st.cursor = end
	}
	return false, s.progress(ctx, *st, nil)
}

// message reads one message.
func (s *Service) message(ctx context.Context, conn *imap.Conn, st *stored, uid uint32) error {
	m, ok, err := conn.Fetch(ctx, uid, maxMessage)
	if err != nil {
		return err
	}
	next := *st
	next.cursor = uid
	var do func(tx *store.Tx) error
	if ok {
		do = func(tx *store.Tx) error {
			ours, err := s.handle(tx, m.Beginning)
			if err == nil && ours && st.Handled != Leave {
				err = noteHandled(tx, st.validity, uid)
			}
			return err
		}
	}
	if err := s.progress(ctx, next, do); err != nil {
		return err
	}
	*st = next
	return nil
}

// progress writes how far the folder was read, with what do writes, in one
// transaction.
func (s *Service) progress(ctx context.Context, st stored, do func(tx *store.Tx) error) error {
	st.lease = s.holder
	return s.db.Update(ctx, func(tx *store.Tx) error {
		ok, err := advance(tx, st, tx.Now().Add(leaseTime))
		if err == nil && !ok {
			err = errSuperseded
		}
		if err != nil || do == nil {
			return err
		}
		return do(tx)
	})
}

// tidy moves or deletes what was handled, in this round or in one that ended
// before it could. It comes last: that it fails keeps nothing from being read.
func (s *Service) tidy(ctx context.Context, conn *imap.Conn, st stored) error {
	var uids []uint32
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		uids, err = handledUIDs(tx, st.validity, roundLimit)
		return err
	})
	if err != nil {
		return err
	}
	for _, uid := range uids {
		if err := s.put(ctx, conn, st, uid); err != nil {
			return err
		}
	}
	return nil
}

// put moves or deletes a message that was handled.
func (s *Service) put(ctx context.Context, conn *imap.Conn, st stored, uid uint32) error {
	var err error
	switch st.Handled {
	case Move:
		if err = conn.See(ctx, uid); err == nil {
			err = conn.Move(ctx, uid, st.MoveTo)
		}
	case Delete:
		err = conn.Delete(ctx, uid)
	case Leave:
	}
	if err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx *store.Tx) error { return dropHandled(tx, st.validity, uid) })
}

// ReadNow lets the mailbox be read as soon as can be, whatever went wrong before.
func (s *Service) ReadNow(ctx context.Context, by actor.Actor) error {
	if err := manage(by); err != nil {
		return err
	}
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		ok, err := dueNow(tx)
		if err == nil && !ok {
			return fault.Conflict("The bounce mailbox is not read. Switch reading on first.")
		}
		return err
	})
	if err == nil {
		s.wake()
	}
	return err
}
