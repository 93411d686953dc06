package diagnose

import "strings"

// provider is what is known of those who deliver for many domains: what their
// customers enter into the DNS.
type provider struct {
	name string
	// hosts are ends of the names of their mail servers.
	hosts []string
	// include is what the SPF record of a customer includes.
	include string
	// selectors are those that they sign with for a customer's domain; empty
	// where that differs from one customer to the next.
	selectors []string
	// sign is where signing is switched on.
	sign string
}

var providers = []provider{
	{
		"Microsoft 365",
		[]string{".office365.com", ".mail.protection.outlook.com", ".mx.microsoft", "smtp-mail.outlook.com"},
		"spf.protection.outlook.com",
		[]string{"selector1", "selector2"},
		"Switch DKIM on for the domain in the Microsoft Defender portal, under Email authentication settings, and enter the two CNAME records that it shows.",
	},
	{
		"Microsoft 365 for the US government",
		[]string{".office365.us"},
		"spf.protection.office365.us",
		[]string{"selector1", "selector2"},
		"Switch DKIM on for the domain in the Microsoft Defender portal, under Email authentication settings.",
	},
	{
		"Google",
		[]string{"smtp.gmail.com", "smtp-relay.gmail.com"},
		"_spf.google.com",
		[]string{"google"},
		"In the Google Admin console under Apps, Gmail, Authenticate email, make a key, enter its record into the DNS, and start authentication.",
	},
	{
		"Zoho",
		[]string{".zoho.com", ".zoho.eu", ".zoho.in"},
		"zohomail.com",
		[]string{"zmail", "zoho"},
		"In the Zoho Mail admin console under Domains, Email Configuration, DKIM, add a selector and enter its record into the DNS.",
	},
	{
		"Fastmail",
		[]string{".fastmail.com", ".messagingengine.com"},
		"spf.messagingengine.com",
		[]string{"fm1", "fm2", "fm3"},
		"Enter the CNAME records that Fastmail shows under Settings, Domains.",
	},
	{
		"Amazon SES",
		[]string{".amazonaws.com"},
		"amazonses.com",
		nil, "Switch Easy DKIM on for the domain in the SES console and enter the CNAME records that it shows.",
	},
}

// providerOf returns the provider behind a mail server, or nil.
func providerOf(host string) *provider {
	host = strings.ToLower(host)
	for i, p := range providers {
		for _, end := range p.hosts {
			if host == strings.TrimPrefix(end, ".") || strings.HasPrefix(end, ".") && strings.HasSuffix(host, end) || host == end {
				return &providers[i]
			}
		}
	}
	return nil
}
