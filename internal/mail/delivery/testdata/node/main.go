// Command node is a process that delivers. The tests build it with failpoints:
// some kill it while it sends what is due, others stop it, let it go on, and cut
// it off its database.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/delivery"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// main takes the SQLite path or "", the PostgreSQL address or "", the number of
// connections, and the length of a lease. Without the last it ends when nothing
// is due; with it, when it is told to.
func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	connections, err := strconv.Atoi(os.Args[3])
	var lease time.Duration
	if err == nil && len(os.Args) > 4 {
		lease, err = time.ParseDuration(os.Args[4])
	}
	if err == nil {
		err = deliver(ctx, store.Config{Path: os.Args[1], URL: secret.New(os.Args[2])}, connections, lease)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func deliver(ctx context.Context, c store.Config, connections int, lease time.Duration) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	c.Log = log
	db, err := store.Open(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	root, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		return err
	}
	keys, err := keyring.Open(ctx, keyring.Config{DB: db, Root: root})
	if err != nil {
		return err
	}
	letters, err := letter.New()
	if err != nil {
		return err
	}
	table, err := verdict.New()
	if err != nil {
		return err
	}
	entries := audit.New(audit.Config{DB: db, Keys: keys, Log: log})
	box := outbox.New(outbox.Config{DB: db, Keys: keys, Audit: entries, Letters: letters})
	service := mail.New(mail.Config{DB: db, Keys: keys, Audit: entries, Letters: letters, Gate: box.GateOf(outbox.Main), Log: log})
	engine, err := delivery.New(delivery.Config{
		Mail: service, Outbox: box, Table: table, Pace: pace.New(pace.Config{DB: db}), Connections: connections, Lease: lease, Poll: 20 * time.Millisecond, Log: log,
	})
	if err != nil {
		return err
	}
	if lease > 0 {
		goOn(ctx, engine, log)
		return engine.Close(context.WithoutCancel(ctx))
	}
	for more := true; more; {
		if more, err = engine.Run(ctx); err != nil {
			return err
		}
	}
	return engine.Close(ctx)
}

// goOn delivers until ctx ends, whatever fails.
func goOn(ctx context.Context, engine *delivery.Engine, log *slog.Logger) {
	rest := time.NewTicker(20 * time.Millisecond)
	defer rest.Stop()
	for ctx.Err() == nil {
		more, err := engine.Run(ctx)
		if err != nil {
			log.Warn("a turn failed", "err", err)
		}
		if more && err == nil {
			continue
		}
		select {
		case <-rest.C:
		case <-ctx.Done():
		}
	}
}
