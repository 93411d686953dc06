package web

import (
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/web/page"
)

func (s *Site) home(v *visit) error {
	recent, err := s.Audit.Search(v.ctx(), v.by, audit.Filter{ActorID: v.by.UserID, Limit: 8})
	if err != nil {
		return err
	}
	p := &page.Home{Name: v.by.Name}
	p.Title = "Home"
	for _, e := range recent.Entries {
		p.Recent = append(p.Recent, entryRow(e))
	}
	return v.render(p)
}
