-- +goose Up

-- Letters on their way and what became of them. sealed is empty once nobody
-- needs the content any more.
CREATE TABLE outbox_letter (
    id          TEXT   NOT NULL PRIMARY KEY,
    message_id  TEXT   NOT NULL UNIQUE,
    kind        TEXT   NOT NULL,
    class       BIGINT NOT NULL,
    user_id     TEXT   NOT NULL,
    to_address  TEXT   NOT NULL,
    to_name     TEXT   NOT NULL,
    subject     TEXT   NOT NULL,
    sealed      BLOB NOT NULL,
    sender      TEXT   NOT NULL,
    state       TEXT   NOT NULL CHECK (state IN ('queued', 'sending', 'deferred', 'uncertain', 'accepted', 'failed', 'expired', 'cancelled')),
    maybe_sent  BOOLEAN NOT NULL,
    merged      BIGINT NOT NULL,
    attempt     BIGINT NOT NULL,
    added_at    BIGINT NOT NULL,
    not_before  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL,
    stage       TEXT   NOT NULL,
    code        BIGINT NOT NULL,
    enhanced    TEXT   NOT NULL,
    reply       TEXT   NOT NULL,
    advice      TEXT   NOT NULL,
    queue_id    TEXT   NOT NULL,
    server      TEXT   NOT NULL
);

-- The queue in the order in which it leaves, so that claiming a few letters
-- costs the same however many wait. Statements that mean the queue repeat the
-- condition word for word; SQLite does not see it otherwise.
CREATE INDEX outbox_letter_queue ON outbox_letter (class, added_at, id)
    WHERE state IN ('queued', 'deferred', 'uncertain', 'sending');
CREATE INDEX outbox_letter_by_user ON outbox_letter (user_id, kind, added_at);
CREATE INDEX outbox_letter_by_recipient ON outbox_letter (to_address, kind, added_at);
CREATE INDEX outbox_letter_by_change ON outbox_letter (changed_at, state);

-- Each time somebody tried.
CREATE TABLE outbox_attempt (
    letter_id TEXT   NOT NULL REFERENCES outbox_letter (id) ON DELETE CASCADE,
    attempt   BIGINT NOT NULL,
    began_at  BIGINT NOT NULL,
    ended_at  BIGINT NOT NULL,
    state     TEXT   NOT NULL,
    stage     TEXT   NOT NULL,
    code      BIGINT NOT NULL,
    enhanced  TEXT   NOT NULL,
    reply     TEXT   NOT NULL,
    advice    TEXT   NOT NULL,
    server    TEXT   NOT NULL,
    PRIMARY KEY (letter_id, attempt)
);

-- Whether letters may leave. One row.
CREATE TABLE outbox_gate (
    id     TEXT    NOT NULL PRIMARY KEY CHECK (id = 'gate'),
    open   BOOLEAN NOT NULL,
    reason TEXT    NOT NULL,
    detail TEXT    NOT NULL,
    since  BIGINT  NOT NULL
);
