package journal

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/web/page"
)

// Health fills in how well letters leave through a server, which has some of at
// most so many connections; 0 is no limit.
func Health(one *page.ServerHealth, pulse outbox.Pulse, connections, limit int) {
	if limit > 0 {
		one.Connections = fmt.Sprintf("%d of %d", connections, limit)
	}
	one.PerMinute = fmt.Sprintf("%s (at most %s in the last hour)", page.Count(pulse.PerMinute[len(pulse.PerMinute)-1]), page.Count(slices.Max(pulse.PerMinute)))
	one.Speeds = []page.ServerSpeed{speed("in the last hour", pulse.Hour), speed("in 24 hours", pulse.Day)}
	if !pulse.Whole {
		one.Since = pulse.Since
	}
	one.Charts = []page.Bars{timesChart(pulse.Day), triesChart(pulse.Day), minutesChart(pulse.PerMinute)}
}

// Line tells who waits, and whether that is long for what it is. Two tells that
// there are two servers.
func Line(l outbox.Line, now time.Time, two bool) page.QueueLine {
	line := page.QueueLine{Class: l.Class.Title(), Server: ServerName(l.Route, two), Waiting: l.Waiting, Oldest: l.Oldest}
	long := 30 * time.Minute
	if l.Class == letter.ClassCode {
		long = 2 * time.Minute
	}
	switch age := now.Sub(l.Oldest); {
	case age > 10*long:
		line.Tone = "bad"
	case age > long:
		line.Tone = "warn"
	}
	return line
}

func speed(span string, s outbox.Speed) page.ServerSpeed {
	out := page.ServerSpeed{Span: span, Accepted: s.Accepted}
	if s.Accepted > 0 {
		out.P50, out.P95, out.P99 = howLong(s.P50), howLong(s.P95), howLong(s.P99)
		out.Attempt = howLong(s.Attempt50) + ", at most " + howLong(s.Attempt95)
	}
	return out
}

// howLong is a time for people, whatever its size.
func howLong(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "< 1 ms"
	case d < time.Minute:
		return page.Took(d)
	}
	return page.Span(d)
}

// timesChart shows how long letters of a day took.
func timesChart(s outbox.Speed) page.Bars {
	bounds := outbox.TimeBounds()
	var columns []page.Bar
	short := func(d time.Duration) string {
		switch {
		case d < time.Minute:
			return strconv.Itoa(int(d/time.Second)) + " s"
		case d < time.Hour:
			return strconv.Itoa(int(d/time.Minute)) + " m"
		}
		return strconv.Itoa(int(d/time.Hour)) + " h"
	}
	for i, n := range s.Times {
		c := page.Bar{N: n}
		switch {
		case i == len(bounds):
			c.Name, c.Label = "longer than "+page.Span(bounds[i-1]), "more"
		default:
			c.Name, c.Label = "within "+page.Span(bounds[i]), short(bounds[i])
		}
		columns = append(columns, c)
	}
	return page.NewBars("From adding to acceptance, 24 hours", "Time", "Each column holds the letters that took longer than the one before, up to its time.", columns)
}

// triesChart shows how many attempts letters of a day needed.
func triesChart(s outbox.Speed) page.Bars {
	names := []string{"at the first attempt", "at the second", "at the third", "at the fourth", "later"}
	var columns []page.Bar
	for i, n := range s.Tries {
		label := strconv.Itoa(i + 1)
		if i == len(s.Tries)-1 {
			label = "more"
		}
		columns = append(columns, page.Bar{Name: names[i], Label: label, N: n})
	}
	return page.NewBars("Attempts until accepted, 24 hours", "Accepted", "", columns)
}

// minutesChart shows the pace of the last hour.
func minutesChart(minutes []int) page.Bars {
	var columns []page.Bar
	for i, n := range minutes {
		ago := len(minutes) - 1 - i
		c := page.Bar{Name: page.Span(time.Duration(ago)*time.Minute) + " ago", N: n}
		switch ago {
		case 0:
			c.Name, c.Label = "in this minute", "now"
		case 15, 30, 45:
			c.Label = "−" + strconv.Itoa(ago) + " m"
		}
		columns = append(columns, c)
	}
	return page.NewBars("Letters a minute, last hour", "Minute", "", columns)
}
