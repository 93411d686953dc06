package web

import (
	"fmt"
	"net/http"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/vault"
	"github.com/sealpost/sealpost/internal/web/page"
)

func (s *Site) account(v *visit) error {
	a, err := s.Vault.Account(v.ctx(), v.by, v.id("id"))
	if err != nil {
		return err
	}
	history, err := s.Vault.History(v.ctx(), v.by, a.ID)
	if err != nil {
		return err
	}
	p := &page.Account{
		AccountRow: accountRow(a), ResourceID: a.ResourceID, ResourceName: a.ResourceName, CreatedAt: a.CreatedAt, ChangedAt: a.ChangedAt,
	}
	if p.Uses, err = s.uses(v, a.ID); err != nil {
		return err
	}
	p.Title, p.Crumbs = a.Name, below(a.ResourceID, a.ResourceName)
	for _, h := range history {
		p.History = append(p.History, page.VersionRow{Version: h.Version, At: h.At, By: h.By, Reason: h.Reason, How: h.How, Current: h.Current})
	}
	return v.render(p)
}

func (s *Site) uses(v *visit, accountID string) ([]page.Use, error) {
	uses, err := s.Vault.Uses(v.ctx(), v.by, accountID)
	var out []page.Use
	for _, u := range uses {
		if !s.open(v.by, u.Path) {
			u.Path = ""
		}
		out = append(out, page.Use{Label: u.Label, Path: u.Path})
	}
	return out, err
}

// about are the breadcrumbs of a page about an account.
func about(a vault.Account) []page.Crumb {
	return append(below(a.ResourceID, a.ResourceName), page.Crumb{Name: a.Name, Path: "/accounts/" + a.ID})
}

func (s *Site) addAccountPage(v *visit) error {
	r, err := s.managedResource(v)
	if err != nil {
		return err
	}
	p := &page.AccountForm{ID: store.NewID(), New: true, Generator: page.Generator{Recipe: vault.DefaultRecipe()}}
	return v.render(toResource(p, r))
}

func toResource(p *page.AccountForm, r vault.Resource) *page.AccountForm {
	p.ResourceID = r.ID
	p.Title, p.Crumbs = "Add account", below(r.ID, r.Name)
	return p
}

func (s *Site) addAccount(v *visit) error {
	r, err := s.managedResource(v)
	if err != nil {
		return err
	}
	p := toResource(&page.AccountForm{
		ID: v.text("id"), New: true, Name: v.text("name"), NotesText: v.text("notes"), Reason: v.text("reason"), Generator: generatorTyped(v),
	}, r)
	if v.has("generate") {
		p.Password, p.Errors = s.generated(v, &p.Generator)
		return v.render(p)
	}
	a, err := s.Vault.AddAccount(v.ctx(), v.by, r.ID, vault.NewAccount{
		ID: p.ID, Name: p.Name, Notes: p.NotesText, Password: v.secret("password"), Reason: p.Reason,
	})
	if err != nil {
		return v.again(p, err)
	}
	return v.redirect("/resources/"+r.ID, a.Name+" was added.")
}

func (s *Site) editAccountPage(v *visit) error {
	a, err := s.managedAccount(v)
	if err != nil {
		return err
	}
	p := &page.AccountForm{ID: a.ID, ResourceID: a.ResourceID, Revision: a.Revision, Name: a.Name, NotesText: a.Notes}
	p.Title, p.Crumbs = "Edit account", about(a)
	return v.render(p)
}

// managedAccount returns the account of the path if its forms are open to the
// visitor.
func (s *Site) managedAccount(v *visit) (vault.Account, error) {
	a, err := s.Vault.Account(v.ctx(), v.by, v.id("id"))
	if err == nil && !a.CanEdit {
		err = errNothing
	}
	return a, err
}

func (s *Site) editAccount(v *visit) error {
	before, err := s.managedAccount(v)
	if err != nil {
		return err
	}
	p := &page.AccountForm{ID: before.ID, ResourceID: before.ResourceID, Revision: v.number("revision"), Name: v.text("name"), NotesText: v.text("notes")}
	p.Title, p.Crumbs = "Edit account", about(before)
	a, err := s.Vault.EditAccount(v.ctx(), v.by, before.ID, p.Name, p.NotesText, p.Revision)
	if err != nil {
		return v.again(p, err)
	}
	return v.redirect("/accounts/"+a.ID, "Saved.")
}

func (s *Site) deleteAccountPage(v *visit) error {
	p, err := s.accountDelete(v)
	if err != nil {
		return err
	}
	return v.render(p)
}

func (s *Site) accountDelete(v *visit) (*page.AccountDelete, error) {
	a, err := s.managedAccount(v)
	if err != nil {
		return nil, err
	}
	p := &page.AccountDelete{ID: a.ID, Name: a.Name, ResourceID: a.ResourceID, ResourceName: a.ResourceName, Versions: int(a.Version)}
	p.Title, p.Crumbs = "Delete account", about(a)
	p.Uses, err = s.uses(v, a.ID)
	return p, err
}

func (s *Site) deleteAccount(v *visit) error {
	p, err := s.accountDelete(v)
	if err != nil {
		return err
	}
	if !v.has("confirm") {
		return v.render(p)
	}
	if err := s.Vault.DeleteAccount(v.ctx(), v.by, p.ID); err != nil {
		return v.again(p, err)
	}
	return v.redirect("/resources/"+p.ResourceID, p.Name+" was deleted.")
}

func (s *Site) setPasswordPage(v *visit) error {
	p, err := s.setPasswordForm(v)
	if err != nil {
		return err
	}
	return v.render(p)
}

func (s *Site) setPasswordForm(v *visit) (*page.SetPassword, error) {
	a, err := s.Vault.Account(v.ctx(), v.by, v.id("id"))
	if err != nil {
		return nil, err
	}
	p := &page.SetPassword{ID: a.ID, Name: a.Name, ResourceName: a.ResourceName, Version: a.Version, Generator: page.Generator{Recipe: vault.DefaultRecipe()}}
	p.Title, p.Crumbs = "Change password", about(a)
	if a.Version == 0 {
		p.Title = "Set password"
	}
	p.Uses, err = s.uses(v, a.ID)
	return p, err
}

func (s *Site) setPassword(v *visit) error {
	p, err := s.setPasswordForm(v)
	if err != nil {
		return err
	}
	p.Version, p.Reason, p.Generator = v.number("version"), v.text("reason"), generatorTyped(v)
	if v.has("generate") {
		p.Password, p.Errors = s.generated(v, &p.Generator)
		return v.render(p)
	}
	if _, err := s.Vault.SetPassword(v.ctx(), v.by, p.ID, v.secret("password"), p.Reason, p.Version); err != nil {
		return v.again(p, err)
	}
	return v.redirect("/accounts/"+p.ID, "The password of "+p.Name+" was saved.")
}

func (s *Site) revealPage(v *visit) error {
	p, err := s.revealForm(v)
	if err != nil {
		return err
	}
	return v.render(p)
}

func (s *Site) revealForm(v *visit) (*page.Reveal, error) {
	a, err := s.Vault.Account(v.ctx(), v.by, v.id("id"))
	if err != nil {
		return nil, err
	}
	p := &page.Reveal{
		ID: a.ID, Name: a.Name, ResourceName: a.ResourceName, Version: v.number("version"), Reason: v.text("reason"), AskReason: a.AskReason,
	}
	if p.Version == 0 {
		p.Version = a.Version
	}
	p.Old = p.Version != a.Version
	p.Title, p.Crumbs = "Reveal password", about(a)
	return p, nil
}

// reveal shows a password on a page of its own, or hands it to the script that
// shows it in place for half a minute.
func (s *Site) reveal(v *visit) error {
	p, err := s.revealForm(v)
	if err != nil {
		return err
	}
	how := vault.ShowIt
	if v.isScript() && v.text("how") == vault.CopyIt {
		how = vault.CopyIt
	}
	password, err := s.Vault.Reveal(v.ctx(), v.by, p.ID, p.Version, how, p.Reason)
	if err != nil {
		return v.again(p, err)
	}
	if v.isScript() {
		return v.json(http.StatusOK, struct {
			Password string `json:"password"`
		}{password.Reveal()})
	}
	p.Shown, p.Password, p.Title = true, password.Reveal(), "Password of "+p.Name
	return v.render(p)
}

func (s *Site) restorePage(v *visit) error {
	p, err := s.restoreForm(v)
	if err != nil {
		return err
	}
	return v.render(p)
}

func (s *Site) restoreForm(v *visit) (*page.Restore, error) {
	a, err := s.managedAccount(v)
	if err != nil {
		return nil, err
	}
	history, err := s.Vault.History(v.ctx(), v.by, a.ID)
	if err != nil {
		return nil, err
	}
	p := &page.Restore{ID: a.ID, Name: a.Name, ResourceName: a.ResourceName, Version: v.number("version"), Reason: v.text("reason")}
	p.Title, p.Crumbs = "Restore password", about(a)
	for _, h := range history {
		if h.Version == p.Version {
			p.At, p.By = h.At, h.By
		}
	}
	if p.At.IsZero() {
		return nil, errNothing
	}
	p.Uses, err = s.uses(v, a.ID)
	return p, err
}

func (s *Site) restore(v *visit) error {
	p, err := s.restoreForm(v)
	if err != nil {
		return err
	}
	if _, err := s.Vault.Restore(v.ctx(), v.by, p.ID, p.Version, p.Reason); err != nil {
		return v.again(p, err)
	}
	return v.redirect("/accounts/"+p.ID, fmt.Sprintf("Password no. %d is the current one again.", p.Version))
}

// generate answers the script behind the button "Generate".
func (s *Site) generate(v *visit) error {
	password, bits, err := s.Vault.Generate(recipe(v))
	if err != nil {
		return err
	}
	return v.json(http.StatusOK, struct {
		Password string `json:"password"`
		Bits     int    `json:"bits"`
		Meaning  string `json:"meaning"`
	}{password.Reveal(), bits, page.StrengthWords(bits)})
}

// generated fills a form with a new password for browsers without scripts.
func (s *Site) generated(v *visit, g *page.Generator) (string, *page.Errors) {
	g.Open = true
	password, bits, err := s.Vault.Generate(recipe(v))
	if err != nil {
		g.Errors = page.NewErrors(fault.Fields(err))
		return "", g.Errors
	}
	g.Bits = bits
	return password.Reveal(), nil
}

func recipe(v *visit) vault.Recipe {
	return vault.Recipe{
		Kind: v.text("kind"), Length: int(v.number("length")), Lower: v.has("lower"), Upper: v.has("upper"), Digits: v.has("digits"),
		Symbols: v.has("symbols"), NoLookAlikes: v.has("no_look_alikes"), Words: int(v.number("words")),
		Separator: v.values.Get("separator"), Capitals: v.has("capitals"), Number: v.has("number"),
	}
}

// generatorTyped is the recipe of the form that was sent, or the usual one
// where the form had none.
func generatorTyped(v *visit) page.Generator {
	if !v.has("kind") {
		return page.Generator{Recipe: vault.DefaultRecipe()}
	}
	return page.Generator{Recipe: recipe(v)}
}
