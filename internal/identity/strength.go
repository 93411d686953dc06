package identity

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// MinPassword is the least number of characters of a password.
const MinPassword = 12

// Strength says how hard a password is to guess.
type Strength struct {
	// Score goes from 0, guessed at once, to 4; below 2 it is refused.
	Score int
	// Sentence tells a person what it means.
	Sentence string
}

// acceptedScore is the least score that is taken.
const acceptedScore = 2

// The bits of guessing from which each score begins. With argon2id in the way
// 35 bits are years of work for one machine.
var scoreBits = [...]float64{1: 20, 2: 35, 3: 50, 4: 70}

var scoreSentences = [...]string{
	"Very easy to guess.",
	"Easy to guess: it is made of common words, patterns or your own names.",
	"Fair. A few more characters make it much better.",
	"Good.",
	"Very good.",
}

// CheckPassword judges a password for somebody to whom the words (name,
// sign-in name, organisation …) belong. The error is a fault against the
// field "password" where it is refused; Strength is set either way.
func (s *Service) CheckPassword(words []string, password secret.Value) (Strength, error) {
	plain := password.Reveal()
	n := utf8.RuneCountInString(plain)
	if plain == "" {
		return Strength{}, fault.Invalid("password", fmt.Sprintf("Choose a password of at least %d characters.", MinPassword))
	}
	if n > maxPassword || len(plain) > 4*maxPassword || !utf8.ValidString(plain) {
		return Strength{}, fault.Invalid("password", fmt.Sprintf("Choose a password of at most %d characters.", maxPassword))
	}
	bits := s.words().Bits(plain, words)
	st := Strength{}
	for score, from := range scoreBits {
		if bits >= from {
			st.Score = score
		}
	}
	if n < MinPassword {
		st.Score = min(st.Score, 1)
		st.Sentence = fmt.Sprintf("Too short: %d of at least %d characters.", n, MinPassword)
		return st, fault.Invalid("password", fmt.Sprintf("Use at least %d characters. Three or four unrelated words are easy to remember.", MinPassword))
	}
	st.Sentence = scoreSentences[st.Score]
	if st.Score < acceptedScore {
		return st, fault.Invalid("password", "This password is too easy to guess: it is made of common words, patterns or names. Try three or four unrelated words.")
	}
	return st, nil
}

// checkPassword judges a password for a user.
func (s *Service) checkPassword(ctx context.Context, u User, password secret.Value) (Strength, error) {
	words := []string{u.Name, u.Login, u.Email}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		site, err := s.Letters.Site(tx)
		words = append(words, site.Organisation, site.AccessURL)
		return err
	})
	if err != nil {
		return Strength{}, err
	}
	return s.CheckPassword(words, password)
}
