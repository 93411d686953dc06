package smtp

import (
	"strings"
	"sync"
)

// maxTranscript bounds the lines that a transcript keeps.
const maxTranscript = 400

// Transcript records a dialogue. Credentials are replaced by their position in
// the protocol when they are written, and content by its size, so that neither
// is ever in memory here. It is safe for use by several goroutines.
type Transcript struct {
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
