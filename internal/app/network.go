package app

import (
	"context"
	"net"

	"github.com/sealpost/sealpost/internal/mail/wire"
)

// buildWire makes what connects to mail servers as the operator wants it, and
// reads the certificate that they are shown. The settings are checked even where
// nothing connects, so that a mistake is told at the start.
func (a *App) buildWire() (err error) {
	c := wire.Config{Deny: a.cfg.DenyMailTo, Roots: a.out.MailRoots}
	if !a.cfg.MailProxy.IsZero() {
		if c.Proxy, err = wire.ParseProxy(a.cfg.MailProxy); err != nil {
			return err
		}
	}
	if c.Direct, err = wire.ParseBypass(a.cfg.MailNoProxy); err != nil {
		return err
	}
	if c.Source, err = wire.ParseSource(a.cfg.MailSource); err != nil {
		return err
	}
	if a.cfg.MailClientCertificate != "" {
		a.shows, err = wire.LoadCertificate(a.cfg.MailClientCertificate, a.cfg.MailClientKey, a.cfg.MailClientHosts, a.log)
		if err != nil {
			return err
		}
	}
	a.wire = wire.New(c)
	return nil
}

// dialMail connects to mail servers other than those that letters leave through.
func (a *App) dialMail() func(ctx context.Context, network, address string) (net.Conn, error) {
	if a.out.Dial != nil {
		return a.out.Dial
	}
	return a.wire.DialContext
}
