-- +goose Up

-- The sets of keys that letters are signed with, by the server that they leave
-- through: of each slot at most one new set and one that signs. anyway tells that
-- a set signs although its records were not seen in the DNS. 'between' is where sets
-- are while the two servers change places.
CREATE TABLE mail_dkim (
    id         TEXT    NOT NULL PRIMARY KEY,
    slot       TEXT    NOT NULL CHECK (slot IN ('main', 'second', 'between')),
    domain     TEXT    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('new', 'active', 'retired')),
    anyway     BOOLEAN NOT NULL,
    created_at BIGINT  NOT NULL,
    created_by TEXT    NOT NULL,
    active_at  BIGINT  NOT NULL,
    retired_at BIGINT  NOT NULL
);
CREATE UNIQUE INDEX mail_dkim_new ON mail_dkim (slot) WHERE state = 'new';
CREATE UNIQUE INDEX mail_dkim_active ON mail_dkim (slot) WHERE state = 'active';

-- The keys of the sets. public is what stands in the DNS, sealed the private
-- half. verdict is what the last look at the DNS said, found what stands there.
CREATE TABLE mail_dkim_key (
    id         TEXT   NOT NULL PRIMARY KEY,
    set_id     TEXT   NOT NULL REFERENCES mail_dkim (id) ON DELETE CASCADE,
    algorithm  TEXT   NOT NULL CHECK (algorithm IN ('rsa-sha256', 'ed25519-sha256')),
    selector   TEXT   NOT NULL,
    public     TEXT   NOT NULL,
    sealed     BLOB   NOT NULL,
    verdict    TEXT   NOT NULL CHECK (verdict IN ('', 'ok', 'missing', 'differs', 'unsure')),
    found      TEXT   NOT NULL,
    why        TEXT   NOT NULL,
    checked_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX mail_dkim_key_set ON mail_dkim_key (set_id, algorithm);
