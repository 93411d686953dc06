package blueprint

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/servers"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/vault"
)

// Services are the domains that a file speaks of.
type Services struct {
	Users *identity.Service
	Vault *vault.Service
	Mail  *mail.Service
	// Second is the mail server beside the first, Servers both of them.
	Second  *mail.Service
	Servers *servers.Service
	Outbox  *outbox.Outbox
	Bounces *bounce.Service
}

// maker compares a file with what is there, part by part. What is wrong with
// the file is collected, so that a person hears of all of it at once.
type maker struct {
	Services
	by      actor.Actor
	spec    Spec
	secrets map[Ref][]byte
	check   fault.Check
	plan    *Plan
	// needsThings tells that a mail server signs in with an account that the file
	// makes.
	needsThings bool
	// people are the users that are there or will be, by login.
	people map[string]identity.User
}

// Make compares a file with what is there and returns the steps that make it
// so: the Access URL first, since every link starts with it, then the mail server,
// by which invitations leave, users, their resources and accounts, and last how
// letters are delivered. A mail server that signs in with an account of the file
// comes after that. secrets holds what the file's references point to. Make changes
// nothing; faults name the key and its line. It is for who runs the machine:
// it compares passwords.
func Make(ctx context.Context, services Services, by actor.Actor, spec Spec, secrets map[Ref][]byte) (*Plan, error) {
	if by.Kind != actor.KindOperator && by.Kind != actor.KindSystem {
		return nil, fault.Denied("Set-up files are applied by who runs the machine.")
	}
	m := &maker{
		Services: services, by: by, spec: spec, secrets: secrets, people: map[string]identity.User{},
		plan: &Plan{users: map[string]string{}, resources: map[string]string{}, accounts: map[string]string{}},
	}
	for _, part := range []func(context.Context) error{m.site, m.parties, m.bounces, m.delivery} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	if err := m.check.Err(); err != nil {
		return nil, spec.lines.locate(err)
	}
	return m.plan, nil
}

// parties compares the users, what is theirs, and the mail servers.
func (m *maker) parties(ctx context.Context) error {
	first := len(m.plan.steps)
	if err := errors.Join(m.users(ctx), m.things(ctx)); err != nil {
		return err
	}
	server := len(m.plan.steps)
	if err := m.server(ctx); err != nil || m.needsThings {
		return err
	}
	rest := m.plan.steps[first:server]
	m.plan.steps = slices.Concat(m.plan.steps[:first], m.plan.steps[server:], rest)
	return nil
}

// step adds a step to the plan.
func (m *maker) step(verb, what string, lines []string, take func(ctx context.Context) ([]string, error)) {
	m.plan.steps = append(m.plan.steps, step{Step{verb, what, lines}, take})
}

// wrong notes what is wrong with a part of the file. place returns where in
// the file a field of the operation stands. It returns the error where it is
// none of that sort.
func (m *maker) wrong(err error, place func(field string) string) error {
	var f *fault.Error
	if err == nil || !errors.As(err, &f) || len(f.Fields) == 0 {
		return err
	}
	for _, field := range f.Fields {
		m.check.That(false, place(field.Field), field.Sentence)
	}
	return nil
}

// under returns where a field stands that has the same name in the file.
func under(at string) func(string) string {
	return func(field string) string { return at + "." + field }
}

// secret returns what a reference points to.
func (m *maker) secret(at string, r Ref) (secret.Value, bool) {
	if r == "" {
		return secret.Value{}, true
	}
	value, ok := m.secrets[r]
	ok = m.check.That(ok && len(value) > 0, at, "What "+string(r)+" points to is empty or was not handed over.")
	return secret.FromBytes(value), ok
}

// site compares the Access URL and the organisation's name.
func (m *maker) site(ctx context.Context) error {
	have, err := m.Users.Site(ctx)
	if err != nil {
		return err
	}
	want := have
	if m.spec.Organisation != "" {
		want.Organisation = strings.TrimSpace(m.spec.Organisation)
	}
	if m.spec.AccessURL != "" {
		if want.AccessURL, err = letter.CheckAccessURL(m.spec.AccessURL); err != nil {
			return m.wrong(err, func(string) string { return "access_url" })
		}
	}
	lines := append(change("Access URL", have.AccessURL, want.AccessURL), change("organisation", have.Organisation, want.Organisation)...)
	if len(lines) == 0 {
		return nil
	}
	m.check.That(want.AccessURL != "", "organisation", "Set access_url as well: it is not set yet.")
	m.step(verbChange, "general settings", lines, func(ctx context.Context) ([]string, error) {
		now, err := m.Users.Site(ctx)
		if err != nil {
			return nil, err
		}
		now.AccessURL, now.Organisation = want.AccessURL, want.Organisation
		return nil, m.Users.SaveSite(ctx, m.by, now)
	})
	return nil
}

// or returns the file's word, and what is there where the file has none.
func or(word, have string) string {
	if word == "" {
		return have
	}
	return word
}
