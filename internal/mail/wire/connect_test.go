package wire_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/mail/wire"
)

// What follows the empty line is the mail server's: not a byte of it is read.
func FuzzConnectReply(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 Connection established\r\n\r\n220 greeter\r\n", "HTTP/1.0 403 No\r\nA: b\r\n\r\n", "HTTP/1.1 200\r\n\r\n", "HTTP/1.1 200 \r\n:\r\n\r\n",
		"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=\"y\"\r\n\r\n", "220 smtp\r\n", "HTTP/1.1 200 OK\n\n", "HTTP/1.1 200 OK\r\n\x00: x\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		status, phrase, err := wire.ReadConnectReply(r)
		read := len(b) - r.Len()
		if read > wire.MaxConnectReply {
			t.Fatalf("%d bytes were read", read)
		}
		if err != nil {
			return
		}
		if status < 200 || status > 599 || strings.ContainsAny(phrase, "\r\n\x00\x1b") {
			t.Errorf("%d %q", status, phrase)
		}
		rest, _ := io.ReadAll(r)
		if !bytes.HasSuffix(b[:read], []byte("\r\n\r\n")) || bytes.Contains(b[:read-4], []byte("\r\n\r\n")) || !bytes.HasSuffix(b, rest) {
			t.Errorf("read %q", b[:read])
		}
	})
}
