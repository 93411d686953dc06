package delivery

import "time"

// SetLastWords sets how long the database may take once the grace is over.
func (e *Engine) SetLastWords(d time.Duration) { e.lastWords = d }

// Concurrency returns how many connections the engine trusts the server with.
func (e *Engine) Concurrency() int {
	e.crowd.mu.Lock()
	defer e.crowd.mu.Unlock()
	return int(e.crowd.window)
}
