package web

import (
	"net/url"
	"slices"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/web/journal"
	"github.com/sealpost/sealpost/internal/web/page"
)

func (s *Site) users(v *visit) error {
	f := identity.Filter{
		Text: v.text("q"), Role: actor.Role(v.text("role")), State: identity.State(v.text("state")), Cursor: v.text("after"),
	}
	found, err := s.Users.Users(v.ctx(), v.by, f)
	if err != nil {
		return err
	}
	p := &page.Users{
		Text: f.Text, Role: string(f.Role), State: string(f.State), Roles: append([]page.Option{{Label: "Any role"}}, roleOptions(actor.Roles())...),
		States: []page.Option{
			{Label: "Any state"},
			{Value: string(identity.Active), Label: "Active"},
			{Value: string(identity.Invitee), Label: "Invited"},
			{Value: string(identity.Disabled), Label: "Disabled"},
		},
		Filtered: f.Text != "" || f.Role != "" || f.State != "" || f.Cursor != "",
		Pager:    v.pager("after", found.Next),
	}
	p.Title = "Users"
	addresses := make([]string, len(found.Users))
	for i, u := range found.Users {
		addresses[i] = u.Email
	}
	marks, err := s.Bounces.Marks(v.ctx(), v.by, addresses...)
	if err != nil {
		return err
	}
	for _, u := range found.Users {
		_, marked := marks[u.Email]
		p.Rows = append(p.Rows, page.UserRow{
			ID: u.ID, Name: u.Name, Login: u.Login, Email: u.Email, Role: u.Role.Title(), State: s.stateTag(u), LastSignIn: u.LastSignIn, CameBack: marked,
		})
	}
	return v.render(p)
}

// pager returns the links of a list that is read by cursor, with its filters.
func (v *visit) pager(param, next string) page.Pager { return v.pagerOf(v.r.URL.Path, param, next) }

// pagerOf is pager for a list that is at another path than the request's.
func (v *visit) pagerOf(path, param, next string) page.Pager {
	var p page.Pager
	to := func(cursor string) string {
		query := url.Values{}
		for name, values := range v.values {
			if values[0] != "" && name != param {
				query[name] = values
			}
		}
		if cursor != "" {
			query.Set(param, cursor)
		}
		if len(query) == 0 {
			return path
		}
		return path + "?" + query.Encode()
	}
	if v.text(param) != "" {
		p.First = to("")
	}
	if next != "" {
		p.Next = to(next)
	}
	return p
}

func roleOptions(roles []actor.Role) []page.Option {
	var options []page.Option
	for _, r := range roles {
		options = append(options, page.Option{Value: string(r), Label: r.Title(), Help: roleHelp(r)})
	}
	return options
}

// roleHelp says what a role is for, in one sentence.
func roleHelp(r actor.Role) string {
	switch r {
	case actor.PrivilegedAdministrator:
		return "Everything, other Privileged Administrators included."
	case actor.Administrator:
		return "Users, resources, settings and the audit log."
	case actor.PasswordAdministrator:
		return "Resources and passwords that they own."
	case actor.PasswordAuditor:
		return "Reads the audit log. Owns no resources."
	}
	return "Signs in and keeps an own profile. Owns no resources."
}

// givable returns the roles that by may give.
func givable(by actor.Actor) []actor.Role {
	return slices.DeleteFunc(actor.Roles(), func(r actor.Role) bool { return identity.CanManage(by, identity.User{Role: r}) != nil })
}

// stateTag returns a user's state as a person reads it.
func (s *Site) stateTag(u identity.User) page.Tag {
	switch {
	case u.State == identity.Active:
		return page.Tag{Text: "Active", Tone: "good"}
	case u.State == identity.Disabled:
		return page.Tag{Text: "Disabled"}
	case u.InviteExpires.Before(s.Now()):
		return page.Tag{Text: "Invitation ended", Tone: "bad"}
	}
	return page.Tag{Text: "Invited", Tone: "warn"}
}

func userForm(v *visit) *page.UserForm {
	p := &page.UserForm{
		FormID: v.text("id"), Name: v.text("name"), Login: v.text("login"), Email: v.text("email"), Role: v.text("role"),
		Roles: roleOptions(givable(v.by)), CanGiveRole: true,
	}
	p.Title, p.Crumbs = "Add a user", []page.Crumb{{Name: "Users", Path: "/users"}}
	return p
}

func newUser(p *page.UserForm) identity.NewUser {
	return identity.NewUser{ID: p.FormID, Name: p.Name, Login: p.Login, Email: p.Email, Role: actor.Role(p.Role)}
}

func (s *Site) addUserPage(v *visit) error {
	p := userForm(v)
	p.FormID = store.NewID()
	if p.Role == "" {
		p.Role = string(actor.PasswordUser)
	}
	return v.render(p)
}

func (s *Site) addUser(v *visit) error {
	p := userForm(v)
	done, err := s.Users.Invite(v.ctx(), v.by, newUser(p))
	if err != nil {
		return v.again(p, err)
	}
	if done.Again {
		return v.redirect("/users/"+done.User.ID, done.User.Name+" was added when this form was sent first. Nothing was sent a second time.")
	}
	return s.showInvited(v, done, "The invitation is on its way to "+done.User.Email+".")
}

func (s *Site) inviteAgain(v *visit) error {
	done, err := s.Users.ResendInvitation(v.ctx(), v.by, v.id("id"))
	if err != nil {
		return s.userAgain(v, err)
	}
	return s.showInvited(v, done, "A new invitation is on its way to "+done.User.Email+". The older link has ended.")
}

// showInvited shows the link once where no letter brings it now.
func (s *Site) showInvited(v *visit, done identity.Invited, notice string) error {
	if !done.Held {
		return v.redirect("/users/"+done.User.ID, notice)
	}
	p := &page.Invited{
		ID: done.User.ID, Name: done.User.Name, Email: done.User.Email, Why: done.HeldWhy,
		Link: done.Link.Reveal(), Code: done.Code.Reveal(), Expires: done.Expires,
	}
	var err error
	if p.CameBack, err = s.cameBack(v, done.User.Email); err != nil {
		return err
	}
	p.Title = done.User.Name + " is invited"
	p.Crumbs = []page.Crumb{{Name: "Users", Path: "/users"}}
	if s.open(v.by, mailSettingsPath) {
		p.MailPath = mailSettingsPath
	}
	return v.render(p)
}

func (s *Site) userPage(v *visit) error {
	p, err := s.aboutUser(v)
	if err != nil {
		return err
	}
	return v.render(p)
}

// userAgain shows the user's page with what went wrong there.
func (s *Site) userAgain(v *visit, err error) error {
	p, loadErr := s.aboutUser(v)
	if loadErr != nil {
		return loadErr
	}
	return v.again(p, err)
}

func (s *Site) aboutUser(v *visit) (*page.User, error) {
	u, err := s.Users.User(v.ctx(), v.by, v.id("id"))
	if err != nil {
		return nil, err
	}
	p := &page.User{
		ID: u.ID, Name: u.Name, Login: u.Login, Email: u.Email, Role: u.Role.Title(), State: s.stateTag(u),
		CreatedAt: u.CreatedAt, LastSignIn: u.LastSignIn, PasswordAt: u.PasswordAt, InviteExpires: u.InviteExpires,
		Active: u.State == identity.Active, Disabled: u.State == identity.Disabled, Invited: u.State == identity.Invitee,
		Self: v.by.Is(u.ID), Ask: v.text("ask"), HandOverTo: v.text("hand_over_to"), Confirm: v.text("confirm"),
	}
	p.Title, p.Crumbs = u.Name, []page.Crumb{{Name: "Users", Path: "/users"}}
	if err := identity.CanManage(v.by, u); err != nil {
		p.Fixed = fault.Sentence(err)
		return p, nil
	}
	return p, s.managedUser(v, u, p)
}

// managedUser adds what only those see who may manage the user.
func (s *Site) managedUser(v *visit, u identity.User, p *page.User) error {
	sessions, err := s.Users.Sessions(v.ctx(), v.by, u.ID)
	if err != nil {
		return err
	}
	p.Sessions = sessionRows(sessions, v.by.SessionID)
	if p.CameBack, err = s.cameBack(v, u.Email); err != nil {
		return err
	}
	if p.Invited {
		row, sent, err := s.Users.InvitationLetter(v.ctx(), v.by, u.ID)
		if err != nil {
			return err
		}
		if sent {
			p.Letter = invitationLetter(row)
		}
	}
	if p.Owned, err = s.Users.Owned(v.ctx(), v.by, u.ID); err != nil {
		return err
	}
	if p.Owned > 0 && !p.Self {
		p.Receivers, err = s.receivers(v, u.ID)
	}
	return err
}

// receivers are the users who may take over what a user owns.
func (s *Site) receivers(v *visit, except string) ([]page.Option, error) {
	options := []page.Option{{Label: "Choose who takes over"}}
	for _, role := range actor.Roles() {
		if !(actor.Actor{Kind: actor.KindUser, Role: role}).May(actor.ManageResources) {
			continue
		}
		found, err := s.Users.Users(v.ctx(), v.by, identity.Filter{Role: role, State: identity.Active, Limit: 500})
		if err != nil {
			return nil, err
		}
		for _, u := range found.Users {
			if u.ID != except {
				options = append(options, page.Option{Value: u.ID, Label: u.Name + " (" + u.Login + ")"})
			}
		}
	}
	return options, nil
}

func invitationLetter(row outbox.Row) *page.LetterState {
	return &page.LetterState{ID: row.ID, State: journal.Tag(row.State), At: row.Changed, Reply: row.Reply, Advice: row.Advice, Attempts: int(row.Attempts)}
}

// editUserForm returns the form about the user in the path.
func (s *Site) editUserForm(v *visit) (*page.UserForm, identity.User, error) {
	u, err := s.Users.User(v.ctx(), v.by, v.id("id"))
	if err != nil {
		return nil, u, err
	}
	if err := identity.CanManage(v.by, u); err != nil {
		return nil, u, err
	}
	p := userForm(v)
	p.ID, p.CanGiveRole, p.CurrentRole = u.ID, !v.by.Is(u.ID), u.Role.Title()
	p.Title = "Edit " + u.Name
	p.Crumbs = append(p.Crumbs, page.Crumb{Name: u.Name, Path: "/users/" + u.ID})
	return p, u, nil
}

func (s *Site) editUserPage(v *visit) error {
	p, u, err := s.editUserForm(v)
	if err != nil {
		return err
	}
	p.Name, p.Login, p.Email, p.Role, p.Revision = u.Name, u.Login, u.Email, string(u.Role), u.Revision
	return v.render(p)
}

func (s *Site) editUser(v *visit) error {
	p, u, err := s.editUserForm(v)
	if err != nil {
		return err
	}
	p.Revision = v.number("revision")
	if !p.CanGiveRole {
		p.Role = string(u.Role)
	}
	if _, err := s.Users.EditUser(v.ctx(), v.by, u.ID, identity.UserChange{NewUser: newUser(p), Revision: p.Revision}); err != nil {
		return v.again(p, err)
	}
	return v.redirect("/users/"+u.ID, p.Name+" is saved.")
}

func (s *Site) disableUser(v *visit) error {
	if err := s.Users.Disable(v.ctx(), v.by, v.id("id")); err != nil {
		return s.userAgain(v, err)
	}
	return v.redirect("/users/"+v.id("id"), "The user is disabled and signed out everywhere.")
}

func (s *Site) enableUser(v *visit) error {
	if err := s.Users.Enable(v.ctx(), v.by, v.id("id")); err != nil {
		return s.userAgain(v, err)
	}
	return v.redirect("/users/"+v.id("id"), "The user is enabled.")
}

func (s *Site) signOutUser(v *visit) error {
	if err := s.Users.SignOutEverywhere(v.ctx(), v.by, v.id("id")); err != nil {
		return s.userAgain(v, err)
	}
	return v.redirect("/users/"+v.id("id"), "The user is signed out everywhere.")
}

func (s *Site) deleteUser(v *visit) error {
	p, err := s.aboutUser(v)
	if err != nil {
		return err
	}
	p.Ask = "delete"
	if v.text("confirm") != p.Login {
		return v.again(p, fault.Invalid("confirm", "Type the sign-in name "+p.Login+" to delete this user."))
	}
	if err := s.Users.Delete(v.ctx(), v.by, p.ID, v.text("hand_over_to")); err != nil {
		return v.again(p, err)
	}
	return v.redirect("/users", p.Name+" is deleted.")
}
