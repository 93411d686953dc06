package page

import (
	"fmt"
	"time"

	"github.com/sealpost/sealpost/internal/vault"
)

// VersionRow is one of the passwords that an account has had.
type VersionRow struct {
	Version         int64
	At              time.Time
	By, Reason, How string
	Current         bool
}

// Use is where an account is used.
type Use struct{ Label, Path string }

// Account shows one account with the history of its password.
type Account struct {
	Base
	AccountRow
	ResourceID, ResourceName string
	CreatedAt, ChangedAt     time.Time
	History                  []VersionRow
	Uses                     []Use
}

// Template is "account".
func (*Account) Template() string { return "account" }

// Before is the account with an earlier password of it.
func (p *Account) Before(version int64) AccountRow {
	row := p.AccountRow
	row.Name, row.Version = fmt.Sprintf("%s, no. %d", p.AccountRow.Name, version), version
	return row
}

// AccountForm adds or edits an account. A new one may get its password at
// once.
type AccountForm struct {
	Base
	// ID is as in ResourceForm.
	ID                      string
	New                     bool
	Revision                int64
	ResourceID              string
	Name, NotesText, Reason string
	Password                string
	Generator               Generator
}

// Template is "account_form".
func (*AccountForm) Template() string { return "account_form" }

// PasswordField is the field of the new password.
func (p *AccountForm) PasswordField() Field {
	return vaultPassword("Password", p.Password, p.Errors, false)
}

// SetPassword gives an account a new password.
type SetPassword struct {
	Base
	ID, Name, ResourceName string
	// Version is the number of the password that was there.
	Version   int64
	Password  string
	Reason    string
	Generator Generator
	Uses      []Use
}

// Template is "set_password".
func (*SetPassword) Template() string { return "set_password" }

// PasswordField is the field of the new password.
func (p *SetPassword) PasswordField() Field {
	return vaultPassword("New password", p.Password, p.Errors, true)
}

// vaultPassword is a field in which a password is typed or generated. One that
// was generated shows, since nobody has seen it yet.
func vaultPassword(label, value string, errs *Errors, required bool) Field {
	f := Field{Label: label, Value: value, Error: errs.For("password"), Type: "password", Required: required, Optional: !required, Name: "password"}
	if value != "" {
		f.Type = "text"
	}
	return f
}

// Generator is the recipe of a generated password with the marks of its form.
type Generator struct {
	vault.Recipe
	Errors *Errors
	// Open shows the recipe at once.
	Open bool
	// Bits is the strength of what was generated; 0 before.
	Bits int
}

// Kinds are the sorts of passwords.
func (Generator) Kinds() []Option {
	return []Option{{Value: vault.Characters, Label: "Characters"}, {Value: vault.Words, Label: "Words", Help: "easy to type"}}
}

// BitsMeaning says what the strength means.
func (g Generator) BitsMeaning() string { return StrengthWords(g.Bits) }

// StrengthWords says what a generated password's strength in bits means.
func StrengthWords(bits int) string {
	switch {
	case bits < 50:
		return "weak, make it longer"
	case bits < 70:
		return "fair"
	case bits < 100:
		return "strong"
	}
	return "very strong"
}

// Reveal shows a password, or asks for the reason first.
type Reveal struct {
	Base
	ID, Name, ResourceName string
	Version                int64
	// Old tells that it is not the current one.
	Old              bool
	Reason           string
	AskReason, Shown bool
	Password         string
}

// Template is "reveal".
func (*Reveal) Template() string { return "reveal" }

// Restore asks whether an old password shall be the current one.
type Restore struct {
	Base
	ID, Name, ResourceName string
	Version                int64
	At                     time.Time
	By, Reason             string
	Uses                   []Use
}

// Template is "restore".
func (*Restore) Template() string { return "restore" }

// AccountDelete asks whether an account shall go.
type AccountDelete struct {
	Base
	ID, Name, ResourceID, ResourceName string
	Versions                           int
	Uses                               []Use
}

// Template is "account_delete".
func (*AccountDelete) Template() string { return "account_delete" }

// NoHistory says that there was no password yet.
func (*Account) NoHistory() Empty {
	return Empty{Title: "No password yet", Text: "Every password that the account gets is listed here: who set it, when and why."}
}
