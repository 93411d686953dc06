// Package actor says who acts: a user in a session, the operator at the
// machine's shell, or the system itself; from where, through which door, and
// with which role. Every exported operation of a domain takes an Actor and
// decides by it. The package decides nothing by itself beyond the one table
// of what each role may do.
package actor

import (
	"net/netip"
	"time"
)

// Kind tells the sorts of actors apart.
type Kind string

// The kinds of actors. The zero Kind is nobody: a visitor before sign-in.
const (
	KindNobody   Kind = ""
	KindUser     Kind = "user"
	KindOperator Kind = "operator"
	KindSystem   Kind = "system"
)

// Role is what a user is, in the words of Password Manager Pro.
type Role string

// The roles, from the one that may do most to the one that may do least.
const (
	PrivilegedAdministrator Role = "privileged_administrator"
	Administrator           Role = "administrator"
	PasswordAdministrator   Role = "password_administrator"
	PasswordAuditor         Role = "password_auditor"
	PasswordUser            Role = "password_user"
)

// Roles returns all roles in the order in which forms offer them.
func Roles() []Role {
	return []Role{PrivilegedAdministrator, Administrator, PasswordAdministrator, PasswordAuditor, PasswordUser}
}

// Title returns the role as a person reads it, for example "Password Auditor".
func (r Role) Title() string {
	switch r {
	case PrivilegedAdministrator:
		return "Privileged Administrator"
	case Administrator:
		return "Administrator"
	case PasswordAdministrator:
		return "Password Administrator"
	case PasswordAuditor:
		return "Password Auditor"
	case PasswordUser:
		return "Password User"
	default:
		return "No role"
	}
}

// Valid reports whether r is one of the roles.
func (r Role) Valid() bool { return r.Title() != "No role" }

// Permission is one thing that a role may or may not do at all. What it may
// do it to is decided by the domain on the object itself.
type Permission string

// The permissions.
const (
	// ManageUsers: add, edit, disable and delete users.
	ManageUsers Permission = "manage_users"
	// ManagePrivilegedUsers: do so with Privileged Administrators, and give
	// that role.
	ManagePrivilegedUsers Permission = "manage_privileged_users"
	// ManageResources: add resources and accounts, and manage those owned.
	ManageResources Permission = "manage_resources"
	// ReadAudit: read the audit trail of everybody. Without it a user reads
	// what they did themselves.
	ReadAudit Permission = "read_audit"
	// ManageSettings: mail server, trusted certificates, branding, Access URL.
	ManageSettings Permission = "manage_settings"
	// ReadMailJournal: see what was sent to whom.
	ReadMailJournal Permission = "read_mail_journal"
)

var granted = map[Role]map[Permission]bool{
	PrivilegedAdministrator: {
		ManageUsers: true, ManagePrivilegedUsers: true, ManageResources: true,
		ReadAudit: true, ManageSettings: true, ReadMailJournal: true,
	},
	Administrator: {
		ManageUsers: true, ManageResources: true,
		ReadAudit: true, ManageSettings: true, ReadMailJournal: true,
	},
	PasswordAdministrator: {ManageResources: true},
	PasswordAuditor:       {ReadAudit: true},
	PasswordUser:          {},
}

// Actor is who acts. It is a plain value: copy it freely.
type Actor struct {
	// Kind tells whether the other fields mean a user.
	Kind Kind
	// UserID is the user's id; empty unless Kind is KindUser.
	UserID string
	// Login is the user's sign-in name, or a short name such as "system" or
	// "operator:root" for the other kinds. The audit log shows it.
	Login string
	// Name is the user's display name.
	Name string
	// Role is the user's role; empty unless Kind is KindUser.
	Role Role
	// SessionID is the session through which a user acts; empty elsewhere.
	SessionID string
	// Proved is when the user last proved who they are in this session.
	// Dangerous acts ask for a recent proof.
	Proved time.Time
	// From is the address the request came from; the zero Addr is unknown.
	From netip.Addr
	// Door is the way in: "web", "api", "cli", "apply", "setup", or "" for
	// the system.
	Door string
	// Agent is the client's User-Agent, cut to 200 bytes.
	Agent string
	// RequestID ties the act to the log lines of its request.
	RequestID string
}

// May reports whether the actor holds permission p. The system and the
// operator hold every permission: whoever runs the server could read it all
// anyway. Nobody holds none.
func (a Actor) May(p Permission) bool {
	switch a.Kind {
	case KindSystem, KindOperator:
		return true
	case KindUser:
		return granted[a.Role][p]
	default:
		return false
	}
}

// Is reports whether the actor is the user with this id. An empty id is
// nobody.
func (a Actor) Is(userID string) bool {
	return userID != "" && a.Kind == KindUser && a.UserID == userID
}

// System returns the actor for work that the program does by itself; part
// names what does it, for example "delivery".
func System(part string) Actor { return Actor{Kind: KindSystem, Login: "system", Name: part} }

// Operator returns the actor for a command typed at the machine's shell by
// the operating-system user login.
func Operator(login, door string) Actor {
	return Actor{Kind: KindOperator, Login: "operator:" + login, Name: "Operator " + login, Door: door}
}
