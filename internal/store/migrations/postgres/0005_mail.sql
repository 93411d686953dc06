-- +goose Up

-- The mail server profile. slot leaves room for a second one; there is one
-- active profile at most. sealed holds the typed password, or for an account
-- the account's id, bound to the place that it may be used with.
CREATE TABLE mail_profile (
    id               TEXT    NOT NULL PRIMARY KEY,
    slot             TEXT    NOT NULL UNIQUE CHECK (slot = 'active'),
    kind             TEXT    NOT NULL,
    host             TEXT    NOT NULL,
    port             BIGINT  NOT NULL,
    security         TEXT    NOT NULL,
    sender_address   TEXT    NOT NULL,
    sender_name      TEXT    NOT NULL,
    reply_to         TEXT    NOT NULL,
    auth             TEXT    NOT NULL,
    username         TEXT    NOT NULL,
    account_id       TEXT    NOT NULL,
    mechanism        TEXT    NOT NULL,
    local_name       TEXT    NOT NULL,
    connect_ms       BIGINT  NOT NULL,
    greeting_ms      BIGINT  NOT NULL,
    command_ms       BIGINT  NOT NULL,
    final_ms         BIGINT  NOT NULL,
    clear_confirmed  BOOLEAN NOT NULL,
    sealed           BYTEA    NOT NULL,
    password_set_at  BIGINT  NOT NULL,
    revision         BIGINT  NOT NULL,
    changed_at       BIGINT  NOT NULL,
    changed_by       TEXT    NOT NULL,
    tested_at        BIGINT  NOT NULL,
    server_cert_ends BIGINT  NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('working', 'paused', 'stopped')),
    problem          TEXT    NOT NULL,
    reason           TEXT    NOT NULL,
    advice           TEXT    NOT NULL,
    command          TEXT    NOT NULL,
    reply            TEXT    NOT NULL,
    since            BIGINT  NOT NULL,
    probes           BIGINT  NOT NULL,
    next_probe_at    BIGINT  NOT NULL,
    problem_secret   BIGINT  NOT NULL,
    last_accepted_at BIGINT  NOT NULL
);

-- The certificates that are trusted for a profile beside the system's.
CREATE TABLE mail_anchor (
    profile_id  TEXT   NOT NULL REFERENCES mail_profile (id) ON DELETE CASCADE,
    fingerprint TEXT   NOT NULL,
    mode        TEXT   NOT NULL CHECK (mode IN ('anchor', 'pin')),
    der         BYTEA   NOT NULL,
    added_by    TEXT   NOT NULL,
    added_at    BIGINT NOT NULL,
    PRIMARY KEY (profile_id, fingerprint)
);

-- Who tested when, so that the test is no scanner.
CREATE TABLE mail_test (
    id       TEXT   NOT NULL PRIMARY KEY,
    actor_id TEXT   NOT NULL,
    at       BIGINT NOT NULL
);

CREATE INDEX mail_test_by_actor ON mail_test (actor_id, at);
