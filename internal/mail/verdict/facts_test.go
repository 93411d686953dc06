package verdict

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
)

// fact is a reply as servers are known to give it, and what must follow.
type fact struct {
	stage smtp.Stage
	reply string
	want  Act
	// mend is a word of the advice.
	mend string
}

// reply reads "535 5.7.3 text" as the client does.
func reply(stage smtp.Stage, text string) *smtp.Error {
	e := &smtp.Error{Stage: stage, Kind: smtp.KindReply}
	_, _ = fmt.Sscanf(text, "%d", &e.Code)
	_, e.Text, _ = strings.Cut(text, " ")
	if word, rest, _ := strings.Cut(e.Text, " "); strings.Count(word, ".") == 2 {
		e.Enhanced, e.Text = word, rest
	}
	return e
}

// What Microsoft says.
func TestRepliesOfMicrosoft(t *testing.T) {
	const auth, mail, rcpt, content, greeting = smtp.StageAuth, smtp.StageMail, smtp.StageRcpt, smtp.StageContent, smtp.StageGreeting
	check(t, "smtp.office365.com", []fact{
		{auth, "535 5.7.3 Authentication unsuccessful [AM0PR02CA0001.eurprd02.prod.outlook.com 2026-03-01T09:00:00.000Z 08DE77]", Pause, "user name"},
		{auth, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled", Pause, "Allow authenticated SMTP"},
		{auth, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", Pause, "Allow authenticated SMTP"},
		{auth, "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator.", Pause, "OAuth"},
		{auth, "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator.", Pause, "Entra"},
		{auth, "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.", Pause, "password"},
		{auth, "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", Pause, "OAuth"},
		{auth, "535 5.7.139 Authentication unsuccessful, the federated STS could not be reached", Pause, "AD FS"},
		{auth, "535 5.7.139 Authentication unsuccessful", Pause, "Entra"},
		{auth, "550 5.7.30 Basic authentication is not supported for Client Submission", Pause, "OAuth"},
		{auth, "504 5.7.4 Unrecognized authentication type", Pause, "mechanism"},
		{mail, "530 5.7.57 Client not authenticated to send mail", Pause, "Requires authentication"},
		{content, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", Pause, "Send As"},
		{content, "554 5.7.60 SMTP; Client does not have permissions to send as this sender", Pause, "Send As"},
		{content, "554 5.2.252 SendAsDenied; vault@example.org not allowed to send as ada@example.org", Pause, "Send As"},
		{content, "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied", Pause, "Send As"},
		{content, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", Pause, "24 hours"},
		{content, "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients", Pause, "24 hours"},
		{content, "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException", Pause, "Sent Items"},
		{content, "554 5.2.2 Submission quota exceeded", Pause, "24 hours"},
		{mail, "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending", Retry, "slows down"},
		{content, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", Retry, "slows down"},
		{content, "430 4.2.0 STOREDRV; mailbox logon failure; MapiExceptionLogonFailed", Retry, "rights on the mailbox"},
		{content, "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for external recipients", Pause, "24 hours"},
		{content, "550 5.7.232 Your message can't be sent because your trial tenant exceeded its daily limit", Pause, "licence"},
		{content, "550 5.1.8 Access denied, bad outbound sender", Pause, "Restricted entities"},
		{content, "550 5.7.501 Access denied, spam abuse detected", Pause, "Restricted entities"},
		{content, "550 5.7.502 Access denied, banned sender", Pause, "Restricted entities"},
		{content, "550 5.7.503 Access denied, banned sender", Pause, "Restricted entities"},
		{rcpt, "550 5.7.511 Access denied, banned sending IP", Pause, "delist"},
		{content, "550 5.7.705 Access denied, tenant has exceeded threshold", Pause, "support"},
		{content, "550 5.7.708 Access denied, traffic not accepted from this IP", Pause, "support"},
		{content, "550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains", Pause, "Verify the domain"},
		{content, "550 5.7.703 Your message can't be delivered because messages to the recipient are blocked", Fail, "block list"},
		{rcpt, "550 5.2.121 Recipient's per hour message receive limit from specific sender exceeded", Retry, "tried again"},
		{content, "550 5.2.122 Recipient's per hour message receive limit exceeded", Retry, "tried again"},
		{rcpt, "452 4.5.3 Too many recipients", Retry, "tried again"},
		{rcpt, "451 4.5.3 Too many recipients", Retry, "tried again"},
		{content, "550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal", Fail, "report"},
		{content, "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant", Fail, "sender name"},
		{rcpt, "550 5.7.64 TenantAttribution; Relay Access Denied", Pause, "connector"},
		{smtp.StageEHLO, "550 5.7.506 Access Denied, Bad HELO", Pause, "EHLO name"},
		{mail, "550 5.7.506 Access Denied, Bad HELO", Pause, "EHLO name"},
		{auth, "451 4.7.0 Temporary server error. Please try again later. PRX4", Retry, "check the account"},
		{content, "451 4.7.0 Temporary server error. Please try again later. PRX2", Retry, "tried again"},
		{auth, "454 4.7.0 Temporary authentication failure", Retry, "tried again"},
		{greeting, "421 4.3.2 Service not active", Retry, "tried again"},
		{mail, "421 4.4.2 Connection dropped due to SocketError", Retry, "tried again"},
		{mail, "451 4.7.500 Server busy. Please try again later", Retry, "delist"},
		{rcpt, "450 4.7.650 The mail server has been temporarily rate limited", Retry, "delist"},
		{rcpt, "451 4.7.699 Access denied, please try again later", Retry, "delist"},
		{content, "451 4.7.850 Access denied, please try again later", Retry, "delist"},
		{content, "451 4.7.899 Access denied, please try again later", Retry, "delist"},
		{content, "452 4.3.1 Insufficient system resources", Retry, "tried again"},
		{rcpt, "451 4.4.4 Temporary server error", Retry, "tried again"},
	})
}

// What Google, Zoho and servers at large say.
func TestRepliesOfOthers(t *testing.T) {
	const auth, mail, rcpt, content = smtp.StageAuth, smtp.StageMail, smtp.StageRcpt, smtp.StageContent
	check(t, "smtp.gmail.com", []fact{
		{auth, "535 5.7.8 Username and Password not accepted. For more information, go to https://support.google.com/mail/?p=BadCredentials", Pause, "app password"},
		{auth, "534 5.7.9 Application-specific password required", Pause, "app password"},
		{auth, "534 5.7.14 Please log in via your web browser and then try again", Pause, "browser"},
		{mail, "530 5.7.0 Authentication Required", Pause, "Requires authentication"},
		{auth, "454 4.7.0 Too many login attempts, please try again later", Retry, "tried again"},
		{auth, "454 4.7.0 Cannot authenticate due to temporary system problem", Retry, "tried again"},
		{content, "550 5.4.5 Daily user sending limit exceeded", Pause, "24 hours"},
		{mail, "421 4.7.28 Daily message limit exceeded", Retry, "24 hours"},
		{rcpt, "450 4.2.1 Peak SMTP relay limit exceeded for customer", Retry, "tried again"},
		{rcpt, "450 4.2.1 The user you are trying to contact is receiving mail too quickly", Retry, "tried again"},
		{mail, "550 5.7.1 Invalid credentials for relay [192.0.2.1]", Pause, "Admin console"},
	})
	check(t, "smtp.zoho.eu", []fact{
		{mail, "553 Relaying disallowed as ada@example.org", Pause, "aliases"},
		{rcpt, "553 Relaying disallowed as ada@example.org", Pause, "aliases"},
		{mail, "530 Must issue a STARTTLS command first", Pause, "TLS"},
	})
	check(t, "mail.example.org", []fact{
		{mail, "530 5.7.0 Must issue a STARTTLS command first", Pause, "TLS"},
		{auth, "530 5.7.0 Must issue a STARTTLS command first", Pause, "TLS"},
		{auth, "538 5.7.11 Encryption required for requested authentication mechanism", Pause, "TLS"},
		{auth, "523 5.7.10 Encryption needed", Pause, "TLS"},
		{auth, "534 5.7.9 Authentication mechanism is too weak", Pause, "stronger"},
		{auth, "535 5.7.8 Error: authentication failed", Pause, "password"},
		{auth, "504 5.5.4 Unrecognized authentication type", Pause, "mechanism"},
		{smtp.StageEHLO, "421 4.7.1 mail.example.org Error: No client certificate presented", Retry, "mail.client_certificate"},
		{smtp.StageEHLO, "421 4.7.1 mail.example.org Error: Client certificate not trusted", Retry, "mail.client_certificate"},
		{smtp.StageEHLO, "502 5.5.2 Error: command not recognized", Pause, "inspects"},
		{smtp.StageEHLO, "500 unknown command", Pause, "inspects"},
		{rcpt, "550 5.1.1 <gone@example.org>: Recipient address rejected: User unknown", Fail, "e-mail address"},
		{rcpt, "551 User not local; please try <ada@example.net>", Fail, "e-mail address"},
		{rcpt, "553 5.1.3 Bad recipient address syntax", Fail, "e-mail address"},
		{rcpt, "550 no", Fail, "e-mail address"},
		{rcpt, "552 5.2.2 Mailbox full", Retry, "tried again"},
		{rcpt, "452 4.5.3 Too many recipients", Retry, "tried again"},
		{rcpt, "554 5.7.1 <ada@example.net>: Relay access denied", Pause, "relay"},
		{smtp.StageGreeting, "554 5.7.1 Your access to this mail system has been rejected", Pause, "address"},
		{smtp.StageTLS, "454 4.7.0 TLS not available due to local problem", Retry, "certificate"},
		// A client that says more behind STARTTLS gets this; ours does not, and a
		// letter is not given up for it.
		{smtp.StageTLS, "454 4.5.0 no commands allowed to pipeline after STARTTLS", Retry, "certificate"},
		{content, "554 5.7.1 Message rejected", Fail, "server said"},
		{content, "552 5.3.4 Message size exceeds fixed limit", Fail, "server said"},
		{smtp.StageData, "451 4.3.0 try again", Retry, "tried again"},
	})
}

// What is said to a connection that signs in with a token is another matter
// than what is said to a password: the same replies lead to other advice.
func TestRepliesToATokenAreAboutTokens(t *testing.T) {
	const auth, mail, content = smtp.StageAuth, smtp.StageMail, smtp.StageContent
	checkTokens(t, "smtp.office365.com", []fact{
		{auth, "535 5.7.3 Authentication unsuccessful [AM0PR02CA0001.eurprd02.prod.outlook.com 2026-03-01T09:00:00.000Z 08DE77]", Pause, "the mailbox itself, not a shared one"},
		{auth, "535 5.7.3 Authentication unsuccessful", Pause, "up to an hour"},
		{auth, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled", Pause, "Allow authenticated SMTP"},
		{auth, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", Pause, "Allow authenticated SMTP"},
		{auth, "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator.", Pause, "trusted location"},
		{auth, "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy.", Pause, "sign-in log"},
		{auth, "535 5.7.139 Authentication unsuccessful", Pause, "sign-in log"},
		{auth, "504 5.7.4 Unrecognized authentication type", Pause, "XOAUTH2"},
		{auth, "501 5.5.4 Invalid arguments", Pause, "Sign in again"},
		{auth, "454 4.7.0 Temporary authentication failure", Retry, "tried again"},
		{auth, "451 4.7.0 Temporary server error. Please try again later. PRX4", Retry, "sign-in log"},
		{content, "554 5.2.252 SendAsDenied; vault@example.org not allowed to send as ada@example.org", Pause, "Send As"},
		{content, "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied", Pause, "sender's own mailbox"},
		{content, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", Pause, "24 hours"},
		{content, "430 4.2.0 STOREDRV; mailbox logon failure; MapiExceptionLogonFailed", Retry, "object ID"},
		{mail, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", Pause, "Send As"},
		{mail, "432 4.3.2 Concurrent connections limit exceeded", Retry, "slows down"},
	})
	checkTokens(t, "smtp.gmail.com", []fact{
		{auth, "535 5.7.8 Username and Password not accepted. https://support.google.com/mail/?p=BadCredentials (status 400, schemes Bearer, scope https://mail.google.com/)", Pause, "Sign in again"},
		{auth, "454 4.7.0 Too many login attempts, please try again later", Retry, "tried again"},
	})
	checkTokens(t, "mail.example.org", []fact{
		{auth, "535 5.7.8 Error: authentication failed", Pause, "Sign in again"},
		{auth, "535 no", Pause, "Sign in again"},
		{auth, "534 5.7.9 Authentication mechanism is too weak", Pause, "OAUTHBEARER"},
		{auth, "504 5.5.4 Unrecognized authentication type", Pause, "OAUTHBEARER"},
		{auth, "599 what", Pause, "Sign in again"},
	})
	// Nobody who signs in with a token is sent to look for a password.
	tab := table(t)
	for _, host := range hosts {
		for _, code := range []int{500, 501, 504, 530, 534, 535, 538, 550, 599} {
			for _, enhanced := range []string{"", "5.7.1", "5.7.3", "5.7.8", "5.7.9", "5.7.139", "5.5.4"} {
				e := &smtp.Error{Stage: smtp.StageAuth, Kind: smtp.KindReply, Code: code, Enhanced: enhanced, Bearer: true}
				if got := tab.Decide(e, host); strings.Contains(got.Meaning+got.Mend, "user name") || strings.Contains(got.Mend, "Check user") {
					t.Errorf("%s %d %s with a token: %+v", host, code, enhanced, got)
				}
			}
		}
	}
}

// What a pause ends with, and how many letters in a row make one of a failure
// that looks as if it would go by.
func TestRemediesAndPatience(t *testing.T) {
	tab := table(t)
	for _, tt := range []struct {
		reply    string
		stage    smtp.Stage
		host     string
		bearer   bool
		want     Remedy
		patience int
	}{
		{"535 5.7.3 no", smtp.StageAuth, "smtp.office365.com", true, RemedySignIn, 0},
		{"535 5.7.3 no", smtp.StageAuth, "smtp.office365.com", false, RemedySettings, 0},
		{"535 5.7.139 disabled for the Tenant", smtp.StageAuth, "smtp.office365.com", true, RemedyNone, 0},
		{"535 5.7.139 basic authentication is disabled", smtp.StageAuth, "smtp.office365.com", false, RemedySettings, 0},
		{"554 5.2.252 SendAsDenied", smtp.StageContent, "smtp.office365.com", true, RemedySignIn, 0},
		{"430 4.2.0 mailbox logon failure", smtp.StageContent, "smtp.office365.com", true, RemedyNone, 3},
		{"535 5.7.8 no", smtp.StageAuth, "smtp.gmail.com", true, RemedySignIn, 0},
		{"535 5.7.8 no", smtp.StageAuth, "mail.example.org", true, RemedySignIn, 0},
		{"535 5.7.8 no", smtp.StageAuth, "mail.example.org", false, RemedySettings, 0},
		{"450 4.2.1 later", smtp.StageRcpt, "smtp.gmail.com", true, RemedyNone, 0},
	} {
		e := reply(tt.stage, tt.reply)
		e.Bearer = tt.bearer
		if got := tab.Decide(e, tt.host); got.Remedy != tt.want || got.Patience != tt.patience {
			t.Errorf("%s from %s with a token %v: %+v, want %q after %d", tt.reply, tt.host, tt.bearer, got, tt.want, tt.patience)
		}
	}
}

// Nobody can sign in for an application: whatever would want that of a person
// is mended in the settings or at the provider, and says so.
func TestAnApplicationIsNeverToldToSignIn(t *testing.T) {
	tab := table(t)
	want := func(id string, a advice) {
		t.Helper()
		v := a.verdict(id)
		got := v.ForApplication()
		text := strings.ToLower(got.Meaning + " " + got.Mend)
		for _, word := range []string{"sign in again", "who signed in", "sign in with the"} {
			if strings.Contains(text, word) && v.Remedy == RemedySignIn {
				t.Errorf("%s: an application is told %q", id, text)
			}
		}
		if got.Remedy == RemedySignIn || got.Act != v.Act || got.Row != v.Row || got.Command != v.Command {
			t.Errorf("%s becomes %+v", id, got)
		}
		if v.Remedy != RemedySignIn && got != v {
			t.Errorf("%s needs no sign-in and becomes %+v", id, got)
		}
	}
	for _, r := range tab.rows {
		want(r.id, r.advice)
	}
	for _, g := range tab.grants {
		want(g.id, g.advice)
	}
	for _, tt := range []struct {
		reply string
		stage smtp.Stage
		host  string
		mend  string
	}{
		{"535 5.7.3 no", smtp.StageAuth, "smtp.office365.com", "object ID under Enterprise applications"},
		{"554 5.2.252 SendAsDenied", smtp.StageContent, "smtp.office365.com", "sender's own mailbox"},
		{"535 5.7.8 no", smtp.StageAuth, "smtp.gmail.com", "client ID of the service account"},
		{"535 5.7.8 no", smtp.StageAuth, "mail.example.org", "right of the application on the mailbox"},
		{"599 what", smtp.StageAuth, "mail.example.org", "right of the application on the mailbox"},
	} {
		e := reply(tt.stage, tt.reply)
		e.Bearer = true
		if got := tab.Decide(e, tt.host).ForApplication(); got.Remedy != RemedySettings || !strings.Contains(got.Mend, tt.mend) {
			t.Errorf("%s from %s: %+v, want %q", tt.reply, tt.host, got, tt.mend)
		}
	}
}

// What Microsoft Graph answers. Its own code stands before the words.
func TestRepliesOfGraph(t *testing.T) {
	tab := table(t)
	for _, tt := range []struct {
		code   int
		text   string
		want   Act
		mend   string
		server bool
	}{
		{403, "ErrorSendAsDenied: The user account which was used to submit this request does not have the right to send mail on behalf of the specified sending account.", Pause, "Send As", true},
		{403, "ErrorAccessDenied: Access is denied. Check credentials and try again.", Pause, "Mail.Send", true},
		{403, "Authorization_RequestDenied: Insufficient privileges to complete the operation.", Pause, "Mail.Send", true},
		{403, "ErrorMessageSubmissionBlocked: Cannot send mail.", Pause, "Restricted entities", true},
		{403, "SomethingNew: no", Pause, "Mail.Send", true},
		{401, "InvalidAuthenticationToken: Access token has expired or is not yet valid.", Pause, "Sign in again", true},
		{401, "", Pause, "Sign in again", true},
		{404, "MailboxNotEnabledForRESTAPI: The mailbox is either inactive, soft-deleted, or is hosted on-premise.", Pause, "licence", true},
		{404, "MailboxNotEnabledForRESTAPI (request-id 3f2a)", Pause, "licence", true},
		{404, "ErrorInvalidUser: The requested user 'x' is invalid.", Pause, "tenant ID", true},
		{404, "Request_ResourceNotFound: Resource 'x' does not exist", Pause, "tenant ID", true},
		{404, "ResourceNotFound: Resource could not be discovered.", Pause, "tenant ID", true},
		{404, "", Pause, "tenant ID", true},
		{400, "ErrorMimeContentInvalidBase64String: Invalid base64 string for MIME content.", Fail, "report", false},
		{400, "ErrorInvalidRecipients: At least one recipient isn't valid.", Fail, "e-mail address", false},
		{400, "BadRequest: what", Pause, "what Microsoft said", true},
		{413, "", Fail, "report", false},
		{413, "ErrorMessageSizeExceeded: The message exceeds the maximum supported size.", Fail, "report", false},
		{413, "ErrorQuotaExceeded: Would exceed quota.", Pause, "Sent Items", true},
		{429, "ErrorSubmissionQuotaExceeded: quota", Pause, "24 hours", true},
		{429, "ApplicationThrottled: Application is over its MailboxConcurrency limit.", Retry, "as long as", true},
		{429, "", Retry, "as long as", true},
		{500, "UnknownError: ", Retry, "tried again", true},
		{503, "ErrorServerBusy: busy", Retry, "tried again", true},
		{504, "", Retry, "tried again", true},
		{409, "ErrorIrresolvableConflict: conflict", Retry, "tried again", false},
	} {
		e := &smtp.Error{Stage: "graph", Kind: smtp.KindReply, Code: tt.code, Text: tt.text, Bearer: true, After: 90 * time.Second}
		got := tab.Decide(e, "graph.microsoft.com")
		if got.Act != tt.want || got.Server != tt.server || !strings.Contains(got.Meaning+" "+got.Mend, tt.mend) || got.After != 90*time.Second {
			t.Errorf("%d %s: got %+v, want %s with %q", tt.code, tt.text, got, tt.want, tt.mend)
		}
		isSentence(t, got)
		e.Enhanced, e.Text, _ = strings.Cut(strings.Replace(tt.text, ":", "", 1), " ")
		if same := tab.Decide(e, "graph.microsoft.com"); same.Row != got.Row {
			t.Errorf("%d %s: with the code apart it is %s, else %s", tt.code, tt.text, same.Row, got.Row)
		}
	}
	e := &smtp.Error{Stage: "graph", Kind: smtp.KindReply, Code: 429, After: 48 * time.Hour}
	if got := tab.Decide(e, "graph.microsoft.com"); got.After != longestWait {
		t.Errorf("left alone for %s", got.After)
	}
	e.After = time.Second
	if got := tab.Decide(e, "graph.microsoft.com"); got.After != time.Minute {
		t.Errorf("left alone for %s", got.After)
	}
}

func check(t *testing.T, host string, facts []fact) {
	t.Helper()
	checkAs(t, host, false, facts)
}

func checkTokens(t *testing.T, host string, facts []fact) {
	t.Helper()
	checkAs(t, host, true, facts)
}

func checkAs(t *testing.T, host string, bearer bool, facts []fact) {
	t.Helper()
	tab := table(t)
	for _, f := range facts {
		e := reply(f.stage, f.reply)
		e.Bearer = bearer
		got := tab.Decide(e, host)
		if got.Act != f.want || !strings.Contains(got.Mend+" "+got.Meaning, f.mend) {
			t.Errorf("%s %s: got %s (%s): %s %s\nwant %s with %q", f.stage, f.reply, got.Act, got.Row, got.Meaning, got.Mend, f.want, f.mend)
		}
		isSentence(t, got)
		if got.Act == Pause && !got.Server {
			t.Errorf("%s: a pause that is no matter of the server", got.Row)
		}
		// The same reply from a host nobody knows must act no worse than by its
		// class: a transient one never pauses or fails.
		other := tab.Decide(e, "mx.example.net")
		if f.reply[0] == '4' && (got.Act != Retry || other.Act != Retry) {
			t.Errorf("%s %s: a transient reply leads to %s, elsewhere to %s", f.stage, f.reply, got.Act, other.Act)
		}
	}
}

// What goes wrong before a server says anything.
func TestConnectionsThatFail(t *testing.T) {
	tab := table(t)
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	refused := func(code string) error { return &trust.Verdict{Code: code, Sentence: "It is so.", Advice: "Do that."} }
	for _, tt := range []struct {
		what  string
		stage smtp.Stage
		kind  smtp.Kind
		err   error
		want  Act
		mend  string
	}{
		{"name not found", smtp.StageResolve, smtp.KindNetwork, &net.DNSError{IsNotFound: true}, Retry, "server name"},
		{"port refused", smtp.StageConnect, smtp.KindNetwork, dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), Retry, "587"},
		{"no answer", smtp.StageConnect, smtp.KindTimeout, dial(os.ErrDeadlineExceeded), Retry, "firewalls"},
		{"no route", smtp.StageConnect, smtp.KindNetwork, dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), Retry, "tried again"},
		{"several addresses", smtp.StageConnect, smtp.KindNetwork, told{"IPv6 ::2: no route; IPv4 192.0.2.1: connection refused", syscall.ECONNREFUSED}, Retry, "587"},
		{"a proxy", smtp.StageConnect, smtp.KindNetwork, proxied{"answered: 403 Forbidden"}, Retry, "mail.proxy"},
		{"wants a client certificate", smtp.StageEHLO, smtp.KindNetwork, errors.New("remote error: tls: certificate required"), Pause, "mail.client_certificate"},
		{"does not take the client certificate", smtp.StageTLS, smtp.KindTLS, errors.New("remote error: tls: expired certificate"), Pause, "mail.client_certificate"},
		{"greets although TLS was to come first", smtp.StageTLS, smtp.KindTLS, tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, Pause, "STARTTLS"},
		{"silent: TLS was to come first", smtp.StageGreeting, smtp.KindTimeout, os.ErrDeadlineExceeded, Retry, "465"},
		{"only TLS 1.1", smtp.StageTLS, smtp.KindTLS, errors.New("remote error: tls: protocol version not supported"), Pause, "TLS 1.2"},
		{"no common cipher", smtp.StageTLS, smtp.KindTLS, errors.New("remote error: tls: handshake failure"), Pause, "TLS settings"},
		{"unknown authority", smtp.StageTLS, smtp.KindTLS, refused(trust.CodeUnknown), Pause, "Do that"},
		{"wrong name", smtp.StageTLS, smtp.KindTLS, refused(trust.CodeName), Pause, "Do that"},
		{"legacy name", smtp.StageTLS, smtp.KindTLS, refused(trust.CodeLegacyName), Pause, "Do that"},
		{"expired", smtp.StageTLS, smtp.KindTLS, refused(trust.CodeExpired), Pause, "Do that"},
		{"not yet valid", smtp.StageTLS, smtp.KindTLS, refused(trust.CodeNotYet), Pause, "Do that"},
		{"usage", smtp.StageTLS, smtp.KindTLS, refused(trust.CodeUsage), Pause, "Do that"},
		{"name constraint", smtp.StageTLS, smtp.KindTLS, refused(trust.CodeConstraint), Pause, "Do that"},
		{"pin changed", smtp.StageTLS, smtp.KindTLS, &tls.CertificateVerificationError{Err: refused(trust.CodePinChanged), UnverifiedCertificates: []*x509.Certificate{}}, Pause, "Do that"},
	} {
		got := tab.Decide(&smtp.Error{Stage: tt.stage, Kind: tt.kind, Err: tt.err}, "mail.example.org")
		if story := (told{}); errors.As(tt.err, &story) && !strings.Contains(got.Meaning, story.text) {
			t.Errorf("%s: the story is missing in %q", tt.what, got.Meaning)
		}
		if said := (proxied{}); errors.As(tt.err, &said) && !strings.Contains(got.Meaning, "The proxy on the way to the mail server "+said.text) {
			t.Errorf("%s: what the proxy said is missing in %q", tt.what, got.Meaning)
		}
		if got.Act != tt.want || !strings.Contains(got.Mend, tt.mend) || got.Meaning == "" || !got.Server {
			t.Errorf("%s: got %+v, want %s with %q", tt.what, got, tt.want, tt.mend)
		}
	}
	if got := tab.Decide(errors.New("something else"), "mail.example.org"); got.Act != Retry || !got.Server {
		t.Errorf("an error of another kind: %+v", got)
	}
}

// Who knows the provider better than by the host's name gets its rows.
func TestTheProviderMayBeKnownOtherwise(t *testing.T) {
	tab := table(t)
	e := reply(smtp.StageAuth, "535 5.7.3 Authentication unsuccessful")
	e.Bearer = true
	if got := tab.DecideFrom(e, "microsoft"); got.Row != "ms-auth-token" {
		t.Errorf("got %+v", got)
	}
	if got := tab.Decide(e, "mail.example.org"); got.Row != "auth-refused-token" {
		t.Errorf("control: got %+v", got)
	}
}

// Providers are known by the end of the whole name, not by words in it.
func TestProviders(t *testing.T) {
	for host, want := range map[string]string{
		"smtp.office365.com": "microsoft", "SMTP.Office365.com": "microsoft", "smtp.office365.us": "microsoft", "outlook-dod.office365.us": "microsoft",
		"smtp-mail.outlook.com": "microsoft", "example-org.mail.protection.outlook.com": "microsoft", "smtp.partner.outlook.cn": "microsoft", "smtp.hve.mx.microsoft": "microsoft", "evil-mx.microsoft": "",
		"smtp.gmail.com": "google", "smtp-relay.gmail.com": "google", "smtp.zoho.com": "zoho", "smtp.zoho.in": "zoho",
		"smtp.gmail.com.evil.example": "", "notgmail.com": "", "gmail.com.example.org": "", "": "", "192.0.2.1": "",
	} {
		if got := Provider(host); got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
}

// told is an error of several tries to connect, proxied one of a proxy.
type told struct {
	text string
	err  error
}

func (e told) Error() string { return e.text }
func (e told) Story() string { return e.text }
func (e told) Unwrap() error { return e.err }

type proxied struct{ text string }

func (e proxied) Error() string     { return e.text }
func (e proxied) ProxySaid() string { return e.text }
