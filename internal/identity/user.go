package identity

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/failpoint"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// State is whether a user can sign in.
type State string

// The states of a user.
const (
	// Invitee: has not chosen a password yet.
	Invitee State = "invited"
	// Active: can sign in.
	Active State = "active"
	// Disabled: cannot sign in until enabled again.
	Disabled State = "disabled"
)

// User is a person who uses Sealpost.
type User struct {
	ID string
	// Login is the sign-in name, in lower case and unique.
	Login string
	Name  string
	// Email is unique whatever its case.
	Email string
	Role  actor.Role
	State State
	// CreatedAt is when the user was added; LastSignIn and PasswordAt are zero
	// before the first sign-in and the first password.
	CreatedAt, LastSignIn, PasswordAt time.Time
	// InviteExpires is when the pending invitation ends or ended; zero
	// without one.
	InviteExpires time.Time
	// Revision counts the edits; an edit of an older revision is refused.
	Revision int64
}

// NewUser is who is to be added.
type NewUser struct {
	// ID may be a UUID that a form was given, so that the same form sent
	// twice invites once. [Service.Invite] alone looks at it.
	ID string
	// Name has 1 to 100 characters; Login 1 to 64 of a-z, 0-9 and . _ - + @,
	// and is kept in lower case; Email is one address without a name.
	Name, Login, Email string
	Role               actor.Role
}

const (
	maxName  = 100
	maxLogin = 64
	maxEmail = 254
)

// tidy brings a request into its normal form and says what is wrong with it.
func (n *NewUser) tidy() error {
	n.Name, n.Login, n.Email = strings.TrimSpace(n.Name), tidyLogin(n.Login), strings.TrimSpace(n.Email)
	var c fault.Check
	checkName(&c, n.Name)
	c.That(loginFits(n.Login), "login", "Choose a sign-in name of 1 to 64 characters: a to z, digits, and . _ - + @ after the first.")
	n.Email = checkEmail(&c, n.Email)
	c.That(n.Role.Valid(), "role", "Choose one of the roles.")
	return c.Err()
}

// Tidy returns the request in the form in which Invite and EditUser keep it,
// or what is wrong with it.
func (n NewUser) Tidy() (NewUser, error) {
	err := n.tidy()
	return n, err
}

// tidyLogin takes out the word joiners too that keep a sign-in name in a letter
// from being a link: people paste it from there.
func tidyLogin(login string) string {
	return strings.ToLower(strings.TrimSpace(strings.ReplaceAll(login, "\u2060", "")))
}

func loginFits(login string) bool {
	for i, r := range login {
		alnum := r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
		if !alnum && (i == 0 || !strings.ContainsRune("._-+@", r)) {
			return false
		}
	}
	return login != "" && len(login) <= maxLogin
}

func checkName(c *fault.Check, name string) {
	if !c.That(name != "", "name", "Type the person's name.") {
		return
	}
	plain := utf8.ValidString(name) && utf8.RuneCountInString(name) <= maxName &&
		!strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) })
	if c.That(plain, "name", "The name is too long (100 characters at most) or holds characters that do not show.") {
		if err := message.CheckName(name); err != nil {
			c.That(false, "name", "The name holds characters that cannot stand in a mail.")
		}
	}
}

func checkEmail(c *fault.Check, email string) string {
	addr, err := message.ParseAddress(email)
	if err != nil {
		c.That(false, "email", fault.Sentence(err))
		return email
	}
	if !c.That(addr.Name == "", "email", "Type the address alone, like ada@example.org.") {
		return email
	}
	c.That(len(addr.Spec()) <= maxEmail, "email", "The address is too long.")
	return addr.Spec()
}

func emailKey(email string) string { return strings.ToLower(email) }

// taken turns a broken rule of the database into what is wrong with a field.
func taken(err error) error {
	var broken *store.ConstraintError
	if !errors.As(err, &broken) || broken.Rule != store.RuleUnique {
		return err
	}
	switch {
	case broken.On("identity_user", "login"):
		return asConflict("login", "Another user has this sign-in name. Choose a different one.", err)
	case broken.On("identity_user", "email_key"):
		return asConflict("email", "Another user has this e-mail address. Each needs an own one.", err)
	}
	return err
}

func asConflict(field, sentence string, err error) error {
	e := fault.Conflict(sentence).Because(err)
	e.Fields = []fault.FieldError{{Field: field, Sentence: sentence}}
	return e
}

// CanManage says why by may not manage target at all, or nil. What by may not
// do to themselves is said by the operations.
func CanManage(by actor.Actor, target User) error {
	if !by.May(actor.ManageUsers) {
		return fault.Denied("Only administrators manage users.")
	}
	if target.Role == actor.PrivilegedAdministrator && !by.May(actor.ManagePrivilegedUsers) {
		return fault.Denied("Only a Privileged Administrator manages Privileged Administrators.")
	}
	return nil
}

// Invited is the result of an invitation.
type Invited struct {
	User User
	// Link is the one-time link and Code the same to type. They are set only
	// where no letter brings them at this moment: show them once, to be
	// handed over in person.
	Link, Code secret.Value
	Expires    time.Time
	// LetterID names the letter in the journal; empty without one.
	LetterID string
	// Again tells that the form had been sent before: nothing was done.
	Again bool
	// Held tells that letters wait; HeldWhy says why, for a person.
	Held    bool
	HeldWhy string
}

// Invite adds a user and a letter with the way in. The ID of a form that was
// sent before gives the user whom it added then, and sends nothing.
func (s *Service) Invite(ctx context.Context, by actor.Actor, n NewUser) (Invited, error) {
	if err := CanManage(by, User{Role: n.Role}); err != nil {
		return Invited{}, err
	}
	if err := n.tidy(); err != nil {
		return Invited{}, err
	}
	if err := s.proveFor(by, n.Role); err != nil {
		return Invited{}, err
	}
	id, err := formID(n.ID)
	if err != nil {
		return Invited{}, err
	}
	token, hash, err := s.newToken(linkSize)
	if err != nil {
		return Invited{}, err
	}
	var done Invited
	add := func(tx *store.Tx) (err error) {
		done, err = s.invite(tx, by, id, n, token, hash)
		return err
	}
	err = s.DB.Update(ctx, add)
	if n.ID != "" && fault.Is(err, fault.KindConflict) {
		// The same form may have been sent twice at once: look again for whom
		// the other one added.
		err = s.DB.Update(ctx, add)
	}
	if err != nil {
		return Invited{}, err
	}
	failpoint.Hit("identity.invite.after-commit")
	return done, nil
}

// formID returns the id of a form, or a new one.
func formID(id string) (string, error) {
	if id == "" {
		return store.NewID(), nil
	}
	if len(id) != 36 || uuid.Validate(id) != nil {
		return "", fault.Invalid("id", "This form is damaged. Load the page again.")
	}
	return strings.ToLower(id), nil
}

func (s *Service) invite(tx *store.Tx, by actor.Actor, id string, n NewUser, token secret.Value, hash []byte) (Invited, error) {
	stored, err := userBy(tx, "id", id, "")
	if err == nil {
		return invitedBefore(by, stored, n)
	}
	if !fault.Is(err, fault.KindNotFound) {
		return Invited{}, err
	}
	u := User{ID: id, Login: n.Login, Name: n.Name, Email: n.Email, Role: n.Role, State: Invitee, CreatedAt: tx.Now()}
	if err := insertUser(tx, u, nil); err != nil {
		return Invited{}, taken(err)
	}
	done, err := s.sendInvitation(tx, by, u, token, hash)
	if err != nil {
		return Invited{}, err
	}
	if err := s.Audit.Append(tx, by, about(u, "user.invited",
		audit.Detail{Name: "name", Value: u.Name}, audit.Detail{Name: "e-mail", Value: u.Email},
		audit.Detail{Name: "role", Value: u.Role.Title()})); err != nil {
		return Invited{}, err
	}
	failpoint.Hit("identity.invite.before-commit")
	return done, nil
}

// invitedBefore returns whom a form added when it was sent first, if it says
// the same again. Its link is not shown a second time.
func invitedBefore(by actor.Actor, stored User, n NewUser) (Invited, error) {
	if stored.Login != n.Login || emailKey(stored.Email) != emailKey(n.Email) || stored.Role != n.Role {
		return Invited{}, asConflict("login", "This form was sent before. Open a new one to add another user.", nil)
	}
	return Invited{User: stored, Expires: stored.InviteExpires, Again: true}, CanManage(by, stored)
}

// proveFor wants a fresh proof for an invitation that makes somebody an
// administrator: an open session alone must not plant lasting power.
func (s *Service) proveFor(by actor.Actor, role actor.Role) error {
	if !(actor.Actor{Kind: actor.KindUser, Role: role}).May(actor.ManageUsers) {
		return nil
	}
	return RequireProof(by, s.Now())
}

// ResendInvitation gives an invited user a new link, in a new letter. The
// older link ends.
func (s *Service) ResendInvitation(ctx context.Context, by actor.Actor, userID string) (Invited, error) {
	token, hash, err := s.newToken(linkSize)
	if err != nil {
		return Invited{}, err
	}
	var done Invited
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		u, err := s.managed(tx, by, userID)
		if err != nil {
			return err
		}
		switch u.State {
		case Disabled:
			return fault.Conflict("This user is disabled. Enable them first.")
		case Active:
			return fault.Conflict("This user has a password already. They can use “Forgot password” on the sign-in page.")
		}
		if err := s.proveFor(by, u.Role); err != nil {
			return err
		}
		if done, err = s.sendInvitation(tx, by, u, token, hash); err != nil {
			return err
		}
		return s.Audit.Append(tx, by, about(u, "user.invited_again"))
	})
	if err != nil {
		return Invited{}, err
	}
	return done, nil
}

// sendInvitation stores the link and adds the letter.
func (s *Service) sendInvitation(tx *store.Tx, by actor.Actor, u User, token secret.Value, hash []byte) (Invited, error) {
	site, err := s.Letters.Site(tx)
	if err != nil {
		return Invited{}, err
	}
	if site.AccessURL == "" {
		return Invited{}, fault.Conflict("Set the Access URL under Admin > Settings first: the invitation's link starts with it.")
	}
	expires := tx.Now().Add(InvitationLife)
	if err := putLink(tx, u.ID, purposeInvite, hash, expires); err != nil {
		return Invited{}, err
	}
	u.InviteExpires = expires
	link := site.Link("/invite", token)
	id, err := s.Outbox.Add(tx, outbox.Recipient{UserID: u.ID, Name: u.Name, Address: u.Email}, letter.Invitation{
		Name: u.Name, Login: u.Login, Role: u.Role.Title(), InvitedBy: by.Name, Link: link, Expires: expires,
	})
	if err != nil {
		return Invited{}, err
	}
	done := Invited{User: u, Expires: expires, LetterID: id}
	if done.Held, done.HeldWhy, err = s.Outbox.Held(tx, id); err != nil {
		return Invited{}, err
	}
	if done.Held {
		done.Link, done.Code = link.URL, link.Code
	}
	return done, nil
}

// managed returns the user, locked, if by may manage them.
func (s *Service) managed(tx *store.Tx, by actor.Actor, id string) (User, error) {
	if !by.May(actor.ManageUsers) {
		return User{}, CanManage(by, User{})
	}
	u, err := userBy(tx, "id", id, tx.ForUpdate())
	if err != nil {
		return User{}, err
	}
	return u, CanManage(by, u)
}

// Filter says which users are wanted. Empty fields do not filter.
type Filter struct {
	// Text is looked for in sign-in name, name and e-mail address.
	Text  string
	Role  actor.Role
	State State
	// Cursor is the Next of the page before.
	Cursor string
	// Limit is the number of users, 50 where it is 0, 500 at most.
	Limit int
}

// Page is a page of users, by sign-in name.
type Page struct {
	Users []User
	// Next is the cursor of the following page; empty on the last.
	Next string
}

// Users lists users. It needs the permission to manage them.
func (s *Service) Users(ctx context.Context, by actor.Actor, f Filter) (Page, error) {
	if !by.May(actor.ManageUsers) {
		return Page{}, CanManage(by, User{})
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	f.Limit = min(f.Limit, 500)
	f.Cursor = store.Fold(f.Cursor)
	var page Page
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		users, err := listUsers(tx, f)
		page = Page{Users: users}
		if len(users) > f.Limit {
			page.Users = users[:f.Limit]
			page.Next = page.Users[f.Limit-1].Login
		}
		return err
	})
	return page, err
}

// User returns one user: oneself, or anybody for who may manage users.
func (s *Service) User(ctx context.Context, by actor.Actor, id string) (User, error) {
	if !by.Is(id) && !by.May(actor.ManageUsers) {
		return User{}, errNoUser()
	}
	var u User
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		u, err = userBy(tx, "id", id, "")
		return err
	})
	return u, err
}

// UserByLogin returns the user with a sign-in name, for who may manage users.
func (s *Service) UserByLogin(ctx context.Context, by actor.Actor, login string) (User, error) {
	if !by.May(actor.ManageUsers) {
		return User{}, CanManage(by, User{})
	}
	var u User
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		u, err = userBy(tx, "login", tidyLogin(login), "")
		return err
	})
	return u, err
}

// Lookup returns a user inside another domain's transaction and keeps the
// user from changing before its end. It asks for no permission: the caller
// decides what to tell.
func (s *Service) Lookup(tx *store.Tx, id string) (User, error) {
	return userBy(tx, "id", id, tx.ForShare())
}

// Person is what a user may know of another one.
type Person struct {
	ID, Login, Name string
	Role            actor.Role
}

// People finds active users by a part of their name, for fields in which one
// chooses who gets something. It needs the permission to manage resources.
func (s *Service) People(ctx context.Context, by actor.Actor, text string, limit int) ([]Person, error) {
	if !by.May(actor.ManageResources) {
		return nil, fault.Denied("Your role does not choose among users.")
	}
	var people []Person
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		users, err := listUsers(tx, Filter{Text: text, State: Active, Limit: min(max(limit, 1), 100)})
		people = nil
		for _, u := range users[:min(len(users), max(limit, 1))] {
			people = append(people, Person{u.ID, u.Login, u.Name, u.Role})
		}
		return err
	})
	return people, err
}

// InvitationLetter returns the newest letter of a user's invitation as the
// journal shows it, and false where there is none.
func (s *Service) InvitationLetter(ctx context.Context, by actor.Actor, userID string) (outbox.Row, bool, error) {
	if !by.May(actor.ManageUsers) {
		return outbox.Row{}, false, CanManage(by, User{})
	}
	var row outbox.Row
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		row, err = s.Outbox.LatestFor(tx, userID, letter.KindInvitation)
		return err
	})
	if fault.Is(err, fault.KindNotFound) {
		return outbox.Row{}, false, nil
	}
	return row, err == nil, err
}
