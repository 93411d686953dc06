-- +goose Up

-- What every letter and page says of this installation. One row.
CREATE TABLE letter_site (
    id           TEXT   NOT NULL PRIMARY KEY CHECK (id = 'site'),
    access_url   TEXT   NOT NULL,
    organisation TEXT   NOT NULL,
    logo         BYTEA NOT NULL,
    logo_type    TEXT   NOT NULL,
    updated_at   BIGINT NOT NULL
);
