package outbox

import (
	"context"
	"encoding/csv"
	"io"
	"strconv"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
)

// Export writes the letters that fit f, without regard to its Limit, as CSV
// (RFC 4180) with a heading, newest first: what the journal tells, never what a
// letter says.
func (o *Outbox) Export(ctx context.Context, by actor.Actor, f Filter, w io.Writer) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	f.Limit = 500
	for first := true; ; first = false {
		page, err := o.List(ctx, by, f)
		if err != nil {
			return err
		}
		if first {
			if err := out.Write([]string{
				"id", "added", "kind", "class", "recipient", "name", "subject", "state", "attempts", "accepted after seconds", "done", "server", "route", "tried through",
				"stage", "code", "enhanced", "reply", "advice", "id at the server", "bounce", "bounce status", "bounce text", "message-id", "trace",
			}); err != nil {
				return err
			}
		}
		for _, r := range page.Rows {
			if err := out.Write(csvRow(r)); err != nil {
				return err
			}
		}
		if page.Next == "" {
			break
		}
		f.Cursor = page.Next
	}
	out.Flush()
	return out.Error()
}

func csvRow(r Row) []string {
	moment := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	after, code, bounce := "", "", ""
	if r.State == Accepted {
		after = strconv.FormatFloat(r.Ended.Sub(r.Added).Seconds(), 'f', 3, 64)
	}
	if r.Code != 0 {
		code = strconv.Itoa(r.Code)
	}
	switch {
	case r.Bounce.IsZero():
	case r.Bounce.Final:
		bounce = "came back"
	case r.Bounce.Other != "":
		bounce = "about another address"
	default:
		bounce = "late"
	}
	row := []string{
		r.ID, moment(r.Added), r.Kind, r.Class.Key(), r.To.Address, r.To.Name, r.Subject, string(r.State), strconv.FormatInt(r.Attempts, 10), after, moment(r.Ended),
		r.Server, string(r.Route), string(r.Tried), r.Stage, code, r.Enhanced, r.Reply, r.Advice, r.QueueID, bounce, r.Bounce.Status, r.Bounce.Text, r.MessageID, r.Trace,
	}
	for i, cell := range row {
		row[i] = audit.Cell(cell)
	}
	return row
}
