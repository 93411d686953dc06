package web

import (
	"fmt"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/vault"
	"github.com/sealpost/sealpost/internal/web/page"
)

func (s *Site) resources(v *visit) error {
	f := vault.Filter{Text: v.text("q"), Type: v.text("type"), Sort: v.text("sort"), Cursor: v.text("after")}
	found, err := s.Vault.Resources(v.ctx(), v.by, f)
	if err != nil {
		return err
	}
	p := &page.Resources{
		Text: f.Text, Type: f.Type, Sort: f.Sort, Types: []page.Option{{Label: "Any type"}},
		Sorts: []page.Option{{Label: "By name"}, {Value: "type", Label: "By type"}, {Value: "-changed", Label: "Changed last"}},
		Total: found.Total, MayAdd: v.by.May(actor.ManageResources),
		Filtered: f.Text != "" || f.Type != "" || f.Cursor != "", Pager: v.pager("after", found.Next),
	}
	p.Title = "Resources"
	for _, t := range vault.Types() {
		p.Types = append(p.Types, page.Option{Value: t, Label: t})
	}
	for _, r := range found.Resources {
		p.Rows = append(p.Rows, page.ResourceRow{
			ID: r.ID, Name: r.Name, Address: r.Address, Type: r.Type, Owner: r.OwnerName, Department: r.Department,
			Accounts: r.Accounts, ChangedAt: r.ChangedAt,
		})
	}
	return v.render(p)
}

func resourceCrumbs() []page.Crumb { return []page.Crumb{{Name: "Resources", Path: "/resources"}} }

// below are the breadcrumbs of a page about a resource.
func below(id, name string) []page.Crumb {
	return append(resourceCrumbs(), page.Crumb{Name: name, Path: "/resources/" + id})
}

func (s *Site) resource(v *visit) error {
	r, err := s.Vault.Resource(v.ctx(), v.by, v.id("id"))
	if err != nil {
		return err
	}
	accounts, err := s.Vault.Accounts(v.ctx(), v.by, r.ID)
	if err != nil {
		return err
	}
	p := &page.Resource{
		ID: r.ID, Name: r.Name, Type: r.Type, Address: r.Address, Department: r.Department, Location: r.Location, Notes: r.Notes,
		URL: r.URL, Link: r.Link(), AskReason: r.AskReason, CanEdit: r.CanEdit, OwnerName: r.OwnerName, Owner: r.OwnerLogin,
		CreatedAt: r.CreatedAt, ChangedAt: r.ChangedAt,
	}
	p.Title, p.Crumbs = r.Name, resourceCrumbs()
	for _, a := range accounts {
		p.Accounts = append(p.Accounts, accountRow(a))
	}
	return v.render(p)
}

func accountRow(a vault.Account) page.AccountRow {
	return page.AccountRow{
		ID: a.ID, Name: a.Name, Notes: a.Notes, Version: a.Version, PasswordAt: a.PasswordAt, PasswordBy: a.PasswordBy,
		AskReason: a.AskReason, CanEdit: a.CanEdit,
	}
}

func (s *Site) addResourcePage(v *visit) error {
	p := &page.ResourceForm{ID: store.NewID(), New: true, Types: vault.Types()}
	p.Title, p.Crumbs = "Add resource", resourceCrumbs()
	return v.render(p)
}

// typedResource returns the form as it was sent, and what it means.
func typedResource(v *visit) (*page.ResourceForm, vault.Fields) {
	f := vault.Fields{
		Name: v.text("name"), Type: v.text("type"), Address: v.text("address"), Department: v.text("department"),
		Location: v.text("location"), URL: v.text("url"), Notes: v.text("notes"), AskReason: v.has("ask_reason"),
	}
	return resourceForm(f), f
}

func resourceForm(f vault.Fields) *page.ResourceForm {
	return &page.ResourceForm{
		Name: f.Name, Type: f.Type, Address: f.Address, Department: f.Department, Location: f.Location, URL: f.URL,
		NotesText: f.Notes, AskReason: f.AskReason, Types: vault.Types(),
	}
}

func (s *Site) addResource(v *visit) error {
	p, fields := typedResource(v)
	p.ID, p.New = v.text("id"), true
	p.Title, p.Crumbs = "Add resource", resourceCrumbs()
	r, err := s.Vault.AddResource(v.ctx(), v.by, vault.NewResource{ID: p.ID, Fields: fields})
	if err != nil {
		return v.again(p, err)
	}
	return v.redirect("/resources/"+r.ID, r.Name+" was added. Add its accounts now.")
}

func (s *Site) editResourcePage(v *visit) error {
	r, err := s.managedResource(v)
	if err != nil {
		return err
	}
	p := resourceForm(r.Fields)
	p.ID, p.Revision = r.ID, r.Revision
	p.Title, p.Crumbs = "Edit resource", below(r.ID, r.Name)
	return v.render(p)
}

// managedResource returns the resource of the path if its forms are open to
// the visitor.
func (s *Site) managedResource(v *visit) (vault.Resource, error) {
	r, err := s.Vault.Resource(v.ctx(), v.by, v.id("id"))
	if err == nil && !r.CanEdit {
		err = errNothing
	}
	return r, err
}

func (s *Site) editResource(v *visit) error {
	before, err := s.managedResource(v)
	if err != nil {
		return err
	}
	p, fields := typedResource(v)
	p.ID, p.Revision = before.ID, v.number("revision")
	p.Title, p.Crumbs = "Edit resource", below(before.ID, before.Name)
	r, err := s.Vault.EditResource(v.ctx(), v.by, before.ID, fields, p.Revision)
	if err != nil {
		return v.again(p, err)
	}
	return v.redirect("/resources/"+r.ID, "Saved.")
}

func (s *Site) deleteResourcePage(v *visit) error {
	r, err := s.managedResource(v)
	if err != nil {
		return err
	}
	return v.render(resourceDelete(r))
}

func resourceDelete(r vault.Resource) *page.ResourceDelete {
	p := &page.ResourceDelete{ID: r.ID, Name: r.Name, Accounts: r.Accounts}
	p.Title, p.Crumbs = "Delete resource", below(r.ID, r.Name)
	return p
}

func (s *Site) deleteResource(v *visit) error {
	r, err := s.managedResource(v)
	if err != nil {
		return err
	}
	p := resourceDelete(r)
	p.TypedName = v.text("typed_name")
	if err := s.Vault.DeleteResource(v.ctx(), v.by, r.ID, p.TypedName); err != nil {
		return v.again(p, err)
	}
	return v.redirect("/resources", r.Name+" was deleted.")
}

// mostPeople bounds the choice of a new owner.
const mostPeople = 100

func (s *Site) transferPage(v *visit) error {
	p, _, err := s.transferForm(v)
	if err != nil {
		return err
	}
	return v.render(p)
}

func (s *Site) transferForm(v *visit) (*page.ResourceTransfer, vault.Resource, error) {
	r, err := s.managedResource(v)
	if err != nil {
		return nil, r, err
	}
	people, err := s.Users.People(v.ctx(), v.by, "", mostPeople)
	if err != nil {
		return nil, r, err
	}
	p := &page.ResourceTransfer{ID: r.ID, Name: r.Name, To: v.text("to")}
	p.Title, p.Crumbs = "Transfer resource", below(r.ID, r.Name)
	for _, o := range people {
		if o.ID != r.OwnerID && (actor.Actor{Kind: actor.KindUser, Role: o.Role}).May(actor.ManageResources) {
			p.People = append(p.People, page.Option{Value: o.ID, Label: fmt.Sprintf("%s (%s, %s)", o.Name, o.Login, o.Role.Title())})
		}
	}
	return p, r, nil
}

func (s *Site) transfer(v *visit) error {
	p, r, err := s.transferForm(v)
	if err != nil {
		return err
	}
	if err := s.Vault.TransferResource(v.ctx(), v.by, r.ID, p.To); err != nil {
		return v.again(p, err)
	}
	return v.redirect("/resources", r.Name+" has a new owner.")
}
