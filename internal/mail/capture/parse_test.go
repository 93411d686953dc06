package capture

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestWhateverCameIsReadAsFarAsItGoes(t *testing.T) {
	crlf := func(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }
	nested := "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\nContent-Type: multipart/mixed; boundary=b\n\n", 50)
	for _, tt := range []struct {
		name, source, text, html string
		attachments              int
	}{
		{"nothing", "", "", "", 0},
		{"no header", "\njust text\n", "just text\r\n", "", 0},
		{"no body", "Subject: x", "", "", 0},
		{"plain", "Subject: x\n\nhello\n", "hello\r\n", "", 0},
		{"broken type", "Content-Type: ;;;\n\nhello\n", "hello\r\n", "", 0},
		{"html alone", "Content-Type: text/html\n\n<p>x\n", "", "<p>x\r\n", 0},
		{"latin 1", "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe\n", "Grüße\r\n", "", 0},
		{"euro", "Content-Type: text/plain; charset=iso-8859-15\nContent-Transfer-Encoding: quoted-printable\n\n=A4\n", "€\r\n", "", 0},
		{"says utf-8 and is not", "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=FF\n", "\ufffd\r\n", "", 0},
		{"broken base64", "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\naGVsbG8=!!!\n", "hello", "", 0},
		{
			"attachments", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nhello\n--b\n" +
				"Content-Type: text/plain\nContent-Disposition: attachment; filename=notes.txt\n\nnotes\n--b\nContent-Type: application/pdf; name=x.pdf\n\npdf\n--b--\n",
			"hello", "", 2,
		},
		{"no end", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n", "hello", "", 0},
		{"mixed line ends", "Subject: x\nX: y\n\nhello\r\n\r\nmore", "hello\r\r\n\r\r\nmore", "", 0},
		{"no boundary", "Content-Type: multipart/mixed\n\nhello\n", "", "", 1},
		{"deep", nested, "", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := parse(crlf(tt.source))
			if got.Text != tt.text || got.HTML != tt.html || len(got.Attachments) != tt.attachments {
				t.Errorf("got %q, %q, %+v", got.Text, got.HTML, got.Attachments)
			}
		})
	}
}

func TestHeadersAreShownDecodedAndInOneLine(t *testing.T) {
	c := parse([]byte("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n and more\r\nX-Odd: a\x1b[31mred\u202e\r\nnot a header\r\nTo: =?x-unknown?q?abc?=\r\n\r\n"))
	for name, want := range map[string]string{"subject": "Grüße and more", "x-odd": "a [31mred ", "to": "abc", "missing": ""} {
		if got := c.Header(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	var many bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&many, "X-%d: y\r\n", i)
	}
	if got := len(parse(many.Bytes()).Headers); got != maxHeaders {
		t.Errorf("%d header fields are shown", got)
	}
	if got := short(strings.Repeat("ü", 1000)); got != strings.Repeat("ü", maxSubject)+"…" {
		t.Errorf("a long subject becomes %q", got)
	}
}

func TestPartsAreBounded(t *testing.T) {
	c := parse([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\nContent-Type: image/png\r\n\r\nx\r\n", 5000) + "--b--\r\n"))
	if got := len(c.Attachments); got > maxParts {
		t.Errorf("%d parts were taken", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("Subject: x\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n"))
	f.Add([]byte("Content-Type: text/plain; charset=iso-8859-2\r\nContent-Transfer-Encoding: base64\r\n\r\n////\r\n"))
	f.Fuzz(func(t *testing.T, source []byte) {
		c := parse(source)
		if !bytes.Equal(c.Source, source) {
			t.Error("the source changed")
		}
		for _, h := range c.Headers {
			if strings.ContainsAny(h[0]+h[1], "\r\n\x00\x1b") {
				t.Errorf("a control character is shown: %q", h)
			}
		}
	})
}
