package app

import (
	"context"
	"errors"
	"net"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/domain"
	"github.com/sealpost/sealpost/internal/mail/outbox"
)

// noDNS is what the operator writes where no DNS is to be asked.
const noDNS = "off"

var errNoDNS = errors.New("app: the operator lets no DNS be asked (mail.resolver)")

// buildDNS makes what asks the DNS about mail.
func (a *App) buildDNS() (err error) {
	c := domain.Config{Server: a.cfg.MailResolver}
	if c.Server == noDNS {
		c = domain.Config{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errNoDNS }}
	}
	a.dns, err = domain.New(c)
	return err
}

// newDoctor makes what tests a mail server.
func (a *App) newDoctor(m *mail.Service) (*diagnose.Doctor, error) {
	c := diagnose.Config{
		Mail: m, Letters: a.letters, DB: a.db, Resolve: a.out.Resolve, Now: a.out.Now, Note: func(ctx context.Context, s diagnose.Sent) error { return a.noteTest(ctx, outbox.Slot(m.Slot()), s) },
		Proxy: a.wire.Proxy, Signing: a.signingOf(m.Slot()), Sign: a.signAs(m.Slot()),
		Envelope: func(_ context.Context, sender string) string { return a.returnOf(testLetter, sender).From },
	}
	// Where names of mail servers are made up, so are domains.
	if a.cfg.MailResolver != noDNS && (a.out.Resolve == nil || a.cfg.MailResolver != "") {
		c.DNS = a.dns
	}
	return diagnose.New(c)
}

// testLetter stands for the id of a letter that is in no outbox.
const testLetter = "test"
