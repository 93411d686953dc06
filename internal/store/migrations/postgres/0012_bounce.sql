-- +goose Up

-- Where bounces go to and how they are read. sealed holds the typed password, or
-- for an account the account's id, bound to the place that it may be used with.
-- One process at a time reads: the holder of the lease. cursor_uid is the last
-- UID that was looked at, of the folder's UIDVALIDITY.
CREATE TABLE bounce_setting (
    slot            TEXT    NOT NULL PRIMARY KEY CHECK (slot = 'active'),
    id              TEXT    NOT NULL,
    envelope        TEXT    NOT NULL CHECK (envelope IN ('token', 'plain', 'sender')),
    address         TEXT    NOT NULL,
    ask             BOOLEAN NOT NULL,
    reads           BOOLEAN NOT NULL,
    host            TEXT    NOT NULL,
    port            BIGINT  NOT NULL,
    security        TEXT    NOT NULL,
    auth            TEXT    NOT NULL,
    username        TEXT    NOT NULL,
    account_id      TEXT    NOT NULL,
    folder          TEXT    NOT NULL,
    handled         TEXT    NOT NULL CHECK (handled IN ('leave', 'move', 'delete')),
    move_to         TEXT    NOT NULL,
    sealed          BYTEA   NOT NULL,
    password_set_at BIGINT  NOT NULL,
    revision        BIGINT  NOT NULL,
    changed_at      BIGINT  NOT NULL,
    changed_by      TEXT    NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('new', 'working', 'failing')),
    reason          TEXT    NOT NULL,
    advice          TEXT    NOT NULL,
    reply           TEXT    NOT NULL,
    since           BIGINT  NOT NULL,
    failures        BIGINT  NOT NULL,
    next_at         BIGINT  NOT NULL,
    read_at         BIGINT  NOT NULL,
    validity        BIGINT  NOT NULL,
    cursor_uid      BIGINT  NOT NULL,
    lease           TEXT    NOT NULL,
    lease_until     BIGINT  NOT NULL
);

-- The certificates that are trusted for the bounce mailbox beside the system's.
CREATE TABLE bounce_anchor (
    fingerprint TEXT   NOT NULL PRIMARY KEY,
    mode        TEXT   NOT NULL CHECK (mode IN ('anchor', 'pin')),
    der         BYTEA  NOT NULL,
    added_by    TEXT   NOT NULL,
    added_at    BIGINT NOT NULL
);

-- Messages that were handled and are still to be moved or deleted.
CREATE TABLE bounce_handled (
    validity BIGINT NOT NULL,
    uid      BIGINT NOT NULL,
    PRIMARY KEY (validity, uid)
);

-- How many messages of each kind were read, ever.
CREATE TABLE bounce_count (
    kind TEXT   NOT NULL PRIMARY KEY,
    n    BIGINT NOT NULL
);

-- Who tested when, so that the test is no scanner.
CREATE TABLE bounce_test (
    id       TEXT   NOT NULL PRIMARY KEY,
    actor_id TEXT   NOT NULL,
    at       BIGINT NOT NULL
);

CREATE INDEX bounce_test_by_actor ON bounce_test (actor_id, at);

-- Addresses, in lower case, that mail came back from. cleared_at is when
-- somebody wanted it tried again: what is about letters from before does not
-- count any more. A mark stands while since is not 0.
CREATE TABLE bounce_mark (
    address    TEXT   NOT NULL PRIMARY KEY,
    since      BIGINT NOT NULL,
    last_at    BIGINT NOT NULL,
    times      BIGINT NOT NULL,
    origin     TEXT   NOT NULL CHECK (origin IN ('bounce', 'refused')),
    status     TEXT   NOT NULL,
    reply      TEXT   NOT NULL,
    letter_id  TEXT   NOT NULL,
    user_id    TEXT   NOT NULL,
    cleared_at BIGINT NOT NULL,
    cleared_by TEXT   NOT NULL
);

CREATE INDEX bounce_mark_standing ON bounce_mark (last_at, address) WHERE since > 0;
