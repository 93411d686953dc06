// Package config owns what the operator sets: a YAML file, the environment
// (SEALPOST_*) and flags, each overriding the one before. It is read once, at
// start; nothing else in the program reads the environment. What administrators
// set in the web interface is not here.
//
// The package refuses keys it does not know, with the line they stand in: a
// mistyped setting must not be one that is silently not set.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
)

// FileName is the configuration file that is looked for in the data folder.
const FileName = "sealpost.yaml"

// Config is what the operator set.
type Config struct {
	// DataDir holds the database, the root key and the certificate.
	DataDir string
	// Listen is the address and port of the web interface.
	Listen string
	// Database is a postgres:// address, or empty for SQLite in DataDir.
	Database secret.Value
	// MetricsListen is the address and port for metrics; empty is off.
	MetricsListen string
	// CaptureListen is the loopback address and port of the capture mailbox;
	// empty is off.
	CaptureListen string
	// TLSCert and TLSKey are files; empty means self-signed, in DataDir.
	TLSCert, TLSKey string
	// RootKey is the file of the root key.
	RootKey string
	// TrustedProxies are believed about the client's address.
	TrustedProxies []netip.Prefix
	// LogLevel is debug, info, warn or error; LogFormat text or json.
	LogLevel, LogFormat string
	// DenyMailTo are networks that no mail server may be in.
	DenyMailTo []netip.Prefix
	// MailResolver is the "host:port" of the DNS server that tests of mail ask;
	// empty is the system's, "off" none.
	MailResolver string
	// MailProxy is the proxy on the way to mail servers; empty is none. It may
	// hold a password. MailNoProxy are hosts that are reached without it.
	MailProxy   secret.Value
	MailNoProxy []string
	// MailSource are the addresses that connections to mail servers leave from,
	// at most one of each family; none leaves it to the system.
	MailSource []string
	// MailClientCertificate and MailClientKey are the files of the certificate
	// that mail servers are shown where they ask for one, which those in
	// MailClientHosts may, or any where it is empty.
	MailClientCertificate, MailClientKey string
	MailClientHosts                      []string
	// OAuthAuthorities are further hosts, as "host" or "host:port", that
	// client secrets and tokens may be sent to.
	OAuthAuthorities []string
	// OAuthProxy is the HTTP proxy on the way to them; empty is none. It may
	// hold a password.
	OAuthProxy secret.Value
	// AlertsWebhook is where alerts about mail are posted; empty is off. Such
	// addresses often let in whoever knows them.
	AlertsWebhook secret.Value
	// AlertsKey is the file of the key that signs alerts; empty leaves them
	// unsigned.
	AlertsKey string
}

// Overrides are the flags; empty ones are not set.
type Overrides struct {
	DataDir, Database, Listen, TLSCert, TLSKey, MetricsListen, CaptureListen string
}

// values are the settings as text, by their key in the file.
type values struct {
	Data           string   `yaml:"data"`
	Listen         string   `yaml:"listen"`
	Database       string   `yaml:"database"`
	Metrics        string   `yaml:"metrics"`
	Capture        string   `yaml:"capture"`
	TLSCert        string   `yaml:"tls_cert"`
	TLSKey         string   `yaml:"tls_key"`
	RootKey        string   `yaml:"root_key"`
	TrustedProxies []string `yaml:"trusted_proxies"`
	LogLevel       string   `yaml:"log_level"`
	LogFormat      string   `yaml:"log_format"`
	DenyMailTo     []string `yaml:"deny_mail_to"`
	Mail           struct {
		Resolver          string   `yaml:"resolver"`
		Proxy             string   `yaml:"proxy"`
		NoProxy           []string `yaml:"no_proxy"`
		Source            []string `yaml:"source"`
		ClientCertificate string   `yaml:"client_certificate"`
		ClientKey         string   `yaml:"client_key"`
		ClientHosts       []string `yaml:"client_hosts"`
		OAuth             struct {
			Authorities []string `yaml:"authorities"`
			Proxy       string   `yaml:"proxy"`
		} `yaml:"oauth"`
	} `yaml:"mail"`
	Alerts struct {
		Webhook string `yaml:"webhook"`
		Key     string `yaml:"key"`
	} `yaml:"alerts"`
}

// Load reads file, environment ("NAME=value") and flags. An empty path means
// sealpost.yaml in the data folder, if it is there. Errors are faults that name
// the setting.
func Load(path string, environ []string, flags Overrides) (Config, error) {
	env, err := environment(environ)
	if err != nil {
		return Config{}, err
	}
	dir := first(flags.DataDir, env.Data, "./data")
	v := values{Capture: "127.0.0.1:7225", Listen: ":7272", LogLevel: "info", LogFormat: "text", DenyMailTo: []string{"169.254.0.0/16", "fe80::/10"}}
	if err := v.readFile(path, filepath.Join(dir, FileName)); err != nil {
		return Config{}, err
	}
	if v.Data == "" || flags.DataDir != "" || env.Data != "" {
		v.Data = dir
	}
	v.override(env)
	v.override(values{
		Listen: flags.Listen, Database: flags.Database, Metrics: flags.MetricsListen, Capture: flags.CaptureListen,
		TLSCert: flags.TLSCert, TLSKey: flags.TLSKey,
	})
	return v.config()
}

func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

func (v *values) readFile(path, fallback string) error {
	asked := path != ""
	if !asked {
		path = fallback
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !asked {
		return nil
	}
	if err != nil {
		return fault.Invalid("config", fmt.Sprintf("The configuration file %s cannot be read.", path)).Because(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return fault.Invalid("config", fmt.Sprintf("The configuration file %s: %s.", path, sentence(err)))
	}
	return nil
}

// sentence is what the YAML library says without the value it stumbled over,
// which may be a password.
func sentence(err error) string {
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		return strings.TrimPrefix(err.Error(), "yaml: ")
	}
	out := make([]string, len(te.Errors))
	for i, e := range te.Errors {
		if line, rest, ok := strings.Cut(e, ": "); ok && strings.HasPrefix(rest, "cannot unmarshal") {
			e = line + ": a value of another type belongs here"
		}
		out[i] = e
	}
	return strings.Join(out, "; ")
}

// environment collects the SEALPOST_* variables.
func environment(environ []string) (values, error) {
	var v values
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		key, ours := strings.CutPrefix(name, "SEALPOST_")
		if !ours {
			continue
		}
		switch key {
		case "DATA":
			v.Data = value
		case "LISTEN":
			v.Listen = value
		case "DATABASE":
			v.Database = value
		case "METRICS":
			v.Metrics = value
		case "CAPTURE":
			v.Capture = value
		case "TLS_CERT":
			v.TLSCert = value
		case "TLS_KEY":
			v.TLSKey = value
		case "ROOT_KEY":
			v.RootKey = value
		case "TRUSTED_PROXIES":
			v.TrustedProxies = list(value)
		case "LOG_LEVEL":
			v.LogLevel = value
		case "LOG_FORMAT":
			v.LogFormat = value
		case "DENY_MAIL_TO":
			v.DenyMailTo = list(value)
		case "MAIL_RESOLVER":
			v.Mail.Resolver = value
		case "MAIL_PROXY":
			v.Mail.Proxy = value
		case "MAIL_NO_PROXY":
			v.Mail.NoProxy = list(value)
		case "MAIL_SOURCE":
			v.Mail.Source = list(value)
		case "MAIL_CLIENT_CERTIFICATE":
			v.Mail.ClientCertificate = value
		case "MAIL_CLIENT_KEY":
			v.Mail.ClientKey = value
		case "MAIL_CLIENT_HOSTS":
			v.Mail.ClientHosts = list(value)
		case "MAIL_OAUTH_AUTHORITIES":
			v.Mail.OAuth.Authorities = list(value)
		case "MAIL_OAUTH_PROXY":
			v.Mail.OAuth.Proxy = value
		case "ALERTS_WEBHOOK":
			v.Alerts.Webhook = value
		case "ALERTS_KEY":
			v.Alerts.Key = value
		case "FAILPOINT", "TORTURE":
			// Read by test builds alone.
		default:
			if fromKubernetes(key) {
				continue
			}
			return v, fault.Invalid("environment", fmt.Sprintf("The environment variable %s is not a setting of Sealpost.", name))
		}
	}
	return v, nil
}

// fromKubernetes reports whether a variable is one of those that Kubernetes
// sets in every pod beside a Service named sealpost: SEALPOST_SERVICE_HOST,
// SEALPOST_PORT_7272_TCP_ADDR and so on.
func fromKubernetes(key string) bool {
	return key == "SERVICE_HOST" || key == "SERVICE_PORT" || key == "PORT" ||
		strings.HasPrefix(key, "SERVICE_PORT_") || strings.HasPrefix(key, "PORT_")
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// override takes over what is set in o.
func (v *values) override(o values) {
	for _, p := range []struct {
		to   *string
		from string
	}{
		{&v.Listen, o.Listen},
		{&v.Database, o.Database},
		{&v.Metrics, o.Metrics},
		{&v.Capture, o.Capture},
		{&v.TLSCert, o.TLSCert},
		{&v.TLSKey, o.TLSKey},
		{&v.RootKey, o.RootKey},
		{&v.LogLevel, o.LogLevel},
		{&v.LogFormat, o.LogFormat},
		{&v.Mail.Resolver, o.Mail.Resolver},
		{&v.Mail.Proxy, o.Mail.Proxy},
		{&v.Mail.ClientCertificate, o.Mail.ClientCertificate},
		{&v.Mail.ClientKey, o.Mail.ClientKey},
		{&v.Mail.OAuth.Proxy, o.Mail.OAuth.Proxy},
		{&v.Alerts.Webhook, o.Alerts.Webhook},
		{&v.Alerts.Key, o.Alerts.Key},
	} {
		if p.from != "" {
			*p.to = p.from
		}
	}
	if o.TrustedProxies != nil {
		v.TrustedProxies = o.TrustedProxies
	}
	if o.DenyMailTo != nil {
		v.DenyMailTo = o.DenyMailTo
	}
	for _, l := range []struct {
		to   *[]string
		from []string
	}{
		{&v.Mail.NoProxy, o.Mail.NoProxy},
		{&v.Mail.Source, o.Mail.Source},
		{&v.Mail.ClientHosts, o.Mail.ClientHosts},
		{&v.Mail.OAuth.Authorities, o.Mail.OAuth.Authorities},
	} {
		if l.from != nil {
			*l.to = l.from
		}
	}
}

func (v values) config() (Config, error) {
	var check fault.Check
	c := Config{
		DataDir: v.Data, Listen: v.Listen, Database: secret.New(v.Database), TLSCert: v.TLSCert, TLSKey: v.TLSKey,
		RootKey: first(v.RootKey, filepath.Join(v.Data, "root.key")), LogLevel: v.LogLevel, LogFormat: v.LogFormat,
		MetricsListen: offOr(v.Metrics), CaptureListen: offOr(v.Capture),
		MailResolver: v.Mail.Resolver,
		MailProxy:    secret.New(offOr(v.Mail.Proxy)), MailNoProxy: v.Mail.NoProxy, MailSource: v.Mail.Source,
		MailClientCertificate: v.Mail.ClientCertificate, MailClientKey: v.Mail.ClientKey, MailClientHosts: v.Mail.ClientHosts,
		OAuthAuthorities: v.Mail.OAuth.Authorities, OAuthProxy: secret.New(offOr(v.Mail.OAuth.Proxy)),
		AlertsWebhook: secret.New(offOr(v.Alerts.Webhook)), AlertsKey: v.Alerts.Key,
	}
	check.That(validListen(c.Listen), "listen", "Write an address and a port, for example :7272 or 127.0.0.1:7272.")
	check.That(c.MetricsListen == "" || validListen(c.MetricsListen), "metrics", "Write an address and a port, for example 127.0.0.1:7273, or off.")
	check.That(c.CaptureListen == "" || loopback(c.CaptureListen), "capture", "The capture mailbox listens on this machine alone. Write for example 127.0.0.1:7225, or off.")
	check.That(v.Database == "" || strings.HasPrefix(v.Database, "postgres://") || strings.HasPrefix(v.Database, "postgresql://"),
		"database", "Write postgres://user:password@host/database, or leave it out for SQLite.")
	check.That((v.TLSCert == "") == (v.TLSKey == ""), "tls_cert", "Give certificate and key together, or neither.")
	check.That(v.LogFormat == "text" || v.LogFormat == "json", "log_format", "Write text or json.")
	check.That(strings.Contains(" debug info warn error ", " "+v.LogLevel+" "), "log_level", "Write debug, info, warn or error.")
	c.TrustedProxies = prefixes(&check, "trusted_proxies", v.TrustedProxies)
	c.DenyMailTo = prefixes(&check, "deny_mail_to", v.DenyMailTo)
	check.That((v.Mail.ClientCertificate == "") == (v.Mail.ClientKey == ""), "mail.client_certificate", "Give certificate and key together, or neither.")
	check.That(len(v.Mail.ClientHosts) == 0 || v.Mail.ClientCertificate != "", "mail.client_hosts", "These are the hosts that a client certificate is for. Give the certificate too.")
	v.checkOutgoing(&check, c)
	return c, check.Err()
}

// checkOutgoing checks where the program itself connects to. It repeats nothing
// of an address: it may hold a password.
func (v values) checkOutgoing(check *fault.Check, c Config) {
	host, port, err := net.SplitHostPort(v.Mail.Resolver)
	_, number := strconv.ParseUint(port, 10, 16)
	check.That(v.Mail.Resolver == "" || v.Mail.Resolver == off || err == nil && host != "" && number == nil,
		"mail.resolver", "Write the address and port of a DNS server, for example 192.0.2.53:53, or off.")
	for _, a := range v.Mail.OAuth.Authorities {
		check.That(validAuthority(a), "mail.oauth.authorities", fmt.Sprintf("%q is not a host like login.example.org, or one with its port.", a))
	}
	proxy, err := url.Parse(c.OAuthProxy.Reveal())
	check.That(c.OAuthProxy.IsZero() || err == nil && proxy.Scheme == "http" && proxy.Hostname() != "" && strings.Trim(proxy.Path, "/") == "",
		"mail.oauth.proxy", "Write the address of an HTTP proxy, for example http://proxy.example.org:3128, or off.")
	hook, err := url.Parse(c.AlertsWebhook.Reveal())
	check.That(c.AlertsWebhook.IsZero() || err == nil && hook.Hostname() != "" && hook.User == nil && hook.Fragment == "" &&
		(hook.Scheme == "https" || hook.Scheme == "http" && thisMachine(hook.Hostname())),
		"alerts.webhook", "Write an address that begins with https://; http:// is for this machine alone. Or write off.")
	check.That(v.Alerts.Key == "" || !c.AlertsWebhook.IsZero(), "alerts.key", "A key signs what goes to a webhook. Give the webhook too.")
}

// validAuthority reports whether s is "host" or "host:port". What else a host
// must be is for who calls it to say.
func validAuthority(s string) bool {
	u, err := url.Parse("https://" + s)
	if err != nil || u.Host != s || u.Hostname() == "" || strings.HasSuffix(s, ":") {
		return false
	}
	port := u.Port()
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func thisMachine(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// off is what switches a setting off that has a default.
const off = "off"

func offOr(s string) string {
	if s == off {
		return ""
	}
	return s
}

func validListen(s string) bool {
	_, port, err := net.SplitHostPort(s)
	return err == nil && port != ""
}

func loopback(s string) bool {
	a, err := netip.ParseAddrPort(s)
	return err == nil && a.Addr().IsLoopback()
}

func prefixes(check *fault.Check, key string, texts []string) []netip.Prefix {
	// An empty list is a decision too, and differs from none.
	out := make([]netip.Prefix, 0, len(texts))
	for _, t := range texts {
		if a, err := netip.ParseAddr(t); err == nil {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(t)
		if check.That(err == nil, key, fmt.Sprintf("%q is not a network like 10.0.0.0/8.", t)) {
			out = append(out, p)
		}
	}
	return out
}
