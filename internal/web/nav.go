package web

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/web/page"
)

// place is an entry of the navigation or of the Admin page. It shows once its
// route exists, to who may go there.
type place struct{ name, path, icon, about string }

// places are the top-level ones, in order.
func places() []place {
	return []place{
		{"Home", "/", "home", ""},
		{"Resources", "/resources", "resources", ""},
		{"Users", "/users", "users", ""},
		{"Audit", "/audit", "audit", ""},
		{"Admin", "/admin", "admin", ""},
	}
}

// open reports whether there is a page at the path that by may look at.
func (s *Site) open(by actor.Actor, path string) bool {
	for _, rt := range s.routes {
		if rt.method() == "GET" && strings.TrimSuffix(rt.path(), "{$}") == path {
			p := rt.access.permission
			return p == "" || by.May(p)
		}
	}
	return false
}

// frame fills in what all pages have.
func (s *Site) frame(v *visit, b *page.Base) error {
	b.Organisation, b.Logo, b.Theme, b.Here = v.site.Title(), logoPath(v.site), v.theme(), v.here()
	if b.Notice == "" {
		b.Notice = v.takeNotice()
	}
	if v.by.Kind != actor.KindUser {
		b.Bare = true
		return nil
	}
	if b.Bare {
		return nil
	}
	b.Me = &page.Me{Name: v.by.Name, Login: v.by.Login, Role: v.by.Role.Title(), Initials: initials(v.by.Name)}
	at := v.r.URL.Path
	if v.route.back != "" {
		at = v.route.back
	}
	for _, p := range places() {
		if s.open(v.by, p.path) {
			b.Nav = append(b.Nav, page.Place{Name: p.name, Path: p.path, Icon: p.icon, Current: isWithin(at, p.path)})
		}
	}
	var err error
	b.Banner, err = s.banner(v)
	return err
}

func isWithin(path, place string) bool {
	return path == place || place != "/" && strings.HasPrefix(path, place+"/")
}

// initials returns the first letters of the first and the last word.
func initials(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if len(words) == 0 {
		return "?"
	}
	first, _ := utf8.DecodeRuneInString(words[0])
	if len(words) == 1 {
		return string(unicode.ToUpper(first))
	}
	last, _ := utf8.DecodeRuneInString(words[len(words)-1])
	return string([]rune{unicode.ToUpper(first), unicode.ToUpper(last)})
}

// The pages of the first mail server, and of what is true of both.
const (
	mailSettingsPath = "/admin/settings/mail"
	mailServersPath  = "/admin/settings/mail/servers"
)

// mailServer is the one of two mail servers that a page is about.
type mailServer struct {
	*mail.Service
	doctor *diagnose.Doctor
	slot   mail.Slot
	// path is that of its settings.
	path string
}

// mail returns the server that the route is about.
func (v *visit) mail() mailServer { return v.s.serverOf(v.route.slot) }

// serverOf returns the server of a slot; empty is the first one.
func (s *Site) serverOf(slot mail.Slot) mailServer {
	if slot == mail.Second {
		return mailServer{s.Second, s.SecondDoctor, slot, slot.SettingsPath()}
	}
	return mailServer{s.Mail, s.Doctor, mail.Main, mailSettingsPath}
}

// mailBanner decides what is said. Reasons are for who can mend them.
func mailBanner(profile mail.Profile, set bool, gate outbox.Gate, manages bool) *page.Banner {
	b := &page.Banner{Tone: "bad"}
	switch {
	case !set && !manages:
		return nil
	case !set:
		b.Tone, b.Text, b.More = "warn", "No mail server is set up.", "Invitations and other mail wait until there is one."
		b.Path, b.Action = mailSettingsPath, "Set up mail"
	case profile.State == mail.Stopped || !gate.Open && gate.Reason == outbox.ReasonOperator:
		b.Tone, b.Text, b.More = "warn", "Mail is stopped.", "An administrator keeps all mail back."
	case profile.State == mail.Paused:
		b.Text, b.More = "Mail is paused.", "It leaves by itself once the mail server works again."
	case profile.State == mail.Working && profile.Problem == mail.RowDailyLimit:
		b.Tone, b.Text, b.More = "warn", "Mail has reached its limit for today.", "What waits leaves by itself."
	case !gate.Open && gate.Reason == outbox.ReasonRestored:
		b.Tone, b.Text, b.More = "warn", "Mail is on hold after a restore.", "Letters from before it could go out twice."
	case profile.Kind == mail.KindCapture:
		b.Tone, b.Text, b.More = "note", "Mail does not leave this machine.", "The capture mailbox keeps it."
		b.Path, b.Action = "/admin/mail/capture", "Open the mailbox"
		return b
	default:
		return nil
	}
	if manages && set {
		if profile.Reason != "" {
			b.More = profile.Reason
		}
		b.Path, b.Action = mailSettingsPath, "Mend it"
	}
	return b
}
