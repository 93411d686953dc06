package vault_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"math"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"

	"pgregory.net/rapid"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
	"github.com/sealpost/sealpost/internal/vault"
)

func TestTheWordList(t *testing.T) {
	words := strings.Split(strings.TrimSuffix(vault.WordList(), "\n"), "\n")
	if len(words) != 2048 {
		t.Errorf("%d words, want 2048: the strength of passphrases is counted by it", len(words))
	}
	seen := map[string]bool{}
	for _, w := range words {
		if seen[w] {
			t.Errorf("%q stands twice", w)
		}
		seen[w] = true
		if len(w) < 3 || len(w) > 8 || strings.ContainsFunc(w, func(r rune) bool { return r < 'a' || r > 'z' }) {
			t.Errorf("%q is not 3 to 8 lower-case letters", w)
		}
	}
	if !slices.IsSorted(words) {
		t.Error("the words are not in order")
	}
}

func recipes() *rapid.Generator[vault.Recipe] {
	return rapid.Custom(func(t *rapid.T) vault.Recipe {
		flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
		return vault.Recipe{
			Kind:   rapid.SampledFrom([]string{vault.Characters, vault.Words, ""}).Draw(t, "kind"),
			Length: rapid.IntRange(7, 129).Draw(t, "length"), Lower: flag("lower"), Upper: flag("upper"), Digits: flag("digits"),
			Symbols: flag("symbols"), NoLookAlikes: flag("no look-alikes"), Words: rapid.IntRange(3, 13).Draw(t, "words"),
			Separator: rapid.SampledFrom([]string{"", "-", " ", "_", ".-.", "--- ", "a", "1", "ä", "\x00", "‑"}).Draw(t, "separator"),
			Capitals:  flag("capitals"), Number: flag("number"),
		}
	})
}

func TestGeneratedPasswordsFitTheirRecipe(t *testing.T) {
	s := newRig(t, storetest.Open(t, store.SQLite), storetest.NewClock().Now).vault
	words := map[string]bool{}
	for _, w := range strings.Fields(vault.WordList()) {
		words[w] = true
	}
	rapid.Check(t, func(t *rapid.T) {
		r := recipes().Draw(t, "recipe")
		pw, strength, err := s.Generate(r)
		if bad := r.Check(); bad != nil {
			if !fault.Is(err, fault.KindInvalid) || !pw.IsZero() || len(fault.Fields(err)) == 0 {
				t.Fatalf("a bad recipe gave %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == vault.Words {
			checkPhrase(t, r, pw.Reveal(), strength, words)
			return
		}
		checkCharacters(t, r, pw.Reveal(), strength)
	})
}

func checkCharacters(t *rapid.T, r vault.Recipe, text string, strength int) {
	if len(text) != r.Length {
		t.Fatalf("%q has %d characters", text, len(text))
	}
	size := 0
	for _, class := range r.Classes() {
		size += len(class)
		if !strings.ContainsAny(text, class) {
			t.Fatalf("%q has none of %q", text, class)
		}
		if r.NoLookAlikes && strings.ContainsAny(class, vault.LookAlikes) {
			t.Fatalf("%q has look-alikes", class)
		}
	}
	if strings.Trim(text, strings.Join(r.Classes(), "")) != "" {
		t.Fatalf("%q has more than it should", text)
	}
	most := float64(r.Length) * math.Log2(float64(size))
	if float64(strength) > most || float64(strength) < most-float64(2*len(r.Classes()))-2 {
		t.Fatalf("%d characters of %d: %d bits", r.Length, size, strength)
	}
}

func checkPhrase(t *rapid.T, r vault.Recipe, text string, strength int, words map[string]bool) {
	var found, numbers int
	rest := text
	for rest != "" {
		end := strings.IndexFunc(rest[1:], func(r rune) bool { return !unicode.IsLower(r) }) + 1
		if end == 0 {
			end = len(rest)
		}
		word := rest[:end]
		if unicode.IsUpper(rune(word[0])) != r.Capitals || !words[strings.ToLower(word)] {
			t.Fatalf("%q holds %q", text, word)
		}
		found++
		rest = rest[end:]
		if rest != "" && unicode.IsDigit(rune(rest[0])) {
			rest = rest[1:]
			numbers++
		}
		if found < r.Words {
			if !strings.HasPrefix(rest, r.Separator) {
				t.Fatalf("%q is not separated by %q", text, r.Separator)
			}
			rest = rest[len(r.Separator):]
		}
	}
	bits := 11 * r.Words
	if r.Number {
		bits = int(11*float64(r.Words) + math.Log2(float64(10*r.Words)))
	}
	if found != r.Words || numbers != map[bool]int{true: 1}[r.Number] || strength != bits {
		t.Fatalf("%q: %d words, %d numbers, %d bits", text, found, numbers, strength)
	}
}

func TestWhatIsOfferedFirst(t *testing.T) {
	s := newRig(t, storetest.Open(t, store.SQLite), storetest.NewClock().Now).vault
	r := vault.DefaultRecipe()
	for kind, least := range map[string]int{vault.Characters: 120, vault.Words: 55} {
		r.Kind = kind
		seen := map[string]bool{}
		for range 500 {
			pw, bits, err := s.Generate(r)
			if err != nil || bits < least || seen[pw.Reveal()] {
				t.Fatalf("%s: %v, %d bits, seen %v", kind, err, bits, seen[pw.Reveal()])
			}
			seen[pw.Reveal()] = true
		}
	}
	if vault.LookAlikes == "" || !strings.Contains(vault.AllLower+vault.AllUpper+vault.AllDigits+vault.AllSymbols, "l") {
		t.Error("the classes are empty")
	}
}

// TestTheStrengthIsCounted counts every password of small classes.
func TestTheStrengthIsCounted(t *testing.T) {
	for _, classes := range [][]string{{"ab"}, {"ab", "1"}, {"a", "1", "!"}, {"abc", "12", "!"}, {"ab", "AB", "1", "!"}} {
		all := strings.Join(classes, "")
		for length := 1; length <= 5; length++ {
			count := 0.0
			var grow func(text string)
			grow = func(text string) {
				if len(text) == length {
					if !slices.ContainsFunc(classes, func(c string) bool { return !strings.ContainsAny(text, c) }) {
						count++
					}
					return
				}
				for _, c := range all {
					grow(text + string(c))
				}
			}
			grow("")
			if got := vault.Fitting(length, classes); got != count {
				t.Errorf("%q in %d characters: reckoned %v, counted %v", classes, length, got, count)
			}
		}
	}
}

// TestEveryPasswordIsAsLikely draws short passwords and compares how often
// each came. One in a hundred million runs fails by chance.
func TestEveryPasswordIsAsLikely(t *testing.T) {
	classes := []string{"abc", "1"}
	kinds := int(vault.Fitting(3, classes))
	const draws = 36_000
	counts := map[string]int{}
	for range draws {
		pw, err := vault.Draw(rand.Reader, 3, classes)
		if err != nil {
			t.Fatal(err)
		}
		counts[pw]++
	}
	if len(counts) != kinds {
		t.Errorf("%d different passwords of %d", len(counts), kinds)
	}
	mean := float64(draws) / float64(kinds)
	for pw, n := range counts {
		if d := math.Abs(float64(n)-mean) / math.Sqrt(mean); d > 7 {
			t.Errorf("%q came %d times, want about %.0f", pw, n, mean)
		}
	}
}

func TestWithoutRandomnessNothingIsGenerated(t *testing.T) {
	r := newRig(t, storetest.Open(t, store.SQLite), storetest.NewClock().Now)
	for _, kind := range []string{vault.Characters, vault.Words} {
		for _, some := range []int{0, 1, 5} {
			c := r.vault.Config
			c.Random = iotest.TimeoutReader(bytes.NewReader(make([]byte, some)))
			s, err := vault.New(c)
			if err != nil {
				t.Fatal(err)
			}
			recipe := vault.DefaultRecipe()
			recipe.Kind = kind
			pw, _, err := s.Generate(recipe)
			if !fault.Is(err, fault.KindInternal) || !pw.IsZero() {
				t.Errorf("%s with %d bytes of randomness: %v", kind, some, err)
			}
		}
	}
	if _, err := vault.New(vault.Config{}); err == nil || errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("a vault of nothing: %v", err)
	}
}

// FuzzURL holds that an URL that is kept names a host and no program, and that
// what becomes a link is a web address.
func FuzzURL(f *testing.F) {
	for _, seed := range []string{"https://example.org", "javascript:alert(1)", "HTTPS://x", "ssh://root@db1:22", "//x", "https:x", "http://[::1]/", "data:,x", "\thttps://x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" || vault.CheckURL(text) != nil {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || strings.ContainsAny(text, " \t\r\n\x00") || strings.Contains(u.Host, `\`) {
			t.Fatalf("%q was kept", text)
		}
		for _, program := range []string{"javascript", "data", "vbscript", "file", "blob", "about", "view-source"} {
			if strings.EqualFold(u.Scheme, program) {
				t.Fatalf("%q was kept", text)
			}
		}
		link := vault.Fields{URL: text}.Link()
		lower := strings.ToLower(link)
		if link != "" && !strings.HasPrefix(lower, "http://") && !strings.HasPrefix(lower, "https://") {
			t.Fatalf("%q is a link", text)
		}
	})
}
