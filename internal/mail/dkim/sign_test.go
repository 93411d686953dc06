package dkim_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	ours "github.com/sealpost/sealpost/internal/mail/dkim"
	"github.com/sealpost/sealpost/internal/mail/message"
)

var at = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// bigKey is an RSA key, made once: that takes a while.
var bigKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func smallKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
}

// verified returns what an independent implementation says of each signature of
// a message: "" or what is wrong with it.
func verified(t *testing.T, signed []byte, keys ...crypto.Signer) []string {
	t.Helper()
	lookup := func(name string) ([]string, error) {
		for _, k := range keys {
			kind := "rsa"
			if _, ok := k.(ed25519.PrivateKey); ok {
				kind = "ed25519"
			}
			if bytes.Contains(signed, []byte("a="+kind)) && name == kind+"._domainkey.example.org" {
				return []string{"v=DKIM1; k=" + kind + "; p=" + ours.Published(k)}, nil
			}
		}
		return nil, errors.New("no such record")
	}
	all, err := dkim.VerifyWithOptions(bytes.NewReader(signed), &dkim.VerifyOptions{LookupTXT: lookup})
	if err != nil {
		t.Fatalf("%v\n%s", err, signed)
	}
	var out []string
	for _, v := range all {
		if v.Err != nil {
			out = append(out, v.Err.Error())
		} else {
			out = append(out, "")
		}
	}
	return out
}

// letter is a letter as delivery builds it.
func letter(t testing.TB, subject, text, html string, image []byte) []byte {
	t.Helper()
	parts := message.Parts{
		From: message.Address{Name: "Sealpost für Alle", Local: "sealpost", Domain: "example.org"}, To: message.Address{Name: "Ada", Local: "ada", Domain: "example.net"},
		Subject: subject, Text: text, HTML: html, MessageID: "<1234@example.org>", Date: at,
	}
	if image != nil {
		parts.Inline = []message.Image{{ID: "logo@example.org", Type: "image/png", Data: image}}
	}
	b, err := message.Build(parts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// signedByBoth signs with both kinds of keys, whose selectors are their kinds.
func signedByBoth(t testing.TB, m []byte) []byte {
	t.Helper()
	one, err := ours.SignWith(m, "example.org", "ed25519", at, smallKey())
	if err != nil {
		t.Fatal(err)
	}
	two, err := ours.SignWith(m, "example.org", "rsa", at, bigKey())
	if err != nil {
		t.Fatal(err)
	}
	return append(two[:len(two)-len(m):len(two)-len(m)], one...)
}

func TestAnIndependentVerifierAgrees(t *testing.T) {
	long := strings.Repeat("A line with  two spaces and a tab\tand trailing ones \t \r\n", 200)
	for what, m := range map[string][]byte{
		"plain":          letter(t, "Invitation", "Hello,\n\ncome in.\n", "", nil),
		"HTML":           letter(t, "Grüße aus Zürich, and a subject that is so long that it has to be folded over more than one line", "Text", "<p>Text</p>", nil),
		"with a picture": letter(t, "Logo", "Text", `<img src="cid:logo@example.org">`, bytes.Repeat([]byte{1, 2, 3}, 999)),
		"spaces":         []byte("From:  a@example.org \r\nSubject:\tone   two\r\n\t three \r\nTo:b@example.net\r\n\r\n" + long + "\r\n\r\n"),
		"no body":        []byte("From: a@example.org\r\nSubject: x\r\n\r\n"),
		"empty lines":    []byte("From: a@example.org\r\n\r\n\r\n\r\n \t\r\n"),
		"no last CRLF":   []byte("From: a@example.org\r\n\r\nlast"),
		"two of a kind":  []byte("Subject: one\r\nFrom: a@example.org\r\nSubject: two\r\nTo: c@example.net\r\nTo: d@example.net\r\n\r\nx\r\n"),
	} {
		signed := signedByBoth(t, m)
		if !bytes.HasSuffix(signed, m) {
			t.Errorf("%s: the message was changed", what)
		}
		if got := verified(t, signed, smallKey(), bigKey()); len(got) != 2 || got[0] != "" || got[1] != "" {
			t.Errorf("%s: %q\n%s", what, got, signed)
		}
	}
}

// The guard: whatever a signature covers cannot be changed, nor added to.
func TestWhatIsSignedCannotBeChanged(t *testing.T) {
	m := letter(t, "Reset", "The link", "<p>The link</p>", nil)
	signed := string(signedByBoth(t, m))
	for what, changed := range map[string]string{
		"subject":          strings.Replace(signed, "Subject: Reset", "Subject: Reseh", 1),
		"body":             strings.Replace(signed, "The link", "The lint", 1),
		"added body":       signed + "more\r\n",
		"second From":      strings.Replace(signed, "\r\nTo: ", "\r\nFrom: evil@example.net\r\nTo: ", 1),
		"From in front":    "From: evil@example.net\r\n" + signed,
		"added Reply-To":   "Reply-To: evil@example.net\r\n" + signed,
		"date":             strings.Replace(signed, "Date: Tue", "Date: Wed", 1),
		"message id":       strings.Replace(signed, "<1234@", "<1235@", 1),
		"content type":     strings.Replace(signed, "multipart/alternative", "multipart/mixed", 1),
		"auto-submitted":   strings.Replace(signed, "auto-generated", "no", 1),
		"to":               strings.Replace(signed, "ada@example.net", "eva@example.net", 1),
		"MIME version":     strings.Replace(signed, "MIME-Version: 1.0", "MIME-Version: 2.0", 1),
		"time":             strings.ReplaceAll(signed, "t="+fmt.Sprint(at.Unix()), "t="+fmt.Sprint(at.Unix()+1)),
		"added To":         strings.Replace(signed, "\r\nTo: ", "\r\nTo: other@example.net\r\nTo: ", 1),
		"second Subject":   "Subject: Your account is closed\r\n" + signed,
		"second Date":      "Date: Wed, 25 Nov 2026 12:00:00 +0000\r\n" + signed,
		"second type":      "Content-Type: text/html\r\n" + signed,
		"second encoding":  "Content-Transfer-Encoding: base64\r\n" + signed,
		"second id":        "Message-ID: <1@example.net>\r\n" + signed,
		"second version":   "MIME-Version: 2.0\r\n" + signed,
		"added Cc":         "Cc: other@example.net\r\n" + signed,
		"added Sender":     "Sender: evil@example.net\r\n" + signed,
		"To in front":      "To: other@example.net\r\n" + signed,
		"covered by less":  strings.ReplaceAll(signed, "from:from:", "from:"),
		"another selector": strings.ReplaceAll(signed, "s=rsa;", "s=other;"),
	} {
		if changed == signed {
			t.Fatalf("%s: nothing was changed", what)
		}
		got := verified(t, []byte(changed), smallKey(), bigKey())
		if what == "another selector" {
			if got[0] == "" || got[1] != "" {
				t.Errorf("%s: %q", what, got)
			}
			continue
		}
		if len(got) != 2 || got[0] == "" || got[1] == "" {
			t.Errorf("%s: %q", what, got)
		}
	}
}

func TestTheSameLetterHasTheSameBytes(t *testing.T) {
	m := letter(t, "Once", "Text", "<p>Text</p>", nil)
	first := signedByBoth(t, m)
	if again := signedByBoth(t, m); !bytes.Equal(first, again) {
		t.Errorf("got\n%s\nwant\n%s", again, first)
	}
	for i, line := range strings.Split(string(first[:len(first)-len(m)]), "\r\n") {
		if len(line) > 78 {
			t.Errorf("line %d has %d characters: %s", i, len(line), line)
		}
	}
	head := string(first[:len(first)-len(m)])
	for _, part := range []string{"v=1; a=rsa-sha256; c=relaxed/relaxed;", "a=ed25519-sha256", "d=example.org; s=rsa;", "t=1795521600;", "h=from:from:sender:reply-to:to:to:cc:subject:subject:date:date:message-id:"} {
		if !strings.Contains(strings.ReplaceAll(head, "\r\n  ", ""), part) {
			t.Errorf("%q is missing in\n%s", part, head)
		}
	}
	for _, part := range []string{"l=", "x=", "i="} {
		if strings.Contains(head, " "+part) {
			t.Errorf("%q is in\n%s", part, head)
		}
	}
}

// vector is the example of RFC 8463, appendix A: what it signs, its two
// signatures without their b=, and those.
const vector = "From: Joe SixPack <joe@football.example.com>\r\n" +
	"To: Suzie Q <suzie@shopping.example.net>\r\n" +
	"Subject: Is dinner ready?\r\n" +
	"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n" +
	"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n" +
	"\r\nHi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"

func TestTheExampleOfRFC8463(t *testing.T) {
	decode := func(s string) []byte {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	names := []string{"from", "to", "subject", "date", "message-id", "from", "subject", "date"}
	sum, err := ours.BodyHash([]byte(vector))
	if got := base64.StdEncoding.EncodeToString(sum); err != nil || got != "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=" {
		t.Errorf("bh=%s, %v", got, err)
	}

	digest, err := ours.Signed([]byte(vector), names, []byte("DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"+
		" d=football.example.com; i=@football.example.com;\r\n q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"+
		" subject : date : message-id : from : subject : date;\r\n bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	private := ed25519.NewKeyFromSeed(decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="))
	if got := ours.Published(private); got != "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=" {
		t.Errorf("p=%s", got)
	}
	got := base64.StdEncoding.EncodeToString(ed25519.Sign(private, digest))
	if want := "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="; got != want {
		t.Errorf("Ed25519: b=%s, want %s", got, want)
	}

	digest, err = ours.Signed([]byte(vector), names, []byte("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"+
		" d=football.example.com; i=@football.example.com;\r\n q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"+
		" date : message-id : from : subject : date;\r\n bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(decode("MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"))
	if err != nil {
		t.Fatal(err)
	}
	signature := decode("F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2JzdA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=")
	if err := rsa.VerifyPKCS1v15(public.(*rsa.PublicKey), crypto.SHA256, digest, signature); err != nil {
		t.Errorf("RSA: %v", err)
	}
}

// The example of RFC 6376, section 3.4.5.
func TestTheRelaxedForms(t *testing.T) {
	const m = "A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n"
	header, err := ours.RelaxedHeader([]byte(m))
	if err != nil || header != "a:X\r\nb:Y Z\r\n" {
		t.Errorf("header %q, %v", header, err)
	}
	for body, want := range map[string]string{
		" C \r\nD \t E\r\n\r\n\r\n": " C\r\nD E\r\n",
		"":                          "",
		"\r\n\r\n":                  "",
		"x":                         "x\r\n",
		" \r\n\t":                   "",
		"a\r\n\r\nb\r\n":            "a\r\n\r\nb\r\n",
	} {
		if got := string(ours.RelaxedBody([]byte(body))); got != want {
			t.Errorf("the body %q became %q, want %q", body, got, want)
		}
	}
	empty := sha256.Sum256(nil)
	if got, err := ours.BodyHash([]byte("From: a@example.org\r\n\r\n")); err != nil || !bytes.Equal(got, empty[:]) {
		t.Errorf("an empty body: %x, %v", got, err)
	}
	for _, m := range []string{"", "\r\nbody", " folded: x\r\n\r\n", "no colon\r\n\r\n", "From: a@example.org", "From: a@example.org\r\n", "From a: b\r\n\r\n", ": x\r\n\r\n"} {
		if _, err := ours.SignWith([]byte(m), "example.org", "s", at, smallKey()); err == nil {
			t.Errorf("%q is a message", m)
		}
	}
}

func TestRecords(t *testing.T) {
	r := ours.RecordOf(ours.RSA, "sealpost202611", "example.org", ours.Published(bigKey()))
	if r.Name != "sealpost202611._domainkey.example.org" || r.Host != "sealpost202611._domainkey" || !strings.HasPrefix(r.Value, "v=DKIM1; k=rsa; p=MII") {
		t.Errorf("got %+v", r)
	}
	if len(r.Strings) != 2 || len(r.Strings[0]) != 255 || strings.Join(r.Strings, "") != r.Value {
		t.Errorf("got strings %q", r.Strings)
	}
	if want := r.Name + `. IN TXT ( "` + r.Strings[0] + "\"\n    \"" + r.Strings[1] + `" )`; r.Zone() != want {
		t.Errorf("got %s, want %s", r.Zone(), want)
	}
	small := ours.RecordOf(ours.Ed25519, "s", "example.org", ours.Published(smallKey()))
	if len(small.Strings) != 1 || !strings.HasPrefix(small.Value, "v=DKIM1; k=ed25519; p=") {
		t.Errorf("got %+v", small)
	}
	for sender, want := range map[string]string{
		"example.org": "example.org", "a.b.example.org": "a.b.example.org b.example.org example.org", "mail.example.co.uk": "mail.example.co.uk example.co.uk",
		"vault.local": "vault.local", "": "",
	} {
		if got := strings.Join(ours.DomainsOf(sender), " "); got != want {
			t.Errorf("for %s one may sign as %q, want %q", sender, got, want)
		}
	}
}

func FuzzSign(f *testing.F) {
	for _, s := range []string{vector, "From: a\r\n\r\n", "a:\r\n b\r\n\r\n\r\n", "From:x\r\nFrom : y\r\n\r\n \r\n", "x: \t\r\n\t\r\n\r\nq", "From: a\r\n\r\n\n.\n\r"} {
		f.Add([]byte(s))
	}
	key := smallKey()
	f.Fuzz(func(t *testing.T, m []byte) {
		signed, err := ours.SignWith(m, "example.org", "ed25519", at, key)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(signed, m) {
			t.Fatal("the message was changed")
		}
		again, err := ours.SignWith(m, "example.org", "ed25519", at, key)
		if err != nil || !bytes.Equal(signed, again) {
			t.Fatal("two signatures differ")
		}
	})
}

func BenchmarkSign(b *testing.B) {
	m := letter(b, "Invitation", strings.Repeat("Some words of a letter, which is not long.\n", 60), strings.Repeat("<p>Some words of a letter, which is not long.</p>\n", 40), nil)
	for name, key := range map[string]crypto.Signer{"rsa-2048": bigKey(), "ed25519": smallKey()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ours.SignWith(m, "example.org", "s", at, key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
