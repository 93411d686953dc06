package operator

import (
	"context"
	"fmt"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/blueprint"
)

// doorApply is the door that the audit log names for what a file changed.
const doorApply = "apply"

// apply brings the set-up to what a file says. It parses the file again: what
// is done is what this server understands of it.
func (c *commands) apply(ctx context.Context, by actor.Actor, a Apply, out Sink) (Applied, error) {
	spec, err := blueprint.Parse(a.File)
	if err != nil {
		return Applied{}, err
	}
	secrets := make(map[blueprint.Ref][]byte, len(a.Secrets))
	for ref, content := range a.Secrets {
		secrets[blueprint.Ref(ref)] = content
	}
	by.Door = doorApply
	plan, err := blueprint.Make(ctx, blueprint.Services{Users: c.Users, Vault: c.Vault, Mail: c.Mail, Second: c.Second, Servers: c.Servers, Outbox: c.Outbox, Bounces: c.Bounces}, by, spec, secrets)
	if err != nil {
		return Applied{}, err
	}
	result := Applied{Steps: []ApplyStep{}}
	note := func(s blueprint.Step) {
		result.Steps = append(result.Steps, ApplyStep{Verb: s.Verb, What: s.What, Lines: s.Lines})
	}
	if a.Check {
		for _, s := range plan.Steps() {
			note(s)
		}
		return result, nil
	}
	result.Done, err = plan.Apply(ctx, note)
	if err != nil && result.Done > 0 {
		sayTaken(out, result.Steps, len(plan.Steps()))
	}
	return result, err
}

// sayTaken tells of the steps before the one that failed, which stand: an
// error carries no result.
func sayTaken(out Sink, taken []ApplyStep, of int) {
	for _, s := range taken {
		out.Line("Done: " + s.Verb + " " + s.What)
		for _, l := range s.Lines {
			out.Line("    " + l)
		}
	}
	out.Line(fmt.Sprintf("%d of %d steps were taken before the one that failed.", len(taken), of))
}
