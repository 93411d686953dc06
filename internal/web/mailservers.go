package web

import (
	"strconv"
	"strings"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/servers"
	"github.com/sealpost/sealpost/internal/web/page"
)

// mailServers shows which of the two servers letters leave through.
func (s *Site) mailServers(v *visit) error {
	have, err := s.Servers.Settings(v.ctx(), v.by)
	if err != nil {
		return err
	}
	p, err := s.mailServersPage(v)
	if err != nil {
		return err
	}
	p.Revision, p.Fallback, p.Routes = have.Revision, servers.RuleWord(have.After), strings.Join(have.Routes, "\n")
	p.Ask = v.text("ask")
	return v.render(p)
}

// mailServersPage is the page but for what can be changed on it.
func (s *Site) mailServersPage(v *visit) (*page.MailServers, error) {
	st, err := s.Servers.State(v.ctx())
	if err != nil {
		return nil, err
	}
	p := &page.MailServers{At: mailServersPath, Two: st.Second.Set, Most: servers.MaxRoutes, HasRoutes: st.Routes}
	p.Title, p.Crumbs = "Which server letters leave through", []page.Crumb{
		{Name: "Admin", Path: "/admin"}, {Name: "Settings", Path: "/admin"}, {Name: "Mail Server Settings", Path: mailSettingsPath},
	}
	for _, slot := range mail.Slots() {
		state, _, err := s.mailNow(v, slot)
		if err != nil {
			return nil, err
		}
		if slot == mail.Main || p.Two {
			p.Servers = append(p.Servers, state)
		}
	}
	return p, nil
}

func (s *Site) saveMailServers(v *visit) error {
	after, ok := servers.RuleOf(v.text("fallback"))
	if !ok {
		after = servers.Never - 1 // refused at its field
	}
	_, err := s.Servers.Save(v.ctx(), v.by, servers.Settings{
		After: after, Routes: strings.FieldsFunc(v.values.Get("routes"), func(r rune) bool { return r == '\n' || r == ',' || r == ';' }), Revision: v.number("revision"),
	})
	if err == nil {
		return v.redirect(mailServersPath, "Saved. Letters that wait leave through the server that is theirs now.")
	}
	p, pageErr := s.mailServersPage(v)
	if pageErr != nil {
		return pageErr
	}
	p.Revision, p.Fallback, p.Routes = v.number("revision"), v.text("fallback"), v.values.Get("routes")
	return v.again(p, err)
}

func (s *Site) exchangeMailServers(v *visit) error {
	if err := s.Servers.Exchange(v.ctx(), v.by); err != nil {
		have, pageErr := s.Servers.Settings(v.ctx(), v.by)
		if pageErr != nil {
			return pageErr
		}
		p, pageErr := s.mailServersPage(v)
		if pageErr != nil {
			return pageErr
		}
		p.Revision, p.Fallback, p.Routes = have.Revision, servers.RuleWord(have.After), strings.Join(have.Routes, "\n")
		return v.again(p, err)
	}
	return v.redirect(mailServersPath, "The second mail server is the first now.")
}

// withCover says in a server's state that the other one stands in for it, or
// that it stands in for the other.
func withCover(state *page.MailState, st servers.State, slot mail.Slot) {
	if !st.Second.Set {
		return
	}
	state.Name = strings.ToUpper(slot.Ordinal()[:1]) + slot.Ordinal()[1:] + " server"
	own, other := st.Of(slot), slot.Other().Ordinal()
	switch {
	case own.Covered:
		state.Cover, state.Covered = "Its letters leave through the "+other+" server until it works again.", true
	case !own.CoveredFrom.IsZero():
		state.Cover, state.CoverAt = "The "+other+" server takes its letters over", own.CoveredFrom
	case st.Of(slot.Other()).Covered:
		state.Cover = "It stands in for the " + other + " server, which is paused."
	}
}

// serversBanner says that one server stands in for the other, or that the second
// cannot be used; nil where there is nothing of that sort.
func serversBanner(st servers.State, manages bool) *page.Banner {
	if !st.Second.Set {
		return nil
	}
	b := &page.Banner{Tone: "warn"}
	slot, covered := st.Covered()
	second := st.Second.Profile
	switch {
	case covered:
		b.Text, b.More = "Mail leaves through the "+slot.Other().Ordinal()+" server.", "The "+slot.Ordinal()+" one is paused."
		if p := st.Of(slot).Profile; manages && p.Reason != "" {
			b.More += " " + p.Reason
		}
	case st.Main.Profile.State != mail.Working || !st.Main.Gate.Open || !manages:
		return nil // what is said of the first server is enough
	case second.State == mail.Paused:
		slot = mail.Second
		b.Text, b.More = "The second mail server is paused.", second.Reason
	case second.State == mail.Stopped && st.Routes > 0:
		slot = mail.Second
		b.Text, b.More = "The second mail server is stopped.", domains(st.Routes)+" wait for it."
	default:
		return nil
	}
	if manages {
		b.Path, b.Action = slot.SettingsPath(), "Mend it"
	}
	return b
}

func domains(n int) string {
	if n == 1 {
		return "Letters to 1 domain"
	}
	return "Letters to " + strconv.Itoa(n) + " domains"
}

// banner returns what every page says about mail, nil while it leaves as it
// should.
func (s *Site) banner(v *visit) (*page.Banner, error) {
	st, err := s.Servers.State(v.ctx())
	if err != nil {
		return nil, err
	}
	manages := v.by.May(actor.ManageSettings)
	b := serversBanner(st, manages)
	if b == nil {
		b = mailBanner(st.Main.Profile, st.Main.Set, st.Main.Gate, manages)
	}
	if b != nil && b.Path != "" && (!s.open(v.by, b.Path) || b.Path == v.r.URL.Path) {
		b.Path, b.Action = "", ""
	}
	return b, nil
}

// twoServers reports whether there is a second server.
func (s *Site) twoServers(v *visit) (bool, error) {
	_, set, err := s.Second.Active(v.ctx())
	return set, err
}
