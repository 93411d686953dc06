package app

import (
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/operator"
)

func TestATestFromTheShellStandsInTheJournal(t *testing.T) {
	each(t, func(t *testing.T, cfg config.Config) {
		d := open(t, cfg, Outside{})
		apply(t, d.app, withCapture, nil)
		done := do[operator.MailTested](t, d.app, operator.CmdMailTest, operator.MailTest{To: "ada@example.org"})
		if !done.Report.Passed {
			t.Fatalf("the test failed: %+v", done)
		}
		found := do[operator.JournalPage](t, d.app, operator.CmdMailJournal, operator.MailJournal{Kind: "test"}).Letters
		if len(found) != 1 || found[0].To != "ada@example.org" || found[0].State != "accepted" || !strings.HasPrefix(found[0].Reply, "250") {
			t.Errorf("the journal has %+v", found)
		}
	})
}
