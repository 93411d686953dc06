package web

import (
	"fmt"
	"io"
	"mime/multipart"
	"strings"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/server"
	"github.com/sealpost/sealpost/internal/web/checkup"
	"github.com/sealpost/sealpost/internal/web/page"
)

// mailTrust are the certificates that are trusted for the mail server.
func (s *Site) mailTrust(v *visit, health mail.Health) (page.MailTrust, error) {
	all, err := v.mail().TrustList(v.ctx(), v.by)
	if err != nil {
		return page.MailTrust{}, err
	}
	p := health.Profile
	t := page.MailTrust{
		Can:      health.Set && p.Kind != mail.KindCapture && p.OAuth.Via != mail.ViaGraph,
		Graph:    health.Set && p.OAuth.Via == mail.ViaGraph,
		NeedsOwn: identity.RequireProof(v.by, s.Now()) != nil,
	}
	switch {
	case !health.Set:
	case p.Auth == mail.AuthTyped:
		t.Secret = "Password of " + p.Username + " at " + p.Server()
	case p.Auth == mail.AuthOAuth && p.OAuth.HasCredential():
		name := p.OAuth.SecretName()
		t.Secret = strings.ToUpper(name[:1]) + name[1:]
		t.SecretLines = p.OAuth.SecretField() == "client_key"
	case p.WantsSignIn():
		t.SignsInAgain = true
	}
	for _, c := range all {
		card := checkup.Certificate(c.Card, s.Now())
		card.Mode, card.Hex, card.AddedBy, card.AddedAt = string(c.Mode), c.Hex, c.AddedBy, c.AddedAt
		if card.Pinned() {
			card.Ends, card.EndsTone = "", "" // a pin does not look at dates
		}
		t.Certificates = append(t.Certificates, card)
	}
	return t, nil
}

func (s *Site) addCertificates(v *visit) error {
	files, err := v.files("certificate", trust.MaxImport)
	if err == nil {
		err = s.takeOwnPassword(v)
	}
	var done mail.TrustChange
	if err == nil {
		done, err = v.mail().TrustImport(v.ctx(), v.by, files, trust.Mode(v.text("mode")), v.trustSecret())
	}
	if err != nil {
		return s.trustRefused(v, err, "Type your own password and choose the files again: whoever is trusted here can read the links in mails.")
	}
	return v.redirect(v.mail().path+"#certificates", trustNotice(done, "added"))
}

func (s *Site) removeCertificate(v *visit) error {
	err := s.takeOwnPassword(v)
	var done mail.TrustChange
	if err == nil {
		done, err = v.mail().TrustRemove(v.ctx(), v.by, v.text("fingerprint"), v.trustSecret())
	}
	if err != nil {
		return s.trustRefused(v, err, "Type your own password too: without the certificate mail may not leave.")
	}
	return v.redirect(v.mail().path+"#certificates", trustNotice(done, "removed"))
}

// trustSecret is what is bound to the trusted certificates, a text of several
// lines or one.
func (v *visit) trustSecret() secret.Value {
	if lines := v.secret("key"); !lines.IsZero() {
		return pasted(lines)
	}
	return v.secret("password")
}

func trustNotice(done mail.TrustChange, what string) string {
	n := len(done.Changed)
	text := fmt.Sprintf("%d certificates are %s.", n, what)
	switch n {
	case 0:
		text = "These certificates were trusted already."
	case 1:
		text = "The certificate of " + done.Changed[0].Subject + " is " + what + "."
	}
	if done.Paused != "" {
		text += " Mail is paused. " + done.Paused
	}
	return text
}

// trustRefused shows the page with why a change of the certificates was not
// made, where they are. Unproved is what to say to who must prove who they are.
func (s *Site) trustRefused(v *visit, err error, unproved string) error {
	if fault.CodeOf(err) == fault.CodeReauthenticate {
		err = fault.Invalid(fieldOwnPassword, unproved)
	}
	if !shownInPlace(err) || v.isScript() {
		return err
	}
	p, pageErr := s.mailPage(v)
	if pageErr != nil {
		return pageErr
	}
	p.Trust.Alert, p.Trust.Mode = fault.Sentence(err), v.text("mode")
	return v.renderAs(server.StatusOf(err), p)
}

// maxFiles bounds the files of one form.
const maxFiles = 20

// files returns the contents of all files of a field, each up to one byte more
// than most, so that whoever checks the size sees that it is too large.
func (v *visit) files(name string, most int64) ([][]byte, error) {
	if v.r.MultipartForm == nil {
		return nil, nil
	}
	heads := v.r.MultipartForm.File[name]
	if len(heads) > maxFiles {
		return nil, fault.Invalid(name, "These are more than 20 files. Choose those of your own authority.")
	}
	var all [][]byte
	for _, head := range heads {
		b, err := readFile(head, most)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

func readFile(head *multipart.FileHeader, most int64) ([]byte, error) {
	f, err := head.Open()
	if err != nil {
		return nil, fault.Internal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fault.Internal(err)
	}
	return b, nil
}
