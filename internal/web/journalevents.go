package web

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/web/journal"
	"github.com/sealpost/sealpost/internal/web/live"
	"github.com/sealpost/sealpost/internal/web/page"
)

const (
	// beat is how often a page that is followed hears that nothing changed, and
	// how often it is asked whether the sessions of those who listen are over.
	beat = 15 * time.Second
	// overlap is how far a look at the journal reaches back: a transaction may
	// commit after one that began later.
	overlap = 10 * time.Second
)

// news is what changed in the journal, for all pages that are open.
type news struct {
	at     time.Time
	counts string
	rows   []rowNews
	// over are sessions that ended.
	over map[string]bool
}

// rowNews is a letter as the list shows it; key tells whether it changed.
type rowNews struct{ id, key, html string }

// follower watches the journal for all pages that are open.
type follower struct {
	s   *Site
	hub *live.Hub[*news]

	mu sync.Mutex
	// listening are those who listen, by session, with how many pages.
	listening map[string]*listening

	// What follows belongs to whoever asks.
	since, checked time.Time
	counts         outbox.Counts
	shown          map[string]rowNews
}

type listening struct {
	by    actor.Actor
	pages int
}

func newFollower(s *Site) *follower {
	f := &follower{s: s, listening: map[string]*listening{}}
	f.hub = live.New(live.Config[*news]{Ask: f.ask, Log: s.Log})
	return f
}

// EndStreams ends all answers that go on by themselves, so that a server that
// stops does not wait for them.
func (s *Site) EndStreams() { s.follower.hub.Close() }

// come and leave count the pages of a session.
func (f *follower) come(by actor.Actor) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.listening[by.SessionID]
	if l == nil {
		l = &listening{by: by}
		f.listening[by.SessionID] = l
	}
	l.pages++
}

func (f *follower) leave(by actor.Actor) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.listening[by.SessionID]; l != nil {
		if l.pages--; l.pages == 0 {
			delete(f.listening, by.SessionID)
		}
	}
}

// ask looks at the journal once for all.
func (f *follower) ask(ctx context.Context, first bool) (*news, bool, error) {
	now := f.s.Now()
	if first {
		f.since, f.checked, f.shown, f.counts = now.Add(-overlap), now, nil, outbox.Counts{}
	}
	g, err := f.s.Outbox.Glance(ctx, actor.System("journal"), f.since)
	if err != nil {
		return nil, false, err
	}
	n := &news{at: g.At}
	if now.Sub(f.checked) >= beat {
		f.checked = now
		if n.over, err = f.over(ctx); err != nil {
			return nil, false, err
		}
	}
	changed := len(n.over) > 0 || g.Counts != f.counts
	shown := map[string]rowNews{}
	for _, r := range g.Rows {
		row := journal.Row(r)
		have, ok := f.shown[r.ID]
		if !ok || have.key != row.Key {
			changed = true
			have = rowNews{id: r.ID, key: row.Key}
			if have.html, err = f.s.paintLive("letter-row", row); err != nil {
				return nil, false, err
			}
		}
		shown[r.ID] = have
		n.rows = append(n.rows, have)
	}
	if n.counts, err = f.s.paintLive("journal-counts", journal.CountsOf(g.Counts, g.At)); err != nil {
		return nil, false, err
	}
	f.since, f.shown, f.counts = g.At.Add(-overlap), shown, g.Counts
	return n, changed, nil
}

// over returns which of the sessions that listen have ended.
func (f *follower) over(ctx context.Context) (map[string]bool, error) {
	f.mu.Lock()
	bys := make([]actor.Actor, 0, len(f.listening))
	for l := range maps.Values(f.listening) {
		bys = append(bys, l.by)
	}
	f.mu.Unlock()
	ended, err := f.s.Users.Ended(ctx, bys)
	over := map[string]bool{}
	for _, id := range ended {
		over[id] = true
	}
	return over, err
}

// paintLive returns the HTML of a part of the journal.
func (s *Site) paintLive(part string, data any) (string, error) {
	var b bytes.Buffer
	if err := s.engine.RenderPart(&b, &page.MailJournal{}, part, data); err != nil {
		return "", fault.Internal(err)
	}
	return b.String(), nil
}

// journalEvents tells a page of the journal what changes, as server-sent events,
// until it is closed or the session is over. Listening is no sign of life of the
// session.
func (s *Site) journalEvents(v *visit) error {
	if !strings.Contains(v.r.Header.Get("Accept"), "text/event-stream") {
		return fault.Invalid("", "This address is for the page of the mail journal. Open that instead.")
	}
	l, err := s.follower.hub.Listen(v.ctx(), v.by.UserID)
	if err != nil {
		return err
	}
	defer l.Close()
	s.follower.come(v.by)
	defer s.follower.leave(v.by)
	return s.follow(v, l)
}

// follow sends what comes. A browser that went away, or takes nothing, is
// nobody's failure.
func (s *Site) follow(v *visit, l *live.Listener[*news]) error {
	out, ok := live.Begin(v.w)
	if !ok {
		return nil
	}
	pulse := time.NewTicker(beat)
	defer pulse.Stop()
	sent := map[string]string{}
	for {
		select {
		case <-v.ctx().Done():
			return nil
		case <-pulse.C:
			ok = out.Send("at", s.Now().UTC().Format(time.RFC3339))
		case n, open := <-l.C:
			switch {
			case !open:
				return nil
			case n.over[v.by.SessionID]:
				out.Send("over", "")
				return nil
			}
			var data string
			data, sent = n.since(sent)
			ok = out.Send("journal", data)
		}
		if !ok {
			return nil
		}
	}
}

// since returns the numbers and the rows that a page has otherwise, which was
// sent rows with the keys that sent holds; and the keys that it has then.
func (n *news) since(sent map[string]string) (data string, has map[string]string) {
	type row struct {
		ID   string `json:"id"`
		HTML string `json:"html"`
	}
	out := struct {
		At     string `json:"at"`
		Counts string `json:"counts"`
		Rows   []row  `json:"rows"`
	}{n.at.UTC().Format(time.RFC3339), n.counts, nil}
	has = map[string]string{}
	for _, r := range n.rows {
		has[r.id] = r.key
		if sent[r.id] != r.key {
			out.Rows = append(out.Rows, row{r.id, r.html})
		}
	}
	// The oldest first, so that each new one goes on top.
	slices.SortFunc(out.Rows, func(a, b row) int { return strings.Compare(a.ID, b.ID) })
	b, _ := json.Marshal(out) // strings can always be marshalled
	return string(b), has
}
