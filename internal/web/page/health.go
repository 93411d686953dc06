package page

import (
	"fmt"
	"time"
)

// MailHealth shows how well letters leave.
type MailHealth struct {
	Base
	At      time.Time
	Servers []ServerHealth
	// Lines are who waits, by urgency; none while nobody does.
	Lines []QueueLine
	// Two tells that there are two servers, so that each is named.
	Two bool
}

// Template names the file.
func (*MailHealth) Template() string { return "mail_health" }

// ServerHealth is one mail server.
type ServerHealth struct {
	Name, Host string
	State      MailState
	// Connections are those that are open at this moment, over all nodes; "" where
	// nobody counts them.
	Connections string
	// PerMinute is the pace of the last hour.
	PerMinute string
	Speeds    []ServerSpeed
	Charts    []Bars
	// Since says from when on the letters are that the numbers are of, where that
	// is less than a day; zero else.
	Since time.Time
}

// ServerSpeed is how long letters took in some time.
type ServerSpeed struct {
	Span          string
	Accepted      int
	P50, P95, P99 string
	Attempt       string
}

// QueueLine is the letters of one urgency that wait for one server.
type QueueLine struct {
	Class, Server string
	Waiting       int
	Oldest        time.Time
	// Tone is "warn" or "bad" where they wait long for their urgency.
	Tone string
}

// Bars is a small chart of columns.
type Bars struct {
	Title, Caption string
	// Width and Height are those of the drawing, Base is where columns stand.
	Width, Height, Base int
	Columns             []Bar
	// What heads the table of the same numbers.
	What string
}

// Bar is one column.
type Bar struct {
	// Name says what is counted, Label stands below the column.
	Name, Label        string
	N                  int
	X, Y, W, H, Middle int
	// Number is written above the column.
	Number bool
}

const (
	barsWidth  = 320
	barsTop    = 16
	barsHeight = 72
	barsFoot   = 18
)

// NewBars returns the drawing of some numbers. Columns without a label have
// none; numbers stand above the columns where there is room for them.
func NewBars(title, what, caption string, columns []Bar) Bars {
	b := Bars{Title: title, What: what, Caption: caption, Width: barsWidth, Height: barsTop + barsHeight + barsFoot, Base: barsTop + barsHeight, Columns: columns}
	most := 1
	for _, c := range columns {
		most = max(most, c.N)
	}
	step := barsWidth / max(len(columns), 1)
	for i := range columns {
		c := &columns[i]
		c.W = max(step-step/4, 2)
		c.X = i*step + (step-c.W)/2
		c.Middle = c.X + c.W/2
		if c.N > 0 {
			c.H = max(c.N*barsHeight/most, 2)
		}
		c.Y = b.Base - c.H
		c.Number = step >= 24 && c.N > 0
	}
	return b
}

// Foot is the line on which the labels stand.
func (b Bars) Foot() int { return b.Base + 13 }

// Above is the line on which a column's number stands.
func (c Bar) Above() int { return c.Y - 4 }

// Sentence says what the drawing shows.
func (b Bars) Sentence() string {
	all, top := 0, Bar{}
	for _, c := range b.Columns {
		all += c.N
		if c.N > top.N {
			top = c
		}
	}
	if all == 0 {
		return b.Title + ": none."
	}
	return fmt.Sprintf("%s: %s in all, most of them %s.", b.Title, Count(all), top.Name)
}
