package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/secret"
)

const canary = "canary-7f3a91"

// Every way in which Go turns a value into text is tried; none may show the
// canary, and the one door must.
func TestNothingPrintsASecret(t *testing.T) {
	v := secret.New(canary)
	nested := struct {
		V secret.Value
		P *secret.Value
		M map[string]secret.Value
		S []secret.Value
	}{v, &v, map[string]secret.Value{"k": v}, []secret.Value{v}}

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%10.3s", "%!"} {
		fmt.Fprintf(&out, verb+"\n", v)
		fmt.Fprintf(&out, verb+"\n", nested)
	}
	for _, logger := range []*slog.Logger{
		slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil)),
	} {
		logger.Info("a line", "v", v, "n", nested)
	}
	j, err := json.Marshal(nested)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	x, err := xml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(x)
	if err := gob.NewEncoder(&out).Encode(v); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(&out, fmt.Errorf("wrapped: %v", v), v)

	if hex := fmt.Sprintf("%x", canary); strings.Contains(out.String(), canary) || strings.Contains(out.String(), hex) {
		t.Fatalf("a secret was printed:\n%s", out.String())
	}
	if v.Reveal() != canary {
		t.Fatal("the one door does not open")
	}
}

func TestEqual(t *testing.T) {
	a := secret.New("same")
	if !a.Equal(secret.FromBytes([]byte("same"))) || a.Equal(secret.New("sam")) || a.Equal(secret.Value{}) {
		t.Fatal("Equal is wrong")
	}
	if !(secret.Value{}).IsZero() || a.IsZero() {
		t.Fatal("IsZero is wrong")
	}
}
