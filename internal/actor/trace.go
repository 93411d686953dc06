package actor

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"strings"
	"time"
)

// TraceLength is how many characters a trace id has.
const TraceLength = 16

// traces are written in characters whose order is that of what they stand for.
var traces = base32.HexEncoding.WithPadding(base32.NoPadding)

// NewTrace returns the id of something that begins at the given time: a
// request, a command, a turn of a background loop. Log lines, audit entries and
// letters that it causes carry the id. Later ids sort behind earlier ones, to
// the millisecond, so that an index of them grows at its end alone; 32 random
// bits tell those of the same millisecond apart.
func NewTrace(at time.Time) string {
	var b [10]byte
	ms := at.UnixMilli()
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	_, _ = rand.Read(b[6:]) // it never fails
	return strings.ToLower(traces.EncodeToString(b[:]))
}

// IsTrace reports whether text can be a trace id.
func IsTrace(text string) bool {
	if len(text) != TraceLength {
		return false
	}
	_, err := traces.DecodeString(strings.ToUpper(text))
	return err == nil && text == strings.ToLower(text)
}

type traceKey struct{}

// WithTrace returns a context in which what happens belongs to the trace id.
func WithTrace(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, traceKey{}, id)
}

// Trace returns the trace id that ctx belongs to, "" where it belongs to none.
func Trace(ctx context.Context) string {
	id, _ := ctx.Value(traceKey{}).(string)
	return id
}
