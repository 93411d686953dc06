package page

import "time"

// DKIMBoth is the choice of both algorithms.
const DKIMBoth = "both"

// DKIM is the signing of letters that leave through one mail server.
type DKIM struct {
	Base
	// At is the page's path, Settings that of the server's settings.
	At, Settings string
	// Two tells that there are two mail servers.
	Two bool
	// Set tells that there is a mail server; Capture that mail does not leave.
	Set, Capture bool
	// Sender is the domain that letters come from. Provider signs by itself: its
	// name, "" for none.
	Sender, Provider string
	// Misfit tells that the key is for another domain than the sender's, Private
	// that nobody outside can look the sender's up.
	Misfit, Private bool
	// New waits for its records, Active signs; nil where there is none. Retired
	// counts the sets that are kept for letters under way.
	New, Active *DKIMSet
	Retired     int

	// Domain, Selector and Algorithms are what a new key would be.
	Domain, Selector, Algorithms string
	Domains                      []Option
	// Ask names the dialog that is open, for browsers without scripts.
	Ask string
}

// Template names the file.
func (*DKIM) Template() string { return "mail_dkim" }

// Kinds are the algorithms to choose from.
func (*DKIM) Kinds() []Option {
	return []Option{
		{Value: "rsa-sha256", Label: "RSA", Help: "every receiver checks it"},
		{Value: DKIMBoth, Label: "Both", Help: "two records to publish"},
		{Value: "ed25519-sha256", Label: "Ed25519", Help: "newer; not all check it"},
	}
}

// Tone is how the state is meant, Is says it.
func (p *DKIM) Tone() string {
	switch {
	case p.Active != nil && (p.Misfit || !p.Active.Published && !p.Active.Unsure()):
		return "bad"
	case p.Active != nil && p.New == nil && p.Active.Published:
		return "good"
	case p.Active != nil || p.New != nil:
		return "warn"
	}
	return "note"
}

// Is says how signing stands.
func (p *DKIM) Is() string {
	switch {
	case p.Misfit:
		return "Letters leave without a signature"
	case p.Active != nil && p.Active.Published:
		return "Letters are signed for " + p.Active.Domain
	case p.Active != nil:
		return "Letters are signed for " + p.Active.Domain + ", and receivers may not be able to check it"
	case p.New != nil:
		return "Waiting for the record in the DNS"
	}
	return "Letters are not signed"
}

// DKIMSet is keys that sign together.
type DKIMSet struct {
	Domain              string
	CreatedAt, ActiveAt time.Time
	CreatedBy           string
	CheckedAt           time.Time
	// Published tells that all records are right, Anyway that somebody let it
	// sign without.
	Published, Anyway bool
	Keys              []DKIMKey
}

// Unsure tells that the DNS could not be asked, and nothing is known to be wrong.
func (s *DKIMSet) Unsure() bool {
	for _, k := range s.Keys {
		if k.Verdict == "missing" || k.Verdict == "differs" {
			return false
		}
	}
	return true
}

// DKIMKey is one of them with its record.
type DKIMKey struct {
	// ID is unlike those of other keys on the page.
	ID, Kind string
	// Name is the whole name, Host the part before the domain; Value is the text
	// in one piece, Parts in pieces, Zone as it stands in a zone file.
	Name, Host, Value, Zone string
	Parts                   []Copy
	// Verdict is "", "ok", "missing", "differs" or "unsure"; Why says more, Found
	// is what stands in the DNS.
	Verdict, Why, Found string
}

// Word is the verdict for people, Tone how it is meant.
func (k DKIMKey) Word() string {
	switch k.Verdict {
	case "ok":
		return "In the DNS and right"
	case "missing":
		return "Not in the DNS yet"
	case "differs":
		return "Something else is in the DNS"
	case "unsure":
		return "The DNS could not be asked"
	}
	return "Not checked yet"
}

// Tone is how the verdict is meant.
func (k DKIMKey) Tone() string {
	return map[string]string{"ok": "good", "missing": "warn", "differs": "bad", "unsure": "warn"}[k.Verdict]
}
