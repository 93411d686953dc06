package servers

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
)

// MaxRoutes is how many domains may have a route.
const MaxRoutes = 200

// Never says that no server stands in for the other.
const Never time.Duration = -1

// Rules are the choices for [Settings.After].
func Rules() []time.Duration {
	return []time.Duration{Never, 0, 5 * time.Minute, 15 * time.Minute, time.Hour}
}

// RuleWord is how a set-up file and the command line write a rule: "never",
// "at_once", "5m", "15m" or "60m".
func RuleWord(after time.Duration) string {
	switch {
	case after < 0:
		return "never"
	case after == 0:
		return "at_once"
	}
	return strconv.Itoa(int(after/time.Minute)) + "m"
}

// RuleOf returns the rule that a word means, and false for other words.
func RuleOf(word string) (time.Duration, bool) {
	for _, r := range Rules() {
		if RuleWord(r) == word {
			return r, true
		}
	}
	return 0, false
}

// Settings say which server letters leave through.
type Settings struct {
	// After is how long a server is paused before the other one stands in for
	// it, one of [Rules].
	After time.Duration
	// Routes are the domains whose letters leave through the second server:
	// "example.org" is that domain alone, "*.example.org" all below it. They are
	// in lower-case A-labels and sorted.
	Routes []string
	// Revision tells one state of the settings from another; saved with 0, they
	// replace whatever is there.
	Revision int64
}

// Settings returns what is set.
func (s *Service) Settings(ctx context.Context, by actor.Actor) (Settings, error) {
	if err := manage(by); err != nil {
		return Settings{}, err
	}
	var out Settings
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		out, err = s.settings(tx)
		return err
	})
	return out, err
}

func (s *Service) settings(tx *store.Tx) (Settings, error) {
	g, err := s.Outbox.Gate(tx, outbox.Main)
	if err != nil {
		return Settings{}, err
	}
	out := Settings{After: max(g.CoverAfter, Never)}
	if out.Routes, err = selectRoutes(tx); err != nil {
		return out, err
	}
	out.Revision, err = selectChanged(tx)
	return out, err
}

// actionRoutes is what the audit log calls a change of [Settings].
const actionRoutes = "mail.routes_changed"

// Clean checks want and brings its routes into their form. Faults of kind
// invalid name the fields "fallback" and "routes".
func Clean(want Settings) (Settings, error) {
	var check fault.Check
	check.That(slices.Contains(Rules(), want.After), "fallback", "Choose never, at once, or after 5, 15 or 60 minutes.")
	var routes []string
	for i, line := range want.Routes {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, below := strings.CutPrefix(line, "*.")
		domain, err := message.DomainToASCII(strings.TrimPrefix(name, "@"))
		if err != nil || strings.Contains(name, "*") {
			check.That(false, "routes", fmt.Sprintf("Line %d is no domain name. Write example.org for that domain, or *.example.org for all below it.", i+1))
			break
		}
		if below {
			domain = "*." + domain
		}
		routes = append(routes, domain)
	}
	slices.Sort(routes)
	want.Routes = slices.Compact(routes)
	check.That(len(want.Routes) <= MaxRoutes, "routes", fmt.Sprintf("These are %d domains, and %d are the most. Let *.example.org stand for all domains below it.", len(want.Routes), MaxRoutes))
	return want, check.Err()
}

// Save makes the settings what want says, for who proved a moment ago who they
// are, and sends the letters that wait to the server that is theirs now; those
// that are being sent go on as they are. A route to a server that is not set up
// is refused at the field.
func (s *Service) Save(ctx context.Context, by actor.Actor, want Settings) (Settings, error) {
	if err := manage(by); err != nil {
		return Settings{}, err
	}
	want, err := Clean(want)
	if err != nil {
		return want, err
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := lock(tx); err != nil {
			return err
		}
		have, err := s.settings(tx)
		if err != nil {
			return err
		}
		if want.Revision != 0 && want.Revision != have.Revision {
			return fault.Conflict("Somebody else changed this meanwhile. Reload the page and look again.")
		}
		if err := s.fits(tx, want); err != nil {
			return err
		}
		details := Differences(have, want)
		if len(details) == 0 {
			want = have
			return nil
		}
		if err := s.Prove(by); err != nil {
			return err
		}
		if err := s.write(tx, by, have, want); err != nil {
			return err
		}
		if want.Revision, err = selectChanged(tx); err != nil {
			return err
		}
		return s.Audit.Append(tx, by, audit.Event{Action: actionRoutes, Kind: "mail_server", Name: "which mail server letters leave through", Detail: details})
	})
	return want, err
}

// fits refuses what needs a second server where there is none. One that there is
// stays until tx ends.
func (s *Service) fits(tx *store.Tx, want Settings) error {
	if len(want.Routes) == 0 && want.After < 0 {
		return nil
	}
	_, set, err := s.Second.HoldIn(tx)
	if err != nil || set {
		return err
	}
	var check fault.Check
	const first = "Set up the second mail server first."
	check.That(len(want.Routes) == 0, "routes", first)
	check.That(want.After < 0, "fallback", first)
	return check.Err()
}

func (s *Service) write(tx *store.Tx, by actor.Actor, have, want Settings) error {
	if err := touch(tx); err != nil {
		return err
	}
	if want.After != have.After {
		if err := s.Outbox.SetCover(tx, want.After); err != nil {
			return err
		}
	}
	if slices.Equal(want.Routes, have.Routes) {
		return nil
	}
	if _, err := deleteRoutes(tx); err != nil {
		return err
	}
	for _, domain := range want.Routes {
		if err := insertRoute(tx, domain, by.Login); err != nil {
			return err
		}
	}
	return s.Outbox.Reroute(tx)
}

// Differences tells what changes from one to the other, in words.
func Differences(before, after Settings) []audit.Detail {
	var out []audit.Detail
	if before.After != after.After {
		out = append(out, audit.Detail{Name: "stands in for a paused server", Before: RuleWord(before.After), After: RuleWord(after.After)})
	}
	var more, less []string
	for _, d := range after.Routes {
		if !slices.Contains(before.Routes, d) {
			more = append(more, d)
		}
	}
	for _, d := range before.Routes {
		if !slices.Contains(after.Routes, d) {
			less = append(less, d)
		}
	}
	for _, c := range []struct {
		name string
		all  []string
	}{{"to the second server", more}, {"to the first server", less}} {
		if len(c.all) > 0 {
			out = append(out, audit.Detail{Name: c.name, Value: few(c.all)})
		}
	}
	return out
}

// few names the first of many.
func few(all []string) string {
	const most = 20
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return strings.Join(all[:most], ", ") + " and " + strconv.Itoa(len(all)-most) + " more"
}

func count(n int) string { return strconv.Itoa(n) }

// Route returns the server that a letter to an address, whose domain is in
// lower-case A-labels, should leave through.
func Route(tx *store.Tx, address string) (outbox.Slot, error) {
	domain := address[strings.LastIndexByte(address, '@')+1:]
	found, err := anyRoute(tx, candidates(domain))
	if err != nil || !found {
		return outbox.Main, err
	}
	return outbox.Slot(mail.Second), nil
}

// maxLabels bounds the parts of a domain that are looked at: no name that can be
// asked for has more (RFC 1035 2.3.4).
const maxLabels = 127

// candidates are the routes that fit a domain.
func candidates(domain string) []string {
	all := []string{domain}
	for range maxLabels {
		_, rest, more := strings.Cut(domain, ".")
		if !more {
			break
		}
		all, domain = append(all, "*."+rest), rest
	}
	return all
}
