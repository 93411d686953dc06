package outbox

import (
	"encoding/json"
	"reflect"
	"testing"
)

// Letters that were added by an older Sealpost are JSON.
func TestContentOfBothForms(t *testing.T) {
	for _, want := range []sealedContent{
		{},
		{Text: "text", HTML: "<p>html</p>"},
		{Text: "ä\x00\n", HTML: string(make([]byte, 70000)), Logo: []byte{0, 1, 2, 255}, LogoType: "image/png"},
	} {
		old, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		for form, plain := range map[string]string{"new": want.encode(), "old": string(old)} {
			if got, err := decodeContent(plain); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %v, want %v; %v", form, got, want, err)
			}
		}
	}
}

// Nothing that is cut off or made up is taken for a letter, or is a panic.
func TestContentCutOff(t *testing.T) {
	whole := sealedContent{Text: "text", HTML: "html", Logo: []byte{1}, LogoType: "image/png"}.encode()
	for n := range len(whole) {
		if c, err := decodeContent(whole[:n]); err == nil {
			t.Errorf("%d bytes of %d are taken for %v", n, len(whole), c)
		}
	}
	for _, plain := range []string{"", "\x02", "\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x02\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "\x01", "[]", whole + "x"} {
		if c, err := decodeContent(plain); err == nil {
			t.Errorf("%q is taken for %v", plain, c)
		}
	}
}
