package verdict

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"regexp"
	"syscall"
	"testing"

	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
)

func table(t *testing.T) *Table {
	t.Helper()
	tab, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

var hosts = map[string]string{"microsoft": "smtp.office365.com", "google": "smtp.gmail.com", "zoho": "smtp.zoho.com", "*": "mail.example.org"}

// Every row is reached by the reply that it is about.
func TestEveryRowIsReached(t *testing.T) {
	tab := table(t)
	seen := map[string]bool{}
	for _, r := range tab.rows {
		if seen[r.id] {
			t.Errorf("two rows are called %s", r.id)
		}
		seen[r.id] = true
		stage := smtp.StageContent
		if len(r.stages) > 0 {
			stage = smtp.Stage(r.stages[0])
		}
		enhanced := regexp.MustCompile(`\[.[^]]*\]|\?|\*`).ReplaceAllStringFunc(r.enhanced, func(pattern string) string { return (pattern + "1")[1:2] })
		code := r.code
		if code == 0 {
			if code = 499; enhanced[0] <= '9' {
				code = int(enhanced[0]-'0')*100 + 50
			}
		}
		err := &smtp.Error{Stage: stage, Kind: smtp.KindReply, Code: code, Enhanced: enhanced, Text: "server says: " + r.text, Bearer: r.auth == "bearer"}
		got := tab.Decide(err, hosts[r.provider])
		if got.Row != r.id || got.Act != r.act || got.Remedy != r.remedy || got.Patience != r.patience || got.Meaning == "" || got.Mend == "" {
			t.Errorf("%s: got %+v", r.id, got)
		}
	}
}

// The text of a reply may change the advice and never the act.
func TestTextNeverDecides(t *testing.T) {
	tab := table(t)
	for _, a := range tab.rows {
		for _, b := range tab.rows {
			if a.provider == b.provider && a.auth == b.auth && a.code == b.code && a.enhanced == b.enhanced && a.text != b.text &&
				len(a.stages) == len(b.stages) && a.act != b.act {
				t.Errorf("%s and %s differ in text alone and act differently", a.id, b.id)
			}
		}
	}
}

func TestUnknownRepliesFallToTheirClass(t *testing.T) {
	tab := table(t)
	for _, tt := range []struct {
		stage smtp.Stage
		code  int
		want  Act
	}{
		{smtp.StageGreeting, 421, Retry},
		{smtp.StageGreeting, 500, Pause},
		{smtp.StageGreeting, 450, Retry},
		{smtp.StageEHLO, 502, Pause},
		{smtp.StageTLS, 502, Pause},
		{smtp.StageTLS, 454, Retry},
		{smtp.StageAuth, 599, Pause},
		{smtp.StageAuth, 499, Retry},
		{smtp.StageMail, 599, Pause},
		{smtp.StageMail, 451, Retry},
		{smtp.StageRcpt, 599, Fail},
		{smtp.StageRcpt, 450, Retry},
		{smtp.StageRcpt, 552, Retry},
		{smtp.StageRcpt, 452, Retry},
		{smtp.StageContent, 599, Fail},
		{smtp.StageContent, 451, Retry},
	} {
		got := tab.Decide(&smtp.Error{Stage: tt.stage, Kind: smtp.KindReply, Code: tt.code, Text: "?"}, "mail.example.org")
		if got.Act != tt.want || got.Meaning == "" {
			t.Errorf("%s %d: %+v, want %s", tt.stage, tt.code, got, tt.want)
		}
	}
}

func TestFailuresWithoutAReply(t *testing.T) {
	tab := table(t)
	for want, err := range map[string]*smtp.Error{
		"dns-not-found":         {Stage: smtp.StageResolve, Kind: smtp.KindNetwork, Err: &net.DNSError{IsNotFound: true}},
		"dns":                   {Stage: smtp.StageResolve, Kind: smtp.KindNetwork, Err: &net.DNSError{}},
		"refused":               {Stage: smtp.StageConnect, Kind: smtp.KindNetwork, Err: &net.OpError{Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}},
		"silent":                {Stage: smtp.StageGreeting, Kind: smtp.KindTimeout},
		"timeout":               {Stage: smtp.StageConnect, Kind: smtp.KindTimeout},
		"network":               {Stage: smtp.StageContent, Kind: smtp.KindNetwork, Err: errors.New("broken pipe")},
		"injection":             {Stage: smtp.StageTLS, Kind: smtp.KindInjection},
		"no-starttls":           {Stage: smtp.StageTLS, Kind: smtp.KindPolicy},
		"no-auth":               {Stage: smtp.StageAuth, Kind: smtp.KindPolicy},
		"no-auth-token":         {Stage: smtp.StageAuth, Kind: smtp.KindPolicy, Bearer: true},
		"input":                 {Stage: smtp.StageContent, Kind: smtp.KindInput},
		"input-setting":         {Stage: smtp.StageAuth, Kind: smtp.KindInput},
		"protocol":              {Stage: smtp.StageEHLO, Kind: smtp.KindProtocol},
		"cancelled":             {Stage: smtp.StageContent, Kind: smtp.KindCancelled},
		"tls-plain-server":      {Stage: smtp.StageTLS, Kind: smtp.KindTLS, Err: tls.RecordHeaderError{Msg: "x"}},
		"tls-old":               {Stage: smtp.StageTLS, Kind: smtp.KindTLS, Err: errors.New("remote error: tls: protocol version not supported")},
		"tls":                   {Stage: smtp.StageTLS, Kind: smtp.KindTLS, Err: errors.New("x")},
		"tls-unknown_authority": {Stage: smtp.StageTLS, Kind: smtp.KindTLS, Err: &trust.Verdict{Code: trust.CodeUnknown, Sentence: "s", Advice: "a"}},
	} {
		got := tab.Decide(err, "mail.example.org")
		if got.Row != want || got.Meaning == "" || got.Mend == "" {
			t.Errorf("got %+v, want %s", got, want)
		}
		if got.Act == Retry && !got.Server {
			t.Errorf("%s: a broken connection is held against a letter", want)
		}
	}
}
