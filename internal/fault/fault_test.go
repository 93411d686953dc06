package fault_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/fault"
)

func TestAnErrorNobodyClassifiedIsInternalAndTellsNothing(t *testing.T) {
	err := fmt.Errorf("dial 10.0.0.1 with password hunter2: %w", io.EOF)
	if got := fault.KindOf(err); got != fault.KindInternal {
		t.Fatalf("kind %v, want internal", got)
	}
	if s := fault.Sentence(err); strings.Contains(s, "hunter2") || s == "" {
		t.Fatalf("the sentence %q is not fit for a person", s)
	}
}

func TestTheCauseIsKeptForTheLogAndNotForThePerson(t *testing.T) {
	err := fmt.Errorf("saving: %w", fault.Conflict("There is a user with this name already.").Because(io.EOF))
	if !errors.Is(err, io.EOF) || !fault.Is(err, fault.KindConflict) {
		t.Fatal("the chain is broken")
	}
	if got, want := fault.Sentence(err), "There is a user with this name already."; got != want {
		t.Fatalf("sentence %q, want %q", got, want)
	}
	if !strings.Contains(err.Error(), "EOF") {
		t.Fatal("the log would not learn the cause")
	}
}

func TestCheckCollectsEveryFieldInOrder(t *testing.T) {
	var c fault.Check
	if c.Err() != nil {
		t.Fatal("an empty check failed")
	}
	c.That(true, "name", "never")
	c.That(false, "port", "Enter a port from 1 to 65535.")
	c.Add("email", fault.Invalid("email", "Enter an address."))
	c.Add("other", io.EOF)
	got := fault.Fields(c.Err())
	want := []string{"port", "email", "other"}
	if len(got) != len(want) {
		t.Fatalf("fields %v, want %v", got, want)
	}
	for i := range want {
		if got[i].Field != want[i] {
			t.Fatalf("field %d is %q, want %q", i, got[i].Field, want[i])
		}
	}
	if fault.Is(nil, fault.KindInternal) {
		t.Fatal("nil is an error of a kind")
	}
}
