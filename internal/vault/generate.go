package vault

import (
	"crypto/rand"
	_ "embed"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/bits"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
)

// wordList holds 2048 common English words, one a line: 11 bits each.
//
//go:embed words.txt
var wordList string

// The kinds of generated passwords.
const (
	// Characters: letters, digits and symbols.
	Characters = "characters"
	// Words: a passphrase.
	Words = "words"
)

// Recipe says what a generated password is like.
type Recipe struct {
	// Kind is [Characters] or [Words].
	Kind string
	// Length is the number of characters, 8 to 128.
	Length int
	// Lower, Upper, Digits and Symbols are the classes to draw from; at least
	// one character of each chosen class is there. NoLookAlikes leaves out
	// what people mistake for something else.
	Lower, Upper, Digits, Symbols, NoLookAlikes bool
	// Words is the number of words, 4 to 12.
	Words int
	// Separator stands between words: up to 3 spaces or signs. It may be
	// empty where words have capitals.
	Separator string
	// Capitals begins each word with one, Number puts a digit behind one of
	// them.
	Capitals, Number bool
}

const (
	minLength, maxLength = 8, 128
	minWords, maxWords   = 4, 12
	maxSeparator         = 3
)

// The classes of characters. Quotes, backslash and space are not among the
// symbols: too many programs read them as something else.
const (
	lowerCase  = "abcdefghijklmnopqrstuvwxyz"
	upperCase  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits     = "0123456789"
	symbols    = "!#$%&()*+,-./:;<=>?@[]^_{}~"
	lookAlikes = "0Oo1Il5S2Z8B,.:;"
)

// DefaultRecipe returns what forms offer first: 20 characters of all classes,
// without look-alikes; and for passphrases five words with hyphens.
func DefaultRecipe() Recipe {
	return Recipe{
		Kind: Characters, Length: 20, Lower: true, Upper: true, Digits: true, Symbols: true, NoLookAlikes: true,
		Words: 5, Separator: "-",
	}
}

// Check says what is wrong with the recipe, or nil.
func (r Recipe) Check() error {
	var c fault.Check
	switch r.Kind {
	case Characters:
		c.That(r.Length >= minLength && r.Length <= maxLength, "length", fmt.Sprintf("Choose a length of %d to %d characters.", minLength, maxLength))
		c.That(len(r.classes()) > 0, "classes", "Choose at least one sort of characters.")
	case Words:
		c.That(r.Words >= minWords && r.Words <= maxWords, "words", fmt.Sprintf("Choose %d to %d words.", minWords, maxWords))
		separates := func(r rune) bool {
			return r == ' ' || r < unicode.MaxASCII && (unicode.IsPunct(r) || unicode.IsSymbol(r))
		}
		plain := !strings.ContainsFunc(r.Separator, func(r rune) bool { return !separates(r) })
		c.That(plain && len(r.Separator) <= maxSeparator, "separator", fmt.Sprintf("Separate words by up to %d spaces or signs like - and _.", maxSeparator))
		// Else "for" and "get" would be the same as "forget", and the
		// passphrase weaker than said.
		c.That(r.Separator != "" || r.Capitals, "separator", "Words without anything between them need capital letters.")
	default:
		c.That(false, "kind", "Choose characters or words.")
	}
	return c.Err()
}

// classes returns the characters of each chosen class.
func (r Recipe) classes() []string {
	var out []string
	for _, class := range []struct {
		wanted bool
		all    string
	}{{r.Lower, lowerCase}, {r.Upper, upperCase}, {r.Digits, digits}, {r.Symbols, symbols}} {
		if !class.wanted {
			continue
		}
		all := class.all
		if r.NoLookAlikes {
			all = strings.Map(func(c rune) rune {
				if strings.ContainsRune(lookAlikes, c) {
					return -1
				}
				return c
			}, all)
		}
		out = append(out, all)
	}
	return out
}

// Generate returns a new password and how many bits of chance are in it,
// rounded down. Each password that fits the recipe is as likely as any other.
func (s *Service) Generate(r Recipe) (password secret.Value, strength int, err error) {
	if err := r.Check(); err != nil {
		return secret.Value{}, 0, err
	}
	var text string
	if r.Kind == Words {
		text, err = s.phrase(r)
	} else {
		text, err = characters(s.Random, r.Length, r.classes())
	}
	if err != nil {
		return secret.Value{}, 0, fault.Internal(err)
	}
	return secret.New(text), int(r.bits(len(s.words))), nil
}

// characters draws until each class is there. To put one of each in a chosen
// place would make some passwords likelier than others.
func characters(random io.Reader, length int, classes []string) (string, error) {
	all := strings.Join(classes, "")
	for {
		b := make([]byte, length)
		for i := range b {
			n, err := below(random, len(all))
			if err != nil {
				return "", err
			}
			b[i] = all[n]
		}
		if !slices.ContainsFunc(classes, func(class string) bool { return !strings.ContainsAny(string(b), class) }) {
			return string(b), nil
		}
	}
}

func (s *Service) phrase(r Recipe) (string, error) {
	chosen := make([]string, r.Words)
	for i := range chosen {
		n, err := below(s.Random, len(s.words))
		if err != nil {
			return "", err
		}
		chosen[i] = s.words[n]
		if r.Capitals {
			chosen[i] = strings.ToUpper(chosen[i][:1]) + chosen[i][1:]
		}
	}
	if r.Number {
		n, err := below(s.Random, 10*len(chosen))
		if err != nil {
			return "", err
		}
		chosen[n/10] += fmt.Sprint(n % 10)
	}
	return strings.Join(chosen, r.Separator), nil
}

// below returns a number from 0 to n-1, each as likely as the others.
func below(random io.Reader, n int) (int, error) {
	v, err := rand.Int(random, big.NewInt(int64(n)))
	if err != nil {
		return 0, fmt.Errorf("vault: no randomness: %w", err)
	}
	return int(v.Int64()), nil
}

// bits returns the logarithm of how many passwords fit the recipe.
func (r Recipe) bits(words int) float64 {
	if r.Kind == Words {
		b := float64(r.Words) * math.Log2(float64(words))
		if r.Number {
			b += math.Log2(float64(10 * r.Words))
		}
		return b
	}
	return math.Log2(fitting(r.Length, r.classes()))
}

// fitting counts the passwords of a length that have each class: all, less
// those without one of them, plus those without two, and so on.
func fitting(length int, classes []string) float64 {
	count := 0.0
	for without := range 1 << len(classes) {
		size := 0
		for i, class := range classes {
			if without&(1<<i) == 0 {
				size += utf8.RuneCountInString(class)
			}
		}
		sign := 1.0
		if bits.OnesCount(uint(without))%2 == 1 {
			sign = -1
		}
		count += sign * math.Pow(float64(size), float64(length))
	}
	return count
}
