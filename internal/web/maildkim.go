package web

import (
	"fmt"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/dkim"
	"github.com/sealpost/sealpost/internal/mail/domain"
	"github.com/sealpost/sealpost/internal/web/page"
)

// dkimRoutes are the signing of letters that leave through one mail server.
func dkimRoutes(slot mail.Slot) []route {
	settings, base := may(actor.ManageSettings), slot.SettingsPath()+"/dkim"
	return []route{
		{pattern: "GET " + base, slot: slot, access: settings, handle: (*Site).dkim},
		{pattern: "POST " + base, slot: slot, access: settings, handle: (*Site).makeDKIM, carry: []string{"domain", "selector", "algorithms"}},
		{pattern: "POST " + base + "/check", slot: slot, access: settings, handle: (*Site).checkDKIM},
		{pattern: "POST " + base + "/anyway", slot: slot, access: settings, handle: (*Site).anywayDKIM, carry: []string{}},
		{pattern: "POST " + base + "/discard", slot: slot, access: settings, handle: (*Site).discardDKIM},
		{pattern: "POST " + base + "/off", slot: slot, access: settings, handle: (*Site).offDKIM, carry: []string{}},
	}
}

// dkimSlot is the slot of a request, in the words of package dkim.
func dkimSlot(v *visit) dkim.Slot { return dkim.Slot(v.mail().slot) }

// algorithmsOf are the choices of the form.
func algorithmsOf(choice string) []dkim.Algorithm {
	switch choice {
	case page.DKIMBoth:
		return []dkim.Algorithm{dkim.RSA, dkim.Ed25519}
	case string(dkim.RSA), string(dkim.Ed25519):
		return []dkim.Algorithm{dkim.Algorithm(choice)}
	}
	return []dkim.Algorithm{"none"} // refused at its field
}

func (s *Site) dkim(v *visit) error {
	st, err := s.DKIM.Status(v.ctx(), v.by, dkimSlot(v))
	if err != nil {
		return err
	}
	p, err := s.dkimPage(v, st)
	if err != nil {
		return err
	}
	p.Ask = v.text("ask")
	return v.render(p)
}

// dkimPage shows how signing stands.
func (s *Site) dkimPage(v *visit, st dkim.Status) (*page.DKIM, error) {
	here := v.mail()
	profile, set, err := here.Active(v.ctx())
	if err != nil {
		return nil, err
	}
	_, two, err := s.Second.Active(v.ctx())
	if err != nil {
		return nil, err
	}
	p := &page.DKIM{
		Two: two,
		At:  here.path + "/dkim", Settings: here.path, Set: set, Sender: st.Sender, Misfit: st.Misfit(), Retired: len(st.Retired),
		Private: domain.Private(st.Sender), Selector: st.Selector, Algorithms: string(dkim.RSA), Domain: st.Sender,
	}
	p.Title, p.Crumbs = "DKIM signing", []page.Crumb{
		{Name: "Admin", Path: "/admin"}, {Name: "Settings", Path: "/admin"}, {Name: "Mail Server Settings", Path: here.path},
	}
	if set {
		p.Provider = map[string]string{"microsoft": "Microsoft", "google": "Google"}[profile.Provider()]
		p.Capture = profile.Kind == mail.KindCapture
	}
	for _, d := range st.Domains {
		p.Domains = append(p.Domains, page.Option{Value: d, Label: d})
	}
	p.New, p.Active = dkimSet(st.New), dkimSet(st.Active)
	if p.Active != nil {
		p.Domain = p.Active.Domain
	}
	return p, nil
}

func dkimSet(set *dkim.Set) *page.DKIMSet {
	if set == nil {
		return nil
	}
	out := &page.DKIMSet{
		Domain: set.Domain, CreatedAt: set.CreatedAt, CreatedBy: set.CreatedBy, ActiveAt: set.ActiveAt, CheckedAt: set.CheckedAt(),
		Published: set.Published(), Anyway: set.Anyway,
	}
	for _, k := range set.Keys {
		kind := "RSA, 2048 bits"
		if k.Algorithm == dkim.Ed25519 {
			kind = "Ed25519"
		}
		key := page.DKIMKey{
			ID: k.Selector, Kind: kind, Name: k.Record.Name, Host: k.Record.Host, Value: k.Record.Value, Zone: k.Record.Zone(),
			Verdict: string(k.Verdict), Why: k.Why, Found: k.Found,
		}
		for i, text := range k.Record.Strings {
			key.Parts = append(key.Parts, page.Copy{ID: fmt.Sprintf("part-%d-%s", i+1, k.Selector), Label: fmt.Sprintf("Part %d", i+1), Text: text})
		}
		out.Keys = append(out.Keys, key)
	}
	return out
}

// dkimDone leads back to the page, or shows it with what was refused.
func (s *Site) dkimDone(v *visit, err error, notice string) error {
	if err == nil {
		return v.redirect(v.mail().path+"/dkim", notice)
	}
	if fault.CodeOf(err) == fault.CodeReauthenticate {
		return err // asks for a proof, and goes on
	}
	st, statusErr := s.DKIM.Status(v.ctx(), v.by, dkimSlot(v))
	if statusErr != nil {
		return statusErr
	}
	p, pageErr := s.dkimPage(v, st)
	if pageErr != nil {
		return pageErr
	}
	if v.has("selector") {
		p.Domain, p.Selector, p.Algorithms = v.text("domain"), v.text("selector"), v.text("algorithms")
	}
	return v.again(p, err)
}

func (s *Site) makeDKIM(v *visit) error {
	_, err := s.DKIM.Make(v.ctx(), v.by, dkimSlot(v), dkim.Wish{
		Domain: v.text("domain"), Selector: v.text("selector"), Algorithms: algorithmsOf(v.text("algorithms")),
	})
	return s.dkimDone(v, err, "The key is made. Publish its record now.")
}

func (s *Site) checkDKIM(v *visit) error {
	before, err := s.DKIM.Status(v.ctx(), v.by, dkimSlot(v))
	var after dkim.Status
	if err == nil {
		after, err = s.DKIM.Check(v.ctx(), v.by, dkimSlot(v))
	}
	notice := "The DNS was asked. What it said stands below."
	if before.New != nil && after.New == nil && after.Active != nil && err == nil {
		notice = "The record is right: letters are signed with the new key from now on."
	}
	return s.dkimDone(v, err, notice)
}

func (s *Site) anywayDKIM(v *visit) error {
	return s.dkimDone(v, s.DKIM.Anyway(v.ctx(), v.by, dkimSlot(v)), "Letters are signed from now on.")
}

func (s *Site) discardDKIM(v *visit) error {
	return s.dkimDone(v, s.DKIM.Discard(v.ctx(), v.by, dkimSlot(v)), "The new key is deleted.")
}

func (s *Site) offDKIM(v *visit) error {
	return s.dkimDone(v, s.DKIM.Off(v.ctx(), v.by, dkimSlot(v)), "Letters are not signed any more. Leave the record in the DNS for a week: letters under way carry its signature.")
}
