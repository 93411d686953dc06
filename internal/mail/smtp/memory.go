package smtp

import (
	"sync"
	"time"
)

// extension is something that a server can announce and not keep.
type extension string

const (
	pipelining extension = "PIPELINING"
	chunking   extension = "CHUNKING"
)

const (
	// maxRemembered bounds the servers that a Memory knows.
	maxRemembered = 1000
	// sureFor is how long a server that was caught is treated plainly, and
	// doubtFor one that may only have met a bad moment.
	sureFor, doubtFor = 24 * time.Hour, time.Hour
)

// Memory remembers which servers announced an extension and did not keep their
// word, so that the next connection does without it. It forgets after a day. The
// zero Memory is empty and ready; it is safe for use by several goroutines. One
// is shared by all connections of a process.
type Memory struct {
	// Now is the clock; nil means time.Now. It must not change once the Memory
	// is in use.
	Now func() time.Time

	mu      sync.Mutex
	doubted map[doubted]doubt
}

// doubted is what is doubted of whom.
type doubted struct {
	server string
	what   extension
}

type doubt struct {
	until time.Time
	times int
}

func (m *Memory) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}

// trusts reports whether nothing speaks against an extension of a server.
func (m *Memory) trusts(server string, what extension) bool {
	if m == nil {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.doubted[doubted{server, what}]
	return !ok || !m.now().Before(d.until)
}

// distrust notes that a server did not keep an extension. Where it may have been
// a bad moment, sure is false: such a doubt grows with the second time.
func (m *Memory) distrust(server string, what extension, sure bool) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	key := doubted{server, what}
	d := m.doubted[key]
	if now.Sub(d.until) > sureFor {
		d.times = 0
	}
	d.times++
	d.until = now.Add(doubtFor)
	if sure || d.times > 1 {
		d.until = now.Add(sureFor)
	}
	if m.doubted == nil {
		m.doubted = map[doubted]doubt{}
	}
	if _, known := m.doubted[key]; !known && len(m.doubted) >= maxRemembered {
		m.forget(now)
	}
	m.doubted[key] = d
}

// forget makes room for one more: what is over goes, and the oldest.
func (m *Memory) forget(now time.Time) {
	var oldest doubted
	var when time.Time
	for key, d := range m.doubted {
		if now.Sub(d.until) > sureFor {
			delete(m.doubted, key)
			continue
		}
		if when.IsZero() || d.until.Before(when) {
			oldest, when = key, d.until
		}
	}
	if len(m.doubted) >= maxRemembered {
		delete(m.doubted, oldest)
	}
}
