package page

import (
	"fmt"
	"time"
)

// Chart shows deliveries by day as stacked columns. All sizes are in the units
// of the drawing.
type Chart struct {
	Days []ChartDay
	// Width and Height are those of the drawing, Base is where columns stand.
	Width, Height, Base int
	// Lines are the heights that are marked with a number.
	Lines                     []ChartLine
	Accepted, Delayed, Failed int
}

// ChartDay is one column.
type ChartDay struct {
	Start                     time.Time
	Accepted, Delayed, Failed int
	// X is the column's left side, Middle its middle.
	X, Middle int
	Parts     []ChartPart
	// Label stands below it; most have none.
	Label string
}

// ChartPart is one of the parts of a column.
type ChartPart struct {
	// Tone is "good", "warn" or "bad".
	Tone       string
	X, Y, W, H int
}

// ChartLine is a height with its number.
type ChartLine struct{ Y, Value int }

const (
	columnWidth = 26
	columnGap   = 14
	chartLeft   = 36
	chartTop    = 12
	chartHeight = 120
	chartFoot   = 24
	// minPart is how high the smallest number shows.
	minPart = 3
)

// NewChart returns the drawing of days, the oldest first.
func NewChart(days []ChartDay) *Chart {
	c := &Chart{
		Days: days, Width: chartLeft + len(days)*(columnWidth+columnGap), Height: chartTop + chartHeight + chartFoot,
		Base: chartTop + chartHeight,
	}
	most := 0
	for _, d := range days {
		c.Accepted, c.Delayed, c.Failed = c.Accepted+d.Accepted, c.Delayed+d.Delayed, c.Failed+d.Failed
		most = max(most, d.Accepted+d.Delayed+d.Failed)
	}
	top := roundUp(most)
	for _, v := range []int{top / 2, top} {
		c.Lines = append(c.Lines, ChartLine{Y: c.Base - v*chartHeight/top, Value: v})
	}
	for i := range c.Days {
		c.Days[i].place(i, len(days), c.Base, top)
	}
	return c
}

// place sets where a day's column stands.
func (d *ChartDay) place(i, n, base, top int) {
	d.X = chartLeft + i*(columnWidth+columnGap) + columnGap/2
	d.Middle = d.X + columnWidth/2
	y := base
	for _, part := range []struct {
		tone string
		n    int
	}{{"good", d.Accepted}, {"warn", d.Delayed}, {"bad", d.Failed}} {
		if part.n == 0 {
			continue
		}
		h := max(part.n*chartHeight/top, minPart)
		y -= h
		d.Parts = append(d.Parts, ChartPart{Tone: part.tone, X: d.X, Y: y, W: columnWidth, H: h - 1})
	}
	switch {
	case i == n-1:
		d.Label = "Today"
	case (n-1-i)%3 == 0:
		d.Label = d.Start.Format("2 Jan")
	}
}

// roundUp returns the next number of the kind that people like at the end of a
// scale: 2, 4, 10, 20, 40, 100, ...
func roundUp(n int) int {
	for scale := 1; ; scale *= 10 {
		for _, step := range []int{2, 4, 10} {
			if n <= step*scale {
				return step * scale
			}
		}
	}
}

// Empty tells that nothing was delivered.
func (c *Chart) Empty() bool { return c.Accepted+c.Delayed+c.Failed == 0 }

// Sentence says what the drawing shows.
func (c *Chart) Sentence() string {
	return fmt.Sprintf("Deliveries of the last %d days: %s accepted, %s delayed, %s failed.",
		len(c.Days), Count(c.Accepted), Count(c.Delayed), Count(c.Failed))
}

// Foot is the line on which the days' names stand.
func (c *Chart) Foot() int { return c.Base + 17 }

// Date is the day in words.
func (d ChartDay) Date() string { return d.Start.Format("2 January") }

// Title says what a column stands for.
func (d ChartDay) Title() string {
	return fmt.Sprintf("%s: %s accepted, %s delayed, %s failed", d.Date(), Count(d.Accepted), Count(d.Delayed), Count(d.Failed))
}
