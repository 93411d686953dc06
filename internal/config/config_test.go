package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/fault"
)

func TestFileThenEnvironmentThenFlags(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, config.FileName)
	if err := os.WriteFile(file, []byte("listen: :1\nmetrics: 127.0.0.1:2\ntrusted_proxies: [10.0.0.0/8, 192.0.2.1]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load("", []string{"SEALPOST_DATA=" + dir, "SEALPOST_METRICS=off", "SEALPOST_DATABASE=postgres://u:canary@h/d", "HOME=/x"}, config.Overrides{Listen: ":3"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":3" || c.MetricsListen != "" || len(c.TrustedProxies) != 2 || c.CaptureListen != "127.0.0.1:7225" || c.RootKey != filepath.Join(dir, "root.key") {
		t.Errorf("got %+v", c)
	}
	if strings.Contains(fmt.Sprintf("%+v %#v", c, c), "canary") {
		t.Error("the database's password is printed")
	}
}

func TestDefaultsNeedNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	c, err := config.Load("", nil, config.Overrides{})
	if err != nil || c.DataDir != "./data" || c.Listen != ":7272" || !c.Database.IsZero() || len(c.DenyMailTo) != 2 {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestWhatCannotBeMeantIsRefused(t *testing.T) {
	for _, tt := range []struct{ file, env, want string }{
		{file: "lisen: :1", want: "line 1"},
		{file: "listen: [a]", want: "another type"},
		{file: "listen: :1\na: b: c", want: "line 2"},
		{file: "listen: nonsense", want: "port"},
		{file: "capture: 0.0.0.0:7225", want: "this machine"},
		{file: "database: mysql://x", want: "postgres://"},
		{file: "tls_cert: x", want: "together"},
		{file: "log_level: loud", want: "debug"},
		{file: "trusted_proxies: [everybody]", want: "network"},
		{file: "mail: {oauth: {authorities: ['https://login.example.org']}}", want: "host"},
		{file: "mail: {oauth: {authorities: ['login.example.org:x']}}", want: "host"},
		{file: "mail: {oauth: {authorities: ['login.example.org/path']}}", want: "host"},
		{file: "mail: {oauth: {authorities: ['me@login.example.org']}}", want: "host"},
		{file: "mail: {oauth: {proxi: x}}", want: "line 1"},
		{file: "mail: {resolver: 192.0.2.53}", want: "DNS server"},
		{file: "mail: {resolver: ':53'}", want: "DNS server"},
		{file: "mail: {resolver: '192.0.2.53:domain'}", want: "DNS server"},
		{file: "mail: {client_key: /k}", want: "together"},
		{file: "mail: {client_hosts: [relay.example.org]}", want: "certificate too"},
		{file: "mail: {oauth: {proxy: 'https://proxy.example.org'}}", want: "HTTP proxy"},
		{file: "mail: {oauth: {proxy: proxy.example.org}}", want: "HTTP proxy"},
		{file: "alerts: {webhook: 'http://hooks.example.org/x'}", want: "https://"},
		{file: "alerts: {webhook: 'https://a:b@hooks.example.org/x'}", want: "https://"},
		{file: "alerts: {webhook: 'file:///etc/passwd'}", want: "https://"},
		{file: "alerts: {key: /k}", want: "webhook too"},
		{env: "SEALPOST_LISTNE=:1", want: "SEALPOST_LISTNE"},
	} {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte(tt.file), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := config.Load(file, []string{tt.env}, config.Overrides{})
		text := fault.Sentence(err)
		for _, f := range fault.Fields(err) {
			text += f.Sentence
		}
		if err == nil || !strings.Contains(text, tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if _, err := config.Load("/nowhere/x.yaml", nil, config.Overrides{}); err == nil {
		t.Error("a file that was asked for and is missing was ignored")
	}
}

func TestEverySettingHasAnEnvironmentVariable(t *testing.T) {
	t.Chdir(t.TempDir())
	c, err := config.Load("", []string{
		"SEALPOST_DATA=/srv/x", "SEALPOST_LISTEN=127.0.0.1:1", "SEALPOST_DATABASE=postgresql://h/d", "SEALPOST_METRICS=127.0.0.1:2",
		"SEALPOST_CAPTURE=off", "SEALPOST_TLS_CERT=/c.pem", "SEALPOST_TLS_KEY=/k.pem", "SEALPOST_ROOT_KEY=/r.key",
		"SEALPOST_TRUSTED_PROXIES=192.0.2.1, 10.0.0.0/8", "SEALPOST_LOG_LEVEL=debug", "SEALPOST_LOG_FORMAT=json",
		"SEALPOST_DENY_MAIL_TO=10.1.0.0/16", "SEALPOST_MAIL_RESOLVER=192.0.2.53:53", "SEALPOST_MAIL_PROXY=socks5h://u:p@proxy.example.org", "SEALPOST_MAIL_NO_PROXY=a.example, b.example",
		"SEALPOST_MAIL_SOURCE=192.0.2.10 2001:db8::10", "SEALPOST_MAIL_CLIENT_CERTIFICATE=/m.pem", "SEALPOST_MAIL_CLIENT_KEY=/m.key",
		"SEALPOST_MAIL_CLIENT_HOSTS=relay.example.org",
		"SEALPOST_MAIL_OAUTH_AUTHORITIES=login.example.org, 127.0.0.1:8443",
		"SEALPOST_MAIL_OAUTH_PROXY=http://u:p@proxy.example.org:3128", "SEALPOST_ALERTS_WEBHOOK=https://hooks.example.org/x",
		"SEALPOST_ALERTS_KEY=/a.key", "SEALPOST_FAILPOINT=x", "SEALPOST", "OTHER=1",
	}, config.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(c.DataDir, c.Listen, c.Database.Reveal(), c.MetricsListen, c.CaptureListen, c.TLSCert, c.TLSKey, c.RootKey,
		c.TrustedProxies, c.LogLevel, c.LogFormat, c.DenyMailTo,
		c.MailResolver, c.MailProxy.Reveal(), c.MailNoProxy, c.MailSource, c.MailClientCertificate, c.MailClientKey, c.MailClientHosts,
		c.OAuthAuthorities, c.OAuthProxy.Reveal(), c.AlertsWebhook.Reveal(), c.AlertsKey)
	want := fmt.Sprintln("/srv/x", "127.0.0.1:1", "postgresql://h/d", "127.0.0.1:2", "", "/c.pem", "/k.pem", "/r.key",
		"[192.0.2.1/32 10.0.0.0/8]", "debug", "json", "[10.1.0.0/16]",
		"192.0.2.53:53", "socks5h://u:p@proxy.example.org", "[a.example b.example]", "[192.0.2.10 2001:db8::10]", "/m.pem", "/m.key", "[relay.example.org]",
		"[login.example.org 127.0.0.1:8443]", "http://u:p@proxy.example.org:3128", "https://hooks.example.org/x", "/a.key")
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFlagsWin(t *testing.T) {
	t.Chdir(t.TempDir())
	env := []string{"SEALPOST_DATA=/e", "SEALPOST_LISTEN=:1", "SEALPOST_DATABASE=postgres://e/e", "SEALPOST_METRICS=:2", "SEALPOST_CAPTURE=127.0.0.1:3", "SEALPOST_TLS_CERT=/e", "SEALPOST_TLS_KEY=/e"}
	c, err := config.Load("", env, config.Overrides{
		DataDir: "/f", Listen: ":11", Database: "postgres://f/f", MetricsListen: "off", CaptureListen: "[::1]:13", TLSCert: "/f", TLSKey: "/f",
	})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(c.DataDir, c.Listen, c.Database.Reveal(), c.MetricsListen, c.CaptureListen, c.TLSCert, c.TLSKey, c.RootKey)
	if want := fmt.Sprint("/f", ":11", "postgres://f/f", "", "[::1]:13", "/f", "/f", "/f/root.key"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestWhereTheDataIs: the file may name the data folder, but what says where
// the file is says so first.
func TestWhereTheDataIs(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, f := range []struct{ path, content string }{
		{"named.yaml", "data: /from/file\nlisten: :1\n"},
		{"folder/sealpost.yaml", "data: /elsewhere\nlisten: :2\n"},
		{"data/sealpost.yaml", "listen: :3\n"},
	} {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.path, []byte(f.content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		path, env, flag string
		data, listen    string
	}{
		{"", "", "", "./data", ":3"},
		{"named.yaml", "", "", "/from/file", ":1"},
		{"named.yaml", "", "/flag", "/flag", ":1"},
		{"named.yaml", "/env", "", "/env", ":1"},
		{"named.yaml", "/env", "/flag", "/flag", ":1"},
		{"", "folder", "", "folder", ":2"},
		{"", "", "folder", "folder", ":2"},
		{"", "", "nothing-there", "nothing-there", ":7272"},
	} {
		c, err := config.Load(tt.path, []string{"SEALPOST_DATA=" + tt.env}, config.Overrides{DataDir: tt.flag})
		if err != nil || c.DataDir != tt.data || c.Listen != tt.listen || c.RootKey != filepath.Join(tt.data, "root.key") {
			t.Errorf("%+v: got %s %s %s, %v", tt, c.DataDir, c.Listen, c.RootKey, err)
		}
	}
}

func TestNothingSecretIsRepeated(t *testing.T) {
	for _, content := range []string{
		"database: [canary]", "database: {a: canary}", "database: mysql://u:canary@h/d", "databas: canary",
		"alerts: {webhook: 'http://hooks.example.org/canary'}", "mail: {oauth: {proxy: 'https://u:canary@proxy.example.org'}}",
	} {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := config.Load(file, nil, config.Overrides{})
		if err == nil || strings.Contains(fmt.Sprint(err, fault.Fields(err)), "canary") {
			t.Errorf("%s: %v", content, err)
		}
	}
	_, err := config.Load("", []string{"SEALPOST_DATABSE=canary"}, config.Overrides{DataDir: t.TempDir()})
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("a mistyped variable: %v", err)
	}
}

// TestAllThatIsWrongIsToldAtOnce: nobody starts a server five times to learn
// of five mistakes.
func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	text := "listen: x\nmetrics: x\ncapture: 192.0.2.1:25\ndatabase: x\ntls_key: x\nlog_format: x\nlog_level: x\ntrusted_proxies: [x]\ndeny_mail_to: [y]\n" +
		"mail: {oauth: {authorities: [x/y], proxy: x}}\nalerts: {webhook: x}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(file, nil, config.Overrides{})
	var got []string
	for _, f := range fault.Fields(err) {
		got = append(got, f.Field)
	}
	if want := "listen metrics capture database tls_cert log_format log_level trusted_proxies deny_mail_to mail.oauth.authorities mail.oauth.proxy alerts.webhook"; strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}

// TestTheDocumentedFileIsRead: the file that the document shows is taken, sets
// every key, and the table tells of each with its environment variable.
func TestTheDocumentedFileIsRead(t *testing.T) {
	b, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "```yaml\n")
	content, _, _ := strings.Cut(rest, "```")
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(file, nil, config.Overrides{}); err != nil {
		t.Errorf("%v in\n%s", err, content)
	}
	for _, key := range config.Keys() {
		last := key[strings.LastIndex(key, ".")+1:]
		if !regexp.MustCompile(`(?m)(^|[ {])` + last + ":").MatchString(content) {
			t.Errorf("the file does not show %q", key)
		}
		if variable := "`SEALPOST_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_")) + "`"; !strings.Contains(string(b), "`"+key+"`") || !strings.Contains(string(b), variable) {
			t.Errorf("the table lacks %q or %s", key, variable)
		}
	}
}

// Kubernetes sets variables beside a Service that is named sealpost.
func TestAServiceNamedSealpostDoesNotStopTheStart(t *testing.T) {
	t.Chdir(t.TempDir())
	environ := []string{
		"SEALPOST_SERVICE_HOST=10.0.0.1", "SEALPOST_SERVICE_PORT=7272", "SEALPOST_SERVICE_PORT_HTTPS=7272",
		"SEALPOST_PORT=tcp://10.0.0.1:7272", "SEALPOST_PORT_7272_TCP_ADDR=10.0.0.1",
	}
	if _, err := config.Load("", environ, config.Overrides{}); err != nil {
		t.Error(err)
	}
	if _, err := config.Load("", []string{"SEALPOST_PORTS=1"}, config.Overrides{}); err == nil {
		t.Error("a mistyped setting was taken")
	}
}
