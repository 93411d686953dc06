package operator

import (
	"context"
	"encoding/json"

	"github.com/sealpost/sealpost/internal/actor"
)

// Echo is an argument and a result.
type Echo struct {
	Text string `json:"text"`
}

// DoorOf returns a door with commands that a test writes.
func DoorOf(commands map[string]func(ctx context.Context, by actor.Actor, a Echo, out Sink) (Echo, error)) *Door {
	d := &Door{commands: map[string]command{}}
	for name, f := range commands {
		d.commands[name] = typed(f)
	}
	d.commands["unmarshallable"] = func(context.Context, actor.Actor, json.RawMessage, Sink) (any, error) {
		return func() {}, nil
	}
	return d
}

// Allowed reports whether a user id may use the socket.
func Allowed(uid uint32) bool { return allowed(uid) == nil }

// MaxRequest is the largest request.
const MaxRequest = maxRequest
