package journey

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/smtptest"
)

// entraFacts are what Microsoft says in place of a token.
func entraFacts() []fact {
	n := func(numbers ...int) []int { return numbers }
	said := func(become string, numbers []int, want ...string) fact {
		return fact{at: "token", become: become, numbers: numbers, want: want}
	}
	return []fact{
		said(pauses, n(90002), "Microsoft knows no tenant with this ID", "Check the tenant ID and the cloud"),
		said(pauses, n(90038), "The tenant lives in another of Microsoft's clouds.", "Choose the tenant's own cloud"),
		said(pauses, n(900382, 900432), "another of Microsoft's clouds than the mailbox", "Register the app in the cloud of the mailbox"),
		said(pauses, n(700016, 700011, 70001), "Microsoft knows no app with this client ID in the tenant", "Check that client ID and tenant ID", "was consented to"),
		said(pauses, n(7000112), "The app is disabled in the tenant.", "Enterprise applications"),
		said(pauses, n(50194), "The app is for one tenant only", "Enter the tenant ID"),
		said(pauses, n(9001023), "Microsoft wants this sign-in to name the tenant.", "Enter the tenant ID"),
		said(pauses, n(7000215, 70002), "The client secret is wrong.", "Paste the secret's Value, not its Secret ID", "make a new secret"),
		said(pauses, n(7000222), "The client secret has expired.", "Make a new client secret"),
		said(pauses, n(7000218), "Microsoft wants a client secret or certificate and got none.", "Enter the client secret"),
		said(pauses, n(700025), "The app is registered as a public client", "platform Web"),
		said(pauses, n(700027, 700030, 50012), "the client's certificate", "Upload the same certificate", "thumbprints", "clock"),
		said(pauses, n(50011), "The redirect URI of this server is not registered with the app.", "Copy the redirect URI", "scheme, host, port, path and slash"),
		said(pauses, n(500113, 900971), "The app has no redirect URI at all.", "Add the platform Web"),
		said(pauses, n(700005), "made at one tenant and used at another", "of the same tenant"),
		said(signs, n(54005), "was used already", "Sign in again"),
		said(signs, n(70008), "The sign-in has expired.", "Sign in again"),
		said(signs, n(501481, 50147), "does not belong to its beginning", "sign in again"),
		said(signs, n(65001), "Nobody has allowed the app to send mail.", "Sign in again and accept", "administrator"),
		said(signs, n(65004), "did not accept", "Sign in again"),
		said(signs, n(90094, 90095), "An administrator of the tenant must allow the app first.", "az ad app permission admin-consent"),
		said(pauses, n(65005, 650056, 650057), "does not ask for the permission", "SMTP.Send and offline_access"),
		said(pauses, n(650052), "no Exchange Online in this tenant", "licence"),
		said(pauses, n(50001, 500011), "The tenant does not know what the scopes are for", "Choose the right cloud"),
		said(pauses, n(70011, 28002, 28003), "The scopes are wrong or empty.", "Clear the scopes"),
		said(pauses, n(700022, 700023), "more than one service at once, or for none", "Outlook and of Microsoft Graph do not go together"),
		said(signs, n(50020, 50034, 51004, 90072, 16000, 500208), "does not belong to this tenant, or is a personal one", "Sign in again with the mailbox of this tenant"),
		said(pauses, n(50105), "The account is not assigned to the app.", "Assign it", "switch \"Assignment required\" off"),
		said(pauses, n(50057), "The account of the mailbox is disabled.", "Enable the account"),
		said(pauses, n(50053), "locked after wrong passwords", "sign-in log", "unlock it"),
		said(signs, n(50055, 50144), "The password of the mailbox has expired.", "Set a new password"),
		said(signs, n(50126), "User name or password is wrong.", "Sign in again"),
		said(signs, n(50072, 50074, 50076, 50079, 50158), "Microsoft wants a second factor", "Sign in again", "let the application sign in without a person"),
		said(signs, n(50078), "The proof of the second factor is too old", "policy on the sign-in frequency"),
		said(signs, n(70043), "wants a new sign-in after a certain time", "let the application sign in without a person"),
		said(pauses, n(53000, 53001, 53002, 53003, 53004, 53011, 50131, 530032, 50005, 50097), "A Conditional Access policy", "named location"),
		said(pauses, n(530035), "The security defaults of the tenant block", "Sign in with OAuth 2.0"),
		said(signs, n(50173), "The sign-in was revoked", "Sign in again."),
		said(signs, n(700082), "was not used for 90 days", "Sign in again"),
		said(pauses, n(700084), "single-page application, whose sign-ins end after 24 hours", "platform Web"),
		said(signs, n(70000, 50132, 50133, 50089), "The sign-in has ended.", "Sign in again."),
		said(retries, n(50196), "too many token requests that are alike", "Sealpost waits"),
		said(retries, n(90033, 90006, 90012, 90024, 50033, 50087, 90090), "Microsoft cannot give a token at the moment.", "it is tried again"),
		said(retries, n(50000), "Microsoft has trouble giving out the token.", "correlation ID"),
		{at: "token", status: http.StatusBadRequest, reply: `{"error":"temporarily_unavailable"}`, become: retries, want: []string{"The authority is busy", "it is tried again"}},
		{at: "token", status: http.StatusTooManyRequests, reply: `{"error":"temporarily_unavailable"}`, become: retries, want: []string{"429"}},
		{at: "token", status: http.StatusBadGateway, reply: "<html>", become: retries, want: []string{"502", "it is tried again"}},
	}
}

// authorityFacts are ways in which Microsoft's authority is not met.
func authorityFacts() []fact {
	const host = "login.microsoftonline.com"
	met := func(to route, want ...string) fact {
		return fact{at: "token", become: retries, network: func(w *street) { w.divert(host+":443", to) }, want: append(want, host)}
	}
	return []fact{
		met(breaks(&net.DNSError{Err: "no such host", Name: host, IsNotFound: true}), "cannot be looked up", "DNS", "mail.oauth.proxy"),
		met(breaks(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), "is refused", "firewall"),
		met(breaks(&net.OpError{Op: "dial", Err: late{}}), "does not answer in time", "firewall"),
		met(breaks(errors.New("reset")), "broke", "firewall"),
	}
}

// late is the failure of a connection that nobody answers.
type late struct{}

func (late) Error() string   { return "i/o timeout" }
func (late) Timeout() bool   { return true }
func (late) Temporary() bool { return true }

// replied is what a mail server says.
func replied(at, reply, become string, want ...string) fact {
	return fact{at: at, reply: reply, become: become, want: want}
}

// longer is a fact after which a letter is left alone for an hour.
func longer(f fact) fact {
	f.longer = time.Hour
	return f
}

// exchangeFacts are replies of Exchange Online to somebody with a token.
func exchangeFacts() []fact {
	const id = " [AM0PR04CA0001.eurprd04.prod.outlook.com 2026-11-24T09:00:00.000Z 08DE2B5C4C1D2E3F]"
	const serverID = "08DE2B5C4C1D2E3F"
	return []fact{
		replied("AUTH", "535 5.7.3 Authentication unsuccessful"+id, pauses, serverID, "refuses the sign-in although it gave the token", "Check in this order", "the mailbox itself", "authenticated SMTP", "the scope is that for SMTP"),
		replied("AUTH", "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information."+id, pauses, serverID, "for the whole organisation", "Set-CASMailbox", "-SmtpClientAuthenticationDisabled $false"),
		replied("AUTH", "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."+id, pauses, "for this mailbox", "Set-CASMailbox", "-SmtpClientAuthenticationDisabled $false"),
		replied("AUTH", "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator."+id, pauses, "A Conditional Access policy", "sign-in log"),
		replied("AUTH", "535 5.7.139 Authentication unsuccessful, federated STS is unreachable"+id, pauses, "sign-in server", "AD FS", "TLS 1.2"),
		replied("AUTH", "504 5.7.4 Unrecognized authentication type"+id, pauses, "does not take this way of signing in", "XOAUTH2"),
		replied("AUTH", "451 4.7.0 Temporary server error. Please try again later. PRX4"+id, retries, "trouble at its front door", "for an hour", "sign-in log"),
		replied("AUTH", "454 4.7.0 Temporary authentication failure"+id, retries, "cannot check the sign-in now", "it is tried again"),
		replied("CONNECT", "421 4.3.2 Service not active", retries, "it is tried again"),
		replied("EHLO", "550 5.7.506 Access Denied, Bad HELO", pauses, "EHLO name"),
		replied("MAIL", "530 5.7.57 Client not authenticated to send mail."+id, pauses, "wants a sign-in", "Requires authentication"),
		replied("MAIL", "550 5.7.60 SMTP; Client does not have permissions to send as this sender", pauses, "may not send as this sender", "Send As"),
		replied("CONTENT", "554 5.2.252 SendAsDenied; alerts@contoso.example not allowed to send as noreply@contoso.example", pauses, "may not send as this sender", "Send As"),
		replied("CONTENT", "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message", pauses, "may not send as this sender", "Send As"),
		replied("CONTENT", "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message", pauses, "10,000 recipients", "within 24 hours"),
		replied("MAIL", "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients", pauses, "its recipients for today", "24 hours"),
		replied("CONTENT", "554 5.2.2 Submission quota exceeded", pauses, "10,000 recipients", "24 hours"),
		replied("CONTENT", "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionQuotaExceeded", pauses, "mailbox is full", "Sent Items", "retention"),
		replied("CONTENT", "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information.", retries, "Too many connections", "slows down"),
		replied("CONTENT", "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", retries, "slows down"),
		replied("CONTENT", "430 4.2.0 STOREDRV; mailbox logon failure; STOREDRV.Storage.Exception:MailboxOfflineException; MapiExceptionLogonFailed", retries, "cannot open the sending mailbox", "rights on the mailbox"),
		replied("MAIL", "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for sending email to external recipients", pauses, "limit of recipients outside", "High Volume Email"),
		replied("MAIL", "550 5.7.232 Your message can't be sent because your trial tenant has exceeded its daily limit", pauses, "limit of recipients outside", "licence"),
		replied("MAIL", "550 5.1.8 Access denied, bad outbound sender", pauses, "blocked the sender for spam", "Restricted entities"),
		replied("MAIL", "550 5.7.501 Access denied, spam abuse detected", pauses, "blocked the sender for spam", "Restricted entities"),
		replied("MAIL", "550 5.7.511 Access denied, banned sender", pauses, "blocked this server's address", "delist"),
		replied("MAIL", "550 5.7.705 Access denied, tenant has exceeded threshold", pauses, "passed Microsoft's threshold", "support"),
		replied("MAIL", "550 5.7.708 Access denied, traffic not accepted from this IP", pauses, "does not take mail from this address", "support"),
		replied("MAIL", "550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains", pauses, "is not registered", "Verify the domain"),
		replied("CONTENT", "550 5.7.703 Your message can't be delivered because messages to the recipient are blocked by your organization", fails, "block list"),
		longer(replied("RCPT", "550 5.2.121 Recipient's per hour message receive limit from specific sender exceeded", retries, "more mail than Microsoft allows in an hour", "tried again")),
		longer(replied("RCPT", "550 5.2.122 Recipient's per hour message receive limit exceeded", retries, "more mail than Microsoft allows in an hour", "tried again")),
		replied("RCPT", "452 4.5.3 Too many recipients", retries, "no more recipients at once", "tried again"),
		replied("CONTENT", "550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds", fails, "line ends", "Please report it"),
		replied("CONTENT", "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant", fails, "sender line", "sender name"),
		replied("MAIL", "550 5.7.64 TenantAttribution; Relay Access Denied", pauses, "connector", "address or certificate"),
		replied("MAIL", "421 4.4.2 Connection dropped due to SocketError", retries, "tried again"),
		replied("MAIL", "451 4.7.500 Server busy. Please try again later", retries, "slows this server's address down", "delist"),
		replied("MAIL", "451 4.7.850 Access denied, please try again later", retries, "slows this server's address down", "delist"),
		replied("CONTENT", "452 4.3.1 Insufficient system resources", retries, "tried again"),
		replied("RCPT", "451 4.4.4 Temporary server error. Please try again later ATTR5", retries, "tried again"),
	}
}

// applicationFacts are its replies to an application.
func applicationFacts() []fact {
	return []fact{
		replied("AUTH", "535 5.7.3 Authentication unsuccessful", pauses, "refuses the sign-in although it gave the token", "Check in this order", "object ID under Enterprise applications", "up to two"),
		replied("CONTENT", "430 4.2.0 STOREDRV; mailbox logon failure; STOREDRV.Storage.Exception:MailboxOfflineException; MapiExceptionLogonFailed", retries, "cannot open the sending mailbox", "object ID"),
	}
}

// exchangePasswordFacts are its replies to somebody with a password.
func exchangePasswordFacts() []fact {
	const oauth = "OAuth 2.0"
	return []fact{
		replied("AUTH", "535 5.7.3 Authentication unsuccessful", pauses, "wrong user name or password", "authenticated SMTP"),
		replied("AUTH", "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator.", pauses, "security defaults", oauth),
		replied("AUTH", "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator.", pauses, "A Conditional Access policy", oauth, "sign-in log"),
		replied("AUTH", "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.", pauses, "user name or password is wrong", oauth),
		replied("AUTH", "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", pauses, "switched sign-in with a password off", oauth),
		replied("AUTH", "550 5.7.30 Basic authentication is not supported for Client Submission", pauses, "no longer takes passwords", oauth),
		replied("AUTH", "504 5.7.4 Unrecognized authentication type", pauses, "does not take this way of signing in", "LOGIN"),
	}
}

// googleFacts are what Google says to somebody with a token, and in place of
// one.
func googleFacts() []fact {
	said := func(status int, code, text, become string, want ...string) fact {
		return fact{at: "token", status: status, reply: `{"error":"` + code + `","error_description":"` + text + `"}`, become: become, want: append(want, code)}
	}
	return []fact{
		said(400, "invalid_grant", "Token has been expired or revoked.", signs, "Google has ended the sign-in", "7 days", "In production"),
		said(400, "redirect_uri_mismatch", "Bad Request", pauses, "not registered with the client", "Copy the redirect URI"),
		said(400, "admin_policy_enforced", "Access is restricted by policies within your organization.", pauses, "does not let this client use Gmail", "Trust the client ID in the Admin console"),
		said(403, "access_denied", "Blocked", signs, "blocks this client", "trust the client ID in the Admin console"),
		said(401, "unauthorized_client", "Client is unauthorized to retrieve access tokens using this method", pauses, "may not act for the mailboxes", "Domain-wide delegation", "https://mail.google.com/"),
		replied("AUTH", "535 5.7.8 Username and Password not accepted. For more information, go to https://support.google.com/mail/?p=BadCredentials", pauses, "Google refuses the token", "Sign in again"),
		replied("AUTH", "454 4.7.0 Too many login attempts, please try again later.", retries, "wants fewer attempts", "tried again"),
		replied("MAIL", "550 5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits go to https://support.google.com/a/answer/166852", pauses, "Google's daily limit", "24 hours"),
		longer(replied("MAIL", "421 4.7.28 Daily message limit exceeded", retries, "Google's daily limit", "24 hours")),
		replied("RCPT", "450 4.2.1 Peak SMTP relay limit exceeded for customer", retries, "slows this sender or recipient down", "tried again"),
		replied("MAIL", "550 5.7.1 Invalid credentials for relay [192.0.2.1]", pauses, "does not know this server", "Admin console"),
	}
}

// gmailPasswordFacts are its replies to somebody with a password.
func gmailPasswordFacts() []fact {
	return []fact{
		replied("AUTH", "535 5.7.8 Username and Password not accepted. For more information, go to https://support.google.com/mail/?p=BadCredentials", pauses, "does not accept user name and password", "app password", "OAuth 2.0"),
		replied("AUTH", "534 5.7.9 Application-specific password required. For more information, go to https://support.google.com/mail/?p=InvalidSecondFactor", pauses, "wants an app password", "OAuth 2.0"),
		replied("AUTH", "534 5.7.14 Please log in via your web browser and then try again.", pauses, "in a browser", "OAuth 2.0"),
		replied("MAIL", "530 5.7.0 Authentication Required. For more information, go to https://support.google.com/accounts/troubleshooter/2402620", pauses, "wants a sign-in", "Requires authentication"),
		replied("AUTH", "454 4.7.0 Cannot authenticate due to temporary system problem.", retries, "cannot check the sign-in now", "tried again"),
	}
}

func zohoFacts() []fact {
	return []fact{
		replied("MAIL", "553 Relaying disallowed as vault@example.org", pauses, "only the account's own addresses", "aliases"),
		replied("MAIL", "530 Must issue a STARTTLS command first", pauses, "encryption", "choose TLS"),
	}
}

// ownFacts are replies of servers at large.
func ownFacts() []fact {
	return []fact{
		replied("AUTH", "538 5.7.11 Encryption required for requested authentication mechanism", pauses, "only inside TLS", "Choose TLS"),
		replied("AUTH", "534 5.7.9 Authentication mechanism is too weak", pauses, "does not take this way of signing in", "stronger"),
		replied("EHLO", "502 5.5.2 Error: command not recognized", pauses, "does not know EHLO", "inspects SMTP"),
		replied("EHLO", "500 5.5.1 what?", pauses, "does not know EHLO", "inspects SMTP"),
		replied("RCPT", "550 5.1.1 Recipient address rejected: User unknown", fails, "no mailbox with this address", "e-mail address"),
		replied("RCPT", "551 User not local; please try ada@example.net", fails, "not at this server", "e-mail address"),
		replied("RCPT", "553 5.1.3 Bad recipient address syntax", fails, "does not take this address", "e-mail address"),
		replied("RCPT", "552 5.2.2 Mailbox full", retries, "no more recipients or mail", "tried again"),
		replied("RCPT", "452 4.5.3 Too many recipients", retries, "no more recipients at once", "tried again"),
		replied("CONNECT", "554 5.7.1 Your access to this mail system has been rejected", pauses, "refuses connections from this machine", "address"),
		replied("STARTTLS", "454 4.7.0 TLS not available due to local problem", retries, "cannot encrypt at the moment", "certificate"),
		replied("RCPT", "554 5.7.1 Relay access denied", pauses, "does not pass mail on", "relay"),
	}
}

// networkFacts are ways in which a server is not reached, or proves nothing.
func networkFacts(t testing.TB, w *street) []fact {
	const address = smtptest.Host + ":587"
	met := func(become string, to route, want ...string) fact {
		return fact{at: "network", become: become, network: func(w *street) { w.divert(address, to) }, want: want}
	}
	silent := smtptest.Start(t, smtptest.Script{smtptest.Silence()})
	all := []fact{
		met(retries, breaks(&net.DNSError{Err: "no such host", Name: smtptest.Host, IsNotFound: true}), "There is no host with this name.", "Check the server name"),
		met(retries, breaks(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), "Nothing listens on this port", "587 for TLS, 465 for SSL, 25 for none"),
		met(retries, breaks(&net.OpError{Op: "dial", Err: late{}}), "does not answer in time", "firewalls"),
		met(retries, func(ctx context.Context) (net.Conn, error) { return silent.Dial(ctx, "tcp", "") }, "accepts the connection and says nothing", "choose SSL"),
	}
	// The clock of the street may be days ahead by now.
	early := w.lab.Make(smtptest.Order{DNS: []string{smtptest.Host}, By: w.stand.CA(), From: 9000 * time.Hour, Until: 9999 * time.Hour})
	all = append(all, met(pauses, shows(t, &tls.Config{Certificates: []tls.Certificate{early.TLS(w.stand.CA())}}), "is valid from", "clock"))
	for _, c := range w.cases {
		all = append(all, met(pauses, shows(t, c.Config()), badCertificates()[c.ID]...))
	}
	return all
}

// badCertificates are what the page says about those of package smtptest.
func badCertificates() map[string][]string {
	return map[string][]string{
		"C2b":  {"Nobody known here vouches for the certificate of"},
		"C3a":  {"The certificate is for other.example.org, smtp.example.net, not for mail.example.org."},
		"C4":   {"expired on"},
		"C6":   {"Nobody known here vouches for the certificate of mail.example.org", "fingerprint"},
		"C9a":  {"in an outdated way"},
		"C12a": {"not meant for a server", "server authentication"},
		"C13":  {"may not vouch for this name"},
		"C20":  {"TLS 1.1 or older", "Enable TLS 1.2"},
	}
}

// implicitFacts are about a port on which TLS is spoken from the start.
func implicitFacts(t testing.TB, _ *street) []fact {
	plain := smtptest.Start(t, smtptest.Script{smtptest.Say("220 mail.example.org ESMTP"), smtptest.Silence()})
	return []fact{{
		at: "network", become: pauses, want: []string{"does not begin with TLS on this port", "Choose TLS (STARTTLS)", "465"},
		network: func(w *street) {
			w.divert(smtptest.Host+":465", func(ctx context.Context) (net.Conn, error) { return plain.Dial(ctx, "tcp", "") })
		},
	}}
}

// pinnedFacts are about a server that shows another key than before.
func pinnedFacts(t testing.TB, w *street) []fact {
	other := w.lab.Make(smtptest.Order{Name: smtptest.Host, DNS: []string{smtptest.Host}, By: w.stand.CA()})
	cfg := &tls.Config{Certificates: []tls.Certificate{other.TLS(w.stand.CA())}}
	return []fact{{
		at: "network", become: pauses, want: []string{"another key than the one that is pinned", "Pinned: ", "Shown: "},
		network: func(w *street) { w.divert(smtptest.Host+":587", shows(t, cfg)) },
	}}
}
