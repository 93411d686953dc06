package sasl

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/secret"
)

func cred(user, password string) Credential {
	return Credential{Username: user, Password: secret.New(password)}
}

// The examples of RFC 5802 section 5 and RFC 7677 section 3.
func TestSCRAMAsTheRFCsShowIt(t *testing.T) {
	for _, tt := range []struct{ name, nonce, first, serverFirst, final, serverFinal string }{
		{
			SCRAMSHA1, "fyko+d2lbbFgONRv9qkxdawL", "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
		},
		{
			SCRAMSHA256, "rOprNGfwEbeRWgbNEkqO", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
		},
	} {
		nonce, err := base64.StdEncoding.DecodeString(tt.nonce)
		if err != nil {
			t.Fatal(err)
		}
		m := newSCRAM(tt.name, cred("user", "pencil"), nonce)
		first, _, _ := m.Start()
		if first.Reveal() != tt.first {
			t.Errorf("%s: first is %q", tt.name, first.Reveal())
		}
		if !errors.Is(m.Done(), ErrServer) {
			t.Errorf("%s: success before the server proved itself was believed", tt.name)
		}
		final, err := m.Next([]byte(tt.serverFirst))
		if err != nil || final.Reveal() != tt.final {
			t.Errorf("%s: final is %q, %v", tt.name, final.Reveal(), err)
		}
		if !errors.Is(m.Done(), ErrServer) {
			t.Errorf("%s: success without the server's signature was believed", tt.name)
		}
		if _, err := m.Next([]byte(tt.serverFinal)); err != nil || m.Done() != nil {
			t.Errorf("%s: %v, %v", tt.name, err, m.Done())
		}
	}
}

func TestSCRAMRefusesBadServers(t *testing.T) {
	nonce := []byte("123456789012345678")
	ours := base64.StdEncoding.EncodeToString(nonce)
	for what, first := range map[string]string{
		"another nonce":       "r=zzzz,s=QSXCR+Q6sek8bf92,i=4096",
		"our nonce alone":     "r=" + ours + ",s=QSXCR+Q6sek8bf92,i=4096",
		"few iterations":      "r=" + ours + "x,s=QSXCR+Q6sek8bf92,i=1",
		"endless iterations":  "r=" + ours + "x,s=QSXCR+Q6sek8bf92,i=999999999",
		"no salt":             "r=" + ours + "x,s=,i=4096",
		"mandatory extension": "m=ext,r=" + ours + "x,s=QSXCR+Q6sek8bf92,i=4096",
		"nothing":             "",
		"too long":            strings.Repeat("r", maxServerMessage+1),
	} {
		m := newSCRAM(SCRAMSHA256, cred("user", "pencil"), nonce)
		_, _, _ = m.Start()
		if _, err := m.Next([]byte(first)); !errors.Is(err, ErrChallenge) {
			t.Errorf("%s: %v", what, err)
		}
	}
	m := newSCRAM(SCRAMSHA256, cred("user", "pencil"), nonce)
	_, _, _ = m.Start()
	if _, err := m.Next([]byte("r=" + ours + "x,s=QSXCR+Q6sek8bf92,i=4096")); err != nil {
		t.Fatal(err)
	}
	for _, final := range []string{"v=AAAA", "e=invalid-proof", "", "v=!"} {
		if _, err := m.Next([]byte(final)); err == nil || m.Done() == nil {
			t.Errorf("the final %q was believed", final)
		}
		m.step = 1
	}
}

func TestSCRAMEscapesTheUserName(t *testing.T) {
	m := newSCRAM(SCRAMSHA1, cred("a=b,c", "x"), []byte("n"))
	first, _, _ := m.Start()
	if !strings.HasPrefix(first.Reveal(), "n,,n=a=3Db=2Cc,r=") {
		t.Errorf("got %q", first.Reveal())
	}
}

func TestPlainLoginAndCRAM(t *testing.T) {
	p, _ := New(Plain, cred("tim", "tanstaaftanstaaf"))
	if ir, ok, _ := p.Start(); !ok || ir.Reveal() != "\x00tim\x00tanstaaftanstaaf" {
		t.Errorf("PLAIN starts with %q", ir.Reveal())
	}
	if _, err := p.Next(nil); !errors.Is(err, ErrChallenge) {
		t.Error("PLAIN answered a challenge")
	}

	// RFC 2195 section 2.
	c, _ := New(CRAMMD5, cred("tim", "tanstaaftanstaaf"))
	got, err := c.Next([]byte("<1896.697170952@postoffice.reston.mci.net>"))
	if err != nil || got.Reveal() != "tim b913a602c7eda7a495b4e6e7334d3890" {
		t.Errorf("CRAM-MD5: %q, %v", got.Reveal(), err)
	}

	l, _ := New(Login, cred("tim", "secret"))
	if l.Done() == nil {
		t.Error("LOGIN: success before the password was asked for was believed")
	}
	u, _ := l.Next([]byte("Username:"))
	w, _ := l.Next([]byte("Password:"))
	if u.Reveal() != "tim" || w.Reveal() != "secret" || l.Done() != nil {
		t.Errorf("LOGIN: %q %q", u.Reveal(), w.Reveal())
	}
	if _, err := l.Next(nil); !errors.Is(err, ErrChallenge) {
		t.Error("LOGIN answered a third prompt")
	}
}

func TestCredentialsThatCannotBeSentAreRefused(t *testing.T) {
	for _, c := range []Credential{cred("", "x"), cred("x", ""), cred("a\x00b", "x"), cred("a\r\nb", "x"), cred("a", "b\x00c")} {
		if m, err := New(Plain, c); err == nil {
			t.Errorf("%q was taken by %s", c.Username, m.Name())
		}
	}
}

func TestChoose(t *testing.T) {
	for _, tt := range []struct {
		offered   string
		fixed     string
		encrypted bool
		want      string
	}{
		{"PLAIN LOGIN", "", true, Plain},
		{"LOGIN", "", true, Login},
		{"PLAIN SCRAM-SHA-1 SCRAM-SHA-256", "", true, SCRAMSHA256},
		{"plain scram-sha-1", "", true, SCRAMSHA1},
		{"PLAIN CRAM-MD5", "", true, Plain},
		{"PLAIN CRAM-MD5", "", false, CRAMMD5},
		{"CRAM-MD5", "", true, CRAMMD5},
		{"PLAIN LOGIN", "LOGIN", true, Login},
		{"PLAIN LOGIN", "SCRAM-SHA-256", true, ""},
		{"XOAUTH2 GSSAPI", "", true, ""},
		{"", "", true, ""},
	} {
		got, err := cred("user", "pencil").Choose(strings.Fields(tt.offered), tt.fixed, tt.encrypted)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q fixed %q: got %q, %v; want %q", tt.offered, tt.fixed, got, err, tt.want)
		}
	}
}

func FuzzServerFirst(f *testing.F) {
	f.Add("r=abc,s=QSXCR+Q6sek8bf92,i=4096")
	f.Add("r=,s=,i=")
	f.Fuzz(func(t *testing.T, text string) {
		nonce, salt, n, err := parseServerFirst(text)
		if err == nil && (len(salt) == 0 || n < minIterations || n > maxIterations || strings.Contains(nonce, ",")) {
			t.Fatalf("%q gave %q %v %d", text, nonce, salt, n)
		}
	})
}
