package page

import (
	"strings"

	"github.com/sealpost/sealpost/internal/fault"
)

// Page is a struct with a template.
type Page interface {
	// Template is the name of the file beside the struct, without ".html".
	Template() string
	// Frame returns the embedded Base.
	Frame() *Base
}

// Base is what all pages have. The page sets Title, and Crumbs where it is
// below another one; package web sets the rest.
type Base struct {
	Title  string
	Crumbs []Crumb
	// Bare leaves out the navigation, for pages before sign-in.
	Bare bool

	// Organisation is the installation's name, Logo where its picture is
	// shown from; that may be empty.
	Organisation, Logo string
	// Me is who is signed in; nil where nobody is.
	Me *Me
	// Nav are the places at the side.
	Nav []Place
	// Here is the page's own path with its query, for forms that come back.
	Here string
	// Theme is "light", "dark", or empty to follow the system.
	Theme string
	// Banner tells what is wrong with mail; nil where nothing is.
	Banner *Banner
	// Notice tells what the act before did.
	Notice string
	// Alert is why a form was not taken.
	Alert string
	// Errors are what is wrong with its fields.
	Errors *Errors
}

// Frame returns b: it lets package web reach the Base of any page.
func (b *Base) Frame() *Base { return b }

// Me is who is signed in.
type Me struct{ Name, Login, Role, Initials string }

// Place is an entry of the navigation.
type Place struct {
	Name, Path, Icon string
	// Current marks the place that the page belongs to.
	Current bool
	// Count is how much waits there; 0 shows nothing.
	Count int
}

// Crumb is a page above this one.
type Crumb struct{ Name, Path string }

// Banner is a sentence that stands above every page until it is mended.
type Banner struct {
	// Tone is "warn", "bad" or "note".
	Tone string
	// Text is the sentence, More what else is known.
	Text, More string
	// Path leads to where it is mended, Action names that; both may be empty.
	Path, Action string
}

// Errors are what is wrong with the fields of a form. It notes which of them
// the page showed.
type Errors struct {
	fields []fault.FieldError
	seen   map[string]bool
}

// NewErrors returns the errors of a form.
func NewErrors(fields []fault.FieldError) *Errors {
	return &Errors{fields: fields, seen: map[string]bool{}}
}

// For returns what is wrong with a field, or "".
func (e *Errors) For(name string) string {
	if e == nil {
		return ""
	}
	for _, f := range e.fields {
		if f.Field == name {
			e.seen[name] = true
			return f.Sentence
		}
	}
	return ""
}

// Unseen returns the sentences about fields that the page does not have.
func (e *Errors) Unseen() string {
	var lost []string
	for _, f := range e.fields {
		if !e.seen[f.Field] {
			lost = append(lost, f.Sentence)
		}
	}
	return strings.Join(lost, " ")
}
