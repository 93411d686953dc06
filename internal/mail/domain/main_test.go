package domain_test

import (
	"testing"

	"go.uber.org/goleak"
)

// A question whose answer nobody waits for any more is over.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
