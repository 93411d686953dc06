package consent

import (
	"sync"
	"time"
)

// strangersAnHour is how many ways back that belong to no sign-in are noted of
// one browser session in an hour.
const strangersAnHour = 3

// Strangers counts ways back that belong to no sign-in, by browser session. The
// zero Strangers is ready for use, by several goroutines.
type Strangers struct {
	mu    sync.Mutex
	since time.Time
	met   map[string]int
}

// Allow reports whether another one of session is to be noted.
func (s *Strangers) Allow(session string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.met == nil || now.Sub(s.since).Abs() >= time.Hour {
		s.since, s.met = now, make(map[string]int)
	}
	s.met[session]++
	return s.met[session] <= strangersAnHour
}
