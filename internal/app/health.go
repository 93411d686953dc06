package app

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/sealpost/sealpost/internal/mail/delivery"
)

const (
	pathAlive = "/healthz"
	pathReady = "/readyz"
	// readyWait is how long the database may take to show that it answers.
	readyWait = 2 * time.Second
	// deliveryQuiet is how long the delivery loop may give no sign of life: it
	// gives one each second, and at work with each step.
	deliveryQuiet = 5 * time.Minute
)

// serveAlive says that the process is up. It asks nobody else: a monitor that
// restarts what is not alive should not do so because the database is away.
func serveAlive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}

// readiness is the answer to whoever sends requests here. It holds no reason:
// everybody may ask, and the log has the details.
type readiness struct {
	Ready    bool   `json:"ready"`
	Database string `json:"database"`
	Delivery string `json:"delivery"`
}

// serveReady says whether requests should be sent here.
func (r *Running) serveReady(w http.ResponseWriter, req *http.Request) {
	got := r.readiness(req.Context())
	w.Header().Set("Content-Type", "application/json")
	if !got.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(got)
}

func (r *Running) readiness(ctx context.Context) readiness {
	const ok, bad = "ok", "failed"
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	got := readiness{Database: ok, Delivery: ok}
	if err := r.app.db.Ping(ctx); err != nil {
		r.app.log.ErrorContext(ctx, "the database does not answer", "err", err)
		got.Database = bad
	}
	for _, e := range []*delivery.Engine{r.engine, r.engine2} {
		if quiet := r.app.out.Now().Sub(e.LastSign()); quiet > deliveryQuiet {
			r.app.log.ErrorContext(ctx, "a delivery loop gives no sign of life", "for", quiet)
			got.Delivery = bad
		}
	}
	got.Ready = got.Database == ok && got.Delivery == ok && !r.stopping.Load()
	return got
}
