package page

import (
	"time"
)

// Field is one field of a form. Templates make it with the function field and
// change it with the functions after it in the pipe.
type Field struct {
	Name, Label, Value, Error, Help, Placeholder string
	// Type is the input's; "text" where it is empty.
	Type, Autocomplete, InputMode string
	Max                           int
	// Rows makes it a textarea.
	Rows int
	// Options make it a list to choose from.
	Options                         []Option
	Required, Optional, Focus, Mono bool
}

// Described is the value of aria-describedby: the ids of help and error.
func (f Field) Described() string {
	switch {
	case f.Error != "" && f.Help != "":
		return f.Name + "-error " + f.Name + "-help"
	case f.Error != "":
		return f.Name + "-error"
	case f.Help != "":
		return f.Name + "-help"
	}
	return ""
}

// Option is one of several values to choose from.
type Option struct {
	Value, Label string
	// Help says in a few words what it means.
	Help string
}

// Secret is a field for a stored secret, which never shows what is stored.
type Secret struct {
	Field
	// SetAt is when the stored one was set; zero where none is.
	SetAt time.Time
	// Action is "keep", "replace" or "clear", as it was chosen before.
	Action string
	// Kept tells that there is no sense in clearing it.
	Kept bool
	// File names a field for a file with the secret, which is a long text then.
	File string
}

// Choice is a row of radio buttons.
type Choice struct {
	Name, Label, Value, Error, Help string
	Options                         []Option
}

// Tag is a word in a coloured frame. The word says it all; the colour repeats
// it.
type Tag struct{ Text, Tone string }

// Pager leads through a list that is read by cursor.
type Pager struct {
	// First and Next are links; First is empty on the first page, Next on the
	// last.
	First, Next string
}

// Empty says what to do where a list has nothing to show.
type Empty struct {
	Title, Text string
	// Path and Action are the link to follow; they may be empty.
	Path, Action string
}

// Step is one of the steps in which something is done.
type Step struct {
	Name string
	// Is is "done", "now" or "next".
	Is string
}

// Copy is a text that a button copies.
type Copy struct{ ID, Label, Text string }
