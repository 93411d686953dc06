package blueprint

import (
	"context"
	"fmt"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
)

// Bounces says where servers report failures to, and how that is read. It is
// taken as a whole.
type Bounces struct {
	// Envelope is "token", "plain" or "sender" (the default).
	Envelope string `yaml:"envelope"`
	// Address is where reports go, but for "sender".
	Address string `yaml:"address"`
	// Ask asks servers for reports; left out, it does.
	Ask *bool `yaml:"ask"`
	// Mailbox is left out where nobody reads it.
	Mailbox *BounceMailbox `yaml:"mailbox"`
}

// BounceMailbox is a mailbox that is read over IMAP.
type BounceMailbox struct {
	Host string `yaml:"host"`
	Port int    `yaml:"port"`
	// Security is "ssl" (TLS from the start; the default) or "tls" (STARTTLS).
	Security       string          `yaml:"security"`
	Authentication *Authentication `yaml:"authentication"`
	// Folder is INBOX where it is left out.
	Folder string `yaml:"folder"`
	// Handled is "leave" (the default), "move" or "delete"; MoveTo names the
	// folder for "move".
	Handled string `yaml:"handled"`
	MoveTo  string `yaml:"move_to"`
	// TrustedCertificates are references to PEM or DER files. Where they are
	// given, none too, exactly these are trusted; left out, they stay.
	TrustedCertificates []Ref `yaml:"trusted_certificates"`
}

const (
	bouncesKey = mailKey + ".bounces"
	mailboxKey = bouncesKey + ".mailbox"
)

func (b *Bounces) check(c *fault.Check) {
	box := b.Mailbox
	if box == nil {
		return
	}
	c.That(box.Security == "" || box.Security == "ssl" || box.Security == "tls", mailboxKey+".security", `Write "ssl" (TLS from the start) or "tls" (STARTTLS). A mailbox is never read in clear.`)
	a := box.Authentication
	if !c.That(a != nil, mailboxKey+".authentication", "Say how the mailbox is signed in to: with user and password, or an account.") {
		return
	}
	typed := a.User != "" || a.Password != ""
	c.That(typed != (a.Account != nil) && a.OAuth == nil, mailboxKey+".authentication", "Give either user and password, or account.")
	c.That(!typed || a.User != "" && a.Password != "", mailboxKey+".authentication", "A user name needs a password, and the reverse.")
}

// references returns what the file points to for bounces.
func (b *Bounces) references() []Ref {
	if b == nil || b.Mailbox == nil {
		return nil
	}
	refs := append([]Ref{}, b.Mailbox.TrustedCertificates...)
	if a := b.Mailbox.Authentication; a != nil {
		refs = append(refs, a.Password)
	}
	return refs
}

// bounces compares where reports go and how they are read.
func (m *maker) bounces(ctx context.Context) error {
	if m.spec.Mail == nil || m.spec.Mail.Bounces == nil {
		return nil
	}
	spec := m.spec.Mail.Bounces
	o, err := m.Bounces.Overview(ctx, m.by)
	if err != nil {
		return err
	}
	c, account, ok, err := m.bounceChange(ctx, spec, o)
	if err != nil || !ok {
		return err
	}
	details, err := m.Bounces.Differences(ctx, m.by, c)
	if err != nil {
		return m.wrong(err, bouncePlace)
	}
	if len(details) == 0 {
		return nil
	}
	var lines []string
	replaced := false
	for _, d := range details {
		switch {
		case d.Name == "password":
			replaced = true
			lines = append(lines, "password: set from "+string(spec.Mailbox.Authentication.Password))
		case d.Value != "":
			lines = append(lines, d.Name+": "+d.Value)
		case d.Name == "account":
			lines = append(lines, change(d.Name, m.accountName(ctx, side{spec: &Mail{Authentication: spec.authentication()}}, d.Before),
				m.accountName(ctx, side{spec: &Mail{Authentication: spec.authentication()}}, d.After))...)
		default:
			lines = append(lines, change(d.Name, asInFile(d.Name, d.Before), asInFile(d.Name, d.After))...)
		}
	}
	if !replaced {
		c.Password = mail.Password{}
	}
	verb := verbChange
	if !o.Set {
		verb = verbCreate
	}
	m.step(verb, "bounces", lines, func(ctx context.Context) ([]string, error) {
		if account != "" {
			c.AccountID = m.plan.accounts[account]
		}
		_, err := m.Bounces.Save(ctx, m.by, c)
		return nil, err
	})
	return nil
}

func (b *Bounces) authentication() *Authentication {
	if b.Mailbox == nil {
		return nil
	}
	return b.Mailbox.Authentication
}

// bounceChange returns the settings that the file describes. ok is false where
// something is wrong with it; account is the key of one that is used.
func (m *maker) bounceChange(ctx context.Context, spec *Bounces, o bounce.Overview) (c bounce.Change, account string, ok bool, err error) {
	c.Settings = bounce.Usual()
	c.Revision = o.Settings.Revision
	c.Envelope, c.Address = bounce.Envelope(or(spec.Envelope, string(bounce.Sender))), spec.Address
	c.Ask = spec.Ask == nil || *spec.Ask
	box := spec.Mailbox
	if box == nil {
		return c, "", true, nil
	}
	c.Reads, c.Host, c.Port = true, box.Host, box.Port
	usual := 993
	if box.Security == "tls" {
		c.Security, usual = smtp.STARTTLS, 143
	}
	if c.Port == 0 {
		c.Port = usual
	}
	c.Folder, c.Handled, c.MoveTo = or(box.Folder, c.Folder), bounce.Handled(or(box.Handled, string(c.Handled))), or(box.MoveTo, c.MoveTo)
	ok = m.bounceCertificates(box, o, &c)
	a := box.Authentication
	if a.Account != nil {
		c.Auth = bounce.AuthAccount
		account, err = m.findAccount(ctx, side{at: mailboxKey}, *a.Account)
		c.AccountID = m.plan.accounts[account]
		return c, account, ok && account != "", err
	}
	password, there := m.secret(mailboxKey+".authentication.password", a.Password)
	c.Auth, c.Username = bounce.AuthTyped, a.User
	c.Password = mail.Password{Action: mail.Replace, Value: password}
	return c, "", ok && there, nil
}

// bounceCertificates fills in what to trust, and what to trust no more.
func (m *maker) bounceCertificates(box *BounceMailbox, o bounce.Overview, c *bounce.Change) (ok bool) {
	ok = true
	stays := map[string]bool{}
	for i, r := range box.TrustedCertificates {
		at := fmt.Sprintf("%s.trusted_certificates[%d]", mailboxKey, i)
		if _, there := m.secret(at, r); !there {
			ok = false
			continue
		}
		certs, err := trust.Parse(m.secrets[r])
		if !m.check.That(err == nil, at, fault.Sentence(err)) {
			ok = false
			continue
		}
		for _, cert := range certs {
			stays[trust.Fingerprint(cert.Raw)] = true
		}
		c.Trust = append(c.Trust, mail.Candidate{DER: m.secrets[r], Mode: trust.ModeAnchor})
	}
	for _, t := range o.Trusted {
		if box.TrustedCertificates != nil && !stays[t.Hex] {
			c.Distrust = append(c.Distrust, t.Hex)
		}
	}
	return ok
}

// bouncePlace is where a field of the settings stands in the file.
func bouncePlace(field string) string {
	switch field {
	case "envelope", "address", "ask":
		return bouncesKey + "." + field
	case "reads":
		return mailboxKey
	case "username":
		return mailboxKey + ".authentication.user"
	case "password", "account":
		return mailboxKey + ".authentication." + field
	case "auth":
		return mailboxKey + ".authentication"
	case "certificate":
		return mailboxKey + ".trusted_certificates"
	}
	return mailboxKey + "." + field
}
