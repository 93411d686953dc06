package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is the release, set by the linker: -ldflags "-X .../cli.version=v1".
var version = "development"

type versionCmd struct {
	JSON bool `help:"Print JSON."`
}

// Run prints the version, the revision it was built from and Go's version.
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
		return s.printJSON(map[string]string{"version": version, "revision": revision, "go": runtime.Version()})
	}
	_, err := fmt.Fprintf(s.env.Out, "sealpost %s (%s, %s)\n", version, revision, runtime.Version())
	return err
}
