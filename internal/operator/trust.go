package operator

import (
	"context"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
)

func (c *commands) trustImport(ctx context.Context, by actor.Actor, a TrustImport, _ Sink) (TrustChanged, error) {
	mode := trust.ModeAnchor
	if a.Pin {
		mode = trust.ModePin
	}
	m, _, err := c.server(a.Server)
	if err != nil {
		return TrustChanged{}, err
	}
	return trustChanged(m.TrustImport(ctx, by, a.Files, mode, secret.New(a.Password)))
}

func (c *commands) trustList(ctx context.Context, by actor.Actor, a TrustList, _ Sink) (TrustChanged, error) {
	m, _, err := c.server(a.Server)
	if err != nil {
		return TrustChanged{}, err
	}
	all, err := m.TrustList(ctx, by)
	return TrustChanged{Trusted: certificates(all)}, err
}

func (c *commands) trustRemove(ctx context.Context, by actor.Actor, a TrustRemove, _ Sink) (TrustChanged, error) {
	m, _, err := c.server(a.Server)
	if err != nil {
		return TrustChanged{}, err
	}
	return trustChanged(m.TrustRemove(ctx, by, a.Fingerprint, secret.New(a.Password)))
}

func trustChanged(t mail.TrustChange, err error) (TrustChanged, error) {
	return TrustChanged{Changed: certificates(t.Changed), Trusted: certificates(t.Trusted), Paused: t.Paused}, err
}

func certificates(all []mail.Trusted) []Certificate {
	out := make([]Certificate, len(all))
	for i, t := range all {
		out[i] = Certificate{
			Fingerprint: t.Hex, Subject: t.Subject, Issuer: t.Issuer, Names: t.Names, Mode: string(t.Mode),
			NotBefore: t.NotBefore, NotAfter: t.NotAfter, AddedBy: t.AddedBy, AddedAt: t.AddedAt,
		}
	}
	return out
}
