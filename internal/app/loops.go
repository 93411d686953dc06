package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/worker"
)

// loops is the background work. Each turn of a loop has a trace id of its own:
// log lines, audit entries and letters that the turn causes carry it.
type loops struct{ *worker.Group }

func newLoops(log *slog.Logger) loops { return loops{worker.New(log)} }

// Add puts a loop into the group.
func (l loops) Add(w worker.Loop) *worker.Handle {
	run := w.Run
	w.Run = func(ctx context.Context) (bool, error) {
		return run(actor.WithTrace(ctx, actor.NewTrace(time.Now())))
	}
	return l.Group.Add(w)
}
