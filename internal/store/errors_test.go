package store_test

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

// TestAConnectionThatEnded: whoever notices it first words it differently; the
// caller hears the same.
func TestAConnectionThatEnded(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{
		driver.ErrBadConn,
		io.EOF,
		fmt.Errorf("receiving: %w", io.ErrUnexpectedEOF),
		&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded},
	} {
		err := store.Translate(cause)
		if !fault.Is(err, fault.KindUnavailable) || !errors.Is(err, cause) {
			t.Errorf("%v: got %v", cause, err)
		}
	}
	if err := store.Translate(errors.New("syntax error")); fault.Is(err, fault.KindUnavailable) {
		t.Errorf("a broken statement: %v", err)
	}
}
