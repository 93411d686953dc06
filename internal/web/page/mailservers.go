package page

// MailServers says which of two mail servers letters leave through.
type MailServers struct {
	Base
	At string
	// Two tells that there is a second server.
	Two bool
	// Servers are how both stand, the first one first.
	Servers []MailState
	// Revision, Fallback and Routes are what can be changed, a route in a line.
	Revision int64
	Fallback string
	Routes   string
	// HasRoutes counts the domains that have a route, Most is how many may.
	HasRoutes, Most int
	// Ask names the dialog that is open, for browsers without scripts.
	Ask string
}

// Template names the file.
func (*MailServers) Template() string { return "mail_servers" }

// Fallbacks are the rules.
func (*MailServers) Fallbacks() []Option {
	return []Option{
		{Value: "never", Label: "Never", Help: "letters wait"},
		{Value: "at_once", Label: "At once", Help: "as soon as it is paused"},
		{Value: "5m", Label: "After 5 minutes"},
		{Value: "15m", Label: "After 15 minutes"},
		{Value: "60m", Label: "After an hour"},
	}
}
