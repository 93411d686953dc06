package identity_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
)

func TestPasswordStrength(t *testing.T) {
	r := onSQLite(t)
	own := []string{"Grace Hopper", "ghopper", "grace@naval.example.org", "Example Ltd"}
	for _, c := range []struct {
		password string
		ok       bool
		least    int
	}{
		{"", false, 0},
		{"kX9#vQ2!mZ7", false, 0}, // eleven characters, whatever they are
		{"passwordpassword", false, 0},
		{"Password12345!", false, 0},
		{"P@ssw0rd2026!!", false, 0},
		{"drowssap12345", false, 0},
		{"qwertyuiop123", false, 0},
		{"1qaz2wsx3edc4rfv", false, 0},
		{"aaaaaaaaaaaaaaaaaaaa", false, 0},
		{"abcabcabcabcabc", false, 0},
		{"123456789012345", false, 0},
		{"Summer2026Summer", false, 0},
		{"sealpost-admin-2026", false, 0},
		{"GraceHopper1906", false, 0},
		{"ghopper@example", false, 0},
		{"iloveyouforever", false, 0},
		{"Liverpool-Gerrard8", false, 0},
		{"MinecraftPikachu1", false, 0},
		{"Schalke04Fussball", false, 0},
		{"m1cha3ljacks0n!", false, 0},
		{"contrasena123456", false, 0},
		{"letmeinletmein99", false, 0},
		{"5555566666777777", false, 0},
		{"ronaldoseptember", false, 0},
		{"gherkin-anvil-sextant", true, 3},
		{"tRx8-mQpz-44kd", true, 3},
		{"violet-tugboat-harbour", true, 3},
		{"Zwölf Boxkämpfer jagen Viktor", true, 4},
		{"9fK$w2-Lq7!vXz3pB", true, 4},
	} {
		got, err := r.id.CheckPassword(own, secret.New(c.password))
		if (err == nil) != c.ok || got.Score < c.least || c.ok && got.Score < 2 || !c.ok && got.Score >= 2 {
			t.Errorf("%q: got score %d, %v; want accepted %v, score %d or more", c.password, got.Score, err, c.ok, c.least)
		}
		if err != nil && fault.Fields(err)[0].Field != "password" {
			t.Errorf("%q: the fault stands at %q", c.password, fault.Fields(err)[0].Field)
		}
	}
	// What makes GraceHopper1906 weak is whose it is.
	if got, err := r.id.CheckPassword(nil, secret.New("ghopper-zephyrus")); err != nil {
		t.Errorf("somebody else's name: %v %v", got, err)
	}
}

func FuzzCheckPassword(f *testing.F) {
	for _, seed := range []string{"", "a", "İstanbul-ẞ-ß", "\xff\xfe", "1qaz2wsx", "aaaaaaaaaaaaaaaaaaaaaaaa"} {
		f.Add(seed, "Grace")
	}
	r := onSQLite(f)
	f.Fuzz(func(t *testing.T, password, own string) {
		st, err := r.id.CheckPassword([]string{own}, secret.New(password))
		if st.Score < 0 || st.Score > 4 || err == nil && st.Score < 2 {
			t.Errorf("%q: %+v, %v", password, st, err)
		}
	})
}

// TestTheListOfKnownPasswords holds the list's form: small, each word once,
// and none of it taken, also not doubled and with a year.
func TestTheListOfKnownPasswords(t *testing.T) {
	list, err := os.ReadFile("guess/passwords.txt")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(list))
	if len(list) > 40_000 || len(words) < 3000 {
		t.Errorf("%d words in %d bytes, want at least 3000 in 40000", len(words), len(list))
	}
	r := onSQLite(t)
	seen := map[string]bool{}
	for _, w := range words {
		if seen[w] || w != strings.ToLower(w) {
			t.Errorf("%q stands twice or has capitals", w)
		}
		seen[w] = true
		for _, password := range []string{w, w + w, strings.ToUpper(w[:1]) + w[1:] + "2026!"} {
			if _, err := r.id.CheckPassword(nil, secret.New(password)); err == nil {
				t.Errorf("%q is taken", password)
			}
		}
	}
}
