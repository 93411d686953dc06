package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/operator"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// patience is how long a test waits for what happens at once.
const patience = 30 * time.Second

// shell is the operator.
var shell = actor.Operator("root", "cli")

// settings are those of an empty installation on free ports.
func settings(t testing.TB, engine store.Engine) config.Config {
	t.Helper()
	// Names of tests are longer than the path of a socket may be.
	dir, err := os.MkdirTemp("", "sealpost-app-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	data := filepath.Join(dir, "data")
	cfg := config.Config{
		MailResolver: "off", // tests ask nobody outside
		DataDir:      data, RootKey: filepath.Join(data, "root.key"), Listen: "127.0.0.1:0", CaptureListen: "127.0.0.1:0",
		LogLevel: "info", LogFormat: "json",
	}
	if engine == store.Postgres {
		cfg.Database = secret.New(storetest.PostgresURL(t))
	}
	return cfg
}

// each runs f on both engines.
func each(t *testing.T, f func(t *testing.T, cfg config.Config)) {
	t.Helper()
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) { f(t, settings(t, engine)) })
	}
}

// paper is what a server writes on.
type paper struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *paper) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// desk is a running server with what it wrote.
type desk struct {
	*Running
	out, log *paper
	client   *http.Client
}

// open starts a server that ends with the test.
func open(t testing.TB, cfg config.Config, outside Outside) *desk {
	t.Helper()
	d := &desk{out: &paper{}, log: &paper{}}
	var err error
	d.Running, err = Start(t.Context(), cfg, ServeOptions{Out: d.out, Log: d.log, Version: "test", Outside: outside})
	if err != nil {
		t.Fatalf("starting: %v", err)
	}
	transport := &http.Transport{
		// The certificate is self-signed; package server proves what is in it.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	d.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		d.close(t)
	})
	return d
}

// close stops the server; a second time does nothing.
func (d *desk) close(t testing.TB) {
	t.Helper()
	if d.Running == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := d.Stop(ctx); err != nil {
		t.Errorf("stopping: %v", err)
	}
	d.Running = nil
}

// get asks for a page.
func (d *desk) get(t testing.TB, url string) (status int, header http.Header, body string) {
	t.Helper()
	res, err := d.client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

// do gives a command of the operator.
func do[R any](t testing.TB, a *App, name string, args any) R {
	t.Helper()
	var r R
	b, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Door().Execute(context.Background(), shell, name, b, mute{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := json.Unmarshal(got, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

type mute struct{}

func (mute) Line(string)                   {}
func (mute) Progress(string, int64, int64) {}

// apply brings a to what a file says.
func apply(t testing.TB, a *App, file string, secrets map[string][]byte) {
	t.Helper()
	do[operator.Applied](t, a, operator.CmdApply, operator.Apply{File: []byte(file), Secrets: secrets})
}

// until waits for something that another goroutine does.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s did not happen", what)
		}
	}
}
