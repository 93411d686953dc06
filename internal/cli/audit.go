package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/operator"
)

type auditCmd struct {
	List   auditListCmd   `cmd:"" help:"Search the audit log."`
	Verify auditVerifyCmd `cmd:"" help:"Check that nothing in the audit log was changed or removed."`
}

type auditListCmd struct {
	Text   string `help:"Only entries that contain this text." placeholder:"TEXT"`
	Action string `help:"Only entries of this action, e.g. user.invited." placeholder:"ACTION"`
	Person string `help:"Only what this user did." placeholder:"LOGIN"`
	Since  string `help:"Only since this day (2026-11-23) or this long ago (12h)." placeholder:"WHEN"`
	Trace  string `help:"Only what this request, command or turn of a loop did." placeholder:"ID"`
	Before int64  `help:"Only entries with a smaller number; for the next page." placeholder:"SEQ"`
	Limit  int    `help:"At most this many entries." default:"50"`
	JSON   bool   `help:"Print JSON."`
}

// Run prints a page of the audit log.
func (c *auditListCmd) Run(s *session) error {
	since, err := parseSince(c.Since, time.Now())
	if err != nil {
		return err
	}
	var page operator.AuditPage
	err = s.operate(operator.CmdAuditList, operator.AuditList{
		Text: c.Text, Action: c.Action, Login: c.Person, Trace: c.Trace, Since: since, Before: c.Before, Limit: c.Limit,
	}, &page)
	if err != nil {
		return err
	}
	if c.JSON {
		return s.printJSON(page)
	}
	if len(page.Entries) == 0 {
		s.say("Nothing in the audit log fits.")
		return nil
	}
	rows := make([][]string, len(page.Entries))
	for i, e := range page.Entries {
		what := strings.TrimSpace(e.Kind + " " + e.Name)
		if e.Outcome != "" {
			what += " (" + e.Outcome + ")"
		}
		rows[i] = []string{strconv.FormatInt(e.Seq, 10), localTime(e.At), e.Who, e.Action, what, e.Reason}
	}
	s.table([]string{"NO", "WHEN", "WHO", "ACTION", "WHAT", "REASON"}, rows)
	if page.Next > 0 {
		s.say("Older entries: add --before %d.", page.Next)
	}
	return nil
}

// parseSince reads a day or a duration back from now. Empty is the zero time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return t, nil
	}
	return time.Time{}, fault.Invalid("--since", "Write a day like 2026-11-23 or a time span like 12h.")
}

type auditVerifyCmd struct {
	JSON bool `help:"Print JSON."`
}

// Run verifies the chain and ends with status 3 if it is broken.
func (c *auditVerifyCmd) Run(s *session) error {
	var v operator.AuditVerified
	if err := s.operate(operator.CmdAuditVerify, struct{}{}, &v); err != nil {
		return err
	}
	switch {
	case c.JSON:
		if err := s.printJSON(v); err != nil {
			return err
		}
	case v.OK:
		s.say("The audit log is whole: %d entries, each follows from the one before.", v.Entries)
	default:
		s.say("THE AUDIT LOG IS NOT WHOLE. At entry %d: %s", v.FirstBad, v.What)
	}
	if !v.OK {
		return errNo
	}
	return nil
}
