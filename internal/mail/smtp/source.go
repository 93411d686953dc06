package smtp

import (
	"strings"
	"time"
)

// source is where the letters of one Send come from, and where their results go.
type source struct {
	c    *Conn
	next func() (Submission, bool)
	done func(int, Result)
	// pulled counts the letters that next gave; dry is set once it gave none.
	pulled int
	dry    bool
	// ahead are letters, or parts of them, that were not begun yet.
	ahead []*flight
}

// whole is a letter whose recipients need several envelopes.
type whole struct {
	left  int
	any   bool
	merge Result
}

// take returns the next letter, or nil.
func (s *source) take() *flight {
	if s.more() {
		f := s.ahead[0]
		s.ahead = s.ahead[1:]
		if !f.refused {
			s.c.mails++
		}
		return f
	}
	return nil
}

// more reports whether there is another letter that can be begun on the
// connection. It may pull one for that.
func (s *source) more() bool {
	if len(s.ahead) > 0 {
		return true
	}
	if s.dry || s.c.broken || s.c.full() {
		return false
	}
	sub, ok := s.next()
	if !ok {
		s.dry = true
		return false
	}
	s.admit(sub)
	return true
}

// admit prepares a letter.
func (s *source) admit(sub Submission) {
	i := s.pulled
	s.pulled++
	groups := s.c.envelopes(sub.To)
	if len(groups) < 2 {
		f := &flight{i: i, sub: sub}
		if f.r.Err = s.c.check(f); f.r.Err != nil {
			f.refused = true
		}
		s.ahead = append(s.ahead, f)
		return
	}
	w := &whole{left: len(groups)}
	for _, to := range groups {
		part := sub
		part.To = to
		f := &flight{i: i, sub: part, whole: w}
		if f.r.Err = s.c.check(f); f.r.Err != nil {
			f.refused = true
		}
		s.ahead = append(s.ahead, f)
	}
}

// envelopes divides recipients as the server's limits want it (RFC 9422).
func (c *Conn) envelopes(to []string) [][]string {
	most, domains := c.caps.RcptMax, c.caps.RcptDomainMax
	if (most == 0 || len(to) <= most) && (domains == 0 || len(to) <= domains) {
		return nil
	}
	var groups [][]string
	var group []string
	seen := map[string]bool{}
	for _, a := range to {
		domain := strings.ToLower(a[strings.LastIndexByte(a, '@')+1:])
		if len(group) > 0 && (most > 0 && len(group) >= most || domains > 0 && !seen[domain] && len(seen) >= domains) {
			groups = append(groups, group)
			group = nil
			clear(seen)
		}
		group = append(group, a)
		seen[domain] = true
	}
	return append(groups, group)
}

// finish tells the result of a letter.
func (s *source) finish(f *flight) {
	if !f.began.IsZero() {
		f.r.Took = time.Since(f.began)
	}
	s.c.markResult(f.r)
	if f.whole == nil {
		s.done(f.i, f.r)
		return
	}
	if f.whole.add(f); f.whole.left == 0 {
		s.done(f.i, f.whole.merge)
	}
}

// add merges the result of a part: the letter is accepted if one part is, and
// the recipients of the others are refused.
func (w *whole) add(f *flight) {
	w.left--
	m := &w.merge
	m.Took += f.r.Took
	refused := f.r.Refused
	if f.r.Err != nil && len(refused) < len(f.sub.To) {
		refused = map[string]*Error{}
		for _, a := range f.sub.To {
			refused[a] = f.r.Err
		}
	}
	for a, e := range refused {
		if m.Refused == nil {
			m.Refused = map[string]*Error{}
		}
		m.Refused[a] = e
	}
	switch {
	case f.r.Err == nil:
		w.any = true
		m.Err, m.Reply, m.QueueID = nil, f.r.Reply, f.r.QueueID
	case !w.any && (m.Err == nil || f.r.Err.Uncertain):
		m.Err = f.r.Err
	}
}

// abandon tells of letters that were pulled and not begun.
func (s *source) abandon(e *Error) {
	for len(s.ahead) > 0 {
		f := s.ahead[0]
		s.ahead = s.ahead[1:]
		if f.r.Err == nil {
			f.r.Err = unsent(e)
		}
		s.finish(f)
	}
}

// unsent is the error of a letter that was not begun, or of which nothing that
// counts reached the server, when the connection ended with e.
func unsent(e *Error) *Error {
	kind := KindNetwork
	if e.Kind == KindCancelled {
		kind = KindCancelled
	}
	return &Error{Stage: StageMail, Kind: kind, Text: "the connection ended before the letter was sent", Err: e}
}
