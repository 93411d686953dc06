package cli

import (
	"maps"
	"slices"
	"strconv"

	"github.com/sealpost/sealpost/internal/operator"
)

type mailBouncesCmd struct {
	JSON bool `help:"Print JSON."`
}

// Run shows how reading bounces goes, and which addresses mail came back from.
func (c *mailBouncesCmd) Run(s *session) error {
	var st operator.BounceStatus
	if err := s.operate(operator.CmdMailBounces, struct{}{}, &st); err != nil {
		return err
	}
	if c.JSON {
		return s.printJSON(st)
	}
	to := map[string]string{"token": st.Address + ", with a token", "plain": st.Address, "sender": "the sender of each letter"}[st.Envelope]
	rows := [][]string{{"Reports go to", to}, {"Mailbox", orDash(st.Mailbox)}}
	if st.Mailbox != "" {
		rows = append(rows, []string{"State", st.State}, []string{"Last read", localTime(st.ReadAt)})
	}
	for _, row := range [][]string{{"Reason", st.Reason}, {"What to do", st.Advice}, {"They said", st.Said}} {
		if row[1] != "" {
			rows = append(rows, row)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(st.Counts)) {
		rows = append(rows, []string{"Read: " + kind, strconv.FormatInt(st.Counts[kind], 10)})
	}
	rows = append(rows, []string{"Marked addresses", strconv.Itoa(st.Marked)})
	s.table([]string{"WHAT", "NOW"}, rows)
	if len(st.Addresses) == 0 {
		return nil
	}
	s.say("")
	rows = nil
	for _, a := range st.Addresses {
		rows = append(rows, []string{a.Address, localTime(a.Last), a.Origin, orDash(a.Status), a.Said})
	}
	s.table([]string{"ADDRESS", "LAST", "HOW", "CODE", "SERVER SAID"}, rows)
	return nil
}
