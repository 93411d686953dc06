package web

import (
	"encoding/base64"
	"regexp"
	"strings"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/capture"
	"github.com/sealpost/sealpost/internal/web/page"
)

const capturePath = "/admin/mail/capture"

func (s *Site) capturedList(v *visit) (*page.CaptureList, error) {
	if s.Capture == nil {
		return nil, errNothing
	}
	found, err := s.Capture.List(v.ctx(), v.by, capture.Filter{Text: v.text("q"), Cursor: v.text("after")})
	if err != nil {
		return nil, err
	}
	p := &page.CaptureList{
		Text: v.text("q"), Address: s.Capture.Addr(), Pager: v.pagerOf(capturePath, "after", found.Next),
		Live: capturePath + "/rows?" + v.r.URL.RawQuery,
	}
	p.Title, p.Crumbs = "Capture mailbox", []page.Crumb{{Name: "Admin", Path: "/admin"}}
	for _, m := range found.Mails {
		p.Mails = append(p.Mails, capturedRow(m))
	}
	return p, nil
}

func capturedRow(m capture.Mail) page.CapturedMail {
	return page.CapturedMail{ID: m.ID, From: m.From, To: strings.Join(m.To, ", "), Subject: m.Subject, At: m.At, Size: m.Size}
}

func (s *Site) captured(v *visit) error {
	p, err := s.capturedList(v)
	if err != nil {
		return err
	}
	st, err := s.Servers.State(v.ctx())
	if err != nil {
		return err
	}
	for _, slot := range mail.Slots() {
		side := st.Of(slot)
		p.Active = p.Active || side.Set && side.Profile.Kind == mail.KindCapture && p.Address != ""
	}
	p.Ask = v.text("ask")
	return v.render(p)
}

// capturedPart answers with the list alone.
func (s *Site) capturedPart(v *visit) error {
	p, err := s.capturedList(v)
	if err != nil {
		return err
	}
	return v.part(p, "caught", p)
}

// maxShown bounds how much of a letter's source a page shows.
const maxShown = 256 << 10

func (s *Site) capturedMail(v *visit) error {
	if s.Capture == nil {
		return errNothing
	}
	m, attached, err := s.Capture.Envelope(v.ctx(), v.by, v.id("id"))
	if err != nil {
		return err
	}
	p := &page.CaptureMail{Mail: capturedRow(m), View: viewOf(v.text("view"), m.HasHTML), HasHTML: m.HasHTML, Ask: v.text("ask")}
	p.Title, p.Crumbs = m.Subject, []page.Crumb{{Name: "Admin", Path: "/admin"}, {Name: "Capture mailbox", Path: capturePath}}
	if p.Title == "" {
		p.Title = "(no subject)"
	}
	for _, a := range attached {
		p.Attachments = append(p.Attachments, page.CapturedPart(a))
	}
	// The letter as HTML is opened by the frame that shows it.
	if p.View != "html" {
		_, c, err := s.Capture.Get(v.ctx(), v.by, m.ID)
		if err != nil {
			return err
		}
		p.Text, p.Headers, p.Cut = c.Text, c.Headers, len(c.Source) > maxShown
		p.Source = strings.ToValidUTF8(string(c.Source[:min(len(c.Source), maxShown)]), "\ufffd")
	}
	h := v.w.Header()
	h.Set("Content-Security-Policy", h.Get("Content-Security-Policy")+"; frame-src 'self'")
	return v.render(p)
}

func viewOf(asked string, hasHTML bool) string {
	switch asked {
	case "text", "headers", "source":
		return asked
	}
	if hasHTML {
		return "html"
	}
	return "text"
}

// framePolicy lets a letter's HTML show its own styles and the pictures that
// came with it, and do nothing else: no scripts, no forms, nothing from the
// network, an origin of its own. Links open in a new window, which is free.
const framePolicy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'; " +
	"sandbox allow-popups allow-popups-to-escape-sandbox"

func (s *Site) capturedHTML(v *visit) error {
	if s.Capture == nil {
		return errNothing
	}
	_, c, err := s.Capture.Get(v.ctx(), v.by, v.id("id"))
	if err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Security-Policy", framePolicy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = v.w.Write([]byte(framed(c)))
	return nil
}

// maxFramed bounds a letter's HTML with its pictures in it, in bytes.
const maxFramed = 16 << 20

var headTag = regexp.MustCompile(`(?i)<head(\s[^>]*)?>`)

// framed is a letter's HTML as the frame shows it: links lead into a new
// window, and pictures that came with the letter stand in it.
func framed(c capture.Content) string {
	const target = `<base target="_blank">`
	html := c.HTML
	if at := headTag.FindStringIndex(html); at != nil {
		html = html[:at[1]] + target + html[at[1]:]
	} else {
		html = target + html
	}
	var pictures []string
	size := len(html)
	for id, part := range c.Inline {
		switch part.Type {
		case "image/png", "image/jpeg", "image/gif", "image/webp":
			picture := "data:" + part.Type + ";base64," + base64.StdEncoding.EncodeToString(part.Data)
			pictures = append(pictures, "cid:"+id, picture)
			size += strings.Count(html, "cid:"+id) * len(picture)
		}
	}
	if size > maxFramed {
		return html // a few references more, and the machine has no memory left
	}
	return strings.NewReplacer(pictures...).Replace(html)
}

func (s *Site) downloadCaptured(v *visit) error {
	if s.Capture == nil {
		return errNothing
	}
	source, err := s.Capture.Source(v.ctx(), v.by, v.id("id"))
	if err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "message/rfc822")
	h.Set("Content-Disposition", `attachment; filename="sealpost-letter.eml"`)
	_, _ = v.w.Write(source)
	return nil
}

func (s *Site) deleteCaptured(v *visit) error {
	if s.Capture == nil {
		return errNothing
	}
	if err := s.Capture.Delete(v.ctx(), v.by, v.id("id")); err != nil {
		return err
	}
	return v.redirect(capturePath, "The letter is deleted.")
}

func (s *Site) emptyCapture(v *visit) error {
	if s.Capture == nil {
		return errNothing
	}
	if _, err := s.Capture.Clear(v.ctx(), v.by); err != nil {
		return err
	}
	return v.redirect(capturePath, "The capture mailbox is empty.")
}
