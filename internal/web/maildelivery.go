package web

import (
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/web/journal"
)

const mailDeliveryPath = "/admin/settings/mail/delivery"

func (s *Site) mailDelivery(v *visit) error {
	settings, err := s.Outbox.Settings(v.ctx(), v.by)
	if err != nil {
		return err
	}
	return v.render(journal.Delivery(settings))
}

// saveMailDelivery takes the form.
func (s *Site) saveMailDelivery(v *visit) error {
	settings, err := s.Outbox.Settings(v.ctx(), v.by)
	if err != nil {
		return err
	}
	p := journal.TypedDelivery(&settings, v.values)
	settings.Revision = v.number("revision")
	p.Revision = settings.Revision
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
