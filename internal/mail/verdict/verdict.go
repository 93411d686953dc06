package verdict

import (
	"crypto/tls"
	_ "embed" // for the table
	"errors"
	"fmt"
	"net"
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
	// RemedyNone: something elsewhere is to be mended, or a password set.
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
	// Meaning is one plain sentence, Mend the one most likely thing to do, and
	// Command what to type for it elsewhere, if there is such a thing.
	Meaning, Mend, Command string
	// Link is the vendor's page about the failure, or "".
	Link string
	// Row is the id in the table, or the name of the class it fell to.
	Row string
}

//go:embed replies.tsv
var replies string

// row is a line of the table.
type row struct {
	id, provider string
	stages       []string
	// code is 0 where the enhanced code says it all. That may be a pattern of
	// path.Match.
	code           int
	enhanced, text string
	act            Act
	after          time.Duration
	meaning, mend  string
	command        string
}

// Table decides. It is read-only and safe for use by several goroutines.
type Table struct{ rows []row }

// New reads the table. An error means that the table is broken.
func New() (*Table, error) {
	t := &Table{}
	for n, line := range strings.Split(strings.TrimRight(replies, "\n"), "\n") {
		if n == 0 {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 11 {
			return nil, fmt.Errorf("replies.tsv:%d: %d fields", n+1, len(f))
		}
		r := row{id: f[0], provider: f[1], enhanced: f[4], text: f[5], act: Act(f[6]), meaning: f[8], mend: f[9], command: f[10]}
		if f[2] != "" {
			r.stages = strings.Split(f[2], ",")
		}
		var err error
		if r.code, err = strconv.Atoi(f[3]); err != nil {
			return nil, fmt.Errorf("replies.tsv:%d: %w", n+1, err)
		}
		if _, err := path.Match(r.enhanced, ""); err != nil || r.code == 0 && r.enhanced == "" {
			return nil, fmt.Errorf("replies.tsv:%d: no code that can be matched", n+1)
		}
		if f[7] != "" {
			minutes, err := strconv.Atoi(f[7])
			if err != nil {
				return nil, fmt.Errorf("replies.tsv:%d: %w", n+1, err)
			}
			r.after = time.Duration(minutes) * time.Minute
		}
		if r.act != Retry && r.act != Pause && r.act != Fail {
			return nil, fmt.Errorf("replies.tsv:%d: unknown act %q", n+1, r.act)
		}
		t.rows = append(t.rows, r)
	}
	return t, nil
}

// fits reports whether the row is about an enhanced code.
func (r row) fits(enhanced string) bool {
	if r.enhanced == "" {
		return true
	}
	ok, err := path.Match(r.enhanced, enhanced)
	return ok && err == nil
}

// Provider returns the provider behind a host name, or "".
func Provider(host string) string {
	host = strings.ToLower(host)
	for _, p := range []struct{ suffix, name string }{
		{".office365.com", "microsoft"},
		{".office365.us", "microsoft"},
		{".outlook.com", "microsoft"},
		{".outlook.cn", "microsoft"},
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

// Decide says what err, an *smtp.Error from a server at host, means.
func (t *Table) Decide(err error, host string) Verdict {
	var e *smtp.Error
	if !errors.As(err, &e) {
		return Verdict{Act: Retry, Server: true, Meaning: "Sealpost could not use the mail server.", Mend: "Look into the log.", Row: "internal"}
	}
	var v Verdict
	if e.Kind == smtp.KindReply {
		v = t.reply(e, Provider(host))
	} else {
		v = class(e)
	}
	v.Server = v.Server || v.Act == Pause || beforeLetter(e.Stage)
	return v
}

// beforeLetter tells the steps that concern the connection, not a letter.
func beforeLetter(s smtp.Stage) bool {
	switch s {
	case smtp.StageMail, smtp.StageRcpt, smtp.StageData, smtp.StageContent:
		return false
	}
	return true
}

func (t *Table) reply(e *smtp.Error, provider string) Verdict {
	var best *row
	score := -1
	text := strings.ToLower(e.Text)
	for i := range t.rows {
		r := &t.rows[i]
		if r.code != 0 && r.code != e.Code || r.provider != "*" && r.provider != provider ||
			!r.fits(e.Enhanced) || r.text != "" && !strings.Contains(text, r.text) ||
			len(r.stages) > 0 && !slices.Contains(r.stages, string(e.Stage)) {
			continue
		}
		s := 0
		if r.enhanced != "" {
			s += 8
		}
		if r.provider != "*" {
			s += 4
		}
		if r.code != 0 {
			s += 2
		}
		if r.text != "" {
			s++
		}
		if s > score {
			best, score = r, s
		}
	}
	if best != nil {
		return Verdict{Act: best.act, After: best.after, Meaning: best.meaning, Mend: best.mend, Command: best.command, Row: best.id}
	}
	return replyClass(e)
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
		return Verdict{Act: Pause, Meaning: "The server refuses the sign-in.", Mend: "Check user name and password.", Row: "class-5xx-auth"}
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
		return Verdict{Act: Pause, Meaning: "The sign-in cannot be made: " + e.Text + ".", Mend: "Choose a mechanism that the server offers, or another port; many servers offer sign-in on 587 only.", Row: "no-auth"}
	}
	return Verdict{Act: Pause, Meaning: "The server does not offer what the settings ask for: " + e.Text + ".", Mend: "Correct the settings.", Row: "policy"}
}

func tlsClass(e *smtp.Error) Verdict {
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
	v := Verdict{Act: Retry, Server: true}
	var dns *net.DNSError
	switch {
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
	return v
}
