package cli

import (
	"errors"

	"github.com/sealpost/sealpost/internal/operator"
)

type mailDKIMCmd struct {
	Server     string `enum:"main,second" default:"main" help:"Of which mail server: main or second."`
	Check      bool   `help:"Ask the DNS for the records first."`
	New        bool   `help:"Make a new key first. The one that signs goes on until the record of the new one is seen."`
	Algorithms string `enum:"rsa,ed25519,both" default:"rsa" help:"Of the new key: rsa, ed25519 or both."`
	Domain     string `placeholder:"DOMAIN" help:"Of the new key: the sender's domain, or one above it."`
	Selector   string `placeholder:"NAME" help:"Of the new key: what its record is called."`
	JSON       bool   `help:"Print JSON."`
}

// Run shows the keys that letters are signed with, and their records.
func (c *mailDKIMCmd) Run(s *session) error {
	var r operator.SigningKeys
	ask := operator.MailDKIM{Server: c.Server, Check: c.Check, New: c.New, Domain: c.Domain, Selector: c.Selector}
	if c.New {
		ask.Algorithms = c.Algorithms
	}
	if err := s.operate(operator.CmdMailDKIM, ask, &r); err != nil {
		return err
	}
	if c.JSON {
		return errors.Join(s.printJSON(r), c.answer(r))
	}
	words := map[string]string{"": "not checked yet", "ok": "in the DNS and right", "missing": "not in the DNS yet", "differs": "something else is in the DNS", "unsure": "the DNS could not be asked"}
	for _, k := range r.Keys {
		state := "signs"
		if k.State == "new" {
			state = "waits for its record"
		}
		s.say("%s (%s): %s; %s", printable(k.Selector), k.Algorithm, state, words[k.DNS])
		if k.Why != "" {
			s.say("  %s", printable(k.Why))
		}
		s.say("%s", k.Zone)
		s.say("")
	}
	if r.Note != "" {
		s.say("%s", printable(r.Note))
	}
	return c.answer(r)
}

// answer is errNo where the DNS was asked and does not have all records.
func (c *mailDKIMCmd) answer(r operator.SigningKeys) error {
	for _, k := range r.Keys {
		if c.Check && k.DNS != "ok" {
			return errNo
		}
	}
	return nil
}
