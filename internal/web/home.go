package web

import (
	"fmt"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/identity"
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
	if p.Waiting, err = s.waiting(v); err != nil {
		return err
	}
	return v.render(p)
}

// waiting is what somebody with this role should look at.
func (s *Site) waiting(v *visit) ([]page.Waiting, error) {
	if !v.by.May(actor.ManageUsers) {
		return nil, nil
	}
	found, err := s.Users.Users(v.ctx(), v.by, identity.Filter{State: identity.Invitee, Limit: 500})
	if err != nil {
		return nil, err
	}
	pending, ended := 0, 0
	for _, u := range found.Users {
		if u.InviteExpires.Before(s.Now()) {
			ended++
		} else {
			pending++
		}
	}
	var all []page.Waiting
	if ended > 0 {
		all = append(all, page.Waiting{Text: invitations(ended) + " ended unused", Tone: "bad", Path: "/users?state=invited", Action: "Send again"})
	}
	if pending > 0 {
		all = append(all, page.Waiting{Text: invitations(pending) + " not yet accepted", Tone: "warn", Path: "/users?state=invited", Action: "Look"})
	}
	return all, nil
}

func invitations(n int) string {
	if n == 1 {
		return "1 invitation"
	}
	return fmt.Sprintf("%d invitations", n)
}
