package cli

import (
	"strconv"

	"github.com/sealpost/sealpost/internal/operator"
)

type keyCmd struct {
	Status keyStatusCmd `cmd:"" help:"List the key versions."`
	Rotate keyRotateCmd `cmd:"" help:"Make new keys and seal everything stored with them, while the server runs."`
}

type keyStatusCmd struct {
	JSON bool `help:"Print JSON."`
}

// Run lists the keys.
func (c *keyStatusCmd) Run(s *session) error {
	var st operator.KeyStatus
	if err := s.operate(operator.CmdKeyStatus, struct{}{}, &st); err != nil {
		return err
	}
	if c.JSON {
		return s.printJSON(st)
	}
	rows := make([][]string, len(st.Keys))
	for i, k := range st.Keys {
		rows[i] = []string{k.Purpose, strconv.FormatInt(k.Version, 10), localTime(k.Created), strconv.Itoa(k.Older)}
	}
	s.table([]string{"PURPOSE", "VERSION", "CREATED", "OLDER IN USE"}, rows)
	if !st.RotatingSince.IsZero() {
		s.say(`A rotation was begun on %s and has not ended. "sealpost key rotate" takes it up again.`, localTime(st.RotatingSince))
	}
	return nil
}

type keyRotateCmd struct {
	JSON bool `help:"Print JSON."`
}

// Run rotates the keys and ends with status 3 where some value cannot be
// opened.
func (c *keyRotateCmd) Run(s *session) error {
	var done operator.KeyRotated
	if err := s.operate(operator.CmdKeyRotate, struct{}{}, &done); err != nil {
		return err
	}
	if c.JSON {
		if err := s.printJSON(done); err != nil {
			return err
		}
	} else {
		s.sayRotated(done)
	}
	if len(done.Damaged) > 0 {
		return errNo
	}
	return nil
}

func (s *session) sayRotated(done operator.KeyRotated) {
	if done.Resumed {
		s.say("A rotation that was begun before is finished.")
	}
	if len(done.Damaged) == 0 {
		s.say("New keys are in use, and %s sealed with them. Old keys destroyed: %d.", values(done.Rewrapped), done.Retired)
		return
	}
	s.say("New keys are in use, but %d of the stored values cannot be opened. The old keys are kept.", len(done.Damaged))
	for _, d := range done.Damaged {
		s.say("  %s", printable(d))
	}
}

func values(n int) string {
	if n == 1 {
		return "1 value is"
	}
	return strconv.Itoa(n) + " values are"
}
