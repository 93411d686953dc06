package peers

import (
	"os"
	"os/exec"
	"testing"
)

// Missing ends the test because something it needs is not there: in CI as a
// failure, elsewhere as a skip.
func Missing(t testing.TB, what string, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s: %v", what, err)
	}
	t.Skipf("%s: %v", what, err)
}

// Torture reports whether the long matrices are wanted in full.
func Torture() bool { return os.Getenv("SEALPOST_TORTURE") != "" }

// program returns the path of the first program that the machine has.
func program(names ...string) (string, error) {
	var last error
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err == nil {
			return path, nil
		}
		last = err
	}
	return "", last
}
