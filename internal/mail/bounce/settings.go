package bounce

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/imap"
	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/mail/profile"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// Envelope is who letters come from as far as servers are concerned.
type Envelope string

// The envelopes.
const (
	// Token: bounces+TOKEN@domain, an address for each letter.
	Token Envelope = "token"
	// Plain: the bounce address itself.
	Plain Envelope = "plain"
	// Sender: the sender of the letter, as without any setting here.
	Sender Envelope = "sender"
)

// Handled is what happens to messages that were about letters of ours.
type Handled string

// What happens to them.
const (
	Leave  Handled = "leave"
	Move   Handled = "move"
	Delete Handled = "delete"
)

// The ways to sign in.
const (
	AuthTyped   = mail.AuthTyped
	AuthAccount = mail.AuthAccount
)

// Settings say where reports go and how they are read. They hold no secret.
type Settings struct {
	Envelope Envelope
	// Address is where reports go, for Token and Plain.
	Address string
	// Ask tells that servers are asked for reports (RFC 3461).
	Ask bool

	// Reads tells that the mailbox is read; what follows is for that.
	Reads    bool
	Host     string
	Port     int
	Security smtp.Security
	Auth     mail.AuthKind
	// Username is set for AuthTyped, AccountID for AuthAccount.
	Username, AccountID string
	Folder              string
	Handled             Handled
	// MoveTo is the folder for Move.
	MoveTo string

	Revision  int64
	ChangedAt time.Time
	ChangedBy string
	// PasswordSetAt is when the stored password was typed.
	PasswordSetAt time.Time
}

// Server returns "host:port".
func (s Settings) Server() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// Usual are the settings before anybody set any.
func Usual() Settings {
	return Settings{Envelope: Sender, Ask: true, Port: 993, Security: smtp.Implicit, Auth: AuthTyped, Folder: "INBOX", Handled: Leave, MoveTo: "Handled"}
}

// Change is what somebody wants the settings to be.
type Change struct {
	Settings
	// Password is what to do with the stored one, for AuthTyped.
	Password mail.Password
	// Trust are certificates to trust beside those that are already; Distrust are
	// fingerprints of those to trust no more.
	Trust    []mail.Candidate
	Distrust []string
}

// draft is a change that was checked.
type draft struct {
	Settings
	id      string
	anchors []trust.Anchor
	// bound is the password, or the account's id.
	bound secret.Value
	// resealed tells that bound must be sealed anew, consent that somebody who
	// may use the account must be asking.
	resealed, consent bool
}

// place is where the secret is sealed: bound to everything that says where and
// how it may be used.
func (d draft) place() keyring.Place {
	fields := []string{
		"bounces 1", d.id, "imap", d.Host, strconv.Itoa(d.Port), string(d.Security), trust.SetDigest(d.anchors), string(d.Auth), d.Username, d.AccountID,
	}
	for i := range fields {
		fields[i] = strconv.Quote(fields[i])
	}
	return keyring.Place{Table: "bounce_setting", Row: d.id, Column: "sealed", Bind: strings.Join(fields, " ")}
}

// MaxTokenLocal is how long the part of the address before the "@" may be where a
// token is added: 64 octets are the limit of RFC 5321 4.5.3.1.
const MaxTokenLocal = 64 - 1 - maxToken

// apply returns the settings as c wants them and notes in check what is wrong.
func (c Change) apply(deny []netip.Prefix, check *fault.Check) Settings {
	n := c.Settings
	switch n.Envelope {
	case Token, Plain:
		a, err := message.ParseAddress(n.Address)
		switch {
		case err != nil:
			check.That(false, "address", fault.Sentence(err))
		case check.That(a.Name == "", "address", "Type the address alone."):
			n.Address = a.Spec()
			check.That(n.Envelope != Token || len(a.Local) <= MaxTokenLocal && !strings.Contains(a.Local, "+"), "address",
				"The part before the @ may have "+strconv.Itoa(MaxTokenLocal)+" characters and no +, since a token follows it.")
		}
	case Sender:
		n.Address = ""
	default:
		check.That(false, "envelope", "Choose where reports go.")
	}
	if !n.Reads {
		usual := Usual()
		n.Host, n.Port, n.Security, n.Auth, n.Username, n.AccountID = "", usual.Port, usual.Security, usual.Auth, "", ""
		n.Folder, n.Handled, n.MoveTo = usual.Folder, usual.Handled, usual.MoveTo
		return n
	}
	n.Host = host(n.Host, deny, check)
	check.That(n.Port >= 1 && n.Port <= 65535, "port", "The port is a number from 1 to 65535; 993 and 143 are usual.")
	check.That(n.Security == smtp.Implicit || n.Security == smtp.STARTTLS, "security", "Choose SSL or TLS: a mailbox is never read in clear.")
	n.Username, n.AccountID = strings.TrimSpace(n.Username), strings.TrimSpace(n.AccountID)
	switch n.Auth {
	case AuthTyped:
		n.AccountID = ""
		check.That(n.Username != "" && len(n.Username) <= 320 && !strings.ContainsAny(n.Username, "\x00\r\n"), "username", "Type the user name.")
	case AuthAccount:
		n.Username = ""
		check.That(n.AccountID != "", "account", "Choose an account.")
	default:
		check.That(false, "auth", "Choose how to sign in.")
	}
	n.Folder, n.MoveTo = strings.TrimSpace(n.Folder), strings.TrimSpace(n.MoveTo)
	check.That(imap.CheckFolder(n.Folder), "folder", "Type the folder's name; INBOX is usual.")
	switch n.Handled {
	case Move:
		check.That(imap.CheckFolder(n.MoveTo) && n.MoveTo != n.Folder, "move_to", "Type the name of another folder.")
	case Leave, Delete:
	default:
		check.That(false, "handled", "Choose what happens to messages that were read.")
	}
	return n
}

func host(text string, deny []netip.Prefix, check *fault.Check) string {
	h := strings.ToLower(strings.TrimSuffix(strings.TrimSpace(text), "."))
	if !check.That(h != "", "host", "Type the mailbox's server, for example imap.example.org.") {
		return h
	}
	if a, err := netip.ParseAddr(strings.Trim(h, "[]")); err == nil {
		check.That(a.Zone() == "" && !profile.Denied(deny, a), "host", "Mail servers on this address are not allowed here. Use the server's name, or ask who runs Sealpost.")
		return a.Unmap().String()
	}
	ascii, err := message.DomainToASCII(h)
	if !check.That(err == nil, "host", "This is not a host name. Leave out \"imap://\", the port and spaces.") {
		return h
	}
	return ascii
}

var errStale = fault.Conflict("The settings were changed by somebody else meanwhile. Reload the page and look again.")

// settle checks c against what is stored. Faults of fields come at once; those of
// the password, which need the rest to be right, come after.
func (s *Service) settle(tx *store.Tx, by actor.Actor, c Change, was stored) (draft, error) {
	if c.Revision != 0 && c.Revision != was.Revision {
		return draft{}, errStale
	}
	var check fault.Check
	d := draft{Settings: c.apply(s.deny, &check), id: was.id}
	d.Revision, d.ChangedAt, d.ChangedBy, d.PasswordSetAt = was.Revision, was.ChangedAt, was.ChangedBy, was.PasswordSetAt
	have, err := selectAnchors(tx)
	if err != nil {
		return d, err
	}
	if d.Reads {
		d.anchors, err = profile.Change{Trust: c.Trust, Distrust: c.Distrust}.Anchors(have, by.Login, tx.Now())
		check.Add("certificate", err)
	}
	if err := check.Err(); err != nil {
		return d, err
	}
	return d, s.settleSecret(tx, c, was, &d)
}

// settleSecret finds the password, or learns whether an account needs consent.
func (s *Service) settleSecret(tx *store.Tx, c Change, was stored, d *draft) error {
	if !d.Reads {
		d.PasswordSetAt = time.Time{}
		return nil
	}
	opened, err := s.opens(tx, *d, was.sealed)
	if err != nil {
		return err
	}
	if d.Auth == AuthAccount {
		d.PasswordSetAt = time.Time{}
		d.bound = secret.New(d.AccountID)
		d.consent = !opened.Equal(d.bound)
		d.resealed = d.consent
		return nil
	}
	required := func(sentence string) error {
		return fault.Invalid("password", sentence).WithCode(fault.CodeSecretRequired)
	}
	switch c.Password.Action {
	case mail.Replace:
		if err := profile.CheckPassword(c.Password.Value); err != nil {
			return err
		}
		d.bound, d.resealed, d.PasswordSetAt = c.Password.Value, true, tx.Now()
	case mail.Keep:
		if was.Auth != AuthTyped || len(was.sealed) == 0 {
			return required("Type the password.")
		}
		if opened.IsZero() {
			return required("The stored password is kept for the server, the certificates and the user name that it was typed for. Type it again for the changed ones.")
		}
		d.bound = opened
	default:
		return fault.Invalid("password", "Say whether to keep or replace the password.")
	}
	return nil
}

// opens returns what is sealed for exactly this place, and the empty value where
// it is sealed for another one.
func (s *Service) opens(tx *store.Tx, d draft, sealed []byte) (secret.Value, error) {
	if d.id == "" || len(sealed) == 0 {
		return secret.Value{}, nil
	}
	v, err := s.keys.Open(tx, d.place(), sealed)
	if errors.Is(err, keyring.ErrSealed) {
		return secret.Value{}, nil
	}
	return v, err
}

// preview settles c and asks for the consent that it needs.
func (s *Service) preview(ctx context.Context, by actor.Actor, c Change) (d draft, err error) {
	if err := manage(by); err != nil {
		return d, err
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		was, _, err := selectSettings(tx, "")
		if err == nil {
			d, err = s.settle(tx, by, c, was)
		}
		return err
	})
	if err == nil && d.consent {
		err = mail.MayUse(ctx, s.secrets, by, d.AccountID)
	}
	return d, err
}

// Save makes the settings what c says, for who proved a moment ago who they are
// where reports go elsewhere or are read elsewhere. Faults of kind invalid name
// the fields; the code fault.CodeSecretRequired stands against "password" where
// the stored one is bound to another place.
func (s *Service) Save(ctx context.Context, by actor.Actor, c Change) (Settings, error) {
	seen, err := s.preview(ctx, by, c)
	if err != nil {
		return Settings{}, err
	}
	var saved Settings
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		was, _, err := selectSettings(tx, tx.ForUpdate())
		if err != nil {
			return err
		}
		d, err := s.settle(tx, by, c, was)
		if err != nil {
			return err
		}
		if d.consent && !seen.consent {
			return errStale
		}
		saved, err = s.store(tx, by, d, was)
		return err
	})
	if err == nil {
		s.forgetEnvelope()
		s.wake()
	}
	return saved, err
}

// store writes a settled draft with its audit entry.
func (s *Service) store(tx *store.Tx, by actor.Actor, d draft, was stored) (Settings, error) {
	before, err := selectAnchors(tx)
	if err != nil {
		return Settings{}, err
	}
	if d.Reads && d.Auth == AuthAccount && s.secrets != nil {
		if _, err := s.secrets.HoldAccount(tx, d.AccountID); fault.Is(err, fault.KindNotFound) {
			return Settings{}, fault.Invalid("account", "This account is gone. Choose another one.").Because(err)
		} else if err != nil {
			return Settings{}, err
		}
	}
	moved := was.Envelope != d.Envelope || was.Address != d.Address ||
		d.Reads && (was.Host != d.Host || was.Port != d.Port || was.Security != d.Security || trust.SetDigest(before) != trust.SetDigest(d.anchors))
	if moved {
		if err := s.prove(by); err != nil {
			return Settings{}, err
		}
	}
	next := was
	next.Settings = d.Settings
	if next.id == "" {
		next.id = store.NewID()
		d.id = next.id
	}
	switch {
	case !d.Reads:
		next.sealed = nil
	case d.resealed:
		if next.sealed, err = s.keys.Seal(tx, keyring.PurposeMail, d.place(), d.bound); err != nil {
			return Settings{}, err
		}
	}
	if was.Host != d.Host || was.Username != d.Username || was.AccountID != d.AccountID || was.Folder != d.Folder {
		next.validity, next.cursor = 0, 0
		if err := forgetHandled(tx); err != nil {
			return Settings{}, err
		}
	}
	next.Revision, next.ChangedAt, next.ChangedBy = was.Revision+1, tx.Now(), by.Login
	next.status = Status{State: StateNew, Since: tx.Now(), ReadAt: was.status.ReadAt}
	next.lease, next.leaseUntil = "", time.Time{} // whoever reads by the old ones stops
	if err := errors.Join(upsertSettings(tx, next), replaceAnchors(tx, d.anchors)); err != nil {
		return Settings{}, err
	}
	return next.Settings, s.audit.Append(tx, by, audit.Event{
		Action: "mail.bounces_saved", Kind: "bounces", ID: next.id, Name: d.name(),
		Detail: differences(was.Settings, d, before, s.accountNames(tx)),
	})
}

// name is what the settings are called in the audit log.
func (s Settings) name() string {
	switch {
	case s.Reads:
		return s.Server()
	case s.Address != "":
		return s.Address
	}
	return "bounces"
}

// accountNames names accounts as a person knows them.
func (s *Service) accountNames(tx *store.Tx) func(id string) string {
	return func(id string) string {
		if id == "" || s.secrets == nil {
			return id
		}
		name, err := s.secrets.HoldAccount(tx, id)
		if err != nil {
			return "one that is gone"
		}
		return name
	}
}

// differences tells in words what changed.
func differences(b Settings, d draft, before []trust.Anchor, account func(string) string) []audit.Detail {
	var out []audit.Detail
	note := func(name, was, is string) {
		if was != is {
			out = append(out, audit.Detail{Name: name, Before: was, After: is})
		}
	}
	yes := func(on bool) string {
		if on {
			return "yes"
		}
		return "no"
	}
	note("envelope sender", string(b.Envelope), string(d.Envelope))
	note("bounce address", b.Address, d.Address)
	note("reports asked for", yes(b.Ask), yes(d.Ask))
	note("mailbox read", yes(b.Reads), yes(d.Reads))
	if !b.Reads && !d.Reads {
		return out
	}
	note("server name", b.Host, d.Host)
	note("port", strconv.Itoa(b.Port), strconv.Itoa(d.Port))
	note("secure connection", string(b.Security), string(d.Security))
	note("sign-in", string(b.Auth), string(d.Auth))
	note("user name", b.Username, d.Username)
	if b.AccountID != d.AccountID {
		note("account", account(b.AccountID), account(d.AccountID))
	}
	note("folder", b.Folder, d.Folder)
	note("handled messages", string(b.Handled), string(d.Handled))
	note("moved to", b.MoveTo, d.MoveTo)
	note("trusted certificates", profile.Fingerprints(before), profile.Fingerprints(d.anchors))
	if d.resealed && d.Auth == AuthTyped {
		out = append(out, audit.Detail{Name: "password", Value: "replaced"})
	}
	return out
}
