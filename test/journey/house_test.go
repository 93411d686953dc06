package journey

import (
	"context"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/sealpost/sealpost/internal/app"
	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
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
}

// open starts the product on an empty database. It ends with the test.
func open(t testing.TB, engine store.Engine) *house {
	t.Helper()
	h := &house{engine: engine, data: filepath.Join(t.TempDir(), "data"), out: newWatched(), log: newWatched()}
	if engine == store.Postgres {
		h.database = storetest.PostgresURL(t)
	}
	running, err := app.Start(t.Context(), config.Config{
		DataDir: h.data, Listen: "127.0.0.1:0", CaptureListen: "127.0.0.1:0", Database: secret.New(h.database),
		RootKey: filepath.Join(h.data, "root.key"), LogLevel: "debug", LogFormat: "json",
	}, app.ServeOptions{Out: h.out, Log: h.log, Version: "journey"})
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
	return h
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
