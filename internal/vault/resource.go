package vault

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/failpoint"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/store"
)

// Fields are what a person types about a resource. All but Name may be empty.
type Fields struct {
	// Name is unique among the resources of one owner, whatever its case.
	Name string
	// Type is one of [Types] or any other word; empty becomes "Other".
	Type string
	// Address is a host name or an IP address, as a person writes it.
	Address              string
	Department, Location string
	// URL is shown, and is a link where [Fields.Link] says so.
	URL string
	// Notes are plain text. They are not secret: whoever sees the resource
	// reads them.
	Notes string
	// AskReason asks whoever takes out a password for the reason.
	AskReason bool
}

// NewResource is a resource to be added.
type NewResource struct {
	// ID may be an UUID that the form was given, so that a form sent twice
	// adds one resource. Empty means a new one.
	ID string
	// OwnerID is whose it will be. Only the operator says so: what users add
	// is theirs.
	OwnerID string
	Fields
}

// Resource is something that has accounts.
type Resource struct {
	ID                             string
	OwnerID, OwnerLogin, OwnerName string
	Fields
	// Accounts counts the accounts under it.
	Accounts int
	// ChangedAt is when it, or which accounts it has, changed last.
	CreatedAt, ChangedAt time.Time
	// Revision counts the edits; an edit of an older revision is refused.
	Revision int64
	// CanEdit tells that who asked may edit and delete it and its accounts.
	CanEdit bool

	level level
}

const typeOther = "Other"

// Types returns the types that forms offer. Others can be typed.
func Types() []string {
	return []string{
		"Linux", "Windows", "Windows Domain", "PostgreSQL", "MySQL", "Microsoft SQL Server", "Oracle", "Cisco IOS", "Network device",
		"VMware ESXi", "Web site", "Mail server", "Application", "Cloud account", "Licence", typeOther,
	}
}

// about returns an event whose object is r.
func (r Resource) about(action string, detail ...audit.Detail) audit.Event {
	return audit.Event{Action: action, Kind: "resource", ID: r.ID, Name: r.Name, Detail: detail}
}

// AddResource adds a resource. The ID of a form that was sent before gives
// what it added then.
func (s *Service) AddResource(ctx context.Context, by actor.Actor, n NewResource) (Resource, error) {
	if !by.May(actor.ManageResources) {
		return Resource{}, fault.Denied("Your role does not add resources.")
	}
	if err := n.tidy(); err != nil {
		return Resource{}, err
	}
	id, err := formID(n.ID)
	if err != nil {
		return Resource{}, err
	}
	var added Resource
	add := func(tx *store.Tx) (err error) {
		added, err = s.addResource(tx, by, id, n)
		return err
	}
	err = s.DB.Update(ctx, add)
	if n.ID != "" && fault.Is(err, fault.KindConflict) {
		// The same form may have been sent twice at once: look again for what
		// the other one added.
		err = s.DB.Update(ctx, add)
	}
	if err != nil {
		return Resource{}, err
	}
	failpoint.Hit("vault.add-resource.after-commit")
	return added, nil
}

// formID returns the id of a form, or a new one.
func formID(id string) (string, error) {
	if id == "" {
		return store.NewID(), nil
	}
	if id = strings.ToLower(id); !isID(id) {
		return "", fault.Invalid("id", "This form is damaged. Load the page again.")
	}
	return id, nil
}

// errSentBefore says that a form's id belongs to something else by now.
func errSentBefore(field string) error {
	return asConflict(field, "This form was sent before. Open a new one to add another.", nil)
}

func (s *Service) addResource(tx *store.Tx, by actor.Actor, id string, n NewResource) (Resource, error) {
	owner, err := s.ownerOf(tx, by, n.OwnerID)
	if err != nil {
		return Resource{}, err
	}
	stored, err := resourceBy(tx, id)
	switch {
	case err == nil && stored.OwnerID == owner && nameKey(stored.Name) == nameKey(n.Name):
		return s.grade(tx, by, stored)
	case err == nil:
		return Resource{}, errSentBefore("name")
	case !fault.Is(err, fault.KindNotFound):
		return Resource{}, err
	}
	if err := insertResource(tx, id, owner, n.Fields); err != nil {
		return Resource{}, taken(err)
	}
	r, err := s.seen(tx, by, id)
	if err != nil {
		return Resource{}, err
	}
	if err := s.Audit.Append(tx, by, r.about("resource.added",
		audit.Detail{Name: "type", Value: r.Type}, audit.Detail{Name: "address", Value: r.Address},
		audit.Detail{Name: "owner", Value: r.OwnerLogin})); err != nil {
		return Resource{}, err
	}
	failpoint.Hit("vault.add-resource.before-commit")
	return r, nil
}

// ownerOf returns whose a new resource will be.
func (s *Service) ownerOf(tx *store.Tx, by actor.Actor, wanted string) (string, error) {
	if by.Kind == actor.KindUser {
		if wanted != "" && wanted != by.UserID {
			return "", fault.Denied("What you add is yours. Transfer it to somebody else afterwards.")
		}
		return by.UserID, nil
	}
	u, err := s.receiver(tx, "owner_id", wanted, identity.Active, identity.Invitee)
	return u.ID, err
}

// receiver returns the user if they may own resources and are in one of the
// states.
func (s *Service) receiver(tx *store.Tx, field, id string, states ...identity.State) (identity.User, error) {
	u, err := s.Users.Lookup(tx, id)
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return identity.User{}, err
	}
	mayOwn := actor.Actor{Kind: actor.KindUser, Role: u.Role}.May(actor.ManageResources)
	for _, state := range states {
		if err == nil && mayOwn && u.State == state {
			return u, nil
		}
	}
	return identity.User{}, fault.Invalid(field, "Choose an active administrator or Password Administrator.")
}

// taken turns the broken rule about names into what is wrong with the field.
func taken(err error) error {
	if broke(err, "vault_resource", "name_key") {
		return asConflict("name", "There is a resource of this name already. Choose another name.", err)
	}
	return err
}

// EditResource changes what is said of a resource. revision is the one that
// the form showed; 0 takes whatever is there.
func (s *Service) EditResource(ctx context.Context, by actor.Actor, id string, f Fields, revision int64) (Resource, error) {
	if err := f.tidy(); err != nil {
		return Resource{}, s.orHidden(ctx, by, id, err)
	}
	var after Resource
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		before, err := s.held(tx, by, id)
		if err != nil {
			return err
		}
		if revision != 0 && revision != before.Revision {
			return errStale
		}
		after = before
		after.Fields = f
		detail := differences(before.Fields, f)
		if len(detail) == 0 {
			return nil
		}
		if err := updateResource(tx, id, f); err != nil {
			return taken(err)
		}
		if after, err = s.seen(tx, by, id); err != nil {
			return err
		}
		return s.Audit.Append(tx, by, after.about("resource.edited", detail...))
	})
	if err != nil {
		return Resource{}, err
	}
	return after, nil
}

// orHidden returns err, or that there is no such resource: what is wrong with
// a form is told to those alone who may see what it is about.
func (s *Service) orHidden(ctx context.Context, by actor.Actor, id string, err error) error {
	if _, hidden := s.Resource(ctx, by, id); hidden != nil {
		return hidden
	}
	return err
}

// differences tells what an edit changed. Of notes and URLs, which may hold
// more than a log should, it tells only that.
func differences(before, after Fields) []audit.Detail {
	var d []audit.Detail
	note := func(name, b, a string) {
		if a != b {
			d = append(d, audit.Detail{Name: name, Before: b, After: a})
		}
	}
	note("name", before.Name, after.Name)
	note("type", before.Type, after.Type)
	note("address", before.Address, after.Address)
	note("department", before.Department, after.Department)
	note("location", before.Location, after.Location)
	note("asks for a reason", yesNo(before.AskReason), yesNo(after.AskReason))
	if before.URL != after.URL {
		d = append(d, audit.Detail{Name: "URL", Value: "changed"})
	}
	if before.Notes != after.Notes {
		d = append(d, audit.Detail{Name: "notes", Value: "changed"})
	}
	return d
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// DeleteResource removes a resource with its accounts and all their passwords
// for good. typedName repeats its name; a fresh proof of who asks is needed.
// It is refused while an account of it is in use.
func (s *Service) DeleteResource(ctx context.Context, by actor.Actor, id, typedName string) error {
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		r, err := s.held(tx, by, id)
		if err != nil {
			return err
		}
		if tidyLine(typedName) != r.Name {
			return fault.Invalid("typed_name", fmt.Sprintf("Type the name of the resource to delete it: %s", r.Name))
		}
		if err := identity.RequireProof(by, s.Now()); err != nil {
			return err
		}
		accounts, err := accountsOf(tx, id)
		if err != nil {
			return err
		}
		for _, a := range accounts {
			if err := s.refuseUsed(tx, a); err != nil {
				return err
			}
		}
		if err := deleteResource(tx, id); err != nil {
			return err
		}
		return s.Audit.Append(tx, by, r.about("resource.deleted", audit.Detail{Name: "accounts", Value: fmt.Sprint(len(accounts))}))
	})
}

// TransferResource makes somebody else the owner, who must be active and may
// own resources. Whoever gave it away sees it no more and cannot take it back,
// so a user must have proved a moment ago who they are.
func (s *Service) TransferResource(ctx context.Context, by actor.Actor, id, toUserID string) error {
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		r, err := s.held(tx, by, id)
		if err != nil {
			return err
		}
		to, err := s.receiver(tx, "to", toUserID, identity.Active)
		if err != nil {
			return err
		}
		if to.ID == r.OwnerID {
			return fault.Invalid("to", "It is theirs already. Choose somebody else.")
		}
		if err := identity.RequireProof(by, s.Now()); err != nil {
			return err
		}
		if err := giveResource(tx, r, to.ID); err != nil {
			if broke(err, "vault_resource", "name_key") {
				return asConflict("to", to.Name+" owns a resource of this name already. Rename this one first.", err)
			}
			return err
		}
		return s.Audit.Append(tx, by, r.about("resource.transferred", audit.Detail{Name: "owner", Before: r.OwnerLogin, After: to.Login}))
	})
}

// Resource returns one resource.
func (s *Service) Resource(ctx context.Context, by actor.Actor, id string) (Resource, error) {
	var r Resource
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		r, err = s.seen(tx, by, id)
		return err
	})
	return r, err
}

// FindResource returns the resource of a name that a user owns.
func (s *Service) FindResource(ctx context.Context, by actor.Actor, ownerLogin, name string) (Resource, error) {
	var r Resource
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		found, err := resourceNamed(tx, store.Fold(strings.TrimSpace(ownerLogin)), nameKey(tidyLine(name)))
		if err == nil {
			r, err = s.grade(tx, by, found)
		}
		return err
	})
	return r, err
}
