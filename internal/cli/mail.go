package cli

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/operator"
)

type mailCmd struct {
	Test    mailTestCmd    `cmd:"" help:"Test the saved mail server, step by step, up to a mail it accepts."`
	Status  mailStatusCmd  `cmd:"" help:"Say whether mail leaves and what waits."`
	DKIM    mailDKIMCmd    `cmd:"" name:"dkim" help:"Show the keys that letters are signed with, and their records in the DNS."`
	Bounces mailBouncesCmd `cmd:"" help:"Say how reading bounces goes, and which addresses mail came back from."`
	Journal mailJournalCmd `cmd:"" help:"List what was sent to whom, with the server's reply."`
}

type mailTestCmd struct {
	To     string `required:"" help:"Address that the test mail goes to."`
	Server string `enum:"main,second" default:"main" help:"Which mail server to test: main or second."`
	JSON   bool   `help:"Print JSON."`

	Transcript     string `placeholder:"FILE" help:"Write the test with its dialogue to a file, without credentials, to send it to somebody who can help."`
	WholeAddresses bool   `help:"Keep whole addresses in the transcript."`
}

// Run tests the mail server and ends with status 3 if the test failed.
func (c *mailTestCmd) Run(s *session) error {
	var r operator.MailTested
	ask := operator.MailTest{To: c.To, Server: c.Server, File: c.Transcript != "", WholeAddresses: c.WholeAddresses}
	if err := s.operate(operator.CmdMailTest, ask, &r); err != nil {
		return err
	}
	if c.Transcript != "" {
		if err := os.WriteFile(c.Transcript, []byte(r.File), 0o600); err != nil {
			return fault.Invalid("transcript", "The transcript cannot be written to "+c.Transcript+".").Because(err)
		}
	}
	if c.JSON {
		if err := s.printJSON(r.Report); err != nil {
			return err
		}
	} else {
		s.sayTest(r.Report)
	}
	if !r.Report.Passed {
		return errNo
	}
	return nil
}

func (s *session) sayTest(r operator.MailReport) {
	for _, st := range r.Steps {
		s.sayStep(st)
	}
	for _, g := range r.Checks {
		s.say("")
		s.say("%s: %s", printable(g.Title), printable(g.Meaning))
		for _, check := range g.Checks {
			s.sayStep(check)
		}
	}
	s.say("")
	if r.Passed {
		s.say("The mail server accepted the test mail.")
		return
	}
	s.say("The test did not pass.")
}

// sayStep says what was found, and more where there is something to do.
func (s *session) sayStep(st operator.MailStep) {
	s.say("%-8s%s (%d ms)", st.Verdict, printable(st.Title), st.TookMillis)
	record := ""
	if st.Record != nil {
		record = st.Record.Name + " " + st.Record.Type + " " + st.Record.Value
	}
	for _, line := range []struct{ label, text string }{
		{"", st.Meaning}, {"What to do: ", st.Mend}, {"  ", st.Command}, {"  ", record}, {"They said: ", st.Said}, {"More: ", st.Link},
	} {
		if line.text != "" {
			s.say("        %s%s", line.label, printable(line.text))
		}
	}
}

type mailStatusCmd struct {
	JSON bool `help:"Print JSON."`
}

// Run prints the state of mail.
func (c *mailStatusCmd) Run(s *session) error {
	var st operator.MailStatus
	if err := s.operate(operator.CmdMailStatus, struct{}{}, &st); err != nil {
		return err
	}
	if c.JSON {
		return s.printJSON(st)
	}
	name := "Mail server"
	if st.Second != nil {
		name = "First server"
	}
	rows := serverRows(name, st.MailServer)
	rows = append(rows,
		[]string{"Waiting", strconv.Itoa(st.Waiting)},
		[]string{"Oldest waiting", localTime(st.Oldest)},
		[]string{"Last 24 hours", strconv.Itoa(st.Accepted24h) + " accepted, " + strconv.Itoa(st.Delayed24h) + " delayed, " + strconv.Itoa(st.Failed24h) + " failed"},
	)
	if st.Second != nil {
		rows = append(rows, serverRows("Second server", *st.Second)...)
		rows = append(rows, []string{"Stands in", fallbackWords(st.Fallback)}, []string{"Routes", strconv.Itoa(st.Routes)})
	}
	s.table([]string{"WHAT", "NOW"}, rows)
	return nil
}

// serverRows is how a server stands.
func serverRows(name string, st operator.MailServer) [][]string {
	rows := [][]string{{name, orDash(st.Server)}, {"Sender", orDash(st.Sender)}, {"State", st.State}}
	if st.Covered {
		rows = append(rows, []string{"Covered", "its letters leave through the other server"})
	}
	if st.Reason != "" {
		rows = append(rows, []string{"Reason", st.Reason}, []string{"Since", localTime(st.Since)})
	}
	for _, row := range [][]string{
		{"What to do", st.Advice}, {"Command", st.Command}, {"They said", st.Said}, {"More", st.Link},
	} {
		if row[1] != "" {
			rows = append(rows, row)
		}
	}
	rows = append(rows, signedInRows(st.SignedIn)...)
	rows = append(rows, []string{"Last accepted", localTime(st.LastAccepted)})
	if st.RecipientsLimit > 0 {
		rows = append(rows, []string{"Recipients in 24 hours", fmt.Sprintf("%d of %d", st.Recipients24h, st.RecipientsLimit)})
	}
	for _, e := range st.Ends {
		rows = append(rows, []string{"Ends", localTime(e.At) + "  " + e.What})
	}
	for _, n := range st.Notes {
		rows = append(rows, []string{"Note", n})
	}
	return rows
}

// fallbackWords says when one server stands in for the other.
func fallbackWords(rule string) string {
	switch rule {
	case "never":
		return "never"
	case "at_once":
		return "for the other one as soon as that is paused"
	}
	return "for the other one when that is paused for " + strings.TrimSuffix(rule, "m") + " minutes"
}

// signedInRows says who signed in and what is known of the token.
func signedInRows(in *operator.SignedIn) [][]string {
	if in == nil {
		return nil
	}
	var rows [][]string
	if in.Who != "" {
		rows = append(rows, []string{"Signed in as", in.Who + ", " + localTime(in.At) + " by " + orDash(in.By)})
	}
	if in.Tenant != "" {
		rows = append(rows, []string{"Tenant", in.Tenant})
	}
	if !in.TokenFrom.IsZero() {
		rows = append(rows, []string{"Token", "from " + localTime(in.TokenFrom) + ", ends " + localTime(in.TokenEnds)})
	}
	if in.Scopes != "" {
		rows = append(rows, []string{"Scopes", in.Scopes})
	}
	return rows
}

type mailJournalCmd struct {
	Text   string `help:"Only letters whose recipient or reply contains this text." placeholder:"TEXT"`
	State  string `enum:",waiting,queued,held,sending,deferred,uncertain,accepted,failed,expired,cancelled,bounced" default:"" help:"Only letters in this state, e.g. accepted, held, failed, bounced." placeholder:"STATE"`
	Kind   string `enum:",invitation,password_reset,password_changed,new_device,expiry_reminder,test" default:"" help:"Only letters of this kind, e.g. invitation." placeholder:"KIND"`
	Server string `enum:",main,second" default:"" help:"Only letters that left, or are to leave, through this server: main or second." placeholder:"SERVER"`
	Trace  string `help:"Only letters that this request, command or turn of a loop caused." placeholder:"ID"`
	Cursor string `help:"Where the next page begins." placeholder:"CURSOR"`
	Limit  int    `help:"At most this many letters." default:"50"`
	JSON   bool   `help:"Print JSON."`
}

// Run prints a page of the journal.
func (c *mailJournalCmd) Run(s *session) error {
	var page operator.JournalPage
	err := s.operate(operator.CmdMailJournal, operator.MailJournal{
		Text: c.Text, State: c.State, Kind: c.Kind, Server: c.Server, Trace: c.Trace, Cursor: c.Cursor, Limit: c.Limit,
	}, &page)
	if err != nil {
		return err
	}
	if c.JSON {
		return s.printJSON(page)
	}
	if len(page.Letters) == 0 {
		s.say("No letter fits.")
		return nil
	}
	rows := make([][]string, len(page.Letters))
	for i, l := range page.Letters {
		rows[i] = []string{localTime(l.Added), l.State, l.Kind, l.To, strconv.Itoa(l.Attempts), l.Reply}
	}
	s.table([]string{"ADDED", "STATE", "KIND", "TO", "ATTEMPTS", "REPLY"}, rows)
	if page.Next != "" {
		s.say("More: add --cursor %s.", page.Next)
	}
	return nil
}
