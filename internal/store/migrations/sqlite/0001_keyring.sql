-- +goose Up
CREATE TABLE keyring_key (
    purpose    TEXT    NOT NULL,
    version    BIGINT  NOT NULL,
    state      TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    check_mac  BLOB    NOT NULL,
    created_at BIGINT  NOT NULL,
    retired_at BIGINT  NOT NULL,
    PRIMARY KEY (purpose, version)
);
