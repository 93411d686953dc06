package diagnose_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/secret"
)

// parrot is a mail server in memory that greets, offers a sign-in, and then says
// what a test has for it, with what it heard last in the place of "$" and that
// decoded in the place of "&".
type parrot struct {
	net.Conn
	words [][]byte
	out   bytes.Buffer
	heard string
}

func (p *parrot) Write(b []byte) (int, error) {
	line := strings.TrimRight(string(b), "\r\n")
	p.heard = line[strings.LastIndex(line, " ")+1:]
	switch {
	case strings.HasPrefix(line, "EHLO"):
		p.out.WriteString("250-parrot\r\n250 AUTH PLAIN LOGIN CRAM-MD5 XOAUTH2 OAUTHBEARER SCRAM-SHA-256\r\n")
	case len(p.words) > 0:
		said := bytes.ReplaceAll(p.words[0], []byte("$"), []byte(p.heard))
		if plain, err := base64.StdEncoding.DecodeString(p.heard); err == nil {
			said = bytes.ReplaceAll(said, []byte("&"), bytes.ReplaceAll(plain, []byte{0}, []byte(" ")))
		}
		p.out.Write(said)
		p.words = p.words[1:]
	}
	return len(b), nil
}

func (p *parrot) Read(b []byte) (int, error)                             { return p.out.Read(b) }
func (*parrot) Close() error                                             { return nil }
func (*parrot) SetDeadline(time.Time) error                              { return nil }
func (*parrot) SetReadDeadline(time.Time) error                          { return nil }
func (*parrot) SetWriteDeadline(time.Time) error                         { return nil }
func (*parrot) RemoteAddr() net.Addr                                     { return &net.TCPAddr{} }
func (p *parrot) dial(context.Context, string, string) (net.Conn, error) { return p, nil }

// Whatever a server says and whatever the credential is: what is kept of a test
// holds neither the credential nor a form of it that was said.
func FuzzTranscript(f *testing.F) {
	for i := range sasl.Strength() {
		f.Add([]byte("334 \r\n|535 5.7.8 no $\r\n"), "harbour-7", uint8(i))
		f.Add([]byte("334 VXNlcm5hbWU6\r\n|334 UGFzc3dvcmQ6\r\n|535-5.7.8 & is\r\n535 5.7.8 wrong: &\r\n"), "X&$ \u00e9 long enough", uint8(i))
		f.Add([]byte("235 hello $ &\r\n|250 $\r\n|550 & & ada@example.org\r\n"), "aaaaaaaaaaaaaaaaaaaa", uint8(i))
		f.Add([]byte("334 $\r\n|334 $\r\n|501 &$&\r\n"), "0123456789abcdef0123456789abcdef", uint8(i))
	}
	f.Fuzz(func(t *testing.T, words []byte, word string, way uint8) {
		// What stands in every dialogue anyway is no secret that could be told by
		// one, and what is shorter than four bytes stands in innocent words.
		credential := "Zq~" + word
		if len(word) < 3 || len(word) > 200 || strings.ContainsAny(word, "\x00\r\n\x01") || bytes.Contains(words, []byte(credential)) {
			t.Skip()
		}
		p := &parrot{words: bytes.Split(words, []byte("|"))}
		p.out.WriteString("220 parrot\r\n")
		mechanisms := sasl.Strength()
		cfg := smtp.Config{
			Host: "mail.example.org", Port: 25, Security: smtp.None, AllowClearAuth: true, LocalName: "vault.example.net", Dial: p.dial,
			Auth:       &smtp.Auth{Credential: sasl.Credential{Username: "vault", Password: secret.New(credential)}, Mechanism: mechanisms[int(way)%len(mechanisms)]},
			Transcript: &smtp.Transcript{Mask: way%2 == 0},
		}
		conn, err := smtp.Dial(t.Context(), cfg)
		told := ""
		if err == nil {
			body := []byte("Subject: x\r\n\r\nx\r\n")
			err = conn.Send(t.Context(), smtp.Each(smtp.Submission{From: "a@b.org", To: []string{"c@d.org"}, Body: body}), func(_ int, r smtp.Result) {
				if r.Err != nil {
					told += r.Err.Error()
				}
			})
			_ = conn.Close()
		}
		var e *smtp.Error
		if errors.As(err, &e) {
			told += e.Error() + e.Reply()
		}
		report := diagnose.Report{Transcript: cfg.Transcript.Lines(), Server: "mail.example.org:25", Whole: way%2 == 1}
		b, err := report.JSON()
		if err != nil {
			t.Fatal(err)
		}
		told += report.File("fuzz") + string(b)
		for _, form := range []string{credential, base64.StdEncoding.EncodeToString([]byte(credential)), base64.StdEncoding.EncodeToString([]byte("\x00vault\x00" + credential))} {
			if strings.Contains(told, form) {
				t.Fatalf("%q is told:\n%s", form, told)
			}
		}
		lines := bufio.NewScanner(strings.NewReader(strings.Join(cfg.Transcript.Lines(), "\n")))
		for lines.Scan() {
			if cfg.Transcript.Mask && strings.Contains(lines.Text(), "ada@") {
				t.Fatalf("an address is told: %q", lines.Text())
			}
		}
	})
}
