package oauth

import "slices"

// Cloud is one of Microsoft's, with everything that differs between them.
type Cloud struct {
	// Key is what Settings.Cloud holds; Name is for people.
	Key, Name string
	SMTPHost  string
	// AuthorizeURL and TokenURL hold {tenant}.
	AuthorizeURL, TokenURL string
	// Scopes are for Consent, AppScopes for Application, over SMTP.
	Scopes, AppScopes string
	// GraphURL is the root of Microsoft Graph; GraphScopes and GraphAppScopes
	// are those for letters through it.
	GraphURL, GraphScopes, GraphAppScopes string
	// Note is what a person should know about the cloud.
	Note string
	// Unsure tells that sources disagree about these values, so that a page
	// shows them for editing.
	Unsure bool
}

// CloudCustom is the key of the cloud in which everything is typed.
const CloudCustom = "custom"

// identity are the scopes by which a sign-in lasts and tells who signed in.
const identity = " offline_access openid profile email"

// Clouds returns Microsoft's clouds in the order of a form.
func Clouds() []Cloud {
	cloud := func(key, name, smtp, authority, delegated, app, graph, note string) Cloud {
		return Cloud{
			Key: key, Name: name, SMTPHost: smtp, Note: note, Unsure: note != "",
			AuthorizeURL:   "https://" + authority + "/{tenant}/oauth2/v2.0/authorize",
			TokenURL:       "https://" + authority + "/{tenant}/oauth2/v2.0/token",
			Scopes:         "https://" + delegated + "/SMTP.Send" + identity,
			AppScopes:      "https://" + app + "/.default",
			GraphURL:       "https://" + graph,
			GraphScopes:    "https://" + graph + "/Mail.Send" + identity,
			GraphAppScopes: "https://" + graph + "/.default",
		}
	}
	return []Cloud{
		cloud("global", "Worldwide, and GCC", "smtp.office365.com", "login.microsoftonline.com",
			"outlook.office.com", "outlook.office365.com", "graph.microsoft.com", ""),
		cloud("gcc_high", "US Government: GCC High", "smtp.office365.us", "login.microsoftonline.us",
			"outlook.office365.us", "outlook.office365.us", "graph.microsoft.us",
			"Microsoft does not publish the scopes of this cloud for SMTP. Change them below if it refuses these."),
		cloud("dod", "US Government: DoD", "outlook-dod.office365.us", "login.microsoftonline.us",
			"outlook.office365.us", "outlook.office365.us", "dod-graph.microsoft.us",
			"Microsoft does not publish the mail server and the scopes of this cloud for SMTP. Change them if it refuses these."),
		cloud("china", "China, operated by 21Vianet", "smtp.partner.outlook.cn", "login.partner.microsoftonline.cn",
			"partner.outlook.cn", "partner.outlook.cn", "microsoftgraph.chinacloudapi.cn",
			"Sources name different addresses for this cloud: also partner.outlook.cn as mail server and login.chinacloudapi.cn as authority. Change them if these fail."),
		{
			Key: CloudCustom, Name: "Other addresses", Unsure: true,
			Note: "Type the addresses and scopes. Hosts other than Microsoft's are allowed by who runs Sealpost, with mail.oauth.authorities in its configuration.",
		},
	}
}

// CloudOf returns the cloud with this key.
func CloudOf(key string) (Cloud, bool) {
	clouds := Clouds()
	i := slices.IndexFunc(clouds, func(c Cloud) bool { return c.Key == key })
	if i < 0 {
		return Cloud{}, false
	}
	return clouds[i], true
}
