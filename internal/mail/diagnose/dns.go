package diagnose

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/domain"
	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/mail/smtp"
)

// The keys of the checks of the DNS.
const (
	CheckAddresses = "addresses"
	CheckMX        = "mx"
	CheckSPF       = "spf"
	CheckDKIM      = "dkim"
	CheckDMARC     = "dmarc"
	CheckName      = "ehlo_name"
	CheckAlignment = "alignment"
)

// answer is whether receivers find something; Unknown where that cannot be told
// from here.
type answer string

const (
	yes     answer = "yes"
	no      answer = "no"
	unknown answer = "unknown"
)

// zone is what is asked of the DNS, and what came of it.
type zone struct {
	*test
	dns *domain.Resolver
	// from is the domain that people see, envelope the one that bounces go to.
	from, envelope string
	// bounces is the envelope sender.
	bounces  string
	provider *provider

	addrs []netip.Addr

	spf     answer
	dkim    answer
	signer  string
	dmarc   domain.DMARC
	noDMARC error
}

// lookAtDNS asks what the DNS says of the sender's domain and of the server.
func (t *test) lookAtDNS(ctx context.Context) (string, []Step) {
	z := &zone{test: t, dns: t.doctor.dns, provider: providerOf(t.host), spf: unknown, dkim: unknown}
	sender := t.draft.Profile.SenderAddress
	z.from = domainOf(sender)
	z.bounces = t.doctor.envelope(ctx, sender)
	z.envelope = domainOf(z.bounces)
	if t.graph() {
		z.provider = providerOf("smtp.office365.com")
	}
	var addresses Step
	if !t.graph() {
		addresses = timed(ctx, z.addresses)
	}
	var mx, spf, dkim, dmarc, name Step
	var all sync.WaitGroup
	for into, check := range map[*Step]func(context.Context) Step{&mx: z.mx, &spf: z.senders, &dkim: z.keys, &dmarc: z.policy, &name: z.ownName} {
		all.Go(func() { *into = timed(ctx, check) })
	}
	all.Wait()
	card := z.card()
	steps := []Step{card, spf, dkim, dmarc, mx}
	if !t.graph() {
		steps = append(steps, addresses, name)
	}
	return z.summary(card, steps), steps
}

func timed(ctx context.Context, check func(context.Context) Step) Step {
	began := time.Now()
	s := check(ctx)
	s.Took = time.Since(began)
	return s
}

func domainOf(address string) string {
	if a, err := message.ParseAddress(address); err == nil {
		return a.Domain
	}
	return ""
}

// summary is the group in one sentence.
func (z *zone) summary(card Step, all []Step) string {
	looks := 0
	for _, s := range all[1:] {
		if s.State == Warn {
			looks++
		}
	}
	switch {
	case card.State == Skipped:
		return card.Detail
	case looks == 0:
		return card.Detail
	case looks == 1:
		return card.Detail + " One more thing to look at."
	}
	return card.Detail + fmt.Sprintf(" %d more things to look at.", looks)
}

// unasked is a check whose question was not answered.
func unasked(key, title string) Step {
	return Step{Key: key, Title: title, State: Skipped, Detail: "The DNS gave no answer in time, so this is not known. If this machine asks another DNS server for names outside, name it in the configuration (mail.resolver)."}
}

// inside is a check that makes no sense for names inside of a network.
func inside(key, title, name string) Step {
	return Step{Key: key, Title: title, State: Skipped, Detail: name + " is known inside of your network alone, where nobody looks for this as a rule."}
}

// addresses looks the mail server up.
func (z *zone) addresses(ctx context.Context) Step {
	const title = "Addresses of the mail server"
	s := Step{Key: CheckAddresses, Title: title, State: OK}
	if a, err := netip.ParseAddr(z.host); err == nil {
		z.addrs = []netip.Addr{a}
		s.State, s.Detail = Skipped, "The server is given by its address."
		return s
	}
	addrs, err := z.dns.Addresses(ctx, z.host)
	switch {
	case errors.Is(err, domain.ErrUnsure):
		return unasked(s.Key, title)
	case err != nil && domain.Private(z.host):
		return inside(s.Key, title, z.host)
	case err != nil:
		s.State, s.Detail = Warn, "The DNS does not know "+z.host+"."
		s.Advice = "If the name is known in your network alone, all is well. If not, check how it is spelled."
		return s
	}
	z.addrs = addrs
	four, six := 0, 0
	for _, a := range addrs {
		if a.Is4() {
			four++
		} else {
			six++
		}
		s.Lines = append(s.Lines, a.String())
	}
	s.Lines = first(s.Lines, 12)
	s.Detail = fmt.Sprintf("%s of IPv4, %s of IPv6.", number(four), number(six))
	return s
}

func number(n int) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

// mx looks who takes the mail that comes back.
func (z *zone) mx(ctx context.Context) Step {
	const title = "Who takes the mail of the sender's domain (MX)"
	s := Step{Key: CheckMX, Title: title, State: OK}
	if domain.Private(z.envelope) {
		return inside(s.Key, title, z.envelope)
	}
	hosts, err := z.dns.MX(ctx, z.envelope)
	switch {
	case errors.Is(err, domain.ErrUnsure):
		return unasked(s.Key, title)
	case err != nil:
		s.State = Warn
		s.Detail = z.envelope + " names nobody who takes its mail, so answers and reports of what could not be delivered may get lost."
		s.Advice = "Enter an MX record for the domain, or send from a domain that has one."
		return s
	case hosts[0].Host == "":
		s.State = Warn
		s.Detail = z.envelope + " says that it takes no mail at all (RFC 7505). Many receivers refuse letters from such a domain."
		s.Advice = "Send from a domain that takes mail, or take the record “0 .” away."
		return s
	}
	for _, h := range hosts {
		s.Lines = append(s.Lines, fmt.Sprintf("%d %s", h.Preference, h.Host))
	}
	s.Lines = first(s.Lines, 12)
	s.Detail = hosts[0].Host + " takes the mail of " + z.envelope + "."
	return s
}

// senders looks who may send for the envelope's domain.
func (z *zone) senders(ctx context.Context) Step {
	const title = "Who may send for the domain (SPF)"
	s := Step{Key: CheckSPF, Title: title, State: OK}
	if domain.Private(z.envelope) {
		return inside(s.Key, title, z.envelope)
	}
	spf, err := z.dns.SPF(ctx, z.envelope)
	var wrong *domain.Wrong
	if spf.Record != "" {
		s.Lines = []string{spf.Record}
	}
	switch {
	case errors.Is(err, domain.ErrUnsure):
		return unasked(s.Key, title)
	case errors.As(err, &wrong):
		z.spf = no
		s.State, s.Detail, s.Advice = Warn, wrong.Why, "Correct the TXT record of the domain, so that there is one that begins with v=spf1 and can be read to its end."
		return s
	case err != nil:
		z.spf = no
		s.State, s.Detail = Warn, z.envelope+" has no SPF record, so letters from it cannot be told from forged ones by where they come from."
		s.Advice = "Enter a record that names everything which sends for the domain, for example v=spf1 ip4:ADDRESS ~all."
		if len(z.sends()) > 0 {
			s.Advice, s.Record = "Enter a record like this, with everything else that sends for the domain.", z.record("v=spf1 ~all")
		}
		return s
	}
	if spf.Unsure {
		s.Detail = "A part of the record could not be asked for. "
	}
	z.allowed(ctx, spf, &s)
	z.ending(spf, &s)
	s.Detail = strings.TrimSpace(s.Detail + fmt.Sprintf(" It costs %d of the 10 lookups that receivers make.", spf.Lookups))
	return s
}

// allowed tells whether letters through the server pass.
func (z *zone) allowed(ctx context.Context, spf domain.SPF, s *Step) {
	if z.provider != nil {
		if slices.Contains(spf.Includes, z.provider.include) {
			z.spf = yes
			s.Detail += "The record includes " + z.provider.include + ", so letters through " + z.provider.name + " pass."
			return
		}
		z.spf = no
		if spf.Unsure {
			z.spf = unknown
		}
		s.State = Warn
		s.Detail += "The record does not include " + z.provider.include + ", so letters through " + z.provider.name + " do not pass."
		s.Advice, s.Record = "Enter the record like this.", z.record(spf.Record)
		return
	}
	var public, refused []netip.Addr
	for _, a := range z.addrs {
		if !domain.Public(a) {
			continue
		}
		public = append(public, a)
		if spf.Check(ctx, a, z.bounces, z.host) != domain.Pass {
			refused = append(refused, a)
		}
	}
	switch {
	case len(public) == 0:
		s.Detail += "From which address others see letters come that leave through " + z.host + " is not known here."
	case len(refused) == 0:
		z.spf = yes
		s.Detail += "The addresses of " + z.host + " may send for " + z.envelope + "."
	default:
		s.State = Warn
		s.Detail += fmt.Sprintf("The record does not let %s send. Letters pass only if %s hands them on from other addresses.", refused[0], z.host)
		s.Advice = "If it sends from these addresses itself, enter the record like this. If not, its administrator knows what belongs there."
		s.Record = z.record(spf.Record)
	}
}

// ending judges what the record says of everybody else.
func (z *zone) ending(spf domain.SPF, s *Step) {
	switch spf.All {
	case '-':
		s.Detail += " Others may not send (-all)."
	case '~':
		s.Detail += " Others are suspect (~all)."
	case '+':
		z.spf = yes
		s.State = Warn
		s.Detail += " Everybody may send (+all), so the record protects from nothing."
		if s.Advice == "" {
			s.Advice = "End the record with ~all or -all."
		}
	default:
		s.Detail += " It says nothing of others (no ~all or -all at its end)."
	}
}

// sends are the terms that let the server send.
func (z *zone) sends() []string {
	if z.provider != nil {
		return []string{"include:" + z.provider.include}
	}
	var add []string
	for _, a := range z.addrs {
		switch {
		case !domain.Public(a):
		case a.Is4():
			add = append(add, "ip4:"+a.String())
		default:
			add = append(add, "ip6:"+a.String())
		}
	}
	if len(add) > mostTerms {
		// A list that long is better kept where it is.
		return []string{"a:" + z.host}
	}
	return add
}

// mostTerms is how many addresses are named one by one.
const mostTerms = 6

// record is an SPF record that lets the server send as well.
func (z *zone) record(now string) Record {
	words := strings.Fields(now)
	at := len(words)
	for i, w := range words {
		if l := strings.ToLower(strings.TrimLeft(w, "+-~?")); l == "all" || strings.HasPrefix(l, "redirect=") {
			at = i
			break
		}
	}
	words = slices.Insert(words, at, z.sends()...)
	return Record{Name: z.envelope, Type: "TXT", Value: strings.Join(words, " ")}
}

// ownName looks whether what Sealpost calls itself leads anywhere.
func (z *zone) ownName(ctx context.Context) Step {
	const title = "What Sealpost calls itself (EHLO)"
	s := Step{Key: CheckName, Title: title, State: OK}
	select {
	case <-z.aside.opened:
	case <-ctx.Done():
	}
	z.aside.mu.Lock()
	name := z.localName
	z.aside.mu.Unlock()
	mayMind := z.draft.Profile.Auth == mail.AuthNone && z.draft.Profile.Security != smtp.None
	switch {
	case name == "":
		s.State, s.Detail = Skipped, "The test did not come that far."
		return s
	case strings.EqualFold(name, z.host):
		s.State, s.Detail = Warn, "Sealpost calls itself "+name+", which is the mail server's own name. Some servers refuse that."
		s.Advice = "Under Advanced, enter a name of this machine as EHLO name."
		return s
	case strings.HasPrefix(name, "[") || domain.Private(name):
		s.State, s.Detail = Skipped, "Sealpost calls itself "+name+". A server that is signed in to, or that knows this machine, does not mind."
		return s
	}
	addrs, err := z.dns.Addresses(ctx, name)
	switch {
	case errors.Is(err, domain.ErrUnsure):
		return unasked(s.Key, title)
	case err != nil:
		s.Detail = "Sealpost calls itself " + name + ", which the DNS does not know. A server that is signed in to does not mind."
		if mayMind {
			s.State, s.Advice = Warn, "Under Advanced, enter a name that leads to this machine as EHLO name."
		}
		return s
	}
	return z.backAndForth(ctx, s, name, addrs, mayMind)
}

// backAndForth compares where a name leads with what that is called.
func (z *zone) backAndForth(ctx context.Context, s Step, name string, addrs []netip.Addr, mayMind bool) Step {
	for _, a := range addrs[:min(len(addrs), 4)] {
		names, err := z.dns.Names(ctx, a)
		if err == nil && slices.Contains(names, name) {
			s.Detail = fmt.Sprintf("Sealpost calls itself %s, which leads to %s, and back.", name, a)
			return s
		}
	}
	s.Detail = fmt.Sprintf("Sealpost calls itself %s, which leads to %s; that leads to another name or to none. A server that is signed in to does not mind.", name, addrs[0])
	if mayMind {
		s.State, s.Advice = Warn, "Let whoever gives out the address enter "+name+" as its name (PTR record)."
	}
	return s
}
