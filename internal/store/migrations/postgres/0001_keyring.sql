-- +goose Up

-- Tells a wrong root key before anything is written with it. One row.
CREATE TABLE keyring_root (
    id          TEXT   NOT NULL PRIMARY KEY CHECK (id = 'root'),
    check_value BYTEA  NOT NULL,
    created_at  BIGINT NOT NULL
);

-- The key-encryption keys, each sealed with the root key. A retired one keeps
-- its row, so that its number is never used again, and loses its key.
CREATE TABLE keyring_key (
    purpose    TEXT   NOT NULL,
    version    BIGINT NOT NULL,
    sealed     BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT NOT NULL,
    PRIMARY KEY (purpose, version)
);

-- The rotation under way, if there is one. At most one row.
CREATE TABLE keyring_rotation (
    id         TEXT   NOT NULL PRIMARY KEY CHECK (id = 'rotation'),
    started_at BIGINT NOT NULL
);
