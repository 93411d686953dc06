package web

import (
	"strconv"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/web/page"
)

const mailDeliveryPath = "/admin/settings/mail/delivery"

// lifeUnits are the units in which a lifetime can be given, the largest first.
var lifeUnits = []struct {
	name string
	size time.Duration
}{{"days", 24 * time.Hour}, {"hours", time.Hour}, {"minutes", time.Minute}}

// deliveryPage shows the settings of delivery.
func deliveryPage(s outbox.Settings) *page.MailDelivery {
	p := &page.MailDelivery{Revision: s.Revision, Keep: strconv.Itoa(int(s.Keep / (24 * time.Hour)))}
	p.Title, p.Crumbs = "Mail delivery", []page.Crumb{{Name: "Admin", Path: "/admin"}}
	for i, class := range letter.Classes() {
		c := page.DeliveryClass{Title: class.Title(), Place: i + 1}
		for _, k := range letter.Kinds() {
			if k.Class == class {
				c.Kinds = append(c.Kinds, deliveryKind(k, s.Lifetimes[k.Key]))
			}
		}
		p.Classes = append(p.Classes, c)
	}
	return p
}

func deliveryKind(k letter.KindInfo, life time.Duration) page.DeliveryKind {
	out := page.DeliveryKind{
		Field: outbox.LifetimeField(k.Key), Title: k.Title, Usual: outbox.Span(k.Lifetime), Fixed: k.Shortest == k.Longest,
		Bounds: outbox.Span(k.Shortest) + " to " + outbox.Span(k.Longest) + ".",
	}
	if k.OneTime {
		out.Bounds = outbox.Span(k.Shortest) + " to " + outbox.Span(k.Longest) + ", which is how long its link lives."
	}
	for _, u := range lifeUnits {
		if life%u.size == 0 && life > 0 {
			out.Number, out.Unit = strconv.FormatInt(int64(life/u.size), 10), u.name
			break
		}
	}
	return out
}

func (s *Site) mailDelivery(v *visit) error {
	settings, err := s.Outbox.Settings(v.ctx(), v.by)
	if err != nil {
		return err
	}
	return v.render(deliveryPage(settings))
}

// saveMailDelivery takes the form.
func (s *Site) saveMailDelivery(v *visit) error {
	settings, err := s.Outbox.Settings(v.ctx(), v.by)
	if err != nil {
		return err
	}
	p := deliveryPage(settings)
	settings.Revision = v.number("revision")
	p.Revision, p.Keep = settings.Revision, v.text("keep")
	settings.Keep = time.Duration(bounded(v.text("keep"))) * 24 * time.Hour
	for i := range p.Classes {
		for j := range p.Classes[i].Kinds {
			typedLifetime(v, &p.Classes[i].Kinds[j], settings.Lifetimes)
		}
	}
	if err := s.Outbox.Save(v.ctx(), v.by, settings); err != nil {
		if fault.Is(err, fault.KindConflict) {
			// What was typed stays; saved again, it takes the place of the other's.
			if now, lookErr := s.Outbox.Settings(v.ctx(), v.by); lookErr == nil {
				p.Revision = now.Revision
			}
		}
		return v.again(p, err)
	}
	return v.redirect(mailDeliveryPath, "The settings are saved.")
}

// typedLifetime takes what was typed for a kind, into the page and into
// lifetimes.
func typedLifetime(v *visit, k *page.DeliveryKind, lifetimes map[string]time.Duration) {
	if k.Fixed || !v.has(k.Field) {
		return
	}
	k.Number, k.Unit = v.text(k.Field), v.text(k.Field+"_unit")
	for _, kind := range letter.Kinds() {
		if outbox.LifetimeField(kind.Key) != k.Field {
			continue
		}
		lifetimes[kind.Key] = 0 // refused, where the unit is none
		for _, u := range lifeUnits {
			if u.name == k.Unit {
				lifetimes[kind.Key] = time.Duration(bounded(k.Number)) * u.size
			}
		}
	}
}

// bounded returns a number that was typed, 0 where it is none or so large that
// no setting takes it.
func bounded(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 || n > 1_000_000 {
		return 0
	}
	return n
}
