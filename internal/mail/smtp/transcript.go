package smtp

import (
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

// maxTranscript bounds the lines that a transcript keeps.
const maxTranscript = 400

// Transcript records a dialogue. Credentials are replaced by their position in
// the protocol when they are written, and content by its size, so that neither
// is ever in memory here. It is safe for use by several goroutines.
type Transcript struct {
	// Mask hides the local parts of addresses but for their first letter, also
	// while they are written. Set it before the first line.
	Mask bool

	mu    sync.Mutex
	lines []string
}

// Add records a line for another wire that carries the same letters. What is
// said must hold no credential.
func (t *Transcript) Add(direction, said string) { t.add(direction, said) }

func (t *Transcript) add(direction, text string) {
	if t == nil {
		return
	}
	if t.Mask {
		text = MaskAddresses(text)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) < maxTranscript {
		t.lines = append(t.lines, direction+" "+visible(text))
	}
}

// Lines returns what was recorded: "C: " before what the client said, "S: "
// before what the server said.
func (t *Transcript) Lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.lines...)
}

// String returns the lines as one text.
func (t *Transcript) String() string { return strings.Join(t.Lines(), "\n") }

// local finds what stands before an @, quoted or not.
var local = regexp.MustCompile(`("(?:[^"\\]|\\.)*"|[^\s<>,;:()"]+)@`)

// MaskAddresses leaves of the local part of each address in s its first letter:
// whose address it is can be told by who knows it, and learnt by nobody else.
func MaskAddresses(s string) string {
	return local.ReplaceAllStringFunc(s, func(found string) string {
		name := strings.Trim(found, `"@`)
		_, n := utf8.DecodeRuneInString(name)
		return name[:n] + "…@"
	})
}
