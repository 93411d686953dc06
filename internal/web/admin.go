package web

import (
	"strconv"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/web/page"
)

// adminPlaces are the pages behind Admin, in their groups.
func adminPlaces() []struct {
	title  string
	places []place
} {
	return []struct {
		title  string
		places []place
	}{
		{"Settings", []place{
			{"General", "/admin/settings/general", "building", "The organisation's name and logo, and the Access URL that links start with."},
			{"Mail Server Settings", mailSettingsPath, "mail", "The server that mail leaves through, its certificates, and a test of both."},
			{"Second mail server", mailServersPath, "mail", "A server beside the first: when it stands in, and the domains whose letters leave through it."},
			{"Bounces", bounce.Path, "capture", "Where servers report failures to, and the addresses that mail came back from."},
			{"Mail delivery", mailDeliveryPath, "journal", "How long each kind of letter is tried, and how long the journal remembers."},
			{"DKIM signing", mailSettingsPath + "/dkim", "key", "The key that letters are signed with, and its record in the DNS."},
		}},
		{"Mail", []place{
			{"Mail journal", "/admin/mail/journal", "journal", "What was sent to whom, when, and what the mail server said."},
			{"Mail health", mailHealthPath, "shield", "How fast letters leave through each server, how many attempts they need, and who waits."},
			{"Capture mailbox", "/admin/mail/capture", "capture", "Mail that did not leave this machine, to look at while trying out."},
		}},
	}
}

func (s *Site) admin(v *visit) error {
	p := &page.Admin{Version: s.Version}
	p.Title = "Admin"
	for _, g := range adminPlaces() {
		group := page.AdminGroup{Title: g.title}
		for _, pl := range g.places {
			if s.open(v.by, pl.path) {
				group.Places = append(group.Places, page.AdminPlace{Name: pl.name, Path: pl.path, Icon: pl.icon, About: pl.about})
			}
		}
		if len(group.Places) > 0 {
			p.Groups = append(p.Groups, group)
		}
	}
	return v.render(p)
}

func generalForm(site letter.Site) *page.General {
	p := &page.General{OrganisationName: site.Organisation, AccessURL: site.AccessURL}
	p.Title, p.Crumbs = "General", []page.Crumb{{Name: "Admin", Path: "/admin"}}
	return p
}

// logoPath is where the logo is shown from, empty where there is none.
func logoPath(site letter.Site) string {
	if len(site.Logo) == 0 {
		return ""
	}
	return "/logo?v=" + strconv.FormatInt(site.UpdatedAt.UnixMilli(), 36)
}

func (s *Site) generalPage(v *visit) error { return v.render(generalForm(v.site)) }

func (s *Site) editGeneral(v *visit) error {
	site := v.site
	site.Organisation, site.AccessURL = v.text("organisation"), v.text("access_url")
	if err := s.Users.SaveSite(v.ctx(), v.by, site); err != nil {
		return v.again(generalForm(site), err)
	}
	return v.redirect("/admin/settings/general", "The settings are saved.")
}

func (s *Site) uploadLogo(v *visit) error {
	picture, err := v.upload("logo", letter.MaxLogo)
	if err == nil && len(picture) == 0 {
		err = fault.Invalid("logo", "Choose a picture first.")
	}
	if err != nil {
		return v.again(generalForm(v.site), err)
	}
	site := v.site
	site.Logo = picture
	if err := s.Users.SaveSite(v.ctx(), v.by, site); err != nil {
		return v.again(generalForm(v.site), err)
	}
	return v.redirect("/admin/settings/general", "The logo is saved.")
}

func (s *Site) removeLogo(v *visit) error {
	site := v.site
	site.Logo = nil
	if err := s.Users.SaveSite(v.ctx(), v.by, site); err != nil {
		return v.again(generalForm(v.site), err)
	}
	return v.redirect("/admin/settings/general", "The logo is removed.")
}

// upload returns the content of a file of the form, empty where none was
// chosen. One byte more than most is read, so that whoever checks the size
// sees that it is too large.
func (v *visit) upload(name string, most int64) ([]byte, error) {
	if v.r.MultipartForm == nil || len(v.r.MultipartForm.File[name]) == 0 {
		return nil, nil
	}
	return readFile(v.r.MultipartForm.File[name][0], most)
}

// logo answers with the organisation's logo, which letters carry too.
func (s *Site) logo(v *visit) error {
	if len(v.site.Logo) == 0 {
		return errNothing
	}
	v.w.Header().Set("Content-Type", v.site.LogoType)
	v.w.Header().Set("Cache-Control", "private, max-age=86400")
	_, _ = v.w.Write(v.site.Logo)
	return nil
}
