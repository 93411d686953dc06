package blueprint

import (
	"context"
	"errors"
	"fmt"

	"github.com/sealpost/sealpost/internal/fault"
)

// Verbs of steps.
const (
	verbCreate = "create"
	verbChange = "change"
)

// Step is one difference between a file and what is there.
type Step struct {
	// Verb is "create" or "change".
	Verb string
	// What names the object, such as `user "ada"`.
	What string
	// Lines are the differences in words. Secrets are named, never shown.
	Lines []string
}

// step is a Step with what it does. take returns further lines that are known
// only then.
type step struct {
	Step
	take func(ctx context.Context) ([]string, error)
}

// Plan is what brings an installation to what a file says. It holds for as
// long as nobody else changes the same things: a step that meets another
// change is refused, and a new plan is needed.
type Plan struct {
	steps []step
	// users, resources and accounts are the ids of what the plan deals with,
	// by their keys. Steps that create something enter it.
	users, resources, accounts map[string]string
}

// Steps returns the steps in the order in which Apply takes them. There are
// none where everything is as the file says.
func (p *Plan) Steps() []Step {
	out := make([]Step, len(p.steps))
	for i, s := range p.steps {
		out[i] = s.Step
	}
	return out
}

// Apply takes the steps, tells say of each one taken, and returns how many it
// took. It ends at the first that fails; those before it stand, and a new plan
// goes on from there.
func (p *Plan) Apply(ctx context.Context, say func(Step)) (int, error) {
	for i, s := range p.steps {
		more, err := s.take(ctx)
		if err != nil {
			return i, within(s.What, err)
		}
		s.Lines = append(s.Lines[:len(s.Lines):len(s.Lines)], more...)
		say(s.Step)
	}
	return len(p.steps), nil
}

// within says in whose step a fault happened.
func within(what string, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return fmt.Errorf("%s: %w", what, err)
	}
	at := *f
	at.Sentence = what + ": " + f.Sentence
	return at.Because(err)
}

// change describes a difference in words; it is empty where there is none.
func change(name, before, after string) []string {
	switch {
	case before == after:
		return nil
	case before == "":
		return []string{name + ": " + after}
	case after == "":
		return []string{name + ": " + before + " is removed"}
	}
	return []string{name + ": " + before + " becomes " + after}
}

// changedText is change for text of several lines.
func changedText(name, before, after string) []string {
	switch {
	case before == after:
		return nil
	case before == "":
		return []string{name + " are added"}
	}
	return []string{name + " change"}
}
