package page

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"
)

// funcs are the functions of all templates. asset returns the address of an
// embedded file; now is the clock that relative times are counted from.
func funcs(asset func(string) string, now func() time.Time) template.FuncMap {
	return template.FuncMap{
		"asset": asset,
		"icon":  icon,
		"when":  func(t time.Time) template.HTML { return timeElement(t, Relative(t, now())) },
		"exact": func(t time.Time) template.HTML { return timeElement(t, "") },
		"size":  Size,
		"count": Count,

		"field": func(name, label, value string, errs *Errors) Field {
			return Field{Name: name, Label: label, Value: value, Error: errs.For(name), Type: "text"}
		},
		"help":     func(text string, f Field) Field { f.Help = text; return f },
		"as":       func(kind, autocomplete string, f Field) Field { f.Type, f.Autocomplete = kind, autocomplete; return f },
		"keyboard": func(mode string, f Field) Field { f.InputMode = mode; return f },
		"hint":     func(text string, f Field) Field { f.Placeholder = text; return f },
		"limit":    func(n int, f Field) Field { f.Max = n; return f },
		"lines":    func(n int, f Field) Field { f.Rows = n; return f },
		"among":    func(options []Option, f Field) Field { f.Options = options; return f },
		"required": func(f Field) Field { f.Required = true; return f },
		"optional": func(f Field) Field { f.Optional = true; return f },
		"focus":    func(f Field) Field { f.Focus = true; return f },
		"mono":     func(f Field) Field { f.Mono = true; return f },

		"secretField": func(name, label string, setAt time.Time, action string, errs *Errors) Secret {
			f := Field{Name: name, Label: label, Error: errs.For(name), Type: "password", Autocomplete: "off"}
			return Secret{Field: f, SetAt: setAt, Action: action}
		},
		"secretHelp": func(text string, s Secret) Secret { s.Help = text; return s },
		"kept":       func(s Secret) Secret { s.Kept = true; return s },
		"orFile":     func(name string, s Secret) Secret { s.File = name; return s },
		"choice": func(name, label, value string, errs *Errors, options []Option) Choice {
			return Choice{Name: name, Label: label, Value: value, Error: errs.For(name), Options: options}
		},
		"tag":  func(text, tone string) Tag { return Tag{Text: text, Tone: tone} },
		"copy": func(id, label, text string) Copy { return Copy{ID: id, Label: label, Text: text} },
		"empty": func(title, text, path, action string) Empty {
			return Empty{Title: title, Text: text, Path: path, Action: action}
		},
	}
}

// timeElement returns the <time> element of t. Without words it shows the
// exact time, which the script turns into the viewer's zone.
func timeElement(t time.Time, words string) template.HTML {
	if t.IsZero() {
		return `<span class="soft">never</span>`
	}
	t = t.UTC()
	full := t.Format("2 January 2006, 15:04:05 MST")
	mark := " data-relative"
	if words == "" {
		words, mark = t.Format("2 Jan 2006, 15:04:05 MST"), ""
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s"%s>%s</time>`,
		t.Format(time.RFC3339), full, mark, template.HTMLEscapeString(words)))
}

// Relative returns t as seen from now: "5 minutes ago", "in 3 days", or the
// date where it is more than a month away.
func Relative(t, now time.Time) string {
	d := now.Sub(t)
	past := d >= 0
	if !past {
		d = -d
	}
	if d > 31*24*time.Hour {
		return t.UTC().Format("2 Jan 2006")
	}
	if d < 10*time.Second {
		return "just now"
	}
	if past {
		return Span(d) + " ago"
	}
	// What is to come is rounded, else three days are two at once.
	for _, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute} {
		if d >= unit {
			d = d.Round(unit)
			break
		}
	}
	return "in " + Span(d)
}

// Span returns a duration in its largest whole unit, for example "3 days".
func Span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return plural(int(d/time.Second), "second")
	case d < time.Hour:
		return plural(int(d/time.Minute), "minute")
	case d < 24*time.Hour:
		return plural(int(d/time.Hour), "hour")
	}
	return plural(int(d/(24*time.Hour)), "day")
}

func plural(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return strconv.Itoa(n) + " " + unit + "s"
}

// Size returns a number of bytes for people.
func Size(n int) string {
	switch {
	case n < 1000:
		return plural(n, "byte")
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// Count returns a number with a comma after each thousand.
func Count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// icons are line drawings on a grid of 20, each the inside of an <svg>.
var icons = map[string]string{
	"home":      `<path d="M3.5 8.5 10 3.5l6.5 5v7.25a.75.75 0 0 1-.75.75H12v-4.5H8v4.5H4.25a.75.75 0 0 1-.75-.75z"/>`,
	"resources": `<rect x="3" y="3.5" width="14" height="5.5" rx="1.25"/><rect x="3" y="11" width="14" height="5.5" rx="1.25"/><path d="M6 6.25h.01M6 13.75h.01M9 6.25h5M9 13.75h5"/>`,
	"users":     `<circle cx="7.5" cy="7" r="3"/><path d="M2.5 16.5c.4-2.900 2.400-4.5 5-4.5s4.600 1.600 5 4.5M13 4.300a3 3 0 0 1 0 5.400M14.800 12.5c1.600.7 2.5 2.100 2.700 4"/>`,
	"audit":     `<path d="M5 2.75h7l3.5 3.5v10.25a.75.75 0 0 1-.75.75H5a.75.75 0 0 1-.75-.75v-13A.75.75 0 0 1 5 2.75zM7 8.5h6M7 11.25h6M7 14h3.5"/>`,
	"admin":     `<path d="M3 6h6.5M14.5 6H17M3 14h2.5M10.5 14H17"/><circle cx="12" cy="6" r="2.25"/><circle cx="8" cy="14" r="2.25"/>`,
	"mail":      `<rect x="2.5" y="4.5" width="15" height="11" rx="1.5"/><path d="m3 5.5 7 5.5 7-5.5"/>`,
	"journal":   `<path d="M3.5 5h13M3.5 10h13M3.5 15h8"/>`,
	"capture":   `<path d="M3 11.5 5 4.75a.75.75 0 0 1 .7-.5h8.600a.75.75 0 0 1 .7.5L17 11.5v4.25a.75.75 0 0 1-.75.75H3.75a.75.75 0 0 1-.75-.75zM3 11.5h4l1.200 2h3.600l1.200-2h4"/>`,
	"shield":    `<path d="M10 2.75 4 5v4.5c0 3.700 2.5 6.300 6 7.75 3.5-1.450 6-4.050 6-7.75V5zM7.5 10l1.800 1.800 3.400-3.600"/>`,
	"search":    `<circle cx="9" cy="9" r="5.25"/><path d="m13 13 4 4"/>`,
	"menu":      `<path d="M3 5.5h14M3 10h14M3 14.5h14"/>`,
	"check":     `<path d="m4 10.5 4 4 8-9"/>`,
	"warn":      `<path d="M10 3.25 17.5 16.5h-15zM10 8v4M10 14.25h.01"/>`,
	"note":      `<circle cx="10" cy="10" r="7"/><path d="M10 9v4.5M10 6.5h.01"/>`,
	"key":       `<circle cx="6.5" cy="13.5" r="3.5"/><path d="m9 11 7-7M13 7l2.5 2.5"/>`,
	"building":  `<path d="M4.5 17V3.75a.75.75 0 0 1 .75-.75h6a.75.75 0 0 1 .75.75V17M12 8h3a.75.75 0 0 1 .75.75V17M2.5 17h15M7 6.5h2.5M7 9.5h2.5M7 12.5h2.5"/>`,
}

// icon returns a drawing that says nothing that the words beside it do not.
func icon(name string) template.HTML {
	var b strings.Builder
	b.WriteString(`<svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">`)
	b.WriteString(icons[name])
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}
