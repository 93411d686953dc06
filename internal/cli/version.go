package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/sealpost/sealpost/internal/operator"
)

// version is the release, set by the linker: -ldflags "-X .../cli.version=v1".
var version = "development"

type versionCmd struct {
	JSON bool `help:"Print JSON."`
}

// Run prints the version, the revision it was built from, Go's version and that
// of the tables which explain what mail servers say.
func (c *versionCmd) Run(s *session) error {
	revision := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, kv := range info.Settings {
			if kv.Key == "vcs.revision" {
				revision = kv.Value
			}
		}
	}
	if c.JSON {
		return s.printJSON(map[string]string{"version": version, "revision": revision, "go": runtime.Version(), "replies": operator.Replies()})
	}
	_, err := fmt.Fprintf(s.env.Out, "sealpost %s (%s, %s, replies %s)\n", version, revision, runtime.Version(), operator.Replies())
	return err
}
