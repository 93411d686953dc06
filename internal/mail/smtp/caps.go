package smtp

import (
	"strconv"
	"strings"
)

// Caps are what a server announced in its reply to EHLO.
type Caps struct {
	// Lines are all announcements as they came, without the greeting line.
	Lines    []string
	StartTLS bool
	// Auth are the mechanisms, in upper case.
	Auth       []string
	Pipelining bool
	Chunking   bool
	EightBit   bool
	UTF8       bool
	// Size is the largest letter in bytes; 0 means that the server did not
	// say.
	Size int64
}

// maxAnnounced bounds the mechanisms that are remembered.
const maxAnnounced = 50

func parseCaps(lines []string) Caps {
	var c Caps
	if len(lines) < 2 {
		return c
	}
	c.Lines = lines[1:]
	for _, line := range c.Lines {
		// Old servers write "AUTH=LOGIN" as well.
		words := strings.Fields(strings.ToUpper(strings.Replace(line, "=", " ", 1)))
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "STARTTLS":
			c.StartTLS = true
		case "AUTH":
			if len(c.Auth)+len(words) <= maxAnnounced {
				c.Auth = append(c.Auth, words[1:]...)
			}
		case "PIPELINING":
			c.Pipelining = true
		case "CHUNKING":
			c.Chunking = true
		case "8BITMIME":
			c.EightBit = true
		case "SMTPUTF8":
			c.UTF8 = true
		case "SIZE":
			if len(words) > 1 {
				if n, err := strconv.ParseInt(words[1], 10, 64); err == nil && n > 0 {
					c.Size = n
				}
			}
		}
	}
	return c
}
