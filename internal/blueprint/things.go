package blueprint

import (
	"context"
	"fmt"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/vault"
)

// reason is what the history of a password gives as the reason.
const reason = "Set-up file"

// resourceKey is what makes two resources the same: owner and name.
func resourceKey(owner, name string) string { return loginKey(owner) + "\x00" + store.Fold(name) }

func accountKey(resource, name string) string { return resource + "\x00" + store.Fold(name) }

// things compares the resources of the file and the accounts under them.
func (m *maker) things(ctx context.Context) error {
	for i, r := range m.spec.Resources {
		at := fmt.Sprintf("resources[%d]", i)
		have, err := m.Vault.FindResource(ctx, m.by, loginKey(r.Owner), r.Name)
		switch {
		case fault.Is(err, fault.KindNotFound):
			err = m.newResource(ctx, at, r)
		case err == nil:
			err = m.oldResource(at, r, have)
		}
		if err != nil {
			return err
		}
		for j, a := range r.Accounts {
			if err := m.account(ctx, fmt.Sprintf("%s.accounts[%d]", at, j), r, a, have.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *maker) newResource(ctx context.Context, at string, r Resource) error {
	owner, found, err := m.person(ctx, r.Owner)
	if err != nil {
		return err
	}
	mayOwn := actor.Actor{Kind: actor.KindUser, Role: owner.Role}.May(actor.ManageResources)
	if !m.check.That(found && mayOwn && owner.State != identity.Disabled, at+".owner",
		"The owner is an administrator or Password Administrator who is there already or stands under users.") {
		return nil
	}
	f := vault.Fields{Name: r.Name, Notes: r.Notes, AskReason: r.AskReason != nil && *r.AskReason}
	f, err = fields(r, f).Tidy()
	if err != nil {
		return m.wrong(err, under(at))
	}
	lines := append([]string{"owner: " + owner.Login}, differences(vault.Fields{Name: f.Name}, f)...)
	m.step(verbCreate, fmt.Sprintf("resource %q", f.Name), lines, func(ctx context.Context) ([]string, error) {
		added, err := m.Vault.AddResource(ctx, m.by, vault.NewResource{OwnerID: m.plan.users[owner.Login], Fields: f})
		m.plan.resources[resourceKey(r.Owner, r.Name)] = added.ID
		return nil, err
	})
	return nil
}

func (m *maker) oldResource(at string, r Resource, have vault.Resource) error {
	m.plan.resources[resourceKey(r.Owner, r.Name)] = have.ID
	want, err := fields(r, have.Fields).Tidy()
	if err != nil {
		return m.wrong(err, under(at))
	}
	lines := differences(have.Fields, want)
	if len(lines) == 0 {
		return nil
	}
	m.step(verbChange, fmt.Sprintf("resource %q", have.Name), lines, func(ctx context.Context) ([]string, error) {
		_, err := m.Vault.EditResource(ctx, m.by, have.ID, want, have.Revision)
		return nil, err
	})
	return nil
}

// fields returns what is there with what the file says about it.
func fields(r Resource, have vault.Fields) vault.Fields {
	f := vault.Fields{
		Name: have.Name, Type: or(r.Type, have.Type), Address: or(r.Address, have.Address),
		Department: or(r.Department, have.Department), Location: or(r.Location, have.Location),
		URL: or(r.URL, have.URL), Notes: or(r.Notes, have.Notes), AskReason: have.AskReason,
	}
	if r.AskReason != nil {
		f.AskReason = *r.AskReason
	}
	return f
}

func differences(before, after vault.Fields) []string {
	var lines []string
	for _, d := range [][3]string{
		{"type", before.Type, after.Type},
		{"address", before.Address, after.Address},
		{"department", before.Department, after.Department},
		{"location", before.Location, after.Location},
		{"URL", before.URL, after.URL},
	} {
		lines = append(lines, change(d[0], d[1], d[2])...)
	}
	lines = append(lines, changedText("notes", before.Notes, after.Notes)...)
	switch {
	case after.AskReason && !before.AskReason:
		lines = append(lines, "asks for a reason")
	case before.AskReason && !after.AskReason:
		lines = append(lines, "asks for no reason any more")
	}
	return lines
}

// account compares an account. resourceID is empty where its resource is to be
// created too.
func (m *maker) account(ctx context.Context, at string, r Resource, a Account, resourceID string) error {
	password, ok := m.secret(at+".password", a.Password)
	if !ok {
		return nil
	}
	n, err := vault.NewAccount{Name: a.Name, Notes: a.Notes, Password: password, Reason: reason}.Tidy()
	if err != nil {
		return m.wrong(err, under(at))
	}
	if resourceID == "" {
		m.newAccount(r, a, n)
		return nil
	}
	have, err := m.Vault.FindAccount(ctx, m.by, resourceID, n.Name)
	switch {
	case fault.Is(err, fault.KindNotFound):
		m.newAccount(r, a, n)
		return nil
	case err != nil:
		return err
	}
	return m.oldAccount(ctx, r, a, n, have)
}

func accountTitle(r Resource, name string) string {
	return fmt.Sprintf("account %q of resource %q", name, r.Name)
}

func (m *maker) newAccount(r Resource, a Account, n vault.NewAccount) {
	resource := resourceKey(r.Owner, r.Name)
	key := accountKey(resource, n.Name)
	m.plan.accounts[key] = planned
	lines := changedText("notes", "", n.Notes)
	if a.Password != "" {
		lines = append(lines, "password: from "+string(a.Password))
	}
	m.step(verbCreate, accountTitle(r, n.Name), lines, func(ctx context.Context) ([]string, error) {
		added, err := m.Vault.AddAccount(ctx, m.by, m.plan.resources[resource], n)
		m.plan.accounts[key] = added.ID
		return nil, err
	})
}

// planned stands for the id of an account that is not there yet.
const planned = "planned"

func (m *maker) oldAccount(ctx context.Context, r Resource, a Account, n vault.NewAccount, have vault.Account) error {
	m.plan.accounts[accountKey(resourceKey(r.Owner, r.Name), n.Name)] = have.ID
	notes := or(n.Notes, have.Notes)
	lines := changedText("notes", have.Notes, notes)
	replace := secret.Value{}
	if !n.Password.IsZero() {
		same, err := m.Vault.PasswordIs(ctx, m.by, have.ID, n.Password)
		if err != nil {
			return err
		}
		if !same {
			replace = n.Password
			lines = append(lines, "password: set from "+string(a.Password))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	m.step(verbChange, accountTitle(r, have.Name), lines, func(ctx context.Context) ([]string, error) {
		if notes != have.Notes {
			if _, err := m.Vault.EditAccount(ctx, m.by, have.ID, have.Name, notes, have.Revision); err != nil {
				return nil, err
			}
		}
		if replace.IsZero() {
			return nil, nil
		}
		_, err := m.Vault.SetPassword(ctx, m.by, have.ID, replace, reason, have.Version)
		return nil, err
	})
	return nil
}
