// Package fault owns the few kinds of failure that Sealpost tells apart, and
// the one plain sentence that a person reads about each. What went wrong
// underneath is wrapped and goes to the log only.
//
// The package knows no protocol: HTTP numbers exist in server alone, SMTP
// facts in mail/smtp. An error that is not a fault counts as Internal.
package fault

import (
	"errors"
	"fmt"
)

// Kind says what sort of failure an error is, which decides how a door shows
// it and whether trying again can help.
type Kind int

// The kinds. Internal is the zero Kind, so that whatever nobody classified is
// treated as our own mistake.
const (
	// KindInternal is a failure of Sealpost itself.
	KindInternal Kind = iota
	// KindNotFound is an object that does not exist, or that the caller may
	// not know to exist.
	KindNotFound
	// KindDenied is an operation that the caller may not do.
	KindDenied
	// KindInvalid is input that a person can put right, tied to its fields.
	KindInvalid
	// KindConflict is a change that no longer fits: a duplicate name, an
	// object in use, an edit of something changed meanwhile.
	KindConflict
	// KindUnavailable is a peer or a resource that may be back later.
	KindUnavailable
)

// String returns the kind in lower case, as logs write it.
func (k Kind) String() string {
	switch k {
	case KindNotFound:
		return "not found"
	case KindDenied:
		return "denied"
	case KindInvalid:
		return "invalid"
	case KindConflict:
		return "conflict"
	case KindUnavailable:
		return "unavailable"
	default:
		return "internal"
	}
}

// Codes name the few failures that a door must treat in its own way. A code is
// for programs and never shown.
const (
	// CodeSecretRequired: a stored secret may not be used with the changed
	// settings, the person must type it again.
	CodeSecretRequired = "secret_required"
	// CodeReauthenticate: the caller must prove who they are again first.
	CodeReauthenticate = "reauthenticate"
	// CodeLimited: too many attempts; try again later.
	CodeLimited = "limited"
	// CodeInUse: the object is used elsewhere and cannot go.
	CodeInUse = "in_use"
	// CodeSignIn: somebody must sign in at the provider of the mailbox before
	// the change can be made.
	CodeSignIn = "sign_in_required"
)

// FieldError is what is wrong with one field of a form or request.
type FieldError struct {
	// Field is the name of the field as the operation's request has it, in
	// the lower_snake_case that forms and APIs use too.
	Field string
	// Sentence tells a person how to put it right.
	Sentence string
}

// Error is a failure of a known kind.
type Error struct {
	// Kind is never KindInternal for errors made by this package's
	// constructors other than Internal.
	Kind Kind
	// Sentence is what a person reads. It holds no secret and no cause.
	Sentence string
	// Code is one of the Code constants, or empty.
	Code string
	// Fields is set for KindInvalid (and may be for KindConflict): one entry
	// for each field that is wrong, in the order of the form.
	Fields []FieldError

	cause error
}

// Error returns the sentence and the cause, for logs and tests.
func (e *Error) Error() string {
	if e.cause == nil {
		return fmt.Sprintf("%s: %s", e.Kind, e.Sentence)
	}
	return fmt.Sprintf("%s: %s: %v", e.Kind, e.Sentence, e.cause)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Because returns a copy of e that wraps cause, for the log.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// WithCode returns a copy of e that carries code.
func (e *Error) WithCode(code string) *Error {
	c := *e
	c.Code = code
	return &c
}

// NotFound says that something is not there, or not for this caller.
func NotFound(sentence string) *Error { return &Error{Kind: KindNotFound, Sentence: sentence} }

// Denied says that the caller may not do this.
func Denied(sentence string) *Error { return &Error{Kind: KindDenied, Sentence: sentence} }

// Conflict says that the change does not fit what is there.
func Conflict(sentence string) *Error { return &Error{Kind: KindConflict, Sentence: sentence} }

// Unavailable says that it cannot be done now but may be later.
func Unavailable(sentence string) *Error { return &Error{Kind: KindUnavailable, Sentence: sentence} }

// Internal wraps a failure of our own under a sentence that tells a person
// only that.
func Internal(cause error) *Error {
	return &Error{Kind: KindInternal, Sentence: "Something went wrong in Sealpost. The log has the details.", cause: cause}
}

// Invalid says that one field is wrong.
func Invalid(field, sentence string) *Error {
	return &Error{Kind: KindInvalid, Sentence: sentence, Fields: []FieldError{{field, sentence}}}
}

// Check collects what is wrong with a request, so that a person hears of all
// of it at once. The zero Check is ready for use.
type Check struct{ fields []FieldError }

// That notes sentence against field unless ok holds. It returns ok.
func (c *Check) That(ok bool, field, sentence string) bool {
	if !ok {
		c.fields = append(c.fields, FieldError{field, sentence})
	}
	return ok
}

// Add takes over the fields of err when it is an invalid *Error, and returns
// whether err was nil. An error of another kind is noted against field.
func (c *Check) Add(field string, err error) bool {
	if err == nil {
		return true
	}
	var e *Error
	if errors.As(err, &e) && len(e.Fields) > 0 {
		c.fields = append(c.fields, e.Fields...)
		return false
	}
	return c.That(false, field, Sentence(err))
}

// Err returns nil when everything held, else one invalid *Error.
func (c *Check) Err() error {
	switch len(c.fields) {
	case 0:
		return nil
	case 1:
		return Invalid(c.fields[0].Field, c.fields[0].Sentence)
	default:
		return &Error{Kind: KindInvalid, Sentence: fmt.Sprintf("%d fields need your attention.", len(c.fields)), Fields: c.fields}
	}
}

// KindOf returns the kind of the first fault in err's chain, KindInternal
// where there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}

// Is reports whether err is a fault of kind k. A nil err is of no kind.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }

// CodeOf returns the code of the first fault in err's chain, or "".
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// Sentence returns what a person may read about err.
func Sentence(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Sentence
	}
	return Internal(err).Sentence
}

// Fields returns what is wrong with which field, nil where err says nothing
// about fields.
func Fields(err error) []FieldError {
	var e *Error
	if errors.As(err, &e) {
		return e.Fields
	}
	return nil
}
