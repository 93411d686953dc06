package web

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/mail/capture"
)

// Anybody on the machine can put a letter into the mailbox. One that names its
// picture again and again must not take the machine's memory.
func TestPicturesOfALetterAreBounded(t *testing.T) {
	c := capture.Content{
		HTML:   strings.Repeat(`<img src="cid:a">`, 100_000),
		Inline: map[string]capture.Part{"a": {Type: "image/png", Data: bytes.Repeat([]byte{1}, 1<<20)}},
	}
	if got := framed(c); len(got) > maxFramed || strings.Contains(got, "data:image/png") {
		t.Errorf("the frame has %d bytes", len(got))
	}
	c.HTML = `<img src="cid:a">`
	if got := framed(c); !strings.Contains(got, "data:image/png") {
		t.Error("one picture does not show")
	}
}
