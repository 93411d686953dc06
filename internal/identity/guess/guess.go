// Package guess owns the guesser's side of a password: what people choose, and
// how soon somebody who knows that comes to it. It refuses to say whether a
// password is good enough, which is for package identity.
package guess

import (
	_ "embed"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// passwords.txt holds what people choose, the most common first, and what
// else a guesser tries early.
//
//go:embed passwords.txt
var passwordList string

// Dictionary finds the parts of a password that a guesser knows. It does not
// change once made, and serves several goroutines.
type Dictionary struct {
	rank    map[string]int
	longest int
}

// New returns the dictionary of what people choose.
func New() *Dictionary {
	words := strings.Fields(passwordList)
	d := &Dictionary{rank: make(map[string]int, len(words))}
	for _, w := range words {
		d.add(w, len(d.rank)+1)
	}
	return d
}

func (d *Dictionary) add(word string, rank int) {
	if _, known := d.rank[word]; !known {
		d.rank[word] = rank
		d.longest = max(d.longest, utf8.RuneCountInString(word))
	}
}

// Bits estimates the binary logarithm of the guesses that a password takes: it
// is cut into known parts in the way that is cheapest for the guesser, who
// tries the words of own first.
func (d *Dictionary) Bits(password string, own []string) float64 {
	runes := []rune(password)
	lower := []rune(strings.ToLower(password))
	if len(lower) != len(runes) {
		lower = runes
	}
	plain := make([]rune, len(lower))
	for i, r := range lower {
		plain[i] = unleet(r)
	}
	mine := &Dictionary{rank: map[string]int{}}
	for _, o := range own {
		for _, w := range strings.FieldsFunc(strings.ToLower(o), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			if utf8.RuneCountInString(w) >= 3 {
				mine.add(w, 1)
			}
		}
	}
	best := make([]float64, len(runes)+1)
	for end := 1; end <= len(runes); end++ {
		best[end] = best[end-1] + alphabetBits(runes[end-1])
		for start := max(0, end-40); start <= end-3; start++ {
			cost := min(patternBits(lower[start:end]), repeatBits(lower[start:end]))
			for _, words := range []*Dictionary{d, mine} {
				cost = min(cost, words.wordBits(runes[start:end], lower[start:end], plain[start:end]))
			}
			// Which part stands where is worth a guess or two itself.
			best[end] = min(best[end], best[start]+cost+1)
		}
	}
	return best[len(runes)]
}

// wordBits is the cost of a word of the list, also reversed, with capitals
// and with digits in place of letters.
func (d *Dictionary) wordBits(as, lower, plain []rune) float64 {
	if len(lower) > d.longest {
		return math.Inf(1)
	}
	cost := math.Inf(1)
	try := func(word string, extra float64) {
		if rank, ok := d.rank[word]; ok {
			cost = min(cost, math.Log2(float64(rank))+extra)
		}
	}
	try(string(lower), 0)
	try(string(plain), 2)
	try(reversed(lower), 1)
	for i, r := range as {
		if unicode.IsUpper(r) {
			if i == 0 {
				cost++
				continue
			}
			return cost + 2
		}
	}
	return cost
}

func reversed(runes []rune) string {
	b := make([]rune, len(runes))
	for i, r := range runes {
		b[len(runes)-1-i] = r
	}
	return string(b)
}

// alphabetBits is the cost of one character that follows no pattern.
func alphabetBits(r rune) float64 {
	switch {
	case r >= '0' && r <= '9':
		return 3.3
	case r >= 'a' && r <= 'z':
		return 4.2
	case r >= 'A' && r <= 'Z':
		return 4.7
	case r < 0x80:
		return 5
	default:
		return 6
	}
}

// unleet returns the letter for which a digit or sign often stands.
func unleet(r rune) rune {
	switch r {
	case '0':
		return 'o'
	case '1', '!', '|':
		return 'i'
	case '3':
		return 'e'
	case '4', '@':
		return 'a'
	case '5', '$':
		return 's'
	case '7':
		return 't'
	}
	return r
}

// walks are rows and columns of keyboards and the orders people count in.
var walks = [...]string{
	"abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "qwertzuiopü", "yxcvbnm,.-",
	"azertyuiop", "qsdfghjklm", "wxcvbn", "!@#$%^&*()", "!\"§$%&/()=",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "1q2w3e4r5t6y7u8i9o0p", "qawsedrftgyhujikolp", "qazwsxedcrfvtgbyhnujmikolp",
	"zaq1xsw2cde3vfr4bgt5nhy6mju7", "147258369", "789456123", "159357",
}

// patternBits is the cost of a piece of a walk in either direction, or of a
// year.
func patternBits(lower []rune) float64 {
	text := string(lower)
	if len(text) == 4 && (strings.HasPrefix(text, "19") || strings.HasPrefix(text, "20")) && strings.Trim(text, "0123456789") == "" {
		return 6.5
	}
	back := reversed(lower)
	for _, w := range walks {
		if strings.Contains(w, text) || strings.Contains(w, back) {
			return 4 + math.Log2(float64(len(lower)))
		}
	}
	return math.Inf(1)
}

// repeatBits is the cost of one piece said again and again.
func repeatBits(lower []rune) float64 {
	for size := 1; size <= len(lower)/2; size++ {
		if len(lower)%size != 0 {
			continue
		}
		same := true
		for i := size; i < len(lower) && same; i++ {
			same = lower[i] == lower[i-size]
		}
		if !same {
			continue
		}
		// The piece itself is judged plainly: what it may be a word for was
		// found where it stands alone.
		cost := math.Log2(float64(len(lower) / size))
		for _, r := range lower[:size] {
			cost += alphabetBits(r)
		}
		if size >= 3 {
			cost = min(cost, patternBits(lower[:size])+3)
		}
		return cost
	}
	return math.Inf(1)
}
