package domain

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// DMARC is what a domain asks receivers to do with letters that are not proved
// to come from it (RFC 7489).
type DMARC struct {
	// At is the domain whose record holds: that which was asked for, or the
	// organisational domain above it.
	At, Record string
	// Policy is "none", "quarantine" or "reject", for the domain that was asked
	// for.
	Policy string
	// StrictSPF and StrictDKIM tell that domains must be the same, not only of
	// the same organisation.
	StrictSPF, StrictDKIM bool
	// Percent is the share of letters that the policy is for.
	Percent int
	// Reports tells that receivers are asked for reports.
	Reports bool

	// sub is the policy for domains below, "" where it is the same.
	sub string
}

// Organization returns the organisational domain (RFC 7489 3.2): one label below
// the public suffix. It is the domain itself where there is none above.
func Organization(domain string) string {
	name, err := Name(domain)
	if err != nil {
		return domain
	}
	org, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		return name
	}
	return org
}

// Aligned reports whether a domain that was proved vouches for the one that
// people see (RFC 7489 3.1): the same, or, where that is not strict, of the same
// organisation.
func Aligned(seen, proved string, strict bool) bool {
	a, err := Name(seen)
	if err != nil {
		return false
	}
	b, err := Name(proved)
	if err != nil {
		return false
	}
	return a == b || !strict && Organization(a) == Organization(b)
}

// DMARC returns what holds for letters from a domain. Beside [ErrNone] and
// [ErrUnsure] the error is a *[Wrong].
func (r *Resolver) DMARC(ctx context.Context, domain string) (DMARC, error) {
	name, err := Name(domain)
	if err != nil {
		return DMARC{}, err
	}
	d, err := r.dmarcAt(ctx, name)
	if org := Organization(name); errors.Is(err, ErrNone) && org != name {
		if d, err = r.dmarcAt(ctx, org); err == nil && d.sub != "" {
			d.Policy = d.sub
		}
	}
	return d, err
}

func (r *Resolver) dmarcAt(ctx context.Context, name string) (DMARC, error) {
	texts, err := r.TXT(ctx, "_dmarc."+name)
	if err != nil {
		return DMARC{At: name}, err
	}
	var found []string
	for _, text := range texts {
		if isDMARC(text) {
			found = append(found, text)
		}
	}
	switch len(found) {
	case 0:
		return DMARC{At: name}, ErrNone
	case 1:
		d, err := ParseDMARC(found[0])
		d.At = name
		return d, err
	}
	return DMARC{At: name}, &Wrong{Record: tame(found[0]), Why: "The domain has several DMARC records; receivers use none of them then."}
}

// isDMARC tells a DMARC record from other texts: its first tag is v=DMARC1.
func isDMARC(text string) bool {
	first, _, _ := strings.Cut(text, ";")
	return without(first) == "v=DMARC1"
}

// ParseDMARC reads a record as it holds for the domain that it stands at. The
// error is a *[Wrong]. What only concerns reports is not checked.
func ParseDMARC(record string) (DMARC, error) {
	d := DMARC{Record: tame(record), Percent: 100}
	wrong := func(why string) (DMARC, error) { return d, &Wrong{Record: d.Record, Why: why} }
	if !isDMARC(record) {
		return wrong("The record does not begin with v=DMARC1.")
	}
	tags, odd := readTags(record)
	if odd != "" {
		return wrong("The DMARC record has a part that cannot be read: " + odd)
	}
	rua, _ := valueOf(tags, "rua")
	d.Reports = strings.TrimSpace(rua) != ""
	p, _ := valueOf(tags, "p")
	switch p = strings.ToLower(p); p {
	case "none", "quarantine", "reject":
		d.Policy = p
	default:
		// RFC 7489 6.6.3: with an address for reports it counts as "none".
		if !d.Reports {
			return wrong("The DMARC record says no policy: p= is not none, quarantine or reject.")
		}
		d.Policy = "none"
	}
	sp, _ := valueOf(tags, "sp")
	switch sp = strings.ToLower(sp); sp {
	case "none", "quarantine", "reject":
		d.sub = sp
	}
	aspf, _ := valueOf(tags, "aspf")
	adkim, _ := valueOf(tags, "adkim")
	d.StrictSPF, d.StrictDKIM = strings.EqualFold(aspf, "s"), strings.EqualFold(adkim, "s")
	if pct, ok := valueOf(tags, "pct"); ok {
		if n, err := strconv.Atoi(pct); err == nil && n >= 0 && n <= 100 {
			d.Percent = n
		}
	}
	return d, nil
}
