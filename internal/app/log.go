package app

import (
	"context"
	"io"
	"log/slog"

	"github.com/sealpost/sealpost/internal/actor"
)

// newLog returns the log that the operator's configuration asks for.
func newLog(w io.Writer, level, format string) *slog.Logger {
	var at slog.Level
	// config took the word already; an unknown one leaves the level at info.
	_ = at.UnmarshalText([]byte(level))
	o := &slog.HandlerOptions{Level: at}
	if format == "json" {
		return slog.New(requestLog{slog.NewJSONHandler(w, o)})
	}
	return slog.New(requestLog{slog.NewTextHandler(w, o)})
}

// QuietLog returns a log that writes warnings and failures alone, for commands
// that say themselves what they did.
func QuietLog(w io.Writer) *slog.Logger { return newLog(w, "warn", "text") }

// requestLog adds the id of the request, the command or the turn of a loop to
// the lines that were written on its behalf.
type requestLog struct{ slog.Handler }

const requestKey = "request_id"

// Handle writes a line.
func (h requestLog) Handle(ctx context.Context, r slog.Record) error {
	id := actor.Trace(ctx)
	if id == "" {
		return h.Handler.Handle(ctx, r)
	}
	has := false
	r.Attrs(func(a slog.Attr) bool {
		has = a.Key == requestKey
		return !has
	})
	if !has {
		r = r.Clone()
		r.AddAttrs(slog.String(requestKey, id))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs returns the log with attributes.
func (h requestLog) WithAttrs(as []slog.Attr) slog.Handler {
	return requestLog{h.Handler.WithAttrs(as)}
}

// WithGroup returns the log with a group.
func (h requestLog) WithGroup(name string) slog.Handler { return requestLog{h.Handler.WithGroup(name)} }
