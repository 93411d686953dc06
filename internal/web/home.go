package web

import (
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/vault"
	"github.com/sealpost/sealpost/internal/web/page"
)

const (
	// homeDays is how many days of deliveries Home shows.
	homeDays = 14
	// horizon is how far Home looks ahead.
	horizon = 30 * 24 * time.Hour
	// homeRows bounds its lists.
	homeRows = 6
)

// home shows to each what they may see, as the operations decide it.
func (s *Site) home(v *visit) error {
	p := &page.Home{Name: v.by.Name}
	p.Title = "Home"
	for _, add := range []func(*visit, *page.Home) error{s.homeWaiting, s.homeBounces, s.homeVault, s.homeMail, s.homeDeliveries, s.homeActivity, s.homeSteps} {
		if err := add(v, p); err != nil {
			return err
		}
	}
	return v.render(p)
}

// homeWaiting shows what somebody with this role should look at.
func (s *Site) homeWaiting(v *visit, p *page.Home) error {
	if !v.by.May(actor.ManageUsers) {
		return nil
	}
	found, err := s.Users.Users(v.ctx(), v.by, identity.Filter{State: identity.Invitee, Limit: 500})
	if err != nil {
		return err
	}
	pending, ended := 0, 0
	for _, u := range found.Users {
		if u.InviteExpires.Before(s.Now()) {
			ended++
		} else {
			pending++
		}
	}
	if ended > 0 {
		p.Waiting = append(p.Waiting, page.Waiting{Text: invitations(ended) + " ended unused", Tone: "bad", Path: "/users?state=invited", Action: "Send again"})
	}
	if pending > 0 {
		p.Waiting = append(p.Waiting, page.Waiting{Text: invitations(pending) + " not yet accepted", Tone: "warn", Path: "/users?state=invited", Action: "Look"})
	}
	return nil
}

func invitations(n int) string {
	if n == 1 {
		return "1 invitation"
	}
	return page.Count(n) + " invitations"
}

func (s *Site) homeVault(v *visit, p *page.Home) error {
	found, err := s.Vault.Resources(v.ctx(), v.by, vault.Filter{Sort: "-changed", Limit: homeRows})
	if err != nil {
		return err
	}
	p.Vault, p.Owned, p.CanAdd = s.open(v.by, "/resources"), found.Total, v.by.May(actor.ManageResources)
	for _, r := range found.Resources {
		p.Resources = append(p.Resources, page.HomeResource{ID: r.ID, Name: r.Name, Type: r.Type, Accounts: r.Accounts, ChangedAt: r.ChangedAt})
	}
	return nil
}

// homeMail shows how mail stands and what of it ends, to who manages it.
func (s *Site) homeMail(v *visit, p *page.Home) error {
	if !v.by.May(actor.ManageSettings) {
		return nil
	}
	for _, slot := range mail.Slots() {
		state, h, err := s.mailNow(v, slot)
		if err != nil {
			return err
		}
		if slot == mail.Main {
			p.Mail = &state
		} else if h.Set {
			state.Waiting = 0 // they are told of once
			p.Second = &state
		}
		for _, end := range state.Ends {
			if end.At.Sub(s.Now()) <= horizon {
				p.Ends = append(p.Ends, end)
			}
		}
	}
	p.Horizon = true
	return nil
}

func (s *Site) homeDeliveries(v *visit, p *page.Home) error {
	if !v.by.May(actor.ReadMailJournal) {
		return nil
	}
	days, err := s.Outbox.Days(v.ctx(), v.by, homeDays)
	if err != nil {
		return err
	}
	var columns []page.ChartDay
	for _, d := range days {
		columns = append(columns, page.ChartDay{Start: d.Start, Accepted: d.Accepted, Delayed: d.Delayed, Failed: d.Failed})
	}
	p.Deliveries = page.NewChart(columns)
	return nil
}

// homeActivity shows what the person did last, and to auditors what everybody
// did.
func (s *Site) homeActivity(v *visit, p *page.Home) error {
	own, err := s.Audit.Search(v.ctx(), v.by, audit.Filter{ActorID: v.by.UserID, Limit: homeRows})
	if err != nil {
		return err
	}
	for _, e := range own.Entries {
		p.Recent = append(p.Recent, entryRow(e))
	}
	if !v.by.May(actor.ReadAudit) || v.by.May(actor.ManageSettings) {
		return nil
	}
	all, err := s.Audit.Search(v.ctx(), v.by, audit.Filter{Limit: 2 * homeRows})
	for _, e := range all.Entries {
		p.Watch = append(p.Watch, entryRow(e))
	}
	return err
}

// homeSteps leads through a fresh installation, until mail is set up and there
// is a second person.
func (s *Site) homeSteps(v *visit, p *page.Home) error {
	if p.Mail == nil || !v.by.May(actor.ManageUsers) {
		return nil
	}
	_, set, err := s.Mail.Active(v.ctx())
	if err != nil {
		return err
	}
	people, err := s.Users.Users(v.ctx(), v.by, identity.Filter{Limit: 2})
	if err != nil || set && len(people.Users) > 1 {
		return err
	}
	p.Steps = []page.FirstStep{
		{Title: "Set up the mail server", Text: "Invitations and other mail leave through it. Until then they wait.", Path: mailSettingsPath, Action: "Set up mail", Done: set},
		{Title: "Add a colleague", Text: "They choose a password by a link in their invitation.", Path: "/users/add", Action: "Add a user", Done: len(people.Users) > 1},
		{Title: "Keep your first password", Text: "A resource is a machine, an application or a site; its accounts hold the passwords.", Path: "/resources/add", Action: "Add a resource", Done: p.Owned > 0},
	}
	return nil
}
