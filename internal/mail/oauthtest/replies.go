package oauthtest

import (
	"bytes"
	"net/mail"
	"slices"
	"strings"
)

const (
	unsuccessful = "535 5.7.3 Authentication unsuccessful " + serverID
	signedInOK   = "235 2.7.0 Authentication successful"
)

// refused is 535 5.7.139 with its reason.
func refused(why string) string {
	return "535 5.7.139 Authentication unsuccessful, " + why + " " + serverID
}

// gates says why a mailbox may not use SMTP at all, or "".
func (s *Stand) gates(u User) string {
	const more = " Visit https://aka.ms/smtp_auth_disabled for more information."
	switch {
	case u.SMTP == Closed:
		return refused("SmtpClientAuthentication is disabled for the Mailbox." + more)
	case u.SMTP == Inherit && s.tenants[u.Tenant].SMTPOff:
		return refused("SmtpClientAuthentication is disabled for the Tenant." + more)
	}
	return ""
}

// exchangeSignIn looks at a token as Exchange Online does: whose it is, what
// for, and whether the mailbox may use SMTP. Of a token it says nothing but no.
func (c *session) exchangeSignIn(t token) string {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	a, live := s.live(t.value)
	u := s.users[strings.ToLower(t.user)]
	switch {
	case !live || a.kind != "outlook" || !u.Mailbox || u.Tenant != a.tenant || u.Block == 50057:
		return unsuccessful
	case a.user != "" && (!strings.EqualFold(a.user, t.user) || !a.may("SMTP.Send")):
		return unsuccessful
	case a.user == "" && !a.may("SMTP.SendAsApp") && !has(s.apps[a.app].Scoped, t.user):
		return unsuccessful
	}
	if gate := s.gates(u); gate != "" {
		return gate
	}
	c.enter(u.Name, a)
	return signedInOK
}

func (c *session) exchangePassword(said []string) string {
	s, name, password := c.s, said[0], said[1]
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[strings.ToLower(name)]
	t := s.tenants[u.Tenant]
	gate := s.gates(u)
	switch {
	case t.SecurityDefaults:
		return refused("user is locked by your organization's security defaults policy. Contact your administrator.")
	case gate != "":
		return gate
	case !t.Passwords:
		return refused("basic authentication is disabled.")
	case password == "" || password != u.Password:
		return refused("the user credentials were incorrect.")
	}
	c.enter(u.Name, nil)
	return signedInOK
}

// exchangeContent says why Exchange Online does not take the letter, or "". The
// lock is held.
func (c *session) exchangeContent() string {
	s, raw := c.s, c.next.Raw
	u, use := s.users[strings.ToLower(c.user)], s.usage(c.user)
	if bare(raw) {
		return "550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds, which cannot be sent via DATA and receiving system does not support BDAT"
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return "550 5.6.0 M2MCVT.StorageError; storage error in content conversion"
	}
	from, err := mail.ParseAddressList(m.Header.Get("From"))
	if err != nil || len(from) != 1 {
		return "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant " + serverID
	}
	own := append(slices.Clone(u.SendAs), u.Name)
	for _, sender := range []string{c.next.From, from[0].Address} {
		if !has(own, sender) {
			return "554 5.2.252 SendAsDenied; " + u.Name + " not allowed to send as " + sender +
				"; STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message due to a permanent exception with message Cannot submit message. " + backEnd
		}
	}
	switch a := c.access; {
	case a != nil && a.user == "" && a.may("SMTP.SendAsApp") && !has(s.apps[a.app].FullAccess, u.Name):
		return "430 4.2.0 STOREDRV; mailbox logon failure; STOREDRV.Storage.Exception:MailboxOfflineException; MapiExceptionLogonFailed: Unable to open message store. " + backEnd
	case s.limits.Connections > 0 && use.connections > s.limits.Connections:
		use.refused++
		return "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information. " + backEnd
	case !use.minute(s.now(), s.limits.PerMinute):
		use.refused++
		return "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded " + backEnd
	case !use.day(s.now(), s.limits.PerDay, len(c.next.To)):
		return "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a permanent exception with message The message can't be submitted because the sender's submission quota was exceeded. " + backEnd
	case u.Full:
		return "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionQuotaExceeded; Failed to process message due to a permanent exception with message Cannot submit message. " + backEnd
	}
	return ""
}

// bare tells whether a line ends without its carriage return.
func bare(raw []byte) bool {
	return bytes.Count(raw, []byte("\n")) != bytes.Count(raw, []byte("\r\n")) || bytes.Count(raw, []byte("\r")) != bytes.Count(raw, []byte("\r\n"))
}

const badCredentials = "535-5.7.8 Username and Password not accepted. For more information, go to\n535 5.7.8  https://support.google.com/mail/?p=BadCredentials" + gsmtp

// gmailSignIn looks at a token as Gmail does.
func (c *session) gmailSignIn(t token) string {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	a, live := s.live(t.value)
	if !live || a.kind != "google" || !a.may(googleMail) || !strings.EqualFold(a.user, t.user) {
		return badCredentials
	}
	c.enter(a.user, a)
	return "235 2.7.0 Accepted"
}

// gmailPassword takes no password: accounts there need a second factor.
func (c *session) gmailPassword([]string) string {
	return "534-5.7.9 Application-specific password required. For more information, go to\n534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor" + gsmtp
}

// gmailDay is how many recipients a mailbox of Workspace has in a day.
const gmailDay = 2000

func (c *session) gmailContent() string {
	if !c.s.usage(c.user).day(c.s.now(), gmailDay, len(c.next.To)) {
		return "550 5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits go to https://support.google.com/a/answer/166852" + gsmtp
	}
	return ""
}
