package app

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/dkim"
	"github.com/sealpost/sealpost/internal/mail/profile"
	"github.com/sealpost/sealpost/internal/operator"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/test/peers"
)

// Each setting for connections that cannot be meant is told at the start.
func TestConnectionsThatCannotBeMeant(t *testing.T) {
	for field, set := range map[string]func(*config.Config){
		"mail.proxy":              func(c *config.Config) { c.MailProxy = secret.New("gopher://geheim@proxy") },
		"mail.no_proxy":           func(c *config.Config) { c.MailNoProxy = []string{"not a host"} },
		"mail.source":             func(c *config.Config) { c.MailSource = []string{"192.0.2.1", "192.0.2.2"} },
		"mail.client_certificate": func(c *config.Config) { c.MailClientCertificate, c.MailClientKey = "/nowhere.pem", "/nowhere.key" },
	} {
		cfg := settings(t, store.SQLite)
		set(&cfg)
		_, err := New(t.Context(), cfg, Options{Log: QuietLog(io.Discard)})
		if f := fault.Fields(err); len(f) != 1 || f[0].Field != field || strings.Contains(fmt.Sprint(err), "geheim") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

const guarded = `
version: 1
access_url: https://vault.example.org
mail:
  host: localhost
  port: PORT
  security: tls
  sender: {address: vault@example.org, name: Vault}
`

// A real server that wants a client certificate gets letters that are signed.
func TestAServerThatWantsAClientCertificate(t *testing.T) {
	post := peers.Postfix(t)
	roots := x509.NewCertPool()
	roots.AddCert(post.Authority.Root)
	file := strings.Replace(guarded, "PORT", fmt.Sprint(post.Guarded), 1)

	bare := settings(t, store.SQLite)
	a, err := New(t.Context(), bare, Options{Log: QuietLog(io.Discard), Outside: Outside{MailRoots: roots}})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, a, file, nil)
	r := do[operator.MailTested](t, a, operator.CmdMailTest, operator.MailTest{To: "grace@example.org"})
	if text := fmt.Sprintf("%+v", r.Report.Steps); r.Report.Passed || !strings.Contains(text, "wants a client certificate") || !strings.Contains(text, "mail.client_certificate") {
		t.Errorf("without a certificate: %s", text)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}

	cfg := settings(t, store.SQLite)
	dir := t.TempDir()
	cfg.MailClientCertificate, cfg.MailClientKey = filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key")
	ends := time.Now().Add(20 * 24 * time.Hour).Truncate(time.Second)
	cert, key, err := post.Authority.Client("sealpost", ends)
	if err := errors.Join(err, os.WriteFile(cfg.MailClientCertificate, cert, 0o644), os.WriteFile(cfg.MailClientKey, key, 0o400)); err != nil {
		t.Fatal(err)
	}
	d := open(t, cfg, Outside{MailRoots: roots})
	apply(t, d.app, file, nil)
	set, err := d.app.dkim.Make(t.Context(), shell, dkim.Main, dkim.Wish{Algorithms: []dkim.Algorithm{dkim.RSA, dkim.Ed25519}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.app.dkim.Anyway(t.Context(), shell, dkim.Main); err != nil {
		t.Fatal(err)
	}
	apply(t, d.app, file+"users:\n  - {login: grace, name: Grace Hopper, email: guarded@example.org, role: password_user}\n", nil)
	mail := post.Wait(t, "guarded@example.org", 1)[0]
	records := map[string]string{}
	for _, k := range set.Keys {
		records[k.Record.Name] = k.Record.Value
	}
	found, err := msgauth.VerifyWithOptions(bytes.NewReader(mail.Raw), &msgauth.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		return []string{records[name]}, nil
	}})
	if err != nil || len(found) != 2 || found[0].Err != nil || found[1].Err != nil {
		t.Errorf("the signatures: %+v, %v\n%s", found, err, mail.Raw)
	}
	h, err := d.app.mail.Health(t.Context(), shell)
	if err != nil {
		t.Fatal(err)
	}
	told := false
	for _, e := range h.Ends {
		told = told || e.Kind == profile.EndOwnCertificate && e.At.Equal(ends) && e.Warn(time.Now()) && strings.Contains(e.Advice, "mail.client_certificate")
	}
	if !told {
		t.Errorf("the end of the client certificate is not told: %+v", h.Ends)
	}
}

// Letters go through the proxy that the operator names, and its refusal is told.
func TestMailThroughAProxy(t *testing.T) {
	post := peers.Postfix(t)
	var refuse atomic.Bool
	var asked atomic.Value
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	serve := func(c net.Conn) {
		defer c.Close()
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		asked.Store(req.RequestURI + " " + req.Header.Get("Proxy-Authorization"))
		if refuse.Load() {
			_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\n\r\n")
			return
		}
		far, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", post.Relay))
		if err != nil {
			return
		}
		defer far.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() {
			_, _ = io.Copy(far, r)
			_ = far.Close()
		}()
		_, _ = io.Copy(c, far)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	cfg := settings(t, store.SQLite)
	cfg.MailProxy = secret.New("http://seal:geheim@" + l.Addr().String())
	d := open(t, cfg, Outside{})
	apply(t, d.app, `
version: 1
access_url: https://vault.example.org
mail:
  host: relay.invalid
  port: 25
  security: none
  sender: {address: vault@example.org, name: Vault}
  send_in_clear: relay.invalid
users:
  - {login: grace, name: Grace Hopper, email: proxied@example.org, role: password_user}
`, nil)
	post.Wait(t, "proxied@example.org", 1)
	if got := asked.Load(); got != "relay.invalid:25 Basic c2VhbDpnZWhlaW0=" {
		t.Errorf("the proxy was asked for %v", got)
	}
	if r := do[operator.MailTested](t, d.app, operator.CmdMailTest, operator.MailTest{To: "grace@example.org"}); !r.Report.Passed || !strings.Contains(fmt.Sprint(r.Report.Steps), "looks the server's name up") {
		t.Errorf("a test through the proxy: %+v", r.Report.Steps)
	}
	refuse.Store(true)
	r := do[operator.MailTested](t, d.app, operator.CmdMailTest, operator.MailTest{To: "grace@example.org"})
	text := fmt.Sprintf("%+v", r.Report.Steps)
	if r.Report.Passed || !strings.Contains(text, "The proxy on the way to the mail server answered: 403 Forbidden.") || strings.Contains(text, "geheim") {
		t.Errorf("a proxy that refuses: %s", text)
	}
	if strings.Contains(d.log.String(), "geheim") {
		t.Error("the log tells the proxy's password")
	}
}

func TestSigningKeysFromTheShell(t *testing.T) {
	a, err := New(t.Context(), settings(t, store.SQLite), Options{Log: QuietLog(io.Discard)})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if r := do[operator.SigningKeys](t, a, operator.CmdMailDKIM, operator.MailDKIM{}); len(r.Keys) != 0 || !strings.Contains(r.Note, "No mail server") {
		t.Errorf("without a server: %+v", r)
	}
	apply(t, a, strings.Replace(guarded, "PORT", "587", 1), nil)
	r := do[operator.SigningKeys](t, a, operator.CmdMailDKIM, operator.MailDKIM{New: true, Algorithms: "both", Selector: "autumn", Check: true})
	if r.Signs || len(r.Keys) != 2 || r.Keys[0].Name != "autumn._domainkey.example.org" || r.Keys[1].Selector != "autumn-ed" || !strings.HasPrefix(r.Keys[0].Zone, "autumn._domainkey.example.org. IN TXT ( \"v=DKIM1;") {
		t.Errorf("got %+v", r)
	}
	if r.Keys[0].DNS != "unsure" || !strings.Contains(r.Note, "Publish the new record") {
		t.Errorf("where no DNS may be asked: %+v", r)
	}
	b, err := a.Door().Execute(t.Context(), shell, operator.CmdMailDKIM, []byte(`{"new": true, "algorithms": "rot13"}`), mute{})
	if len(fault.Fields(err)) != 1 || b != nil {
		t.Errorf("an algorithm that is none: %s, %v", b, err)
	}
}
