package verdict

import (
	_ "embed" // for the version
	"strings"
)

//go:embed version.txt
var version string

// Version names what stands in replies.tsv and grants.tsv: the day on which it
// was last changed, and a number. Whoever reports an advice that is wrong says it
// with it.
func Version() string { return strings.TrimSpace(version) }
