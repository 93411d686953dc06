package operator

import (
	"context"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/dkim"
)

// CmdMailDKIM shows the keys that letters are signed with.
const CmdMailDKIM = "mail.dkim"

// MailDKIM are the arguments of [CmdMailDKIM].
type MailDKIM struct {
	// Server is as in [TrustImport].
	Server string `json:"server,omitempty"`
	// Check asks the DNS for the records first.
	Check bool `json:"check,omitempty"`
	// New makes a new key first: of Algorithms "rsa", "ed25519" or "both", for
	// Domain, with Selector; the last two may be empty.
	New        bool   `json:"new,omitempty"`
	Algorithms string `json:"algorithms,omitempty"`
	Domain     string `json:"domain,omitempty"`
	Selector   string `json:"selector,omitempty"`
}

// SigningKeys is the result of [CmdMailDKIM].
type SigningKeys struct {
	// Signs tells that letters are signed now.
	Signs bool `json:"signs"`
	// Note says what a person should know, "" for nothing.
	Note string       `json:"note,omitempty"`
	Keys []SigningKey `json:"keys"`
}

// SigningKey is a key with the record that belongs into the DNS.
type SigningKey struct {
	// State is "new" while it waits for its record, or "active".
	State     string `json:"state"`
	Domain    string `json:"domain"`
	Selector  string `json:"selector"`
	Algorithm string `json:"algorithm"`
	// Name, Value and Zone are the record: Zone as it stands in a zone file.
	Name  string `json:"name"`
	Value string `json:"value"`
	Zone  string `json:"zone"`
	// DNS is what was found: "ok", "missing", "differs", "unsure", or "" before
	// anybody looked; Why says more.
	DNS       string    `json:"dns,omitempty"`
	Why       string    `json:"why,omitempty"`
	CheckedAt time.Time `json:"checked_at,omitzero"`
}

// mailDKIM shows the keys of a server, after what the arguments ask for.
func (c *commands) mailDKIM(ctx context.Context, by actor.Actor, a MailDKIM, _ Sink) (SigningKeys, error) {
	m, _, err := c.server(a.Server)
	if err != nil {
		return SigningKeys{}, err
	}
	slot := dkim.Slot(m.Slot())
	if a.New {
		var algorithms []dkim.Algorithm
		switch a.Algorithms {
		case "", "rsa":
			algorithms = []dkim.Algorithm{dkim.RSA}
		case "ed25519":
			algorithms = []dkim.Algorithm{dkim.Ed25519}
		case "both":
			algorithms = []dkim.Algorithm{dkim.RSA, dkim.Ed25519}
		default:
			return SigningKeys{}, fault.Invalid("algorithms", "Write rsa, ed25519 or both.")
		}
		if _, err := c.DKIM.Make(ctx, by, slot, dkim.Wish{Domain: a.Domain, Selector: a.Selector, Algorithms: algorithms}); err != nil {
			return SigningKeys{}, err
		}
	}
	look := c.DKIM.Status
	if a.Check {
		look = c.DKIM.Check
	}
	st, err := look(ctx, by, slot)
	if err != nil {
		return SigningKeys{}, err
	}
	out := SigningKeys{Signs: st.Active != nil && !st.Misfit(), Keys: []SigningKey{}}
	switch {
	case st.Sender == "":
		out.Note = "No mail server is set up in this place."
	case st.Misfit():
		out.Note = "The key is for " + st.Active.Domain + ", and letters come from " + st.Sender + ": they leave without a signature. Make a new key."
	case st.New != nil:
		out.Note = "Publish the new record. Sealpost looks for it every five minutes and signs with the new key as soon as it is right."
	case st.Active == nil:
		out.Note = "Letters are not signed."
	}
	if p, set, err := m.Active(ctx); err != nil {
		return out, err
	} else if name := map[string]string{"microsoft": "Microsoft", "google": "Google"}[p.Provider()]; set && p.Kind != mail.KindCapture && name != "" {
		out.Note = name + " signs mail that leaves through it: set DKIM up there, and leave it off here. " + out.Note
	}
	for _, set := range []*dkim.Set{st.Active, st.New} {
		if set == nil {
			continue
		}
		for _, k := range set.Keys {
			out.Keys = append(out.Keys, SigningKey{
				State: string(set.State), Domain: set.Domain, Selector: k.Selector, Algorithm: string(k.Algorithm),
				Name: k.Record.Name, Value: k.Record.Value, Zone: k.Record.Zone(), DNS: string(k.Verdict), Why: k.Why, CheckedAt: k.CheckedAt,
			})
		}
	}
	return out, nil
}
