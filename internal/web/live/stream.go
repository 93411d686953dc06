package live

import (
	"net/http"
	"strings"
	"time"
)

// takeWait is how long a browser may take to take what it is sent.
const takeWait = 10 * time.Second

// Stream sends server-sent events (HTML standard, section 9.2) to one browser.
type Stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// Begin begins the answer. It reports false where the browser does not take it.
// A browser whose connection breaks comes back after five seconds.
func Begin(w http.ResponseWriter) (*Stream, bool) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies pass it on at once
	w.WriteHeader(http.StatusOK)
	s := &Stream{w, http.NewResponseController(w)}
	return s, s.write("retry: 5000\n\n")
}

// Send sends an event and reports whether the browser took it.
func (s *Stream) Send(name, data string) bool {
	return s.write("event: " + name + "\ndata: " + strings.ReplaceAll(data, "\n", "\ndata: ") + "\n\n")
}

// write gives each piece a time of its own, instead of one for the whole answer.
func (s *Stream) write(text string) bool {
	_ = s.control.SetWriteDeadline(time.Now().Add(takeWait))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return false
	}
	return s.control.Flush() == nil
}
