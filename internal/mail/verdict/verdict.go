package verdict

import (
	"crypto/tls"
	_ "embed" // for the tables
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
)

// Act is what to do about a failure.
type Act string

// The acts.
const (
	// Retry: try the letter again later.
	Retry Act = "retry"
	// Pause: no letter can leave until somebody mends it; keep all of them.
	Pause Act = "pause"
	// Fail: this letter cannot be delivered; others can.
	Fail Act = "fail"
)

// Remedy is what ends a pause, as far as Sealpost has a part in it.
type Remedy string

// The remedies.
const (
	// RemedyNone: nothing here; what is to be mended lies elsewhere.
	RemedyNone Remedy = ""
	// RemedySignIn: a person signs in again at the authority.
	RemedySignIn Remedy = "sign_in"
	// RemedySettings: the mail server settings are to be corrected.
	RemedySettings Remedy = "settings"
)

// Verdict says what a failure means.
type Verdict struct {
	Act Act
	// Remedy tells what a pause ends with.
	Remedy Remedy
	// After is how long to wait at least before the next try; 0 leaves it to
	// the usual schedule.
	After time.Duration
	// Patience is after how many failures of this row in a row, of whichever
	// letters, a Retry is to be taken for a Pause; 0 means never.
	Patience int
	// Server tells that the failure met the server, not one letter.
	Server bool
	// Known tells that the provider itself says with it what Meaning says, so
	// that a pause does not wait for a second letter to be refused.
	Known bool
	// Meaning is one plain sentence, Mend the one most likely thing to do, and
	// Command what to type or open for it elsewhere, if there is such a thing.
	Meaning, Mend, Command string
	// Application is what to do in place of Mend where an application signs in,
	// or "": see [Verdict.ForApplication].
	Application string
	// Link is the vendor's page about the failure, or "".
	Link string
	// Row is the id in the table, or the name of the class it fell to.
	Row string
}

//go:embed replies.tsv
var replies string

// row is a line of replies.tsv.
type row struct {
	id, provider string
	stages       []string
	// auth is "bearer" or "password" where the row is for connections that sign
	// in with a token, or do not; empty where that is all the same.
	auth string
	// code is 0 where the enhanced code says it all. That may be a pattern of
	// path.Match. At Microsoft Graph the one is the HTTP status, the other the
	// code in the answer.
	code           int
	enhanced, text string
	patience       int
	advice
}

// advice is what a row of either table says is to be done.
type advice struct {
	act                    Act
	remedy                 Remedy
	after                  time.Duration
	meaning, mend, command string
	// application is what to do where nobody signs in; see Verdict.
	application string
}

func (a advice) verdict(row string) Verdict {
	return Verdict{Act: a.act, Remedy: a.remedy, After: a.after, Meaning: a.meaning, Mend: a.mend, Command: a.command, Application: a.application, Row: row}
}

// ForApplication returns the verdict for settings with which an application or
// a service account signs in. There is no person who could sign in again: what
// would end with that is to be mended in the settings or at the provider.
func (v Verdict) ForApplication() Verdict {
	switch {
	case v.Remedy != RemedySignIn:
		return v
	case v.Application != "":
		v.Mend = v.Application
	default:
		v.Meaning = "The authority lets the application have no token, or none for this."
		v.Mend = "Check tenant, client ID and what proves the client in the mail server settings, and the rights of the application at the provider."
	}
	v.Remedy = RemedySettings
	return v
}

// Table decides. It is read-only and safe for use by several goroutines.
type Table struct {
	rows   []row
	grants []grant
}

// New reads the tables. An error means that one of them is broken.
func New() (*Table, error) {
	t := &Table{}
	err := eachLine("replies.tsv", replies, 15, func(f []string) error {
		r, err := readRow(f)
		t.rows = append(t.rows, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = eachLine("grants.tsv", grants, 12, func(f []string) error {
		g, err := readGrant(f)
		t.grants = append(t.grants, g)
		return err
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// eachLine calls read with the fields of each line but the first.
func eachLine(name, table string, fields int, read func([]string) error) error {
	for n, line := range strings.Split(strings.TrimRight(table, "\n"), "\n") {
		if n == 0 {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != fields {
			return fmt.Errorf("%s:%d: %d fields", name, n+1, len(f))
		}
		if err := read(f); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n+1, err)
		}
	}
	return nil
}

func readRow(f []string) (row, error) {
	r := row{id: f[0], provider: f[1], auth: f[3], enhanced: f[5], text: f[6]}
	if f[2] != "" {
		r.stages = strings.Split(f[2], ",")
	}
	var err error
	if r.code, err = number(f[4]); err != nil {
		return r, err
	}
	if r.patience, err = number(f[10]); err != nil {
		return r, err
	}
	if _, err := path.Match(r.enhanced, ""); err != nil || r.code == 0 && r.enhanced == "" {
		return r, errors.New("no code that can be matched")
	}
	r.advice, err = readAdvice(f[7], f[8], f[9], f[11:])
	return r, err
}

func readAdvice(act, remedy, after string, texts []string) (advice, error) {
	a := advice{act: Act(act), remedy: Remedy(remedy), meaning: texts[0], mend: texts[1], command: texts[2], application: texts[3]}
	minutes, err := number(after)
	a.after = time.Duration(minutes) * time.Minute
	switch {
	case err != nil:
		return a, err
	case a.act != Retry && a.act != Pause && a.act != Fail:
		return a, fmt.Errorf("unknown act %q", a.act)
	case a.application != "" && a.remedy != RemedySignIn && a.remedy != RemedySettings:
		return a, errors.New("an application has advice of its own only where a person would sign in, or change settings")
	case a.remedy != RemedyNone && a.remedy != RemedySignIn && a.remedy != RemedySettings, a.remedy != RemedyNone && a.act != Pause:
		return a, fmt.Errorf("the remedy %q does not go with %s", a.remedy, a.act)
	}
	return a, nil
}

// number reads a number; nothing is 0.
func number(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	return strconv.Atoi(s)
}

// fits reports whether the row is about this reply; text is in lower case.
func (r row) fits(e *smtp.Error, provider, enhanced, text string) bool {
	return (r.code == 0 || r.code == e.Code) && (r.provider == "*" || r.provider == provider) &&
		(r.auth == "" || (r.auth == "bearer") == e.Bearer) && strings.Contains(text, r.text) &&
		(len(r.stages) == 0 || slices.Contains(r.stages, string(e.Stage))) && r.fitsEnhanced(enhanced)
}

func (r row) fitsEnhanced(enhanced string) bool {
	if r.enhanced == "" {
		return true
	}
	ok, err := path.Match(r.enhanced, enhanced)
	return ok && err == nil
}

// weight tells how much a row says about the replies that it fits.
func (r row) weight() int {
	w := 0
	for _, says := range []bool{r.enhanced != "", r.provider != "*", r.code != 0, r.text != "", r.auth != ""} {
		w *= 2
		if says {
			w++
		}
	}
	return w
}

// Provider returns the provider behind a host name, or "".
func Provider(host string) string {
	host = strings.ToLower(host)
	for _, p := range []struct{ suffix, name string }{
		{".office365.com", "microsoft"},
		{".office365.us", "microsoft"},
		{".outlook.com", "microsoft"},
		{".outlook.cn", "microsoft"},
		{".mx.microsoft", "microsoft"},
		{"smtp-mail.outlook.com", "microsoft"},
		{".gmail.com", "google"},
		{".google.com", "google"},
		{".zoho.com", "zoho"},
		{".zoho.eu", "zoho"},
		{".zoho.in", "zoho"},
	} {
		if strings.HasSuffix(host, p.suffix) {
			return p.name
		}
	}
	return ""
}

// stageGraph is the stage of what Microsoft Graph answers. Codes are those of
// HTTP there.
const stageGraph smtp.Stage = "graph"

// Decide says what err, an *smtp.Error from a server at host, means.
func (t *Table) Decide(err error, host string) Verdict { return t.DecideFrom(err, Provider(host)) }

// DecideFrom says what err, an *smtp.Error from a server of the provider, means.
// It is for callers who know the provider better than by a host name.
func (t *Table) DecideFrom(err error, provider string) Verdict {
	var e *smtp.Error
	if !errors.As(err, &e) {
		return Verdict{Act: Retry, Server: true, Meaning: "Sealpost could not use the mail server.", Mend: "Look into the log.", Row: "internal"}
	}
	var v Verdict
	if e.Kind == smtp.KindReply {
		v = t.reply(e, provider)
	} else {
		v = class(e)
	}
	v.After = wait(v.After, e.After)
	v.Server = v.Server || v.Act == Pause || beforeLetter(e.Stage) || e.Stage == stageGraph && passing(e.Code)
	return v
}

// longestWait bounds how long anybody is left alone because of what he said.
const longestWait = 24 * time.Hour

// wait is the longer of what a table and the other side want, within bounds.
func wait(table, asked time.Duration) time.Duration { return max(table, min(asked, longestWait)) }

// beforeLetter tells the steps that concern the connection, not a letter.
func beforeLetter(s smtp.Stage) bool {
	switch s {
	case smtp.StageMail, smtp.StageRcpt, smtp.StageData, smtp.StageContent, stageGraph:
		return false
	}
	return true
}

func (t *Table) reply(e *smtp.Error, provider string) Verdict {
	text, enhanced := strings.ToLower(e.Text), e.Enhanced
	if e.Stage == stageGraph && enhanced == "" {
		// Graph's own code comes first, then a colon, or a blank where it said no
		// more.
		enhanced, _, _ = strings.Cut(strings.ReplaceAll(e.Text, ":", " "), " ")
	}
	var best *row
	for i := range t.rows {
		r := &t.rows[i]
		if r.fits(e, provider, enhanced, text) && (best == nil || r.weight() > best.weight()) {
			best = r
		}
	}
	switch {
	case best != nil:
		v := best.verdict(best.id)
		v.Patience, v.Known = best.patience, best.provider != "*" || e.Stage == stageGraph
		return v
	case e.Stage == stageGraph:
		return graphClass(e)
	}
	return replyClass(e)
}

// passing tells the HTTP statuses that go by.
func passing(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500
}

// graphClass decides by the status that Microsoft Graph answered with.
func graphClass(e *smtp.Error) Verdict {
	if passing(e.Code) || e.Code == http.StatusConflict || e.Code == http.StatusLocked {
		return Verdict{Act: Retry, Meaning: "Microsoft Graph cannot take the letter at the moment.", Mend: "Nothing: it is tried again.", Row: "class-graph-passing"}
	}
	return Verdict{Act: Pause, Meaning: "Microsoft Graph refuses the letter.", Mend: "Read what Microsoft said; the settings or the rights of the app do not fit.", Row: "class-graph"}
}

// replyClass decides by the first digit and the step.
func replyClass(e *smtp.Error) Verdict {
	transient := e.Code/100 == 4
	switch {
	case e.Code == 421:
		return Verdict{Act: Retry, Server: true, Meaning: "The server is closing the connection for now.", Mend: "Nothing: it is tried again.", Row: "class-421"}
	case transient && beforeLetter(e.Stage):
		return Verdict{Act: Retry, Meaning: "The server cannot take mail at the moment.", Mend: "Nothing: it is tried again. If it stays so, look into the server's log.", Row: "class-4xx-server"}
	case transient:
		return Verdict{Act: Retry, Meaning: "The server cannot take this letter at the moment.", Mend: "Nothing: it is tried again.", Row: "class-4xx"}
	}
	switch e.Stage {
	case smtp.StageRcpt:
		return Verdict{Act: Fail, Meaning: "The server does not take mail for this address.", Mend: "Check the user's e-mail address.", Row: "class-5xx-rcpt"}
	case smtp.StageData, smtp.StageContent:
		return Verdict{Act: Fail, Meaning: "The server refused this letter.", Mend: "Read what the server said; its administrator knows more.", Row: "class-5xx-content"}
	case smtp.StageMail:
		return Verdict{Act: Pause, Meaning: "The server does not take mail from this sender.", Mend: "Check the sender's address, and whether the server wants a sign-in.", Row: "class-5xx-mail"}
	case smtp.StageAuth:
		if e.Bearer {
			return Verdict{Act: Pause, Remedy: RemedySignIn, Meaning: "The server refuses the token.", Mend: "Sign in again with the account that may send here.", Application: "Check the right of the application on the mailbox, and that the scopes are those for sending mail.", Row: "class-5xx-auth-token"}
		}
		return Verdict{Act: Pause, Remedy: RemedySettings, Meaning: "The server refuses the sign-in.", Mend: "Check user name and password.", Row: "class-5xx-auth"}
	case smtp.StageTLS:
		return Verdict{Act: Pause, Meaning: "The server refuses to encrypt.", Mend: "Mend TLS on the server. Nothing was sent in clear.", Row: "class-5xx-tls"}
	}
	return Verdict{Act: Pause, Meaning: "The server refuses to talk to this machine.", Mend: "Let the server accept this machine, and check the EHLO name.", Row: "class-5xx-server"}
}

// class decides about failures without a reply.
func class(e *smtp.Error) Verdict {
	var refused *trust.Verdict
	if errors.As(e.Err, &refused) {
		return Verdict{Act: Pause, Meaning: refused.Sentence, Mend: refused.Advice, Row: "tls-" + refused.Code}
	}
	switch e.Kind {
	case smtp.KindInjection:
		return Verdict{Act: Pause, Meaning: "Somebody slipped words into the connection before it was encrypted. This is an attack, or a badly broken server.", Mend: "Find out what stands between this machine and the mail server. Nothing was sent.", Row: "injection"}
	case smtp.KindPolicy:
		return policyClass(e)
	case smtp.KindInput:
		if beforeLetter(e.Stage) {
			return Verdict{Act: Pause, Meaning: "The settings cannot be used: " + e.Text + ".", Mend: "Correct the settings.", Row: "input-setting"}
		}
		return Verdict{Act: Fail, Meaning: "The letter cannot be sent like this: " + e.Text + ".", Mend: "Check the user's e-mail address.", Row: "input"}
	case smtp.KindTLS:
		return tlsClass(e)
	case smtp.KindProtocol:
		return Verdict{Act: Retry, Server: true, Meaning: "The server broke the rules of SMTP.", Mend: "Check that this port is a mail server's.", Row: "protocol"}
	case smtp.KindCancelled:
		return Verdict{Act: Retry, Server: true, Meaning: "Sealpost was stopped while it was sending.", Mend: "Nothing: it is tried again.", Row: "cancelled"}
	}
	return networkClass(e)
}

func policyClass(e *smtp.Error) Verdict {
	switch e.Stage {
	case smtp.StageTLS:
		return Verdict{Act: Pause, Meaning: "The server does not offer encryption on this port, or somebody in between hides it.", Mend: "Choose SSL on port 465 if the server has it, or enable STARTTLS on the server. Nothing was sent in clear.", Row: "no-starttls"}
	case smtp.StageAuth:
		if e.Bearer {
			return Verdict{Act: Pause, Remedy: RemedySettings, Meaning: "The sign-in cannot be made: " + e.Text + ".", Mend: "Choose TLS, and the server and port at which the provider takes OAuth 2.0, usually 587. The token was not sent.", Row: "no-auth-token"}
		}
		return Verdict{Act: Pause, Meaning: "The sign-in cannot be made: " + e.Text + ".", Mend: "Choose a mechanism that the server offers, or another port; many servers offer sign-in on 587 only.", Row: "no-auth"}
	}
	return Verdict{Act: Pause, Meaning: "The server does not offer what the settings ask for: " + e.Text + ".", Mend: "Correct the settings.", Row: "policy"}
}

// certificateClass knows the alerts by which a server refuses the client's
// certificate, or the want of one (RFC 8446, section 6.2). With TLS 1.3 they come
// when the client takes the handshake for done, as if the connection broke.
func certificateClass(e *smtp.Error) (Verdict, bool) {
	if e.Err == nil {
		return Verdict{}, false
	}
	const mend = "Ask who runs Sealpost: the settings mail.client_certificate and mail.client_key name the certificate that it shows to this server."
	_, alert, _ := strings.Cut(e.Err.Error(), "remote error: tls: ")
	switch alert {
	case "certificate required":
		return Verdict{Act: Pause, Meaning: "The server wants a client certificate and was shown none.", Mend: mend, Row: "client-certificate"}, true
	case "bad certificate", "unsupported certificate", "revoked certificate", "expired certificate", "unknown certificate", "unknown certificate authority":
		return Verdict{Act: Pause, Meaning: "The server does not take the client certificate that it was shown: " + alert + ".", Mend: mend, Row: "client-certificate"}, true
	}
	return Verdict{}, false
}

func tlsClass(e *smtp.Error) Verdict {
	if v, ok := certificateClass(e); ok {
		return v
	}
	var header tls.RecordHeaderError
	if errors.As(e.Err, &header) {
		return Verdict{Act: Pause, Meaning: "The server does not begin with TLS on this port.", Mend: "Choose TLS (STARTTLS), or the port for SSL, usually 465.", Row: "tls-plain-server"}
	}
	if strings.Contains(e.Err.Error(), "protocol version") {
		return Verdict{Act: Pause, Meaning: "The server speaks only TLS 1.1 or older, which is broken.", Mend: "Enable TLS 1.2 or later on the server.", Row: "tls-old"}
	}
	return Verdict{Act: Pause, Meaning: "The encryption could not be agreed on.", Mend: "Look into the mail server's log; its TLS settings do not fit.", Row: "tls"}
}

func networkClass(e *smtp.Error) Verdict {
	if v, ok := certificateClass(e); ok {
		return v
	}
	v := Verdict{Act: Retry, Server: true}
	var dns *net.DNSError
	var proxy interface {
		error
		ProxySaid() string
	}
	switch {
	case errors.As(e.Err, &proxy):
		v.Meaning, v.Mend, v.Row = "The proxy on the way to the mail server "+proxy.ProxySaid()+".", "Ask who runs Sealpost: the setting mail.proxy names the proxy.", "proxy"
	case errors.As(e.Err, &dns) && dns.IsNotFound:
		v.Meaning, v.Mend, v.Row = "There is no host with this name.", "Check the server name, and this machine's DNS.", "dns-not-found"
	case errors.As(e.Err, &dns):
		v.Meaning, v.Mend, v.Row = "The server's name cannot be looked up now.", "Check this machine's DNS.", "dns"
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		v.Meaning, v.Mend, v.Row = "Nothing listens on this port of the server.", "Check the port: 587 for TLS, 465 for SSL, 25 for none. A firewall can look the same.", "refused"
	case e.Kind == smtp.KindTimeout && e.Stage == smtp.StageGreeting:
		v.Meaning, v.Mend, v.Row = "The server accepts the connection and says nothing.", "If this is port 465, choose SSL (TLS from the start).", "silent"
	case e.Kind == smtp.KindTimeout:
		v.Meaning, v.Mend, v.Row = "The server does not answer in time.", "Check the server name, the port, and firewalls in between.", "timeout"
	default:
		v.Meaning, v.Mend, v.Row = "The connection to the server broke.", "Nothing: it is tried again. If it stays so, look into the server's log.", "network"
	}
	// Where several addresses were tried, each has its own end.
	var tries interface {
		error
		Story() string
	}
	if e.Stage == smtp.StageConnect && errors.As(e.Err, &tries) {
		v.Meaning += " " + tries.Story() + "."
	}
	return v
}
