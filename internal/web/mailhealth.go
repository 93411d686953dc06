package web

import (
	"slices"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/web/journal"
	"github.com/sealpost/sealpost/internal/web/page"
)

const mailHealthPath = "/admin/mail/health"

// mailHealth shows how well letters leave through each server, and who waits.
func (s *Site) mailHealth(v *visit) error {
	p := &page.MailHealth{At: s.Now()}
	p.Title, p.Crumbs = "Mail health", []page.Crumb{{Name: "Admin", Path: "/admin"}}
	for _, slot := range mail.Slots() {
		state, h, err := s.mailNow(v, slot)
		if err != nil {
			return err
		}
		if !h.Set && slot != mail.Main {
			continue
		}
		one, err := s.serverHealth(v, state, h)
		if err != nil {
			return err
		}
		p.Servers = append(p.Servers, one)
	}
	p.Two = len(p.Servers) > 1
	for i := range p.Servers {
		p.Servers[i].Name = journal.ServerName(outbox.Slot(mail.Slots()[i]), p.Two)
	}
	var lines []outbox.Line
	err := s.DB.View(v.ctx(), func(tx *store.Tx) (err error) {
		lines, err = s.Outbox.Lines(tx)
		return err
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(lines, func(a, b outbox.Line) int { return int(a.Class - b.Class) })
	for _, l := range lines {
		p.Lines = append(p.Lines, journal.Line(l, s.Now(), p.Two))
	}
	return v.render(p)
}

func (s *Site) serverHealth(v *visit, state page.MailState, h mail.Health) (page.ServerHealth, error) {
	one := page.ServerHealth{State: state, Host: state.Server, PerMinute: "0"}
	if !h.Set {
		return one, nil
	}
	pulse, err := s.Outbox.Pulse(v.ctx(), v.by, h.Profile.Server())
	if err != nil {
		return one, err
	}
	journal.Health(&one, pulse, h.Connections, h.Profile.Limits().Connections)
	return one, nil
}
