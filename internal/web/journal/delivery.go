package journal

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/web/page"
)

// lifeUnits are the units in which a lifetime can be given, the largest first.
var lifeUnits = []struct {
	name string
	size time.Duration
}{{"days", 24 * time.Hour}, {"hours", time.Hour}, {"minutes", time.Minute}}

// Delivery shows the settings of delivery.
func Delivery(s outbox.Settings) *page.MailDelivery {
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

// TypedDelivery takes what was typed into the form into settings, and returns the
// page with the words as they were typed. What is no number is refused by whoever
// saves.
func TypedDelivery(s *outbox.Settings, typed url.Values) *page.MailDelivery {
	p := Delivery(*s)
	p.Keep = strings.TrimSpace(typed.Get("keep"))
	s.Keep = time.Duration(number(p.Keep)) * 24 * time.Hour
	for i := range p.Classes {
		for j := range p.Classes[i].Kinds {
			if k := &p.Classes[i].Kinds[j]; !k.Fixed && typed.Has(k.Field) {
				k.Number, k.Unit = strings.TrimSpace(typed.Get(k.Field)), typed.Get(k.Field+"_unit")
				s.Lifetimes[strings.TrimPrefix(k.Field, outbox.LifetimeField(""))] = lifetime(k.Number, k.Unit)
			}
		}
	}
	return p
}

// lifetime is a time that was typed, 0 where it is none.
func lifetime(amount, unit string) time.Duration {
	for _, u := range lifeUnits {
		if u.name == unit {
			return time.Duration(number(amount)) * u.size
		}
	}
	return 0
}

// number returns a number that was typed, 0 where it is none or so large that no
// setting takes it.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 || n > 1_000_000 {
		return 0
	}
	return n
}
