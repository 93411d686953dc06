package app

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/operator"
)

// One id leads from what caused a letter through the outbox to what the server
// said, in the audit log, in the journal and in the log.
func TestATraceLeadsFromTheCauseToTheReply(t *testing.T) {
	each(t, func(t *testing.T, cfg config.Config) {
		cfg.LogLevel = "debug" // that a letter was accepted is said there
		d := open(t, cfg, Outside{})
		apply(t, d.app, withCapture, nil)
		until(t, "the invitation's arrival", func() bool { return len(caught(t, d.app)) == 1 })
		entries := do[operator.AuditPage](t, d.app, operator.CmdAuditList, operator.AuditList{Action: "user.invited"}).Entries
		trace := entries[0].Trace
		if len(entries) != 1 || trace == "" {
			t.Fatalf("audited: %+v", entries)
		}
		letters := do[operator.JournalPage](t, d.app, operator.CmdMailJournal, operator.MailJournal{Trace: trace}).Letters
		if len(letters) != 1 || letters[0].Kind != "invitation" || letters[0].Trace != trace {
			t.Fatalf("the letters of %s: %+v", trace, letters)
		}
		type line struct {
			Trace, Letter, State, Reply string
		}
		var said line
		until(t, "the line about the reply", func() bool {
			for text := range strings.Lines(d.log.String()) {
				var l line
				if json.Unmarshal([]byte(text), &l) == nil && l.Trace == trace && l.Reply != "" {
					said = l
				}
			}
			return said.Reply != ""
		})
		if said.Letter != letters[0].ID || said.State != "accepted" || !strings.HasPrefix(said.Reply, "250") {
			t.Errorf("the log says %+v", said)
		}
	})
}
