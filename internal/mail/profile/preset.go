package profile

import "github.com/sealpost/sealpost/internal/mail/smtp"

// Preset fills the form for a provider. Everything stays editable.
type Preset struct {
	// Key is for programs, Name for people.
	Key, Name string
	Host      string
	Port      int
	Security  smtp.Security
	SignIn    bool
	// Hint says what to type, and where to get it.
	Hint string
}

// Presets returns the providers in the order in which a form offers them.
func Presets() []Preset {
	const tls, ssl = smtp.STARTTLS, smtp.Implicit
	return []Preset{
		{"postfix", "Postfix or another relay of your own", "", 587, tls, true, "The relay's host name. If it lets this machine send without a sign-in, switch the sign-in off."},
		{"gmail", "Gmail and Google Workspace", "smtp.gmail.com", 465, ssl, true, "The user name is the whole address. The password is an app password, which needs two-step verification: myaccount.google.com/apppasswords."},
		{"google-relay", "Google Workspace relay", "smtp-relay.gmail.com", 587, tls, false, "Allow this machine's address under Apps, Gmail, Routing, SMTP relay service. Set the EHLO name under Advanced to your own domain."},
		{"microsoft", "Microsoft 365 (password, until its end)", "smtp.office365.com", 587, tls, true, "Authenticated SMTP must be on for the mailbox. Microsoft switches password sign-in off by default at the end of December 2026. Choose Microsoft Exchange Online as the mail server to sign in with OAuth 2.0 instead."},
		{"ses", "Amazon SES", "email-smtp.eu-central-1.amazonaws.com", 587, tls, true, "Put your region into the server name. User name and password are SMTP credentials made in the SES console, not an access key."},
		{"sendgrid", "SendGrid", "smtp.sendgrid.net", 587, tls, true, "The user name is the word apikey, the password is the API key."},
		{"mailgun", "Mailgun", "smtp.mailgun.org", 587, tls, true, "In the EU the server is smtp.eu.mailgun.org. The user name is postmaster@ and your sending domain."},
		{"postmark", "Postmark", "smtp.postmarkapp.com", 587, tls, true, "User name and password are both the server's API token. The sender must be a confirmed signature."},
		{"zoho", "Zoho Mail", "smtp.zoho.com", 465, ssl, true, "Outside the United States the server ends in .eu, .in or .com.au. The sender must be the user's own address or alias."},
		{"fastmail", "Fastmail", "smtp.fastmail.com", 465, ssl, true, "The password is an app password: Settings, Privacy and Security, Integrations."},
		{"yahoo", "Yahoo Mail", "smtp.mail.yahoo.com", 465, ssl, true, "The password is an app password made in the account's security page."},
		{"icloud", "iCloud Mail", "smtp.mail.me.com", 587, tls, true, "The password is an app-specific password made at account.apple.com."},
		{"mailjet", "Mailjet", "in-v3.mailjet.com", 587, tls, true, "The user name is the API key, the password the secret key."},
		{"brevo", "Brevo", "smtp-relay.brevo.com", 587, tls, true, "The password is an SMTP key, not the account's password."},
	}
}
