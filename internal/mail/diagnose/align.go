package diagnose

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/sealpost/sealpost/internal/mail/domain"
)

// keys looks for the key that letters are signed with.
func (z *zone) keys(ctx context.Context) Step {
	const title = "The key that letters are signed with (DKIM)"
	s := Step{Key: CheckDKIM, Title: title, State: OK}
	if domain.Private(z.from) {
		return inside(s.Key, title, z.from)
	}
	own, err := z.doctor.signing(ctx, z.by, z.from)
	switch {
	case err != nil:
		s.State, s.Detail = Skipped, "Sealpost could not look up its own key."
		return s
	case len(own) > 0:
		return z.ownKeys(ctx, s, own)
	case z.provider == nil:
		s.State = Skipped
		s.Detail = "Sealpost does not sign letters for " + z.from + ". Whether " + z.host + " does shows in the test mail: its headers name DKIM-Signature, d=."
		return s
	case len(z.provider.selectors) == 0:
		s.State = Skipped
		s.Detail = z.provider.name + " signs with a key whose name is known there alone. " + z.provider.sign
		return s
	}
	return z.providersKey(ctx, s)
}

// ownKeys compares the keys in the DNS with those that are used here: one that
// is right is enough for receivers, and each should be.
func (z *zone) ownKeys(ctx context.Context, s Step, own []Signing) Step {
	z.signer, z.dkim = own[0].Domain, no
	wrong := s
	for _, key := range own {
		one := z.ownKey(ctx, s, key)
		s.Lines = append(s.Lines, one.Lines...)
		switch {
		case one.State == Skipped && z.dkim == no:
			z.dkim = unknown
			wrong = one
		case one.Record != (Record{}):
			wrong = one
		case one.State != Skipped:
			z.dkim = yes
			s.State, s.Detail, s.Advice = one.State, one.Detail, one.Advice
		}
	}
	if wrong.Detail != "" {
		wrong.Lines = s.Lines
		return wrong
	}
	return s
}

// ownKey compares one of them.
func (z *zone) ownKey(ctx context.Context, s Step, own Signing) Step {
	there, err := z.dns.DKIMKey(ctx, own.Selector, own.Domain)
	s.Lines = nil
	if there.Record != "" {
		s.Lines = []string{there.Record}
	}
	wanted, _ := domain.ParseKey(own.Value)
	var wrong *domain.Wrong
	switch {
	case errors.Is(err, domain.ErrUnsure):
		return unasked(s.Key, s.Title)
	case errors.As(err, &wrong):
		s.Detail = wrong.Why
	case err != nil:
		s.Detail = "Sealpost signs for " + own.Domain + ", and the key is not in the DNS at " + there.Name + ". Receivers count the letters as not signed with it."
	case !reflect.DeepEqual(there.Public, wanted.Public):
		s.Detail = "In the DNS at " + there.Name + " stands another key than the one that Sealpost signs with."
	default:
		s.Detail = fmt.Sprintf("Sealpost signs for %s; its key is in the DNS at %s.", own.Domain, there.Name)
		if there.Testing {
			s.State, s.Advice = Warn, "The record says that the key is for trying out (t=y). Take that away once letters arrive."
		}
		return s
	}
	s.State, s.Advice = Warn, "Enter this record into the DNS."
	s.Record = Record{Name: own.Selector + "._domainkey." + own.Domain, Type: "TXT", Value: own.Value}
	return s
}

// providersKey looks for the keys that the provider signs with.
func (z *zone) providersKey(ctx context.Context, s Step) Step {
	unsure := false
	for _, selector := range z.provider.selectors {
		key, err := z.dns.DKIMKey(ctx, selector, z.from)
		if err == nil {
			z.signer, z.dkim = z.from, yes
			s.Detail = fmt.Sprintf("%s has a key for %s (%s), and signs with it where that is switched on.", z.provider.name, z.from, key.Name)
			return s
		}
		unsure = unsure || errors.Is(err, domain.ErrUnsure)
	}
	if unsure {
		return unasked(s.Key, s.Title)
	}
	z.dkim = no
	s.State = Warn
	s.Detail = fmt.Sprintf("The usual key of %s is not in the DNS of %s, so letters are signed for a domain of %s at best.", z.provider.name, z.from, z.provider.name)
	s.Advice = z.provider.sign
	return s
}

// policy looks what receivers are asked to do with forged letters.
func (z *zone) policy(ctx context.Context) Step {
	const title = "What receivers do with forged letters (DMARC)"
	s := Step{Key: CheckDMARC, Title: title, State: OK}
	if domain.Private(z.from) {
		z.noDMARC = domain.ErrNone
		return inside(s.Key, title, z.from)
	}
	d, err := z.dns.DMARC(ctx, z.from)
	z.dmarc, z.noDMARC = d, err
	if d.Record != "" {
		s.Lines = []string{d.Record}
	}
	var wrong *domain.Wrong
	switch {
	case errors.Is(err, domain.ErrUnsure):
		return unasked(s.Key, title)
	case errors.As(err, &wrong):
		s.State, s.Detail = Warn, wrong.Why
		s.Advice, s.Record = "Replace it by a record like this.", z.ask()
		return s
	case err != nil:
		s.State, s.Detail = Warn, z.from+" has no DMARC record, so each receiver decides alone what to do with forged letters. Large ones want a record."
		s.Advice, s.Record = "Begin with a record that only asks for reports; once all letters pass, write p=quarantine.", z.ask()
		return s
	}
	what := map[string]string{
		"none": "asks receivers to do nothing (p=none)", "quarantine": "asks receivers to put forged letters aside (p=quarantine)",
		"reject": "asks receivers to refuse forged letters (p=reject)",
	}[d.Policy]
	s.Detail = d.At + " " + what + "."
	if d.StrictSPF || d.StrictDKIM {
		s.Detail += " The domains must be the same to the letter" + map[[2]bool]string{{true, false}: " (aspf=s)", {false, true}: " (adkim=s)"}[[2]bool{d.StrictSPF, d.StrictDKIM}] + "."
	}
	if d.Percent < 100 {
		s.Detail += fmt.Sprintf(" That is for %d%% of the letters.", d.Percent)
	}
	return s
}

// ask is a DMARC record to begin with.
func (z *zone) ask() Record {
	org := domain.Organization(z.from)
	return Record{Name: "_dmarc." + org, Type: "TXT", Value: "v=DMARC1; p=none; rua=mailto:postmaster@" + org}
}

// both is what SPF or DKIM says once the domains were compared: an answer of
// somebody else's domain counts as none.
func both(passed answer, aligned bool) answer {
	if passed == yes && !aligned || passed == unknown && !aligned {
		return no
	}
	return passed
}

// card sums up what receivers will see.
func (z *zone) card() Step {
	s := Step{Key: CheckAlignment, Title: "What receivers will see", State: OK}
	if domain.Private(z.from) {
		s.State = Skipped
		s.Detail = z.from + " is known inside of your network alone: receivers outside of it will not take letters from there."
		if !domain.Private(z.host) && z.host != "" {
			s.Detail = z.from + " is known inside of your network alone. If letters are to leave it, send from a domain of yours that the DNS knows."
		}
		return s
	}
	spf := both(z.spf, domain.Aligned(z.from, z.envelope, z.dmarc.StrictSPF))
	dkim := z.dkim
	if z.signer != "" {
		dkim = both(z.dkim, domain.Aligned(z.from, z.signer, z.dmarc.StrictDKIM))
	}
	s.Lines = []string{"From: " + z.from, "Envelope sender: " + z.envelope, "SPF aligned: " + string(spf), "DKIM aligned: " + string(dkim)}
	if z.signer != "" {
		s.Lines = append(s.Lines, "Signed for: "+z.signer)
	}
	said := fmt.Sprintf("Receivers will see: SPF aligned %s, DKIM aligned %s, so DMARC ", spf, dkim)
	switch {
	case errors.Is(z.noDMARC, domain.ErrUnsure) && spf == unknown && dkim == unknown:
		s.State, s.Detail = Skipped, "The DNS gave no answer in time, so what receivers will see is not known."
	case spf == yes || dkim == yes:
		s.Detail = said + z.would("passes", "would pass")
	case spf == no && dkim == no:
		s.State, s.Detail = Warn, said+z.would("fails", "would fail")+" Letters may end as spam or be refused."
		s.Advice = "Mend SPF or DKIM as said below; one of them is enough, both are better."
	default:
		s.State, s.Detail = Warn, said+"cannot be told from here."
		s.Advice = "Open the test mail where it arrived and read its header Authentication-Results."
		if z.spf == unknown && z.dkim == unknown && z.noDMARC != nil && !errors.Is(z.noDMARC, domain.ErrUnsure) {
			// Nobody asks for more.
			s.State, s.Detail, s.Advice = OK, s.Detail+" The header Authentication-Results of the test mail tells it where that arrived.", ""
		}
	}
	return s
}

// would chooses the words for a domain that asks for DMARC, or does not.
func (z *zone) would(asks, not string) string {
	if errors.Is(z.noDMARC, domain.ErrNone) {
		return not + "; the domain has no record for it."
	}
	return asks + "."
}
