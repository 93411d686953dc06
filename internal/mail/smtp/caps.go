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
	DSN        bool
	RequireTLS bool
	// Size is the largest letter in bytes; 0 means that the server did not
	// say.
	Size int64
	// MailMax, RcptMax and RcptDomainMax are how many letters a connection, how
	// many recipients a letter, and how many domains these may have (LIMITS, RFC
	// 9422); 0 means that the server did not say.
	MailMax, RcptMax, RcptDomainMax int
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
		line = strings.ToUpper(line)
		if !strings.HasPrefix(line, "LIMITS ") {
			// Old servers write "AUTH=LOGIN" as well.
			line = strings.ReplaceAll(line, "=", " ")
		}
		words := strings.Fields(line)
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
		case "DSN":
			c.DSN = true
		case "REQUIRETLS":
			c.RequireTLS = true
		case "LIMITS":
			c.limits(words[1:])
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

// limits reads the words behind LIMITS. A limit of nothing is none: nobody could
// send under it.
func (c *Caps) limits(words []string) {
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			continue
		}
		switch name {
		case "MAILMAX":
			c.MailMax = n
		case "RCPTMAX":
			c.RcptMax = n
		case "RCPTDOMAINMAX":
			c.RcptDomainMax = n
		}
	}
}
