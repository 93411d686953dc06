package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// OldDatabase makes a database as an old release left it, with the migrations up
// to a version, and runs statements on it.
func OldDatabase(ctx context.Context, c Config, version int64, statements ...string) error {
	engine, db := SQLite, (*sql.DB)(nil)
	if c.URL.IsZero() {
		if err := prepareFile(c.Path); err != nil {
			return err
		}
		db = sql.OpenDB(newConnector(c.Path, false))
	} else {
		config, err := pgx.ParseConfig(c.URL.Reveal())
		if err != nil {
			return err
		}
		engine, db = Postgres, stdlib.OpenDB(*config)
	}
	provider, err := provide(engine, db)
	if err == nil {
		_, err = provider.UpTo(ctx, version)
	}
	for _, s := range statements {
		if err == nil {
			_, err = db.ExecContext(ctx, s)
		}
	}
	return errors.Join(err, db.Close())
}
