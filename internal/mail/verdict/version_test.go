package verdict

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"
)

// A change to the tables goes with another version: what a person reads to
// somebody else names the words that he sees.
func TestTheTablesHaveAVersionOfTheirOwn(t *testing.T) {
	if !regexp.MustCompile(`^20\d\d-(0[1-9]|1[0-2])-([0-2]\d|3[01])\.[1-9]\d*$`).MatchString(Version()) {
		t.Errorf("the version %q is not a day and a number", Version())
	}
	sum := sha256.Sum256([]byte(replies + "\x00" + grants))
	got := Version() + " " + hex.EncodeToString(sum[:])
	b, err := os.ReadFile("testdata/version.golden")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSpace(string(b))
	before, _, _ := strings.Cut(want, " ")
	switch {
	case got == want:
	case before == Version():
		t.Errorf("replies.tsv or grants.tsv changed and version.txt did not: write the next version there, then this line into testdata/version.golden (with that version):\n%s", got)
	default:
		t.Errorf("write this line into testdata/version.golden:\n%s", got)
	}
}
