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
		rows[i] = []string{k.Purpose, strconv.FormatInt(k.Version, 10), k.State, localTime(k.Created), localTime(k.Retired)}
	}
	s.table([]string{"PURPOSE", "VERSION", "STATE", "CREATED", "RETIRED"}, rows)
	if st.Rotating {
		s.say(`A rotation was begun and has not ended. "sealpost key rotate" takes it up again.`)
	}
	return nil
}

type keyRotateCmd struct {
	JSON bool `help:"Print JSON."`
}

// Run rotates the keys.
func (c *keyRotateCmd) Run(s *session) error {
	var done operator.KeyRotated
	if err := s.operate(operator.CmdKeyRotate, struct{}{}, &done); err != nil {
		return err
	}
	if c.JSON {
		return s.printJSON(done)
	}
	s.say("New keys are in use and %s sealed with them. The old ones are destroyed.", values(done.Rewrapped))
	return nil
}

func values(n int64) string {
	if n == 1 {
		return "1 value is"
	}
	return strconv.FormatInt(n, 10) + " values are"
}
