//go:build !failpoints || !linux

package failpoint

// Hit marks a point of interest. In this build it does nothing.
func Hit(string) {}
