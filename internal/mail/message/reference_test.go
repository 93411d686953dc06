package message

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jhillyerd/enmime/v2"
)

// What follows makes the body with the standard library. Build must give the
// same bytes: letters whose outcome is unknown are sent again with them, also by
// a later Sealpost.

func writeBody(p Parts, b *bytes.Buffer) error {
	if p.HTML == "" {
		b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
		return writeText(b, p.Text)
	}
	w := multipart.NewWriter(b)
	if err := w.SetBoundary(p.boundary("alternative")); err != nil {
		return err
	}
	b.WriteString(string(appendHeader(nil, "Content-Type", "multipart/alternative; boundary=\""+w.Boundary()+"\"")))
	b.WriteString("\r\n")
	if err := writePart(w, "text/plain; charset=utf-8", p.Text); err != nil {
		return err
	}
	if len(p.Inline) == 0 {
		if err := writePart(w, "text/html; charset=utf-8", p.HTML); err != nil {
			return err
		}
		return w.Close()
	}
	inner := multipart.NewWriter(nil)
	if err := inner.SetBoundary(p.boundary("related")); err != nil {
		return err
	}
	related, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Type": {"multipart/related; type=\"text/html\";\r\n boundary=\"" + inner.Boundary() + "\""},
	})
	if err != nil {
		return err
	}
	if err := writeRelated(p, related, inner.Boundary()); err != nil {
		return err
	}
	return w.Close()
}

func writeRelated(p Parts, out io.Writer, boundary string) error {
	w := multipart.NewWriter(out)
	if err := w.SetBoundary(boundary); err != nil {
		return err
	}
	if err := writePart(w, "text/html; charset=utf-8", p.HTML); err != nil {
		return err
	}
	for _, i := range p.Inline {
		part, err := w.CreatePart(textproto.MIMEHeader{
			"Content-Type":              {i.Type},
			"Content-Transfer-Encoding": {"base64"},
			"Content-Disposition":       {"inline"},
			"Content-ID":                {"<" + i.ID + ">"},
		})
		if err != nil {
			return err
		}
		text := base64.StdEncoding.EncodeToString(i.Data)
		for len(text) > 0 {
			n := min(76, len(text))
			if _, err := io.WriteString(part, text[:n]+"\r\n"); err != nil {
				return err
			}
			text = text[n:]
		}
	}
	return w.Close()
}

func writePart(w *multipart.Writer, contentType, text string) error {
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Type":              {contentType},
		"Content-Transfer-Encoding": {"quoted-printable"},
	})
	if err != nil {
		return err
	}
	return writeText(part, text)
}

// writeText writes text in quoted-printable with CR LF line ends, whatever
// line ends it has.
func writeText(w io.Writer, text string) error {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	q := quotedprintable.NewWriter(w)
	if _, err := io.WriteString(q, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		return err
	}
	if err := q.Close(); err != nil {
		return err
	}
	if !strings.HasSuffix(text, "\n") {
		_, err := io.WriteString(w, "\r\n")
		return err
	}
	return nil
}

func samples(text, html string) []Parts {
	p := Parts{
		From: Address{"Sealpost", "vault", "example.org"}, To: Address{"Ada Lovelace", "ada", "example.org"}, Subject: "s",
		MessageID: "<6f1ed002ab5595859014ebf0951522d9@vault.example.org>", Date: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC), Text: text,
	}
	full, pictured := p, p
	full.HTML, pictured.HTML = html, html
	for n := range 4 {
		pictured.Inline = append(pictured.Inline, Image{ID: fmt.Sprintf("logo-%d@sealpost", n), Type: "image/png", Data: bytes.Repeat([]byte(text), n)})
	}
	return []Parts{p, full, pictured}
}

func sameBytes(t *testing.T, text, html string) {
	t.Helper()
	for i, p := range samples(text, html) {
		got, err := Build(p)
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		if err := writeBody(p, &want); err != nil {
			t.Fatal(err)
		}
		const last = "MIME-Version: 1.0\r\n"
		if _, body, _ := bytes.Cut(got, []byte(last)); !bytes.Equal(body, want.Bytes()) {
			t.Errorf("sample %d of %q, %q:\n%q\nwant\n%q", i, text, html, body, want.Bytes())
		}
		for line := range bytes.SplitSeq(got, []byte("\r\n")) {
			if len(line) > 998 || bytes.ContainsAny(line, "\r\n") {
				t.Errorf("a line of %d bytes, or with a bare line end: %q", len(line), line)
			}
		}
		env, err := enmime.ReadEnvelope(bytes.NewReader(got))
		if err != nil || slices.ContainsFunc(env.Errors, func(e *enmime.Error) bool { return e.Severe }) {
			t.Fatalf("sample %d of %q, %q is not read: %v %v", i, text, html, err, env.Errors)
		}
	}
}

func TestTheBytesAreTheStandardLibrarys(t *testing.T) {
	for _, text := range []string{
		"", "\n", "\r", "\r\n", "\n\n", "a", "a\n", " ", "a \n", "a\t", "\t\r\n \n", "=", "==\n", "a=b", "\x00", ".\n.\r\n..", "From me\n",
		"a\rb\r\nc\nd\r\r\n", "ä", "日本語テキスト\n", "\xff\xfe", "Ada\u2060.org", "--=_", "🚀 " + strings.Repeat("🚀", 30),
	} {
		sameBytes(t, text, "<p>"+text+"</p>")
		sameBytes(t, "x", text+"<br>")
		for n := 70; n < 80; n++ {
			pad := strings.Repeat("x", n)
			sameBytes(t, pad+text+pad+pad+pad, pad+"\n"+pad+text)
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add("text", "<p>html</p>")
	f.Add("a \r\n\t\r\n=\xff", strings.Repeat("ä=", 60))
	f.Fuzz(sameBytes)
}
