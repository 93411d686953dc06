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

func check(t *testing.T, host string, facts []fact) {
	t.Helper()
	tab := table(t)
	for _, f := range facts {
		got := tab.Decide(reply(f.stage, f.reply), host)
		if got.Act != f.want || !strings.Contains(got.Mend+" "+got.Meaning, f.mend) {
			t.Errorf("%s %s: got %s (%s): %s %s\nwant %s with %q", f.stage, f.reply, got.Act, got.Row, got.Meaning, got.Mend, f.want, f.mend)
		}
		for _, s := range []string{got.Meaning, got.Mend} {
			if !strings.HasSuffix(s, ".") {
				t.Errorf("%s: %q is no sentence", got.Row, s)
			}
		}
		if got.Act == Pause && !got.Server {
			t.Errorf("%s: a pause that is no matter of the server", got.Row)
		}
		// The same reply from a host nobody knows must act no worse than by its
		// class: a transient one never pauses or fails.
		other := tab.Decide(reply(f.stage, f.reply), "mx.example.net")
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
		if got.Act != tt.want || !strings.Contains(got.Mend, tt.mend) || got.Meaning == "" || !got.Server {
			t.Errorf("%s: got %+v, want %s with %q", tt.what, got, tt.want, tt.mend)
		}
	}
	if got := tab.Decide(errors.New("something else"), "mail.example.org"); got.Act != Retry || !got.Server {
		t.Errorf("an error of another kind: %+v", got)
	}
}

// Providers are known by the end of the whole name, not by words in it.
func TestProviders(t *testing.T) {
	for host, want := range map[string]string{
		"smtp.office365.com": "microsoft", "SMTP.Office365.com": "microsoft", "smtp.office365.us": "microsoft", "outlook-dod.office365.us": "microsoft",
		"smtp-mail.outlook.com": "microsoft", "example-org.mail.protection.outlook.com": "microsoft", "smtp.partner.outlook.cn": "microsoft",
		"smtp.gmail.com": "google", "smtp-relay.gmail.com": "google", "smtp.zoho.com": "zoho", "smtp.zoho.in": "zoho",
		"smtp.gmail.com.evil.example": "", "notgmail.com": "", "gmail.com.example.org": "", "": "", "192.0.2.1": "",
	} {
		if got := Provider(host); got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
}
