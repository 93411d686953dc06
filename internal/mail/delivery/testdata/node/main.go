// Command node is a node that delivers until it is told to end. The test builds
// it with failpoints, stops it, lets it go on, and cuts it off its database.
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

// main takes the address of PostgreSQL, the length of a lease and the number of
// connections.
func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	lease, err := time.ParseDuration(os.Args[2])
	connections := 0
	if err == nil {
		connections, err = strconv.Atoi(os.Args[3])
	}
	if err == nil {
		err = deliver(ctx, os.Args[1], lease, connections)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func deliver(ctx context.Context, url string, lease time.Duration, connections int) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	db, err := store.Open(ctx, store.Config{URL: secret.New(url), Log: log})
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
	return engine.Close(context.WithoutCancel(ctx))
}
