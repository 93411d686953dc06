package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"

	"github.com/sealpost/sealpost/internal/fault"
)

//go:embed migrations
var migrations embed.FS

// versionTable is where the migrations that ran are listed.
const versionTable = "schema_version"

// migrate brings the schema up to date. The caller makes sure that nobody
// else does so at the same time.
func migrate(ctx context.Context, engine Engine, db *sql.DB) error {
	provider, err := provide(engine, db)
	if err != nil {
		return err
	}
	have, err := provider.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("store: reading the version of the schema: %w", translate(err))
	}
	sources := provider.ListSources()
	if newest := sources[len(sources)-1].Version; have > newest {
		return fault.Conflict("A newer Sealpost wrote this database. Start that version, or restore a backup made before the upgrade.").
			Because(fmt.Errorf("schema version %d, this program knows %d", have, newest))
	}
	if _, err := provider.Up(ctx); err != nil {
		var partial *goose.PartialError
		if errors.As(err, &partial) {
			return fmt.Errorf("store: migration %s: %w", partial.Failed.Source.Path, partial.Err)
		}
		return fmt.Errorf("store: migrating: %w", err)
	}
	return nil
}

// provide returns what runs the migrations of an engine.
func provide(engine Engine, db *sql.DB) (*goose.Provider, error) {
	dialect := goose.DialectSQLite3
	if engine == Postgres {
		dialect = goose.DialectPostgres
	}
	files, err := fs.Sub(migrations, "migrations/"+string(engine))
	if err != nil {
		return nil, fmt.Errorf("store: reading the migrations: %w", err)
	}
	provider, err := goose.NewProvider(dialect, db, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true),
		goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, fmt.Errorf("store: reading the migrations: %w", err)
	}
	return provider, nil
}
