package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"unicode"
)

// ErrDenied is why an address that the operator forbade is not connected to.
var ErrDenied = errors.New("not allowed here")

// errNoSource is why a family is not used.
var errNoSource = errors.New("mail.source has no address of this family to leave from")

// Error tells why no address of a host could be connected to. It unwraps to the
// errors of the tries, and to that of the lookup where there was no address.
type Error struct {
	// Host and Port are what was to be connected to.
	Host, Port string
	// Tries are the addresses, in the order in which they failed.
	Tries []Try

	// lookups are the errors of lookups, by the family.
	lookups map[family]error
	// cause is why the race ended before its end.
	cause error
}

// Try is an address and why it was not connected to.
type Try struct {
	Address netip.Addr
	Err     error
}

func (e *Error) add(a netip.Addr, err error) { e.Tries = append(e.Tries, Try{a, err}) }

// lookedUp keeps what a lookup failed with. That a family has no addresses is no
// failure as long as the other has some.
func (e *Error) lookedUp(l lookup) {
	if l.err == nil && len(l.addresses) > 0 {
		return
	}
	if e.lookups == nil {
		e.lookups = make(map[family]error)
	}
	e.lookups[l.family] = l.err
}

func (e *Error) finish(host, port string) *Error {
	e.Host, e.Port = host, port
	return e
}

// Error tells the story, for example "IPv6 2001:db8::1: no route; IPv4
// 192.0.2.1: connection refused".
func (e *Error) Error() string {
	var parts []string
	for _, t := range e.Tries {
		parts = append(parts, fmt.Sprintf("%s %s: %s", familyOf(t.Address).title(), t.Address, reason(t.Err)))
	}
	for _, f := range []family{six, four} {
		if err := e.lookups[f]; err != nil && !notFound(err) {
			parts = append(parts, f.title()+" cannot be looked up: "+reason(err))
		}
	}
	if len(parts) == 0 {
		if e.cause != nil {
			return e.Host + " was not looked up in time"
		}
		return e.Host + " has no address"
	}
	return strings.Join(parts, "; ")
}

// Story returns what Error does, for rooms that know this package by its errors
// alone.
func (e *Error) Story() string { return e.Error() }

// Unwrap returns the errors, those of refused connections first: they tell most.
func (e *Error) Unwrap() []error {
	var first, rest []error
	for _, t := range e.Tries {
		if errors.Is(t.Err, syscall.ECONNREFUSED) {
			first = append(first, t.Err)
		} else if !errors.Is(t.Err, ErrDenied) || e.denied() {
			rest = append(rest, t.Err)
		}
	}
	if len(e.Tries) == 0 {
		// One that says more than that there is nothing comes first.
		for _, f := range []family{four, six} {
			if err := e.lookups[f]; err != nil && !notFound(err) {
				first = append(first, err)
			}
		}
		rest = append(rest, &net.DNSError{Err: "no such host", Name: e.Host, IsNotFound: e.cause == nil, IsTimeout: e.cause != nil})
	}
	if e.cause != nil {
		rest = append(rest, e.cause)
	}
	return append(first, rest...)
}

// denied reports whether nothing but the deny list stood in the way.
func (e *Error) denied() bool {
	for _, t := range e.Tries {
		if !errors.Is(t.Err, ErrDenied) {
			return false
		}
	}
	return len(e.Tries) > 0
}

// Timeout reports whether there was no answer at all.
func (e *Error) Timeout() bool {
	for _, t := range e.Tries {
		if !timedOut(t.Err) {
			return false
		}
	}
	return len(e.Tries) > 0 || errors.Is(e.cause, context.DeadlineExceeded)
}

// Temporary is there for net.Error.
func (e *Error) Temporary() bool { return !e.denied() }

func notFound(err error) bool {
	var dns *net.DNSError
	var none *net.AddrError // the name has addresses of the other family alone
	return errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &none)
}

func timedOut(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// reason says in a few words why a try failed.
func reason(err error) string {
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "no route"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine does not have the address to leave from (mail.source)"
	case errors.Is(err, context.Canceled):
		return "given up"
	case timedOut(err):
		return "no answer in time"
	case errors.As(err, &dns):
		return clean(dns.Err)
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	return clean(err.Error())
}

// clean makes one short line of what somebody else wrote.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return ' '
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 120 {
		s = string(r[:120]) + "…"
	}
	return s
}
