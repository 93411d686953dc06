-- +goose Up

-- Machines, sites and licences whose accounts are kept. The keys are folded:
-- name_key and type_key for order and equality, search and account_names for
-- the search box. account_names repeats the names of the accounts.
CREATE TABLE vault_resource (
    id            TEXT    NOT NULL PRIMARY KEY,
    owner_id      TEXT    NOT NULL REFERENCES identity_user (id),
    name          TEXT    NOT NULL,
    name_key      TEXT COLLATE "C" NOT NULL,
    type          TEXT    NOT NULL,
    type_key      TEXT COLLATE "C" NOT NULL,
    address       TEXT    NOT NULL,
    department    TEXT    NOT NULL,
    location      TEXT    NOT NULL,
    url           TEXT    NOT NULL,
    ask_reason    BOOLEAN NOT NULL,
    created_at    BIGINT  NOT NULL,
    changed_at    BIGINT  NOT NULL,
    revision      BIGINT  NOT NULL,
    search        TEXT    NOT NULL,
    account_names TEXT    NOT NULL,
    notes         TEXT    NOT NULL,
    UNIQUE (owner_id, name_key)
);

-- SQLite has the text in this index as well. Here an entry must be small, and
-- the table is quick to walk through.
CREATE INDEX vault_resource_search ON vault_resource (owner_id, name_key, id);
CREATE INDEX vault_resource_by_type ON vault_resource (owner_id, type_key, name_key, id);
CREATE INDEX vault_resource_by_change ON vault_resource (owner_id, changed_at, id);

-- Accounts under a resource. version numbers the current password; 0 is none.
CREATE TABLE vault_account (
    id          TEXT   NOT NULL PRIMARY KEY,
    resource_id TEXT   NOT NULL REFERENCES vault_resource (id) ON DELETE CASCADE,
    name        TEXT   NOT NULL,
    name_key    TEXT COLLATE "C" NOT NULL,
    notes       TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL,
    revision    BIGINT NOT NULL,
    UNIQUE (resource_id, name_key)
);

-- Every password that an account has had, sealed and bound to its row.
CREATE TABLE vault_version (
    account_id TEXT   NOT NULL REFERENCES vault_account (id) ON DELETE CASCADE,
    version    BIGINT NOT NULL,
    sealed     BYTEA   NOT NULL,
    set_at     BIGINT NOT NULL,
    set_by_id  TEXT   NOT NULL,
    set_by     TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    how        TEXT   NOT NULL CHECK (how IN ('set', 'restored')),
    PRIMARY KEY (account_id, version)
);
