package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
)

// Sink receives what a command says while it runs. Its methods may be called
// from one goroutine at a time.
type Sink interface {
	// Line says one line to the person, without a line break.
	Line(text string)
	// Progress says how far long work has come; total 0 means unknown.
	Progress(label string, done, total int64)
}

// command runs with arguments as JSON and returns something that marshals.
type command func(ctx context.Context, by actor.Actor, args json.RawMessage, out Sink) (any, error)

// Door holds the commands and executes them by name.
type Door struct {
	commands map[string]command
}

// Names returns the names of all commands, sorted.
func (d *Door) Names() []string {
	names := make([]string, 0, len(d.commands))
	for n := range d.commands {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Execute runs the named command in this process and returns its result as
// JSON. Errors are faults that a person may read. What the command causes
// carries one trace id, a new one where ctx has none.
func (d *Door) Execute(ctx context.Context, by actor.Actor, name string, args json.RawMessage, out Sink) (json.RawMessage, error) {
	run, ok := d.commands[name]
	if !ok {
		return nil, fault.NotFound(fmt.Sprintf("This server does not know the command %q. Is it older than the command line?", name))
	}
	if actor.Trace(ctx) == "" {
		ctx = actor.WithTrace(ctx, actor.NewTrace(time.Now()))
	}
	by.RequestID = actor.Trace(ctx)
	result, err := run(ctx, by, args, out)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(result)
	if err != nil {
		return nil, fault.Internal(fmt.Errorf("marshalling the result of %s: %w", name, err))
	}
	return b, nil
}

// typed adapts a function with an argument struct to a command. Unknown
// fields are refused: they are a newer command line's wish that this server
// would silently ignore.
func typed[A, R any](f func(ctx context.Context, by actor.Actor, a A, out Sink) (R, error)) command {
	return func(ctx context.Context, by actor.Actor, args json.RawMessage, out Sink) (any, error) {
		var a A
		if err := strict(args, &a); err != nil {
			return nil, fault.Invalid("", "The arguments do not fit this command. Is the server older than the command line?").Because(err)
		}
		return f(ctx, by, a, out)
	}
}
