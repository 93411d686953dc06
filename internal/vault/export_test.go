package vault

import (
	"strings"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/store"
)

// SearchPlan tells how SQLite finds the first page for f.
func SearchPlan(tx *store.Tx, by actor.Actor, f Filter) (string, error) {
	o, err := orderOf(f.Sort)
	if err != nil {
		return "", err
	}
	query, args := pageQuery(f.conditions(by), o, 50)
	steps, err := store.All(tx, func(r store.Row) (s string, err error) {
		var id, parent, unused int
		return s, r.Scan(&id, &parent, &unused, &s)
	}, "EXPLAIN QUERY PLAN "+query, args...)
	return strings.Join(steps, "\n"), err
}

// NameKey is what makes two names the same.
func NameKey(name string) string { return nameKey(tidyLine(name)) }

// Parts of the generator, for tests that count.

// WordList is the embedded list.
func WordList() string { return wordList }

// Classes are the characters that a recipe draws from.
func (r Recipe) Classes() []string { return r.classes() }

// Fitting counts the passwords of a length that have each class.
func Fitting(length int, classes []string) float64 { return fitting(length, classes) }

// Draw makes one password of the classes.
var Draw = characters

// CheckURL says what is wrong with an URL.
var CheckURL = checkURL

// Characters of the classes before look-alikes are left out, and these.
const (
	AllLower, AllUpper, AllDigits, AllSymbols = lowerCase, upperCase, digits, symbols
	LookAlikes                                = lookAlikes
)
