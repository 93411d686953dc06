package page_test

import "github.com/sealpost/sealpost/internal/web/page"

// dkimSamples are the states of signing.
func dkimSamples() []page.Page {
	key := func(id, verdict string) page.DKIMKey {
		k := page.DKIMKey{
			ID: id, Kind: "RSA, 2048 bits", Name: id + "._domainkey.example.org", Host: id + "._domainkey", Value: "v=DKIM1; k=rsa; p=MII", Zone: "x. IN TXT ( \"v=DKIM1\" )", Verdict: verdict,
			Parts: []page.Copy{{ID: "part-1-" + id, Label: "Part 1", Text: "v=DKIM1"}, {ID: "part-2-" + id, Label: "Part 2", Text: "MII"}},
		}
		if verdict == "differs" || verdict == "missing" {
			k.Why, k.Found = "Another key <stands> there.", "v=DKIM1; p=<b>"
		}
		return k
	}
	set := func(keys ...page.DKIMKey) *page.DKIMSet {
		s := &page.DKIMSet{Domain: "example.org", CreatedAt: noon, ActiveAt: noon, CreatedBy: "ana", CheckedAt: noon, Published: true, Keys: keys}
		for _, k := range keys {
			s.Published = s.Published && k.Verdict == "ok"
		}
		return s
	}
	full := page.DKIM{
		At: "/admin/settings/mail/dkim", Settings: "/admin/settings/mail", Set: true, Sender: "mail.example.org", Domain: "example.org", Selector: "s", Algorithms: "both",
		Domains: []page.Option{{Value: "mail.example.org", Label: "mail.example.org"}, {Value: "example.org", Label: "example.org"}},
	}
	empty, waiting, works, rotates, lost, misfit := full, full, full, full, full, full
	empty.Base, empty.Set = base("DKIM signing"), false
	waiting.Base, waiting.New, waiting.Ask = wrong(base("DKIM signing"), "selector", "algorithms", "domain"), set(key("a", ""), key("b", "missing"), key("c", "differs"), key("d", "unsure"), key("e", "ok")), "anyway"
	works.Base, works.Active, works.Provider, works.Retired = base("DKIM signing"), set(key("a", "ok")), "Microsoft", 1
	works.Domains = works.Domains[:1]
	rotates.Base, rotates.Active, rotates.New, rotates.Ask = base("DKIM signing"), set(key("a", "ok"), key("b", "ok")), set(key("c", "missing")), "off"
	lost.Base, lost.Active, lost.Private, lost.Capture = base("DKIM signing"), set(key("a", "differs")), true, true
	lost.Active.Anyway = true
	misfit.Base, misfit.Active, misfit.Misfit = base("DKIM signing"), set(key("a", "unsure")), true
	return []page.Page{&empty, &waiting, &works, &rotates, &lost, &misfit}
}
