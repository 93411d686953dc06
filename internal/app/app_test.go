package app

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail/capture"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/operator"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/server"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
	"github.com/sealpost/sealpost/internal/vault"
)

func TestTheFirstStartPrintsAOneTimeLink(t *testing.T) {
	each(t, func(t *testing.T, cfg config.Config) {
		d := open(t, cfg, Outside{})
		_, token, _ := strings.Cut(d.SetupLink(), "/setup#")
		if err := d.app.users.CheckSetup(t.Context(), actor.Actor{}, secret.New(token)); err != nil {
			t.Errorf("the link %q does not open the set-up: %v", d.SetupLink(), err)
		}
		if !strings.Contains(d.out.String(), d.SetupLink()) {
			t.Errorf("the link was not printed: %s", d.out)
		}
		if strings.Contains(d.log.String(), token) {
			t.Error("the link stands in the log")
		}
		do[operator.AdminDone](t, d.app, operator.CmdAdminCreate, operator.AdminCreate{Login: "ada", Name: "Ada", Email: "ada@example.org"})
		d.close(t)

		again := open(t, cfg, Outside{})
		if again.SetupLink() != "" || strings.Contains(again.out.String(), "/setup#") {
			t.Errorf("a link was printed though there is a user: %s", again.out)
		}
	})
}

func TestHealth(t *testing.T) {
	each(t, func(t *testing.T, cfg config.Config) {
		d := open(t, cfg, Outside{})
		if status, _, body := d.get(t, d.URL()+"/healthz"); status != 200 || body != "ok\n" {
			t.Errorf("healthz: got %d %q", status, body)
		}
		status, header, body := d.get(t, d.URL()+"/readyz")
		var got readiness
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 || !got.Ready {
			t.Errorf("readyz: got %d %s, %v", status, body, err)
		}
		if header.Get("Content-Security-Policy") == "" || header.Get("Strict-Transport-Security") != "" {
			t.Errorf("headers: %v", header)
		}
		// While it stops, requests should go elsewhere.
		d.stopping.Store(true)
		if status, _, body := d.get(t, d.URL()+"/readyz"); status != http.StatusServiceUnavailable {
			t.Errorf("stopping: got %d %s", status, body)
		}
		// Without its database it is alive and not ready, and gives no reason.
		if err := d.app.db.Close(); err != nil {
			t.Fatal(err)
		}
		if status, _, body := d.get(t, d.URL()+"/healthz"); status != 200 {
			t.Errorf("healthz without database: got %d %s", status, body)
		}
		if status, _, body := d.get(t, d.URL()+"/readyz"); status != 503 || !strings.Contains(body, `"database":"failed"`) || strings.Contains(body, "sql") {
			t.Errorf("readyz without database: got %d %s", status, body)
		}
	})
}

func TestADeliveryLoopWithoutASignOfLifeIsNotReady(t *testing.T) {
	clock := storetest.NewClock()
	d := open(t, settings(t, store.SQLite), Outside{Now: clock.Now})
	if err := d.loops.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock.Advance(deliveryQuiet)
	if status, _, body := d.get(t, d.URL()+"/readyz"); status != 200 {
		t.Errorf("too early: got %d %s", status, body)
	}
	clock.Advance(time.Minute)
	if status, _, body := d.get(t, d.URL()+"/readyz"); status != 503 || !strings.Contains(body, `"delivery":"failed"`) {
		t.Errorf("got %d %s", status, body)
	}
}

func TestTheOperatorsOwnCertificateIsShown(t *testing.T) {
	cfg := settings(t, store.SQLite)
	dir := t.TempDir()
	own, err := server.SelfSigned(dir, []string{"vault.example.org"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	cfg.TLSCert, cfg.TLSKey = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	d := open(t, cfg, Outside{})
	res, err := d.client.Get(d.URL() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if !res.TLS.PeerCertificates[0].Equal(own.Leaf) {
		t.Errorf("got %v", res.TLS.PeerCertificates[0].Subject)
	}
	if res.Header.Get("Strict-Transport-Security") == "" {
		t.Error("no HSTS with a certificate that is not self-signed by us")
	}
	if strings.Contains(d.out.String(), "self-signed") {
		t.Errorf("got %s", d.out)
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, "tls.key")); !os.IsNotExist(err) {
		t.Errorf("a certificate was made that nobody needs: %v", err)
	}
}

func TestTheLogNamesTheRequestOfALine(t *testing.T) {
	d := open(t, settings(t, store.SQLite), Outside{})
	_, header, _ := d.get(t, d.URL()+"/sign-in?canary")
	id := header.Get("X-Request-Id")
	if !strings.Contains(d.log.String(), `"request_id":"`+id+`"`) {
		t.Errorf("no line with %s: %s", id, d.log)
	}
	if strings.Contains(d.log.String(), "canary") {
		t.Errorf("the log holds what the client sent: %s", d.log)
	}
}

func TestASecondServerOnTheFolderIsRefused(t *testing.T) {
	each(t, func(t *testing.T, cfg config.Config) {
		open(t, cfg, Outside{})
		_, err := Start(t.Context(), cfg, ServeOptions{})
		if !fault.Is(err, fault.KindUnavailable) || !strings.Contains(fault.Sentence(err), "Another Sealpost") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAFailedStartLeavesNothingBehind(t *testing.T) {
	each(t, func(t *testing.T, cfg config.Config) {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		busy := cfg
		busy.Listen = taken.Addr().String()
		if _, err := Start(t.Context(), busy, ServeOptions{}); !fault.Is(err, fault.KindUnavailable) {
			t.Fatalf("got %v", err)
		}
		busy = cfg
		busy.MetricsListen = taken.Addr().String()
		if _, err := Start(t.Context(), busy, ServeOptions{}); !fault.Is(err, fault.KindUnavailable) {
			t.Fatalf("got %v", err)
		}
		open(t, cfg, Outside{})
	})
}

func TestATakenCapturePortIsNoReasonNotToServe(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := settings(t, store.SQLite)
	cfg.CaptureListen = taken.Addr().String()
	d := open(t, cfg, Outside{})
	if status, _, _ := d.get(t, d.URL()+"/readyz"); status != 200 {
		t.Errorf("got %d", status)
	}
	if !strings.Contains(d.log.String(), "the capture mailbox is off") {
		t.Errorf("nobody was told: %s", d.log)
	}
}

func TestAPartThatEndsIsNoticed(t *testing.T) {
	cfg := settings(t, store.SQLite)
	d := open(t, cfg, Outside{})
	if err := d.site.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-d.broken:
		if err == nil {
			t.Error("the part that ended gave no reason")
		}
	case <-t.Context().Done():
		t.Errorf("nobody noticed: %s", d.log)
	}
}

func TestStoppingEndsEverything(t *testing.T) {
	before := goleak.IgnoreCurrent()
	cfg := settings(t, store.SQLite)
	cfg.MetricsListen = "127.0.0.1:0"
	d := open(t, cfg, Outside{})
	apply(t, d.app, withCapture, nil)
	until(t, "the invitation's arrival", func() bool { return len(caught(t, d.app)) == 1 })
	d.get(t, d.URL()+"/sign-in")
	d.client.CloseIdleConnections()
	d.close(t)
	goleak.VerifyNone(t, before)
}

func TestAFolderWithoutSealpostIsNotMade(t *testing.T) {
	cfg := settings(t, store.SQLite)
	_, err := New(t.Context(), cfg, Options{Existing: true})
	if !fault.Is(err, fault.KindNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(cfg.DataDir); !os.IsNotExist(err) {
		t.Errorf("the folder was made: %v", err)
	}
}

const withCapture = `
version: 1
access_url: https://vault.example.org
mail:
  server: capture
  sender: {address: vault@example.org}
users:
  - {login: grace, name: Grace Hopper, email: grace@example.org, role: password_user}
`

// caught returns the letters in the capture mailbox.
func caught(t testing.TB, a *App) []capture.Mail {
	t.Helper()
	p, err := a.capture.List(context.Background(), shell, capture.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return p.Mails
}

func TestALetterLeavesAsSoonAsItsCauseIsStored(t *testing.T) {
	each(t, func(t *testing.T, cfg config.Config) {
		d := open(t, cfg, Outside{})
		apply(t, d.app, withCapture, nil)
		until(t, "the invitation's arrival", func() bool { return len(caught(t, d.app)) == 1 })
		if got := caught(t, d.app)[0]; !slices.Equal(got.To, []string{"grace@example.org"}) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestALetterThatWasInFlightWhenTheProcessDiedLeavesAtTheNextStart(t *testing.T) {
	cfg := settings(t, store.SQLite)
	a, err := New(t.Context(), cfg, Options{Log: QuietLog(io.Discard)})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, a, withCapture, nil)
	// A process that claimed the letter for an hour and died.
	claims, err := a.outbox.Claim(t.Context(), outbox.Main, 10, time.Hour, "")
	if err != nil || len(claims) != 1 {
		t.Fatalf("claimed %d letters: %v", len(claims), err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	d := open(t, cfg, Outside{})
	until(t, "the letter's arrival", func() bool { return len(caught(t, d.app)) == 1 })
}

const withAccount = `
version: 1
access_url: https://vault.example.org
mail:
  host: 127.0.0.1
  port: PORT
  security: none
  sender: {address: vault@example.org}
  authentication:
    account: {resource: Mail, account: sender}
  send_in_clear: 127.0.0.1
users:
  - {login: ada, name: Ada Lovelace, email: ada@example.org, role: administrator}
  - {login: grace, name: Grace Hopper, email: grace@example.org, role: password_administrator}
resources:
  - name: Mail
    owner: ada
    accounts:
      - {name: sender, password: env:PASSWORD}
`

// What the rooms need of each other against the direction of imports.
func TestMailVaultAndIdentityKnowEachOther(t *testing.T) {
	each(t, func(t *testing.T, cfg config.Config) {
		sink := smtptest.StartSink(t, smtptest.SinkConfig{Mechanisms: []string{"PLAIN"}, Login: "sender", Password: "first password"})
		_, port, err := net.SplitHostPort(sink.Addr())
		if err != nil {
			t.Fatal(err)
		}
		d := open(t, cfg, Outside{})
		a, ctx := d.app, t.Context()
		file := strings.Replace(withAccount, "PORT", port, 1)
		apply(t, a, file, map[string][]byte{"env:PASSWORD": []byte("first password")})
		sink.Wait(t, 2) // mail asks the vault

		account := found(t, a, "ada", "Mail", "sender")
		fresh := shell
		if err := a.vault.DeleteAccount(ctx, fresh, account.ID); fault.CodeOf(err) != fault.CodeInUse {
			t.Errorf("an account that mail uses was deleted: %v", err) // the vault asks mail
		}
		ada, err := a.users.UserByLogin(ctx, shell, "ada")
		if err != nil {
			t.Fatal(err)
		}
		grace, err := a.users.UserByLogin(ctx, shell, "grace")
		if err != nil {
			t.Fatal(err)
		}
		if err := a.users.Delete(ctx, fresh, ada.ID, ""); err == nil {
			t.Error("a user who owns something was deleted without an heir") // identity asks the vault
		}
		if _, err := a.users.OperatorResetPassword(ctx, shell, "grace", secret.New("plinth oregano velvet tuba")); err != nil {
			t.Fatal(err)
		}
		if err := a.users.Delete(ctx, fresh, ada.ID, grace.ID); err != nil {
			t.Errorf("handing over: %v", err)
		}
		if got := found(t, a, "grace", "Mail", "sender"); got.ID != account.ID {
			t.Errorf("got %+v", got)
		}
		// The next letter signs in with the account's new password.
		sink.SetPassword("second password")
		if _, err := a.vault.SetPassword(ctx, shell, account.ID, secret.New("second password"), "", 0); err != nil {
			t.Fatal(err)
		}
		before := len(sink.Letters())
		invite(t, a, "alan")
		sink.Wait(t, before+1)
	})
}

func found(t testing.TB, a *App, owner, resource, account string) vault.Account {
	t.Helper()
	r, err := a.vault.FindResource(context.Background(), shell, owner, resource)
	if err != nil {
		t.Fatal(err)
	}
	acc, err := a.vault.FindAccount(context.Background(), shell, r.ID, account)
	if err != nil {
		t.Fatal(err)
	}
	return acc
}

func invite(t testing.TB, a *App, login string) {
	t.Helper()
	_, err := a.users.Invite(context.Background(), shell, identity.NewUser{
		Name: login, Login: login, Email: login + "@example.org", Role: actor.PasswordUser,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A sealed column that the rotation does not know could not be opened after it.
func TestTheRotationKnowsEverySealedColumn(t *testing.T) {
	a, err := New(t.Context(), settings(t, store.SQLite), Options{Log: QuietLog(io.Discard)})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	known := map[string]bool{"keyring_key.sealed": true} // sealed by the root key
	for _, c := range sealedColumns() {
		known[c.Table+"."+c.Column] = true
	}
	var stored []string
	err = a.db.View(t.Context(), func(tx *store.Tx) (err error) {
		stored, err = store.All(tx, func(r store.Row) (s string, err error) { return s, r.Scan(&s) },
			`SELECT m.name || '.' || p.name FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table' AND p.name LIKE 'sealed%'`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stored {
		if !known[s] {
			t.Errorf("the rotation of keys does not know %s", s)
		}
		delete(known, s)
	}
	if len(known) != 0 {
		t.Errorf("not in the database: %v", known)
	}
}

func TestTwoNodesShareAPostgreSQL(t *testing.T) {
	first := settings(t, store.Postgres)
	one := open(t, first, Outside{})
	second := settings(t, store.SQLite)
	second.Database = first.Database
	if err := os.MkdirAll(second.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(first.RootKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second.RootKey, key, 0o400); err != nil {
		t.Fatal(err)
	}
	two := open(t, second, Outside{})
	// What one node did the other knows, also the keys that it made.
	apply(t, one.app, withCapture, nil)
	do[operator.KeyRotated](t, two.app, operator.CmdKeyRotate, struct{}{})
	apply(t, one.app, strings.ReplaceAll(withCapture, "grace", "alan"), nil)
	until(t, "the arrival of both invitations", func() bool { return len(caught(t, two.app)) == 2 })
	if v := do[operator.AuditVerified](t, two.app, operator.CmdAuditVerify, struct{}{}); !v.OK {
		t.Errorf("got %+v", v)
	}
	// A node with another root key is refused before it writes anything.
	third := settings(t, store.SQLite)
	third.Database = first.Database
	if _, err := Start(t.Context(), third, ServeOptions{}); !fault.Is(err, fault.KindUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestTheSocketAndTheFilesAreClosedToOthers(t *testing.T) {
	cfg := settings(t, store.SQLite)
	open(t, cfg, Outside{})
	for name, want := range map[string]os.FileMode{".": 0o700, "root.key": 0o400, "sealpost.db": 0o600, "tls.key": 0o600, operator.SocketName: 0o600, lockFile: 0o600} {
		info, err := os.Stat(filepath.Join(cfg.DataDir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
}
