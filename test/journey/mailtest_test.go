package journey

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/app"
	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/mail/domain/domaintest"
	"github.com/sealpost/sealpost/internal/operator"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/test/peers"
)

// nobody listens to what a command says while it runs.
type nobody struct{}

func (nobody) Line(string)                   {}
func (nobody) Progress(string, int64, int64) {}

// The page and the shell test Postfix and tell the same: every step and check,
// with the same key, title, verdict and meaning but for what was measured.
func TestPageAndShellTellTheSame(t *testing.T) {
	post := peers.Postfix(t)
	const login, password = "sealpost@example.org", "same-Words7!password"
	post.AddUser(t, login, password)
	dns := domaintest.Start(t, map[string][]string{
		"example.org TXT": {"v=spf1 include:_spf.provider.example.net -all"}, "_spf.provider.example.net TXT": {"v=spf1 ip4:192.0.2.0/24 -all"},
		"_dmarc.example.org TXT": {"v=DMARC1; p=reject; rua=mailto:dmarc@example.org"}, "example.org MX": {"10 mail.example.org"},
	})
	h := open(t, store.SQLite, func(c *config.Config, _ *app.Outside) { c.MailResolver = dns.Addr() })
	grace, account := furnish(t, h, post, login, password)

	const settings = "/admin/settings/mail"
	form := grace.fill(settings, settings, map[string]string{"account": strings.TrimPrefix(account, "/accounts/"), "test_to": graceEmail})
	page := grace.post(settings+"/test", form).body
	link := regexp.MustCompile(`href="data:application/json;charset=utf-8;base64,([^"]*)"`).FindStringSubmatch(page)
	if link == nil {
		t.Fatalf("the page has no JSON to keep\n%s", words(page))
	}
	document, err := base64.StdEncoding.DecodeString(strings.NewReplacer("&#43;", "+", "%2b", "+", "%2f", "/").Replace(link[1]))
	if err != nil {
		t.Fatal(err)
	}
	var shown operator.MailReport
	if err := json.Unmarshal(document, &shown); err != nil {
		t.Fatal(err)
	}

	client, up := operator.Connect(h.data)
	if !up {
		t.Fatal("nobody listens at the socket")
	}
	args, _ := json.Marshal(operator.MailTest{To: graceEmail, File: true})
	result, err := client.Execute(t.Context(), "root", operator.CmdMailTest, args, nobody{})
	if err != nil {
		t.Fatal(err)
	}
	var told operator.MailTested
	if err := json.Unmarshal(result, &told); err != nil {
		t.Fatal(err)
	}
	if got, want := outline(told.Report), outline(shown); got != want || !shown.Passed {
		t.Errorf("the shell tells\n%s\nand the page\n%s", got, want)
	}
	for _, want := range []string{"dmarc ok", "spf ok", "tls_versions ok", "round_trip ok", "throughput ok", "mx ok"} {
		if !strings.Contains(outline(shown), want) {
			t.Errorf("%q is missing in\n%s", want, outline(shown))
		}
	}
	for _, secret := range []string{password, base64.StdEncoding.EncodeToString([]byte("\x00" + login + "\x00" + password))} {
		if strings.Contains(page+told.File+string(document)+string(result), secret) {
			t.Error("the password is told")
		}
	}
	if !strings.Contains(told.File, "Sealpost   journey, replies ") || !strings.Contains(told.File, "250 2.0.0 Ok: queued as") || strings.Contains(told.File, "grace@") {
		t.Errorf("the file says\n%s", told.File)
	}
}

// measured are the parts of a sentence that differ from one test to the next.
var measured = regexp.MustCompile(`[0-9A-F.,:]*[0-9][0-9A-F.,]* ?(ms|s|letters)?|as [0-9A-Za-z]+\.`)

// outline is a report without what was measured.
func outline(r operator.MailReport) string {
	var b strings.Builder
	var write func(steps []operator.MailStep, indent string)
	write = func(steps []operator.MailStep, indent string) {
		for _, s := range steps {
			fmt.Fprintf(&b, "%s%s %s %s", indent, s.Key, s.Verdict, s.Title)
			if s.Key != "speed" && s.Key != "throughput" {
				fmt.Fprintf(&b, ": %s", measured.ReplaceAllString(s.Meaning, "#"))
			}
			fmt.Fprintf(&b, " / %s\n", s.Mend)
			write(s.Checks, indent+"  ")
		}
	}
	write(r.Steps, "")
	write(r.Checks, "")
	return b.String()
}
