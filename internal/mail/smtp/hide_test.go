package smtp

import (
	"strings"
	"testing"
)

// A server that repeats a credential, or the beginning of one that was cut, does
// not get it into transcript, journal or log.
func TestRepeatedCredentialsAreHidden(t *testing.T) {
	long := strings.Repeat("Zm9vYmFyYmF6cXV4", 60)
	c := &Conn{}
	c.keepSecret(long)
	c.keepSecret("hunter2-and-more")
	for _, said := range []string{
		"What is AUTH PLAIN " + long + "?",
		"What is AUTH PLAIN " + visible(long),
		"What is AUTH PLAIN " + long[:40],
		"The password hunter2-and-more is wrong",
		"The password hunter2-and-mo is wrong",
	} {
		if got := c.hide(said); strings.Contains(got, long[:12]) || strings.Contains(got, "hunter2") || !strings.Contains(got, credentials) {
			t.Errorf("%.60q becomes %.60q", said, got)
		}
	}
	if got := c.hide("Authentication failed"); got != "Authentication failed" {
		t.Errorf("other words become %q", got)
	}
}
