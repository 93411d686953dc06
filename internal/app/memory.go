package app

import (
	"context"
	"runtime"
	"runtime/debug"
	"time"
)

const (
	// keptMemory is what the program may hold without use.
	keptMemory = 24 << 20
	trimEvery  = 30 * time.Second
)

// trimMemory gives memory back that nobody uses any more. Each check of a
// password takes 19 MiB for a moment, which the runtime by itself returns to
// the system only after minutes: measured, 66 MiB after thirty sign-ins, for
// four minutes, and 31 MiB from then on. It costs a few milliseconds, and
// nothing while little is held.
func trimMemory(context.Context) (more bool, err error) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.Sys-m.HeapReleased > keptMemory {
		debug.FreeOSMemory()
	}
	return false, nil
}
