package vault

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
