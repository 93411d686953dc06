// Command crash delivers what is in an outbox until nothing is due. The test
// builds it with failpoints and lets it be killed at one of them.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"

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

// main takes the SQLite path or "", the PostgreSQL address or "", and the
// number of connections.
func main() {
	connections, err := strconv.Atoi(os.Args[3])
	if err == nil {
		err = deliver(context.Background(), store.Config{Path: os.Args[1], URL: secret.New(os.Args[2])}, connections)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func deliver(ctx context.Context, c store.Config, connections int) error {
	c.Log = slog.New(slog.DiscardHandler)
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
	log := audit.New(audit.Config{DB: db, Keys: keys, Log: c.Log})
	box := outbox.New(outbox.Config{DB: db, Keys: keys, Audit: log, Letters: letters})
	service := mail.New(mail.Config{DB: db, Keys: keys, Audit: log, Letters: letters, Gate: box.GateOf(outbox.Main), Log: c.Log})
	engine, err := delivery.New(delivery.Config{Mail: service, Outbox: box, Table: table, Pace: pace.New(pace.Config{DB: db}), Connections: connections, Log: c.Log})
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		more, err = engine.Run(ctx)
	}
	if err == nil {
		err = engine.Close(ctx)
	}
	return err
}
