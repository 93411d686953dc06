package domain

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// Result is what SPF makes of an address (RFC 7208 2.6).
type Result string

// The results.
const (
	// None: the domain says nothing.
	None     Result = "none"
	Neutral  Result = "neutral"
	Pass     Result = "pass"
	Fail     Result = "fail"
	SoftFail Result = "softfail"
	// TempError: the DNS could not be asked.
	TempError Result = "temperror"
	// PermError: the record cannot be used.
	PermError Result = "permerror"
)

// The limits of RFC 7208 4.6.4.
const (
	MaxLookups = 10
	MaxVoids   = 2
	// maxWalk ends a walk through records that have no end.
	maxWalk = 40
	// maxPerTerm bounds the exchangers of a mx term, and the names of a ptr.
	maxPerTerm = 10
)

// SPF is what a domain says of who may send for it (RFC 7208), with all that it
// includes.
type SPF struct {
	Domain, Record string
	// All is the qualifier of the last word of all: '-', '~', '?', '+'; 0 where
	// there is none.
	All byte
	// Lookups is what all terms together cost, Voids how many of them found
	// nothing.
	Lookups, Voids int
	// Includes are the domains that are included, at any depth.
	Includes []string
	// Unsure tells that a part could not be asked for.
	Unsure bool

	walk *spfWalk
}

// spfWalk goes through records and remembers them.
type spfWalk struct {
	r       *Resolver
	records map[string]spfAnswer
	hosts   map[string]hostsAnswer
	mx      map[string]mxAnswer
}

type spfAnswer struct {
	text   string
	record spfRecord
	err    error
}

type hostsAnswer struct {
	addrs []netip.Addr
	err   error
}

type mxAnswer struct {
	hosts []Exchanger
	err   error
}

// SPF returns the record of a domain, with all that it includes looked up.
// Beside [ErrNone] and [ErrUnsure] the error is a *[Wrong]: receivers get a
// PermError then.
func (r *Resolver) SPF(ctx context.Context, domain string) (SPF, error) {
	name, err := Name(domain)
	if err != nil {
		return SPF{Domain: domain}, err
	}
	w := &spfWalk{r: r, records: map[string]spfAnswer{}, hosts: map[string]hostsAnswer{}, mx: map[string]mxAnswer{}}
	s := SPF{Domain: name, walk: w}
	a := w.record(ctx, name)
	s.Record = tame(a.text)
	if a.err != nil {
		return s, a.err
	}
	s.All = a.record.all
	if err := w.follow(ctx, &s, name, nil); err != nil {
		return s, err
	}
	switch {
	case s.Lookups > MaxLookups:
		return s, &Wrong{Record: s.Record, Why: "The SPF record, with what it includes, costs more than the 10 lookups that receivers make; they stop and count it as broken."}
	case s.Voids > MaxVoids:
		return s, &Wrong{Record: s.Record, Why: "More than two names in the SPF record lead to nothing; receivers stop there and count it as broken."}
	}
	return s, nil
}

// record returns the SPF record of a name: exactly one (RFC 7208 4.5).
func (w *spfWalk) record(ctx context.Context, name string) spfAnswer {
	if a, ok := w.records[name]; ok {
		return a
	}
	a := w.fetch(ctx, name)
	w.records[name] = a
	return a
}

func (w *spfWalk) fetch(ctx context.Context, name string) spfAnswer {
	texts, err := w.r.TXT(ctx, name)
	if err != nil {
		return spfAnswer{err: err}
	}
	texts = slices.DeleteFunc(texts, func(t string) bool { return !isSPF(t) })
	switch len(texts) {
	case 0:
		return spfAnswer{err: ErrNone}
	case 1:
	default:
		return spfAnswer{text: texts[0], err: &Wrong{Record: tame(texts[0]), Why: "The domain " + name + " has several SPF records; receivers count that as broken."}}
	}
	record, odd := parseSPF(texts[0])
	if odd != "" {
		return spfAnswer{text: texts[0], err: &Wrong{Record: tame(texts[0]), Why: "The SPF record of " + name + " has a part that cannot be read: " + odd}}
	}
	return spfAnswer{text: texts[0], record: record}
}

func (w *spfWalk) addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	a, ok := w.hosts[name]
	if !ok {
		a.addrs, a.err = w.r.Addresses(ctx, name)
		w.hosts[name] = a
	}
	return a.addrs, a.err
}

func (w *spfWalk) exchangers(ctx context.Context, name string) ([]Exchanger, error) {
	a, ok := w.mx[name]
	if !ok {
		a.hosts, a.err = w.r.MX(ctx, name)
		w.mx[name] = a
	}
	return a.hosts, a.err
}

// follow counts what the record of name costs, and looks at what it includes.
func (w *spfWalk) follow(ctx context.Context, s *SPF, name string, path []string) error {
	a := w.record(ctx, name)
	if a.err != nil {
		return a.err
	}
	path = append(slices.Clone(path), name)
	terms := a.record.terms
	if a.record.redirect != "" && !a.record.hasAll {
		terms = append(slices.Clone(terms), spfTerm{name: "redirect", domain: a.record.redirect})
	}
	for _, t := range terms {
		if !t.asks() {
			continue
		}
		if s.Lookups++; s.Lookups > maxWalk {
			return nil
		}
		if err := w.followTerm(ctx, s, t, name, path); err != nil {
			return err
		}
	}
	return nil
}

func (w *spfWalk) followTerm(ctx context.Context, s *SPF, t spfTerm, name string, path []string) error {
	target := t.domain
	if target == "" {
		target = name
	}
	if strings.Contains(target, "%") || t.name == "ptr" {
		return nil // depends on who sends
	}
	target, err := Name(target)
	if err != nil {
		return &Wrong{Record: s.Record, Why: "The SPF record of " + name + " names " + tame(t.domain) + ", which is no domain."}
	}
	switch t.name {
	case "include", "redirect":
		return w.followInto(ctx, s, t, name, target, path)
	case "mx":
		_, err = w.exchangers(ctx, target)
	default:
		_, err = w.addresses(ctx, target)
	}
	switch {
	case errors.Is(err, ErrNone):
		s.Voids++
	case errors.Is(err, ErrUnsure):
		s.Unsure = true
	}
	return nil
}

func (w *spfWalk) followInto(ctx context.Context, s *SPF, t spfTerm, name, target string, path []string) error {
	if slices.Contains(path, target) {
		return &Wrong{Record: s.Record, Why: "The SPF record of " + name + " leads back to itself through " + target + "."}
	}
	if t.name == "include" && !slices.Contains(s.Includes, target) {
		s.Includes = append(s.Includes, target)
	}
	a := w.record(ctx, target)
	switch {
	case errors.Is(a.err, ErrNone):
		return &Wrong{Record: s.Record, Why: "The SPF record of " + name + " leads to " + target + ", which has none."}
	case errors.Is(a.err, ErrUnsure):
		s.Unsure = true
		return nil
	case a.err != nil:
		return a.err
	}
	if t.name == "redirect" && len(path) == 1 {
		s.All = a.record.all
	}
	return w.follow(ctx, s, target, path)
}

// Check returns what receivers make of a letter that comes from an address
// (RFC 7208 4). sender is the envelope sender, helo what the server calls itself.
func (s SPF) Check(ctx context.Context, from netip.Addr, sender, helo string) Result {
	if s.walk == nil {
		return None
	}
	e := &spfEval{walk: s.walk, from: from.Unmap(), sender: sender, helo: helo}
	return e.check(ctx, s.Domain, 0)
}

// spfEval is one evaluation of check_host.
type spfEval struct {
	walk           *spfWalk
	from           netip.Addr
	sender, helo   string
	lookups, voids int
}

// maxDepth bounds includes inside of includes; ten lookups end them before.
const maxDepth = 12

func (e *spfEval) check(ctx context.Context, name string, depth int) Result {
	a := e.walk.record(ctx, name)
	switch {
	case errors.Is(a.err, ErrNone):
		return None
	case errors.Is(a.err, ErrUnsure):
		return TempError
	case a.err != nil || depth > maxDepth:
		return PermError
	}
	for _, t := range a.record.terms {
		match, failed := e.matches(ctx, t, name, depth)
		if failed != "" {
			return failed
		}
		if match {
			return map[byte]Result{'+': Pass, '-': Fail, '~': SoftFail, '?': Neutral}[t.qualifier]
		}
	}
	if a.record.redirect == "" {
		return Neutral
	}
	if failed := e.count(); failed != "" {
		return failed
	}
	target, ok := e.target(a.record.redirect, name)
	if !ok {
		return PermError
	}
	if r := e.check(ctx, target, depth+1); r != None {
		return r
	}
	return PermError
}

// count spends one of the ten lookups.
func (e *spfEval) count() Result {
	if e.lookups++; e.lookups > MaxLookups {
		return PermError
	}
	return ""
}

// void notes an answer without records.
func (e *spfEval) void(err error) Result {
	switch {
	case errors.Is(err, ErrUnsure):
		return TempError
	case errors.Is(err, ErrNone):
		if e.voids++; e.voids > MaxVoids {
			return PermError
		}
	}
	return ""
}

// target returns the domain that a domain-spec stands for; "" is the record's
// own.
func (e *spfEval) target(spec, name string) (string, bool) {
	if spec == "" {
		return name, true
	}
	local, domain, ok := strings.Cut(e.sender, "@")
	if !ok {
		local, domain = "postmaster", e.sender
	}
	text, ok := expand(spec, func(letter byte) string {
		switch letter {
		case 's':
			return local + "@" + domain
		case 'l':
			return local
		case 'o':
			return domain
		case 'd':
			return name
		case 'i':
			return dotted(e.from)
		case 'h':
			return e.helo
		case 'v':
			if e.from.Is4() {
				return "in-addr"
			}
			return "ip6"
		}
		return "unknown" // p, c, r and t: what nobody needs here
	})
	if !ok {
		return "", false
	}
	target, err := Name(text)
	return target, err == nil
}

// matches reports whether a mechanism fits the address, or what ends the whole
// evaluation.
func (e *spfEval) matches(ctx context.Context, t spfTerm, name string, depth int) (bool, Result) {
	switch t.name {
	case "all":
		return true, ""
	case "ip4", "ip6":
		return t.network.Contains(e.from), ""
	}
	if failed := e.count(); failed != "" {
		return false, failed
	}
	target, ok := e.target(t.domain, name)
	if !ok {
		return false, PermError
	}
	switch t.name {
	case "include":
		switch r := e.check(ctx, target, depth+1); r {
		case Pass:
			return true, ""
		case TempError, PermError:
			return false, r
		case None:
			return false, PermError
		}
		return false, ""
	case "exists":
		addrs, err := e.walk.addresses(ctx, target)
		four := slices.ContainsFunc(addrs, netip.Addr.Is4)
		return four, e.void(err)
	case "a":
		return e.host(ctx, t, target)
	case "mx":
		return e.exchanger(ctx, t, target)
	}
	return false, "" // ptr: what RFC 7208 5.5 advises against is not asked for
}

func (e *spfEval) host(ctx context.Context, t spfTerm, name string) (bool, Result) {
	addrs, err := e.walk.addresses(ctx, name)
	if err != nil {
		return false, e.void(err)
	}
	return slices.ContainsFunc(addrs, func(a netip.Addr) bool { return t.covers(a, e.from) }), ""
}

func (e *spfEval) exchanger(ctx context.Context, t spfTerm, name string) (bool, Result) {
	hosts, err := e.walk.exchangers(ctx, name)
	if err != nil {
		return false, e.void(err)
	}
	if len(hosts) > maxPerTerm {
		return false, PermError
	}
	for _, h := range hosts {
		addrs, err := e.walk.addresses(ctx, h.Host)
		if errors.Is(err, ErrUnsure) {
			return false, TempError
		}
		if slices.ContainsFunc(addrs, func(a netip.Addr) bool { return t.covers(a, e.from) }) {
			return true, ""
		}
	}
	return false, ""
}

// covers reports whether from is in the network around a.
func (t spfTerm) covers(a, from netip.Addr) bool {
	n := t.bits6
	if a.Is4() {
		n = t.bits4
	}
	p, err := a.Prefix(n)
	return err == nil && p.Contains(from)
}
