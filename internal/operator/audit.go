package operator

import (
	"context"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
)

func (c *commands) auditVerify(ctx context.Context, _ actor.Actor, _ none, out Sink) (AuditVerified, error) {
	v, err := c.Audit.Verify(ctx, func(done, total int64) { out.Progress("Entries verified", done, total) })
	if err != nil {
		return AuditVerified{}, err
	}
	return AuditVerified{OK: v.OK, Entries: v.Entries, FirstBad: v.FirstBad, What: v.What}, nil
}

func (c *commands) auditList(ctx context.Context, by actor.Actor, a AuditList, _ Sink) (AuditPage, error) {
	p, err := c.Audit.Search(ctx, by, audit.Filter{
		Text: a.Text, Action: a.Action, Login: a.Login, Request: a.Trace, From: a.Since, To: a.Until, Before: a.Before, Limit: a.Limit,
	})
	if err != nil {
		return AuditPage{}, err
	}
	out := AuditPage{Entries: make([]AuditEntry, len(p.Entries)), Next: p.Next}
	for i, e := range p.Entries {
		out.Entries[i] = auditEntry(e)
	}
	return out, nil
}

func auditEntry(e audit.Entry) AuditEntry {
	out := AuditEntry{
		Seq: e.Seq, At: e.At, Who: e.Actor.Login, Door: e.Actor.Door,
		Action: e.Action, Kind: e.Kind, Name: e.Name, Outcome: e.Outcome, Reason: e.Reason,
		Trace: e.Actor.RequestID,
	}
	if e.Actor.From.IsValid() {
		out.From = e.Actor.From.String()
	}
	for _, d := range e.Detail {
		out.Detail = append(out.Detail, audit.DetailText([]audit.Detail{d}))
	}
	return out
}
