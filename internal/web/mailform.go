package web

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/web/checkup"
	"github.com/sealpost/sealpost/internal/web/page"
)

// storedForm is the form as the stored settings fill it.
func storedForm(p mail.Profile, set bool) page.MailForm {
	if !set {
		return page.MailForm{
			Kind: string(mail.KindSMTP), Port: "587", Security: string(smtp.STARTTLS), SignIn: true, Auth: string(mail.AuthTyped), OAuth: usualOAuth(),
		}
	}
	f := page.MailForm{
		Revision: p.Revision, Kind: string(p.Kind), Host: p.Host, SenderAddress: p.SenderAddress, SenderName: p.SenderName, ReplyTo: p.ReplyTo,
		SignIn: p.Auth != mail.AuthNone, Auth: string(p.Auth), Username: p.Username, Account: p.AccountID, Security: string(p.Security),
		Mechanism: p.Mechanism, LocalName: p.LocalName, TimeoutConnect: seconds(p.Timeouts.Connect), TimeoutGreeting: seconds(p.Timeouts.Greeting),
		TimeoutCommand: seconds(p.Timeouts.Command), TimeoutFinal: seconds(p.Timeouts.Final), Tested: !p.TestedAt.IsZero(),
		OAuth: storedOAuth(p),
	}
	f.RequireTLS = p.RequireTLS
	withLimits(&f, p.Pace)
	if p.Port != 0 {
		f.Port = strconv.Itoa(p.Port)
	}
	if p.Kind == mail.KindCapture || p.OAuth.Via == mail.ViaGraph {
		f.Port, f.Security = "587", string(smtp.STARTTLS)
	}
	if p.OAuth.Via == mail.ViaGraph {
		f.Host = "" // that of Microsoft Graph is under Addresses
	}
	if p.Kind == mail.KindMicrosoft {
		f.SignIn = true
	}
	return f
}

func seconds(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
}

// typedForm is the form as it was sent, without what no page shows again.
func typedForm(v *visit) page.MailForm {
	f := page.MailForm{
		Revision: v.number("revision"), Kind: v.text("kind"), Host: v.text("host"), Port: v.text("port"),
		SenderAddress: v.text("sender_address"), SenderName: v.text("sender_name"), ReplyTo: v.text("reply_to"), AccessURL: v.text("access_url"),
		SignIn: v.has("signin"), Auth: v.text("auth"), Username: v.text("username"), PasswordAction: v.text("password_action"),
		Account: v.text("account"), AccountText: v.text("account_text"), Security: v.text("security"), ConfirmClear: v.text("confirm_clear"),
		Mechanism: v.text("mechanism"), LocalName: v.text("local_name"), TimeoutConnect: v.text("timeout_connect"),
		TimeoutGreeting: v.text("timeout_greeting"), TimeoutCommand: v.text("timeout_command"), TimeoutFinal: v.text("timeout_final"),
		TestToken: v.text("test_token"), OAuth: typedOAuth(v),
		PaceConnections: v.text("pace_connections"), PacePerMinute: v.text("pace_per_minute"), PacePerDay: v.text("pace_per_day"),
		RequireTLS: v.has("require_tls"),
	}
	f.PasswordLost = f.SignIn && f.Auth == string(mail.AuthTyped) && f.PasswordAction == string(mail.Replace) && v.values.Get("password") != ""
	return f
}

// withStored adds to the form what is known of the stored settings alone.
func withStored(f *page.MailForm, h mail.Health) {
	p := h.Profile
	withStoredClient(f, h)
	withEndpoints(f)
	f.Move = movable(*f)
	f.Tested = h.Set && !p.TestedAt.IsZero()
	if !h.Set || p.Kind != mail.KindSMTP {
		return
	}
	if p.Auth == mail.AuthTyped {
		f.PasswordSetAt = p.PasswordSetAt
		f.Bound = strings.Join([]string{p.Host, strconv.Itoa(p.Port), string(p.Security), p.Mechanism, p.Username}, "\n")
	}
	f.ClearAccepted = p.ClearConfirmed && f.Host == p.Host && f.Port == strconv.Itoa(p.Port) && f.Security == string(smtp.None)
}

// mailChange reads the form as what the settings are to be.
func mailChange(v *visit) (mail.Change, error) {
	if err := takeAuthorities(v); err != nil {
		return mail.Change{}, err
	}
	c := mail.Change{
		Revision: v.number("revision"), Kind: mail.Kind(v.text("kind")), Host: v.text("host"), Port: int(v.number("port")),
		Security: smtp.Security(v.text("security")), SenderAddress: v.text("sender_address"), SenderName: v.text("sender_name"),
		ReplyTo: v.text("reply_to"), Auth: mail.AuthNone, Mechanism: v.text("mechanism"), LocalName: v.text("local_name"),
		Timeouts: smtp.Timeouts{
			Connect: timeout(v, "timeout_connect"), Greeting: timeout(v, "timeout_greeting"),
			Command: timeout(v, "timeout_command"), Final: timeout(v, "timeout_final"),
		},
		ConfirmClear: v.text("confirm_clear"), TestToken: v.text("test_token"), Anyway: v.text("do") == "anyway", Pace: limits(v), RequireTLS: v.has("require_tls"),
	}
	if v.has("signin") {
		c.Auth = mail.AuthKind(v.text("auth"))
	}
	switch c.Auth {
	case mail.AuthTyped:
		c.Username, c.Password = v.text("username"), typedSecret(v, "password")
	case mail.AuthAccount:
		c.AccountID = v.text("account")
	}
	if c.Kind == mail.KindMicrosoft || c.Kind == mail.KindSMTP && c.Auth == mail.AuthOAuth {
		if err := oauthChange(v, &c); err != nil {
			return c, err
		}
	}
	for _, value := range candidateValues(v) {
		candidate, err := parseCandidate(value)
		if err != nil {
			return c, err
		}
		c.Trust = append(c.Trust, candidate)
	}
	return c, nil
}

// typedSecret reads what to do with a stored secret. An act that is not known
// goes on as it is: the service refuses it.
func typedSecret(v *visit, name string) mail.Password {
	switch action := v.text(name + "_action"); action {
	case "keep":
		return mail.Password{Action: mail.Keep}
	case string(mail.Replace):
		return mail.Password{Action: mail.Replace, Value: v.secret(name)}
	default:
		return mail.Password{Action: mail.SecretAction(action)}
	}
}

// timeout reads a number of seconds; what is none is out of every range.
func timeout(v *visit, name string) time.Duration {
	text := strings.ReplaceAll(v.text(name), ",", ".")
	if text == "" {
		return 0
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n <= 0 || n > 1e6 {
		return -1
	}
	return time.Duration(n * float64(time.Second))
}

// candidateValues are the certificates that the form carries, each once, with
// the one that a button of the test adds.
func candidateValues(v *visit) []string {
	var all []string
	seen := map[string]bool{"": true}
	for _, value := range append(v.values["candidate"], v.values["trust"]...) {
		if !seen[value] && value != v.text("leave") {
			seen[value] = true
			all = append(all, value)
		}
	}
	return all
}

// fieldAuthority is the field of the form for files with certificates.
const fieldAuthority = "authority"

// takeAuthorities makes the certificates in the form's files candidates like
// those that were trusted from a test: no browser sends a file twice by itself.
func takeAuthorities(v *visit) error {
	files, err := v.files(fieldAuthority, trust.MaxImport)
	if err != nil {
		return err
	}
	for _, f := range files {
		certs, err := trust.Parse(f)
		if err != nil {
			return fault.Invalid(fieldAuthority, fault.Sentence(err))
		}
		for _, c := range certs {
			v.values.Add("candidate", checkup.Candidate(trust.ModeAnchor, c.Raw))
		}
	}
	return nil
}

func parseCandidate(value string) (mail.Candidate, error) {
	mode, text, _ := strings.Cut(value, ":")
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return mail.Candidate{}, fault.Invalid("certificate", "A certificate in the form cannot be read. Test again.").Because(err)
	}
	return mail.Candidate{DER: der, Mode: trust.Mode(mode)}, nil
}

// candidates returns the cards of the certificates that the form carries.
// What cannot be read is left out; saving or testing says why.
func candidates(v *visit) []page.Certificate {
	var cards []page.Certificate
	for _, value := range candidateValues(v) {
		c, err := parseCandidate(value)
		if err != nil {
			continue
		}
		certs, err := trust.Parse(c.DER)
		if err != nil {
			continue
		}
		for _, cert := range certs {
			card := checkup.Certificate(trust.Describe(cert), v.s.Now())
			card.Mode, card.Value = string(c.Mode), value
			cards = append(cards, card)
		}
	}
	return cards
}

// presets are the providers as the form offers them.
func presets() []page.Preset {
	var all []page.Preset
	for _, p := range mail.Presets() {
		preset := page.Preset{
			Key: p.Key, Name: p.Name, Host: p.Host, Port: strconv.Itoa(p.Port), Security: string(p.Security), SignIn: p.SignIn, Hint: p.Hint,
		}
		if p.Key == "gmail" {
			tokens := preset
			tokens.Key, tokens.Name, tokens.Auth, tokens.Provider = "gmail-oauth", "Gmail and Google Workspace, OAuth 2.0", string(mail.AuthOAuth), providerGoogle
			tokens.Hint = "A mailbox signs in at Google once, or a service account of your Workspace sends. No password is stored."
			all = append(all, tokens)
		}
		all = append(all, preset)
	}
	return all
}

// fill puts a preset into the form.
func fill(f *page.MailForm, key string) {
	if key == presetMove {
		move(f)
		return
	}
	for _, p := range f.Presets {
		if p.Key != key {
			continue
		}
		f.Kind, f.Host, f.Port, f.Security, f.SignIn, f.PresetHint = string(mail.KindSMTP), p.Host, p.Port, p.Security, p.SignIn, p.Hint
		switch {
		case p.Auth != "":
			f.Auth, f.OAuth.Provider = p.Auth, p.Provider
		case f.Auth == string(mail.AuthOAuth):
			f.Auth = string(mail.AuthTyped)
		}
		f.Move = movable(*f)
	}
}
