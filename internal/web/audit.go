package web

import (
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/web/page"
)

func entryRow(e audit.Entry) page.AuditRow {
	return page.AuditRow{Seq: e.Seq, At: e.At, Action: e.Action, By: e.Actor.Login, Kind: e.Kind, Object: e.Name, Outcome: e.Outcome}
}
