package journey

import (
	"context"
	"net/url"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sealpost/sealpost/internal/app"
	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
	"github.com/sealpost/sealpost/test/peers"
)

// house is the whole product, running in the test's own process with real time.
type house struct {
	*app.Running
	engine   store.Engine
	data     string
	database string
	// out is what the person at the shell reads, log the log at its most
	// talkative.
	out, log *watched
	// beside is the "host:port" where browsers may ask besides, or "".
	beside string
}

// open starts the product on an empty database, changed in what a test wants
// otherwise. It ends with the test.
func open(t testing.TB, engine store.Engine, changes ...func(*config.Config, *app.Outside)) *house {
	t.Helper()
	h := &house{engine: engine, data: filepath.Join(t.TempDir(), "data"), out: newWatched(), log: newWatched()}
	if engine == store.Postgres {
		h.database = storetest.PostgresURL(t)
	}
	h.start(t, changes...)
	return h
}

// start starts the product on what the house has.
func (h *house) start(t testing.TB, changes ...func(*config.Config, *app.Outside)) {
	t.Helper()
	cfg := config.Config{
		MailResolver: "off", // tests ask nobody outside
		DataDir:      h.data, Listen: "127.0.0.1:0", CaptureListen: "127.0.0.1:0", Database: secret.New(h.database),
		RootKey: filepath.Join(h.data, "root.key"), LogLevel: "debug", LogFormat: "json",
	}
	o := app.ServeOptions{Out: h.out, Log: h.log, Version: "journey"}
	for _, change := range changes {
		change(&cfg, &o.Outside)
	}
	running, err := app.Start(t.Context(), cfg, o)
	if err != nil {
		t.Fatalf("starting Sealpost: %v", err)
	}
	h.Running = running
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := h.Stop(ctx); err != nil {
			t.Errorf("stopping Sealpost: %v", err)
		}
	})
}

// strangers returns whom a browser asked and should not have.
func (h *house) strangers(t testing.TB, tab *peers.Tab) []string {
	t.Helper()
	return slices.DeleteFunc(tab.Hosts(), func(host string) bool { return host == h.host(t) || host == h.beside })
}

// host is the "host:port" of the web interface.
func (h *house) host(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(h.URL())
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}
