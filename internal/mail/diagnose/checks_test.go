package diagnose_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/domain"
	"github.com/sealpost/sealpost/internal/mail/domain/domaintest"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/verdict"
)

// ed25519Key is a key as it stands in the DNS.
const ed25519Key = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

// ask lets the doctor of a rig ask a DNS server that knows records.
func (r *rig) ask(records map[string][]string, edit func(*diagnose.Config)) *domaintest.Server {
	r.t.Helper()
	s := domaintest.Start(r.t, records)
	dns, err := domain.New(domain.Config{Server: s.Addr(), Wait: 300 * time.Millisecond})
	r.must(err)
	r.config.DNS = dns
	if edit != nil {
		edit(&r.config)
	}
	r.doctor, err = diagnose.New(r.config)
	r.must(err)
	return s
}

// group returns a group of checks, and fails where one of them is not whole.
func group(t *testing.T, report diagnose.Report, key string) diagnose.Step {
	t.Helper()
	for _, g := range report.Checks {
		if g.Key != key {
			continue
		}
		for _, c := range g.Checks {
			if c.Key == "" || c.Title == "" || c.Detail == "" || c.State == diagnose.Bad || c.State == diagnose.Running || c.State == "" || c.State == diagnose.Warn && c.Advice == "" {
				t.Errorf("the check %+v is not whole", c)
			}
		}
		return g
	}
	t.Fatalf("there is no group %s in %+v", key, report.Checks)
	return diagnose.Step{}
}

func check(t *testing.T, g diagnose.Step, key string) diagnose.Step {
	t.Helper()
	for _, c := range g.Checks {
		if c.Key == key {
			return c
		}
	}
	t.Fatalf("there is no check %s in %+v", key, g)
	return diagnose.Step{}
}

// well are records of a domain that does everything right.
func well() map[string][]string {
	return map[string][]string{
		"mail.example.org A": {"192.0.2.1"}, "mail.example.org AAAA": {"2001:db8::1"}, "example.org MX": {"10 mx.example.org"},
		"example.org TXT":               {"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"},
		"_dmarc.example.org TXT":        {"v=DMARC1; p=reject"},
		"vault.example.org A":           {"198.51.100.9"},
		"9.100.51.198.in-addr.arpa PTR": {"vault.example.org"},
		"s1._domainkey.example.org TXT": {ed25519Key},
	}
}

func signed(c *diagnose.Config) {
	c.Signing = func(_ context.Context, _ actor.Actor, d string) ([]diagnose.Signing, error) {
		return []diagnose.Signing{{Domain: d, Selector: "s1", Value: ed25519Key}}, nil
	}
	c.Sign = func(_ context.Context, from string, message []byte, _ time.Time) ([]byte, error) {
		return append([]byte("DKIM-Signature: d="+from+"\r\n"), message...), nil
	}
}

// What receivers will see, by what stands in the DNS.
func TestWhatReceiversWillSee(t *testing.T) {
	office := map[string][]string{
		"example.org TXT":                {"v=spf1 include:spf.protection.outlook.com -all"},
		"spf.protection.outlook.com TXT": {"v=spf1 ip4:203.0.113.0/24 -all"}, "_dmarc.example.org TXT": {"v=DMARC1; p=quarantine; adkim=s"},
		"selector1._domainkey.example.org TXT": {ed25519Key}, "example.org MX": {"0 example-org.mail.protection.outlook.com"},
	}
	without := func(records map[string][]string, keys ...string) map[string][]string {
		out := map[string][]string{}
		for k, v := range records {
			out[k] = v
		}
		for _, k := range keys {
			delete(out, k)
		}
		return out
	}
	with := func(records map[string][]string, key string, values ...string) map[string][]string {
		out := without(records)
		out[key] = values
		return out
	}
	for _, tt := range []struct {
		what    string
		records map[string][]string
		config  func(*diagnose.Config)
		host    string
		sender  string
		// want are words of the card; looks are the checks to look at, record what
		// one of them wants to be entered.
		want, looks, record string
	}{
		{what: "all is well", records: well(), config: signed, want: "SPF aligned yes, DKIM aligned yes, so DMARC passes."},
		{what: "a domain below", records: with(with(well(), "news.example.org TXT", "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all"), "news.example.org MX", "10 mx.example.org"), sender: "vault@news.example.org", want: "SPF aligned yes, DKIM aligned unknown, so DMARC passes."},
		{what: "without a signature", records: well(), want: "SPF aligned yes, DKIM aligned unknown, so DMARC passes."},
		{
			what: "the key is missing", records: without(well(), "s1._domainkey.example.org TXT"), config: signed,
			want: "SPF aligned yes, DKIM aligned no, so DMARC passes.", looks: "dkim", record: "s1._domainkey.example.org TXT " + ed25519Key,
		},
		{
			what: "another key", records: with(well(), "s1._domainkey.example.org TXT", strings.Replace(ed25519Key, "p=1", "p=2", 1)), config: signed,
			want: "DKIM aligned no", looks: "dkim", record: "s1._domainkey.example.org TXT " + ed25519Key,
		},
		{
			what: "SPF leaves the server out", records: with(well(), "example.org TXT", "v=spf1 ip4:198.51.100.1 ~all"),
			want: "SPF aligned unknown, DKIM aligned unknown, so DMARC cannot be told from here.", looks: "alignment spf",
			record: "example.org TXT v=spf1 ip4:198.51.100.1 ip4:192.0.2.1 ip6:2001:db8::1 ~all",
		},
		{
			what: "no SPF record", records: without(well(), "example.org TXT"), config: signed,
			want: "SPF aligned no, DKIM aligned yes, so DMARC passes.", looks: "spf", record: "example.org TXT v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 ~all",
		},
		{
			what: "two SPF records", records: with(well(), "example.org TXT", "v=spf1 -all", "v=spf1 ~all"),
			want: "SPF aligned no, DKIM aligned unknown", looks: "alignment spf",
		},
		{
			what: "everybody may send", records: with(well(), "example.org TXT", "v=spf1 +all"), want: "SPF aligned yes", looks: "spf",
		},
		{
			what: "bounces go elsewhere", records: with(with(well(), "bounces.net TXT", "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all"), "bounces.net MX", "10 mx.bounces.net"),
			config: func(c *diagnose.Config) {
				c.Envelope = func(context.Context, string) string { return "b@bounces.net" }
			},
			want: "SPF aligned no, DKIM aligned unknown", looks: "alignment",
		},
		{
			what: "no DMARC record", records: without(well(), "_dmarc.example.org TXT"), want: "DMARC would pass; the domain has no record for it.", looks: "dmarc",
			record: "_dmarc.example.org TXT v=DMARC1; p=none; rua=mailto:postmaster@example.org",
		},
		{what: "a domain that takes no mail", records: with(well(), "example.org MX", "0 ."), want: "DMARC passes", looks: "mx"},
		{what: "a domain without MX", records: without(well(), "example.org MX"), want: "DMARC passes", looks: "mx"},
		{what: "Microsoft", records: office, host: "smtp.office365.com", want: "SPF aligned yes, DKIM aligned yes, so DMARC passes."},
		{
			what: "Microsoft, nothing entered", records: map[string][]string{"example.org TXT": {"v=spf1 -all"}, "example.org MX": {"0 mx.example.org"}}, host: "smtp.office365.com",
			want: "SPF aligned no, DKIM aligned no, so DMARC would fail;", looks: "alignment spf dkim dmarc", record: "example.org TXT v=spf1 include:spf.protection.outlook.com -all",
		},
		{
			what: "Microsoft, the wrong includes", records: map[string][]string{
				"example.org TXT": {"v=spf1 include:elsewhere.net -all"}, "elsewhere.net TXT": {"v=spf1 -all"}, "example.org MX": {"0 mx.example.org"}, "_dmarc.example.org TXT": {"v=DMARC1; p=reject"},
			}, host: "smtp.office365.com",
			want: "SPF aligned no, DKIM aligned no, so DMARC fails.", looks: "alignment spf dkim", record: "example.org TXT v=spf1 include:elsewhere.net include:spf.protection.outlook.com -all",
		},
		{
			what: "no SPF record, and a server inside", records: with(without(well(), "example.org TXT", "mail.example.org AAAA"), "mail.example.org A", "10.0.0.1"),
			want: "SPF aligned no, DKIM aligned unknown", looks: "alignment spf",
		},
		{what: "a domain inside", records: map[string][]string{"mail.example.org A": {"192.0.2.1"}}, sender: "vault@example.local", want: "inside of your network alone"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r := plain(t)
			sink := r.sink(nil)
			if tt.host != "" {
				shown := r.lab.Make(smtptest.Order{DNS: []string{tt.host}, By: r.root}).TLS()
				sink = r.sink(func(c *smtptest.SinkConfig) { c.Certificate = &shown })
				tt.records["smtp.office365.com A"] = []string{"203.0.113.7"}
			}
			r.ask(tt.records, tt.config)
			report := r.run(t.Context(), change(func(c *mail.Change) {
				if tt.host != "" {
					c.Host = tt.host
				}
				if tt.sender != "" {
					c.SenderAddress = tt.sender
				}
			}))
			if !report.Passed {
				t.Fatalf("the DNS decided: %s", states(report))
			}
			checkSent(t, sink.Wait(t, 1)[0], r.config)
			g := group(t, report, diagnose.GroupDNS)
			if card := check(t, g, diagnose.CheckAlignment); !strings.Contains(card.Detail, tt.want) || !strings.HasPrefix(g.Detail, card.Detail) {
				t.Errorf("got %q in %q, want %q", card.Detail, g.Detail, tt.want)
			}
			var looks, records []string
			for _, c := range g.Checks {
				if c.State == diagnose.Warn {
					looks = append(looks, c.Key)
				}
				if c.Record.Name != "" {
					records = append(records, c.Record.Name+" "+c.Record.Type+" "+c.Record.Value)
				}
			}
			if got := strings.Join(looks, " "); got != tt.looks {
				t.Errorf("to look at: %q, want %q in %+v", got, tt.looks, g.Checks)
			}
			if got := strings.Join(records, "; "); !strings.Contains(got, tt.record) || tt.record == "" && got != "" {
				t.Errorf("to enter: %q, want %q", got, tt.record)
			}
			if (g.State == diagnose.Warn) != (tt.looks != "") {
				t.Errorf("the group is %s", g.State)
			}
		})
	}
}

// checkSent wants a test letter to leave as others do.
func checkSent(t *testing.T, l smtptest.Letter, c diagnose.Config) {
	t.Helper()
	if c.Envelope != nil && l.From != c.Envelope(t.Context(), "") {
		t.Errorf("the envelope is from %s", l.From)
	}
	if signed := strings.HasPrefix(string(l.Data), "DKIM-Signature: d=example.org\r\n"); signed != (c.Sign != nil) {
		t.Errorf("signed is %v in %.60q", signed, l.Data)
	}
}

// A DNS server that does not answer keeps nobody from a passed test, and nothing
// is called missing that could not be asked for.
func TestADNSServerOutOfOrder(t *testing.T) {
	for _, way := range []domaintest.Way{domaintest.ServFail, domaintest.Silence, domaintest.Garbage} {
		t.Run(fmt.Sprint(way), func(t *testing.T) {
			r := plain(t)
			r.sink(nil)
			s := r.ask(map[string][]string{}, signed)
			for _, name := range []string{"example.org", "_dmarc.example.org", "s1._domainkey.example.org", "mail.example.org", "vault.example.org"} {
				s.Treat(name, way)
			}
			report := r.run(t.Context(), change(nil))
			g := group(t, report, diagnose.GroupDNS)
			if !report.Passed || g.State != diagnose.Skipped || report.Took > 8*time.Second {
				t.Errorf("passed %v in %s, %+v", report.Passed, report.Took, g)
			}
			for _, c := range g.Checks {
				if c.State != diagnose.Skipped || !strings.Contains(c.Detail, "not known") {
					t.Errorf("got %+v", c)
				}
			}
		})
	}
}

// The end of a test ends its questions too.
func TestCancellingEndsTheChecks(t *testing.T) {
	r := plain(t)
	r.script(smtptest.Silence())
	s := r.ask(map[string][]string{}, nil)
	s.Treat("example.org", domaintest.Silence)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan diagnose.Report)
	go func() {
		report, _ := r.doctor.Run(ctx, grace, change(func(c *mail.Change) { c.Timeouts.Greeting = 20 * time.Second }), to, func(s diagnose.Step) {
			if s.Key == diagnose.StepGreeting {
				cancel()
			}
		})
		done <- report
	}()
	began := time.Now()
	report := <-done
	if report.Passed || time.Since(began) > 5*time.Second {
		t.Errorf("after %s: %s", time.Since(began), states(report))
	}
}

// listen is something on a port that says words first, and the bytes it heard.
func listen(t *testing.T, words string, cert *tls.Certificate) (string, chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 4)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			if cert != nil {
				err := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*cert}}).Handshake()
				heard <- fmt.Sprint(err)
			} else {
				_, _ = io.WriteString(conn, words)
				line, _ := bufio.NewReader(conn).ReadString('\n')
				heard <- line
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return l.Addr().String(), heard
}

// Ports that are open are told from closed ones, and by how they begin; nothing
// of what answers there is repeated.
func TestThePortsOfTheServer(t *testing.T) {
	r := plain(t)
	r.sink(nil)
	secret := r.cert().TLS()
	other, heard25 := listen(t, "220 secret-banner ESMTP\r\n", nil)
	implicit, _ := listen(t, "", &secret)
	r.open = map[int]string{25: other, 465: implicit}
	report := r.run(t.Context(), change(nil))
	g := group(t, report, diagnose.GroupPorts)
	for key, want := range map[string]string{"port_25": "greets like a mail server", "port_465": "begins with TLS", "port_587": "under test"} {
		if c := check(t, g, key); !strings.Contains(c.Detail, want) || c.State != diagnose.OK {
			t.Errorf("%s: %+v", key, c)
		}
	}
	if got := <-heard25; got != "QUIT\r\n" {
		t.Errorf("port 25 heard %q", got)
	}
	if g.Detail != "Ports 25, 465 and 587 can be reached." {
		t.Errorf("got %q", g.Detail)
	}
	shell, _ := listen(t, "SSH-2.0-OpenSSH_secret-banner\r\n", nil)
	r.open = map[int]string{25: shell, 465: other}
	report = r.run(t.Context(), change(nil))
	g = group(t, report, diagnose.GroupPorts)
	for key, want := range map[string]string{"port_25": "no mail server", "port_465": "does not begin with TLS"} {
		if c := check(t, g, key); !strings.Contains(c.Detail, want) {
			t.Errorf("%s: %+v", key, c)
		}
	}
	r.open = nil
	report = r.run(t.Context(), change(nil))
	if g = group(t, report, diagnose.GroupPorts); check(t, g, "port_465").State != diagnose.Skipped || !strings.Contains(g.Detail, "587") {
		t.Errorf("got %+v", g)
	}
	if text := fmt.Sprintf("%+v", report.Checks) + fmt.Sprintf("%+v", r.told); strings.Contains(text, "secret-banner") {
		t.Error("the banner of something else is told")
	}
}

// A forbidden address is not tried on its other ports either.
func TestForbiddenAddressesAreNotTried(t *testing.T) {
	r := plain(t)
	r.script(smtptest.Trap())
	other, heard := listen(t, "220 x\r\n", nil)
	r.port, r.open = 587, map[int]string{25: other}
	doctor := r.denying(t, "127.0.0.0/8")
	report, err := doctor.Run(t.Context(), grace, change(nil), to, nil)
	r.must(err)
	if c := check(t, group(t, report, diagnose.GroupPorts), "port_25"); c.State != diagnose.Skipped || !strings.Contains(c.Detail, "not be connected to") {
		t.Errorf("got %+v", c)
	}
	select {
	case line := <-heard:
		if line != "" {
			t.Errorf("it heard %q", line)
		}
	default:
	}
}

// Versions of TLS, what is offered, and how much leaves in a minute.
func TestEncryptionAndSpeed(t *testing.T) {
	for _, tt := range []struct {
		what   string
		sink   func(*smtptest.SinkConfig)
		change func(*mail.Change)
		want   map[string]string
	}{
		{
			"the usual", func(c *smtptest.SinkConfig) { c.Announce = []string{"PIPELINING", "SIZE 35882577", "CHUNKING"} }, nil,
			map[string]string{diagnose.CheckOffers: "It takes several commands at once and letters in chunks; not reports", diagnose.CheckVersions: "TLS 1.3 and TLS 1.2.", diagnose.CheckRoundTrip: "A command and its answer take", diagnose.CheckThroughput: "letters a minute"},
		},
		{
			"TLS 1.3 alone", func(c *smtptest.SinkConfig) { c.MinTLS = tls.VersionTLS13 }, nil,
			map[string]string{diagnose.CheckVersions: "TLS 1.3 alone."},
		},
		{"a slow pace", nil, func(c *mail.Change) { c.Pace.PerMinute = 25 }, map[string]string{diagnose.CheckThroughput: "At most 25"}},
		{
			"in clear", func(c *smtptest.SinkConfig) { c.Certificate, c.Mechanisms = nil, nil },
			func(c *mail.Change) {
				c.Port, c.Security, c.ConfirmClear, c.Auth, c.Password = 25, smtp.None, smtptest.Host, mail.AuthNone, mail.Password{}
			},
			map[string]string{diagnose.CheckThroughput: "letters a minute"},
		},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r := plain(t)
			r.sink(tt.sink)
			report := r.run(t.Context(), change(tt.change))
			g := group(t, report, diagnose.GroupSpeed)
			for key, want := range tt.want {
				if c := check(t, g, key); !strings.Contains(c.Detail, want) {
					t.Errorf("%s: got %q, want %q", key, c.Detail, want)
				}
			}
			if tt.what == "the usual" {
				if lines := strings.Join(check(t, g, diagnose.CheckOffers).Lines, "\n"); !strings.Contains(lines, "SIZE 35882577: letters of up to 35.8 MB") || !strings.Contains(lines, "PIPELINING: several") {
					t.Errorf("got %s", lines)
				}
			}
			if g.Detail != check(t, g, diagnose.CheckThroughput).Detail {
				t.Errorf("the group says %q", g.Detail)
			}
		})
	}
}

// An old server is told from one that is broken.
func TestAnOldServerIsExplained(t *testing.T) {
	r := plain(t)
	r.script(starttls(&tls.Config{Certificates: []tls.Certificate{r.cert().TLS()}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})...)
	report := r.run(t.Context(), change(nil))
	if c := check(t, group(t, report, diagnose.GroupSpeed), diagnose.CheckVersions); report.Passed || c.State != diagnose.Warn || !strings.Contains(c.Detail, "TLS 1.1 at best") {
		t.Errorf("got %+v", c)
	}
	if wire := string(r.server.Wire()) + string(r.server.Inside()); strings.Contains(wire, "AUTH") || strings.Contains(wire, "MAIL") {
		t.Errorf("more was said than hello: %s", wire)
	}
}

// The document has what is promised of it, and the file what a helper needs;
// neither has a credential, nor an address that was not asked for.
func TestWhatIsWrittenDown(t *testing.T) {
	r := plain(t)
	r.sink(nil)
	r.ask(well(), signed)
	report := r.run(t.Context(), change(nil))
	b, err := report.JSON()
	r.must(err)
	var doc map[string]any
	r.must(json.Unmarshal(b, &doc))
	for _, key := range []string{"passed", "verdict", "server", "to", "tls", "at", "took_ms", "replies", "steps", "checks", "transcript"} {
		if _, ok := doc[key]; !ok {
			t.Errorf("%s is missing in %s", key, b)
		}
	}
	if doc["verdict"] != "ok" || doc["replies"] != verdict.Version() || !strings.Contains(string(b), `"verdict": "skipped"`) && !strings.Contains(string(b), `"certificates"`) {
		t.Errorf("got %s", b)
	}
	file := report.File("1.2.3")
	for _, want := range []string{"1.2.3, replies " + verdict.Version(), "mail.example.org:587", "TLS 1.3", "passed after", "ok      Sign in", "C: AUTH", "[credentials]", "g…@example.org", "Receivers will see"} {
		if !strings.Contains(file, want) {
			t.Errorf("%q is missing in\n%s", want, file)
		}
	}
	for _, text := range []string{file, strings.Join(report.Transcript, "\n")} {
		if strings.Contains(text, "grace@") || strings.Contains(text, "vault@") || strings.Contains(text, password) {
			t.Errorf("an address is told:\n%s", text)
		}
	}
	report, err = r.doctor.RunWith(t.Context(), grace, change(nil), to, diagnose.Options{WholeAddresses: true}, nil)
	r.must(err)
	if file := report.File("1.2.3"); !strings.Contains(file, "RCPT TO:<grace@example.org>") {
		t.Errorf("whole addresses were asked for:\n%s", file)
	}
	r.script(smtptest.Say("554 5.7.1 go away ada@example.org"))
	failed := r.run(t.Context(), change(nil))
	if file := failed.File("dev"); !strings.Contains(file, "failed after") || !strings.Contains(file, "fail    Hear its greeting") || strings.Contains(file, "ada@") {
		t.Errorf("got\n%s", file)
	}
	if failed.Document().Verdict != "fail" {
		t.Errorf("got %+v", failed.Document())
	}
}
